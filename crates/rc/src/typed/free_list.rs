//! The free list of a type: some blocks at hand, as CPython has them for its commonest types.
//!
//! An object that is born where another one has just died asks no pool. That matters most where pools are full: one that
//! gets a block back has to be put on a list, and off it again when the block goes out.

use core::cell::Cell;
use core::ptr::NonNull;

/// How many blocks a list has room for: those that it keeps, until somebody wants to [know](crate::PoolHeap::stats), may
/// each keep a pool from being empty.
pub(super) const ROOM: u32 = 16;

/// Blocks that are free, last in, first out.
pub(super) struct FreeList {
    /// Each holds where the next one is.
    first: Cell<Option<NonNull<Link>>>,
    /// For how many more there is room.
    room: Cell<u32>,
}

struct Link(Option<NonNull<Link>>);

impl FreeList {
    /// An empty list with room for so many.
    pub(super) const fn new(room: u32) -> Self {
        Self { first: Cell::new(None), room: Cell::new(room) }
    }

    /// The block that came last.
    #[inline]
    pub(super) fn pop(&self) -> Option<NonNull<u8>> {
        let block = self.first.get()?;
        // SAFETY: a block on the list is the list's, and was written as a link.
        self.first.set(unsafe { block.read() }.0);
        self.room.set(self.room.get() + 1);
        Some(block.cast())
    }

    /// Takes a block, if there is room.
    ///
    /// # Safety
    ///
    /// It is large enough for a pointer, aligned to one, and may be written; nobody uses it until it is
    /// [popped](Self::pop), or once the list is gone.
    #[inline]
    #[must_use]
    pub(super) unsafe fn push(&self, block: NonNull<u8>) -> bool {
        let Some(left) = self.room.get().checked_sub(1) else {
            return false;
        };
        let link = block.cast::<Link>();
        // SAFETY: by contract.
        unsafe { link.write(Link(self.first.get())) };
        self.first.set(Some(link));
        self.room.set(left);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_in_first_out_as_far_as_there_is_room() {
        let mut blocks = [[0_usize; 2]; 3];
        let [one, two, three] = blocks.each_mut().map(|block| NonNull::from(block).cast::<u8>());
        let list = FreeList::new(2);
        // SAFETY: they are there for longer than the list, and not used meanwhile.
        unsafe {
            assert_eq!(
                (list.pop(), list.push(one), list.push(two), list.push(three)),
                (None, true, true, false)
            );
            assert_eq!((list.pop(), list.push(three)), (Some(two), true));
        }
        assert_eq!([(); 3].map(|()| list.pop()), [Some(three), Some(one), None]);
        // SAFETY: as above.
        assert!(!unsafe { FreeList::new(0).push(one) });
    }
}
