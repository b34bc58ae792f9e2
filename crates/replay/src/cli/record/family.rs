//! All processes of a recording: who waits for whose past, what their traces are called, and when it is enough.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use record::Forks;
use trace::Header;

use super::Arguments;
use super::limits::Limits;
use super::signals::Signals;
use crate::drain::Fork;

/// Pasts that are kept for children that have not been heard of. Each is as large as the heap was; a child that joins
/// does so within milliseconds, but some never do.
const MAX_PASTS: usize = 64;

/// What the processes of a recording share.
pub(super) struct Family<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) signals: &'a Signals,
    limits: Limits,
    /// When the first interpreter began.
    start: OnceLock<Instant>,
    /// Of all traces.
    written: AtomicU64,
    /// The number of the process that is the program: see [`Family::lead`].
    first: AtomicU32,
    command: Mutex<Child>,
    shared: Mutex<Shared>,
    changed: Condvar,
}

#[derive(Default)]
struct Shared {
    /// Oldest first.
    pasts: Vec<Waiting>,
    /// Numbers of processes that will have no further forks.
    over: HashSet<u32>,
    /// The traces' files.
    files: HashSet<PathBuf>,
    /// Those that are complete, by the numbers of their processes.
    complete: BTreeMap<u32, PathBuf>,
    has_failed: bool,
}

/// A past that waits for the child that goes on from it.
struct Waiting {
    parent: u32,
    fork: u64,
    forks: Forks,
    past: Past,
}

/// What a forked process' trace goes on from.
#[derive(Clone)]
pub(super) struct Past {
    /// Of the parent's trace.
    pub(super) header: Header,
    /// The name of the parent's trace.
    pub(super) trace: String,
    pub(super) fork: Fork,
}

impl<'a> Family<'a> {
    pub(super) fn new(arguments: &'a Arguments, signals: &'a Signals, command: Child) -> Self {
        Self {
            arguments,
            signals,
            limits: Limits { time: arguments.time, size: arguments.max_size.map(|size| size.as_u64()) },
            start: OnceLock::new(),
            written: AtomicU64::new(0),
            first: AtomicU32::new(0),
            command: Mutex::new(command),
            shared: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Has this process be the program, in place of any other: its trace is called as the command says. What was recorded
    /// of the other is worth nothing then.
    pub(super) fn lead(&self, number: u32) {
        self.first.store(number, Relaxed);
    }

    /// Whether this process is the program, and not one of its children.
    pub(super) fn is_first(&self, number: u32) -> bool {
        self.first.load(Relaxed) == number
    }

    /// Whether the recording of this process is still wanted.
    pub(super) fn is_wanted(&self, number: u32) -> bool {
        self.arguments.follow || self.is_first(number)
    }

    /// An interpreter begins: from the first one on, time counts.
    pub(super) fn begin(&self) {
        self.start.get_or_init(Instant::now);
    }

    /// Notes so many bytes more; whether a limit is reached.
    pub(super) fn is_enough(&self, bytes: u64) -> bool {
        let written = self.written.fetch_add(bytes, Relaxed) + bytes;
        let started = self.start.get().copied();
        self.limits.size.is_some_and(|limit| written >= limit)
            || self.limits.time.zip(started).is_some_and(|(limit, start)| start.elapsed() >= limit)
    }

    /// Whether the command itself has ended; what it started may go on.
    pub(super) fn command_has_ended(&self) -> bool {
        !matches!(self.command().try_wait(), Ok(None))
    }

    /// Waits for that.
    pub(super) fn wait(&self) -> io::Result<ExitStatus> {
        self.command().wait()
    }

    fn command(&self) -> MutexGuard<'_, Child> {
        self.command.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The command's process.
    pub(super) fn command_pid(&self) -> u32 {
        self.command().id()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the trace of a process: as the command says, with a number if it is not the first; else after the program.
    pub(super) fn name(&self, number: u32, program: &str, pid: u32) -> PathBuf {
        let mut shared = self.lock();
        let path = match &self.arguments.output {
            Some(output) if self.is_first(number) => output.clone(),
            Some(output) => numbered(output, &number.saturating_sub(1).to_string()),
            None => {
                let path = PathBuf::from(format!("{program}.{pid}.viv"));
                // A process that became another one keeps its number, and the system's numbers come again.
                let is_taken = shared.files.contains(&path);
                if is_taken { PathBuf::from(format!("{program}.{pid}-{number}.viv")) } else { path }
            }
        };
        shared.files.insert(path.clone());
        path
    }

    /// Keeps what a child of process `parent` needs to go on.
    pub(super) fn keep(&self, parent: u32, fork: u64, forks: &Forks, past: Past) {
        let mut shared = self.lock();
        shared.pasts.retain(|waiting| !waiting.forks.is_replaced(waiting.fork));
        if !forks.is_replaced(fork) {
            if shared.pasts.len() == MAX_PASTS {
                shared.pasts.remove(0);
            }
            shared.pasts.push(Waiting { parent, fork, forks: forks.clone(), past });
        }
        drop(shared);
        self.changed.notify_all();
    }

    /// Waits until the parent's recording has come to the fork. `None` if it never does.
    pub(super) fn past(&self, parent: u32, fork: u64) -> Option<Past> {
        let mut shared = self.lock();
        loop {
            let found = shared.pasts.iter().position(|past| (past.parent, past.fork) == (parent, fork));
            if let Some(found) = found {
                let waiting = &shared.pasts[found];
                // It waits for the next, then.
                let is_shared = waiting.forks.is_shared(fork);
                return Some(if is_shared { waiting.past.clone() } else { shared.pasts.remove(found).past });
            }
            if shared.over.contains(&parent) {
                return None;
            }
            shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The trace of a process is complete.
    pub(super) fn complete(&self, number: u32, path: PathBuf) {
        self.lock().complete.insert(number, path);
    }

    /// The complete traces, in the order in which their processes began.
    pub(super) fn traces(&self) -> Vec<PathBuf> {
        self.lock().complete.values().cloned().collect()
    }

    /// Notes that something that could be recorded is not.
    pub(super) fn fail(&self) {
        self.lock().has_failed = true;
    }

    pub(super) fn has_failed(&self) -> bool {
        self.lock().has_failed
    }

    /// A process has no further forks.
    pub(super) fn end(&self, number: u32) {
        let mut shared = self.lock();
        shared.over.insert(number);
        drop(shared);
        self.changed.notify_all();
    }
}

/// `app.viv` becomes `app-1.viv`.
fn numbered(output: &Path, number: &str) -> PathBuf {
    let stem = output.file_stem().unwrap_or_default();
    let mut name = stem.to_owned();
    name.push("-");
    name.push(number);
    if let Some(extension) = output.extension() {
        name.push(".");
        name.push(extension);
    }
    output.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_numbered() {
        assert_eq!(numbered(Path::new("out/app.viv"), "2"), Path::new("out/app-2.viv"));
        assert_eq!(numbered(Path::new("app"), "1"), Path::new("app-1"));
    }
}
