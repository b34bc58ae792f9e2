//! The programs of the corpus, made long enough to be measured.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use serde::Serialize;

use super::measure;
use crate::corpus::{self, Manifest, Program};
use crate::interpreters::{self, Interpreter};
use crate::{Result, workspace};

/// What `bench record` and `bench verify` are told of programs.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// The interpreter: a version, or an executable [default: the system's 3.11, else the newest from 3.11 to 3.13]
    #[arg(long, value_name = "VERSION|PATH")]
    python: Option<String>,
    /// The programs of the corpus to run, separated by commas [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    programs: Vec<String>,
    /// How long each shall run at least
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    seconds: f64,
}

/// What is recorded of a program: see `replay record --tier`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tier {
    /// The calls of the allocators
    Blocks,
    /// And collections, with what the collector looks at
    Collections,
    /// And objects: births, deaths, and what dying ones refer to
    Objects,
    /// And every change of a count, of an instrumented interpreter
    Counts,
}

/// A program with the size that makes it run long enough.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sized {
    /// The program's name.
    pub(crate) name: String,
    /// Its argument.
    pub(crate) size: u64,
    #[serde(skip)]
    program: Program,
}

impl Sized {
    /// The program with a size.
    pub(crate) fn new(program: &Program, size: u64) -> Self {
        Self { name: program.name.clone(), size, program: program.clone() }
    }

    /// The same with another size.
    pub(crate) fn times(&self, factor: u64) -> Self {
        Self { size: self.size * factor, ..self.clone() }
    }

    /// What follows the interpreter on the command line.
    pub(crate) fn words(&self) -> Vec<String> {
        self.program.command(&[self.size.to_string()])
    }

    /// The bare program.
    pub(crate) fn bare(&self, python: &Interpreter) -> Command {
        bare(python, &self.words())
    }

    /// The program, recorded.
    pub(crate) fn recorded(&self, replay: &Path, python: &Interpreter, output: &Path) -> Command {
        self.recorded_at(None, replay, python, output)
    }

    /// The same at a tier, if it is named.
    pub(crate) fn recorded_at(
        &self,
        tier: Option<Tier>,
        replay: &Path,
        python: &Interpreter,
        output: &Path,
    ) -> Command {
        recorded(replay, tier, output, python, &self.words())
    }
}

/// An interpreter with these arguments.
pub(crate) fn bare(python: &Interpreter, words: &[String]) -> Command {
    let mut command = Command::new(&python.path);
    command.args(words);
    at_home(command)
}

/// The same, recorded, at a tier if it is named.
pub(crate) fn recorded(
    replay: &Path,
    tier: Option<Tier>,
    output: &Path,
    python: &Interpreter,
    words: &[String],
) -> Command {
    let mut command = Command::new(replay);
    command.args(["record", "--force"]);
    if let Some(value) = tier.and_then(|tier| tier.to_possible_value()) {
        command.arg("--tier").arg(value.get_name());
    }
    command.arg("--output").arg(output).arg("--").arg(&python.path).args(words);
    at_home(command)
}

/// In the folder and the environment of the corpus.
pub(crate) fn at_home(mut command: Command) -> Command {
    command.current_dir(corpus::folder()).env_clear().envs(corpus::environment());
    command
}

impl Choice {
    /// The interpreter.
    pub(crate) fn interpreter(&self) -> Result<Interpreter> {
        let Some(wanted) = self.python.as_deref() else { return default_interpreter() };
        let found = interpreters::find();
        let named = found.iter().find(|one| std::fs::canonicalize(wanted).is_ok_and(|path| path == one.path));
        named.or_else(|| interpreters::choose(&found, wanted)).cloned().ok_or_else(|| {
            format!("no CPython {wanted} that can be recorded was found: see cargo xtask interpreters")
        })
    }

    /// The programs, each with the size that makes it run long enough.
    pub(crate) fn calibrated(&self, python: &Interpreter) -> Result<Vec<Sized>> {
        let manifest = Manifest::load()?;
        for name in &self.programs {
            manifest.program(name)?;
        }
        let wanted = |program: &&Program| self.programs.is_empty() || self.programs.contains(&program.name);
        manifest.programs.iter().filter(wanted).map(|program| self.calibrate(program, python)).collect()
    }

    fn calibrate(&self, program: &Program, python: &Interpreter) -> Result<Sized> {
        let mut sized = Sized::new(program, program.bench);
        for _ in 0..6 {
            let took = measure::time(&mut sized.bare(python))?;
            if took.wall >= self.seconds {
                break;
            }
            // A little more than it takes, so that the next is enough.
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let size = (sized.size as f64 * 1.15 * self.seconds / took.wall).ceil() as u64;
            sized.size = size;
        }
        eprintln!("{}: size {}", sized.name, sized.size);
        Ok(sized)
    }
}

/// The interpreter that benchmarks run on unless told otherwise: one that many people have and that was optimised.
pub(crate) fn default_interpreter() -> Result<Interpreter> {
    let found = interpreters::find();
    let is_recent = |one: &&Interpreter| matches!(one.version, (3, 11..=13, _)) && one.tier().is_ok();
    let systems =
        found.iter().find(|one| one.version.1 == 11 && is_recent(one) && one.path.starts_with("/usr/bin"));
    systems.or_else(|| found.iter().rfind(is_recent)).cloned().ok_or_else(|| {
        "no CPython from 3.11 to 3.13 was found: name one with --python, or in VIVARIUM_PYTHONS".to_owned()
    })
}

/// An interpreter as a heading has it.
pub(crate) fn heading(python: &Interpreter) -> String {
    format!("interpreter: {} at {}", python.build, workspace::shown(&python.path))
}
