//! The interpreters on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An interpreter that answered.
#[derive(Clone, Debug)]
pub(crate) struct Python {
    pub(crate) path: PathBuf,
    /// Major, minor, patch.
    pub(crate) version: (u32, u32, u32),
    /// Whether the interpreter proper is in a shared library.
    shared: bool,
}

/// Every CPython that can be found: those named by `VIVARIUM_PYTHONS` (paths between colons), or else pyenv's and the
/// system's. Each once, by what it really is.
pub(crate) fn discover() -> Vec<Python> {
    let mut candidates: Vec<PathBuf> = Vec::new();
    if let Some(named) = std::env::var_os("VIVARIUM_PYTHONS") {
        candidates.extend(std::env::split_paths(&named));
    } else {
        candidates.extend(below_home(".pyenv/versions", "bin").map(|folder| folder.join("python")));
        for folder in below_home(FETCHED, "usr/bin") {
            let minors = (13..=30).map(|minor| folder.join(format!("python3.{minor}")));
            candidates.extend(minors.filter(|path| path.exists()));
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
        pythons.extend(ask(real));
    }
    pythons.sort_by_key(|python| python.version);
    pythons
}

/// What `cargo xtask interpreters --fetch` fetches.
const FETCHED: &str = ".cache/vivarium/interpreters";

/// The folders `*/LAST` below one of the home folder.
fn below_home(folder: &str, last: &'static str) -> impl Iterator<Item = PathBuf> {
    let folder = std::env::var_os("HOME").map(|home| Path::new(&home).join(folder));
    let entries = folder.and_then(|folder| std::fs::read_dir(folder).ok());
    entries.into_iter().flatten().flatten().map(move |entry| entry.path().join(last))
}

fn ask(path: PathBuf) -> Option<Python> {
    let script = "import sys, platform; assert platform.python_implementation() == 'CPython'; \
                  assert 'free-threading' not in sys.version; \
                  shared = 'libpython' in open('/proc/self/maps').read(); \
                  sys.stdout.write('%d.%d.%d.%d' % (sys.version_info[:3] + (shared,)))";
    let output =
        Command::new(&path).args(["-c", script]).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.split('.').map(str::parse);
    let mut number = || numbers.next()?.ok();
    Some(Python { path, version: (number()?, number()?, number()?), shared: number()? == 1 })
}

impl Python {
    /// Whether `replay record` records it.
    fn is_recordable(&self) -> bool {
        match self.version {
            // It has no hooks: its calls are seen if they go by the names of functions.
            (2, 7, _) => self.shared,
            version => version >= (3, 6, 0),
        }
    }
}

/// Interpreters that `replay record` records. If there is none, says so: a test that needs one is then skipped.
pub(crate) fn recordable(test: &str) -> Vec<Python> {
    recordable_from((2, 7, 0), test)
}

/// Those from a version on.
pub(crate) fn recordable_from(first: (u32, u32, u32), test: &str) -> Vec<Python> {
    let pythons = discover().into_iter().filter(|python| python.version >= first);
    let (good, old): (Vec<_>, Vec<_>) = pythons.partition(Python::is_recordable);
    for python in old {
        let (major, minor, patch) = python.version;
        eprintln!("skipped: {test} on CPython {major}.{minor}.{patch}: it is not recorded");
    }
    if good.is_empty() {
        eprintln!("skipped: {test}: no CPython to record was found here (name some in VIVARIUM_PYTHONS)");
    }
    good
}

/// Interpreters that tell of births and deaths of objects. If there is none, says so.
pub(crate) fn tellers(test: &str) -> Vec<Python> {
    let tells = |python: &Python| {
        let version = python.version;
        ((3, 13, 3)..(3, 14, 0)).contains(&version) || version >= (3, 14, 5)
    };
    let found: Vec<_> = recordable(test).into_iter().filter(tells).collect();
    if found.is_empty() {
        eprintln!(
            "skipped: {test}: there is no CPython 3.13.3 or later, or 3.14.5 or later (cargo xtask interpreters \
             --fetch)"
        );
    }
    found
}

/// Interpreters whose collections are recorded. If there is none, says so.
pub(crate) fn collectors(test: &str) -> Vec<Python> {
    let tells = |python: &Python| {
        let version = python.version;
        ((3, 8, 0)..(3, 14, 0)).contains(&version) || version >= (3, 14, 5)
    };
    let found: Vec<_> = recordable(test).into_iter().filter(tells).collect();
    if found.is_empty() {
        eprintln!("skipped: {test}: there is no CPython 3.8 to 3.13, or 3.14.5 or later");
    }
    found
}

/// An interpreter without the interpreter lock, which is not recorded.
pub(crate) fn free_threaded() -> Option<PathBuf> {
    let script = "import sys, sysconfig; sys.exit(not sysconfig.get_config_var('Py_GIL_DISABLED'))";
    let is_free = |path: &PathBuf| {
        Command::new(path).args(["-c", script]).output().is_ok_and(|output| output.status.success())
    };
    let folders = below_home(".pyenv/versions", "bin").chain(below_home(FETCHED, "usr/bin"));
    let builds = |folder: PathBuf| (13..=30).map(move |minor| folder.join(format!("python3.{minor}t")));
    folders.flat_map(builds).find(is_free)
}

/// Interpreters that report changes of reference counts, which `cargo xtask python` builds. They lie where those that
/// everything runs on are not looked for.
pub(crate) fn instrumented() -> Vec<Python> {
    let folders = below_home(FETCHED, "bin").filter(|folder| {
        let above = folder.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        above.is_some_and(|name| name.starts_with("instrumented-") && !name.ends_with(".partial"))
    });
    let mut pythons: Vec<_> = folders.filter_map(|folder| ask(folder.join("python3"))).collect();
    pythons.sort_by_key(|python| python.version);
    pythons
}
