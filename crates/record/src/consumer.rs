//! The reading side of the ring.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicU8, AtomicU32,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    fence,
};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::futex;

use crate::decode::{Found, decode_any, decode_narrow};
use crate::preload::header::{self, Header};
use crate::preload::slot::{self, PHASE};
use crate::ring::Ring;
use crate::{Claim, Drained, End, Error, Event, Origin, Refusal, Session, Sink, State, Status};

/// Nobody wakes the reader of a program that was killed or does not allocate, so it looks by itself this often.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_millis(20);

/// After how many sleeps a program is known to wait in vain: the first may be from before the last reading.
const STUCK: u32 = 3;

/// A function that is a sink.
struct Calls<'f, F>(&'f mut F);

impl<F: FnMut(Event)> Sink for Calls<'_, F> {
    #[inline]
    fn take(&mut self, event: Event) {
        (self.0)(event);
    }
}

/// Reads the events of one recording.
///
/// Dropping it sets the program free, which goes on unrecorded.
#[derive(Debug)]
pub struct Consumer {
    ring: Arc<Ring>,
    /// Kept for the processes that it made, and for what they start.
    _session: Option<Session>,
    /// Slots read, since the beginning.
    position: u64,
    /// Slots that the program knows to be free again.
    published: u64,
    /// How often the program went to sleep again although everything was read.
    stuck: u32,
    /// Where garbage was found: nothing behind it can be told.
    corrupt: Option<u64>,
    process: Process,
    /// Once the program that was started has ended: since when nothing was read.
    quiet_since: Option<Instant>,
}

/// The recorded process, as far as it is known whether it lives.
#[derive(Debug)]
enum Process {
    /// Not looked for yet.
    Unknown,
    /// It was there when it was looked for, under the number that it stated.
    Known(OwnedFd),
    /// The kernel has no process descriptors; ask by number.
    Number(Pid),
    /// It was there, and is no more.
    Gone,
    /// It could not be found: it had ended before it was looked for, or its number means nothing here.
    Unseen,
}

impl Consumer {
    pub(crate) fn new(ring: Ring, session: Option<Session>) -> Self {
        Self {
            ring: Arc::new(ring),
            _session: session,
            position: 0,
            published: 0,
            stuck: 0,
            corrupt: None,
            process: Process::Unknown,
            quiet_since: None,
        }
    }

    /// Which interpreter of its session it is, counted from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.ring.header().number.load(Relaxed)
    }

    /// To be asked about forks of this process, by any thread.
    #[must_use]
    pub fn forks(&self) -> Forks {
        Forks(Arc::clone(&self.ring))
    }

    /// Gives all events that are there to `sink`, in order, but no more than fill the ring once; the places that
    /// they took are free again afterwards. An event that is only written in part stays for the next call.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if something overwrote the ring, then and at every later call; the events before that
    /// place were given to `sink`.
    pub fn drain(&mut self, sink: &mut impl FnMut(Event)) -> Result<Drained, Error> {
        self.drain_into(&mut Calls(sink))
    }

    /// The same for a sink that is more than a function.
    ///
    /// # Errors
    ///
    /// As for [`Self::drain`].
    pub fn drain_into(&mut self, sink: &mut impl Sink) -> Result<Drained, Error> {
        if let Some(at) = self.corrupt {
            wake_producer(self.ring.header());
            return Err(Error::Corrupt { at });
        }
        let slots = self.ring.slots();
        let capacity = slots.len();
        let log2 = capacity.trailing_zeros();
        // The program learns of free places in eighths: rarely enough to cost nothing, early enough not to wait.
        let batch = capacity / 8;
        let start = self.position;
        let mut drained = Drained::default();
        let mut result = Ok(());
        'ring: while self.position.wrapping_sub(start) < capacity as u64 {
            let index = place(self.position, capacity);
            let phase = slot::phase_of_lap(self.position >> log2);
            let end = capacity.min(index + batch);
            let mut read = 0;
            let mut is_written = true;
            for word in &slots[index..end] {
                let word = word.load(Relaxed);
                is_written = word & PHASE == phase;
                if !is_written || !decode_narrow(word, sink) {
                    break;
                }
                read += 1;
            }
            self.position += read;
            drained.events += read;
            if !is_written {
                break 'ring;
            }
            if read < (end - index) as u64 {
                match decode_any(slots, self.position) {
                    Found::Event(event, used) => {
                        self.position += used as u64;
                        drained.events += 1;
                        sink.take(event);
                    }
                    Found::Nothing => break 'ring,
                    Found::Garbage => {
                        result = Err(self.give_up());
                        break 'ring;
                    }
                }
            }
            if self.position - self.published >= batch as u64 {
                self.ring.header().tail.store(self.position, Release);
                self.published = self.position;
                // A waiting program may go on before all is read, but not for so few places that it waits again
                // at once.
                if self.position - start >= capacity as u64 / 2 {
                    fence(SeqCst);
                    wake_producer(self.ring.header());
                }
            }
        }
        drained.slots = self.position - start;
        if drained.slots > 0 {
            self.stuck = 0;
            self.quiet_since = self.quiet_since.map(|_| Instant::now());
            self.publish();
        } else if result.is_ok() {
            result = self.look_for_deadlock();
        }
        result.map(|()| drained)
    }

    /// Gives everything to `sink` that is still in the ring, once no further event can come (see [`State`]).
    ///
    /// # Errors
    ///
    /// As for [`Self::drain`].
    pub fn drain_rest(&mut self, sink: &mut impl FnMut(Event)) -> Result<Drained, Error> {
        self.drain_rest_into(&mut Calls(sink))
    }

    /// The same for a sink that is more than a function.
    ///
    /// # Errors
    ///
    /// As for [`Self::drain`].
    pub fn drain_rest_into(&mut self, sink: &mut impl Sink) -> Result<Drained, Error> {
        let mut total = Drained::default();
        loop {
            let drained = self.drain_into(sink)?;
            if drained.events == 0 {
                return Ok(total);
            }
            total.events += drained.events;
            total.slots += drained.slots;
        }
    }

    /// Gives all events to `sink` until the recording is over. `ended` is asked from time to time while no
    /// interpreter has taken the ring, or one that cannot be seen from here: has what was started ended?
    ///
    /// # Errors
    ///
    /// As for [`Self::drain`].
    pub fn follow(
        &mut self,
        sink: &mut impl FnMut(Event),
        mut ended: impl FnMut() -> bool,
    ) -> Result<End, Error> {
        loop {
            // Asked before the ring is read, so that nothing can come after the last reading.
            let over = match self.state() {
                State::Recording => {
                    if matches!(self.process, Process::Unseen) && ended() {
                        self.child_has_ended();
                    }
                    None
                }
                State::Finished => Some(End::Finished),
                State::Died => Some(End::Died),
                State::Refused(why) => Some(End::Refused(why)),
                // Asked again, as the ring may have been taken just before the end.
                State::Unclaimed => (ended() && self.state() == State::Unclaimed).then_some(End::Unclaimed),
            };
            if let Some(end) = over {
                self.drain_rest(sink)?;
                return Ok(end);
            }
            if self.drain(sink)?.events == 0 {
                self.wait(LONGEST_SLEEP);
            }
        }
    }

    /// Sleeps until there is something to read, at most for `timeout` and never longer than 20 ms. The program
    /// wakes the reader only when it has filled a quarter of the ring, or ends. Returns whether there is something.
    pub fn wait(&mut self, timeout: Duration) -> bool {
        if self.has_more() {
            return true;
        }
        let header = self.ring.header();
        header.consumer_sleeps.store(1, Relaxed);
        fence(SeqCst);
        if !self.has_more() && header.state.load(Acquire) <= header::STATE_RECORDING {
            let timeout = Timespec::try_from(timeout.min(LONGEST_SLEEP)).ok();
            // Woken, interrupted, timed out: it is all the same.
            let _ = futex::wait(&header.consumer_sleeps, futex::Flags::empty(), 1, timeout.as_ref());
        }
        header.consumer_sleeps.store(0, Relaxed);
        self.has_more()
    }

    /// The process that took the ring, as its `/proc` has it; 0 as long as there is none.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.ring.header().claim.load(Acquire) & !header::CLAIM_UNCERTAIN
    }

    /// Who is being recorded, once an interpreter has taken the ring. Text that is not UTF-8 is replaced.
    pub fn claim(&self) -> Option<Claim> {
        let header = self.ring.header();
        if header.state.load(Acquire) == header::STATE_EMPTY {
            return None;
        }
        let executable = PathBuf::from(OsString::from_vec(text(&header.executable)));
        let library = PathBuf::from(OsString::from_vec(text(&header.library)));
        Some(Claim {
            pid: self.pid(),
            version: String::from_utf8_lossy(&text(&header.version)).into_owned(),
            // The loader knows libraries by their path, but the executable by what it was called as.
            library: if library.is_absolute() { library } else { executable.clone() },
            executable,
            origin: match header.forked_from.load(Relaxed) {
                0 => Origin::Started,
                parent => Origin::Forked { parent, fork: header.fork.load(Relaxed).into() },
            },
        })
    }

    /// Tells that the program which was started has ended; to be called when that is known, once or more often.
    /// [`Self::follow`] does it by itself.
    ///
    /// This matters only if the recorded process cannot be seen from here: if it had ended before it was looked for,
    /// or has a number of another process namespace. Such a recording is taken to go on until the program that was
    /// started has ended and then nothing came for 20 ms, the longest time that [`Self::wait`] takes; then it is
    /// [`State::Died`]. A process that can be seen, which may outlive what started it, is recorded to its own end.
    pub fn child_has_ended(&mut self) {
        self.quiet_since.get_or_insert_with(Instant::now);
    }

    /// How far the recording is. After [`State::Finished`] and [`State::Died`] everything that will ever be in the
    /// ring is there: [`Self::drain_rest`] completes the recording. Whoever does not use [`Self::follow`] should say
    /// when what was started has ended (see [`Self::child_has_ended`]), or may wait for ever for a program that was
    /// killed early.
    pub fn state(&mut self) -> State {
        let header = self.ring.header();
        let recorded = |header: &Header| match header.state.load(Acquire) {
            header::STATE_EMPTY => None,
            header::STATE_RECORDING => Some(State::Recording),
            header::STATE_REFUSED => Some(State::Refused(refusal(header.reason.load(Relaxed)))),
            _ => Some(State::Finished),
        };
        match recorded(header) {
            Some(State::Recording) | None => {}
            Some(state) => return state,
        }
        let pid = header.claim.load(Relaxed);
        if pid == 0 {
            return State::Unclaimed;
        }
        let alive = match self.process.is_alive(pid) {
            Some(alive) => alive,
            None => self.quiet_since.is_none_or(|since| since.elapsed() < LONGEST_SLEEP || self.has_more()),
        };
        // Looked at again: it may have ended in good order between the two.
        match recorded(self.ring.header()) {
            Some(State::Recording) | None if !alive => State::Died,
            Some(state) => state,
            None => State::Unclaimed,
        }
    }

    /// What the recorder noticed about the program so far.
    pub fn status(&self) -> Status {
        let flags = self.ring.header().flags.load(Relaxed);
        Status {
            initialized: flags & header::FLAG_INITIALIZED != 0,
            hooks_lost: flags & header::FLAG_HOOKS_LOST != 0,
            hooks_wrapped: flags & header::FLAG_HOOKS_WRAPPED != 0,
            concurrent: flags & header::FLAG_CONCURRENT != 0,
            several_interpreters: flags & header::FLAG_SEVERAL_INTERPRETERS != 0,
            statistics: flags & header::FLAG_STATISTICS != 0,
            objects: flags & header::FLAG_OBJECTS != 0,
            counts: flags & header::FLAG_COUNTS != 0,
            collections: flags & header::FLAG_COLLECTIONS != 0,
        }
    }

    /// Slots read since the beginning of the recording.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Is the next slot written?
    fn is_ready(&self) -> bool {
        let slots = self.ring.slots();
        let word = slots[place(self.position, slots.len())].load(Relaxed);
        word & PHASE == slot::phase_of_lap(self.position / slots.len() as u64)
    }

    /// Would reading bring an event? What a killed program had written of its last one is none.
    fn has_more(&self) -> bool {
        self.corrupt.is_none()
            && self.is_ready()
            && decode_any(self.ring.slots(), self.position) != Found::Nothing
    }

    /// A program that waits for room while nothing can be read has lost count, which takes two threads that write
    /// at once. It is set free, and what follows cannot be read.
    fn look_for_deadlock(&mut self) -> Result<(), Error> {
        let header = self.ring.header();
        if header.producer_sleeps.load(Relaxed) == 0 || header.producer_sleeps.swap(0, SeqCst) == 0 {
            return Ok(());
        }
        // It may just not have seen yet how far we are. Woken, it looks; if it then waits again, it is stuck.
        let _ = futex::wake(&header.producer_sleeps, futex::Flags::empty(), u32::MAX);
        self.stuck += 1;
        if self.stuck < STUCK || self.has_more() {
            return Ok(());
        }
        Err(self.give_up())
    }

    /// Notes that nothing can be read from here on, and lets the program go on unrecorded.
    fn give_up(&mut self) -> Error {
        let at = self.position;
        self.corrupt = Some(at);
        let header = self.ring.header();
        header.closed.store(1, SeqCst);
        wake_producer(header);
        Error::Corrupt { at }
    }

    /// Tells the program which places are free again, and wakes it if it waits for them.
    fn publish(&mut self) {
        let header = self.ring.header();
        header.tail.store(self.position, Release);
        self.published = self.position;
        fence(SeqCst);
        wake_producer(header);
    }
}

/// The forks of a recorded process.
#[derive(Clone, Debug)]
pub struct Forks(Arc<Ring>);

impl Forks {
    /// Whether the child that a fork made has become another program before it did anything to be recorded. If so,
    /// nobody will ever [go on](Origin::Forked) from that fork. Known only of the last 64 such forks.
    #[must_use]
    pub fn is_replaced(&self, fork: u64) -> bool {
        let header = self.0.header();
        is_among(fork, &header.replaced) && !is_among(fork, &header.shared)
    }

    /// Whether several processes may go on from a fork: its child was forked in turn before it did anything to be
    /// recorded.
    #[must_use]
    pub fn is_shared(&self, fork: u64) -> bool {
        is_among(fork, &self.0.header().shared)
    }
}

fn is_among(fork: u64, forks: &[AtomicU32]) -> bool {
    let place = fork % forks.len() as u64;
    usize::try_from(place).is_ok_and(|place| u64::from(forks[place].load(Relaxed)) == fork)
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let header = self.ring.header();
        header.closed.store(1, SeqCst);
        wake_producer(header);
    }
}

impl Process {
    /// None: that cannot be told from here.
    fn is_alive(&mut self, pid: u32) -> Option<bool> {
        if let Self::Unknown = self {
            *self = match i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // No process has such a number: not one here, at least (see `CLAIM_UNCERTAIN`).
                None => Self::Unseen,
                Some(pid) => match pidfd_open(pid, PidfdFlags::empty()) {
                    Ok(process) => Self::Known(process),
                    Err(rustix::io::Errno::SRCH) => Self::Unseen,
                    Err(_) if has_ended(pid) => Self::Unseen,
                    Err(_) => Self::Number(pid),
                },
            };
        }
        let gone = match self {
            Self::Unseen | Self::Unknown => return None,
            Self::Gone => true,
            Self::Number(pid) => has_ended(*pid),
            Self::Known(process) => {
                let mut poll_fds = [PollFd::new(process, PollFlags::IN)];
                let now = Timespec { tv_sec: 0, tv_nsec: 0 };
                matches!(poll(&mut poll_fds, Some(&now)), Ok(1..))
            }
        };
        if gone {
            *self = Self::Gone;
        }
        Some(!gone)
    }
}

/// Is there no process with this number any more?
fn has_ended(pid: Pid) -> bool {
    rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

/// Index of a slot, given its number since the beginning.
#[expect(clippy::cast_possible_truncation, reason = "less than the capacity")]
fn place(position: u64, capacity: usize) -> usize {
    (position & (capacity as u64 - 1)) as usize
}

fn wake_producer(header: &Header) {
    if header.producer_sleeps.load(Relaxed) != 0 && header.producer_sleeps.swap(0, Relaxed) != 0 {
        // There is nobody to tell that nobody was woken.
        let _ = futex::wake(&header.producer_sleeps, futex::Flags::empty(), u32::MAX);
    }
}

fn refusal(reason: u32) -> Refusal {
    match reason {
        header::REASON_FREE_THREADED => Refusal::FreeThreaded,
        header::REASON_SYSTEM => Refusal::System,
        header::REASON_DIRECT_CALLS => Refusal::DirectCalls,
        _ => Refusal::Unknown,
    }
}

/// A text up to its terminator, or all of it.
fn text(from: &[AtomicU8]) -> Vec<u8> {
    from.iter().map(|byte| byte.load(Relaxed)).take_while(|byte| *byte != 0).collect()
}
