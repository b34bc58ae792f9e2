//! What the engine keeps of a live block.

use std::num::NonZeroU64;
use std::ptr::NonNull;

use pool::{SizeClass, Unbacked};
use trace::{Allocator, FOREIGN, Placed};

use super::Source;

/// A live block, in eight bytes (an `Option` of it, too): in an arena its recorded address and its class, from which
/// the block here is to be had; otherwise its number with the allocator behind the pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Live(NonZeroU64);

/// In the place of a class.
const OUTSIDE: u64 = 0xff;

impl Live {
    /// A block that is not there.
    pub(super) const NOWHERE: Self = Self(NonZeroU64::MAX);

    /// Whether an arena with this recorded base has only addresses that can be kept: as the format has it, below 2⁴⁸.
    pub(super) fn can_lie_in(base: u64, allocator: &Allocator) -> bool {
        base.checked_add(allocator.arena_size).is_some_and(|end| end <= 1 << 48)
    }

    /// A block that the pool has just returned for a request of a class; `None` if that cannot be kept.
    #[inline]
    pub(super) fn new(block: NonNull<u8>, class: Option<SizeClass>, source: &Source) -> Option<Self> {
        if let Some(class) = class
            && let Some(recorded) = source.recorded_of(block)
        {
            return (recorded >> 48 == 0).then(|| Self::of(recorded, (class.index() as u64) << 1));
        }
        Some(Self::of(Unbacked::number(block)? as u64, OUTSIDE))
    }

    #[inline]
    fn of(what: u64, low: u64) -> Self {
        Self(NonZeroU64::MIN | (what << 8 | low))
    }

    /// The block here.
    #[inline]
    pub(super) fn block(self, source: &Source) -> Option<NonNull<u8>> {
        let what = self.0.get() >> 8;
        if self.is_outside() { Unbacked::block(usize::try_from(what).ok()?) } else { source.block_at(what) }
    }

    #[inline]
    fn is_outside(self) -> bool {
        self.0.get() & 0xff == OUTSIDE
    }

    /// Its recorded address, or [`FOREIGN`].
    #[inline]
    pub(super) fn address(self) -> u64 {
        if self.is_outside() { FOREIGN } else { self.0.get() >> 8 }
    }

    /// Where that is, for who resolves observations.
    #[inline]
    pub(super) fn placed(self) -> Placed {
        let [low, ..] = self.0.get().to_le_bytes();
        if self.is_outside() { Placed::OUTSIDE } else { Placed::new(self.0.get() >> 8, low >> 1) }
    }
}
