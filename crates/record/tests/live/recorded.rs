//! Runs a program with and without being recorded.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use record::{Claim, Consumer, End, Event, Session, SessionOptions, Status};

use crate::pythons::Python;

/// What a program did, seen from outside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// What was recorded of it.
#[derive(Debug)]
pub(crate) struct Recording {
    pub seen: Seen,
    pub end: End,
    pub events: Vec<Event>,
    pub status: Status,
    pub claim: Option<Claim>,
}

/// The command for a program text. Hash seeds are fixed, so that two runs do the same.
pub(crate) fn command(python: &Python, program: &str) -> Command {
    let mut command = Command::new(&python.path);
    // Set for both runs: a command that changes any variable sorts the environment.
    command.args(["-c", program]).env("PYTHONHASHSEED", "0").env_remove("LD_PRELOAD");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it unrecorded.
pub(crate) fn plain(mut command: Command) -> Seen {
    let output = command.output().expect("the interpreter starts");
    Seen {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs it recorded, with a small ring, so that it fills often.
pub(crate) fn record(command: Command) -> Recording {
    record_with(command, &SessionOptions { ring_bytes: 64 << 10, ..SessionOptions::default() })
}

/// Runs it recorded.
pub(crate) fn record_with(command: Command, options: &SessionOptions) -> Recording {
    let session = Session::new(options).expect("a session");
    record_by(session, command, |consumer, events, ended| {
        consumer.follow(&mut |event| events.push(event), ended).expect("a clean ring")
    })
}

/// Runs it with a reader of one's own.
pub(crate) fn record_by(
    session: Session,
    mut command: Command,
    read: impl FnOnce(&mut Consumer, &mut Vec<Event>, &mut dyn FnMut() -> bool) -> End,
) -> Recording {
    session.configure(&mut command);
    let mut child = command.spawn().expect("the interpreter starts");
    let text = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).expect("a readable pipe");
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let stdout = text(Box::new(child.stdout.take().expect("a pipe")));
    let stderr = text(Box::new(child.stderr.take().expect("a pipe")));
    let mut consumer = session.into_consumer();
    let mut events = Vec::new();
    let mut ended = || !matches!(child.try_wait(), Ok(None));
    let end = read(&mut consumer, &mut events, &mut ended);
    let (status, claim) = (consumer.status(), consumer.claim());
    drop(consumer);
    // A program that hangs must fail the test, not the whole run.
    let (done, wait) = mpsc::channel();
    let pid = child.id();
    let waiter = thread::spawn(move || {
        let status = child.wait().expect("a status");
        let _ = done.send(());
        status
    });
    if wait.recv_timeout(Duration::from_secs(60)).is_err() {
        // SAFETY: the process is our child and not waited for yet, so the number is still its own.
        unsafe { libc::kill(pid.cast_signed(), libc::SIGKILL) };
        panic!("the program hangs");
    }
    let seen = Seen {
        status: waiter.join().expect("a status"),
        stdout: stdout.join().expect("text"),
        stderr: stderr.join().expect("text"),
    };
    Recording { seen, end, events, status, claim }
}
