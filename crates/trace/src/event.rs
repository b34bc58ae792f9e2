//! What a program does to its memory manager, and what the manager answers: the vocabulary of the format.

use serde::{Deserialize, Serialize};

/// A block's number: blocks are numbered by birth, from 0, and numbers are never used again.
pub type Block = u64;

/// The largest size that an event can carry. CPython refuses any request above 2⁶³ − 1 bytes before its
/// allocator sees it, and no machine grants one near 2⁵⁶; a recorder records such a request, which fails, with
/// this size.
pub const MAX_SIZE: u64 = (1 << 56) - 1;

/// Which of CPython's allocator domains a call went through.
///
/// Both are served by the same pools; the raw domain goes to `malloc` and is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    /// `PyMem_Malloc` and its siblings: buffers.
    Mem,
    /// `PyObject_Malloc` and its siblings: objects.
    Obj,
}

impl Domain {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Mem => Self::Obj,
            Self::Obj => Self::Mem,
        }
    }
}

/// One thing that the program did: an input of the replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A request for a new block. Unless it failed, the block gets the next number.
    Allocate {
        /// The domain asked.
        domain: Domain,
        /// Bytes asked for; 0 is allowed.
        size: u64,
        /// Whether zeroed memory was asked for (`calloc`).
        zeroed: bool,
        /// Whether the program got nothing: neither the pools nor `malloc` behind them had memory.
        failed: bool,
    },
    /// A request to change a block's size. The block keeps its number wherever it ends up.
    Resize {
        /// The block.
        block: Block,
        /// Bytes asked for.
        size: u64,
        /// Whether the call came through another domain than the block was allocated from.
        foreign_domain: bool,
        /// Whether the program got nothing; the block is then as it was.
        failed: bool,
    },
    /// A block given back.
    Release {
        /// The block.
        block: Block,
        /// Whether the call came through another domain than the block was allocated from.
        foreign_domain: bool,
    },
    /// A place that somebody marked; nothing happens to memory.
    Mark {
        /// Which mark: see [`MARK_DEBUGMALLOCSTATS`], [`MARK_FINALIZING`].
        code: u64,
    },
}

/// The program called `sys._debugmallocstats()` here.
pub const MARK_DEBUGMALLOCSTATS: u64 = 1;
/// The interpreter has begun to finalize: what dies from here on dies at exit.
pub const MARK_FINALIZING: u64 = 2;

/// One [`Input`] in sixteen bytes: what a frame's inputs decode to.
///
/// A replay goes through tens of millions of these a second, so they are small and have one shape; call
/// [`PackedInput::unpack`] to look at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedInput {
    /// Bits 0–1 the kind, bit 2 the domain (or "foreign domain"), bit 3 zeroed, bit 4 failed, bits 8–63 the size.
    pub(crate) head: u64,
    pub(crate) block: Block,
}

/// The kinds of [`PackedInput`], without their operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// See [`Input::Allocate`].
    Allocate,
    /// See [`Input::Resize`].
    Resize,
    /// See [`Input::Release`].
    Release,
    /// See [`Input::Mark`].
    Mark,
}

const DOMAIN: u64 = 1 << 2;
const ZEROED: u64 = 1 << 3;
const FAILED: u64 = 1 << 4;

impl PackedInput {
    pub(crate) const fn new(kind: Kind, size: u64, block: Block) -> Self {
        Self { head: kind as u64 | size << 8, block }
    }

    pub(crate) const fn flags(mut self, domain: bool, zeroed: bool, failed: bool) -> Self {
        if domain {
            self.head |= DOMAIN;
        }
        if zeroed {
            self.head |= ZEROED;
        }
        if failed {
            self.head |= FAILED;
        }
        self
    }

    /// The release of a block.
    #[must_use]
    pub fn release(block: Block) -> Self {
        Self::new(Kind::Release, 0, block)
    }

    /// Whether a block is born: an allocation that did not fail.
    #[inline]
    #[must_use]
    pub fn is_birth(self) -> bool {
        self.head & (3 | FAILED) == 0
    }

    /// Whether a block is born for an object: in the OBJ domain.
    #[inline]
    #[must_use]
    pub fn is_birth_for_object(self) -> bool {
        self.head & (3 | FAILED | DOMAIN) == 0
    }

    /// Whether this is a birth without further ado: memory is not asked to be zeroed.
    ///
    /// This and [`is_release`](Self::is_release) tell most inputs apart by one test each.
    #[inline]
    #[must_use]
    pub fn is_plain_birth(self) -> bool {
        self.head & (3 | ZEROED | FAILED) == 0
    }

    /// Whether a block is given back.
    #[inline]
    #[must_use]
    pub fn is_release(self) -> bool {
        self.head & 3 == Kind::Release as u64
    }

    /// Which kind of input this is.
    #[inline]
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.head & 3 {
            0 => Kind::Allocate,
            1 => Kind::Resize,
            2 => Kind::Release,
            _ => Kind::Mark,
        }
    }

    /// Bytes asked for (0 for a release), at most [`MAX_SIZE`].
    #[inline]
    #[must_use]
    pub fn size(self) -> u64 {
        self.head >> 8
    }

    /// The block: of an allocation the number it gives out, unless it failed; of a mark its code.
    #[inline]
    #[must_use]
    pub fn block(self) -> Block {
        self.block
    }

    /// Whether zeroed memory was asked for.
    #[inline]
    #[must_use]
    pub fn zeroed(self) -> bool {
        self.head & ZEROED != 0
    }

    /// Whether the program got nothing.
    #[inline]
    #[must_use]
    pub fn failed(self) -> bool {
        self.head & FAILED != 0
    }

    /// The input, spelled out.
    #[must_use]
    pub fn unpack(self) -> Input {
        let domain_bit = self.head & DOMAIN != 0;
        match self.kind() {
            Kind::Allocate => Input::Allocate {
                domain: if domain_bit { Domain::Mem } else { Domain::Obj },
                size: self.size(),
                zeroed: self.zeroed(),
                failed: self.failed(),
            },
            Kind::Resize => Input::Resize {
                block: self.block,
                size: self.size(),
                foreign_domain: domain_bit,
                failed: self.failed(),
            },
            Kind::Release => Input::Release { block: self.block, foreign_domain: domain_bit },
            Kind::Mark => Input::Mark { code: self.block },
        }
    }
}

/// What CPython's pools answered to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The program got nothing.
    Failed,
    /// The block lies outside all arenas: `malloc` behind the pools gave it.
    Foreign,
    /// The block lies in an arena, at this address.
    At(u64),
}

/// One thing that happened to an arena: an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArenaEvent {
    /// The event, counted from the beginning of the trace, inside which it happened.
    pub event: u64,
    /// What happened.
    pub change: ArenaChange,
}

/// What can happen to an arena. Arenas are numbered by acquisition, from 0, and numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArenaChange {
    /// An arena was acquired.
    Acquired(u64),
    /// An arena was asked for and the operating system refused.
    Refused,
    /// An arena was given back.
    Released(u64),
}
