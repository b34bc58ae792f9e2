//! The tables of `WHAT-IS-RECORDED.md`: a row each, on the oldest interpreter of each major version and the newest.

mod containers;
mod family;
mod launchers;
mod programs;
mod refusals;
mod threads;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::pythons::{Python, recordable};
use crate::support::{replay, root, stderr, stdout, verify_json};

const APP: &str = "
import json, sys
data = json.loads(json.dumps([{'n': n, 'text': str(n) * 3} for n in range(3000)]))
print(sum(row['n'] for row in data))
sys.exit(3)
";

/// What a row comes to.
#[derive(Clone, Copy, PartialEq)]
enum Is {
    Recorded,
    /// With this in the sentence that says why not.
    Refused(&'static str),
}

/// A folder with the application in it, and an interpreter.
struct Place {
    folder: tempfile::TempDir,
    python: String,
}

impl Place {
    fn new(python: &Python) -> Self {
        let place =
            Self { folder: tempfile::tempdir().unwrap(), python: python.path.to_str().unwrap().to_owned() };
        place.write("app.py", APP);
        place.write("__main__.py", APP);
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = self.write(name, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        format!("./{name}")
    }

    /// Runs a command here, as it is or recorded.
    fn run(&self, recorded: bool, command: &[String], input: Option<&str>) -> Output {
        let mut run = if recorded {
            let mut run = replay();
            run.args(["record", "-f", "-o", "recorded.viv", "--"]).args(command);
            run
        } else {
            let mut run = Command::new(&command[0]);
            run.args(&command[1..]);
            run
        };
        let bin = self.path().join("bin");
        let path = std::env::var("PATH").unwrap_or_default();
        run.current_dir(self.path()).env("PATH", format!("{}:{path}", bin.display()));
        let input = input.map_or_else(|| PathBuf::from("/dev/null"), |text| self.write("input", text));
        run.stdin(std::fs::File::open(input).unwrap())
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// A command, with and without recording.
    fn check(&self, row: &str, command: &[String], input: Option<&str>, is: Is) {
        let trace = self.path().join("recorded.viv");
        let _ = std::fs::remove_file(&trace);
        let bare = self.run(false, command, input);
        let recorded = self.run(true, command, input);
        let what = format!("{row}: {command:?}: {}\n{}", self.python, stderr(&recorded));
        assert_eq!(stdout(&recorded).replace("recorded.viv\n", ""), stdout(&bare), "{what}");
        assert!(!stderr(&recorded).contains("ld.so"), "{what}");
        match is {
            Is::Recorded => {
                use std::os::unix::process::ExitStatusExt;
                let status = bare.status.code().or(bare.status.signal().map(|signal| 128 + signal));
                assert_eq!(recorded.status.code(), status, "{what}");
                let (report, status) = verify_json(&trace);
                assert_eq!((&report["verdict"], status), (&"identical".into(), 0), "{what}\n{report}");
                assert!(report["checks"][0]["facts"].as_u64().unwrap() > 1000, "{what}\n{report}");
            }
            Is::Refused(why) => {
                assert_eq!(recorded.status.code(), Some(125), "{what}");
                let words = stderr(&recorded);
                let sentence = words.lines().last().unwrap_or_default();
                assert!(sentence.starts_with("replay: ") && sentence.contains(why), "{what}");
                assert!(!trace.exists(), "{what}: half a trace");
            }
        }
    }
}

fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|&word| word.to_owned()).collect()
}

/// The oldest of each major version, and the newest.
fn interpreters(test: &str) -> Vec<Python> {
    let pythons = recordable(test);
    let is_first = |at: usize| at == 0 || pythons[at - 1].version.0 != pythons[at].version.0;
    let wanted = |at: &usize| is_first(*at) || at + 1 == pythons.len();
    (0..pythons.len()).filter(wanted).map(|at| pythons[at].clone()).collect()
}

/// The rows of one table of the document.
fn documented(heading: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("crates/record/WHAT-IS-RECORDED.md")).unwrap();
    let part = text.split("\n## ").find(|part| part.starts_with(heading)).expect("the heading");
    let lines: Vec<_> = part.lines().collect();
    // But for the tables' heads.
    let rows = lines.windows(2).filter(|pair| pair[0].starts_with("| ") && !pair[1].starts_with("|---"));
    let rows = rows.map(|pair| pair[0]).chain(lines.last().copied().filter(|line| line.starts_with("| ")));
    rows.map(|line| line.split('|').nth(1).unwrap().trim().to_owned()).collect()
}

/// Which of the document's rows were made; all of them must have been, if there was an interpreter.
struct Rows {
    heading: &'static str,
    made: BTreeSet<String>,
}

impl Rows {
    fn new(heading: &'static str) -> Self {
        Self { heading, made: BTreeSet::new() }
    }

    fn made(&mut self, row: &str) {
        self.made.insert(row.to_owned());
    }

    fn has(&self, row: &str) -> bool {
        self.made.contains(row)
    }

    fn skipped(&mut self, row: &str, why: &str) {
        eprintln!("skipped: {row}: {why}");
        self.made(row);
    }

    fn are_those_documented(&self) {
        if !self.made.is_empty() {
            assert_eq!(self.made, documented(self.heading));
        }
    }
}
