//! `cargo xtask bench record`: what recording costs a program.

use std::path::Path;

use serde::Serialize;

use super::machine::Machine;
use super::measure::{self, on_one_processor};
use super::memray::Memray;
use super::programs::{Choice, Sized, Tier, bare, heading, recorded};
use super::statistics::{Rounds, median};
use super::table;
use crate::interpreters::Interpreter;
use crate::{Result, traces, workspace};

/// How much longer programs take when they are recorded, and how large traces are; memray beside it.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// What to record [default: what `replay record` records unless told otherwise]
    #[arg(long, value_enum)]
    tier: Option<Tier>,
    /// How often to measure each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Leave memray out
    #[arg(long)]
    no_memray: bool,
    /// Print the raw numbers as JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// One way of running a program, in seconds.
#[derive(Default, Serialize)]
struct Times {
    wall: Rounds,
    wall_on_one_processor: Rounds,
    /// Of all processes, while they might use all processors.
    cpu: Rounds,
}

impl Times {
    fn measure(&mut self, command: impl Fn() -> std::process::Command) -> Result<()> {
        let took = measure::time(&mut command())?;
        self.wall.push(took.wall);
        self.cpu.push(took.cpu);
        let bound = on_one_processor(|| measure::time(&mut command()))?;
        self.wall_on_one_processor.push(bound.wall);
        Ok(())
    }

    /// Medians of wall time, of wall time on one processor and of processors' time.
    fn medians(&self) -> [f64; 3] {
        [&self.wall, &self.wall_on_one_processor, &self.cpu].map(Rounds::median)
    }

    fn over(&self, bare: &Self) -> [f64; 3] {
        let (ours, theirs) = (self.medians(), bare.medians());
        [0, 1, 2].map(|at| ours[at] / theirs[at])
    }
}

/// A program's measurements.
#[derive(Serialize)]
struct Row {
    program: Sized,
    bare: Times,
    recorded: Times,
    memray: Times,
    events: u64,
    trace_bytes: u64,
    memray_bytes: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let replay = workspace::build_replay()?;
    let python = arguments.choice.interpreter()?;
    let memray = if arguments.no_memray { Err("left out".to_owned()) } else { Memray::provide(&python) };
    let machine = Machine::now();
    let temporary = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
    let trace = temporary.path().join("bench.viv");
    let capture = temporary.path().join("bench.bin");
    let programs = arguments.choice.calibrated(&python)?;
    let mut rows: Vec<Row> = programs.into_iter().map(Row::new).collect();
    for round in 1..=arguments.rounds {
        for row in &mut rows {
            eprintln!("round {round} of {}: {}", arguments.rounds, row.program.name);
            row.bare.measure(|| row.program.bare(&python))?;
            row.recorded.measure(|| row.program.recorded_at(arguments.tier, &replay, &python, &trace))?;
            if let Ok(memray) = &memray {
                row.memray.measure(|| memray.run(&row.program, &capture))?;
                row.memray_bytes = std::fs::metadata(&capture).ok().map(|metadata| metadata.len());
            }
            if round == arguments.rounds {
                let summary = traces::summary(&trace)?;
                (row.events, row.trace_bytes) = (summary.totals.events_of_all_kinds(), summary.bytes);
            }
        }
    }
    let startup = Startup::measure(&replay, arguments.tier, &python, memray.as_ref().ok(), temporary.path())?;
    if arguments.json {
        let document = serde_json::json!({
            "schema": 1, "benchmark": "record", "machine": machine, "python": python, "tier": arguments.tier, "rounds": arguments.rounds,
            "memray": memray.as_ref().map(|memray| &memray.version).ok(), "empty_script": startup, "programs": rows,
        });
        return crate::answer(&format!("{document:#}\n"));
    }
    let mut text = format!("{machine}\n{}\n", heading(&python));
    match &memray {
        Ok(memray) => text.push_str(&format!("{}\n", memray.version)),
        Err(why) => text.push_str(&format!("memray is not measured: {why}\n")),
    }
    if let Some(row) = rows.first() {
        text.push_str(&commands(
            row,
            arguments.tier,
            &replay,
            &python,
            memray.as_ref().ok(),
            &trace,
            &capture,
        ));
    }
    text.push_str(&tables(&rows, memray.is_ok()));
    text.push_str(&startup.table());
    crate::answer(&text)
}

impl Row {
    fn new(program: Sized) -> Self {
        let times = Times::default;
        Self {
            program,
            bare: times(),
            recorded: times(),
            memray: times(),
            events: 0,
            trace_bytes: 0,
            memray_bytes: None,
        }
    }
}

/// How long an empty script takes: what starting costs, which is part of all times.
#[derive(Default, Serialize)]
struct Startup {
    bare: Rounds,
    recorded: Rounds,
    memray: Rounds,
}

impl Startup {
    fn measure(
        replay: &Path,
        tier: Option<Tier>,
        python: &Interpreter,
        memray: Option<&Memray>,
        folder: &Path,
    ) -> Result<Self> {
        const ROUNDS: usize = 20;
        let script = folder.join("empty.py");
        std::fs::write(&script, "").map_err(|error| format!("{}: {error}", script.display()))?;
        let words = [script.display().to_string()];
        let mut times = Self::default();
        for _ in 0..ROUNDS {
            let (trace, capture) = (folder.join("empty.viv"), folder.join("empty.bin"));
            times.bare.push(measure::time(&mut bare(python, &words))?.wall);
            times.recorded.push(measure::time(&mut recorded(replay, tier, &trace, python, &words))?.wall);
            if let Some(memray) = memray {
                times.memray.push(measure::time(&mut memray.run_words(&words, &capture))?.wall);
            }
        }
        Ok(times)
    }

    fn table(&self) -> String {
        let mut seconds = table(&["seconds: median (range)", "bare", "recorded", "memray"]);
        let shown = |rounds: &Rounds| rounds.shown(3).to_string();
        seconds.add_row([
            "an empty script".to_owned(),
            shown(&self.bare),
            shown(&self.recorded),
            shown(&self.memray),
        ]);
        format!("What starting costs, which is part of all times.\n{seconds}\n")
    }
}

fn commands(
    row: &Row,
    tier: Option<Tier>,
    replay: &Path,
    python: &Interpreter,
    memray: Option<&Memray>,
    trace: &Path,
    capture: &Path,
) -> String {
    let mut commands = vec![row.program.bare(python), row.program.recorded_at(tier, replay, python, trace)];
    commands.extend(memray.map(|memray| memray.run(&row.program, capture)));
    let lines: Vec<_> = commands.iter().map(|command| format!("  {}\n", measure::shown(command))).collect();
    format!("commands, in the folder traces, for the first program:\n{}", lines.concat())
}

fn tables(rows: &[Row], memray: bool) -> String {
    let mut seconds = table(&[
        "seconds: median (range)",
        "size",
        "bare",
        "recorded",
        "memray",
        "bare, 1 processor",
        "recorded",
    ]);
    let mut ratios =
        table(&["× bare", "wall", "1 processor", "CPU time", "memray: wall", "1 processor", "CPU time"]);
    let mut sizes = table(&["size", "events", "trace bytes", "per event", "memray bytes", "per event"]);
    let mut all: [Vec<f64>; 6] = Default::default();
    for row in rows {
        let name = row.program.name.clone();
        seconds.add_row([
            name.clone(),
            row.program.size.to_string(),
            row.bare.wall.shown(2).to_string(),
            row.recorded.wall.shown(2).to_string(),
            row.memray.wall.shown(2).to_string(),
            row.bare.wall_on_one_processor.shown(2).to_string(),
            row.recorded.wall_on_one_processor.shown(2).to_string(),
        ]);
        let values = [row.recorded.over(&row.bare), row.memray.over(&row.bare)].concat();
        for (all, &value) in all.iter_mut().zip(&values) {
            all.push(value);
        }
        ratios.add_row(ratio_row(name.clone(), &values));
        let per_event = |bytes: Option<u64>| bytes.map_or("–".to_owned(), |bytes| per(bytes, row.events));
        sizes.add_row([
            name,
            row.events.to_string(),
            row.trace_bytes.to_string(),
            per_event(Some(row.trace_bytes)),
            row.memray_bytes.map_or("–".to_owned(), |bytes| bytes.to_string()),
            per_event(row.memray_bytes),
        ]);
    }
    let medians: Vec<f64> = all.iter().map(|values| median(values)).collect();
    ratios.add_row(ratio_row("median".to_owned(), &medians));
    let note = if memray {
        "What favours us: memray records more (the stack of each allocation, and calls of malloc and mmap as well), and \
         compresses its file after the program's end, which is in its time.\n"
    } else {
        ""
    };
    format!("{seconds}\n{ratios}\n{sizes}\n{note}")
}

fn ratio_row(name: String, values: &[f64]) -> Vec<String> {
    let shown = |&value: &f64| if value.is_finite() { format!("{value:.2}") } else { "–".to_owned() };
    std::iter::once(name).chain(values.iter().map(shown)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn per(bytes: u64, events: u64) -> String {
    format!("{:.2}", bytes as f64 / events as f64)
}
