//! The first 48 bytes of each pool, and the link inside each free block.
//!
//! CPython keeps the same facts in as many bytes, so that blocks begin at the same offset. What
//! is where inside the 48 bytes is ours.

use core::ptr;

/// Bytes that the header of a pool takes, before rounding up to the alignment of the blocks.
pub(crate) const HEADER_BYTES: usize = size_of::<Header>();

const _: () = assert!(HEADER_BYTES == 48);

/// The first word of a free block.
#[repr(C)]
pub(crate) struct Link {
    pub(crate) next: *mut Link,
}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    /// With its arena, without live blocks.
    Unused,
    /// On the list of its class.
    Listed,
    /// All blocks are live and it is on no list.
    Full,
}

/// The class of a pool that never had one.
pub(crate) const NO_CLASS: u32 = u32::MAX;

/// The header of a pool, at the pool's first byte.
#[repr(C)]
pub(crate) struct Header {
    /// `Listed`: the live blocks, and one more if the pool is kept, see [`State`](crate::state::State). `Full`: 1, so that
    /// the next release counts down to zero and the one test of the fast path catches both events that need more work.
    pub(crate) live: u32,
    pub(crate) status: Status,
    /// Blocks that can be had without carving; last in, first out.
    pub(crate) free: *mut Link,
    /// `Listed`: neighbours in the list of the class, null at the ends.
    /// `Unused`: `next` is the next pool that was given back to the same arena.
    pub(crate) next: *mut Header,
    pub(crate) prev: *mut Header,
    /// Slot of the arena among the arena objects.
    pub(crate) arena: u32,
    /// The class, kept when the pool is given back: if it is used for the same class again, its
    /// blocks come in the order in which they had been released.
    pub(crate) class: u32,
    /// Offset of the first block that was never carved.
    pub(crate) virgin: u32,
    /// The blocks that the pool has room for, of its class.
    pub(crate) capacity: u32,
}

impl Header {
    /// A pool just carved from its arena.
    pub(crate) const fn fresh(arena: u32) -> Self {
        Self {
            live: 0,
            status: Status::Unused,
            free: ptr::null_mut(),
            next: ptr::null_mut(),
            prev: ptr::null_mut(),
            arena,
            class: NO_CLASS,
            virgin: 0,
            // More than are live: not full.
            capacity: 1,
        }
    }
}

struct Shared(Header);

// SAFETY: it is never written (see `nothing`), and its pointers are null.
unsafe impl Sync for Shared {}

static NOTHING: Shared = Shared(Header::fresh(u32::MAX));

/// The header that stands at the front of a class without pools: its list of free blocks is
/// empty, so that the fast path needs no test of its own for "no pool". Never write through it.
#[inline]
pub(crate) const fn nothing() -> *mut Header {
    (&raw const NOTHING.0).cast_mut()
}

/// Whether this is the header of [`nothing`].
#[inline]
pub(crate) fn is_nothing(header: *mut Header) -> bool {
    ptr::eq(header, nothing())
}
