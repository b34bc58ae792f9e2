//! `xtask/soak/programs.json`: the programs of the soak, and what they need.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::interpreters::{Interpreter, Tier};
use crate::{Result, workspace};

/// The list.
#[derive(Debug, Deserialize)]
pub(crate) struct List {
    /// The programs, in the order in which they are shown.
    pub(crate) programs: Vec<Program>,
}

/// A program of the soak.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: String,
    /// What follows the interpreter on the command line. A word that names a script of this repository is made
    /// absolute: programs run in an empty folder.
    pub(crate) command: Vec<String>,
    /// The last word of the command where every change of a count is recorded, if it says how much there is to do.
    #[serde(default)]
    pub(crate) small: Option<String>,
    /// The packages that it needs, by the names that pip knows.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// A module without which it cannot run: where the interpreter comes without it, the program is left out.
    #[serde(default)]
    pub(crate) imports: Option<String>,
    /// How much has to be recorded for it to be worth while: it is run at this tier and higher ones.
    #[serde(default)]
    pub(crate) tier: Tier,
    /// The oldest version that it runs on.
    pub(crate) from: Version,
    /// The newest.
    #[serde(default)]
    pub(crate) to: Option<Version>,
}

/// A version without its patch level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Version(u32, u32);

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self> {
        let numbers = text.split_once('.').and_then(|(major, minor)| {
            let minor = minor.parse().ok()?;
            Some(Self(major.parse().ok()?, minor))
        });
        numbers.ok_or_else(|| format!("{text} is no version: write it as 3.11"))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl List {
    /// Reads it.
    pub(crate) fn load() -> Result<Self> {
        let path = folder().join("programs.json");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The programs of these names, or all.
    pub(crate) fn chosen(&self, names: &[String]) -> Result<Vec<&Program>> {
        if let Some(unknown) = names.iter().find(|&name| self.programs.iter().all(|one| &one.name != name)) {
            return Err(format!("there is no program {unknown} in xtask/soak/programs.json"));
        }
        let wanted = |one: &&Program| names.is_empty() || names.contains(&one.name);
        Ok(self.programs.iter().filter(wanted).collect())
    }
}

/// The packages that these programs need on an interpreter, each once.
pub(crate) fn packages<'a>(programs: &'a [Program], python: &Interpreter) -> Vec<&'a str> {
    let programs = programs.iter().filter(|program| program.runs_on(python).is_ok());
    let mut packages: Vec<_> = programs.flat_map(|one| one.needs.iter().map(String::as_str)).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

impl Program {
    /// Whether it is meant for this interpreter, or why not.
    pub(crate) fn runs_on(&self, python: &Interpreter) -> Result<()> {
        let version = Version(python.version.0, python.version.1);
        match self.to {
            _ if version < self.from => Err(format!("needs {} or newer", self.from)),
            Some(to) if to < version => Err(format!("needs {to} or older")),
            _ => Ok(()),
        }
    }

    /// What its results are kept under: with another command it is another program.
    pub(crate) fn key(&self) -> String {
        format!("{} {}", self.name, self.command.join(" "))
    }

    /// The same at a tier at which it has less to do, if it can have.
    pub(crate) fn made_small(&self) -> Self {
        let mut small = self.clone();
        if let (Some(word), Some(last)) = (&self.small, small.command.last_mut()) {
            last.clone_from(word);
        }
        small
    }

    /// What follows the interpreter on the command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let resolved = |word: &String| {
            let path = workspace::root().join(word);
            if word.ends_with(".py") && path.is_file() { path.display().to_string() } else { word.clone() }
        };
        self.command.iter().map(resolved).collect()
    }
}

/// The folder of the list and of the scripts.
fn folder() -> PathBuf {
    workspace::root().join("xtask/soak")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_an_order() {
        let version = |text: &str| Version::try_from(text.to_owned());
        assert!(version("2.7") < version("3.6") && version("3.9") < version("3.10"));
        assert_eq!(version("3.10").map(|version| version.to_string()).as_deref(), Ok("3.10"));
        assert!(version("3").is_err() && version("3.x").is_err());
    }

    #[test]
    fn programs_name_scripts_that_are_there() {
        let list = List::load().expect("the list");
        assert!(list.programs.len() >= 40, "only {} programs", list.programs.len());
        for program in &list.programs {
            let script = program.words().into_iter().find(|word| word.ends_with(".py"));
            assert!(script.is_none_or(|path| path.starts_with('/')), "{}: no such script", program.name);
            assert!(program.to.is_none_or(|to| program.from <= to), "{}", program.name);
        }
        assert_eq!(list.chosen(&[]).map(|all| all.len()), Ok(list.programs.len()));
        assert!(list.chosen(&["nothing".to_owned()]).is_err());
    }
}
