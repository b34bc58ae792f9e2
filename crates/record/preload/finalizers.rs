//! What is left of the garbage when the collector has run its finalizers, where it says that it has: then it looks once more who
//! can be reached, and so does whoever replays.
//!
//! Nobody tells where the collector has its list of garbage, which is on the machine's stack. But whoever was finalized and lives is
//! on that list, and so leads to all that are.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};

use super::collector::{Collector, HEADER};
use super::layout::Object;
use super::members::tell_member;
use super::objects::put;
use super::producer::Producer;
use super::slot;
use super::survivors;

/// Of how many of those that the collector has finalized last it is remembered that they live.
const REMEMBERED: usize = 64;
/// How far from here the list may begin, in bytes.
const STACK: usize = 1 << 16;

static FINALIZED: [AtomicPtr<c_void>; REMEMBERED] = [const { AtomicPtr::new(null_mut()) }; REMEMBERED];
/// How many were finalized in this collection.
static MANY: AtomicUsize = AtomicUsize::new(0);
/// Whether it is known what the collection will find.
static IS_GOING_ON: AtomicBool = AtomicBool::new(false);

/// A collection begins.
pub fn begin() {
    MANY.store(0, Relaxed);
    IS_GOING_ON.store(true, Relaxed);
}

/// The collector has finalized this object.
pub fn finalized(object: *mut c_void) {
    let at = MANY.load(Relaxed);
    FINALIZED[at % REMEMBERED].store(object, Relaxed);
    MANY.store(at + 1, Relaxed);
}

/// This object dies.
#[inline(always)]
pub fn dies(object: *mut c_void) {
    let many = MANY.load(Relaxed);
    if many > 0 {
        let places = FINALIZED.iter().take(many);
        places
            .filter(|place| place.load(Relaxed) == object)
            .for_each(|place| place.store(null_mut(), Relaxed));
    }
}

/// All finalizers have run.
///
/// # Safety
///
/// Called by the collector, on whose stack frame the list of its garbage begins.
pub unsafe fn have_run(producer: &Producer, collector: Collector) {
    survivors::look(producer);
    if !IS_GOING_ON.swap(false, Relaxed) {
        return;
    }
    let many = MANY.swap(0, Relaxed);
    let mut alive = FINALIZED.iter().take(many).map(|place| place.load(Relaxed)).filter(|one| !one.is_null());
    let found = alive.next();
    if many > 0 && found.is_none() {
        return;
    }
    let first = found.map_or(null_mut(), |object| object.wrapping_byte_sub(HEADER));
    // SAFETY: the object is alive, and so are all on its list.
    if !first.is_null() && !unsafe { is_garbage(collector, first) } {
        return;
    }
    put(producer, slot::FINALIZERS_RUN, 0);
    put(producer, slot::LIST, 0);
    let mut link = first;
    while !link.is_null() {
        if !is_head(link) {
            // SAFETY: as above.
            unsafe { tell_member(producer, Object(link.byte_add(HEADER)), false) };
        }
        // SAFETY: as above.
        link = unsafe { Collector::next(link) };
        if link == first {
            break;
        }
    }
    put(producer, slot::GRAPH_ENDS, 0);
}

/// Whether this link, of a live object, is on a list that begins on the stack, and on none of a generation.
///
/// # Safety
///
/// It is in front of a live object, which is a container.
unsafe fn is_garbage(collector: Collector, first: *mut c_void) -> bool {
    let (mut link, mut has_head) = (first, false);
    loop {
        if link.is_null() || (0..3).any(|generation| collector.head(generation) == link) {
            return false;
        }
        has_head |= is_head(link);
        // SAFETY: the caller's promise; what is linked is alive.
        link = unsafe { Collector::next(link) };
        if link == first {
            return has_head;
        }
    }
}

/// Whether a list begins here, and not in front of an object: it is on the stack.
fn is_head(link: *mut c_void) -> bool {
    let here = 0_usize;
    link.addr().wrapping_sub((&raw const here).addr()) < STACK
}
