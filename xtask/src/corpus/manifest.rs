//! `traces/corpus.json`: which programs are recorded, how, and on what.

use serde::Deserialize;
use trace::Tier;

use crate::Result;

/// The manifest.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    /// The programs, in order of name.
    pub(crate) programs: Vec<Program>,
}

/// A program of the corpus: `traces/NAME/NAME.py`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Program {
    /// Its name.
    pub(crate) name: String,
    /// What it does, in a line.
    pub(crate) about: String,
    /// With what arguments it is recorded.
    pub(crate) arguments: Vec<String>,
    /// How many processes it is, each with a trace; 1 if that is not said.
    #[serde(default = "one")]
    pub(crate) processes: u32,
    /// The versions on which it is recorded: `3.11` is any 3.11, `3.11.2` that one.
    #[serde(default)]
    pub(crate) pythons: Vec<String>,
    /// The same with what the collector looks at.
    #[serde(default)]
    pub(crate) collections: Vec<String>,
    /// The same with births and deaths of objects.
    #[serde(default)]
    pub(crate) objects: Vec<String>,
    /// And with every change of a count, of interpreters that report these.
    #[serde(default)]
    pub(crate) counts: Vec<String>,
    /// The size with which it runs for about a second, where a benchmark begins to look for that size. (The size is
    /// every program's only argument.)
    pub(crate) bench: u64,
}

fn one() -> u32 {
    1
}

impl Manifest {
    /// Reads it.
    pub(crate) fn load() -> Result<Self> {
        let path = super::folder().join("corpus.json");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The program of this name.
    pub(crate) fn program(&self, name: &str) -> Result<&Program> {
        self.programs.iter().find(|program| program.name == name).ok_or_else(|| {
            let names: Vec<_> = self.programs.iter().map(|program| program.name.as_str()).collect();
            format!("there is no program {name} in traces/corpus.json: it has {}", names.join(", "))
        })
    }
}

impl Program {
    /// All that is recorded of it.
    pub(crate) fn recordings(&self) -> impl Iterator<Item = Recording<'_>> {
        let of = |tier| move |version: &'_ String| (tier, version.clone());
        let all = self.pythons.iter().map(of(Tier::Blocks));
        let all = all.chain(self.collections.iter().map(of(Tier::Collections)));
        let all = all.chain(self.objects.iter().map(of(Tier::Objects)));
        let all = all.chain(self.counts.iter().map(of(Tier::Counts)));
        all.map(|(tier, version)| Recording { program: self, version, tier })
    }

    /// What follows the interpreter on the command line, from the folder `traces` on.
    pub(crate) fn command(&self, arguments: &[String]) -> Vec<String> {
        // Without what somebody has installed, of which a part may run at each start.
        let mut command = vec!["-S".to_owned(), format!("{0}/{0}.py", self.name)];
        command.extend(arguments.iter().cloned());
        command
    }
}

/// One recording of a program: on a version, with so much in it.
pub(crate) struct Recording<'a> {
    program: &'a Program,
    pub(crate) version: String,
    pub(crate) tier: Tier,
}

impl Recording<'_> {
    /// The names of its traces, that of the first process first.
    pub(crate) fn trace_names(&self) -> Vec<String> {
        let Self { program: Program { name, processes, .. }, version, tier } = self;
        let tier = if *tier == Tier::Blocks { String::new() } else { format!("-{}", tier.name()) };
        let number = |process| if process == 0 { String::new() } else { format!("-{process}") };
        (0..*processes).map(|process| format!("{name}-{version}{tier}{}.viv", number(process))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_names_programs_that_are_there() {
        let manifest = Manifest::load().expect("the manifest");
        assert!(manifest.programs.is_sorted_by_key(|program| &program.name));
        for program in &manifest.programs {
            let path = super::super::folder().join(&program.command(&[])[1]);
            assert!(path.is_file(), "{} is missing", path.display());
            assert!(program.bench > 0 && program.recordings().next().is_some(), "{}", program.name);
        }
        assert!(manifest.program("life").is_ok());
        assert!(manifest.program("death").is_err());
    }
}
