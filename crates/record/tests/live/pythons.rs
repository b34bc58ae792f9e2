//! Finds interpreters.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

/// An interpreter, or a script that starts one.
#[derive(Clone, Debug)]
pub(crate) struct Python {
    pub path: PathBuf,
    /// What `sys.version` says.
    pub version: String,
}

/// Runs `test` on every interpreter that is there.
pub(crate) fn each(test: impl Fn(&Python)) {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    let found = FOUND.get_or_init(find);
    if found.is_empty() {
        eprintln!("skipped: no python3 from 3.7 on was found; set VIVARIUM_PYTHONS");
    }
    for python in found {
        test(python);
    }
}

fn find() -> Vec<Python> {
    let mut paths = Vec::new();
    if let Some(list) = env::var_os("VIVARIUM_PYTHONS") {
        paths.extend(env::split_paths(&list));
    } else {
        paths.push(PathBuf::from("python3"));
        if let Some(home) = env::var_os("HOME") {
            let versions = fs::read_dir(Path::new(&home).join(".pyenv/versions"));
            let bin = versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python3"));
            paths.extend(bin.filter(|path| path.exists()));
            // What `cargo xtask interpreters --fetch` fetches.
            let fetched = fs::read_dir(Path::new(&home).join(".cache/vivarium/interpreters"));
            for folder in fetched.into_iter().flatten().flatten() {
                let minors = (13..=30).map(|minor| folder.path().join(format!("usr/bin/python3.{minor}")));
                paths.extend(minors.filter(|path| path.exists()));
            }
        }
        paths.push(PathBuf::from("/usr/bin/python3"));
    }
    paths.sort();
    paths.dedup();
    paths.into_iter().filter_map(ask).collect()
}

fn ask(path: PathBuf) -> Option<Python> {
    let program = "import sys; print(sys.version_info[1]); print(sys.version)";
    let output = Command::new(&path).args(["-c", program]).output().ok()?;
    let output = String::from_utf8(output.stdout).ok()?;
    let (minor, version) = output.split_once('\n')?;
    // Older ones have no allocator interface, or set it back when they start.
    let is_known = minor.parse::<u32>().is_ok_and(|minor| minor >= 7);
    is_known.then(|| Python { path, version: version.trim_end().to_owned() })
}
