//! Terminals and job control: who is stopped, interrupted and continued.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::processes::{child_of, state_of};
use crate::support::pythons::recordable;
use crate::support::{replay, stderr, stdout, verify_json};

/// Works until it is interrupted, and counts how often.
const PROGRAM: &str = "
import os, signal, sys, time
interrupts = []
signal.signal(signal.SIGINT, lambda number, frame: interrupts.append(number))
open('pid', 'w').write(str(os.getpid()))
print('I am re' + 'ady', flush=True)
while not interrupts:
    kept = [[n] for n in range(1000)]
time.sleep(0.3)
print('interrupted', len(interrupts), 'times', flush=True)
sys.exit(7)
";

/// Types at a shell in a terminal, and reads what comes.
const TERMINAL: &str = r#"
import os, pty, select, sys, time
replay, python, folder = sys.argv[1:]
shell, terminal = pty.fork()
if not shell:
    os.chdir(folder)
    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
seen = ""
def expect(what):
    global seen
    for wait in range(600):
        if what in seen:
            seen = seen.split(what, 1)[1]
            return
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 65536).decode("utf-8", "replace")
    sys.exit("%r did not come: %r" % (what, seen))
def enter(text):
    os.write(terminal, text.encode())
def state(pid):
    return open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[0]
def parent(pid):
    return int(open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[1])
def until(condition, what):
    for wait in range(600):
        if condition():
            return
        time.sleep(0.1)
    sys.exit(what)
enter("%s record -f -o a.viv -- %s program.py\n" % (replay, python))
expect("I am ready")
program = int(open(folder + "/pid").read())
recorder = parent(program)
front = parent(recorder)
for stop in range(2):
    enter("\x1a")
    expect("Stopped")
    until(lambda: state(program) == "T" and state(front) == "T", "not stopped")
    assert state(recorder) != "T"
    enter("fg\n")
    until(lambda: state(program) != "T" and state(front) != "T", "not continued")
enter("\x1a")
expect("Stopped")
# To the process that the shell knows, and to nobody else.
os.kill(front, 18)
until(lambda: state(program) != "T", "not continued")
enter("fg\n")
until(lambda: os.tcgetpgrp(terminal) == os.getpgid(front), "not in front")
enter("\x03")
expect("interrupted 1 times")
enter("echo status=$?\n")
expect("status=7")
print("good")
"#;

#[test]
fn a_job_is_stopped_continued_and_interrupted_once() {
    let Some(python) = recordable("job control").pop() else { return };
    if !Path::new("/bin/bash").exists() {
        eprintln!("skipped: job control: there is no bash");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("program.py"), PROGRAM).unwrap();
    let output = Command::new(&python.path)
        .args(["-W", "ignore", "-c", TERMINAL, env!("CARGO_BIN_EXE_replay")])
        .args([&python.path, folder.path()])
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "good\n", "{}", stderr(&output));
    assert_eq!(verify_json(&folder.path().join("a.viv")).1, 0);
}

/// Begins to record this.
fn begin(folder: &Path, command: &[&str]) -> Child {
    let mut record = replay();
    record.current_dir(folder).args(["record", "-o", "a.viv"]).args(command);
    record.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Without a shell, too; a program that is continued does not wait for a recorder that is not.
#[test]
fn a_program_that_somebody_stops_goes_on_when_it_is_continued() {
    let Some(python) = recordable("stopping").pop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "
open('ready', 'w').close()
while True:
    kept = [[n] for n in range(2000)]";
    let mut front = begin(folder.path(), &[python.path.to_str().unwrap(), "-c", script]);
    while !folder.path().join("ready").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let program = child_of(front.id()).and_then(child_of).expect("the program runs");
    let send = |signal| kill_process(Pid::from_raw(program.cast_signed()).unwrap(), signal).unwrap();
    let wait = |is_stopped: bool| {
        while (state_of(front.id()) == Some('T')) != is_stopped {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    send(Signal::STOP);
    wait(true);
    send(Signal::CONT);
    wait(false);
    // Ended while it is stopped: nobody stays stopped for it.
    send(Signal::STOP);
    wait(true);
    send(Signal::KILL);
    let status = front.wait().unwrap();
    assert_eq!(status.code(), Some(137));
    assert_eq!(verify_json(&folder.path().join("a.viv")).1, 0);
}

/// What a shell leaves running behind it still gets what is sent to the recorder.
#[test]
fn signals_reach_an_interpreter_that_outlives_the_command() {
    // The program is in Python 3.
    let Some(python) = recordable("outliving").pop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "
import signal, sys, time
def end(number, frame):
    print('asked to end')
    sys.stdout.flush()
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
kept = [[n] for n in range(9999)]
open('ready', 'w').close()
time.sleep(60)";
    std::fs::write(folder.path().join("program.py"), script).unwrap();
    let command = format!("'{}' program.py & exit 4", python.path.display());
    let front = begin(folder.path(), &["sh", "-c", &command]);
    while !folder.path().join("ready").exists() || child_of(front.id()).and_then(child_of).is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_raw(front.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    let output = front.wait_with_output().unwrap();
    assert_eq!(stdout(&output), "asked to end\n", "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert_eq!(verify_json(&folder.path().join("a.viv")).1, 0);
}

/// It may be on its way when the command has ended already.
#[test]
fn signals_wait_for_an_interpreter_that_begins_later() {
    let Some(python) = recordable("beginning later").pop() else { return };
    let folder = tempfile::tempdir().unwrap();
    let script = "import time; time.sleep(30); print('not asked to end')";
    let later = format!("read line < go; exec '{}' -c \"{script}\"", python.path.display());
    let command = format!("read line < end; ({later}) & exit 4");
    let fifo = |name| {
        let path = folder.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .unwrap();
        path
    };
    let (end, go) = (fifo("end"), fifo("go"));
    let front = begin(folder.path(), &["sh", "-c", &command]);
    std::fs::write(end, "end\n").unwrap();
    while child_of(front.id()).and_then(child_of).is_some() {
        std::thread::sleep(Duration::from_millis(1));
    }
    kill_process(Pid::from_raw(front.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    std::fs::write(go, "go\n").unwrap();
    let output = front.wait_with_output().unwrap();
    // It may have been too early for anything to be recorded.
    assert_eq!(stdout(&output), "", "{}", stderr(&output));
}
