//! The shared memory: a file without a name, sealed in its size, that both processes map.

use std::os::fd::{AsRawFd, OwnedFd};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::Error;
use crate::preload::header::{HEADER_BYTES, Header, LAYOUT, MAGIC};

/// The reading side's view of the ring.
#[derive(Debug)]
pub(crate) struct Ring {
    file: OwnedFd,
    map: MmapRaw,
    slots: usize,
}

impl Ring {
    /// Makes an empty ring of `slots` slots, rounded up to a power of two of at least 8.
    pub(crate) fn new(slots: usize) -> Result<Self, Error> {
        // The limit keeps the sum below from overflowing; memory ends long before.
        let slots = slots.clamp(8, 1 << 40).next_power_of_two();
        let bytes = HEADER_BYTES + slots * size_of::<AtomicU64>();
        let failed = |error: rustix::io::Errno| Error::system("making the ring")(error.into());
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create("vivarium-ring", flags).map_err(failed)?;
        ftruncate(&file, bytes as u64).map_err(failed)?;
        // A mapping of a file that shrinks becomes a trap for the other side.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).map_err(failed)?;
        let map = MmapOptions::new()
            .len(bytes)
            .populate()
            .map_raw(file.as_raw_fd())
            .map_err(Error::system("mapping the ring"))?;
        let ring = Self { file, map, slots };
        let header = ring.header();
        header.magic.store(MAGIC, Relaxed);
        header.layout.store(LAYOUT, Relaxed);
        header.slots_log2.store(slots.trailing_zeros(), Relaxed);
        header.parent.store(std::process::id(), Relaxed);
        Ok(ring)
    }

    /// The descriptor's number in this process.
    pub(crate) fn descriptor(&self) -> i32 {
        self.file.as_raw_fd()
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
