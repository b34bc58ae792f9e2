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
    /// Major and minor.
    pub number: (u32, u32),
}

/// Runs `test` on every interpreter that is there.
pub(crate) fn each(test: impl Fn(&Python)) {
    each_from((2, 7), test);
}

/// Runs `test` on every interpreter that is there, from a version on.
pub(crate) fn each_from(first: (u32, u32), test: impl Fn(&Python)) {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    let found = FOUND.get_or_init(find);
    let mut found = found.iter().filter(|python| python.number >= first).peekable();
    if found.peek().is_none() {
        let (major, minor) = first;
        eprintln!("skipped: no CPython from {major}.{minor} on was found; set VIVARIUM_PYTHONS");
    }
    found.for_each(test);
}

fn find() -> Vec<Python> {
    let mut paths = Vec::new();
    if let Some(list) = env::var_os("VIVARIUM_PYTHONS") {
        paths.extend(env::split_paths(&list));
    } else {
        paths.push(PathBuf::from("python3"));
        if let Some(home) = env::var_os("HOME") {
            let versions = fs::read_dir(Path::new(&home).join(".pyenv/versions"));
            let bin = versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python"));
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
    // Of 2.7 only builds whose library is shared can be recorded.
    let program = "
import sys
print('%d %d' % sys.version_info[:2])
print('libpython' in open('/proc/self/maps').read())
print(sys.version)";
    let output = Command::new(&path).args(["-c", program]).output().ok()?;
    let output = String::from_utf8(output.stdout).ok()?;
    let (number, rest) = output.split_once('\n')?;
    let (is_shared, version) = rest.split_once('\n')?;
    let (major, minor) = number.split_once(' ')?;
    let number = (major.parse().ok()?, minor.parse().ok()?);
    let is_known = number >= (3, 6) || (number == (2, 7) && is_shared == "True");
    is_known.then(|| Python { path, version: version.trim_end().to_owned(), number })
}
