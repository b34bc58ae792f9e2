//! Who is left of what a collection looks at: when it has told its garbage from the others, and when it is over.
//!
//! The collector tells them apart at one go, without a call of an allocator: then those that can be reached are on the list where
//! they belong, in their order, and what cannot is on lists of its own. Whatever happens after that (callbacks, finalizers, the
//! deaths of the garbage and of what only that held) calls an allocator sooner or later. So the list is read at the first
//! call which finds the generations' counts as a collection leaves them that has begun its work; where deaths are told, at the first
//! of these. Few have died by then, but garbage that has been cleared and lives yet is at the list's end. There is none if
//! the list is read earlier: when the collector asks what is left of its garbage to what that refers, for which it has put the others
//! away, unless they stay on the list on which they were.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::Relaxed};

use super::collections::{at_work, leave_out, producer};
use super::collector::Collector;
use super::layout::Object;
use super::lists;
use super::members::{header_of, is_container};
use super::numbers::counts;
use super::objects::put;
use super::producer::Producer;
use super::slot;
use super::sys;

/// Whether a collection goes on of which it was not told yet who can be reached.
static IS_AWAITED: AtomicBool = AtomicBool::new(false);
/// The counts of the generations before it, where it has not changed them yet; if it has, the generation, and 1 more.
static COUNTS: [AtomicI32; 3] = [const { AtomicI32::new(0) }; 3];
static BEGUN: AtomicUsize = AtomicUsize::new(0);
/// The oldest generation at which it looks.
static OLDEST: AtomicUsize = AtomicUsize::new(0);

/// A collection looks, or may, at the objects up to those of this generation. The counts are those before it.
pub fn expect(before: [i32; 3], oldest: usize) {
    COUNTS.iter().zip(before).for_each(|(place, count)| place.store(count, Relaxed));
    BEGUN.store(0, Relaxed);
    OLDEST.store(oldest, Relaxed);
    IS_AWAITED.store(true, Relaxed);
}

/// The collection that was told of has set the counts back, or is about to, with no call of an allocator before.
pub fn has_begun(generation: usize) {
    BEGUN.store(generation + 1, Relaxed);
}

/// Whether it is to be told yet who can be reached.
#[inline(always)]
fn is_awaited() -> bool {
    IS_AWAITED.load(Relaxed)
}

/// Whether it is to be told, and the list of the generation is empty that is looked at.
#[inline(always)]
fn is_awaited_elsewhere(collector: Collector) -> bool {
    is_awaited() && OLDEST.load(Relaxed) < 2 && is_empty(collector, OLDEST.load(Relaxed))
}

#[inline(always)]
fn is_empty(collector: Collector, generation: usize) -> bool {
    let head = collector.head(generation);
    // SAFETY: the head of a list.
    unsafe { Collector::next(head) == head }
}

/// Tells who can be reached, if a collection is at work that has found that since this was asked last.
#[inline(always)]
pub fn look(producer: &Producer) {
    if is_awaited()
        && let Some(collector) = at_work()
    {
        look_at(producer, collector);
    }
}

#[cold]
#[inline(never)]
fn look_at(producer: &Producer, collector: Collector) {
    let began = sys::nanoseconds();
    if let Some(generation) = generation(collector) {
        IS_AWAITED.store(false, Relaxed);
        put(producer, slot::HAS_PARTED, generation);
        lists::tell_survivors(producer, collector, generation, usize::MAX);
    }
    leave_out(sys::nanoseconds() - began);
}

/// Somebody asks an object to what it refers: if that is the collector, of what is left of its garbage, it is known who else can be
/// reached.
#[inline(always)]
pub fn is_traversed() {
    if is_awaited()
        && Collector::get().is_some_and(is_awaited_elsewhere)
        && let Some(producer) = producer()
    {
        look(producer);
    }
}

/// Is about to be told that an object dies.
///
/// # Safety
///
/// The object is whole, and its deallocation has not begun.
#[inline(always)]
pub unsafe fn dies(producer: &Producer, object: Object) {
    look(producer);
    // SAFETY: the caller's promise; containers have two words in front of them.
    if at_work().is_some() && unsafe { is_container(object) && header_of(object).read() == 0 } {
        put(producer, slot::DIES_UNTRACKED, object.0.addr());
    }
}

/// The generation that is being collected, if the collection has set the counts back: then it has told garbage from the others, as no
/// allocator is called in between.
fn generation(collector: Collector) -> Option<usize> {
    let begun = BEGUN.load(Relaxed);
    if begun > 0 {
        return Some(begun - 1);
    }
    let now = counts(collector);
    let before: [i32; 3] = core::array::from_fn(|at| COUNTS[at].load(Relaxed));
    let is_it = |generation: &usize| {
        let mut after = before;
        after[..=*generation].fill(0);
        if let Some(older) = after.get_mut(generation + 1) {
            *older = older.wrapping_add(1);
        }
        // Where it would change nothing that is not known: nothing has come since the last one.
        now == after && now != before
    };
    // (Those of all may be zero for another reason; then somebody is on the lists.)
    (0..3)
        .find(is_it)
        .filter(|generation| *generation < 2 || (0..2).all(|younger| is_empty(collector, younger)))
}

/// Nobody waits for that any more.
pub fn forget() {
    IS_AWAITED.store(false, Relaxed);
}
