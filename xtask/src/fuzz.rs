//! `cargo xtask fuzz`: the fuzz targets, from seeds of our own.

use std::process::Command;

use crate::Result;
use crate::workspace::{cargo, root};

/// Throw bytes at everything that reads foreign ones, guided by coverage.
///
/// Needs a nightly toolchain and `cargo install cargo-fuzz`. What it finds is kept under xtask/fuzz/artifacts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long to try each target, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// The targets [default: all]
    targets: Vec<String>,
}

/// The targets, in the order in which they are tried.
const TARGETS: [&str; 2] = ["read", "replay"];

/// The largest input: some hundred events.
const MAX_LENGTH: u32 = 16 << 10;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = root().join("xtask/fuzz");
    if let Some(unknown) = arguments.targets.iter().find(|target| !TARGETS.contains(&target.as_str())) {
        return Err(format!("there is no fuzz target {unknown}: there are {}", TARGETS.join(", ")));
    }
    for target in TARGETS {
        if !arguments.targets.is_empty() && !arguments.targets.iter().any(|wanted| wanted == target) {
            continue;
        }
        let corpus = folder.join("corpus").join(target);
        // The writer stores streams uncompressed, and the reader passes over checksums, under this flag only.
        succeed(
            cargo()
                .args(["run", "--quiet", "--bin", "seed", "--manifest-path"])
                .arg(folder.join("Cargo.toml"))
                .arg("--")
                .arg(&corpus)
                .env("RUSTFLAGS", "--cfg fuzzing --cap-lints allow"),
            "the seeds cannot be written: see above",
        )?;
        succeed(
            // Through the PATH, where rustup understands the toolchain.
            Command::new("cargo")
                .env_remove("RUSTUP_TOOLCHAIN")
                .args(["+nightly", "fuzz", "run", "--fuzz-dir"])
                .arg(&folder)
                .arg(target)
                .arg("--")
                .args([format!("-max_total_time={}", arguments.seconds), format!("-max_len={MAX_LENGTH}")])
                .current_dir(root()),
            "the fuzzer stopped: if it found something, the input is under xtask/fuzz/artifacts; if it could not start, \
             install a nightly toolchain and `cargo install cargo-fuzz`",
        )?;
    }
    Ok(())
}

fn succeed(command: &mut Command, otherwise: &str) -> Result<()> {
    let status = command.status().map_err(|error| format!("cargo cannot be run: {error}"))?;
    if status.success() { Ok(()) } else { Err(otherwise.to_owned()) }
}
