//! CPython's contract: `malloc`, `calloc`, `realloc`, `free`, as the domains OBJ and MEM have it.
//!
//! A block's owner is found from its address alone, so blocks of pools and of the fallback may be
//! mixed freely, and any small block may come from the fallback if arenas had run out.

use core::ptr::NonNull;

use crate::fallback::Fallback;
use crate::pool::Pool;
use crate::source::ArenaSource;

const MAX_REQUEST: usize = isize::MAX.unsigned_abs();

impl<S: ArenaSource, F: Fallback> Pool<S, F> {
    /// A block of `size` bytes, not initialised.
    ///
    /// From a pool for 1 to [`small_limit`](crate::Geometry::small_limit) bytes, from the fallback
    /// otherwise or if the source refuses an arena; `None` if the fallback refuses too, or above
    /// `isize::MAX`. 0 bytes are a block of their own, as large as 1.
    ///
    /// ```
    /// # fn main() {
    /// let pool = pool::Pool::new(pool::Geometry::for_cpython(3, 12, 1).unwrap());
    /// let one = pool.malloc(20).unwrap();
    /// let two = pool.malloc(20).unwrap();
    /// assert_eq!(two.addr().get() - one.addr().get(), 32);
    /// // SAFETY: both are from this pool, freed once and not used.
    /// unsafe {
    ///     pool.free(Some(one));
    ///     assert_eq!(pool.malloc(20), Some(one));
    ///     pool.free(Some(one));
    ///     pool.free(Some(two));
    /// }
    /// # }
    /// ```
    #[inline]
    pub fn malloc(&self, size: usize) -> Option<NonNull<u8>> {
        if let Some(class) = self.state.class_of(size)
            && let Some(block) = self.state.pop(class)
        {
            return Some(block);
        }
        self.malloc_slowly(size)
    }

    /// Apart, and told the size alone, so that the fast path keeps nothing for it.
    #[cold]
    #[inline(never)]
    fn malloc_slowly(&self, size: usize) -> Option<NonNull<u8>> {
        let block = self.state.class_of(size).and_then(|class| self.allocate_slowly(class));
        block.or_else(|| self.fall_back(size, false))
    }

    /// A block of `count * size` bytes that are zero; `None` as for [`malloc`](Self::malloc) and
    /// if the product is above `isize::MAX`.
    #[inline]
    pub fn calloc(&self, count: usize, size: usize) -> Option<NonNull<u8>> {
        let size = count.checked_mul(size)?;
        if let Some(block) = self.state.class_of(size).and_then(|class| self.allocate_class(class)) {
            // SAFETY: the block is ours to write and at least `size` bytes large.
            unsafe { block.write_bytes(0, size) };
            return Some(block);
        }
        self.fall_back(size, true)
    }

    /// Changes the size of a block: its contents are kept up to the smaller of both sizes.
    ///
    /// `None` for the block is [`malloc`](Self::malloc). A block of the fallback stays there,
    /// however small it becomes. A block of a pool keeps its place if the new size fits and uses
    /// more than three quarters of it; otherwise a new block is taken first, then the old one freed.
    /// If there is no new block, the result is `None` and the old one is as before.
    ///
    /// # Safety
    ///
    /// The block was returned by this contract of this pool and has not been freed or moved by a
    /// `realloc` since. If it is moved, the old address is dead.
    pub unsafe fn realloc(&self, block: Option<NonNull<u8>>, size: usize) -> Option<NonNull<u8>> {
        let Some(block) = block else {
            return self.malloc(size);
        };
        if size > MAX_REQUEST {
            return None;
        }
        let Some(arena) = self.state.map.arena_of(block.addr().get()) else {
            // SAFETY: it is not in an arena, so by contract the fallback returned it.
            return unsafe { self.fallback.resize(block, size) };
        };
        // SAFETY: by contract the block is live, and `arena` is from the map.
        let old_size = unsafe { self.state.size_of_block(arena, block) };
        if size <= old_size && 4 * size > 3 * old_size {
            // Through the arena's pointer: the caller's may reach no further than the old size.
            return Some(arena.with_addr(block.addr()));
        }
        let new = self.malloc(size)?;
        // SAFETY:
        // 1. the old block has `old_size` bytes, read through the pointer of its arena, which may
        //    (the new block may have come from the same arena, the old one is still live);
        // 2. the new one has at least `size` bytes if it is memory at all: it is, if it lies in an
        //    arena or the fallback is backed;
        // 3. both are live, so they do not overlap;
        // 4. the old block is freed once, and `arena` lives as long as a block in it.
        unsafe {
            if F::BACKED || self.state.map.arena_of(new.addr().get()).is_some() {
                let old = arena.with_addr(block.addr());
                old.copy_to_nonoverlapping(new, size.min(old_size));
            }
            self.free_in(arena, block);
        }
        Some(new)
    }

    /// Frees a block; `None` does nothing.
    ///
    /// # Safety
    ///
    /// The block was returned by this contract of this pool, has not been freed or moved since, and
    /// is no longer used.
    #[inline]
    pub unsafe fn free(&self, block: Option<NonNull<u8>>) {
        // Nobody's arena is at 0: no block is no case of its own here.
        let address = block.map_or(0, |block| block.addr().get());
        // SAFETY:
        // 1. what is surely ours is not 0, so there is a block, and it lies in an arena, where by
        //    contract it is live and no longer used;
        // 2. the contract of `free_slowly` is the same.
        unsafe {
            if self.state.map.is_surely_ours(address) {
                self.free_class(block.unwrap_unchecked());
            } else {
                self.free_slowly(block);
            }
        }
    }

    /// Frees a block of the fallback, or of an arena that lies far from the others.
    ///
    /// # Safety
    ///
    /// As for [`free`](Self::free).
    #[cold]
    #[inline(never)]
    unsafe fn free_slowly(&self, block: Option<NonNull<u8>>) {
        let Some(block) = block else {
            return;
        };
        match self.state.map.arena_of(block.addr().get()) {
            // SAFETY: it lies in that arena, and by contract it is live there.
            Some(arena) => unsafe { self.free_in(arena, block) },
            // SAFETY: it is not in an arena, so by contract the fallback returned it.
            None => unsafe { self.fallback.release(block) },
        }
    }

    /// Whether an address lies in one of the arenas. Safe for any address, which is not accessed.
    #[inline]
    #[must_use]
    pub fn owns(&self, address: *const u8) -> bool {
        self.state.map.is_surely_ours(address.addr()) || self.state.map.arena_of(address.addr()).is_some()
    }

    #[cold]
    #[inline(never)]
    fn fall_back(&self, size: usize, zeroed: bool) -> Option<NonNull<u8>> {
        if size > MAX_REQUEST {
            return None;
        }
        self.fallback.allocate(size, zeroed)
    }
}

#[cfg(all(test, feature = "os"))]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::fallback::Unbacked;
    use crate::geometry::{EmptyArenas, Geometry};
    use crate::source::os::Os;

    /// In unit tests the window is smaller than an arena, so most of these blocks lie outside of it.
    #[test]
    fn blocks_far_from_the_first_arena_come_back_too() {
        let geometry = Geometry::new(16, 512, 4096, 256 << 10, EmptyArenas::Return).expect("valid");
        let pool = Pool::with_parts(geometry, Os::new(), Unbacked::default());
        let mut blocks: Vec<_> = (0..20_000).filter_map(|n| pool.malloc(1 + n % 512)).collect();
        assert_eq!(blocks.len(), 20_000);
        let near = blocks.iter().filter(|block| pool.state.map.is_surely_ours(block.addr().get())).count();
        assert!((1..10_000).contains(&near), "{near} near");
        blocks.rotate_left(7_000);
        for block in blocks {
            assert!(pool.owns(block.as_ptr()));
            // SAFETY: each is live, and freed once.
            unsafe { pool.free(Some(block)) };
        }
        assert_eq!(pool.stats().bytes.in_use, 0);
        assert_eq!(pool.stats().arenas.current, 0);
    }
}
