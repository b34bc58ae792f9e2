//! Fetching interpreters that are not here from Debian's packages, each suite into a folder of its own.
//!
//! What is fetched is what Debian ships, with its own C library beside it; only where the executables look for their
//! loader and their libraries is changed, so that they run on this system as any program does.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::Interpreter;
use crate::Result;

/// The name of a folder, the suite, and the packages.
const SUITES: [(&str, &str, &[&str]); 2] =
    [("debian-trixie", "trixie", &["python3.13"]), ("debian-sid", "sid", &["python3.14", "python3.15"])];

/// The package with CPython's own tests.
fn tests_of(package: &str) -> String {
    format!("lib{package}-testsuite")
}

/// Where they are kept, from one checkout to the next, and where the tests look for them.
pub(crate) fn cache() -> Result<PathBuf> {
    let home = env::var_os("HOME").ok_or("there is no place to keep interpreters: set HOME")?;
    Ok(PathBuf::from(home).join(".cache/vivarium/interpreters"))
}

/// The folders of executables in there.
pub(super) fn folders() -> Vec<PathBuf> {
    let fetched = cache().ok().and_then(|cache| fs::read_dir(cache).ok());
    let mut folders: Vec<_> =
        fetched.into_iter().flatten().flatten().map(|entry| entry.path().join("usr/bin")).collect();
    folders.sort();
    folders
}

/// Fetches the suites that are not there yet.
pub(super) fn run() -> Result<()> {
    let cache = cache()?;
    for (name, suite, packages) in SUITES {
        let folder = cache.join(name);
        let Some(partial) = begin(&folder)? else { continue };
        eprintln!("fetching {} of Debian's {suite} (a few hundred megabytes)", packages.join(", "));
        let all: Vec<_> =
            packages.iter().flat_map(|&package| [package.to_owned(), tests_of(package)]).collect();
        let mut bootstrap = Command::new("debootstrap");
        bootstrap.args(["--variant=minbase", &format!("--include={}", all.join(",")), suite]).arg(&partial);
        perform(&mut bootstrap)?;
        for unneeded in ["var/cache/apt", "var/lib/apt", "usr/share/doc", "usr/share/locale"] {
            // Only to save room.
            let _ = fs::remove_dir_all(partial.join(unneeded));
        }
        fs::rename(&partial, &folder).map_err(|error| format!("{}: {error}", partial.display()))?;
        for package in packages {
            adapt(&folder, package)?;
        }
    }
    super::build::run(&cache)
}

/// Makes an empty folder beside this one, which becomes this one when all is done; none if that has been done.
pub(super) fn begin(folder: &Path) -> Result<Option<PathBuf>> {
    if folder.exists() {
        eprintln!("{} is there", folder.display());
        return Ok(None);
    }
    fresh(folder).map(Some)
}

/// Makes that empty folder, whether the other is there or not.
pub(crate) fn fresh(folder: &Path) -> Result<PathBuf> {
    let mut partial = folder.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let failed = |error: io::Error| format!("{}: {error}", partial.display());
    match fs::remove_dir_all(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => fs::create_dir_all(&partial).map_err(failed)?,
    }
    Ok(partial)
}

/// Lets an executable find the loader and the libraries that it came with.
fn adapt(folder: &Path, package: &str) -> Result<()> {
    let executable = folder.join("usr/bin").join(package);
    let mut patch = Command::new("patchelf");
    patch.arg("--set-interpreter").arg(folder.join("lib64/ld-linux-x86-64.so.2"));
    // In the older of two ways of saying so, which holds for what is loaded later, too: the modules written in C.
    patch.arg("--force-rpath").arg("--set-rpath").arg(folder.join("usr/lib/x86_64-linux-gnu"));
    perform(patch.arg(&executable))?;
    let version =
        Interpreter::ask(&executable).ok_or_else(|| format!("{} does not run here", executable.display()))?;
    eprintln!("{}: {version}", executable.display());
    Ok(())
}

pub(crate) fn perform(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    // What it says is for who waits, not part of an answer.
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{name} is not here: install the package {name}"),
        _ => format!("{name}: {error}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let lines: Vec<_> = said.lines().rev().take(5).collect();
    let last = lines.into_iter().rev().collect::<Vec<_>>().join("\n  ");
    let rights =
        if name == "debootstrap" { "; to make a system in a folder takes root's rights" } else { "" };
    Err(format!("{name} failed ({}){rights}. It said:\n  {last}", output.status))
}
