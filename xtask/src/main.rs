//! Developers' chores: the corpus of traces, the interpreters of this machine, the soak, benchmarks against peers.
//!
//! Run as `cargo xtask`, see `.cargo/config.toml`.

mod bench;
mod conformance;
mod corpus;
mod fuzz;
mod interpreters;
mod kills;
mod mutants;
mod python;
mod soak;
mod traces;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developers' chores.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Corpus(corpus::Arguments),
    Interpreters(interpreters::Arguments),
    Fuzz(fuzz::Arguments),
    Kills(kills::Arguments),
    Mutants(mutants::Arguments),
    Python(python::Arguments),
    Soak(soak::Arguments),
    Conformance(conformance::Arguments),
    #[command(subcommand)]
    Bench(bench::Command),
}

/// What went wrong, as a sentence that says what to do. Chores end at the first failure, so nobody needs to tell
/// kinds of failures apart.
type Result<T, E = String> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Corpus(arguments) => corpus::run(&arguments),
        Command::Interpreters(arguments) => interpreters::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Kills(arguments) => kills::run(&arguments),
        Command::Mutants(arguments) => mutants::run(&arguments),
        Command::Python(arguments) => python::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::Bench(command) => bench::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output. A reader who has left (a closed pipe) is no error: what was asked for has been answered.
fn answer(text: &str) -> Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}
