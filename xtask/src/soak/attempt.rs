//! Running a program alone and recorded, and verifying what was recorded.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::interpreters::Interpreter;
use crate::{Result, traces};

/// What a program may take; what takes longer hangs.
const LIMIT: Duration = Duration::from_secs(900);

/// What was recorded and how much of it was predicted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The program's exit status, 128 + n if signal n ended it.
    pub(crate) status: i32,
    /// Calls of the memory manager.
    pub(crate) events: u64,
    /// Those that were requests for a new block.
    pub(crate) allocations: u64,
    /// What was observed.
    pub(crate) facts: u64,
    /// What was predicted wrongly.
    pub(crate) diverged: u64,
    /// What could not be compared.
    pub(crate) unverified: u64,
    /// Objects that were born, if the trace tells of them.
    #[serde(default)]
    pub(crate) objects: u64,
    /// The three above by check, and what was given.
    #[serde(default)]
    pub(crate) checks: BTreeMap<String, Checked>,
    /// What collections did, by what they can do; if the trace tells of them.
    #[serde(default)]
    pub(crate) collections: BTreeMap<String, u64>,
}

/// What came of a check.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) facts: u64,
    pub(crate) diverged: u64,
    pub(crate) unverified: u64,
    /// Answers that had to be told, by kind; none that are 0.
    pub(crate) given: BTreeMap<String, u64>,
}

impl Checked {
    /// What the report says of it.
    fn of(report: &serde_json::Value) -> Self {
        let number = |name: &str| report[name].as_u64().unwrap_or(0);
        let given = report["given"].as_object().into_iter().flatten();
        let given = given.filter_map(|(kind, count)| Some((kind.clone(), count.as_u64()?)));
        Self {
            facts: number("facts"),
            diverged: number("diverged"),
            unverified: number("unverified"),
            given: given.filter(|(_, count)| *count > 0).collect(),
        }
    }

    /// Adds what came of it elsewhere.
    pub(crate) fn add(&mut self, other: &Self) {
        self.facts += other.facts;
        self.diverged += other.diverged;
        self.unverified += other.unverified;
        for (kind, count) in &other.given {
            *self.given.entry(kind.clone()).or_default() += count;
        }
    }
}

/// What the report says that collections did; those of all generations together.
fn collections(report: &serde_json::Value) -> BTreeMap<String, u64> {
    let counted = report["collections"].as_object().into_iter().flatten();
    let number = |value: &serde_json::Value| match value.as_array() {
        Some(generations) => generations.iter().map(serde_json::Value::as_u64).sum(),
        None => value.as_u64(),
    };
    counted.filter_map(|(what, value)| Some((what.clone(), number(value)?))).collect()
}

/// How a process ended, as shells say it.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A folder to run in, made anew for each run.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vivarium-soak-").tempdir();
        let place = Self { folder: folder.map_err(|error| format!("no temporary folder: {error}"))? };
        std::fs::create_dir(place.work()).map_err(|error| format!("{}: {error}", place.work().display()))?;
        Ok(place)
    }

    /// Where the program runs.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// Where the trace is written.
    pub(crate) fn trace(&self) -> PathBuf {
        self.folder.path().join("recorded.viv")
    }

    /// Leaves the trace where it is and says where.
    fn keep(self) -> PathBuf {
        self.folder.keep().join("recorded.viv")
    }

    /// The interpreter with these words behind it, recorded into this place by `replay` if there is one.
    pub(crate) fn command(&self, replay: Option<&Path>, python: &Interpreter, words: &[String]) -> Command {
        self.command_at("blocks", replay, python, words)
    }

    /// The same at a tier.
    pub(crate) fn command_at(
        &self,
        tier: &str,
        replay: Option<&Path>,
        python: &Interpreter,
        words: &[String],
    ) -> Command {
        let mut command = match replay {
            Some(replay) => {
                let mut command = Command::new(replay);
                command.args(["record", "--force", "--tier", tier, "--output"]).arg(self.trace());
                command.arg("--").arg(&python.path);
                command
            }
            None => Command::new(&python.path),
        };
        command.args(words).current_dir(self.work());
        command
    }

    /// Runs a command to its end and says how it ended, and what it wrote to standard error.
    pub(crate) fn run(&self, command: &mut Command) -> Result<(ExitStatus, String)> {
        let errors = self.folder.path().join("stderr");
        let failed = |error: std::io::Error| format!("{}: {error}", command.get_program().to_string_lossy());
        let file = File::create(&errors).map_err(failed)?;
        // A group of its own: when it hangs, all that it started ends with it.
        let spawned =
            command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        let mut child =
            spawned.map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
        let start = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if start.elapsed() < LIMIT => thread::sleep(Duration::from_millis(20)),
                Ok(None) => {
                    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                        // Gone already is as good.
                        let _ = kill_process_group(group, Signal::KILL);
                    }
                    let _ = child.wait();
                    return Err(format!("did not end within {} s", LIMIT.as_secs()));
                }
                Err(error) => return Err(format!("cannot be waited for: {error}")),
            }
        };
        let said = std::fs::read(&errors).unwrap_or_default();
        Ok((status, String::from_utf8_lossy(&said).into_owned()))
    }

    /// Verifies the trace. It stays, and where it is is said, if it is not as predicted.
    pub(crate) fn verify(self, replay: &Path, status: i32) -> Result<Facts> {
        let trace = self.trace();
        let output = Command::new(replay)
            .args(["verify", "--json"])
            .arg(&trace)
            .output()
            .map_err(|error| format!("replay: {error}"))?;
        let document: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("what replay verify says cannot be read: {error}"))?;
        let report = &document["traces"][0];
        let checks = report["checks"].as_array().into_iter().flatten();
        let checks =
            checks.map(|check| (check["name"].as_str().unwrap_or_default().to_owned(), Checked::of(check)));
        let checks: BTreeMap<_, _> = checks.collect();
        let sum = |number: fn(&Checked) -> u64| checks.values().map(number).sum();
        let (facts, diverged, unverified) =
            (sum(|check| check.facts), sum(|check| check.diverged), sum(|check| check.unverified));
        if report["verdict"] != "identical" || diverged > 0 {
            let kept = self.keep();
            eprintln!("{}: {}: {report:#}", kept.display(), report["verdict"]);
            if diverged == 0 {
                return Err(format!("{}: {}", report["verdict"], report["error"]));
            }
            let events = report["events"].as_u64().unwrap_or(0);
            return Ok(Facts { status, events, facts, diverged, unverified, checks, ..Facts::default() });
        }
        let totals = traces::summary(&trace)?.totals;
        let (events, allocations, objects) = (totals.events, totals.blocks, totals.objects);
        let collections = collections(report);
        Ok(Facts { status, events, allocations, facts, diverged, unverified, objects, checks, collections })
    }
}

/// Runs a program alone and recorded, and verifies.
///
/// # Errors
/// What differs, if not the facts.
pub(crate) fn facts(
    replay: &Path,
    tier: &str,
    python: &Interpreter,
    words: &[String],
    prepare: impl Fn(&mut Command),
) -> Result<Facts> {
    let run = |replay| -> Result<(i32, String, Place)> {
        let place = Place::new()?;
        let mut command = place.command_at(tier, replay, python, words);
        prepare(&mut command);
        let (status, said) = place.run(&mut command)?;
        let last = said.trim_end().lines().last().unwrap_or_default();
        Ok((code(status), last.to_owned(), place))
    };
    let (alone, said_alone, _) = run(None).map_err(|why| format!("alone: {why}"))?;
    let (recorded, last, place) = run(Some(replay)).map_err(|why| format!("recorded: {why}"))?;
    if !place.trace().exists() {
        return Err(format!("not recorded: {last}"));
    }
    // Some programs end in one way or another: only one that never ends so alone was changed.
    if recorded != alone && (0..2).all(|_| run(None).is_ok_and(|(again, ..)| again != recorded)) {
        return Err(format!("exit status {alone} alone ({said_alone}), {recorded} recorded ({last})"));
    }
    if alone != 0 {
        eprintln!("{python}: exit status {alone}: {said_alone}");
    }
    place.verify(replay, recorded)
}
