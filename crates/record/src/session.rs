//! Starting a program so that it is recorded.

use std::ffi::{OsStr, OsString};
use std::fs::DirEntry;
use std::fs::File;
use std::process::Command;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;
use std::{env, fs, io};

use rustix::event::Timespec;
use rustix::thread::futex;

use crate::consumer::LONGEST_SLEEP;
use crate::library::Library;
use crate::ring::{BoardFile, Ring};
use crate::{Consumer, Error, PRELOAD, SessionOptions};

/// The variable of the dynamic loader.
const LD_PRELOAD: &str = "LD_PRELOAD";
/// Tells the library what that was before.
const EARLIER: &str = "VIVARIUM_LD_PRELOAD";
/// Tells the library where the board is.
const BOARD: &str = "VIVARIUM_BOARD";

/// A recording: the library, and a ring for the next interpreter.
///
/// One session records every interpreter that appears among the processes which it starts, and, with
/// [`SessionOptions::children`], what these fork and start in turn. It has to live as long as these processes do: without it, each program that
/// they start has the dynamic loader complain of a library that is gone.
#[derive(Debug)]
pub struct Session {
    board: BoardFile,
    library: Library,
    /// The ring that the next interpreter takes; absent only if there was no memory for it.
    offered: Option<Ring>,
    slots: usize,
}

impl Session {
    /// Prepares a recording. The descriptors that it opens are closed on `exec`; programs find what is behind them
    /// through `/proc`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where recording is not possible; [`Error::System`] if there is no memory or no place
    /// for the library; [`Error::Folder`] and [`Error::Ownership`] if that place will not do.
    pub fn new(options: &SessionOptions) -> Result<Self, Error> {
        if PRELOAD.is_empty() {
            return Err(Error::Unsupported);
        }
        let slots = options.ring_bytes.max(4096) / size_of::<u64>();
        let board = BoardFile::new(options.children, options.objects)?;
        // Programs will have to.
        File::open(board.path())
            .map_err(Error::system("finding the recorder's memory through /proc (is it mounted?)"))?;
        let library = Library::provide(&options.library)?;
        let mut session = Self { board, library, offered: None, slots };
        session.offer(1)?;
        Ok(session)
    }

    fn offer(&mut self, number: u32) -> Result<(), Error> {
        let ring = Ring::new(self.slots, number)?;
        let board = self.board.board();
        board.descriptor.store(ring.descriptor(), Relaxed);
        board.offered.store(number, Release);
        // There is nobody to tell that nobody was woken.
        let _ = futex::wake(&board.offered, futex::Flags::empty(), u32::MAX);
        self.offered = Some(ring);
        Ok(())
    }

    /// Sets the environment of a program that is about to be started. `LD_PRELOAD`, if the command or this process
    /// sets it, is kept and restored inside of the program. Variables of `command` must be set before.
    ///
    /// After [`Command::env_clear`] the `LD_PRELOAD` of this process counts nevertheless: a command does not tell
    /// that it was cleared.
    pub fn configure(&self, command: &mut Command) {
        let set = command.get_envs().find(|(name, _)| *name == OsStr::new(LD_PRELOAD));
        let earlier = set.map_or_else(|| env::var_os(LD_PRELOAD), |(_, value)| value.map(OsString::from));
        let mut preload = self.library.path().into_os_string();
        if let Some(earlier) = &earlier {
            preload.push(":");
            preload.push(earlier);
        }
        command.env(LD_PRELOAD, preload);
        match earlier {
            Some(earlier) => command.env(EARLIER, earlier),
            None => command.env_remove(EARLIER),
        };
        command.env(BOARD, self.board.path());
    }

    /// Waits for the next interpreter, at most for `timeout` and never longer than 20 ms, and returns its reader.
    ///
    /// Each may be read by a thread of its own. Children wait for their turn, so this should be called again at once.
    ///
    /// # Errors
    ///
    /// [`Error::System`] if there is no memory for another ring; the interpreter that took the last one is then not
    /// recorded.
    pub fn accept(&mut self, timeout: Duration) -> Result<Option<Consumer>, Error> {
        let bell = self.board.board().bell.load(Acquire);
        if !self.is_taken() {
            let timeout = Timespec::try_from(timeout.min(LONGEST_SLEEP)).ok();
            // Woken, interrupted, timed out: it is all the same.
            let word = &self.board.board().bell;
            let _ = futex::wait(word, futex::Flags::empty(), bell, timeout.as_ref());
        }
        if !self.is_taken() {
            return Ok(None);
        }
        let Some(ring) = self.offered.take() else { return Ok(None) };
        let consumer = Consumer::new(ring, None);
        self.offer(consumer.number() + 1)?;
        Ok(Some(consumer))
    }

    fn is_taken(&self) -> bool {
        self.offered.as_ref().is_some_and(|ring| ring.header().claim.load(Acquire) != 0)
    }

    /// Whether there is a process that was started with this session's variables, as far as this user may look: it may be
    /// about to become an interpreter. Interpreters themselves are among them.
    #[must_use]
    pub fn has_processes(&self) -> bool {
        let variable = format!("{BOARD}={}", self.board.path());
        let environment = |entry: io::Result<DirEntry>| fs::read(entry.ok()?.path().join("environ")).ok();
        let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(environment);
        processes
            .into_iter()
            .any(|environment| environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes()))
    }

    /// How many interpreters did not even take a ring so far: without [`SessionOptions::children`], those that were
    /// forked or started by others; and those that could not.
    #[must_use]
    pub fn unrecorded(&self) -> u32 {
        self.board.board().unrecorded.load(Relaxed)
    }

    /// Lets no further interpreter be recorded, nor counted. Those that are go on.
    pub fn close(&self) {
        let board = self.board.board();
        board.closed.store(1, SeqCst);
        let _ = futex::wake(&board.offered, futex::Flags::empty(), u32::MAX);
    }

    /// The reader of the next interpreter, before there is one; no other is recorded then. Do this after the program was
    /// started; what happened until then is in the ring.
    ///
    /// # Panics
    ///
    /// If there was no memory for a ring when the last interpreter was [accepted](Self::accept).
    #[must_use]
    pub fn into_consumer(mut self) -> Consumer {
        let ring = self.offered.take().expect("a ring");
        let board = self.board.board();
        board.is_last.store(1, SeqCst);
        let _ = futex::wake(&board.offered, futex::Flags::empty(), u32::MAX);
        Consumer::new(ring, Some(self))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}
