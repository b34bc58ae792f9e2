//! What a collector makes for the functions that it calls back, and gives up when they have returned: texts, which are the first
//! things that it makes.
//!
//! Mostly the collector is noticed when it asks its objects to what they refer. Where none of these is of a type that is asked by way
//! of us, giving up one of the texts says that functions have returned, and so that it may be about to look.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use super::collector;

/// How long the texts are: which phase it is, and the names of what is told of the collection.
const LENGTHS: [usize; 5] =
    ["start".len(), "generation".len(), "collected".len(), "uncollectable".len(), "duration".len()];

/// The texts, and others that are as long.
static TEXTS: [AtomicPtr<c_void>; 8] = [const { AtomicPtr::new(null_mut()) }; 8];
static MANY: AtomicUsize = AtomicUsize::new(0);

/// Nothing is made yet.
pub fn begin() {
    MANY.store(0, Relaxed);
}

/// This block of so many bytes was made, if any.
pub fn note(block: *mut c_void, size: usize) {
    // In front of a text stands what all have, behind it a zero.
    let around = if collector::runs_inside() { 49 } else { 41 };
    let many = MANY.load(Relaxed);
    if many < TEXTS.len() && LENGTHS.iter().any(|length| length + around == size) {
        TEXTS[many].store(block, Relaxed);
        MANY.store(many + 1, Relaxed);
    }
}

/// Whether this block is one of the texts.
pub fn is_text(block: *mut c_void) -> bool {
    !block.is_null() && TEXTS.iter().take(MANY.load(Relaxed)).any(|text| text.load(Relaxed) == block)
}

/// Forgets the text, which is released.
pub fn forget(block: *mut c_void) {
    TEXTS.iter().filter(|text| text.load(Relaxed) == block).for_each(|text| text.store(null_mut(), Relaxed));
}
