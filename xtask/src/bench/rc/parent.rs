//! The benchmark as a whole: rounds, children.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use clap::ValueEnum;
use serde::Serialize;

use super::child::{Contender, Measured};
use super::work::Work;
use super::{Arguments, report};
use crate::Result;
use crate::bench::machine::Machine;
use crate::bench::measure;
use crate::bench::statistics::{Rounds, median};

/// Everything that is printed.
#[derive(Serialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) rounds: u32,
    pub(super) command: String,
    /// Empty for who ended by a signal.
    pub(super) measured: BTreeMap<Work, BTreeMap<Contender, Figures>>,
}

/// What was measured of one contender at one work, by round.
#[derive(Default, Serialize)]
pub(super) struct Figures {
    /// Nanoseconds by operation in the first pass.
    pub(super) first: Rounds,
    /// Nanoseconds by operation: the median of the passes after that.
    pub(super) again: Rounds,
    /// The most memory that was resident.
    pub(super) peak_bytes: Rounds,
    /// What was resident when everything had been dropped, but for the heap.
    pub(super) left_bytes: Rounds,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    fn push(&mut self, one: &Measured) {
        self.first.push(one.nanoseconds[0]);
        self.again.push(median(&one.nanoseconds[1..]));
        self.peak_bytes.push(one.peak_bytes as f64);
        self.left_bytes.push(one.left_bytes as f64);
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::now();
    let mut measured: BTreeMap<Work, BTreeMap<Contender, Figures>> = BTreeMap::new();
    for round in 1..=arguments.rounds {
        for work in Work::ALL {
            eprintln!("round {round} of {}: {}", arguments.rounds, work.title());
            // Another one first each time.
            let order = Contender::ALL.into_iter().cycle().skip(round as usize).take(Contender::ALL.len());
            for contender in order {
                let figures = measured.entry(work).or_default().entry(contender).or_default();
                // Who ended by a signal would again.
                if round > 1 && figures.again.is_empty() {
                    continue;
                }
                if let Some(one) = measure_once(contender, work)? {
                    figures.push(&one);
                }
            }
        }
    }
    let command = measure::shown(&child(Contender::Ours, Work::Walk)?);
    let results = Results { machine, rounds: arguments.rounds, command, measured };
    crate::answer(&if arguments.json { report::json(&results) } else { report::text(&results) })
}

fn child(contender: Contender, work: Work) -> Result<Command> {
    let name = |value: Option<clap::builder::PossibleValue>| {
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let executable =
        std::env::current_exe().map_err(|error| format!("this program cannot find itself: {error}"))?;
    let mut command = Command::new(executable);
    command.args(["bench", "rc-child", "--contender", &name(contender.to_possible_value())]);
    command.args(["--work", &name(work.to_possible_value())]);
    Ok(command)
}

/// `None` if it ended by a signal, as it does when its stack overflows.
fn measure_once(contender: Contender, work: Work) -> Result<Option<Measured>> {
    let mut command = child(contender, work)?;
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.signal().is_some() && said.contains("overflowed its stack") {
        return Ok(None);
    }
    if !output.status.success() {
        return Err(format!("{} failed ({}): {said}", measure::shown(&command), output.status));
    }
    let measured = serde_json::from_slice(&output.stdout);
    measured.map(Some).map_err(|error| format!("a measurement cannot be read: {error}"))
}
