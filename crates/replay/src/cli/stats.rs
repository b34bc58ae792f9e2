//! `replay stats`.

mod csv;
mod curve;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use super::{page, told, traces_in};
use crate::stats::{Curve, Report, stats};

/// Tell how a program's objects live and die, by type: lifetimes, sizes, cascades.
///
/// For traces that hold objects: `replay record --tier objects`. The deaths are those of a replay, which are compared
/// with what CPython did; a trace in which one differs has no statistics.
///
/// Exit status: 0, or 2 if a trace could not be used.
#[derive(clap::Args)]
#[command(after_long_help = DEFINITIONS)]
pub(super) struct Arguments {
    /// Traces, or folders to search for traces (*.viv)
    #[arg(required = true, value_name = "TRACE|FOLDER")]
    traces: Vec<PathBuf>,
    /// How many rows the tables have at most, and how many of the longest cascades are told
    #[arg(long, value_name = "N", default_value_t = 15)]
    top: u32,
    /// Print JSON instead of text, with all types
    #[arg(long)]
    json: bool,
    /// Print CSV instead of text, a row for each type
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

// No line is longer than the help's.
const DEFINITIONS: &str = "\
What is counted (STATISTICS.md, in the crate's folder, has it in full):
  object     What CPython told the birth of. Types that have the same name are one.
  event      A call of the memory manager (allocate, resize, release), or a mark.
  bytes      Allocated: asked for by requests that did not fail; of a resize, what is more than
             before. An object's: those of the block that it was born in (not of a list's array or
             a dictionary's table).
  lifetime   From the birth to the moment when the deallocation begins. \"90 %\" is the age by
             which nine of ten of all objects *born* had died, to one part in 128. The longest,
             and all counts, are exact.
  inside     Died inside of another object's death: because that gave up the last reference to it
             (as was predicted); hidden, if no known reference explains it; or after program code
             (a finalizer, a birth) ran in that.
  alone      Died by what the program did; at tier objects, where it is not told which deaths
             happened in collections, also what these freed.
  at exit    Died after the interpreter had begun to finalize, if the trace tells when. For
             lifetimes and survival such an object outlived the program.
  cascade    What died inside of one outermost death, of objects that were born before that began.
             Its levels: how many of these deaths were inside of each other at most.
  recycled   Born in a block that had been another object's (kept in a free list, for example).";

/// One trace, and what came of it.
type Told = told::Told<(Report, Curve)>;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let traces = match traces_in(&arguments.traces) {
        Ok(traces) => traces,
        Err(status) => return status,
    };
    let top = usize::try_from(arguments.top).unwrap_or(usize::MAX);
    let told = told::each(&traces, |trace, progress| stats(trace, top, progress));
    let text = if arguments.json {
        json(&told)
    } else if arguments.csv {
        csv::csv(&told)
    } else {
        text::text(&told, top, page::width())
    };
    told::finish(&text, &told)
}

fn json(told: &[Told]) -> String {
    told::json(told, "statistics", |(report, _)| report)
}

#[cfg(test)]
mod tests;
