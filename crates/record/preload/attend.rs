//! What each call of an allocator shows of the collector: which blocks are containers, how it is set, and that a collection is at
//! work.
//!
//! Between two calls the count of the youngest generation rises by one if what the first allocated is a container, and falls by
//! one before the block of a container is released.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed};

use super::collections::{self, Call};
use super::collector::{self, Collector, HEADER};
use super::containers::{self, LEAST};
use super::numbers;
use super::objects::put;
use super::producer::Producer;
use super::slot;

/// The count of the youngest generation at the call before, how many bytes that asked for an object (none if for none), and the
/// block.
static COUNT: AtomicI32 = AtomicI32::new(0);
static SIZE_ASKED: AtomicUsize = AtomicUsize::new(0);
static BLOCK: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// From which count on the next container makes a collection due that runs at once.
static ALARM: AtomicI32 = AtomicI32::new(i32::MAX);
/// What was told last of the collector's settings: the thresholds, whether it collects by itself, the flags for debugging.
static THRESHOLDS: [AtomicI32; 3] = [const { AtomicI32::new(-1) }; 3];
static DEBUG: AtomicI32 = AtomicI32::new(0);
static ENABLED: AtomicI32 = AtomicI32::new(-1);
static CALLS_BACK: AtomicBool = AtomicBool::new(false);

/// Why each call has to be looked at closely; 0 if there is no reason. There is an interpreter that may have a collector of its own.
static REASONS: AtomicU32 = AtomicU32::new(0);
const HAS_OTHERS: u32 = 1;
/// The interpreter has begun to finalize.
const IS_ENDING: u32 = 2;
/// Counts are recorded, so collections say themselves what they do.
const HAS_COUNTS: u32 = 4;
/// The collector of the interpreter that ran at the call before, if it was another one, and the count of its youngest generation.
static OTHER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static OTHERS_COUNT: AtomicI32 = AtomicI32::new(0);
/// Bytes of an object that no interpreter can begin without: its types have more.
const LARGE: usize = 512;

/// Gets to know whether an interpreter's counts are recorded.
pub fn know(has_counts: bool) {
    if has_counts {
        REASONS.fetch_or(HAS_COUNTS, Relaxed);
    }
}

/// Looks what the collector has done since the call before. Called at the beginning of each call of an allocator,
/// with how many bytes it is asked for an object, and the block that is released by it.
#[inline(always)]
pub fn attend(producer: &Producer, object_size: usize, released: *mut c_void) {
    if producer.records_collections() {
        look(producer, object_size, released);
    }
}

/// A block was allocated for an object.
#[inline(always)]
pub fn note(producer: &Producer, block: *mut c_void) {
    if producer.records_collections() {
        BLOCK.store(block, Relaxed);
        if COUNT.load(Relaxed) >= ALARM.load(Relaxed) {
            foresee(producer);
        }
    }
}

/// An object is about to be told to be born. It says itself that it is a container, but not for whom it counts: that is told before,
/// even if another interpreter has not allocated anything large yet.
#[inline(always)]
pub fn is_born(producer: &Producer) {
    let has_others = REASONS.load(Relaxed) & HAS_OTHERS != 0;
    if !has_others && producer.records_collections() && Collector::is_there_a_newer() {
        tell_of_newer(producer);
    }
}

#[cold]
#[inline(never)]
fn tell_of_newer(producer: &Producer) {
    if let Some(collector) = Collector::known()
        && !collections::is_ended(collector)
    {
        tell_of_other(producer, who_runs(collector), 0, null_mut());
    }
}

/// If what was allocated is a container, a collection runs now.
#[cold]
#[inline(never)]
fn foresee(producer: &Producer) {
    if let Some(collector) = Collector::get()
        && SIZE_ASKED.load(Relaxed) >= HEADER + LEAST
    {
        let [_, older @ ..] = numbers::counts(collector);
        let count = COUNT.load(Relaxed) + 1;
        collections::may_begin(producer, collector, [count, older[0], older[1]]);
    }
}

/// The interpreter has begun to finalize.
pub fn is_ending() -> bool {
    REASONS.load(Relaxed) & IS_ENDING != 0
}

/// It does so now.
pub fn set_ending() {
    REASONS.fetch_or(IS_ENDING, Relaxed);
}

/// Looks. Most calls find no more than that another block was allocated, or released, since the call before: what it takes to find
/// that is all that is done here.
fn look(producer: &Producer, object_size: usize, released: *mut c_void) {
    let Some(collector) = Collector::known() else { return look_closely(producer, object_size, released) };
    let is_plain = REASONS.load(Relaxed) == 0
        && object_size <= LARGE
        && collections::is_waiting()
        && !collector.is_collecting();
    if !is_plain {
        return look_closely(producer, object_size, released);
    }
    let last = Last { size: SIZE_ASKED.load(Relaxed), count: COUNT.load(Relaxed) };
    let count = collector.count(0);
    COUNT.store(count, Relaxed);
    SIZE_ASKED.store(object_size, Relaxed);
    // With as many containers as before and nothing released, it was none.
    if last.size > 0 && (count != last.count || !released.is_null()) {
        look_at_last(producer, last, count, released);
    } else if released.is_null() && are_settings_others(collector, count) {
        tell_settings(producer);
    }
}

/// The same where what was allocated last may be a container.
#[inline(never)]
fn look_at_last(producer: &Producer, last: Last, count: i32, released: *mut c_void) {
    if has_to_be_told(producer, last) {
        tell_what_was_allocated(producer, last, count, released, true);
    }
    if released.is_null() && Collector::known().is_some_and(|collector| are_settings_others(collector, count))
    {
        tell_settings(producer);
    }
}

/// Looks where there is, or may be, more: a collection that is at work or about to be, or another interpreter.
#[cold]
#[inline(never)]
fn look_closely(producer: &Producer, object_size: usize, released: *mut c_void) {
    let Some(collector) = Collector::get() else { return };
    if collections::is_ended(collector) {
        return;
    }
    collections::look_for_foreseen(producer, collector, released);
    let other = if has_others(object_size) { who_runs(collector) } else { None };
    let count = collector.count(0);
    let last = Last { size: SIZE_ASKED.load(Relaxed), count: COUNT.load(Relaxed) };
    let is_collecting = collector.is_collecting();
    let is_waiting = collections::is_waiting();
    // Who allocates for another one is another's.
    if last.size > 0 && has_to_be_told(producer, last) && (other.is_none() || count != last.count) {
        tell_what_was_allocated(producer, last, count, released, is_waiting && !is_collecting);
    }
    if other.is_some() || !OTHER.load(Relaxed).is_null() {
        tell_of_other(producer, other, last.size, released);
    }
    COUNT.store(count, Relaxed);
    SIZE_ASKED.store(object_size, Relaxed);
    // Who reports counts reports collections, too.
    if producer.follows_counts() {
        collections::go_on_reported(producer, collector, is_collecting);
    } else if is_collecting || !is_waiting {
        // What is released may have lowered the count already.
        let is_counted = last.size > 0 && count > last.count;
        let count = if released.is_null() { count } else { last.count + i32::from(is_counted) };
        let size_within = is_collecting.then_some(object_size);
        let last = (BLOCK.load(Relaxed), last.size);
        collections::go_on(producer, collector, &Call { size_within, count, released, last });
    }
    if !is_collecting || collections::is_calling_back() {
        tell_settings(producer);
    }
}

/// Whether there may be interpreters with collectors of their own; where such a one begins, something large is allocated.
#[inline(always)]
fn has_others(object_size: usize) -> bool {
    object_size > LARGE || REASONS.load(Relaxed) & HAS_OTHERS != 0
}

/// Whether something has to be told of what was allocated last: of what is born only that there is no collection where one is due.
#[inline(always)]
fn has_to_be_told(producer: &Producer, last: Last) -> bool {
    producer.has_no_births() || last.count >= ALARM.load(Relaxed)
}

/// What the call before was asked for an object, in bytes, and the count of the youngest generation then.
#[derive(Clone, Copy)]
struct Last {
    size: usize,
    count: i32,
}

/// Tells whether what the call before has allocated for an object is a container, by the count of the youngest generation, which
/// may be lowered already by what is released; and, where no collection is at work or about to be, that there should be one.
#[inline(always)]
fn tell_what_was_allocated(
    producer: &Producer,
    last: Last,
    count: i32,
    released: *mut c_void,
    is_idle: bool,
) {
    let Last { size, count: before } = last;
    let is_lowered = !released.is_null();
    let tells = if count > before {
        tell_kind(producer, slot::CONTAINER);
        true
    } else if count + i32::from(is_lowered) < before {
        // A collection that nobody noticed has set it back.
        tell_container(producer, size)
    } else {
        // The release of a container has lowered it already.
        count == before && is_lowered && tell_container_if(producer, size, count, released)
    };
    if tells && before >= ALARM.load(Relaxed) && is_idle {
        // More was allocated than the threshold says, and there is no collection.
        put(producer, slot::EXCEPTION, 0);
    }
}

/// Whether the collector may be set otherwise than was told.
#[inline(always)]
fn are_settings_others(collector: Collector, count: i32) -> bool {
    THRESHOLDS[0].load(Relaxed) != collector.threshold(0)
        || ENABLED.load(Relaxed) != collector.enabled()
        || CALLS_BACK.load(Relaxed)
        || collector.may_have_callbacks()
        || count >= ALARM.load(Relaxed)
}

/// Tells that what was allocated is a container, in one of two ways; unless what is born says that itself.
#[inline(always)]
fn tell_kind(producer: &Producer, what: u64) {
    if producer.has_no_births() {
        put(producer, what, 0);
    }
}

/// Tells that what was allocated, which is not released yet, is a container, if it is one by what it holds.
fn tell_container(producer: &Producer, size: usize) -> bool {
    // SAFETY: the block is as large.
    let is_one = unsafe { containers::is_one(BLOCK.load(Relaxed), size, None) };
    if is_one {
        tell_kind(producer, slot::CONTAINER);
    }
    is_one
}

/// The collector of the interpreter that runs, if that is another one.
#[cold]
#[inline(never)]
fn who_runs(collector: Collector) -> Option<Collector> {
    let has_others = Collector::is_one_of_several();
    if has_others {
        REASONS.fetch_or(HAS_OTHERS, Relaxed);
    } else {
        REASONS.fetch_and(!HAS_OTHERS, Relaxed);
    }
    if has_others { collector.of_another() } else { None }
}

/// Tells of it if another interpreter runs now than at the call before; or, if it is the same, whether what it allocated last is a
/// container.
#[cold]
#[inline(never)]
fn tell_of_other(producer: &Producer, other: Option<Collector>, size: usize, released: *mut c_void) {
    let address = other.map_or(null_mut(), Collector::address);
    let count = other.map_or(0, |other| other.count(0));
    let before = OTHERS_COUNT.swap(count, Relaxed);
    let last = OTHER.swap(address, Relaxed);
    if address != last {
        put(producer, slot::ANOTHER_RUNS, usize::from(other.is_some()));
    } else if size > 0 && producer.has_no_births() {
        // A release of a container has lowered the count already, and a collection has set it back.
        let may_be = count < before || !released.is_null();
        // SAFETY: the block is as large, and not released yet.
        if count > before || (may_be && unsafe { containers::is_one(BLOCK.load(Relaxed), size, other) }) {
            put(producer, slot::CONTAINER, 0);
        }
    }
}

/// Tells that what was allocated may be a container, or is, though the count is as before, with this block being released. False if
/// it is none.
fn tell_container_if(producer: &Producer, size: usize, count: i32, released: *mut c_void) -> bool {
    let block = BLOCK.load(Relaxed);
    // (Below zero the count is not lowered.) What it holds says whether the block itself was one.
    // SAFETY: the block is as large, and not released yet.
    let may_be = (block != released && count > 0) || unsafe { containers::is_one(block, size, None) };
    if may_be {
        tell_kind(producer, if block == released { slot::CONTAINER } else { slot::CONTAINER_IF });
    }
    may_be
}

/// A collection has set the counts back, right behind the call before. Returns the count of the youngest generation before that,
/// and whether it runs inside of what was allocated by that call.
pub fn settle(producer: &Producer, collector: Collector, runs_inside: impl Fn(i32) -> bool) -> (i32, bool) {
    let size = SIZE_ASKED.swap(0, Relaxed);
    let count = COUNT.swap(collector.count(0), Relaxed);
    if size >= HEADER + LEAST && runs_inside(count + 1) {
        put(producer, slot::CONTAINER, 0);
        return (count + 1, true);
    }
    (count + i32::from(tell_container(producer, size)), false)
}

/// The same of a collection that was foreseen; nothing was allocated since.
pub fn settle_foreseen(producer: &Producer) {
    if SIZE_ASKED.swap(0, Relaxed) > 0 {
        put(producer, slot::CONTAINER, 0);
    }
    COUNT.store(0, Relaxed);
}

/// Whether the count of the youngest generation is what it was at the call before.
pub fn is_count_unchanged(collector: Collector) -> bool {
    COUNT.load(Relaxed) == collector.count(0)
}

/// Notes whether functions are called back, which is told. Returns that.
pub fn remember_calls_back(calls_back: bool) -> bool {
    CALLS_BACK.store(calls_back, Relaxed);
    calls_back
}

/// Tells how the collector is set, if that is otherwise than was told. (What matters only where a collection begins is told behind
/// what makes one due; where collections begin at safe points, it is told then.)
#[cold]
#[inline(never)]
pub fn tell_settings(producer: &Producer) {
    let Some(collector) = Collector::known() else { return };
    let mut thresholds = THRESHOLDS.iter().zip(0..);
    let is_due = COUNT.load(Relaxed) >= ALARM.load(Relaxed);
    let has_changed = THRESHOLDS[0].load(Relaxed) != collector.threshold(0)
        || ENABLED.load(Relaxed) != collector.enabled()
        || CALLS_BACK.load(Relaxed) != collections::calls_back(producer, collector)
        || (is_due
            && (DEBUG.load(Relaxed) != collector.debug()
                || thresholds
                    .any(|(told, generation)| told.load(Relaxed) != collector.threshold(generation))));
    if has_changed {
        tell(producer, collector, UNCHANGED);
    }
}

/// What became of those that are never collected, as it is told.
const UNCHANGED: i64 = 0;
const HAS_FROZEN: i64 = 1;
const HAS_UNFROZEN: i64 = 2;

/// All objects are never collected from here on; or all of those are again that were not.
pub fn has_frozen(producer: &Producer, collector: Collector, freezes: bool) {
    COUNT.store(collector.count(0), Relaxed);
    tell(producer, collector, if freezes { HAS_FROZEN } else { HAS_UNFROZEN });
}

fn tell(producer: &Producer, collector: Collector, permanent: i64) {
    for (told, generation) in THRESHOLDS.iter().zip(0..) {
        told.store(collector.threshold(generation), Relaxed);
    }
    DEBUG.store(collector.debug(), Relaxed);
    ENABLED.store(collector.enabled(), Relaxed);
    if collector::runs_inside() {
        let is_off = collector.enabled() == 0 || collector.threshold(0) == 0;
        ALARM.store(if is_off { i32::MAX } else { collector.threshold(0) }, Relaxed);
    }
    numbers::remember_counts(collector);
    (0..3).for_each(|generation| numbers::tell_number(producer, collector.threshold(generation).into()));
    numbers::tell_number(producer, collector.enabled().into());
    numbers::tell_number(producer, collector.debug().into());
    numbers::tell_number(producer, permanent);
    let calls_back = remember_calls_back(collections::calls_back(producer, collector));
    numbers::tell_number(producer, calls_back.into());
    put(producer, slot::SETTINGS, 0);
}
