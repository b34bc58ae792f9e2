//! The command line: arguments in, text out, exit status. Everything else is in the library.

mod completions;
mod explain;
mod info;
mod junit;
mod manuals;
mod numbers;
mod page;
mod record;
mod stats;
mod told;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Record what a Python program does to its memory manager, and verify that a Rust implementation of CPython's memory
/// manager gives the same answers.
#[derive(Parser)]
#[command(name = "replay", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Record(record::Arguments),
    Verify(verify::Arguments),
    Info(info::Arguments),
    Stats(stats::Arguments),
    Explain(explain::Arguments),
    Completions(completions::Arguments),
    Manuals(manuals::Arguments),
}

/// The input could not be used.
const UNUSABLE: u8 = 2;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::try_parse().unwrap_or_else(|error| {
        // Commands that run commands say with a status of its own that it was not the command that failed.
        let records = std::env::args_os().nth(1).is_some_and(|word| word == "record");
        let _ = error.print();
        std::process::exit(if records && error.use_stderr() {
            record::FAILED.into()
        } else {
            error.exit_code()
        })
    });
    match arguments.command {
        Command::Record(arguments) => record::run(arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Info(arguments) => info::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, Arguments::command()),
        Command::Manuals(arguments) => manuals::run(&arguments, Arguments::command()),
    }
}

/// Says on standard error what went wrong. If even that cannot be written there is nobody to tell.
fn complain(message: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "replay: {message}");
}

/// The traces in what was given on the command line; else it is said what is wrong with that, and the exit status is
/// answered.
fn traces_in(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ExitCode> {
    crate::verify::find_traces(paths).map_err(|error| {
        complain(error);
        ExitCode::from(UNUSABLE)
    })
}

/// Writes to standard output, all at once. A reader who has left (a closed pipe) is no error: what was asked for has
/// been answered.
fn answer(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
