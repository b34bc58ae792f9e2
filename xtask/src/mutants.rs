//! `cargo xtask mutants`: wrong collectors that the bundled traces must find, patched into a copy of the sources.
//!
//! What is wrong in data (other rules, other policies) is in `tests/mutants.rs`; these are the others.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Result, answer, corpus, workspace};

/// Patch mistakes into a copy of the collector, one at a time, and look which bundled trace finds each.
///
/// A patch that does not apply is an error, and so is a mistake that is found by another check than the one it names, or by none.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only those whose names contain this
    #[arg(value_name = "NAME")]
    only: Option<String>,
}

/// A mistake.
struct Mutant {
    name: &'static str,
    file: &'static str,
    /// What is replaced, each of which is there once, by what.
    patches: &'static [(&'static str, &'static str)],
    /// The check that finds it.
    found_by: &'static str,
}

const FOUND: &str = "crates/cycles/src/found.rs";
const COLLECTION: &str = "crates/cycles/src/collection.rs";

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "survivors go to the head of the older list",
        file: FOUND,
        patches: &[
            (
                "if stay + garbage < objects.len() {",
                "let before: alloc::vec::Vec<_> = heap.lists().iter(plan.old).collect();\n\
                 if stay + garbage < objects.len() {",
            ),
            (
                "self.outcome.unreachable = garbage;",
                "if !plan.is_full() { before.into_iter().for_each(|it| move_to(heap, it, plan.old)); }\n\
                 self.outcome.unreachable = garbage;",
            ),
        ],
        found_by: "survivors",
    },
    Mutant {
        name: "who is reached from behind keeps its place",
        file: "crates/cycles/src/partition.rs",
        patches: &[
            (
                "self.of(self.stay, |state| state == REACHABLE).chain(self.rescued.iter().copied())",
                "self.of(self.stay, |state| state == REACHABLE || state == RESCUED)",
            ),
            (
                "self.of(0, |state| state == REACHABLE).chain(self.rescued.iter().copied())",
                "self.of(0, |state| state == REACHABLE || state == RESCUED)",
            ),
        ],
        found_by: "survivors",
    },
    Mutant {
        name: "tuples are untracked in full collections only",
        file: FOUND,
        patches: &[(
            "let fixed = self.rules.untracks_fixed.then_some",
            "let fixed = (self.rules.untracks_fixed && self.plan.is_full()).then_some",
        )],
        found_by: "survivors",
    },
    Mutant {
        name: "weak references are called after the second look",
        file: COLLECTION,
        patches: &[
            (
                "phase: Phase::Callbacks,\n            taken: 0,",
                "phase: Phase::Finalizers,\n            taken: 0,",
            ),
            (
                "None if self.rules.finalizers && heap.concerns().finalizers => {\n                        \
                 self.go_on(Phase::Finalizers);\n                    }\n                    \
                 None => self.go_on(Phase::SecondLook),",
                "None => self.go_on(Phase::Clearing),",
            ),
            (
                "self.outcome.collected += heap.lists().len(self.garbage) + self.taken;\n                    }\n                    \
                 self.go_on(Phase::Clearing);",
                "self.outcome.collected += heap.lists().len(self.garbage) + self.taken;\n                    }\n                    \
                 self.go_on(Phase::Callbacks);",
            ),
        ],
        found_by: "survivors",
    },
    Mutant {
        name: "what is counted while finalizers run is never given up",
        file: "crates/replay/src/engine/collections/going.rs",
        patches: &[(
            "counting.decrement(self.members.count(id))",
            "counting.increment(self.members.count(id))",
        )],
        found_by: "reachability",
    },
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let copy = workspace::cache("mutants")?.join("workspace");
    copy_sources(&copy)?;
    let traces = traces()?;
    // First of all as it is, so that whatever is found then is the mistake's.
    let right = build(&copy)?;
    if let Some((trace, found)) = first(&right, &traces)? {
        return Err(format!("{trace} diverges without any mistake: {}", told(&found)));
    }
    answer("| mistake | found in | by |\n|---|---|---|\n")?;
    let mut missed = Vec::new();
    let wanted = |mutant: &&Mutant| arguments.only.as_ref().is_none_or(|only| mutant.name.contains(only));
    for mutant in MUTANTS.iter().filter(wanted) {
        let path = copy.join(mutant.file);
        let original = read(&path)?;
        write(&path, &patched(&original, mutant)?)?;
        let found = build(&copy).and_then(|replay| first(&replay, &traces));
        write(&path, &original)?;
        let found = found.map_err(|why| format!("{}: {why}", mutant.name))?;
        let (trace, checks) = found.unwrap_or(("nothing".to_owned(), Vec::new()));
        answer(&format!("| {} | {trace} | {} |\n", mutant.name, told(&checks)))?;
        if checks.iter().all(|(check, _)| check != mutant.found_by) {
            missed.push(format!("{} was not found by {}", mutant.name, mutant.found_by));
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(missed.join("; ")) }
}

/// Copies what is needed to build the command: what git knows of.
fn copy_sources(to: &Path) -> Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "Cargo.toml", "Cargo.lock", "crates", "tests", "xtask"])
        .current_dir(workspace::root())
        .output()
        .map_err(|error| format!("git: {error}"))?;
    if !listed.status.success() {
        return Err("git does not know the workspace's files".to_owned());
    }
    let listed = String::from_utf8_lossy(&listed.stdout);
    let names: HashSet<&str> = listed.split_terminator('\0').collect();
    for folder in ["crates", "tests", "xtask"] {
        remove_others(to, Path::new(folder), &names)?;
    }
    for name in names {
        let (from, to) = (workspace::root().join(name), to.join(name));
        let bytes = std::fs::read(&from).map_err(|error| format!("{}: {error}", from.display()))?;
        // What is the same stays as old as it is, and is not built again.
        if std::fs::read(&to).is_ok_and(|before| before == bytes) {
            continue;
        }
        let folder = to.parent().unwrap_or(&to);
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&to, bytes))
            .map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(())
}

/// Removes what is in a folder of the copy under none of these names: what has been moved since would be there twice.
fn remove_others(copy: &Path, folder: &Path, names: &HashSet<&str>) -> Result<()> {
    let path = copy.join(folder);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if !path.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let inner = folder.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            remove_others(copy, &inner, names)?;
        } else if inner.to_str().is_none_or(|name| !names.contains(name)) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
        }
    }
    Ok(())
}

/// The bundled traces that tell of collections.
fn traces() -> Result<Vec<PathBuf>> {
    let mut traces = replay::verify::find_traces(&[corpus::folder()]).map_err(|error| error.to_string())?;
    traces.retain(|path| path.to_string_lossy().ends_with("-collections.viv"));
    if traces.is_empty() { Err("no bundled trace tells of collections".to_owned()) } else { Ok(traces) }
}

fn patched(text: &str, mutant: &Mutant) -> Result<String> {
    let mut text = text.to_owned();
    for (from, to) in mutant.patches {
        if text.matches(from).count() != 1 {
            return Err(format!("{}: {} has {from:?} not just once", mutant.name, mutant.file));
        }
        text = text.replacen(from, to, 1);
    }
    Ok(text)
}

fn build(copy: &Path) -> Result<PathBuf> {
    // Not that of the workspace: cargo would take what is built of the copy for what is built of that.
    let target = workspace::cache("mutants")?.join("target");
    let output = workspace::cargo()
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", &target)
        .args(["build", "--quiet", "--release", "--package", "replay", "--bin", "replay"])
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("it cannot be built: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(target.join("release/replay"))
}

/// Checks, and the event at which each differs first.
type Differences = Vec<(String, u64)>;

/// The first trace that is not identical, and which checks differ at which event.
fn first(replay: &Path, traces: &[PathBuf]) -> Result<Option<(String, Differences)>> {
    for trace in traces {
        let output = Command::new(replay)
            .args(["verify", "--json"])
            .arg(trace)
            .output()
            .map_err(|error| format!("{}: {error}", replay.display()))?;
        let document: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{}: {error}", trace.display()))?;
        let checks = document["traces"][0]["checks"].as_array().cloned().unwrap_or_default();
        let mut found: Vec<_> = checks
            .iter()
            .filter_map(|check| Some((check["name"].as_str()?.to_owned(), check["first"]["event"].as_u64()?)))
            .collect();
        found.sort_by_key(|(_, event)| *event);
        if !found.is_empty() {
            let name = trace.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            return Ok(Some((name, found)));
        }
    }
    Ok(None)
}

fn told(found: &[(String, u64)]) -> String {
    found.iter().map(|(check, event)| format!("{check} at {event}")).collect::<Vec<_>>().join(", ")
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_moved_is_not_there_twice() {
        let copy = tempfile::tempdir().expect("a folder");
        let folder = copy.path().join("crates/rc/src/deaths");
        std::fs::create_dir_all(&folder).expect("a folder");
        let [kept, moved] = [folder.join("mod.rs"), copy.path().join("crates/rc/src/deaths.rs")];
        for path in [&kept, &moved] {
            std::fs::write(path, "").expect("a file");
        }
        let names = HashSet::from(["crates/rc/src/deaths/mod.rs"]);
        remove_others(copy.path(), Path::new("crates"), &names).expect("removed");
        assert!(kept.exists() && !moved.exists());
        assert_eq!(remove_others(copy.path(), Path::new("tests"), &names), Ok(()));
    }

    #[test]
    fn every_patch_applies() {
        for mutant in MUTANTS {
            let text = read(&workspace::root().join(mutant.file)).expect("a source file");
            assert!(patched(&text, mutant).is_ok_and(|patched| patched != text), "{}", mutant.name);
        }
    }
}
