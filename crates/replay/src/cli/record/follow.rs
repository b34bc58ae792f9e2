//! Following a process: from its first event until it ends or enough is recorded.

use std::io::Write;
use std::time::{Duration, Instant};

use record::{Claim, Consumer, Event, Refusal, Sink, State};

use super::family::Family;
use crate::drain::{Drain, DrainError, Fork};

/// How long to sleep when there is nothing to read.
pub(super) const NAP: Duration = Duration::from_millis(20);

/// How long what was read may wait to be written: the loss, if this process and the one in front of it are killed.
const AGE: Duration = Duration::from_secs(5);

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

/// Waits until the interpreter that took the ring has introduced itself.
pub(super) fn introduced(consumer: &mut Consumer) -> Result<Claim, String> {
    loop {
        match consumer.state() {
            State::Refused(why) => return Err(refusal(why).to_owned()),
            State::Unclaimed => {}
            _ => return consumer.claim().ok_or_else(|| "the interpreter ended before it began".to_owned()),
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
        Refusal::DirectCalls => {
            "this CPython has no hooks and calls its allocators directly (it is linked statically, or with -Bsymbolic), \
             so that the calls cannot be seen: record with one whose libpython is shared (configure --enable-shared)"
        }
        Refusal::System => {
            "the program's process could not map the recorder's memory: raise its memory limit (ulimit -v)"
        }
        _ => "the interpreter cannot be recorded",
    }
}

impl From<DrainError> for Failure {
    fn from(error: DrainError) -> Self {
        match error {
            DrainError::Write(_) => Self::Cut(error),
            _ => Self::Worthless(error.to_string()),
        }
    }
}

/// Takes events, until one does not fit.
struct Taker<'d, W: Write, F> {
    drain: &'d mut Drain<W>,
    forked: F,
    failed: Option<DrainError>,
}

impl<W: Write, F: FnMut(u64, Fork)> Taker<'_, W, F> {
    /// Tells of a fork what its child takes over.
    #[cold]
    #[inline(never)]
    fn go_on_from(&mut self, fork: u64) {
        match self.drain.fork() {
            Ok(past) => past.into_iter().for_each(|past| (self.forked)(fork, past)),
            Err(error) => self.failed = Some(error),
        }
    }
}

impl<W: Write, F: FnMut(u64, Fork)> Sink for Taker<'_, W, F> {
    #[inline(always)]
    fn take(&mut self, event: Event) {
        if self.failed.is_some() {
            return;
        }
        // (Nothing is copied unless it fails: this is done some ten million times a second.)
        if let Err(error) = self.drain.push(event) {
            self.failed = Some(error);
        } else if let Event::Forked { fork } = event {
            self.go_on_from(fork);
        }
    }
}

/// Reads events until the process has ended or a limit is reached.
pub(super) fn drain_all<W: Write>(
    consumer: &mut Consumer,
    drain: &mut Drain<W>,
    family: &Family<'_>,
    forked: impl FnMut(u64, Fork),
) -> Result<End, Failure> {
    let mut taker = Taker { drain, forked, failed: None };
    let (mut written, mut due) = (0, Instant::now() + AGE);
    let number = consumer.number();
    loop {
        if !family.is_wanted(number) {
            return Err(Failure::Worthless("another interpreter turned out to be the program".to_owned()));
        }
        let state = consumer.state();
        let ended = !matches!(state, State::Recording);
        let drained =
            if ended { consumer.drain_rest_into(&mut taker) } else { consumer.drain_into(&mut taker) };
        let drained = drained.map_err(|error| Failure::Worthless(error.to_string()))?;
        if let Some(error) = taker.failed.take() {
            return Err(error.into());
        }
        match state {
            State::Recording => {}
            State::Refused(why) => return Err(Failure::Worthless(refusal(why).to_owned())),
            State::Finished => return Ok(End::Finished),
            _ => return Ok(End::Died),
        }
        let before = std::mem::replace(&mut written, taker.drain.bytes_written());
        if family.is_enough(written - before) {
            return Ok(End::Limit);
        }
        if Instant::now() >= due {
            taker.drain.write_soon();
            due = Instant::now() + AGE;
        }
        if drained.slots == 0 {
            // A process in another pid namespace cannot be watched; then the end of the command is the end.
            if family.command_has_ended() {
                consumer.child_has_ended();
            }
            consumer.wait(NAP);
        }
    }
}
