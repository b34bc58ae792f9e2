//! `replay info`.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use trace::{Frame, Reader};

use super::{UNUSABLE, answer, complain, numbers};

/// Show what a trace holds, and what it discloses.
///
/// Exit status: 0, or 2 if the trace could not be read to its end.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The trace
    trace: PathBuf,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let path = arguments.trace.display();
    if arguments.trace.is_dir() {
        complain(format_args!("{path} is a folder: name one of the traces in it"));
        return ExitCode::from(UNUSABLE);
    }
    let opened = File::open(&arguments.trace).map_err(trace::Error::Io);
    let mut reader = match opened.and_then(|file| Reader::new(BufReader::new(file))) {
        Ok(reader) => reader,
        Err(error) => {
            complain(format_args!("{path}: {error}"));
            return ExitCode::from(UNUSABLE);
        }
    };
    let mut frame = Frame::default();
    let mut frames = 0_u64;
    let error = loop {
        match reader.read(&mut frame) {
            Ok(true) => frames += 1,
            Ok(false) => break None,
            Err(error) => break Some(error),
        }
    };
    let text = if arguments.json { json(&reader, frames, error.as_ref()) } else { text(&reader, frames) };
    if let Err(error) = answer(&text) {
        complain(format_args!("standard output: {error}"));
        return ExitCode::from(UNUSABLE);
    }
    if let Some(error) = error {
        complain(format_args!("{path}: {error}"));
        return ExitCode::from(UNUSABLE);
    }
    ExitCode::SUCCESS
}

/// What somebody learns who is given the trace.
fn disclosed(header: &trace::Header) -> Vec<&'static str> {
    let mut disclosed =
        vec!["the program's short name", "sizes and order of all memory requests", "addresses"];
    if header.has_collections() {
        disclosed.push("the names of types and what objects referred to when they were looked at");
    }
    if header.tier >= trace::Tier::Objects {
        disclosed.push("the names of types and what objects referred to when they died");
    }
    if header.program.command.is_some() {
        disclosed.push("the command line");
    }
    if header.interpreter.executable.is_some() {
        disclosed.push("where the interpreter lies");
    }
    if header.parent.is_some() {
        disclosed.push("the name of its parent's trace");
    }
    disclosed.extend([
        "when the recording began, how long it took and how it ended",
        "how the interpreter was built",
    ]);
    disclosed.push("how many processors there are");
    disclosed
}

fn json<R: std::io::Read>(reader: &Reader<R>, frames: u64, error: Option<&trace::Error>) -> String {
    let totals = reader.totals();
    let document = serde_json::json!({
        "schema": 1,
        "format": reader.version().to_string(),
        "header": reader.header(),
        "totals": totals,
        "trailer": reader.trailer(),
        "frames": frames,
        "bytes": reader.bytes_read(),
        "bytes_per_event": numbers::ratio(reader.bytes_read(), totals.events),
        "disclosed": disclosed(reader.header()),
        "error": error.map(ToString::to_string),
    });
    format!("{document:#}\n")
}

/// What is told beside events, of what.
fn beside(header: &trace::Header, totals: &trace::Totals) -> Vec<(&'static str, Vec<(&'static str, u64)>)> {
    let mut beside = Vec::new();
    if header.tier >= trace::Tier::Objects {
        let mut told = vec![("births", totals.objects), ("references", totals.edges)];
        if header.tier >= trace::Tier::Counts {
            told.push(("changes", totals.changes));
        }
        beside.push(("objects", told));
    }
    if header.has_collections() {
        let is_all = header.tier == trace::Tier::Collections;
        let arrivals = if is_all { totals.objects } else { totals.arrivals };
        beside.push(("collections", vec![("arrivals", arrivals), ("references", totals.references)]));
    }
    beside
}

fn text<R: std::io::Read>(reader: &Reader<R>, frames: u64) -> String {
    use std::fmt::Write;
    let header = reader.header();
    let totals = reader.totals();
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<13} {}", value.replace(char::is_control, " "));
    };
    let command = header.program.command.as_ref().map(|command| format!(": {}", command.join(" ")));
    line("program", header.program.name.clone() + &command.unwrap_or_default());
    line("interpreter", format!("{} {}", header.interpreter.implementation, header.interpreter.build));
    if let Some(executable) = &header.interpreter.executable {
        line("", executable.clone());
    }
    let machine = &header.machine;
    line("machine", format!("{} {}, {} processors", machine.os, machine.arch, machine.processors));
    let allocator = &header.allocator;
    line(
        "allocator",
        format!(
            "up to {} bytes in classes of {}, pools of {}, arenas of {}, empty arenas: {}",
            allocator.small_limit,
            allocator.alignment,
            allocator.pool_size,
            allocator.arena_size,
            serde_json::to_value(allocator.empty_arenas)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default(),
        ),
    );
    if let Some(parent) = &header.parent {
        line(
            "forked from",
            format!(
                "{}, after {} events ({} frames)",
                parent.trace,
                numbers::count(parent.events),
                parent.frames
            ),
        );
    }
    line("tier", format!("{}: {}", header.tier.name(), header.tier_reason));
    let ending = match reader.trailer() {
        Some(trailer) => {
            #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
            let seconds = trailer.microseconds as f64 / 1e6;
            let how = match trailer.ending {
                trace::Ending::Exited(status) => format!("exited with status {status}"),
                trace::Ending::Signalled(signal) => format!("was ended by signal {signal}"),
                trace::Ending::Stopped => "went on when the recording was stopped".to_owned(),
                trace::Ending::Unknown => "ended, nobody saw how".to_owned(),
            };
            format!("{how} after {seconds:.2} s of recording")
        }
        None => "not recorded: the trace is not whole".to_owned(),
    };
    line("ending", ending);
    line("recorded by", header.recorder.clone());
    line("format", format!("{}, {} frames", reader.version(), numbers::count(frames)));
    let per_event = numbers::ratio(reader.bytes_read(), totals.events);
    line("size", format!("{}, {per_event:.2} bytes per event", numbers::bytes(reader.bytes_read())));
    line("events", numbers::count(totals.events));
    line("  allocate", numbers::count(totals.allocates));
    line("  resize", numbers::count(totals.resizes));
    line("  release", numbers::count(totals.releases));
    line("  mark", numbers::count(totals.marks));
    for (heading, told) in beside(header, totals) {
        line(heading, String::new());
        told.into_iter().for_each(|(name, number)| line(&format!("  {name}"), numbers::count(number)));
    }
    line("arenas", numbers::count(totals.arenas));
    line("facts", String::new());
    line("  placement", numbers::count(totals.placement_facts));
    line("  arenas", numbers::count(totals.arena_facts));
    if header.has_collections() {
        line("  schedule", numbers::count(totals.schedule_facts));
        line("  partition", numbers::count(totals.partition_facts));
        line("  survivors", numbers::count(totals.survivor_facts));
        line("  stats", numbers::count(totals.stats_facts));
    }
    if header.tier >= trace::Tier::Objects {
        line("  deaths", numbers::count(totals.death_facts));
    }
    if header.tier >= trace::Tier::Counts {
        line("  counts", numbers::count(totals.count_facts));
    }
    line("discloses", disclosed(header).join(", "));
    out
}
