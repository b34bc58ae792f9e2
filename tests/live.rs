//! Recording real programs on the interpreters of this machine.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::pythons::{Python, recordable, recordable_from};
use crate::support::{replay, root, stderr, stdout, verify_json};

fn record(folder: &Path, arguments: &[&str]) -> Output {
    replay().arg("record").args(arguments).current_dir(folder).output().expect("replay runs")
}

/// A program that does a bit of everything with memory.
const PROGRAM: &str = "
import json, re, sys
words = {}
for n in range(3000):
    for word in re.findall(r'[a-z]+', 'the quick brown fox %d jumps over %s' % (n, 'x' * (n % 700))):
        words.setdefault(word, []).append(n)
text = json.dumps(words)
assert json.loads(text) == words
keep = [bytearray(n) for n in range(1200)]
del keep[::3]
for n, buffer in enumerate(keep):
    buffer.extend(b'y' * n)
big = [object() for _ in range(200000)]
del big
sys.stdout.write('%d\\n' % len(text))
sys.stderr.write('done\\n')
";

/// Record, then verify: on each interpreter, every fact.
#[test]
fn what_is_recorded_is_predicted() {
    for Python { path, version, .. } in recordable("record and verify") {
        let folder = tempfile::tempdir().unwrap();
        let python = path.to_str().unwrap();
        let output = record(folder.path(), &["-o", "live.viv", "--", python, "-c", PROGRAM]);
        assert_eq!(output.status.code(), Some(0), "{version:?}: {}", stderr(&output));
        let (report, status) = verify_json(&folder.path().join("live.viv"));
        assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{version:?}: {report}");
        assert_eq!(report["python"], format!("{}.{}.{}", version.0, version.1, version.2));
        assert!(report["checks"][0]["facts"].as_u64().unwrap() > 300_000, "{version:?}: {report}");
        assert!(report["checks"][1]["facts"].as_u64().unwrap() > 5, "{version:?}: {report}");
    }
}

/// The program does not notice: same output, same standard error (but for the recorder's last lines).
#[test]
fn the_program_does_not_notice() {
    let Some(python) = recordable("transparency").pop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "import os, sys; print(sorted(os.environ)); print(sorted(os.listdir('/proc/self/fd'))); \
                  sys.stderr.write('e\\n'); sys.exit(7)";
    let plain = Command::new(&python.path).args(["-c", script]).current_dir(folder.path()).output().unwrap();
    let recorded = record(folder.path(), &["-o", "a.viv", python.path.to_str().unwrap(), "-c", script]);
    assert_eq!(stdout(&recorded), stdout(&plain));
    assert_eq!((recorded.status.code(), plain.status.code()), (Some(7), Some(7)));
    assert!(stderr(&recorded).starts_with(&stderr(&plain)));
}

/// The last lines on standard error tell where the trace is and what to do with it.
#[test]
fn the_next_command_is_there_to_paste() {
    let Some(python) = recordable("default name").pop() else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hello world.py"), "print('hello')").unwrap();
    let output = record(folder.path(), &["--", python.path.to_str().unwrap(), "hello world.py"]);
    assert_eq!(stdout(&output), "hello\n");
    let text = stderr(&output);
    let line = text.lines().last().unwrap();
    let command = line.split_once(": replay verify ").expect("a command").1;
    assert!(command.starts_with("'hello world.") && command.ends_with(".viv'"), "{text}");
    let replay = env!("CARGO_BIN_EXE_replay");
    let pasted = format!("{replay} verify {command}");
    let verified = Command::new("sh").args(["-c", &pasted]).current_dir(folder.path()).output().unwrap();
    assert_eq!(verified.status.code(), Some(0), "{}", stdout(&verified));
}

#[test]
fn nothing_is_overwritten_unless_asked_for() {
    let Some(python) = recordable("overwriting").pop() else { return };
    let python = python.path.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.viv");
    std::fs::write(&file, "precious").unwrap();
    let output = record(folder.path(), &["-o", "kept.viv", python, "-c", "print('ran')"]);
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(stdout(&output), "", "the program was not even started");
    assert!(stderr(&output).contains("kept.viv exists"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    let output = record(folder.path(), &["-f", "-o", "kept.viv", python, "-c", "print('ran')"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "ran\n"));
    assert_eq!(verify_json(&file).1, 0);
}

/// Exit statuses are the program's own, or those of commands that run commands.
#[test]
fn exit_statuses() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text"), "not a program").unwrap();
    for (command, status, words) in [
        (&["no-such-command-here"][..], 127, "no-such-command-here"),
        (&["./text"], 126, "./text"),
        (&["true"], 125, "nothing was recorded"),
        (&["sh", "-c", "exit 3"], 125, "nothing was recorded"),
        (&["missing.py"], 127, "did you mean: python3 missing.py?"),
        (&["-o", ".", "true"], 125, "is a folder"),
        (&["-o", "no/such/folder.viv", "true"], 125, "there is no folder no/such"),
    ] {
        let output = record(folder.path(), command);
        assert_eq!(output.status.code(), Some(status), "{command:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(words), "{command:?}: {}", stderr(&output));
    }
    let leftovers = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(leftovers, 1, "half a trace was left behind");
    for Python { path, .. } in recordable("exit statuses") {
        let python = path.to_str().unwrap();
        for (script, status) in [
            ("raise SystemExit(42)", 42),
            ("import os; os.kill(os.getpid(), 9)", 137),
            ("import os; os._exit(5)", 5),
        ] {
            let output = record(folder.path(), &["-f", "-o", "x.viv", python, "-c", script]);
            assert_eq!(output.status.code(), Some(status), "{python} {script}: {}", stderr(&output));
            let (report, code) = verify_json(&folder.path().join("x.viv"));
            assert_eq!(code, 0, "{python} {script}: {report}");
        }
    }
}

/// Allocators that are not pymalloc are refused, and leave no trace behind.
#[test]
fn another_allocator_is_refused() {
    for Python { path, version, .. } in recordable_from((3, 6, 0), "refusals") {
        let python = path.to_str().unwrap();
        let mut others = vec![(Some("malloc"), None), (Some("debug"), None)];
        if version >= (3, 7, 0) {
            others.push((None, Some("dev")));
        }
        for (variable, option) in others {
            let folder = tempfile::tempdir().unwrap();
            let mut command = replay();
            command.current_dir(folder.path()).args(["record", "--", python]);
            if let Some(name) = variable {
                command.env("PYTHONMALLOC", name);
            }
            if let Some(name) = option {
                command.args(["-X", name]);
            }
            let output = command.args(["-c", "print('ran')"]).output().unwrap();
            let what = format!("{version:?} {variable:?} {option:?}: {}", stderr(&output));
            assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(125), "ran\n"), "{what}");
            assert!(stderr(&output).contains("PYTHONMALLOC"), "{what}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{what}");
        }
    }
}

/// `python3` may be a shell script that starts thirty processes before the interpreter.
#[test]
fn launchers_pass_the_recorder_on() {
    let Some(python) = recordable("launchers").pop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let real = python.path.display();
    let script =
        format!("#!/bin/sh\ncat /dev/null | sort >/dev/null\nx=$(date)\nexec env nice '{real}' \"$@\"\n");
    let launcher = folder.path().join("python3");
    std::fs::write(&launcher, script).unwrap();
    let mut permissions = launcher.metadata().unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(&launcher, permissions).unwrap();
    let output = record(folder.path(), &["-o", "a.viv", "./python3", "-c", "print(6 * 7)"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "42\n"), "{}", stderr(&output));
    assert_eq!(verify_json(&folder.path().join("a.viv")).1, 0);
}

/// `--redact` leaves no path and no argument in the file.
#[test]
fn redacted_traces_keep_secrets() {
    let Some(python) = recordable("redaction").pop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let arguments =
        ["--redact", "-o", "a.viv", python.path.to_str().unwrap(), "-c", "pass", "--password=hunter2"];
    assert_eq!(record(folder.path(), &arguments).status.code(), Some(0));
    let output = replay().args(["info", "--json"]).arg(folder.path().join("a.viv")).output().unwrap();
    let text = stdout(&output);
    assert!(!text.contains("hunter2") && !text.contains(python.path.to_str().unwrap()), "{text}");
}

/// Threads take turns under the interpreter's lock, and the recording keeps their order.
#[test]
fn threads_are_recorded_in_order() {
    let script = "
import threading
def work():
    for n in range(20000):
        x = [str(n), (n,), {n: n}]
threads = [threading.Thread(target=work) for _ in range(6)]
[t.start() for t in threads]; [t.join() for t in threads]";
    for Python { path, version, .. } in recordable("threads") {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), &["-o", "a.viv", path.to_str().unwrap(), "-c", script]);
        let (report, status) = verify_json(&folder.path().join("a.viv"));
        assert_eq!(status, 0, "{version:?}: {report}");
    }
}

/// The bundled programs are what the README tells people to record first.
#[test]
fn a_bundled_program_can_be_recorded_again() {
    let Some(python) = recordable("bundled programs").pop() else { return };
    let program =
        std::fs::read_dir(root().join("traces")).unwrap().flatten().map(|entry| entry.path()).find_map(
            |folder| {
                let script = folder.join(folder.file_name()?).with_extension("py");
                script.exists().then_some(script)
            },
        );
    let program = program.expect("a bundled program").canonicalize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["-o", "a.viv", python.path.to_str().unwrap(), program.to_str().unwrap()];
    let output = record(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(verify_json(&folder.path().join("a.viv")).1, 0);
}
