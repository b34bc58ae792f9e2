//! Arenas from the operating system: anonymous private mappings, as CPython makes them.

use alloc::collections::BTreeMap;
use core::alloc::Layout;
use core::cell::RefCell;
use core::ptr::NonNull;

use memmap2::{MmapMut, MmapOptions};

use super::ArenaSource;

/// Maps each arena on its own and unmaps it when it is released.
///
/// Bases are aligned to memory pages. With pools larger than a page they mostly are not aligned
/// to the pool size, and each arena loses one pool: exactly what happens to CPython. (Unlike CPython,
/// it has the pages of an arena made at once where the system offers it; where they are is the same.)
#[derive(Debug, Default)]
pub struct Os {
    mappings: RefCell<BTreeMap<usize, MmapMut>>,
}

impl Os {
    /// A source without mappings yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

// SAFETY:
// 1. a mapping has at least the length asked for and begins at a page, and no larger alignment is
//    accepted; 2. it stays mapped, readable and writable, until its `MmapMut` is dropped, which is
//    the handle and not the memory and may move; 3. the system maps it for us alone;
// 4. the operating system knows no pool.
unsafe impl ArenaSource for Os {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        // An arena is asked for when there is not one free pool, and is mostly filled at once. To
        // have its pages in one go costs a fraction of as many page faults.
        let mut mapping = MmapOptions::new().len(layout.size()).populate().map_anon().ok()?;
        let base = NonNull::new(mapping.as_mut_ptr())?;
        if !base.addr().get().is_multiple_of(layout.align()) {
            return None;
        }
        self.mappings.borrow_mut().insert(base.addr().get(), mapping);
        Some(base)
    }

    unsafe fn release(&self, base: NonNull<u8>, _layout: Layout) {
        self.mappings.borrow_mut().remove(&base.addr().get());
    }
}
