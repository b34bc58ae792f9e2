//! The packages that programs need, installed for each interpreter into a folder of its own.
//!
//! An instrumented interpreter reports what its headers count. So for such a one whatever is compiled is built from
//! source, against its headers, and what cannot be built so is not there: a package compiled elsewhere would count behind its
//! back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::interpreters::Interpreter;
use crate::{Result, corpus};

/// What was installed for an interpreter.
///
/// A folder that is put in front of the module path, not a virtual environment: distributions leave out what it takes to
/// make one, and 2.7 has none.
pub(crate) struct Packages {
    folder: PathBuf,
    /// Why packages are not there, by name.
    missing: BTreeMap<String, String>,
}

impl Packages {
    /// Installs those of these packages that are not there yet.
    pub(crate) fn install(cache: &Path, python: &Interpreter, wanted: &[&str]) -> Result<Self> {
        let folder = cache.join(format!("site-{}", python.label().replace(' ', "-")));
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        // Package by package: there, or why not.
        let list = folder.join("installed.json");
        let mut known: BTreeMap<String, Option<String>> =
            fs::read(&list).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let new: Vec<_> = wanted.iter().copied().filter(|&name| !known.contains_key(name)).collect();
        if !new.is_empty() {
            let pip = Pip::find(cache, python)?;
            eprintln!("{}: installing {}", python.label(), new.join(", "));
            // All at once, so that they fit each other; else one by one, to see which it is.
            if pip.install(&folder, &new).is_ok() {
                known.extend(new.into_iter().map(|name| (name.to_owned(), None)));
            } else {
                for name in new {
                    let why = pip.install(&folder, &[name]).err();
                    if let Some(why) = &why {
                        eprintln!("{}: {name} is not installed: {why}", python.label());
                    }
                    known.insert(name.to_owned(), why);
                }
            }
            fs::write(&list, serde_json::json!(known).to_string()).map_err(failed)?;
        }
        let missing = known.into_iter().filter_map(|(name, why)| Some((name, why?))).collect();
        Ok(Self { folder, missing })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Why a package is not there.
    pub(crate) fn missing(&self, name: &str) -> Option<&str> {
        self.missing.get(name).map(String::as_str)
    }
}

/// A pip that works for an interpreter.
struct Pip<'a> {
    python: &'a Interpreter,
    /// Where it is, if not among the interpreter's own packages.
    path: Option<PathBuf>,
}

impl<'a> Pip<'a> {
    /// The interpreter's own, or one that another interpreter installs.
    fn find(cache: &Path, python: &'a Interpreter) -> Result<Self> {
        if (Self { python, path: None }).works() {
            return Ok(Self { python, path: None });
        }
        let path = cache.join("pip");
        let borrowed = Self { python, path: Some(path.clone()) };
        if !borrowed.works() {
            let others = crate::interpreters::find();
            let lender = others.iter().rev().find(|one| (Pip { python: one, path: None }).works());
            let lender = lender.ok_or("no interpreter here has pip")?;
            Pip { python: lender, path: None }.install(&path, &["pip"])?;
        }
        Ok(borrowed)
    }

    fn works(&self) -> bool {
        self.command().arg("--version").output().is_ok_and(|output| output.status.success())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.python.path);
        command.args(["-m", "pip"]).stdin(Stdio::null());
        // What the user has set up for pip stays, but what pip compiles to bytecode is not used: it need not.
        command.envs(self.path.as_ref().map(|path| ("PYTHONPATH", path)));
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONNOUSERSITE", "1");
        command
    }

    /// Installs packages into a folder; only what need not be compiled, or for an instrumented interpreter what is
    /// compiled for it.
    fn install(&self, folder: &Path, names: &[&str]) -> Result<()> {
        if !self.python.instrumented {
            return self.install_into(folder, "--only-binary=:all:", names);
        }
        let names: Vec<_> = names.iter().map(|&name| buildable(name)).collect();
        let names = names.as_slice();
        // Only what has come without a package that was compiled elsewhere is there.
        let trial = tempfile::tempdir_in(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let from_source = format!("--no-binary={}", COMPILED.join(","));
        self.install_into(trial.path(), &from_source, names)?;
        if let Some(name) = compiled_elsewhere(trial.path()).first() {
            return Err(format!("{name} comes compiled against other headers"));
        }
        if let Some(name) = writes_counts(trial.path()).filter(|_| self.python.version >= (3, 12, 0)) {
            return Err(format!(
                "{name} is compiled by mypyc, which changes counts without the interpreter's macros"
            ));
        }
        // It has been built, and is not built again.
        self.install_into(folder, &from_source, names)
    }

    fn install_into(&self, folder: &Path, what: &str, names: &[&str]) -> Result<()> {
        let mut command = self.command();
        command.args(["install", "--quiet", "--no-compile", what, "--target"]);
        if self.python.instrumented {
            // Packages translated into C by themselves run as Python instead: that takes no hours.
            command.env("NO_CYTHON_COMPILE", "true");
        }
        let output = command
            .arg(folder)
            .args(names)
            .output()
            .map_err(|error| format!("pip cannot be run: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let error = said.lines().rev().find_map(|line| line.trim().strip_prefix("ERROR: "));
        Err(error.unwrap_or("pip failed").trim_end_matches('.').to_owned())
    }
}

/// Packages that come compiled, and can be built where there is a compiler of C.
const COMPILED: &[&str] = &[
    "aiohttp",
    "black",
    "charset-normalizer",
    "coverage",
    "cython",
    "frozenlist",
    "greenlet",
    "hypothesis",
    "isort",
    "librt",
    "markupsafe",
    "multidict",
    "mypy",
    "propcache",
    "pydantic",
    "pyrsistent",
    "pytokens",
    "pyyaml",
    "sqlalchemy",
    "toolz",
    "tornado",
    "watchdog",
    "wrapt",
    "yarl",
];

/// The last versions of packages that could be built so: later ones are written in Rust, or need what is.
const BUILDABLE: &[(&str, &str)] = &[
    ("hypothesis", "hypothesis<6.140"),
    ("jsonschema", "jsonschema<4.18"),
    ("mypy", "mypy<1.19"),
    ("pydantic", "pydantic<2"),
];

/// The name by which pip finds a version that can be built.
fn buildable(name: &str) -> &str {
    BUILDABLE.iter().find(|(one, _)| *one == name).map_or(name, |(_, version)| version)
}

/// The packages in a folder that were compiled elsewhere: those that are for systems of many kinds.
fn compiled_elsewhere(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let wheel = fs::read_to_string(entry.path().join("WHEEL")).ok()?;
        let name = entry.file_name().to_string_lossy().trim_end_matches(".dist-info").to_owned();
        let tags = wheel.lines().filter_map(|line| line.strip_prefix("Tag: "));
        tags.into_iter().any(|tag| tag.contains("manylinux") || tag.contains("musllinux")).then_some(name)
    });
    names.collect()
}

/// The environment in which programs run: that of the corpus, and the packages.
pub(crate) fn environment(packages: Option<&Packages>, command: &mut Command) {
    command.env_clear().envs(corpus::environment());
    command.envs(packages.map(|packages| ("PYTHONPATH", packages.folder())));
}

/// A module in a folder that mypyc has compiled: where there are immortal objects (from CPython 3.12 on) it changes the counts of
/// others by itself.
fn writes_counts(folder: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.contains("__mypyc."))
}
