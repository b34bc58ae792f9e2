//! Records the memory behaviour of a stock CPython, from its first allocation to its last.
//!
//! A small library, preloaded into the program, puts hooks on the interpreter's allocators before `main` and writes
//! one event for each call into a ring in shared memory; this crate carries that library, starts programs with it
//! and reads the ring. It knows nothing of replaying, nor of file formats.
//!
//! ```no_run
//! use record::{End, Session, SessionOptions};
//!
//! let session = Session::new(&SessionOptions::default())?;
//! let mut command = std::process::Command::new("python3");
//! command.args(["-c", "print(sum(range(10)))"]);
//! session.configure(&mut command);
//! let mut program = command.spawn()?;
//! let mut consumer = session.into_consumer();
//! let mut events = 0_u64;
//! let end = consumer.follow(&mut |_| events += 1, || matches!(program.try_wait(), Ok(Some(_)) | Err(_)))?;
//! assert_eq!(end, End::Finished);
//! program.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is decided here
//!
//! - **The program waits, nothing is dropped.** The ring is small (a large one costs page faults and cache misses),
//!   and a program that fills it sleeps until the reader caught up. A reader that goes away sets it free.
//! - **A slot says itself that it is valid**, by a bit that flips with every lap. So the program shares no counter on
//!   its hot path, and everything that a killed program wrote is still there to be read.
//! - **The preloaded library finds its program.** What is started is often a shell script that starts the interpreter.
//!   The library sleeps in every process that exports no allocator interface; the first that does takes the ring, and
//!   restores its own environment.
//! - **Version-agnostic.** No CPython headers: documented functions, found by name. One undocumented thing is touched,
//!   the table entry of `sys._debugmallocstats`, so that it prints what it prints unrecorded; if the entry is not
//!   where and what it should be, it is left alone.
//! - **Interpreters that keep no hooks** have the functions replaced that would have called them: 3.6 sets its allocators
//!   when it starts, 2.7 has no hooks at all. No name is exported for that, least of all into processes that need none of
//!   it: what the dynamic loader has filled in, and will, is changed before `main`. Whether all calls go that way is
//!   looked at first; if not, the interpreter is refused.
//! - **One ring for each interpreter.** The recorder's state lives in a page that the kernel wipes at a fork. A forked
//!   child has no ring until its first event; then it takes one of its own and says at which event of its parent it goes
//!   on, or is counted. What an interpreter starts is told of the recording by the functions that start programs, which
//!   the library exports for that: its environment shows nothing.
//!
//! What a program can still notice: the order of its environment (that of `std::process::Command` once a variable was
//! set), the initial environment in `/proc/self/environ`, the mapped files in `/proc/self/maps`, and that
//! `PYTHONMALLOCSTATS` prints nothing, since the interpreter reports its pools only if its own allocator is on top.
//!
//! Recording works on Linux with glibc, on x86-64 and AArch64. Elsewhere the crate compiles, and [`Session::new`]
//! returns [`Error::Unsupported`].

mod error;
mod event;
mod options;

#[cfg(target_os = "linux")]
mod consumer;
#[cfg(target_os = "linux")]
mod decode;
#[cfg(target_os = "linux")]
mod library;
#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "compiled twice: as a library of its own, of which this crate uses the layout and tests the rest"
)]
#[cfg(target_os = "linux")]
mod preload;
#[cfg(target_os = "linux")]
mod ring;
#[cfg(target_os = "linux")]
mod session;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(all(test, target_os = "linux"))]
mod tests;

pub use error::Error;
pub use event::{
    AT_END, COUNT_IMMORTAL, COUNT_MANY, Domain, Event, ObjectEvent, RUNS_INSIDE, ReferentCount, Sink,
    TOGETHER,
};
pub use options::{
    Claim, Drained, End, LibraryPlace, Objects, Origin, Refusal, SessionOptions, State, Status,
};

#[cfg(not(target_os = "linux"))]
pub use unsupported::{Consumer, Forks, Session};
#[cfg(target_os = "linux")]
pub use {
    consumer::{Consumer, Forks},
    session::Session,
};

/// The preloaded library, as a file's contents. Empty where recording is not supported.
pub static PRELOAD: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/preload.so"));

/// Code of the [`Event::Mark`] that is recorded at each call of `sys._debugmallocstats`.
pub const MARK_DEBUG_MALLOC_STATS: u16 = 1;
