//! `replay explain`.

mod dot;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use super::{page, told, traces_in};
use crate::explain::{Options, Report, Wanted, explain};

/// Tell what the collector of cycles did, and why: when it ran, what it found, what that was made of, who is left.
///
/// For traces that hold collections: `replay record --tier collections`, or a higher tier. (Of CPython 3.11 at tier `counts` it
/// is only told how many objects each found, and who died in it.) What is told is computed by a replay from what the program
/// did; whether CPython did the same is said where it was observed.
///
/// Exit status: 0, or 2 if a trace could not be used, or did not have what --why-alive and --collection ask for.
#[derive(clap::Args)]
#[command(after_long_help = DEFINITIONS)]
pub(super) struct Arguments {
    /// Traces, or folders to search for traces (*.viv)
    #[arg(required = true, value_name = "TRACE|FOLDER")]
    traces: Vec<PathBuf>,
    /// How many rows the tables have at most
    #[arg(long, value_name = "N", default_value_t = 15)]
    top: u32,
    /// Also tell what holds the objects of a type, or the one of a number: shortest ways from outside
    #[arg(long, value_name = "TYPE|ID")]
    why_alive: Option<String>,
    /// As of which collection --why-alive tells that, by its number [default: the last full one before the interpreter ended,
    /// or the one that shows most]
    #[arg(long, value_name = "N", requires = "why_alive")]
    collection: Option<u64>,
    /// Print JSON instead of text, with all that is known
    #[arg(long)]
    json: bool,
    /// Print examples of the cycles for Graphviz; with --why-alive, those ways
    #[arg(long, conflicts_with = "json")]
    dot: bool,
}

// No line is longer than the help's.
const DEFINITIONS: &str = "\
What is told (COLLECTIONS.md, in the crate's folder, has it in full):
  object       A container that came to the collector's lists, numbered in the order in which
               collections saw them first. Types that have the same name are one.
  event        A call of the memory manager (allocate, resize, release), or a mark.
  bytes        Of the blocks that objects are in, the collector's header included (not of a
               list's array or a dictionary's table).
  due          Its generation's count was above the threshold. From CPython 3.12 on it then waits
               for a safe point.
  held back    A full collection that was due by its count, but less than a quarter of the old
               objects was new: a younger generation was collected instead.
  cycle        Objects each of which can be reached from each other, by the types along a
               shortest way round. What hangs off it is in no cycle, and dies with it.
  ⇒            The reference that closed the cycle: to its youngest object.
  waited       At most so long: since its youngest object came to the lists, or since a full
               collection found one of them alive. It may have become garbage only just before.
  outside      References that no container explains which the collection looked at: from the
               stack, from C, from what is no container; if it was no full one, also from older
               containers.
  alive        Memory not given back, when the interpreter began to finalize and when the
               recording ended. (Some may be kept for other objects.)";

/// One trace, and what came of it.
type Told = told::Told<Report>;

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let traces = match traces_in(&arguments.traces) {
        Ok(traces) => traces,
        Err(status) => return status,
    };
    let top = usize::try_from(arguments.top).unwrap_or(usize::MAX);
    let wanted = arguments.why_alive.as_ref().map(|text| match text.parse() {
        Ok(object) => Wanted::Object(object),
        Err(_) => Wanted::Type(text.clone()),
    });
    let options = Options { top, why_alive: wanted, as_of: arguments.collection };
    let told = told::each(&traces, |trace, progress| explain(trace, &options, progress));
    let text = if arguments.json {
        json(&told)
    } else if arguments.dot {
        dot::dot(&told, top)
    } else {
        text::text(&told, top, page::width())
    };
    told::finish(&text, &told)
}

fn json(told: &[Told]) -> String {
    told::json(told, "explanation", |report| report)
}

#[cfg(test)]
mod tests;
