//! `cargo xtask bench`: how fast, and against whom.
//!
//! Numbers of one machine on one day are worth little; ratios to peers that ran in turns with us on the same work are
//! worth more. So each benchmark runs its contenders interleaved (A B C A B C), shows medians with their spread, prints
//! the machine and the commands, and never fails because a number is slow.

mod cycles;
mod machine;
mod measure;
mod memray;
mod pool;
mod programs;
mod rc;
mod record;
mod statistics;
mod verify;

pub(crate) use measure::run as run_timed;
pub(crate) use statistics::median;

use crate::Result;

/// Measure against peers; best on a machine that does nothing else.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Cycles(cycles::Arguments),
    Pool(pool::Arguments),
    Rc(rc::Arguments),
    Record(record::Arguments),
    Verify(verify::Arguments),
    /// What a single measurement of `cycles` runs in.
    #[cfg(feature = "peers")]
    #[command(hide = true)]
    CyclesChild(cycles::ChildArguments),
    /// What a single measurement of `pool` runs in.
    #[cfg(feature = "peers")]
    #[command(hide = true)]
    PoolChild(pool::ChildArguments),
    /// What a single measurement of `rc` runs in.
    #[cfg(feature = "peers")]
    #[command(hide = true)]
    RcChild(rc::ChildArguments),
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Cycles(arguments) => cycles::run(arguments),
        Command::Pool(arguments) => pool::run(arguments),
        Command::Rc(arguments) => rc::run(arguments),
        Command::Record(arguments) => record::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        #[cfg(feature = "peers")]
        Command::CyclesChild(arguments) => cycles::run_child(arguments),
        #[cfg(feature = "peers")]
        Command::PoolChild(arguments) => pool::run_child(arguments),
        #[cfg(feature = "peers")]
        Command::RcChild(arguments) => rc::run_child(arguments),
    }
}

/// A command that builds this program with the peers and runs this benchmark in it.
#[cfg(not(feature = "peers"))]
fn with_peers(benchmark: &str) -> std::process::Command {
    let mut command = crate::workspace::cargo();
    command.args(["run", "--quiet", "--release", "--package", "xtask", "--features", "peers", "--", "bench"]);
    command.arg(benchmark);
    command
}

/// Hands over to such a command.
#[cfg(not(feature = "peers"))]
fn hand_over(mut command: std::process::Command) -> Result<()> {
    use std::os::unix::process::CommandExt;

    eprintln!("building xtask with the peers (the first time takes a minute or two)");
    Err(format!("cargo cannot be run: {}", command.exec()))
}

/// A table as the benchmarks print them: the first column is text, the others are numbers.
fn table(head: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(head);
    for index in 1..head.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    table
}
