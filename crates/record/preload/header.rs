//! The first page of the ring's file: everything that the two processes tell each other besides events.
//!
//! Every field is atomic, since the other process may write at any time. Fields that different sides write often
//! lie on different cache lines. The slots begin at [`HEADER_BYTES`].

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// "vivring" and a zero, read as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"vivring\0");
/// Raised with every change of the header or the slots; library and reader come from one build, but a file left in
/// a cache folder might not.
pub const LAYOUT: u32 = 5;
/// Offset of the first slot from the start of the file, in bytes.
pub const HEADER_BYTES: usize = 4096;

/// In `claim`, beside a process id: it is the one that the process has in its own namespace, and may be another's,
/// or nobody's, where the reader is.
pub const CLAIM_UNCERTAIN: u32 = 1 << 31;

/// Nobody records yet.
pub const STATE_EMPTY: u32 = 0;
/// The hooks are in place.
pub const STATE_RECORDING: u32 = 1;
/// The program ended in good order, or the library stopped for good: no event will follow.
pub const STATE_FINISHED: u32 = 2;
/// The process that claimed the ring cannot be recorded; `reason` says why.
pub const STATE_REFUSED: u32 = 3;

/// The hooks were called when the interpreter was initialised, so they survived its start.
pub const FLAG_INITIALIZED: u32 = 1;
/// Another allocator took the hooks' place; the recording is not complete.
pub const FLAG_HOOKS_LOST: u32 = 1 << 1;
/// At the end, something else was installed over the hooks, which had worked until then.
pub const FLAG_HOOKS_WRAPPED: u32 = 1 << 2;
/// Two threads were inside the allocators at once: several interpreters with a lock each. Recording was stopped.
pub const FLAG_CONCURRENT: u32 = 1 << 3;
/// `sys._debugmallocstats` was found and prints while recorded what it prints otherwise.
pub const FLAG_STATISTICS: u32 = 1 << 4;
/// An arena was acquired while the process had more than one interpreter: the pools may be several.
pub const FLAG_SEVERAL_INTERPRETERS: u32 = 1 << 5;

/// Births and deaths of objects are recorded.
pub const FLAG_OBJECTS: u32 = 1 << 6;
/// So are changes of counts.
pub const FLAG_COUNTS: u32 = 1 << 7;
/// Collections are recorded.
pub const FLAG_COLLECTIONS: u32 = 1 << 8;

/// The reason of a refusal: this build has no global lock, so its allocations have no order.
pub const REASON_FREE_THREADED: u32 = 1;
/// The reason of a refusal: no memory, or a kernel that cannot keep forked children out.
pub const REASON_SYSTEM: u32 = 2;
/// The reason of a refusal: an interpreter without hooks whose calls do not go by the names of functions.
pub const REASON_DIRECT_CALLS: u32 = 3;

/// How many forks of each kind are remembered whose children had no events yet.
pub const REMEMBERED: usize = 64;

/// A nul-terminated text of at most N − 1 bytes.
pub type Text<const N: usize> = [AtomicU8; N];

/// The shared header. All zeroes is a valid, unclaimed one but for the first four fields.
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: AtomicU64,
    /// [`LAYOUT`].
    pub layout: AtomicU32,
    /// Number of slots, as a power of two.
    pub slots_log2: AtomicU32,
    /// Process id of the reader.
    pub reader: AtomicU32,
    /// Number of the ring among those of one recording, counted from 1.
    pub number: AtomicU32,
    _written_once: [AtomicU32; 10],

    /// Process id of the recorded program as its `/proc` has it, through which it found the ring, so as the reader
    /// knows it; else its own and [`CLAIM_UNCERTAIN`]. 0 until one claims the ring.
    pub claim: AtomicU32,
    /// One of the `STATE_` values.
    pub state: AtomicU32,
    /// `FLAG_` values, only ever added.
    pub flags: AtomicU32,
    /// A `REASON_` value when refused.
    pub reason: AtomicU32,
    /// Number of the ring of the process that this one was forked from; 0 if it was started.
    pub forked_from: AtomicU32,
    /// Which fork of that process it was, counted from 1.
    pub fork: AtomicU32,
    _by_producer: [AtomicU32; 10],

    /// Slots that the reader is done with, since the beginning.
    pub tail: AtomicU64,
    /// Not 0 once the reader went away.
    pub closed: AtomicU32,
    _by_consumer: [AtomicU32; 13],

    /// 1 while the reader sleeps on this word.
    pub consumer_sleeps: AtomicU32,
    /// 1 while the program sleeps on this word because the ring is full.
    pub producer_sleeps: AtomicU32,
    _by_both: [AtomicU32; 14],

    /// Numbers of forks whose children became other programs before anything happened that could be recorded; fork n
    /// has place n modulo the length.
    pub replaced: [AtomicU32; REMEMBERED],
    /// In the same way, numbers of forks whose children were forked in turn before that.
    pub shared: [AtomicU32; REMEMBERED],

    /// What `Py_GetVersion` returns.
    pub version: Text<256>,
    /// The executable file of the process.
    pub executable: Text<1024>,
    /// The file that contains the interpreter: the executable or a shared library.
    pub library: Text<1024>,
}

const _: () = assert!(size_of::<Header>() <= HEADER_BYTES);
