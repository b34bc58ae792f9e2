//! The interpreters on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An interpreter that answered.
#[derive(Clone, Debug)]
pub(crate) struct Python {
    pub(crate) path: PathBuf,
    /// Major, minor, patch.
    pub(crate) version: (u32, u32, u32),
}

/// Every CPython that can be found: those named by `VIVARIUM_PYTHONS` (paths between colons), or else pyenv's and the
/// system's. Each once, by what it really is.
pub(crate) fn discover() -> Vec<Python> {
    let mut candidates: Vec<PathBuf> = Vec::new();
    if let Some(named) = std::env::var_os("VIVARIUM_PYTHONS") {
        candidates.extend(std::env::split_paths(&named));
    } else {
        if let Some(home) = std::env::var_os("HOME") {
            let versions = Path::new(&home).join(".pyenv/versions");
            for version in std::fs::read_dir(versions).into_iter().flatten().flatten() {
                candidates.push(version.path().join("bin/python"));
            }
            // What `cargo xtask interpreters --fetch` fetches.
            let fetched = Path::new(&home).join(".cache/vivarium/interpreters");
            for folder in std::fs::read_dir(fetched).into_iter().flatten().flatten() {
                let minors = (13..=30).map(|minor| folder.path().join(format!("usr/bin/python3.{minor}")));
                candidates.extend(minors.filter(|path| path.exists()));
            }
        }
        candidates.push("/usr/bin/python3".into());
        candidates.push("/usr/local/bin/python3".into());
    }
    let mut pythons: Vec<Python> = Vec::new();
    for candidate in candidates {
        let Ok(real) = candidate.canonicalize() else { continue };
        if pythons.iter().any(|python| python.path == real) {
            continue;
        }
        if let Some(version) = version(&real) {
            pythons.push(Python { path: real, version });
        }
    }
    pythons.sort_by_key(|python| python.version);
    pythons
}

fn version(path: &Path) -> Option<(u32, u32, u32)> {
    let script = "import sys, platform; assert platform.python_implementation() == 'CPython'; \
                  sys.stdout.write('%d.%d.%d' % sys.version_info[:3])";
    let output =
        Command::new(path).args(["-c", script]).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Interpreters that `replay record` records. If there is none, says so: a test that needs one is then skipped.
pub(crate) fn recordable(test: &str) -> Vec<Python> {
    let pythons = discover();
    let (good, old): (Vec<_>, Vec<_>) = pythons.into_iter().partition(|python| python.version >= (3, 7, 0));
    for python in old {
        let (major, minor, patch) = python.version;
        eprintln!("skipped: {test} on CPython {major}.{minor}.{patch}: recorded from 3.7 on");
    }
    if good.is_empty() {
        eprintln!("skipped: {test}: no CPython from 3.7 on was found here (name some in VIVARIUM_PYTHONS)");
    }
    good
}
