//! Arenas from bump allocation.

use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::RefCell;
use core::fmt;
use core::ptr::NonNull;

use super::ArenaSource;

/// Takes each arena from a [`bumpalo::Bump`] of its own with room for just that.
///
/// A bump allocator gives nothing back but everything at once. So released arenas are kept for the
/// next one that asks (the one released last first), and all memory goes when the source does.
#[derive(Default)]
pub struct Bump {
    chunks: RefCell<Vec<bumpalo::Bump>>,
    released: RefCell<Vec<(NonNull<u8>, Layout)>>,
}

impl Bump {
    /// A source without memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Arenas acquired from bump allocators so far, in use or not.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.chunks.borrow().len()
    }
}

impl fmt::Debug for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bump").field("chunks", &self.chunks()).finish_non_exhaustive()
    }
}

// SAFETY: the pointers lead to memory of the chunks that stand beside them.
unsafe impl Send for Bump {}

// SAFETY:
// 1. `try_alloc_layout` follows the layout, and a kept arena is used for an equal layout only;
// 2. chunks are never reset and dropped with the source only; a `Bump` is the handle of its chunk,
//    so the vector may move it; 3. a bump allocator hands out each byte once, and a kept arena
//    has been released by its user; 4. bumpalo knows no pool.
unsafe impl ArenaSource for Bump {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let mut released = self.released.borrow_mut();
        if let Some(at) = released.iter().rposition(|&(_, kept)| kept == layout) {
            return Some(released.remove(at).0);
        }
        let bump = bumpalo::Bump::try_with_capacity(layout.size()).ok()?;
        let base = bump.try_alloc_layout(layout).ok()?;
        self.chunks.borrow_mut().push(bump);
        Some(base)
    }

    unsafe fn release(&self, base: NonNull<u8>, layout: Layout) {
        self.released.borrow_mut().push((base, layout));
    }
}
