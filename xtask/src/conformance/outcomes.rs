//! How the tests of a module ended.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::interpreters::Interpreter;

/// The name under which the exit status of the whole is compared with the tests.
pub(super) const STATUS: &str = "(exit status)";

/// How each test ended, by name.
pub(super) type Outcomes = BTreeMap<String, String>;

/// Turns what `python -m test --junit-xml` wrote into JSON; the interpreter at hand can read XML.
const READ: &str = r#"
import json, sys
import xml.etree.ElementTree as tree
outcomes = {}
for case in tree.parse(sys.argv[1]).getroot().iter("testcase"):
    ends = sorted(child.tag for child in case if child.tag in ("skipped", "failure", "error"))
    outcomes.setdefault(case.get("name"), []).append("+".join(ends) or "ok")
print(json.dumps({name: ", ".join(sorted(ends)) for name, ends in outcomes.items()}))
"#;

/// Reads the outcomes that a run wrote into a file; none if it did not come to that.
pub(super) fn read(python: &Interpreter, file: &Path, status: i32) -> Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    if file.exists() {
        let mut command = Command::new(&python.path);
        command.args(["-I", "-c", READ]).arg(file).stdin(Stdio::null());
        let output = command.output().map_err(|error| format!("{}: {error}", python.path.display()))?;
        outcomes = serde_json::from_slice(&output.stdout).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("{} cannot be read: {error}: {said}", file.display())
        })?;
    }
    outcomes.insert(STATUS.to_owned(), status.to_string());
    Ok(outcomes)
}

/// A test that did not always end the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unsteady {
    pub(super) test: String,
    /// How it ended alone.
    pub(super) alone: BTreeSet<String>,
    /// How it ended recorded.
    pub(super) recorded: BTreeSet<String>,
}

impl Unsteady {
    /// Whether it ends in several ways without us, too; then nothing can be said of it.
    pub(super) fn is_flaky(&self) -> bool {
        self.alone.len() > 1
    }
}

/// The tests that did not end the same in all these runs.
pub(super) fn compare(alone: &[Outcomes], recorded: &[Outcomes]) -> Vec<Unsteady> {
    let names: BTreeSet<&String> = alone.iter().chain(recorded).flat_map(BTreeMap::keys).collect();
    let ends = |runs: &[Outcomes], name: &String| -> BTreeSet<String> {
        runs.iter().map(|run| run.get(name).map_or("not run", String::as_str).to_owned()).collect()
    };
    names
        .into_iter()
        .map(|name| Unsteady { test: name.clone(), alone: ends(alone, name), recorded: ends(recorded, name) })
        .filter(|test| test.alone.len() > 1 || test.alone != test.recorded)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(of: &[(&str, &str)]) -> Outcomes {
        of.iter().map(|&(name, end)| (name.to_owned(), end.to_owned())).collect()
    }

    #[test]
    fn differences_are_found() {
        let alone = outcomes(&[("a", "ok"), ("b", "ok"), (STATUS, "0")]);
        let same = std::slice::from_ref(&alone);
        assert_eq!(compare(same, same), []);
        let other = outcomes(&[("a", "ok"), ("b", "failure"), (STATUS, "2")]);
        let found = compare(same, std::slice::from_ref(&other));
        assert_eq!(found.iter().map(|one| one.test.as_str()).collect::<Vec<_>>(), [STATUS, "b"]);
        assert!(!found[1].is_flaky());
        // A test that is missing is no test that ended well.
        let fewer = outcomes(&[("a", "ok"), (STATUS, "0")]);
        assert_eq!(compare(same, &[fewer]).len(), 1);
        // It failed alone as well.
        let twice = [alone, other];
        assert!(compare(&twice, &twice[1..]).iter().all(Unsteady::is_flaky));
    }
}
