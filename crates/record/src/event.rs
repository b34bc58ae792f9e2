//! What is recorded.

/// An allocator domain of CPython, of those that the pools serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Domain {
    /// `PYMEM_DOMAIN_MEM`: buffers of the interpreter and of extension modules.
    Mem = 1,
    /// `PYMEM_DOMAIN_OBJ`: objects.
    Obj = 2,
}

/// One call that the program made of the memory manager, or an arena that this call needed or gave back.
///
/// Events come in the order of the interpreter's global lock. Arenas stand right before the [`Allocate`] or
/// [`Resize`] that needed them, and right after the [`Release`] that emptied them; those that a resize emptied stand
/// before it.
///
/// [`Allocate`]: Event::Allocate
/// [`Resize`]: Event::Resize
/// [`Release`]: Event::Release
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// `malloc`, `calloc`, or `realloc` of a null pointer.
    Allocate {
        /// Whose function was called.
        domain: Domain,
        /// By `calloc`.
        zeroed: bool,
        /// The block; 0 if the allocation failed.
        address: u64,
        /// Bytes asked for; 0 is possible, and yields a block.
        size: u64,
    },
    /// `realloc` of a block.
    Resize {
        /// Whose function was called.
        domain: Domain,
        /// The block that was there; it lives on if the call failed.
        old: u64,
        /// The block afterwards, often the same; 0 if the call failed.
        new: u64,
        /// Bytes asked for.
        size: u64,
    },
    /// `free` of a block (of a null pointer: not recorded).
    Release {
        /// Whose function was called.
        domain: Domain,
        /// The block.
        address: u64,
    },
    /// The pools asked for an arena.
    ArenaAcquired {
        /// Where it begins; 0 if it was refused.
        base: u64,
        /// Bytes.
        size: u64,
    },
    /// The pools gave an arena back.
    ArenaReleased {
        /// Where it began.
        base: u64,
        /// Bytes.
        size: u64,
    },
    /// The process is about to be forked. Recorded only if children are too: see
    /// [`SessionOptions::children`](crate::SessionOptions::children).
    Forked {
        /// Which fork of this process it is, counted from 1; [`Origin::Forked`](crate::Origin::Forked) has it in the child.
        fork: u64,
    },
    /// The program reached a place of interest.
    Mark {
        /// Which; see [`MARK_DEBUG_MALLOC_STATS`](crate::MARK_DEBUG_MALLOC_STATS).
        code: u16,
    },
}
