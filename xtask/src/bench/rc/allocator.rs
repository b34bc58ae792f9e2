//! Rust's global allocator in a measuring process: the system's, or mimalloc while that is measured.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

struct Switch(AtomicBool);

#[global_allocator]
static SWITCH: Switch = Switch(AtomicBool::new(false));

/// Runs something on mimalloc.
///
/// # Safety
///
/// What `run` allocates it frees, and nothing else; and there is no other thread.
pub(super) unsafe fn on_mimalloc<T>(run: impl FnOnce() -> T) -> T {
    SWITCH.0.store(true, Ordering::Relaxed);
    let result = run();
    SWITCH.0.store(false, Ordering::Relaxed);
    result
}

impl Switch {
    #[inline]
    fn is_mimalloc(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

// SAFETY: both keep the contract, and by that of `on_mimalloc` a block goes back to where it came from.
unsafe impl GlobalAlloc for Switch {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the contract is the same; mimalloc aligns to 16 bytes by itself.
        unsafe {
            if !self.is_mimalloc() {
                System.alloc(layout)
            } else if layout.align() <= 16 {
                libmimalloc_sys::mi_malloc(layout.size()).cast()
            } else {
                libmimalloc_sys::mi_malloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the contract is the same.
        unsafe {
            if self.is_mimalloc() {
                libmimalloc_sys::mi_free(block.cast::<c_void>());
            } else {
                System.dealloc(block, layout);
            }
        }
    }
}
