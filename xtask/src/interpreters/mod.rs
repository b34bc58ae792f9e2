//! The interpreters of this machine.

pub(crate) mod build;
pub(crate) mod fetch;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fmt, fs};

use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};

use crate::{Result, python, workspace};

/// Show the CPython interpreters that are here, and how much each lets be recorded.
///
/// They are looked for among ~/.pyenv/versions, on PATH, in /usr/bin and among those fetched; if VIVARIUM_PYTHONS is set,
/// a list of executables with colons between them, it says them all.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// First fetch CPython 3.13, 3.14 and 3.15 from Debian's packages into ~/.cache/vivarium/interpreters, where tests
    /// find them, too (takes debootstrap, patchelf and root's rights), and build 3.13 from Debian's source package without
    /// Debian's patches, with the interpreter lock and without (takes a compiler and what CPython's README asks for)
    #[arg(long)]
    fetch: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// How much is recorded, as the command line of `replay record` has it; each tells of all that those before it do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tier {
    #[default]
    Blocks,
    Collections,
    Objects,
    Counts,
}

impl Tier {
    /// As the command line has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Collections => "collections",
            Self::Objects => "objects",
            Self::Counts => "counts",
        }
    }
}

/// An interpreter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Interpreter {
    /// Major, minor, patch level.
    pub(crate) version: (u32, u32, u32),
    /// What it says of itself: `sys.version`, on one line.
    pub(crate) build: String,
    /// The executable itself, behind links and launchers.
    pub(crate) path: PathBuf,
    /// Whether the interpreter proper is in a shared library.
    pub(crate) shared: bool,
    /// Whether it was built without the interpreter lock.
    pub(crate) free_threaded: bool,
    /// Whether it reports changes of reference counts: see [`crate::python`].
    #[serde(default)]
    pub(crate) instrumented: bool,
}

/// Works on 2.7 too. Whether a library is shared is seen from what is mapped: what `sysconfig` says is true of one of
/// the builds that a distribution makes of one version, not of each.
const ASK: &str = r#"
import json, os, sys
try:
    shared = "libpython" in open("/proc/self/maps").read()
except IOError:
    shared = False
try:
    import sysconfig
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    instrumented = os.path.exists(os.path.join(sysconfig.get_paths()["include"], "vivarium.h"))
except ImportError:
    free_threaded = instrumented = False
assert getattr(sys, "implementation", None) is None or sys.implementation.name == "cpython"
print(json.dumps({
    "version": list(sys.version_info[:3]), "build": " ".join(sys.version.split()),
    "path": os.path.realpath(sys.executable), "shared": shared, "free_threaded": free_threaded,
    "instrumented": instrumented,
}))
"#;

impl Interpreter {
    /// Asks an executable; `None` if it is not an interpreter, or none that works.
    pub(crate) fn ask(path: &Path) -> Option<Self> {
        let mut command = Command::new(path);
        // Nothing of the caller's may change what it says.
        command.args(["-E", "-c", ASK]).stdin(Stdio::null()).stderr(Stdio::null());
        let output = command.output().ok().filter(|output| output.status.success())?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Whether this is one of the versions that `wanted` means: `3.11` is any 3.11, `3.11.2` that one.
    pub(crate) fn is(&self, wanted: &str) -> bool {
        let (major, minor, patch) = self.version;
        wanted == format!("{major}.{minor}") || wanted == format!("{major}.{minor}.{patch}")
    }

    /// A name that tells it from others of its version: distributions build the same sources in another way.
    pub(crate) fn label(&self) -> String {
        let is = |part: &str| {
            self.path.components().any(|one| one.as_os_str().to_string_lossy().starts_with(part))
        };
        match self {
            _ if self.instrumented => format!("{self} (instrumented)"),
            _ if is("debian-") => format!("{self} (Debian)"),
            _ if self.path.starts_with("/usr/bin") => format!("{self} (system)"),
            _ => self.to_string(),
        }
    }

    /// How much can be recorded, or why nothing can.
    pub(crate) fn tier(&self) -> Result<Tier, &'static str> {
        match self.version {
            _ if self.free_threaded => Err("none: built without the interpreter lock"),
            // It has no hooks: its calls are seen if they go by the names of functions.
            (2, 7, _) if !self.shared => Err("none: it calls its allocators directly"),
            _ if self.instrumented => Ok(Tier::Counts),
            (3, 13, 3..) | (3, 14, 5..) | (3, 15, _) => Ok(Tier::Objects),
            (3, 8..=13, _) => Ok(Tier::Collections),
            (2, 7, _) | (3, 6..=15, _) => Ok(Tier::Blocks),
            _ => Err("none: this version is not known yet"),
        }
    }
}

impl fmt::Display for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.version;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// All interpreters, oldest first; each once, by whatever names it has.
pub(crate) fn find() -> Vec<Interpreter> {
    let candidates = match env::var_os("VIVARIUM_PYTHONS") {
        Some(list) => env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => candidates(),
    };
    let mut seen = HashSet::new();
    let found = candidates.into_iter().filter_map(|path| Interpreter::ask(&path));
    let mut found: Vec<_> = found.filter(|found| seen.insert(found.path.clone())).collect();
    // Of several builds of one version that of the system comes first: distributions optimise theirs.
    found.sort_by_key(|found| (found.version, Reverse(found.path.starts_with("/usr"))));
    found
}

/// Those that report changes of reference counts. They lie beside the others where nobody looks for ordinary ones.
pub(crate) fn instrumented() -> Vec<Interpreter> {
    let folders = fetch::cache().ok().and_then(|cache| fs::read_dir(cache).ok());
    let names = folders.into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name();
        let version = name.to_str()?.strip_prefix(python::FOLDER)?;
        let (minor, _) = version.rsplit_once('.')?;
        Some(entry.path().join("bin").join(format!("python{minor}")))
    });
    let mut found: Vec<_> = names.filter_map(|path| Interpreter::ask(&path)).collect();
    found.sort_by_key(|found| found.version);
    found
}

fn candidates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    if let Some(home) = env::var_os("HOME") {
        let versions = fs::read_dir(Path::new(&home).join(".pyenv/versions"));
        folders.extend(versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin")));
    }
    folders.extend(fetch::folders());
    folders.extend(env::var_os("PATH").iter().flat_map(|path| env::split_paths(path).collect::<Vec<_>>()));
    folders.push("/usr/bin".into());
    let mut found = Vec::new();
    for folder in folders {
        let names = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut here: Vec<_> =
            names.filter(|name| is_python(&name.file_name())).map(|name| name.path()).collect();
        here.sort();
        found.append(&mut here);
    }
    found
}

/// Whether this is the name of an interpreter of one version: `python3.12`, `python2.7`, `python3.13t`.
fn is_python(name: &std::ffi::OsStr) -> bool {
    let version = name.to_str().and_then(|name| name.strip_prefix("python"));
    version.and_then(|version| version.trim_end_matches('t').split_once('.')).is_some_and(|(major, minor)| {
        matches!(major, "2" | "3") && !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The newest that is one of the wanted version.
pub(crate) fn choose<'a>(found: &'a [Interpreter], wanted: &str) -> Option<&'a Interpreter> {
    let usable = found.iter().filter(|one| one.is(wanted) && one.tier().is_ok());
    // The first of several builds of one patch level.
    usable.min_by_key(|one| Reverse(one.version))
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.fetch {
        fetch::run()?;
    }
    let mut found = find();
    found.extend(instrumented());
    if arguments.json {
        let list: Vec<_> = found
            .iter()
            .map(|one| {
                let mut value = serde_json::json!(one);
                value["tier"] = serde_json::json!(one.tier().ok());
                value["why_not"] = serde_json::json!(one.tier().err());
                value
            })
            .collect();
        return crate::answer(&format!("{:#}\n", serde_json::json!({ "schema": 1, "interpreters": list })));
    }
    if found.is_empty() {
        return Err(
            "no CPython was found: install one, or name some in VIVARIUM_PYTHONS (a list with colons \
                    between)"
                .to_owned(),
        );
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["CPython", "path", "libpython", "recorded tier"]);
    for one in &found {
        table.add_row([
            one.to_string(),
            workspace::shown(&one.path),
            if one.shared { "shared" } else { "static" }.to_owned(),
            match one.tier() {
                Ok(tier) if one.instrumented => format!("{}; instrumented", tier.name()),
                Ok(tier) => tier.name().to_owned(),
                Err(why) => why.to_owned(),
            },
        ]);
    }
    crate::answer(&format!("{table}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter(version: (u32, u32, u32), path: &str) -> Interpreter {
        Interpreter {
            version,
            build: String::new(),
            path: path.into(),
            shared: true,
            free_threaded: false,
            instrumented: false,
        }
    }

    #[test]
    fn how_much_is_recorded_goes_by_the_version() {
        let versions = [
            ((3, 7, 16), Tier::Blocks),
            ((3, 8, 18), Tier::Collections),
            ((3, 13, 2), Tier::Collections),
            ((3, 13, 3), Tier::Objects),
            ((3, 14, 4), Tier::Blocks),
            ((3, 14, 5), Tier::Objects),
        ];
        for (version, most) in versions {
            assert_eq!(interpreter(version, "/a").tier(), Ok(most), "{version:?}");
        }
    }

    #[test]
    fn versions_are_chosen() {
        let found = [
            interpreter((2, 6, 9), "/z"),
            interpreter((2, 7, 18), "/a"),
            interpreter((3, 11, 2), "/b"),
            interpreter((3, 11, 7), "/c"),
            interpreter((3, 11, 7), "/d"),
        ];
        let chosen = |wanted| choose(&found, wanted).map(|one| one.path.display().to_string());
        assert_eq!(chosen("3.11").as_deref(), Some("/c"));
        assert_eq!(chosen("3.11.2").as_deref(), Some("/b"));
        assert_eq!(chosen("3.1"), None);
        assert_eq!(chosen("2.7").as_deref(), Some("/a"));
        assert_eq!(chosen("2.6"), None);
    }

    #[test]
    fn what_can_be_recorded() {
        for (version, shared, whole) in [
            ((2, 7, 18), true, false),
            ((3, 6, 15), true, true),
            ((3, 7, 0), true, true),
            ((3, 5, 9), false, false),
        ] {
            let one = interpreter(version, "/a");
            assert_eq!(one.tier().is_ok(), shared, "{one}");
            assert_eq!(Interpreter { shared: false, ..one }.tier().is_ok(), whole, "{version:?}");
        }
    }

    #[test]
    fn names_of_interpreters() {
        for (name, is) in [
            ("python3.12", true),
            ("python2.7", true),
            ("python3.13t", true),
            ("python3", false),
            ("python3.12-config", false),
            ("python3.", false),
            ("ipython3.12", false),
        ] {
            assert_eq!(is_python(name.as_ref()), is, "{name}");
        }
    }
}
