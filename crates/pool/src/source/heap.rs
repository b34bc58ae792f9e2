//! Arenas from the global allocator.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;

use super::ArenaSource;

/// Takes arenas from the global allocator and returns them there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

// SAFETY: promises 1 to 3 are those of the global allocator, for a layout that is not empty (which
// is refused); 4. it knows no pool.
unsafe impl ArenaSource for Heap {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() == 0 {
            return None;
        }
        // SAFETY: the layout is not empty.
        NonNull::new(unsafe { alloc(layout) })
    }

    unsafe fn release(&self, base: NonNull<u8>, layout: Layout) {
        // SAFETY: allocated above with the same layout, by contract.
        unsafe { dealloc(base.as_ptr(), layout) };
    }
}
