//! The collector's lists: who is on them when a collection looks at them, and when it is over.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use super::collector::{Collector, HEADER};
use super::layout::Object;
use super::members::tell_member;
use super::objects::put;
use super::producer::Producer;
use super::slot;
use super::traverse;

/// The last one of each list when the last collection was over.
static LAST: [AtomicPtr<c_void>; 3] = [const { AtomicPtr::new(null_mut()) }; 3];
/// How many objects the collection looks at.
static MEMBERS: AtomicUsize = AtomicUsize::new(0);
/// The last one of each older list.
static TAILS: [AtomicPtr<c_void>; 3] = [const { AtomicPtr::new(null_mut()) }; 3];

/// Whether a collection up to this generation is noticed when it looks at its objects.
///
/// # Safety
///
/// The interpreter's lock is held, and no collection looks at objects.
pub unsafe fn is_noticed(collector: Collector, oldest: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let is_ours = |object| traverse::is_ours(Object(object).of());
        (0..=oldest).any(|generation| members(collector, generation).any(is_ours))
    }
}

/// The objects on a generation's list.
///
/// # Safety
///
/// The interpreter's lock is held, and its lists are whole, if only forwards: their links lead from object to object, which are
/// alive, and back to the head.
unsafe fn members(collector: Collector, generation: usize) -> impl Iterator<Item = *mut c_void> + Clone {
    let head = collector.head(generation);
    // SAFETY: the caller's promise.
    let links = core::iter::successors(Some(head), |link| Some(unsafe { Collector::next(*link) }));
    links.skip(1).take_while(move |link| *link != head).map(|link| link.wrapping_byte_add(HEADER))
}

/// Notes the last ones, between two collections.
pub fn remember(collector: Collector) {
    for (generation, last) in LAST.iter().enumerate() {
        // SAFETY: the head of a list.
        last.store(unsafe { Collector::previous(collector.head(generation)) }, Relaxed);
    }
}

/// Tells who is on the lists up to that of a generation; if they are together, on that.
pub fn tell(producer: &Producer, collector: Collector, oldest: usize, is_together: bool) {
    for (generation, tail) in TAILS.iter().enumerate() {
        // SAFETY: no collection is at work on the lists that are not looked at.
        tail.store(unsafe { Collector::previous(collector.head(generation)) }, Relaxed);
    }
    let mut many = 0;
    let first = if is_together { oldest } else { 0 };
    for (generation, last_old) in LAST.iter().enumerate().take(oldest + 1).skip(first) {
        put(producer, slot::LIST, generation + if is_together { slot::TOGETHER } else { 0 });
        // SAFETY: the interpreter's lock is held; if a collection is at work, it has changed only what leads backwards.
        unsafe {
            let list = members(collector, generation);
            let last_old = last_old.load(Relaxed).wrapping_byte_add(HEADER);
            let mut is_young =
                generation == 0 || (is_together && !list.clone().any(|object| object == last_old));
            for object in list {
                tell_member(producer, Object(object), is_young);
                many += 1;
                is_young |= object == last_old;
            }
        }
    }
    MEMBERS.store(many, Relaxed);
    put(producer, slot::GRAPH_ENDS, 0);
}

/// Tells who is left behind a collection of this generation.
pub fn tell_left(producer: &Producer, collector: Collector, generation: usize) {
    tell_survivors(producer, collector, generation, MEMBERS.load(Relaxed));
}

/// Tells who has come to the list where survivors of a generation are; of the oldest one, who is on it, but no more than so many.
pub fn tell_survivors(producer: &Producer, collector: Collector, generation: usize, most: usize) {
    let to = (generation + 1).min(2);
    let head = collector.head(to);
    let tail = TAILS[to].load(Relaxed);
    // SAFETY: the lock is held, and the list is whole.
    unsafe {
        let mut link = Collector::next(head);
        if generation < 2 && tail != head {
            // Those behind what was the last one; all, if that is not there any more.
            link = Collector::previous(head);
            while link != tail && link != head {
                link = Collector::previous(link);
            }
            link = Collector::next(link);
        }
        put(producer, slot::LIST, to);
        // An interpreter that has ended takes the heads out of the lists, which then lead from their ends to their beginnings.
        let last = Collector::previous(head);
        let first = link;
        let mut rest = if generation < 2 { usize::MAX } else { most };
        while link != head && rest > 0 {
            producer.put(slot::pack(slot::MEMBER, 0, link.byte_add(HEADER) as u64));
            rest -= 1;
            // (What was the last one may have died since.)
            let next = Collector::next(link);
            link = if link == last || next == first { head } else { next };
        }
    }
    put(producer, slot::GRAPH_ENDS, 0);
}
