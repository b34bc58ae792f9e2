//! `cargo xtask kills`: killing recorded programs and recorders, again and again.

use crate::Result;
use crate::workspace::cargo;

/// Kill recorded programs, and recorders, at random moments, and see what the traces hold.
///
/// The test suite does it a few times; this is the same test, many times over.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many programs to kill while they are recorded
    #[arg(long, default_value_t = 500, value_name = "N")]
    program: u32,
    /// How often to kill a recorder, and how often both of its processes
    #[arg(long, default_value_t = 100, value_name = "N")]
    recorder: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let status = cargo()
        .args(["test", "--package", "replay", "--test", "workspace", "--", "kills::", "--nocapture"])
        // One at a time: each measures how long its program takes.
        .arg("--test-threads=1")
        .env("VIVARIUM_KILLS", format!("{},{}", arguments.program, arguments.recorder))
        .status()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if status.success() { Ok(()) } else { Err("a trace does not hold what it should: see above".to_owned()) }
}
