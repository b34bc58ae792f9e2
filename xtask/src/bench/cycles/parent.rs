//! The benchmark as a whole: rounds, children.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::child::{Contender, Measured};
use super::work::Shape;
use super::{Arguments, report};
use crate::Result;
use crate::bench::machine::Machine;
use crate::bench::measure;
use crate::bench::statistics::Rounds;

/// As many objects as are measured only if asked for, and once.
const HUGE: usize = 10_000_000;

/// Everything that is printed.
#[derive(Serialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) rounds: u32,
    /// In seconds, to which as many come for each million objects.
    pub(super) limit: u32,
    pub(super) command: String,
    /// Who was measured, interpreters first, then ours.
    pub(super) contenders: Vec<String>,
    pub(super) measured: Vec<Graph>,
}

/// What was measured of one graph.
#[derive(Serialize)]
pub(super) struct Graph {
    pub(super) shape: String,
    pub(super) shuffled: bool,
    pub(super) objects: usize,
    /// As the contenders are; nothing for who has no such objects.
    pub(super) figures: Vec<Figures>,
}

/// Why there are no figures.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Failed {
    StackOverflow,
    /// It had not ended when it had taken the time that it had, with so many objects or with fewer.
    TooLong,
}

/// What was measured of one contender at one graph, by round.
#[derive(Clone, Default, Serialize)]
pub(super) struct Figures {
    pub(super) live: Rounds,
    pub(super) dead: Rounds,
    pub(super) live_bytes: Rounds,
    pub(super) peak_bytes: Rounds,
    pub(super) failed: Option<Failed>,
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    fn push(&mut self, one: &Measured) {
        self.live.push(one.live);
        self.dead.push(one.dead);
        self.live_bytes.push(one.live_bytes as f64);
        self.peak_bytes.push(one.peak_bytes as f64);
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let machine = Machine::now();
    let script = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    std::fs::write(&script, include_str!("work.py")).map_err(|error| error.to_string())?;
    let pythons = &arguments.python;
    let mut contenders: Vec<String> = pythons.iter().map(|python| python.display().to_string()).collect();
    contenders.extend(Contender::ALL.map(|contender| contender.title().to_owned()));
    let mut measured = Vec::new();
    let name = |shape: Shape| shape.to_possible_value().map(|name| name.get_name().to_owned());
    let sizes = || arguments.objects.iter().copied().chain(arguments.huge.then_some(HUGE));
    for shape in Shape::ALL {
        for (shuffled, objects) in
            [false, true].into_iter().flat_map(|order| sizes().map(move |size| (order, size)))
        {
            let figures = vec![Figures::default(); contenders.len()];
            measured
                .push((shape, Graph { shape: name(shape).unwrap_or_default(), shuffled, objects, figures }));
        }
    }
    for round in 1..=arguments.rounds {
        for at in 0..measured.len() {
            let (fewer, others) = measured.split_at_mut(at);
            let Some((shape, Graph { shape: called, shuffled, objects, figures })) = others.first_mut()
            else {
                break;
            };
            let rounds = if *objects >= HUGE { 1 } else { arguments.rounds };
            if round > rounds {
                continue;
            }
            let order = if *shuffled { ", shuffled" } else { "" };
            eprintln!("round {round} of {rounds}: {objects} {called}{order}");
            // Another one first each time.
            for at in (0..contenders.len()).cycle().skip(round as usize).take(contenders.len()) {
                let is_too_long = |graph: &Graph| {
                    graph.figures[at].failed == Some(Failed::TooLong) && graph.objects < *objects
                };
                let alike = fewer.iter().filter(|(of, graph)| of == shape && graph.shuffled == *shuffled);
                if alike.map(|(_, graph)| graph).any(is_too_long) {
                    figures[at].failed = Some(Failed::TooLong);
                }
                // It would again.
                if figures[at].failed.is_some() {
                    continue;
                }
                let mut command = match at.checked_sub(pythons.len()).map(|at| Contender::ALL[at]) {
                    None => interpreter(&pythons[at], script.path(), called, *objects, *shuffled),
                    Some(contender) if !contender.has(*shape) => continue,
                    Some(contender) => child(contender, called, *objects, *shuffled)?,
                };
                match measure_once(&mut command, limit(arguments.limit, *objects))? {
                    Ok(one) => {
                        figures[at].push(&one);
                        if let Some(version) = one.version {
                            contenders[at] = format!("CPython {version}");
                        }
                    }
                    Err(failed) => figures[at].failed = Some(failed),
                }
            }
        }
    }
    let measured = measured.into_iter().map(|(_, graph)| graph).collect();
    let command = measure::shown(&child(Contender::Ours, "linked", 1_000_000, false)?);
    let (rounds, limit) = (arguments.rounds, arguments.limit);
    let results = Results { machine, rounds, limit, command, contenders, measured };
    crate::answer(&if arguments.json { report::json(&results) } else { report::text(&results) })
}

fn interpreter(python: &Path, script: &Path, shape: &str, objects: usize, shuffled: bool) -> Command {
    let mut command = Command::new(python);
    command.arg("-S").arg(script).arg(shape).arg(objects.to_string());
    command.arg(if shuffled { "shuffled" } else { "made" });
    command
}

fn child(contender: Contender, shape: &str, objects: usize, shuffled: bool) -> Result<Command> {
    let name = contender.to_possible_value().map(|name| name.get_name().to_owned()).unwrap_or_default();
    let executable =
        std::env::current_exe().map_err(|error| format!("this program cannot find itself: {error}"))?;
    let mut command = Command::new(executable);
    command.args(["bench", "cycles-child", "--contender", &name, "--shape", shape]);
    command.args(["--objects", &objects.to_string()]);
    if shuffled {
        command.arg("--shuffled");
    }
    Ok(command)
}

/// How much of a processor's time a measurement of so many objects may take.
fn limit(seconds: u32, objects: usize) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a few digits matter")]
    let millions = objects as f64 / 1e6;
    Duration::from_secs(seconds.into()).mul_f64(1.0 + millions)
}

/// One measurement, or why there is none.
fn measure_once(command: &mut Command, limit: Duration) -> Result<std::result::Result<Measured, Failed>> {
    let Some(output) = measure::on_one_processor(|| measure::output_within(command, limit))? else {
        return Ok(Err(Failed::TooLong));
    };
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.signal().is_some() && said.contains("overflowed its stack") {
        return Ok(Err(Failed::StackOverflow));
    }
    if !output.status.success() {
        return Err(format!("{} failed ({}): {said}", measure::shown(command), output.status));
    }
    let measured = serde_json::from_slice(&output.stdout);
    measured.map(Ok).map_err(|error| format!("a measurement cannot be read: {error}"))
}
