//! `cargo xtask bench`: how fast, and against whom.
//!
//! Numbers of one machine on one day are worth little; ratios to peers that ran in turns with us on the same work are
//! worth more. So each benchmark runs its contenders interleaved (A B C A B C), shows medians with their spread, prints
//! the machine and the commands, and never fails because a number is slow.

mod machine;
mod measure;
mod memray;
mod pool;
mod programs;
mod record;
mod statistics;
mod verify;

pub(crate) use measure::run as run_timed;
pub(crate) use statistics::median;

use crate::Result;

/// Measure against peers; best on a machine that does nothing else.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Pool(pool::Arguments),
    Record(record::Arguments),
    Verify(verify::Arguments),
    /// What a single measurement of `pool` runs in.
    #[cfg(feature = "peers")]
    #[command(hide = true)]
    PoolChild(pool::ChildArguments),
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::Pool(arguments) => pool::run(arguments),
        Command::Record(arguments) => record::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        #[cfg(feature = "peers")]
        Command::PoolChild(arguments) => pool::run_child(arguments),
    }
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
