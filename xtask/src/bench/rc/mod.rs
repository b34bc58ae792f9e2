//! `cargo xtask bench rc`: typed pointers against others that count, and one that does not.
//!
//! As for `bench pool`, the peers are compiled for this command only.

#[cfg(feature = "peers")]
mod allocator;
#[cfg(feature = "peers")]
mod child;
#[cfg(feature = "peers")]
mod parent;
#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "peers")]
mod report;
#[cfg(feature = "peers")]
mod work;

use crate::Result;

#[cfg(feature = "peers")]
pub(crate) use child::{Arguments as ChildArguments, run as run_child};

/// Clone, drop and allocate counted pointers: ours, std's `Rc` on two allocators, rust-cc, bacon_rajan_cc, gc and
/// dumpster.
#[derive(clap::Args)]
pub(crate) struct Arguments {
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

#[cfg(not(feature = "peers"))]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut command = super::with_peers("rc");
    command.arg("--rounds").arg(arguments.rounds.to_string());
    if arguments.json {
        command.arg("--json");
    }
    super::hand_over(command)
}
