//! The tables of `WHAT-IS-RECORDED.md`: a row each, on the oldest and the newest interpreter.

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

/// Oldest and newest.
fn interpreters(test: &str) -> Vec<Python> {
    let mut pythons = recordable(test);
    if pythons.len() > 2 {
        pythons.drain(1..pythons.len() - 1);
    }
    pythons
}

/// The rows of one table of the document.
fn documented(heading: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("crates/record/WHAT-IS-RECORDED.md")).unwrap();
    let table = text.split("\n## ").find(|part| part.starts_with(heading)).expect("the heading");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
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

#[test]
fn launchers() {
    let mut rows = Rows::new("How a program is started");
    for python in interpreters("launchers") {
        let place = Place::new(&python);
        let p = place.python.as_str();
        std::fs::create_dir(place.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(p, place.path().join("bin/python3")).unwrap();
        place.script("tool", &format!("#!/usr/bin/env python3\n{APP}"));
        place.script("launcher", &format!("#!/bin/sh\nx=$(date | sort)\nexec '{p}' app.py \"$@\"\n"));
        // What comes behind runs in the same environment: it may not notice either.
        let sh =
            format!("ls; '{p}' app.py; s=$?; sleep 0.1; ls 2>&1; '{p}' -c 'print(1)'; ls | cat; exit $s");
        for (row, command, input, is) in [
            ("python app.py", words(&[p, "app.py"]), None, Is::Recorded),
            ("python -m app", words(&[p, "-m", "app"]), None, Is::Recorded),
            ("python -c …", words(&[p, "-c", APP]), None, Is::Recorded),
            ("a program on standard input", words(&[p, "-"]), Some(APP), Is::Recorded),
            ("#!/usr/bin/env python3", words(&["./tool"]), None, Is::Recorded),
            ("a shell script that ends in exec", words(&["./launcher"]), None, Is::Recorded),
            ("sh -c with commands before and behind", words(&["sh", "-c", &sh]), None, Is::Recorded),
            ("env with variables", words(&["env", "A=1", p, "app.py"]), None, Is::Recorded),
            ("env -i", words(&["env", "-i", p, "app.py"]), None, Is::Refused("nothing was recorded")),
            ("nice", words(&["nice", p, "app.py"]), None, Is::Recorded),
            ("timeout", words(&["timeout", "60", p, "app.py"]), None, Is::Recorded),
            ("xargs", words(&["xargs", p]), Some("app.py"), Is::Recorded),
        ] {
            place.check(row, &command, input, is);
            rows.made(row);
        }
        let packed = place.run(false, &words(&[p, "-m", "zipfile", "-c", "app.pyz", "__main__.py"]), None);
        assert!(packed.status.success(), "{}", stderr(&packed));
        place.check("a zipped application", &words(&[p, "app.pyz"]), None, Is::Recorded);
        rows.made("a zipped application");
        environments(&place, &mut rows);
    }
    rows.are_those_documented();
}

/// Virtual environments, and what is started through them.
fn environments(place: &Place, rows: &mut Rows) {
    let p = place.python.as_str();
    let made = place.run(false, &words(&[p, "-m", "venv", "--without-pip", "v"]), None);
    if made.status.success() {
        place.check("a virtual environment", &words(&["v/bin/python", "app.py"]), None, Is::Recorded);
        place.script("v/bin/tool", &format!("#!{}\n{APP}", place.path().join("v/bin/python").display()));
        place.check("a console script of a virtual environment", &words(&["v/bin/tool"]), None, Is::Recorded);
        rows.made("a virtual environment");
        rows.made("a console script of a virtual environment");
    } else {
        rows.skipped("a virtual environment", "this interpreter comes without venv");
        rows.skipped("a console script of a virtual environment", "this interpreter comes without venv");
    }
    place.write("test_app.py", "def test_it():\n    assert sorted(str(n) for n in range(5000))\n");
    let has = |module: &str| {
        place.run(false, &words(&[p, "-c", &format!("import {module}")]), None).status.success()
    };
    if has("pytest") {
        let command =
            words(&[p, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "--durations=0"]);
        let recorded = place.run(true, &command, None);
        assert_eq!(recorded.status.code(), Some(0), "{}", stderr(&recorded));
        assert_eq!(verify_json(&place.path().join("recorded.viv")).1, 0);
        rows.made("pytest");
    } else {
        rows.skipped("pytest", "it is not installed");
    }
    if has("gunicorn") {
        place.check("gunicorn", &words(&[p, "-m", "gunicorn", "--version"]), None, Is::Recorded);
        rows.made("gunicorn");
    } else {
        rows.skipped("gunicorn", "it is not installed");
    }
}

/// What the programs of the second table do, in Python.
const PROGRAMS: [(&str, &str); 18] = [
    ("exits", "raise SystemExit(9)"),
    ("ends with an exception", "1 / 0"),
    ("calls os._exit", "import os; os._exit(5)"),
    (
        "calls os._exit in a thread",
        "import os, threading, time; threading.Thread(target=os._exit, args=(6,)).start(); time.sleep(9)",
    ),
    ("calls os.abort", "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"),
    ("is ended by a signal", "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)"),
    ("is killed (SIGKILL)", "import os, time; os.kill(os.getpid(), 9); time.sleep(9)"),
    (
        "replaces itself (os.execv)",
        "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'print(7)'])",
    ),
    (
        "closes all descriptors",
        "import os; print(1, flush=True); os.closerange(0, 4096); x = [[n] for n in range(9999)]",
    ),
    (
        "changes its folder, its root or its user",
        "import os; os.chdir('/')
if os.getuid() == 0:
    os.chroot('/tmp'); os.setgroups([]); os.setgid(65534); os.setuid(65534)
x = [[n] for n in range(9999)]",
    ),
    (
        "clears its environment",
        "import os; os.environ.clear(); x = [[n] for n in range(9999)]; print(dict(os.environ))",
    ),
    (
        "forks",
        "import os
pid = os.fork()
x = [[n] for n in range(9999)]
if not pid: os._exit(0)
print(os.waitpid(pid, 0)[1])",
    ),
    (
        "starts other interpreters (subprocess)",
        "import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', 'print(1)']))",
    ),
    (
        "uses multiprocessing",
        "import multiprocessing
def square(n): return n * n
pool = multiprocessing.get_context('fork').Pool(2)
print(pool.map(square, range(99))); pool.close(); pool.join()",
    ),
    (
        "runs threads",
        "import threading
def work(): [str(n) for n in range(20000)]
threads = [threading.Thread(target=work) for _ in range(5)]
[t.start() for t in threads]; [t.join() for t in threads]",
    ),
    (
        "leaves daemon threads behind",
        "import threading, time
def work():
    while True: x = [str(n) for n in range(100)]
threading.Thread(target=work, daemon=True).start(); time.sleep(0.1)",
    ),
    (
        "limits its memory",
        "import resource
size = 4 << 30
resource.setrlimit(resource.RLIMIT_AS, (size, size))
x = [[n] for n in range(99999)]",
    ),
    (
        "uses tracemalloc",
        "import tracemalloc; tracemalloc.start(); x = [[n] for n in range(9999)]; tracemalloc.stop()",
    ),
];

#[test]
fn programs() {
    let mut rows = Rows::new("What a program does, and how it ends");
    for python in interpreters("programs") {
        let place = Place::new(&python);
        for (row, script) in PROGRAMS {
            // From a file, as programs are.
            place.write("program.py", &format!("x = [[n] for n in range(3000)]\n{script}\n"));
            place.check(row, &words(&[&place.python, "program.py"]), None, Is::Recorded);
            rows.made(row);
        }
    }
    rows.are_those_documented();
}

#[test]
fn refusals() {
    let mut rows = Rows::new("What is refused");
    for python in interpreters("refusals") {
        let place = Place::new(&python);
        let p = place.python.as_str();
        let pools = "does not use its pools";
        for (row, command, why) in [
            ("PYTHONMALLOC=malloc", words(&["env", "PYTHONMALLOC=malloc", p, "app.py"]), pools),
            ("PYTHONMALLOC=debug", words(&["env", "PYTHONMALLOC=debug", p, "app.py"]), pools),
            ("python -X dev", words(&[p, "-X", "dev", "app.py"]), pools),
            (
                "a program that is no Python",
                words(&["sh", "-c", "echo hello; exit 4"]),
                "nothing was recorded",
            ),
        ] {
            place.check(row, &command, None, Is::Refused(why));
            rows.made(row);
        }
        place.write("static.c", "int main(void) { return 5; }\n");
        let compiled = Command::new("cc")
            .args(["-static", "-o", "static", "static.c"])
            .current_dir(place.path())
            .output();
        let row = "a program that is linked statically";
        if compiled.is_ok_and(|output| output.status.success()) {
            place.check(row, &words(&["./static"]), None, Is::Refused("nothing was recorded"));
            rows.made(row);
        } else {
            rows.skipped(row, "there is no C compiler, or no static C library");
        }
    }
    rows.are_those_documented();
}
