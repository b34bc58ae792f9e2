//! How recordings end that do not end with their program: limits, full disks; and what signals do.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::pythons::recordable;
use crate::support::{replay, stderr, stdout, verify_json};

fn ending(trace: &Path) -> String {
    let output = replay().arg("info").arg(trace).output().unwrap();
    let text = stdout(&output);
    text.lines().find(|line| line.starts_with("ending")).unwrap_or_default().to_owned()
}

/// The program goes on as if nothing had been; what was recorded is whole.
#[test]
fn a_recording_ends_at_its_limit_and_the_program_goes_on() {
    // Makes and drops objects, and arenas, for two seconds: longer than the limits.
    let script = "
import time
end = time.time() + 2
while time.time() < end:
    x = [[n] for n in range(50000)]
print('done'); raise SystemExit(3)";
    let pythons = recordable("limits");
    let oldest_and_newest = pythons.first().into_iter().chain(pythons.last().filter(|_| pythons.len() > 1));
    for python in oldest_and_newest {
        let folder = tempfile::tempdir().unwrap();
        for limit in [["--for", "500ms"], ["--max-size", "20K"]] {
            let output = replay()
                .current_dir(folder.path())
                .args(["record", "-f", "-o", "a.viv"])
                .args(limit)
                .args([python.path.to_str().unwrap(), "-c", script])
                .output()
                .unwrap();
            let what = format!("{:?} {limit:?}: {}", python.version, stderr(&output));
            assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(3), "done\n"), "{what}");
            assert!(stderr(&output).contains("the program goes on unrecorded"), "{what}");
            let trace = folder.path().join("a.viv");
            let (report, status) = verify_json(&trace);
            assert_eq!((status, &report["verdict"]), (0, &"identical".into()), "{what} {report}");
            assert!(ending(&trace).contains("went on when the recording was stopped"), "{}", ending(&trace));
        }
    }
}

/// What could be written stays, and says itself that it is not whole; the program is not disturbed.
#[test]
fn a_full_disk_ends_the_recording_and_not_the_program() {
    let Some(python) = recordable("full disks").pop() else { return };
    let script = "
for n in range(40):
    x = [[n] for n in range(20000)]
print('done'); raise SystemExit(3)";
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("disk")).unwrap();
    // A disk of its own, as small as that, for this shell and what it starts.
    let script = format!(
        "mount -t tmpfs -o size=64k none disk || exit 77
        '{}' record -o disk/a.viv '{}' -c \"{script}\"
        status=$?; cp disk/a.viv a.viv; exit $status",
        env!("CARGO_BIN_EXE_replay"),
        python.path.display()
    );
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .current_dir(folder.path())
        .output();
    let Some(output) = output.ok().filter(|output| !matches!(output.status.code(), Some(1 | 77))) else {
        eprintln!("skipped: full disks: this machine lets nobody have a disk of their own (unshare, mount)");
        return;
    };
    let what = stderr(&output);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(125), "done\n"), "{what}");
    assert!(what.contains("the trace cannot be written") && what.contains("is in disk/a.viv"), "{what}");
    let (report, status) = verify_json(&folder.path().join("a.viv"));
    assert_eq!(status, 2, "{report}");
    assert!(report["error"].as_str().unwrap().contains("truncated at frame"), "{report}");
    assert_eq!(report["checks"][0]["diverged"], 0, "{report}");
    assert!(report["checks"][0]["verified"].as_u64().unwrap() > 10_000, "{report}");
}

/// A limit on the size of files is a full disk, too: not a signal that ends the recorder.
#[test]
fn a_file_that_may_not_grow_ends_the_recording_and_not_the_program() {
    let Some(python) = recordable("limited files").pop() else { return };
    // In an order that no codec foresees.
    let script = "
import random
random.seed(1)
kept = [b''] * 5000
for n in range(3000000):
    kept[int(random.random() * 5000)] = bytes(int(random.random() * 500))
print('done'); raise SystemExit(3)";
    let folder = tempfile::tempdir().unwrap();
    // Blocks of 512 bytes: more than the ring has, less than the trace would.
    let script = format!(
        "ulimit -f 4200 && exec '{}' record -o a.viv '{}' -c \"{script}\"",
        env!("CARGO_BIN_EXE_replay"),
        python.path.display()
    );
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    let what = stderr(&output);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(125), "done\n"), "{what}");
    assert!(what.contains("the trace cannot be written") && what.contains("is in a.viv"), "{what}");
    let (report, status) = verify_json(&folder.path().join("a.viv"));
    assert_eq!(status, 2, "{report}");
    assert!(report["error"].as_str().unwrap().contains("truncated at frame"), "{report}");
    assert_eq!(report["checks"][0]["diverged"], 0, "{report}");
    assert!(report["checks"][0]["verified"].as_u64().unwrap() > 10_000, "{report}");
}

/// `env`, which runs what follows with HUP as it is without `nohup`, under which the tests may run.
fn hanging_up() -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP");
    command
}

#[test]
fn signals_are_passed_on() {
    let Some(python) = recordable("signals").pop() else { return };
    let script = "
import signal, sys, time
got = []
for name in ('SIGHUP', 'SIGUSR1', 'SIGUSR2'):
    signal.signal(getattr(signal, name), lambda number, frame: got.append(number))
def end(number, frame):
    print(sorted(got), flush=True)
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
print('ready', flush=True)
while True:
    time.sleep(0.01)";
    let folder = tempfile::tempdir().unwrap();
    let mut child = hanging_up()
        .current_dir(folder.path())
        .args([env!("CARGO_BIN_EXE_replay"), "record", "-o", "a.viv"])
        .args([python.path.to_str().unwrap(), "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    for name in ["HUP", "USR1", "USR2", "TERM"] {
        let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
        assert!(status.success());
        // Signals have no order among themselves.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), rest.as_str()), (Some(7), "[1, 10, 12]\n"), "{}", stderr(&output));
    assert_eq!(verify_json(&folder.path().join("a.viv")).1, 0);
}

/// Under `nohup`, or in the background of a script, a program finds signals ignored; recorded, too.
#[test]
fn ignored_signals_stay_ignored() {
    let Some(python) = recordable("ignored signals").pop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "import signal; print(*(signal.getsignal(s) == signal.SIG_IGN for s in (1, 2, 3, 10, 15)))";
    for (ignored, expected) in
        [("HUP INT QUIT", "True True True False False"), ("USR1 TERM", "False False False True True")]
    {
        let command = format!(
            "trap '' {ignored}; exec '{}' record -f -o a.viv '{}' -c '{script}'",
            env!("CARGO_BIN_EXE_replay"),
            python.path.display()
        );
        let output = hanging_up().args(["sh", "-c", &command]).current_dir(folder.path()).output().unwrap();
        assert_eq!(stdout(&output).trim_end(), expected, "{}", stderr(&output));
    }
}
