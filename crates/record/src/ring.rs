//! The shared memory: files without names, sealed in their sizes, that both sides map.

use std::os::fd::{AsRawFd, OwnedFd};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::preload::board::{self, BOARD_BYTES, Board};
use crate::preload::header::{HEADER_BYTES, Header, LAYOUT, MAGIC};
use crate::{Error, Objects};

/// The reading side's view of the ring.
#[derive(Debug)]
pub(crate) struct Ring {
    file: OwnedFd,
    map: MmapRaw,
    slots: usize,
}

impl Ring {
    /// Makes an empty ring of `slots` slots, rounded up to a power of two of at least 8. Rings of one recording are
    /// numbered from 1.
    pub(crate) fn new(slots: usize, number: u32) -> Result<Self, Error> {
        // The limit keeps the sum below from overflowing; memory ends long before.
        let slots = slots.clamp(8, 1 << 40).next_power_of_two();
        let bytes = HEADER_BYTES + slots * size_of::<AtomicU64>();
        let (file, map) = shared("vivarium-ring", bytes)?;
        let ring = Self { file, map, slots };
        let header = ring.header();
        header.magic.store(MAGIC, Relaxed);
        header.layout.store(LAYOUT, Relaxed);
        header.slots_log2.store(slots.trailing_zeros(), Relaxed);
        header.reader.store(std::process::id(), Relaxed);
        header.number.store(number, Relaxed);
        Ok(ring)
    }

    /// The descriptor's number in this process.
    pub(crate) fn descriptor(&self) -> u32 {
        self.file.as_raw_fd().cast_unsigned()
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the mapping is aligned to a page, at least as large, and lives as long as `self`; all fields are
        // atomic, so that the other process may write to them.
        unsafe { &*self.map.as_mut_ptr().cast::<Header>() }
    }

    /// The slots, a power of two of them.
    pub(crate) fn slots(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has room for the header and this many slots, at an aligned offset; they are atomic and
        // live as long as `self`.
        unsafe { slice::from_raw_parts(self.map.as_mut_ptr().add(HEADER_BYTES).cast(), self.slots) }
    }
}

/// A new file without a name, with this many zeroes for ever, and where it is mapped.
fn shared(name: &str, bytes: usize) -> Result<(OwnedFd, MmapRaw), Error> {
    let failed = |what| move |error: rustix::io::Errno| Error::system(what)(error.into());
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(failed("making a memory file (memfd_create) for what is recorded"))?;
    // It counts as a file where the size of files is limited.
    ftruncate(&file, bytes as u64).map_err(failed("making the ring for what is recorded (see ulimit -f)"))?;
    // A mapping of a file that shrinks becomes a trap for the other side.
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).map_err(failed("sealing the ring"))?;
    let map = MmapOptions::new()
        .len(bytes)
        .populate()
        .map_raw(file.as_raw_fd())
        .map_err(Error::system("mapping the ring"))?;
    Ok((file, map))
}

/// The reading side's view of the board.
#[derive(Debug)]
pub(crate) struct BoardFile {
    file: OwnedFd,
    map: MmapRaw,
}

impl BoardFile {
    /// Makes a board on which nothing is offered yet.
    pub(crate) fn new(follows: bool, objects: Objects) -> Result<Self, Error> {
        let (file, map) = shared("vivarium-board", BOARD_BYTES)?;
        let file = Self { file, map };
        let board = file.board();
        board.magic.store(board::MAGIC, Relaxed);
        board.layout.store(LAYOUT, Relaxed);
        board.reader.store(std::process::id(), Relaxed);
        board.follows.store(follows.into(), Relaxed);
        board.tier.store(tier(objects), Relaxed);
        Ok(file)
    }

    /// Where other processes find it.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    pub(crate) fn board(&self) -> &Board {
        // SAFETY: as for `Ring::header`.
        unsafe { &*self.map.as_mut_ptr().cast::<Board>() }
    }
}

fn tier(objects: Objects) -> u32 {
    match objects {
        Objects::Nothing => board::TIER_BLOCKS,
        Objects::Deaths => board::TIER_OBJECTS,
        Objects::Collections => board::TIER_COLLECTIONS,
        Objects::Counts => board::TIER_COUNTS,
        Objects::CountsIfReported => board::TIER_AUTOMATIC,
    }
}
