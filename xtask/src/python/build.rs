//! Building it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Version, edits};
use crate::Result;
use crate::interpreters::build::{Package, make, unpack};
use crate::interpreters::fetch::{fresh, perform};

/// Versions whose sources Debian has.
const PACKAGES: [(Version, Package); 2] = [
    (Version { minor: 11, patch: 2 }, Package { suite: "bookworm", name: "python3.11" }),
    (Version { minor: 13, patch: 5 }, Package { suite: "trixie", name: "python3.13" }),
];

/// As the stock build is made.
const OPTIONS: [&str; 2] = ["--enable-shared", "--without-static-libpython"];

/// What says which edits a build has.
const FINGERPRINT: &str = "edits";

/// Builds it unless it is there with these edits. One with others stays until there is a new one.
pub(super) fn run(version: Version, source: Option<&Path>, folder: &Path) -> Result<()> {
    let Version { minor, patch } = version;
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    edits::known(minor)?;
    let fingerprint = edits::fingerprint(minor);
    if fs::read_to_string(folder.join(FINGERPRINT)).is_ok_and(|its| its == fingerprint) {
        eprintln!("{} is there", folder.display());
        return Ok(());
    }
    let partial = fresh(folder)?;
    let sources = partial.join("sources");
    match (source, PACKAGES.iter().find(|(its, _)| *its == version)) {
        (Some(source), _) if source.is_dir() => copy(source, &sources)?,
        (Some(source), _) => {
            let source = source.canonicalize().map_err(|error| format!("{}: {error}", source.display()))?;
            unpack(&source, &partial)?;
        }
        (None, Some((_, package))) => {
            unpack(&package.download(&partial)?, &partial)?;
        }
        (None, None) => {
            return Err(format!(
                "where are the sources of CPython 3.{minor}.{patch}? Name them with --source"
            ));
        }
    }
    let said = version_of(&sources)?;
    if said != format!("3.{minor}.{patch}") {
        return Err(format!("those are the sources of CPython {said}, not of 3.{minor}.{patch}"));
    }
    edits::apply(&sources, minor)?;
    eprintln!("building an instrumented CPython {said} (some minutes)");
    let installed = make(&sources, folder, &OPTIONS)?;
    fs::write(installed.join(FINGERPRINT), fingerprint).map_err(failed)?;
    if folder.exists() {
        // It has other edits.
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::rename(&installed, folder).and_then(|()| fs::remove_dir_all(&partial)).map_err(failed)
}

/// Copies sources, so that nothing is changed in those that were named.
fn copy(from: &Path, to: &Path) -> Result<()> {
    perform(Command::new("cp").args(["--recursive", "--no-target-directory"]).args([from, to]))
}

/// The version that sources say of themselves.
fn version_of(sources: &Path) -> Result<String> {
    let header: PathBuf = sources.join("Include/patchlevel.h");
    let text = fs::read_to_string(&header)
        .map_err(|error| format!("{}: {error}; these are no sources of CPython", header.display()))?;
    let said = text.lines().find_map(|line| line.strip_prefix("#define PY_VERSION"));
    let said = said.map(|rest| rest.trim().trim_matches('"').to_owned());
    said.ok_or_else(|| format!("{} names no version", header.display()))
}
