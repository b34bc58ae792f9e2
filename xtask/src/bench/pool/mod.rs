//! `cargo xtask bench pool`: the allocator against others, on what real programs asked for.
//!
//! The peers are C code, so they are compiled for this command only: without the feature `peers` it builds this
//! program again with it, and hands over.

#[cfg(feature = "peers")]
mod child;
#[cfg(feature = "peers")]
mod contenders;
#[cfg(feature = "peers")]
mod libpython;
#[cfg(feature = "peers")]
mod parent;
#[cfg(feature = "peers")]
mod report;
#[cfg(feature = "peers")]
mod sequence;

use std::path::PathBuf;

use crate::Result;

#[cfg(feature = "peers")]
pub(crate) use child::{Arguments as ChildArguments, run as run_child};

/// Run recorded sequences of requests through our allocator and through others.
///
/// The others are CPython's own, from a libpython (VIVARIUM_LIBPYTHON names one; otherwise the system's is preferred),
/// mimalloc, jemalloc, the C library's, and one that does nothing, to show what the loop itself costs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The sequences [default: longer runs of some programs of the corpus, recorded once into the target folder; the
    /// largest bundled traces if there is no Python]
    #[arg(value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// How often to measure each
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print the raw numbers as JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[cfg(feature = "peers")]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    parent::run(arguments)
}

/// Builds this program with the peers and hands over to it.
#[cfg(not(feature = "peers"))]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut command = super::with_peers("pool");
    command.arg("--rounds").arg(arguments.rounds.to_string());
    if arguments.json {
        command.arg("--json");
    }
    // Cargo is run in the folder of the workspace.
    for trace in &arguments.traces {
        command.arg(std::path::absolute(trace).map_err(|error| format!("{}: {error}", trace.display()))?);
    }
    super::hand_over(command)
}
