//! Following a program: until an interpreter appears, and then until it ends or enough is recorded.

use std::io::Write;
use std::process::Child;
use std::time::{Duration, Instant};

use record::{Claim, Consumer, Refusal, State};

use super::limits::Limits;
use super::program::Program;
use crate::drain::{Drain, DrainError};

/// How long to sleep when there is nothing to read.
const NAP: Duration = Duration::from_millis(20);

/// How a recording came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The program ended in good order.
    Finished,
    /// The program is gone.
    Died,
    /// A limit was reached; the program goes on.
    Limit,
}

/// Why it came to none.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was recorded so far is worth nothing.
    Worthless(String),
    /// What was recorded so far is good, as far as it could be written.
    Cut(DrainError),
}

/// Waits until an interpreter starts to be recorded; `seen` is what the command starts.
pub(super) fn wait_for_interpreter(
    consumer: &mut Consumer,
    child: &mut Child,
    mut seen: Option<Program>,
) -> Result<Claim, String> {
    let nothing = |seen: Option<&Program>| {
        let why = seen.map_or_else(|| "the command ran no CPython".to_owned(), Program::why_unrecorded);
        format!("nothing was recorded: {why}")
    };
    loop {
        match consumer.state() {
            State::Refused(why) => return Err(refusal(why).to_owned()),
            State::Unclaimed => {}
            _ => return consumer.claim().ok_or_else(|| nothing(seen.as_ref())),
        }
        let ended = child.try_wait().map_err(|error| error.to_string())?.is_some();
        // Whoever claimed did so before it ended.
        if ended && consumer.state() == State::Unclaimed {
            return Err(nothing(seen.as_ref()));
        }
        if !ended {
            Program::look_again(&mut seen, child.id());
        }
        consumer.wait(NAP);
    }
}

/// Why an interpreter cannot be recorded, and what to do.
fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::FreeThreaded => {
            "this is a free-threaded build of CPython, whose allocations have no common order and come from no pools: \
             record with a build that has the interpreter lock"
        }
        Refusal::System => {
            "the program's process could not map the recorder's memory: raise its memory limit (ulimit -v)"
        }
        _ => "the interpreter cannot be recorded",
    }
}

/// Reads events until the program has ended or a limit is reached.
pub(super) fn drain_all<W: Write>(
    consumer: &mut Consumer,
    child: &mut Child,
    drain: &mut Drain<W>,
    limits: Limits,
) -> Result<End, Failure> {
    let start = Instant::now();
    let mut failed = None;
    loop {
        let state = consumer.state();
        let mut sink = |event| {
            if failed.is_none() {
                failed = drain.push(event).err();
            }
        };
        let ended = !matches!(state, State::Recording);
        let drained = if ended { consumer.drain_rest(&mut sink) } else { consumer.drain(&mut sink) };
        let drained = drained.map_err(|error| Failure::Worthless(error.to_string()))?;
        if let Some(error) = failed {
            return Err(match error {
                DrainError::Write(_) => Failure::Cut(error),
                _ => Failure::Worthless(error.to_string()),
            });
        }
        match state {
            State::Recording => {}
            State::Refused(why) => return Err(Failure::Worthless(refusal(why).to_owned())),
            State::Finished => return Ok(End::Finished),
            _ => return Ok(End::Died),
        }
        if limits.time.is_some_and(|limit| start.elapsed() >= limit)
            || limits.size.is_some_and(|limit| drain.bytes_written() >= limit)
        {
            return Ok(End::Limit);
        }
        if drained.slots == 0 {
            // A process in another pid namespace cannot be watched; then the end of the command is the end.
            if !matches!(child.try_wait(), Ok(None)) {
                consumer.child_has_ended();
            }
            consumer.wait(NAP);
        }
    }
}
