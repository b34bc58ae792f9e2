//! `cargo xtask bench verify`: how fast a recorded program is verified, and in how much memory.

use std::path::Path;
use std::process::Command;

use serde::Serialize;

use super::machine::Machine;
use super::measure::{self, on_one_processor};
use super::programs::{Choice, Sized, heading};
use super::statistics::{Rounds, median};
use super::table;
use crate::interpreters::Interpreter;
use crate::{Result, traces, workspace};

/// How much faster verifying is than the recorded run was, and how its memory grows with the program.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// How often to measure each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print the raw numbers as JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// A program's measurements, times in seconds.
#[derive(Serialize)]
struct Row {
    program: Sized,
    bare: Rounds,
    recorded: Rounds,
    verify: Rounds,
    verify_on_one_processor: Rounds,
    lengths: Vec<Length>,
}

/// What verifying a run of some length takes in memory.
#[derive(Default, Serialize)]
struct Length {
    size: u64,
    events: u64,
    trace_bytes: u64,
    most_live_blocks: u64,
    peak_bytes: u64,
}

/// The factor between the two lengths.
const LONGER: u64 = 4;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let replay = workspace::build_replay()?;
    let python = arguments.choice.interpreter()?;
    let machine = Machine::now();
    let temporary = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let programs = arguments.choice.calibrated(&python)?;
    let mut rows: Vec<Row> = programs.into_iter().map(Row::new).collect();
    // Each program has its own file, so that no run is measured that reads or replaces another's.
    let trace = |program: &Sized| temporary.path().join(format!("{}-{}.viv", program.name, program.size));
    for round in 1..=arguments.rounds {
        for row in &mut rows {
            eprintln!("round {round} of {}: {}", arguments.rounds, row.program.name);
            let trace = trace(&row.program);
            row.bare.push(measure::time(&mut row.program.bare(&python))?.wall);
            row.recorded.push(measure::time(&mut row.program.recorded(&replay, &python, &trace))?.wall);
            row.verify.push(measure::time(&mut verify(&replay, &trace))?.wall);
            let bound = on_one_processor(|| measure::time(&mut verify(&replay, &trace)))?;
            row.verify_on_one_processor.push(bound.wall);
        }
    }
    for row in &mut rows {
        eprintln!("memory: {}", row.program.name);
        for factor in [1, LONGER] {
            let program = row.program.times(factor);
            let trace = trace(&program);
            row.lengths.push(Length::measure(&program, &replay, &python, &trace)?);
            // Long ones are large.
            let _ = std::fs::remove_file(&trace);
        }
    }
    if arguments.json {
        let document = serde_json::json!({
            "schema": 1, "benchmark": "verify", "machine": machine, "python": python, "rounds": arguments.rounds,
            "programs": rows,
        });
        return crate::answer(&format!("{document:#}\n"));
    }
    let mut text = format!("{machine}\n{}\n", heading(&python));
    if let Some(row) = rows.first() {
        let trace = trace(&row.program);
        let commands = [row.program.recorded(&replay, &python, &trace), verify(&replay, &trace)];
        let lines: Vec<_> =
            commands.iter().map(|command| format!("  {}\n", measure::shown(command))).collect();
        text.push_str(&format!("commands, in the folder traces, for the first program:\n{}", lines.concat()));
    }
    text.push_str(&tables(&rows));
    crate::answer(&text)
}

/// Verifying, as a user has it: the whole process, all checks.
fn verify(replay: &Path, trace: &Path) -> Command {
    let mut command = Command::new(replay);
    command.arg("verify").arg(trace);
    command
}

impl Row {
    fn new(program: Sized) -> Self {
        Self {
            program,
            bare: Rounds::default(),
            recorded: Rounds::default(),
            verify: Rounds::default(),
            verify_on_one_processor: Rounds::default(),
            lengths: Vec::new(),
        }
    }
}

impl Length {
    fn measure(program: &Sized, replay: &Path, python: &Interpreter, trace: &Path) -> Result<Self> {
        measure::time(&mut program.recorded(replay, python, trace))?;
        let summary = traces::summary(trace)?;
        Ok(Self {
            size: program.size,
            events: summary.totals.events,
            trace_bytes: summary.bytes,
            most_live_blocks: summary.most_live,
            peak_bytes: measure::peak_memory(&mut verify(replay, trace))?,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
fn tables(rows: &[Row]) -> String {
    let mut seconds =
        table(&["seconds: median (range)", "bare", "recorded", "verify", "verify, 1 processor"]);
    let mut speed = table(&[
        "verify",
        "M events/s",
        "× faster than recorded",
        "than bare",
        "on 1 processor than recorded",
    ]);
    let mut memory = table(&[
        "memory of verify",
        "size",
        "events",
        "live blocks at most",
        "peak MB",
        "bytes per live block",
    ]);
    let mut all: [Vec<f64>; 4] = Default::default();
    for row in rows {
        let events = row.lengths.first().map_or(0, |length| length.events);
        let verify = row.verify.median();
        let values = [
            events as f64 / verify / 1e6,
            row.recorded.median() / verify,
            row.bare.median() / verify,
            row.recorded.median() / row.verify_on_one_processor.median(),
        ];
        for (all, value) in all.iter_mut().zip(values) {
            all.push(value);
        }
        let measured = [&row.bare, &row.recorded, &row.verify, &row.verify_on_one_processor];
        seconds.add_row(cells(&row.program.name, measured.map(|rounds| rounds.shown(3).to_string())));
        speed.add_row(cells(&row.program.name, values.map(|value| format!("{value:.1}"))));
        for length in &row.lengths {
            memory.add_row([
                row.program.name.clone(),
                length.size.to_string(),
                length.events.to_string(),
                length.most_live_blocks.to_string(),
                format!("{:.1}", length.peak_bytes as f64 / 1e6),
                format!("{:.0}", length.peak_bytes as f64 / length.most_live_blocks as f64),
            ]);
        }
    }
    speed.add_row(cells("median", all.map(|values| format!("{:.1}", median(&values)))));
    format!("{seconds}\n{speed}\n{memory}\n")
}

fn cells(name: &str, values: [String; 4]) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(values).collect()
}
