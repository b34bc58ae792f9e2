//! Rust's contract: `&Pool` is an allocator, and the caller tells the layout of each block again.
//!
//! So the class of a block is known without looking, freeing needs no test of ownership, and
//! blocks may move between a pool and the global allocator whenever their size crosses the limit.
//! What a pool cannot serve *by its layout* (above the limit, or aligned more strictly than
//! blocks are) goes to the global allocator; what it could serve but for the lack of an arena is an
//! error, since nobody could tell afterwards where such a block came from.

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator, Global};

use crate::class::SizeClass;
use crate::fallback::Fallback;
use crate::pool::Pool;
use crate::source::ArenaSource;

/// Who serves a layout. The same for all layouts that fit one block: the sizes from the one asked
/// for to the whole block's are of one class.
#[derive(PartialEq, Eq)]
enum Server {
    /// No one: an empty layout has no memory.
    Nobody,
    Pool(SizeClass),
    Global,
}

impl<S: ArenaSource, F: Fallback> Pool<S, F> {
    /// The class that [`Allocator`] for `&Pool` serves this layout from; `None` if it is empty, too
    /// large or too strictly aligned for a pool.
    ///
    /// Together with [`allocate_class`](Self::allocate_class) and [`free_class`](Self::free_class)
    /// this is the allocator without its results' lengths; both see the same blocks.
    #[inline]
    #[must_use]
    pub fn class_of_layout(&self, layout: Layout) -> Option<SizeClass> {
        if layout.align() <= self.state.geometry.alignment() { self.class_of(layout.size()) } else { None }
    }

    #[inline]
    fn server(&self, layout: Layout) -> Server {
        match self.class_of_layout(layout) {
            Some(class) => Server::Pool(class),
            None if layout.size() == 0 => Server::Nobody,
            None => Server::Global,
        }
    }

    #[inline]
    fn allocate_layout(&self, layout: Layout, zeroed: bool) -> Result<NonNull<[u8]>, AllocError> {
        match self.server(layout) {
            Server::Pool(class) => {
                let block = self.allocate_class(class).ok_or(AllocError)?;
                let size = self.state.geometry.block_size(class);
                if zeroed {
                    // SAFETY: the block is ours to write, and `size` bytes large.
                    unsafe { block.write_bytes(0, size) };
                }
                Ok(NonNull::slice_from_raw_parts(block, size))
            }
            Server::Nobody => Ok(NonNull::slice_from_raw_parts(dangling(layout), 0)),
            Server::Global if zeroed => Global.allocate_zeroed(layout),
            Server::Global => Global.allocate(layout),
        }
    }

    /// # Safety
    ///
    /// As for [`Allocator::grow`] or [`Allocator::shrink`], whichever the sizes make it, and with
    /// `zeroed` as for [`Allocator::grow_zeroed`].
    #[inline]
    unsafe fn resize(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
        zeroed: bool,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let resized = match (self.server(old), self.server(new)) {
            (Server::Pool(class), Server::Pool(wanted)) if class == wanted => {
                // SAFETY: by contract the block lies in an arena.
                let arena = unsafe { self.state.map.arena_of_ours(block.addr().get()) };
                let size = self.state.geometry.block_size(class);
                // The arena's pointer may access the whole block; the caller's perhaps no more
                // than was asked for.
                NonNull::slice_from_raw_parts(arena.with_addr(block.addr()), size)
            }
            (Server::Global, Server::Global) => {
                // SAFETY: by contract the block is of layout `old`, so it is one of the global
                // allocator's; the order of the sizes decides which contract it was.
                return unsafe {
                    match new.size().cmp(&old.size()) {
                        core::cmp::Ordering::Less => Global.shrink(block, old, new),
                        _ if zeroed => Global.grow_zeroed(block, old, new),
                        _ => Global.grow(block, old, new),
                    }
                };
            }
            _ => {
                let moved = self.allocate_layout(new, false)?;
                let kept = old.size().min(new.size());
                // SAFETY:
                // 1. both blocks have `kept` bytes, which may be none, and are live: so they do
                //    not overlap;
                // 2. the old one is given back with its layout, and by contract not used again.
                unsafe {
                    block.copy_to_nonoverlapping(moved.cast(), kept);
                    self.deallocate_layout(block, old);
                }
                moved
            }
        };
        if zeroed {
            let kept = old.size().min(resized.len());
            // SAFETY: the new block has `resized.len()` bytes, from `kept` on without contents.
            unsafe { resized.cast::<u8>().add(kept).write_bytes(0, resized.len() - kept) };
        }
        Ok(resized)
    }

    /// # Safety
    ///
    /// As for [`Allocator::deallocate`].
    #[inline]
    unsafe fn deallocate_layout(&self, block: NonNull<u8>, layout: Layout) {
        match self.server(layout) {
            // SAFETY: the layout fits the block, so the block was served by whom the layout says.
            Server::Pool(_) => unsafe { self.free_class(block) },
            Server::Nobody => {}
            // SAFETY: as above.
            Server::Global => unsafe { Global.deallocate(block, layout) },
        }
    }
}

/// An address for a layout without memory: aligned, not null.
fn dangling(layout: Layout) -> NonNull<u8> {
    layout.dangling_ptr()
}

// SAFETY:
// 1. blocks stay valid until they are deallocated or the pool is dropped: a pool is neither dropped
//    nor moved while it is borrowed, and copies of `&Pool` are the same allocator;
// 2. a block of a class is as large as the returned slice says, aligned to the pool's alignment,
//    which is at least the layout's, and nobody else's until it is freed;
// 3. every layout whose size lies between the one asked for and the length returned has the same
//    server: sizes of one class, or those that the global allocator handles.
unsafe impl<S: ArenaSource, F: Fallback> Allocator for &Pool<S, F> {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate_layout(layout, false)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate_layout(layout, true)
    }

    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe { self.deallocate_layout(ptr, layout) };
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old_layout: Layout,
        new_layout: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the contract is the same.
        unsafe { self.resize(ptr, old_layout, new_layout, false) }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old_layout: Layout,
        new_layout: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the contract is the same.
        unsafe { self.resize(ptr, old_layout, new_layout, true) }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old_layout: Layout,
        new_layout: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the contract is the same.
        unsafe { self.resize(ptr, old_layout, new_layout, false) }
    }
}
