//! A page that all processes of a recording share: where the ring for the next interpreter is.
//!
//! Found through the environment by every process that is started, and mapped for good by interpreters. Every field is
//! atomic, since any of them may write at any time.

use core::sync::atomic::{AtomicU32, AtomicU64};

/// "vivboard", read as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"vivboard");
/// Size of the file.
pub const BOARD_BYTES: usize = 4096;

/// Nothing of objects.
pub const TIER_BLOCKS: u32 = 0;
/// Births and deaths.
pub const TIER_OBJECTS: u32 = 1;
/// Changes of counts.
pub const TIER_COUNTS: u32 = 2;
/// Collections.
pub const TIER_COLLECTIONS: u32 = 4;
/// Changes of counts if the interpreter reports them, else nothing.
pub const TIER_AUTOMATIC: u32 = 3;

/// The board. All zeroes is a valid one but for the first four fields.
#[repr(C)]
pub struct Board {
    /// [`MAGIC`].
    pub magic: AtomicU64,
    /// [`LAYOUT`](super::header::LAYOUT): it changes together with that of the ring.
    pub layout: AtomicU32,
    /// Process id of the reader.
    pub reader: AtomicU32,
    /// 1 if what interpreters fork and start is recorded, too; 0: that is only counted.
    pub follows: AtomicU32,
    /// What of objects is to be recorded where it can be: one of the `TIER_` values.
    pub tier: AtomicU32,
    _written_once: [AtomicU32; 10],

    /// Number of the ring that the next interpreter may take, counted from 1. Who finds it taken sleeps on this word.
    pub offered: AtomicU32,
    /// Its descriptor in the reader; written before `offered`.
    pub descriptor: AtomicU32,
    /// 1 if no other ring will be offered once this one is taken.
    pub is_last: AtomicU32,
    /// Not 0 once nobody is recorded any more.
    pub closed: AtomicU32,
    _by_reader: [AtomicU32; 12],

    /// Interpreters that were not recorded: forked or started, and none of the recorded.
    pub unrecorded: AtomicU32,
    /// Changes whenever a ring was taken. The reader sleeps on this word.
    pub bell: AtomicU32,
}

const _: () = assert!(size_of::<Board>() <= BOARD_BYTES);
