//! Compiles `preload/` into the shared library that `record` embeds.
//!
//! Stable cargo does not hand the file of a `cdylib` dependency to the crate that needs it, so rustc is called
//! here directly. The folder has no dependencies but `core` and the C library, which makes that one command.

use std::error::Error;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// The targets whose hooks, system call numbers and dynamic loader the preload knows.
fn is_supported() -> bool {
    let is = |name: &str, values: &[&str]| env::var(name).is_ok_and(|v| values.contains(&v.as_str()));
    is("CARGO_CFG_TARGET_OS", &["linux"])
        && is("CARGO_CFG_TARGET_ENV", &["gnu"])
        && is("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"])
        && is("CARGO_CFG_TARGET_POINTER_WIDTH", &["64"])
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=preload");
    println!("cargo::rerun-if-changed=build.rs");
    let library = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?).join("preload.so");
    if !is_supported() {
        // The crate still compiles; starting a session reports that nothing can be recorded here.
        fs::write(&library, b"")?;
        return Ok(());
    }
    let target = env::var("TARGET")?;
    let mut rustc = Command::new(env::var_os("RUSTC").ok_or("RUSTC is not set")?);
    rustc
        .args(["--edition=2024", "--crate-name=vivarium_preload", "--crate-type=cdylib"])
        .args(["-Copt-level=3", "-Cpanic=abort", "-Cstrip=symbols", "-Ccodegen-units=1"])
        .args(["--target", &target, "preload/lib.rs", "-o"])
        .arg(&library);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut argument = OsString::from("-Clinker=");
        argument.push(linker);
        rustc.arg(argument);
    }
    let status = rustc.status()?;
    if !status.success() {
        return Err(format!("compiling the preload library failed: {status}").into());
    }
    Ok(())
}
