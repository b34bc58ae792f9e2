//! `cargo xtask bench cycles`: full collections of the same graphs in CPython, in our typed heap and in its peers.
//!
//! As for `bench rc`, the peers are compiled for this command only.

#[cfg(feature = "peers")]
mod arena;
#[cfg(feature = "peers")]
mod child;
#[cfg(feature = "peers")]
mod ours;
#[cfg(feature = "peers")]
mod parent;
#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
mod report;
#[cfg(feature = "peers")]
mod work;

use std::path::PathBuf;

use crate::Result;

#[cfg(feature = "peers")]
pub(crate) use child::{Arguments as ChildArguments, run as run_child};

/// Collect graphs of which all live, and of which all is garbage: CPythons, our heap, rust-cc, bacon_rajan_cc, dumpster, gc and gc-arena.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// An interpreter to compare with; may be given several times
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: Vec<PathBuf>,
    /// How many objects
    #[arg(long, value_name = "N", default_values_t = [100_000, 1_000_000])]
    objects: Vec<usize>,
    /// Once also with ten million objects
    #[arg(long)]
    huge: bool,
    /// How often to measure each
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How much of a processor's time a measurement may take, with what comes before it: so many seconds, and as many for each
    /// million objects
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print the raw numbers as JSON instead of tables
    #[arg(long)]
    json: bool,
}

#[cfg(feature = "peers")]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    parent::run(arguments)
}

#[cfg(not(feature = "peers"))]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut command = super::with_peers("cycles");
    command.arg("--rounds").arg(arguments.rounds.to_string());
    command.arg("--limit").arg(arguments.limit.to_string());
    for python in &arguments.python {
        command.arg("--python").arg(python);
    }
    for objects in &arguments.objects {
        command.arg("--objects").arg(objects.to_string());
    }
    if arguments.huge {
        command.arg("--huge");
    }
    if arguments.json {
        command.arg("--json");
    }
    super::hand_over(command)
}
