//! `cargo xtask corpus`: the bundled traces.

mod manifest;
mod readme;

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use replay::compare::Check;
use replay::verify::{Verdict, verify};
use trace::Tier;

pub(crate) use manifest::{Manifest, Program};

use crate::interpreters::{self, Interpreter};
use crate::{Result, workspace};

/// Record the bundled traces again, verify them, and bring the table in traces/README.md up to date.
///
/// Programs and versions are in traces/corpus.json. What has no interpreter here is skipped and stays as it is.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Record into a temporary folder and verify there; the bundled traces are verified, and not touched
    #[arg(long)]
    check: bool,
    /// Only these programs
    #[arg(value_name = "PROGRAM")]
    programs: Vec<String>,
}

/// The folder of the bundled traces.
pub(crate) fn folder() -> std::path::PathBuf {
    workspace::root().join("traces")
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let manifest = Manifest::load()?;
    for wanted in &arguments.programs {
        manifest.program(wanted)?;
    }
    let (found, instrumented) = (interpreters::find(), interpreters::instrumented());
    let replay = workspace::build_replay()?;
    let temporary = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let (mut recorded, mut skipped, mut failed) = (0, 0, Vec::new());
    for program in &manifest.programs {
        if !arguments.programs.is_empty() && !arguments.programs.contains(&program.name) {
            continue;
        }
        for recording in program.recordings() {
            let names = recording.trace_names();
            let bundled = |name: &String| folder().join(&program.name).join(name);
            for name in names.iter().filter(|name| arguments.check && bundled(name).exists()) {
                println!("{name}: bundled: {}", told(verified(&bundled(name)), &mut failed));
            }
            let (among, kind) = match recording.tier {
                Tier::Counts => (&instrumented, "instrumented CPython"),
                _ => (&found, "CPython"),
            };
            let Some(python) = interpreters::choose(among, &recording.version) else {
                println!("{}: skipped: no {kind} {} here", names[0], recording.version);
                skipped += 1;
                continue;
            };
            // Never half a trace where a whole one was.
            let fresh: Vec<_> = names.iter().map(|name| temporary.path().join(name)).collect();
            record(&replay, python, program, recording.tier, &fresh[0])
                .map_err(|why| format!("{}: {why}", names[0]))?;
            let mut good = true;
            for (name, fresh) in names.iter().zip(&fresh) {
                let verdict = verified(fresh);
                good &= verdict.is_ok();
                println!("{name}: recorded on {python}: {}", told(verdict, &mut failed));
                recorded += 1;
            }
            if good && !arguments.check {
                for (name, fresh) in names.iter().zip(&fresh) {
                    let bundled = bundled(name);
                    std::fs::copy(fresh, &bundled)
                        .map_err(|error| format!("{}: {error}", bundled.display()))?;
                }
            }
        }
    }
    if !arguments.check {
        readme::update(&manifest)?;
    }
    println!("{recorded} recorded, {skipped} skipped, {} not identical", failed.len());
    match failed.first() {
        None => Ok(()),
        Some(first) => Err(format!("a trace is not identical: {first}")),
    }
}

fn told(verdict: Result<u64>, failed: &mut Vec<String>) -> String {
    match verdict {
        Ok(facts) => format!("identical, {facts} facts"),
        Err(why) => {
            failed.push(why.clone());
            why
        }
    }
}

/// Records a program as the corpus does: in an environment of its own, so that neither the caller's variables nor its
/// folder show in what the program allocates.
fn record(replay: &Path, python: &Interpreter, program: &Program, tier: Tier, output: &Path) -> Result<()> {
    let mut command = Command::new(replay);
    command.args(["record", "--redact", "--tier", tier.name(), "--output"]).arg(output);
    if program.processes > 1 {
        command.arg("--follow");
    }
    command.arg("--");
    command.arg(&python.path).args(program.command(&program.arguments));
    command.current_dir(folder()).env_clear().envs(environment());
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("replay: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("recording on {python} failed ({}): {said}", output.status))
}

/// The environment in which programs of the corpus run.
pub(crate) fn environment() -> Vec<(OsString, OsString)> {
    // Where programs and private caches are.
    let kept = ["HOME", "PATH", "TMPDIR", "XDG_CACHE_HOME"];
    let kept = kept.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
    let fixed = [
        ("LC_ALL", "C.UTF-8"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        // The order of sets, and with it that of allocations, hangs on it.
        ("PYTHONHASHSEED", "0"),
        ("PYTHONNOUSERSITE", "1"),
    ];
    kept.chain(fixed.map(|(name, value)| (name.into(), value.into()))).collect()
}

/// Verifies a trace: how many facts are as predicted, or why it is not identical.
fn verified(path: &Path) -> Result<u64> {
    let report = verify(path, &Check::ALL, |_| {});
    let first = report.checks.iter().find_map(|check| check.first.as_ref().map(|first| (check.name, first)));
    match (report.verdict, first) {
        (Verdict::Identical, _) => Ok(report.checks.iter().map(|check| check.verified).sum()),
        (_, Some((check, first))) => Err(format!(
            "{}: {} diverged {}: predicted {}, observed {}",
            path.display(),
            check.name(),
            first.place(),
            first.predicted,
            first.observed
        )),
        _ => Err(format!("{}: {}", path.display(), report.error.as_deref().unwrap_or("unreadable"))),
    }
}
