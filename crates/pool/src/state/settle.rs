//! What some releases need beyond [`State::push`]: pools that were full, or that are empty.

use core::ptr::{self, NonNull};

use super::State;
use crate::class::SizeClass;
use crate::header::{Header, Status};

impl State {
    /// Does the rest of a release that [`push`](Self::push) asked for if the pool was full: puts it in front of its
    /// list. `false`, and nothing is done, if it was not, or if another pool has to be looked after.
    ///
    /// A program that replaces one block by another in full pools comes here each time.
    ///
    /// # Safety
    ///
    /// `pool` has just been returned by [`push`](Self::push), and is of this class.
    #[inline]
    pub(crate) unsafe fn reopen(&self, pool: NonNull<Header>, class: SizeClass) -> bool {
        let pool = pool.as_ptr();
        // SAFETY:
        // 1. the header is valid: its pool had a live block a moment ago;
        // 2. `front` is `nothing()`, which is only read, for it has not as many live blocks as room, or the first
        //    pool of the list, whose neighbours are valid or null;
        // 3. headers are only pointed to, and the full pool was on no list.
        unsafe {
            if (*pool).status != Status::Full || !self.kept.get().is_null() {
                return false;
            }
            let front = self.front(class).get();
            let (live, capacity, second) = ((*front).live, (*front).capacity, (*front).next);
            (*pool).live = (*pool).capacity - 1;
            if live == capacity {
                // Full, and not noticed yet: off the list.
                (*front).status = Status::Full;
                (*front).live = 1;
                self.replace_front(class, pool, second);
            } else {
                self.push_front(class, pool);
            }
            true
        }
    }

    /// Does what [`reopen`](Self::reopen) did not do: keeps a pool that is empty, or gives it back to its arena.
    /// If the arena is then to be released to its source, returns its base: it is out of all books.
    ///
    /// # Safety
    ///
    /// `pool` has just been returned by [`push`](Self::push), and `reopen` denied.
    pub(crate) unsafe fn settle(&self, pool: NonNull<Header>) -> Option<NonNull<u8>> {
        self.resolve();
        let header = pool.as_ptr();
        // SAFETY:
        // 1. the header is valid: its pool had a live block a moment ago (and is not the one that was kept: that
        //    counted one more);
        // 2. a pool on a list has neighbours that are valid or null; one on none has not been
        //    given back, for it had a live block;
        // 3. nothing in `Arenas` calls back; its borrows end with the statements.
        unsafe {
            let class = Self::class_of_pool(pool);
            if self.reopen(pool, class) {
                return None;
            }
            let alone = self.front(class).get() == header && (*header).next.is_null();
            if alone && (*self.arenas.get()).returns_first(pool) {
                (*header).live = 1;
                self.kept.set(header);
                return None;
            }
            self.unlink(class, header);
            let base = (*self.arenas.get()).give_back(pool)?;
            self.map.remove(base);
            Some(base)
        }
    }

    /// Keeps no pool any more: one that is empty goes back to its arena.
    #[inline]
    pub(super) fn resolve(&self) {
        if !self.kept.get().is_null() {
            self.resolve_kept();
        }
    }

    #[cold]
    #[inline(never)]
    fn resolve_kept(&self) {
        let Some(pool) = NonNull::new(self.kept.replace(ptr::null_mut())) else { return };
        // SAFETY:
        // 1. the kept pool is on the list of its class; it was not given back, so its header is valid;
        // 2. the borrow of the arenas ends with the statement, which does not call back. They are as they were
        //    when it was kept, for whatever changes them resolves before: its arena stays.
        unsafe {
            let header = pool.as_ptr();
            (*header).live -= 1;
            if (*header).live == 0 {
                self.unlink(Self::class_of_pool(pool), header);
                let gone = (*self.arenas.get()).give_back(pool);
                debug_assert_eq!(gone, None);
            }
        }
    }
}
