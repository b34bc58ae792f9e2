//! The allocator itself: its parts, its construction, and the way of one block in and out.

use core::fmt;
use core::ptr::NonNull;

use crate::arena::ArenaId;
use crate::class::SizeClass;
use crate::fallback::{DefaultFallback, Fallback};
use crate::geometry::Geometry;
use crate::header::Header;
use crate::source::{ArenaSource, DefaultSource};
use crate::state::State;

/// A pool allocator: arenas cut into pools, pools cut into blocks of one size class.
///
/// `S` is [where arenas come from](ArenaSource), `F` [what serves the requests that no pool
/// does](Fallback). Both default to what CPython uses, anonymous mappings and the C library, if
/// the features `os` and `libc` are on.
///
/// There are two contracts, that must not be mixed for one block:
///
/// * CPython's: [`malloc`](Self::malloc), [`calloc`](Self::calloc), [`realloc`](Self::realloc),
///   [`free`](Self::free), where a block's size is found from its address;
/// * Rust's: `&Pool` is an [`Allocator`](allocator_api2::alloc::Allocator), where the caller tells
///   the layout again. [`allocate_class`](Self::allocate_class) and
///   [`free_class`](Self::free_class) are its bare bones.
///
/// Methods take `&self`, and a pool belongs to one thread at a time (it is `Send` but not
/// `Sync`), as CPython's belongs to who holds the interpreter lock.
///
/// A pool keeps its own books in the global allocator, so it must neither be that allocator nor
/// stand behind it.
///
/// Dropping a pool hands all its arenas back, live blocks or not. Blocks of the fallback that
/// were not freed are leaked.
pub struct Pool<S: ArenaSource = DefaultSource, F: Fallback = DefaultFallback> {
    pub(crate) state: State,
    pub(crate) fallback: F,
    source: S,
}

impl Pool {
    /// A pool with the default source and the default fallback. No arena is acquired before the
    /// first block is asked for.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        Self::with_parts(geometry, DefaultSource::default(), DefaultFallback::default())
    }
}

impl<S: ArenaSource> Pool<S> {
    /// A pool with this source of arenas and the default fallback.
    #[must_use]
    pub fn with_source(geometry: Geometry, source: S) -> Self {
        Self::with_parts(geometry, source, DefaultFallback::default())
    }
}

impl<S: ArenaSource, F: Fallback> Pool<S, F> {
    /// A pool from its parts.
    #[must_use]
    pub fn with_parts(geometry: Geometry, source: S, fallback: F) -> Self {
        Self { state: State::new(geometry), fallback, source }
    }

    /// The numbers it was built with.
    #[must_use]
    pub fn geometry(&self) -> &Geometry {
        &self.state.geometry
    }

    /// Where its arenas come from.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// What serves the requests that no pool does.
    #[must_use]
    pub fn fallback(&self) -> &F {
        &self.fallback
    }

    /// The class that serves requests of `size` bytes; `None` for 0 and above the limit.
    #[inline]
    #[must_use]
    pub fn class_of(&self, size: usize) -> Option<SizeClass> {
        self.state.class_of(size)
    }

    /// A block of a class, not initialised; `None` if the source refuses an arena, or if the class
    /// is that of another geometry and too large for this one.
    ///
    /// A handful of instructions, unless a pool has to be opened.
    #[inline]
    #[must_use]
    pub fn allocate_class(&self, class: SizeClass) -> Option<NonNull<u8>> {
        match self.state.pop(class) {
            None => self.allocate_slowly(class),
            block => block,
        }
    }

    /// A block of a class if one is at hand, which it mostly is: the part of [`allocate_class`](Self::allocate_class) that
    /// calls nothing. If not, that finds out why.
    #[inline]
    #[must_use]
    pub fn allocate_at_hand(&self, class: SizeClass) -> Option<NonNull<u8>> {
        self.state.pop(class)
    }

    /// Takes back a block without asking whether it is one: no test can fail, and the address map
    /// is consulted only for the right to access the block's pool.
    ///
    /// # Safety
    ///
    /// 1. `block` was handed out by this pool, from an arena, and not taken back since: by
    ///    [`allocate_class`](Self::allocate_class), or by another method for a size of
    ///    1 to [`small_limit`](Geometry::small_limit) bytes *and* known not to come from
    ///    the fallback;
    /// 2. its memory is no longer used.
    #[inline]
    pub unsafe fn free_class(&self, block: NonNull<u8>) {
        // SAFETY: the block is ours by contract, so it lies in an arena that is in the map; the
        // rest is the contract of `push`.
        unsafe {
            let arena = self.state.map.arena_of_ours(block.addr().get());
            self.free_in(arena, block);
        }
    }

    /// As [`free_class`](Self::free_class), without looking anything up: for a pointer that is the very one that was
    /// returned, and its class.
    ///
    /// That pointer may access the whole arena. One that has been a reference or a `Box` may access no more
    /// than its block: for those there is `free_class`.
    ///
    /// # Safety
    ///
    /// 1. As for `free_class`;
    /// 2. `block` is the pointer that this pool returned, or was computed from it without a
    ///    reference in between;
    /// 3. it is of this class.
    #[inline]
    pub unsafe fn free_original(&self, block: NonNull<u8>, class: SizeClass) {
        // SAFETY: what is handed out are pointers that were computed from the arena's own, and may access
        // as much as that may; the rest is by contract. `settle` gets what `push` has just returned.
        unsafe {
            if let Some(pool) = self.state.push(block, block) {
                self.settle(pool, class);
            }
        }
    }

    /// Takes a block back into its arena.
    ///
    /// # Safety
    ///
    /// As for [`State::push`].
    #[inline]
    pub(crate) unsafe fn free_in(&self, arena: NonNull<u8>, block: NonNull<u8>) {
        // SAFETY: the contract is the same; `settle` gets what `push` has just returned.
        unsafe {
            if let Some(pool) = self.state.push(arena, block) {
                self.settle(pool, State::class_of_pool(pool));
            }
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_slowly(&self, class: SizeClass) -> Option<NonNull<u8>> {
        if let Some(block) = self.state.refill(class) {
            return Some(block);
        }
        if class.index() >= self.geometry().classes() || !self.acquire() {
            return None;
        }
        self.state.refill(class)
    }

    /// Asks the source for an arena; `false` if it has none, or a useless one.
    ///
    /// `self` is in order and unborrowed while the source runs: even one that (against its
    /// contract) came back here could not break memory safety, only the order of arenas.
    fn acquire(&self) -> bool {
        let layout = self.geometry().arena_layout();
        let Some(base) = self.source.acquire(layout) else {
            return false;
        };
        let id: ArenaId = self.state.next_arena();
        // SAFETY: the source promises memory of this layout until it is released, which is done
        // below, in `settle` and in `drop`, each after `state` has forgotten the arena.
        unsafe {
            let usable = self.state.add_arena(base, id);
            if !usable {
                self.source.release(base, layout);
            }
            usable
        }
    }

    /// Does the rest of a release.
    ///
    /// # Safety
    ///
    /// `pool` has just been returned by [`State::push`], and is of this class.
    #[inline(never)]
    unsafe fn settle(&self, pool: NonNull<Header>, class: SizeClass) {
        // SAFETY: the contract is the same.
        unsafe {
            if !self.state.reopen(pool, class) {
                self.settle_slowly(pool);
            }
        }
    }

    /// # Safety
    ///
    /// As for [`State::settle`].
    #[cold]
    #[inline(never)]
    unsafe fn settle_slowly(&self, pool: NonNull<Header>) {
        // SAFETY:
        // 1. the contract is the same;
        // 2. the base it returns was acquired with this layout, is released once, and nothing of
        //    the arena is in use.
        unsafe {
            if let Some(base) = self.state.settle(pool) {
                self.source.release(base, self.geometry().arena_layout());
            }
        }
    }
}

impl<S: ArenaSource, F: Fallback> Drop for Pool<S, F> {
    fn drop(&mut self) {
        let layout = self.geometry().arena_layout();
        // SAFETY: nobody can reach a block through `self` any more, and who kept a pointer to one
        // promised, when freeing was made `unsafe`, no more than to use it while the pool lives.
        for base in unsafe { self.state.clear() } {
            // SAFETY: acquired with this layout, forgotten by `state`, released once.
            unsafe { self.source.release(base, layout) };
        }
    }
}

// SAFETY: a pool owns its arenas and its tables; the pointers inside lead to nothing else, except
// to a header that is never written. It has no tie to the thread that made it, unless its parts do.
unsafe impl<S: ArenaSource + Send, F: Fallback + Send> Send for Pool<S, F> {}

impl<S: ArenaSource, F: Fallback> fmt::Debug for Pool<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("geometry", self.geometry()).finish_non_exhaustive()
    }
}
