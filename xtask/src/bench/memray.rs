//! memray, the recorder of allocations that many people use: the peer of `replay record`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::programs::{Sized, at_home};
use crate::interpreters::Interpreter;
use crate::{Result, workspace};

/// memray, installed for an interpreter.
#[derive(Clone)]
pub(crate) struct Memray {
    python: PathBuf,
    /// Where its packages are, if not in a virtual environment.
    packages: Option<PathBuf>,
    /// Its version.
    pub(crate) version: String,
}

impl Memray {
    /// Finds memray where an earlier benchmark put it, or installs it there: in a virtual environment in the target
    /// folder, or, where Python cannot make one (Debian without python3-venv), in a plain folder.
    pub(crate) fn provide(python: &Interpreter) -> Result<Self> {
        let folder = workspace::cache("memray")?;
        let virtual_environment = folder.join(format!("venv-{python}"));
        let packages = folder.join(format!("packages-{python}"));
        let inside = Self::new(virtual_environment.join("bin/python"), None);
        let beside = Self::new(python.path.clone(), Some(packages.clone()));
        if let Ok(memray) = inside.clone().check().or_else(|_| beside.clone().check()) {
            return Ok(memray);
        }
        eprintln!("installing memray for {python}");
        let made = run(Command::new(&python.path).args(["-m", "venv"]).arg(&virtual_environment));
        let installed = made.and_then(|()| {
            run(Command::new(&inside.python).args(["-m", "pip", "install", "--quiet", "memray"]))
        });
        if installed.is_ok() {
            return inside.check();
        }
        run(Command::new(&python.path)
            .args(["-m", "pip", "install", "--quiet", "--target"])
            .arg(&packages)
            .arg("memray"))
        .map_err(|why| format!("memray cannot be had: {why}"))?;
        beside.check()
    }

    fn new(python: PathBuf, packages: Option<PathBuf>) -> Self {
        Self { python, packages, version: String::new() }
    }

    fn check(mut self) -> Result<Self> {
        let output = self.command().arg("--version").output().map_err(|error| format!("memray: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || text.is_empty() {
            return Err("memray is installed, but does not run".to_owned());
        }
        self.version = format!("memray {text}");
        Ok(self)
    }

    fn command(&self) -> Command {
        let mut command = at_home(Command::new(&self.python));
        command.args(["-m", "memray"]);
        if let Some(packages) = &self.packages {
            command.env("PYTHONPATH", packages);
        }
        command
    }

    /// A program of the corpus under memray, which writes to `output`.
    pub(crate) fn run(&self, program: &Sized, output: &Path) -> Command {
        // The program's words begin with an option of the interpreter, which memray's own start needs left out.
        self.run_words(&program.words()[1..], output)
    }

    /// Any script under memray.
    pub(crate) fn run_words(&self, words: &[String], output: &Path) -> Command {
        let mut command = self.command();
        command
            .args(["run", "--quiet", "--trace-python-allocators", "--force", "--output"])
            .arg(output)
            .args(words);
        command
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.trim().lines().last().unwrap_or("it said nothing").to_owned())
}
