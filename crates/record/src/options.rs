//! The small types of the interface: what to ask for and what is answered.

use std::path::PathBuf;

/// How to record.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Size of the ring in bytes, 8 for most events; rounded up to a power of two, at least 4096.
    pub ring_bytes: usize,
    /// Where the preloaded library is put.
    pub library: LibraryPlace,
    /// Record what interpreters fork and start, each with a ring of its own: see
    /// [`Session::accept`](crate::Session::accept). Otherwise they are counted.
    pub children: bool,
    /// What to record of objects.
    pub objects: Objects,
}

/// What of objects is recorded, beside blocks and arenas; of an interpreter that does not tell as much, the most that it tells of
/// that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objects {
    /// Nothing.
    Nothing,
    /// Births and deaths, and what dying objects refer to (CPython 3.13.3 and later, but for 3.14.0 to 3.14.4, on x86-64):
    /// see [`ObjectEvent`](crate::ObjectEvent). Of interpreters that report counts, these.
    Deaths,
    /// Collections: what the collector looked at and what was left (CPython 3.8 and later, but for 3.14.0 to 3.14.4).
    Collections,
    /// Every change of a reference count as well, of interpreters that were built to report them.
    Counts,
    /// The same of such interpreters, and nothing of others.
    #[default]
    CountsIfReported,
}

impl Default for SessionOptions {
    /// A ring of 2 MiB, the library in the cache folder if that is possible; no children.
    fn default() -> Self {
        Self {
            ring_bytes: 2 << 20,
            library: LibraryPlace::Automatic,
            children: false,
            objects: Objects::default(),
        }
    }
}

/// Where the preloaded library is put, so that the dynamic loader finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LibraryPlace {
    /// In `vivarium` inside of the user's cache folder, where it stays; if nothing can be written or executed there, in
    /// memory; if memory files are not to be had or not executable, in the folder for temporary files.
    #[default]
    Automatic,
    /// In this folder, which is made if it does not exist and must belong to this user alone.
    Folder(PathBuf),
}

/// Who is being recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Process id, as its `/proc` has it: in a process namespace of its own, not what the program itself sees.
    pub pid: u32,
    /// What `Py_GetVersion` returns: `"3.12.1 (main, …) [GCC 12.2.0]"`.
    pub version: String,
    /// The executable file of the process.
    pub executable: PathBuf,
    /// The file that contains the interpreter: the executable itself or a shared library.
    pub library: PathBuf,
    /// How the process came to be.
    pub origin: Origin,
}

/// How a recorded process came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was started, and began with an interpreter that had done nothing yet.
    Started,
    /// It was forked from another recorded process, with all that was in its memory.
    Forked {
        /// The parent's [number](crate::Consumer::number).
        parent: u32,
        /// Which fork it was: that of the parent's [`Event::Forked`](crate::Event::Forked) with this number.
        fork: u64,
    },
}

/// Why a process that took the ring is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A free-threaded build: its allocations have no common order, and pools are not what serves them.
    FreeThreaded,
    /// An interpreter without hooks (CPython 2.7) that calls its allocators directly, so that the calls cannot be seen.
    DirectCalls,
    /// The system gave no memory.
    System,
    /// A reason that this version does not know.
    Unknown,
}

/// How far a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No interpreter has taken the ring yet.
    Unclaimed,
    /// Events may come.
    Recording,
    /// The program ended in good order or stopped recording: no further event will come.
    Finished,
    /// The program is gone without having said so: killed, or ended by `os._exit`. No further event will come (see
    /// [`Consumer::child_has_ended`](crate::Consumer::child_has_ended)).
    Died,
    /// The interpreter that took the ring cannot be recorded.
    Refused(Refusal),
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The program ended in good order, or stopped recording (see [`Status`]).
    Finished,
    /// The program was killed or ended by `os._exit`; all that happened before is recorded.
    Died,
    /// The interpreter that took the ring cannot be recorded.
    Refused(Refusal),
    /// There was no interpreter in what was started.
    Unclaimed,
}

/// What the recorder noticed about the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The hooks were still called once the interpreter was initialised. If this is missing at the end, the
    /// program was over very early, or its interpreter installed other allocators when it started.
    pub initialized: bool,
    /// Other allocators took the place of the hooks (`PYTHONMALLOC`, `-X dev`): the recording is not complete.
    pub hooks_lost: bool,
    /// At the end something was installed over the hooks, which had worked until the interpreter was
    /// initialised: a profiler such as `tracemalloc`. Complete unless that replaced them.
    pub hooks_wrapped: bool,
    /// Two threads allocated at once: interpreters with a lock each. Recording was stopped then, and what is
    /// recorded may be out of order.
    pub concurrent: bool,
    /// The pools grew while the process had several interpreters. From 3.12 on these may have pools of their own,
    /// which the events do not tell apart.
    pub several_interpreters: bool,
    /// `sys._debugmallocstats` prints what it prints unrecorded, and leaves a mark.
    pub statistics: bool,
    /// Births and deaths of objects are recorded.
    pub objects: bool,
    /// Changes of counts are recorded, and with them births and deaths.
    pub counts: bool,
    /// Collections are recorded.
    pub collections: bool,
}

/// What one call of [`Consumer::drain`](crate::Consumer::drain) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Events given to the sink.
    pub events: u64,
    /// Slots that they took, of 8 bytes each.
    pub slots: u64,
}
