//! Checking it: programs run with `checker.c` preloaded, which follows every object's count by the reports alone.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use comfy_table::{Table, presets};

use super::edits::HEADER;
use crate::Result;
use crate::corpus::{self, Manifest};
use crate::interpreters::Interpreter;
use crate::interpreters::fetch::perform;

const CHECKER: &str = include_str!("checker.c");
const WAYS: &str = include_str!("ways.py");

/// CPython's own tests that run under it, apart from each other.
const TESTS: &[&str] = &[
    "test_list",
    "test_dict",
    "test_gc",
    "test_generators",
    "test_weakref",
    "test_tuple",
    "test_descr",
    "test_ordered_dict",
    "test_threading",
    "test_fork1",
];

/// How many kinds of reports there are.
const KINDS: usize = 19;

struct Program {
    name: String,
    arguments: Vec<OsString>,
    /// Whether it changes a count that nothing reports, so that the checker must say so.
    cheats: bool,
}

/// A count is raised where nobody sees it, and lowered again.
const CHEAT: &str = "
import ctypes
thing = object()
count = ctypes.c_uint32.from_address(id(thing))
count.value += 1
again = thing
count.value -= 1
";

/// What the processes of a program said, added up.
#[derive(Default)]
struct Account {
    processes: u64,
    numbers: BTreeMap<String, u64>,
    /// How many reports there were of each kind, from 1 on.
    of_each: [u64; KINDS],
    details: Vec<String>,
}

impl Account {
    fn read(folder: &Path, prefix: &str) -> Result<Self> {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        let mut account = Self::default();
        for file in fs::read_dir(folder).map_err(failed)?.flatten() {
            if file.file_name().to_string_lossy().starts_with(prefix) {
                account.add(&fs::read_to_string(file.path()).map_err(failed)?);
            }
        }
        Ok(account)
    }

    fn add(&mut self, text: &str) {
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("exception", detail)) => self.details.push(detail.to_owned()),
                Some(("of-each", numbers)) => {
                    for (sum, number) in self.of_each.iter_mut().zip(numbers.split(' ')) {
                        *sum += number.parse::<u64>().unwrap_or(0);
                    }
                }
                Some((key, number)) => {
                    self.processes += u64::from(key == "events");
                    *self.numbers.entry(key.to_owned()).or_default() += number.parse::<u64>().unwrap_or(0);
                }
                None => {}
            }
        }
    }

    fn get(&self, key: &str) -> u64 {
        self.numbers.get(key).copied().unwrap_or(0)
    }
}

/// Runs all programs; fails if a count is not as it was reported.
pub(super) fn run(python: &Interpreter, also: &[String]) -> Result<()> {
    let folder = tempfile::tempdir().map_err(|error| format!("a folder for the check: {error}"))?;
    let folder = folder.path();
    let written = |name: &str, text: &str| -> Result<_> {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    };
    written("vivarium.h", HEADER)?;
    let source = written("checker.c", CHECKER)?;
    let ways = written("ways.py", WAYS)?;
    let checker = folder.join("checker.so");
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-shared", "-fPIC", &format!("-DMINOR={}", python.version.1), "-o"]);
    perform(compile.arg(&checker).arg(&source).args(["-ldl", "-lpthread"]))?;

    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "program",
        "processes",
        "events",
        "born",
        "found",
        "revived",
        "alive at the end",
        "exceptions",
    ]);
    let mut wrong = Vec::new();
    let mut of_each = [0; KINDS];
    for (number, program) in programs(&ways, also)?.iter().enumerate() {
        eprintln!("{}", program.name);
        let prefix = format!("account-{number}-");
        let mut command = Command::new(&python.path);
        command.args(&program.arguments).current_dir(folder).stdin(Stdio::null());
        command.env("LD_PRELOAD", &checker).env("VIVARIUM_CHECK", folder.join(&prefix));
        let ended = perform(&mut command);
        let account = Account::read(folder, &prefix)?;
        of_each.iter_mut().zip(account.of_each).for_each(|(sum, number)| *sum += number);
        let keys = ["events", "born", "found", "revived", "alive", "exceptions"];
        let mut row = vec![program.name.clone(), account.processes.to_string()];
        row.extend(keys.map(|key| account.get(key).to_string()));
        table.add_row(row);
        let mut complain = |what: String| wrong.push(format!("{}: {what}", program.name));
        if let Err(why) = ended {
            complain(why);
        }
        if account.get("events") == 0 {
            complain("nothing was reported".to_owned());
        }
        if program.cheats {
            if account.get("exceptions") == 0 {
                complain("the checker does not notice a count that was not reported".to_owned());
            }
        } else if account.get("exceptions") > 0 {
            let first: Vec<_> = account.details.iter().take(10).map(|one| format!("\n  {one}")).collect();
            complain(format!("{} exceptions{}", account.get("exceptions"), first.concat()));
        }
    }
    for (kind, _) in (1..).zip(of_each).filter(|(_, number)| *number == 0) {
        wrong.push(format!("nothing was ever reported of kind {kind}"));
    }
    crate::answer(&format!("{}\n{table}\n", python.label()))?;
    if wrong.is_empty() { Ok(()) } else { Err(format!("the reports are not right:\n{}", wrong.join("\n"))) }
}

fn programs(ways: &Path, also: &[String]) -> Result<Vec<Program>> {
    let program = |name: &str, arguments: &[&str]| Program {
        name: name.to_owned(),
        arguments: arguments.iter().map(OsString::from).collect(),
        cheats: false,
    };
    let mut programs = vec![
        program("nothing", &["-I", "-c", ""]),
        program("the end without an end", &["-c", "import os, json; os._exit(0)"]),
    ];
    programs.push(Program { cheats: true, ..program("a count behind its back", &["-c", CHEAT]) });
    programs.push(Program { arguments: vec![ways.into()], ..program("ways.py", &[]) });
    for one in Manifest::load()?.programs {
        let command = one.command(&one.arguments);
        let mut arguments: Vec<OsString> = command.iter().map(OsString::from).collect();
        // It is named from the folder of the corpus on.
        arguments[1] = corpus::folder().join(&command[1]).into();
        programs.push(Program { arguments, ..program(&one.name, &[]) });
    }
    let tests = TESTS.iter().copied().chain(also.iter().map(String::as_str));
    programs.extend(tests.map(|test| program(test, &["-m", "test", "-q", test])));
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_processes_are_added_up() {
        let mut account = Account::default();
        account.add("events 7\nborn 2\nexceptions 0\nof-each 3 0 4\n");
        account.add("events 5\nborn 1\nexceptions 1\nof-each 1 1\nexception list at 0x10: raised\n");
        assert_eq!((account.processes, account.get("events"), account.get("born")), (2, 12, 3));
        assert_eq!((account.get("exceptions"), account.of_each[..4].to_vec()), (1, vec![4, 1, 4, 0]));
        assert_eq!(account.details, ["list at 0x10: raised"]);
    }
}
