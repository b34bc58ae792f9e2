//! The benchmark as a whole: sequences, rounds, children.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

use super::child::Measured;
use super::contenders::Contender;
use super::libpython::{self, Built};
use super::sequence::{self, Contents};
use super::{Arguments, report};
use crate::bench::machine::Machine;
use crate::bench::measure;
use crate::bench::programs::{Sized, default_interpreter};
use crate::bench::statistics::Rounds;
use crate::corpus::{self, Manifest};
use crate::{Result, traces, workspace};

/// The programs whose longer runs are the default: of different kinds.
const PROGRAMS: [&str; 5] = ["accesslog", "documents", "life", "lisp", "syntax"];

/// How many operations a child performs, about: it runs its sequence once with a heap that is new, and then several times
/// with one that has been used.
const OPERATIONS: u64 = 80_000_000;

/// What one contender took for one sequence.
#[derive(Default, Serialize)]
pub(super) struct Times {
    /// Nanoseconds per operation, from an empty heap.
    pub(super) first: Rounds,
    /// The same, once a heap has been used: the median of the further passes.
    pub(super) again: Rounds,
    /// Bytes that were resident at most in the first pass, beyond what was before.
    pub(super) peak_bytes: Rounds,
}

/// A sequence and what was measured with it.
#[derive(Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) contents: Contents,
    pub(super) times: BTreeMap<Contender, Times>,
}

/// Everything that is printed.
#[derive(Serialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) libpython: Option<PathBuf>,
    pub(super) built: Option<Built>,
    pub(super) rounds: u32,
    pub(super) command: String,
    pub(super) sequences: Vec<Row>,
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let traces = if arguments.traces.is_empty() { default_traces()? } else { arguments.traces.clone() };
    let temporary = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let libpython = libpython::find();
    let built = libpython.as_ref().and_then(|_| describe());
    let contenders: Vec<Contender> =
        Contender::ALL.into_iter().filter(|&one| one != Contender::Cpython || libpython.is_some()).collect();
    let mut rows = Vec::new();
    let mut files = Vec::new();
    for (index, trace) in traces.iter().enumerate() {
        let file = temporary.path().join(format!("{index}.sequence"));
        let name = trace.file_stem().unwrap_or(OsStr::new("sequence")).to_string_lossy().into_owned();
        rows.push(Row { name, contents: sequence::decode(trace, &file)?, times: BTreeMap::new() });
        files.push(file);
    }
    let machine = Machine::now();
    for round in 1..=arguments.rounds {
        for (row, file) in rows.iter_mut().zip(&files) {
            eprintln!("round {round} of {}: {}", arguments.rounds, row.name);
            // Another one first each time.
            let order = contenders.iter().cycle().skip(round as usize).take(contenders.len());
            for &contender in order {
                let measured = measure_once(contender, file, row.contents.operations)?;
                row.times.entry(contender).or_default().add(&measured, row.contents.operations);
            }
        }
    }
    let command = child(Contender::Ours, Path::new("SEQUENCE"), OPERATIONS)?;
    let results = Results {
        machine,
        libpython,
        built,
        rounds: arguments.rounds,
        command: measure::shown(&command),
        sequences: rows,
    };
    crate::answer(&if arguments.json { report::json(&results) } else { report::text(&results, &contenders) })
}

impl Times {
    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    fn add(&mut self, measured: &Measured, operations: u64) {
        let each = |seconds: f64| seconds * 1e9 / operations as f64;
        if let [first, rest @ ..] = &measured.seconds[..] {
            self.first.push(each(*first));
            self.again.push(each(super::super::statistics::median(rest)));
        }
        self.peak_bytes.push(measured.peak_bytes as f64);
    }
}

/// `operations` are those of the sequence.
fn child(contender: Contender, sequence: &Path, operations: u64) -> Result<Command> {
    use clap::ValueEnum;
    let passes = 1 + (OPERATIONS / operations.max(1)).clamp(2, 40);
    let name = contender.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let mut command = myself()?;
    command.args(["--contender", &name, "--passes", &passes.to_string(), "--sequence"]).arg(sequence);
    Ok(command)
}

fn myself() -> Result<Command> {
    let executable =
        std::env::current_exe().map_err(|error| format!("this program cannot find itself: {error}"))?;
    let mut command = Command::new(executable);
    command.args(["bench", "pool-child"]);
    Ok(command)
}

fn measure_once(contender: Contender, sequence: &Path, operations: u64) -> Result<Measured> {
    let mut command = child(contender, sequence, operations)?;
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("{} failed ({}): {said}", measure::shown(&command), output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("a measurement cannot be read: {error}"))
}

/// How libpython was built; `None` if it does not find the rest of Python to tell.
fn describe() -> Option<Built> {
    let output = myself().ok()?.output().ok().filter(|output| output.status.success())?;
    serde_json::from_slice(&output.stdout).ok()
}

/// Longer runs of programs of the corpus, recorded once; without Python the largest bundled traces.
fn default_traces() -> Result<Vec<PathBuf>> {
    match default_interpreter() {
        Ok(python) => {
            let manifest = Manifest::load()?;
            let folder = workspace::cache("sequences")?;
            let mut replay = None;
            PROGRAMS
                .iter()
                .map(|name| {
                    let program = manifest.program(name)?;
                    let trace = folder.join(format!("{name}-{}-{python}.viv", program.bench));
                    // Half a trace would not be read to its end.
                    if traces::summary(&trace).is_err() {
                        eprintln!("recording {name} {} on {python}", program.bench);
                        let replay = match &mut replay {
                            Some(replay) => replay,
                            empty => empty.insert(workspace::build_replay()?),
                        };
                        measure::time(
                            &mut Sized::new(program, program.bench).recorded(replay, &python, &trace),
                        )?;
                    }
                    Ok(trace)
                })
                .collect()
        }
        Err(why) => {
            eprintln!("{why}; the bundled traces are used, which are short");
            bundled()
        }
    }
}

fn bundled() -> Result<Vec<PathBuf>> {
    let all = replay::verify::find_traces(&[corpus::folder()]).map_err(|error| error.to_string())?;
    let mut sized: Vec<_> =
        all.into_iter().filter_map(|path| Some((path.metadata().ok()?.len(), path))).collect();
    sized.sort();
    Ok(sized.into_iter().rev().take(PROGRAMS.len()).map(|(_, path)| path).collect())
}
