//! Children, sudden deaths, and readers that leave.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use record::{Consumer, End, Event, Session, SessionOptions};

use crate::model::play;
use crate::pythons::each;
use crate::recorded::{command, plain, record, record_by};

/// Sizes that nothing else asks for.
const IN_CHILD: u64 = 123_457;
const IN_PARENT: u64 = 765_431;

/// Is there a buffer of `size` bytes? The object's own header comes on top.
fn has_buffer(events: &[Event], size: u64) -> bool {
    events.iter().any(|event| match event {
        Event::Allocate { size: found, .. } | Event::Resize { size: found, .. } => {
            (size..size + 64).contains(found)
        }
        _ => false,
    })
}

#[test]
fn forked_children_are_not_in_it() {
    let program = format!(
        "
import os, sys
for i in range(3):
    child = os.fork()
    if child == 0:
        # Compilers before 3.7 compute products of constants, in the parent.
        x = [b'x' * int('{IN_CHILD}') for i in range(100)]
        y = [str(i) for i in range(100000)]
        sys.exit(i)
    print(os.waitpid(child, 0)[1] >> 8)
    sys.stdout.flush()
b'y' * {IN_PARENT}
z = b'z' * int('{IN_PARENT}')
print('done')
"
    );
    each(|python| {
        let recording = record(command(python, &program));
        assert_eq!(recording.seen, plain(command(python, &program)), "{python:?}");
        assert_eq!(recording.end, End::Finished);
        play(&recording.events);
        assert!(has_buffer(&recording.events, IN_PARENT), "{python:?}");
        assert!(!has_buffer(&recording.events, IN_CHILD), "{python:?}");
    });
}

#[test]
fn other_programs_are_not_in_it() {
    let program = format!(
        "
import multiprocessing, subprocess, sys
def work(n): return len(b'x' * (int('{IN_CHILD}') + n))
if __name__ == '__main__':
    print(subprocess.check_output([sys.executable, '-c', 'print(len(b\"x\" * int(\"{IN_CHILD}\")))']))
    # Before 3.4 there is only this kind.
    context = getattr(multiprocessing, 'get_context', lambda kind: multiprocessing)
    pool = context('fork').Pool(2)
    print(pool.map(work, range(8)))
    pool.close(); pool.join()
    z = b'z' * int('{IN_PARENT}')
"
    );
    each(|python| {
        let recording = record(command(python, &program));
        assert_eq!(recording.seen, plain(command(python, &program)), "{python:?}");
        play(&recording.events);
        assert!(has_buffer(&recording.events, IN_PARENT), "{python:?}");
        assert!(!has_buffer(&recording.events, IN_CHILD), "{python:?}");
    });
}

#[test]
fn a_killed_program_loses_nothing() {
    let program = format!(
        "
import os
x = [str(i) for i in range(50000)]
z = b'z' * int('{IN_PARENT}')
os.kill(os.getpid(), 9)
"
    );
    each(|python| {
        let recording = record(command(python, &program));
        assert_eq!(recording.end, End::Died, "{python:?}");
        assert_eq!(recording.seen.status, plain(command(python, &program)).status);
        play(&recording.events);
        let last = &recording.events[recording.events.len().saturating_sub(200)..];
        assert!(has_buffer(last, IN_PARENT), "{python:?}");
    });
}

#[test]
fn a_shell_that_starts_no_interpreter_is_no_recording() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo a; env true; exit 4"]);
    shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    let recording = record(shell);
    assert_eq!(recording.end, End::Unclaimed);
    assert_eq!((recording.seen.status.code(), recording.seen.stdout.as_str()), (Some(4), "a\n"));
    assert_eq!(recording.seen.stderr, "");
}

#[test]
fn launchers_pass_it_on_and_the_first_interpreter_takes_it() {
    each(|python| {
        let mut shell = Command::new("sh");
        let path = python.path.display();
        // Two interpreters: the second finds the ring taken, and an environment of its own without our variables.
        let script = format!(
            "true; env A=1 {path} -c 'print(1)'; {path} -c \"import os; print([k for k in os.environ if k.startswith('VIVARIUM_BOARD') or 'PRELOAD' in k])\""
        );
        shell.args(["-c", &script]);
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        let recording = record_by(session(), shell, |consumer, events, ended| {
            let end = consumer.follow(&mut |event| events.push(event), &mut *ended).expect("a clean ring");
            // The library must outlive the first interpreter, for the second to start without complaint.
            while !ended() {
                std::thread::sleep(Duration::from_millis(5));
            }
            end
        });
        assert_eq!(recording.end, End::Finished, "{python:?}");
        assert_eq!(recording.seen.stdout, "1\n[]\n", "{python:?} {:?}", recording.seen);
        assert_eq!(recording.seen.stderr, "");
        play(&recording.events);
    });
}

#[test]
fn a_process_namespace_of_its_own_does_not_hide_the_program() {
    let unshare = || {
        let mut unshare = Command::new("unshare");
        unshare.args(["--pid", "--fork"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        unshare
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not make namespaces");
        return;
    }
    each(|python| {
        for (last, end) in [("sys.exit(3)", End::Finished), ("os._exit(3)", End::Died)] {
            let mut command = unshare();
            let program = format!(
                "
import os, sys, time
x = [str(i) for i in range(20000)]
time.sleep(0.1)
print('%d %s' % (os.getpid(), os.readlink('/proc/self')))
sys.stdout.flush()
z = b'z' * int('{IN_PARENT}')
{last}
"
            );
            command.arg(&python.path).args(["-c", &program]);
            let recording = record(command);
            let pid = recording.claim.expect("a claim").pid;
            assert_eq!(recording.seen.stdout, format!("1 {pid}\n"), "{python:?}");
            assert_eq!((recording.end, recording.seen.status.code()), (end, Some(3)), "{python:?}");
            assert!(has_buffer(&recording.events, IN_PARENT), "{python:?}");
            play(&recording.events);
        }
    });
}

fn session() -> Session {
    let options = SessionOptions { ring_bytes: 4096, ..SessionOptions::default() };
    Session::new(&options).expect("a session")
}

const LONG: &str = "print(len([str(i) for i in range(300000)]))";

#[test]
fn a_reader_that_leaves_does_not_harm_the_program() {
    each(|python| {
        let session = session();
        let mut run = command(python, LONG);
        session.configure(&mut run);
        let child = run.spawn().expect("the interpreter starts");
        let mut consumer = session.into_consumer();
        let read = drain_some(&mut consumer);
        drop(consumer);
        let output = child.wait_with_output().expect("it ends");
        assert!(read > 0 && output.status.success(), "{python:?} {output:?}");
        assert_eq!(output.stdout, b"300000\n");
        assert_eq!(output.stderr, b"");
    });
}

fn drain_some(consumer: &mut Consumer) -> u64 {
    let mut read = 0;
    let started = Instant::now();
    while read < 5000 && started.elapsed() < Duration::from_secs(30) {
        read += consumer.drain(&mut |_| ()).expect("a clean ring").events;
        consumer.wait(Duration::from_millis(20));
    }
    read
}

/// The reader is killed, and remains as a zombie: this test's process again, as [`be_killed`].
#[test]
fn a_reader_that_is_killed_does_not_harm_the_program() {
    each(|python| {
        let me = std::env::current_exe().expect("a path");
        let mut reader = Command::new(me)
            .args(["--exact", "lifecycle::be_killed", "--ignored", "--nocapture"])
            .env("VIVARIUM_TEST_READER_OF", &python.path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a reader");
        let mut output = String::new();
        let mut pipe = reader.stdout.take().expect("a pipe");
        // The program inherited the pipe: this ends when both have ended, and the reader is not waited for before.
        std::io::Read::read_to_string(&mut pipe, &mut output).expect("text");
        assert!(output.contains("300000\n"), "{python:?}: {output}");
        let status = reader.wait().expect("a status");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
    });
}

#[test]
#[ignore = "not a test: the process that a test starts and that kills itself"]
fn be_killed() {
    let Some(python) = std::env::var_os("VIVARIUM_TEST_READER_OF") else { return };
    let session = session();
    let mut run = Command::new(python);
    run.args(["-c", LONG]);
    session.configure(&mut run);
    #[expect(clippy::zombie_processes, reason = "this process kills itself while the program runs")]
    let _child = run.spawn().expect("the interpreter starts");
    let mut consumer = session.into_consumer();
    drain_some(&mut consumer);
    // SAFETY: no preconditions.
    unsafe { libc::raise(libc::SIGKILL) };
}
