//! Each collection: what the collector looked at, when it began, and what was left when it was over.
//!
//! Nobody is asked for this, least of all Python: the collector's state is looked at at each call of an allocator. Where a
//! collection runs at a safe point (from CPython 3.12 on), the collector makes a string when it begins, before it has done
//! anything, and another one when it is over. So its lists are read right then: who is on them, how many references there are to
//! each, and to whom each refers. Others are noticed by what [`traverse`] puts in the interpreter's types, and are over when the
//! collector has counted them, at the next call.
//!
//! Where functions are called back (`gc.callbacks`), what is made for them comes first. Their collection then begins in two steps:
//! that it does is told before they have done anything, and what it looks at when they have returned, which is noticed in the
//! second way. They are called again when it is over, and it goes on until they have returned.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed};

use super::attend;
use super::called;
use super::collector::{self, Collector};
use super::containers;
use super::finalizers;
use super::lists;
use super::members;
use super::numbers::{self, counts, is_counted, tell_number};
use super::objects::{self, put};
use super::producer::Producer;
use super::reasons::{Beginning, Begins, oldest, runs_inside, why};
use super::slot;
use super::stack_references;
use super::survivors;
use super::sys;
use super::traverse;

/// How far a collection is.
static PHASE: AtomicU32 = AtomicU32::new(NONE);
const NONE: u32 = 0;
/// It has begun, and functions of the program are called back before it looks.
const CALLS: u32 = 1;
/// It is over, but for functions that are called back.
const OVER: u32 = 2;
const BEGUN: u32 = 3;
/// When it is over, it is not known what it did.
const UNSEEN: u32 = 4;
const FORESEEN: u32 = 5;
/// It has begun, and what it may be about to look at is told.
const LOOK_FORESEEN: u32 = 6;

/// Bytes of the string "start".
const START: usize = 46;

/// Of the collection that is going on: up to which generation it looks, as it was told.
static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// When what the collection looks at had been told.
static TOLD_AT: AtomicI64 = AtomicI64::new(0);

/// Whether functions are called back when the collection is over.
static CALLS_AT_END: AtomicBool = AtomicBool::new(false);

static PRODUCER: AtomicPtr<Producer> = AtomicPtr::new(null_mut());

/// Begins to record collections. False if this is an interpreter whose collector is not known.
///
/// # Safety
///
/// `producer` lives as long as the process, and knows what else is recorded. No other thread runs.
pub unsafe fn install(version: &[u8], producer: *mut Producer) -> bool {
    PRODUCER.store(producer, Relaxed);
    members::know(version);
    let is_known = collector::know(version)
        && collector::is_there()
        && objects::know(version)
        // SAFETY: the caller's promise.
        && unsafe { stack_references::know(version) };
    // SAFETY: the caller's promise.
    let is_told = unsafe { &*producer }.follows_counts();
    attend::know(is_told);
    containers::know();
    if is_known && !is_told {
        traverse::install();
    }
    is_known
}

/// Looks what the collector has done so far. Called where that would be too late at the next call of an allocator.
pub fn attend_now() {
    // SAFETY: null, or the page that was mapped for good.
    if let Some(producer) = unsafe { PRODUCER.load(Relaxed).as_ref() } {
        attend::attend(producer, 0, null_mut());
    }
}

/// The program asks for a collection.
pub fn is_asked() {
    // What was set before is told before.
    attend_now();
    // Elsewhere a string is made before anything is done.
    if !collector::runs_inside() {
        return;
    }
    // SAFETY: null, or the page that was mapped for good.
    if let Some(producer) = unsafe { PRODUCER.load(Relaxed).as_ref() }
        && let Some(collector) = reporter(producer)
    {
        may_begin(producer, collector, counts(collector));
    }
}

/// The program has all objects that there are never collected from here on (or those again that are not), by this.
pub fn freeze(freezes: bool, doing: impl FnOnce() -> *mut c_void) -> *mut c_void {
    attend_now();
    let result = doing();
    if let Some(producer) = producer()
        // Another interpreter has objects of its own.
        && let Some(collector) = reporter(producer)
    {
        attend::has_frozen(producer, collector, freezes);
    }
    result
}

/// Is a collection waited for, which may begin unseen?
#[inline(always)]
pub fn is_waiting() -> bool {
    PHASE.load(Relaxed) == NONE
}

/// May a collector be about to look at its objects, of which that is not known otherwise?
#[inline(always)]
pub fn may_look() -> bool {
    PHASE.load(Relaxed) <= OVER
}

/// Do functions of the program run that a collection has called back?
#[inline(always)]
pub fn is_calling_back() -> bool {
    matches!(PHASE.load(Relaxed), CALLS | OVER)
}

/// Whether functions are called back where a collection begins and where it is over. (Who reports collections leaves that out,
/// and does so between these; where it runs at a safe point they change nothing of it.)
#[inline(always)]
pub fn calls_back(producer: &Producer, collector: Collector) -> bool {
    collector.has_callbacks() && (!producer.follows_counts() || collector::runs_inside())
}

/// Looks whether a collection has begun that was foreseen, or has looked; this is released now, if anything is.
#[inline(always)]
pub fn look_for_foreseen(producer: &Producer, collector: Collector, released: *mut c_void) {
    match PHASE.load(Relaxed) {
        FORESEEN => settle(producer, collector),
        LOOK_FORESEEN => settle_look(producer, collector, released),
        _ => {}
    }
}

/// Has the interpreter ended?
#[inline(always)]
pub fn is_ended(collector: Collector) -> bool {
    attend::is_ending() && collector.is_gone()
}

/// The collector that is recorded, if it is the one that reports something, or is asked for it: each interpreter has its own.
fn reporter(producer: &Producer) -> Option<Collector> {
    let is_anothers =
        |collector: &Collector| Collector::is_one_of_several() && collector.of_another().is_some();
    Collector::get().filter(|collector| producer.records_collections() && !is_anothers(collector))
}

/// The collector says that a collection of this generation begins, before it has done anything.
pub fn has_begun(producer: &Producer, generation: usize) {
    if let Some(collector) = reporter(producer) {
        let oldest = generation.min(2);
        finalizers::begin();
        if PHASE.load(Relaxed) == CALLS {
            looks(producer, collector, oldest, false);
            return survivors::has_begun(oldest);
        }
        let counts = counts(collector);
        let why = why(producer, Begins::inside_or(Begins::Noticed, collector, counts[0]));
        tell_allocated_inside(producer, why);
        begins(producer, collector, &Beginning { counts, oldest, is_together: false, why });
        survivors::has_begun(oldest);
    }
}

/// It says that it has finalized this object.
pub fn has_finalized(producer: &Producer, object: *mut c_void) {
    if reporter(producer).is_some() {
        finalizers::finalized(object);
    }
}

/// It says that all its finalizers have run.
///
/// # Safety
///
/// Called by the collector.
pub unsafe fn have_finalizers_run(producer: &Producer) {
    if let Some(collector) = reporter(producer) {
        // SAFETY: the caller's promise.
        unsafe { finalizers::have_run(producer, collector) };
    }
}

/// It says that this is over.
pub fn has_ended(producer: &Producer) {
    if let Some(collector) = reporter(producer) {
        if PHASE.load(Relaxed) == UNSEEN {
            is_lost(producer, collector, collector.count(0));
            PHASE.store(NONE, Relaxed);
        } else {
            ends(producer, collector, GENERATION.load(Relaxed), collector.count(0), true);
        }
    }
}

/// A collection has just begun to count what its objects refer to: nothing else has happened to these.
#[cold]
#[inline(never)]
pub fn begins_to_look(collector: Collector) {
    // SAFETY: null, or the page that was mapped for good.
    let Some(producer) = (unsafe { PRODUCER.load(Relaxed).as_ref() }) else { return };
    let is_full = |generation: &usize| {
        let head = collector.head(*generation);
        // SAFETY: the head of a list.
        unsafe { Collector::next(head) != head }
    };
    // Where nobody tells of births any more, it is not known who is a container.
    if !producer.records_collections() || (producer.records_objects() && !objects::is_installed()) {
        return;
    }
    let Some(oldest) = (0..3).find(is_full) else { return };
    match PHASE.load(Relaxed) {
        CALLS => return have_returned(producer, collector, oldest),
        // Another one has called back, and nobody has seen it begin.
        OVER if calls_back(producer, collector) => return PHASE.store(UNSEEN, Relaxed),
        _ => {}
    }
    // The collector has set the counts back.
    let (count, is_inside) = attend::settle(producer, collector, |count| runs_inside(collector, count));
    let counts = numbers::with_older(count);
    let why = why(producer, if is_inside { Begins::Inside } else { Begins::Unnoticed });
    begins(producer, collector, &Beginning { counts, oldest, is_together: true, why });
}

/// The functions have returned that were called back, and the collector has begun to look.
fn have_returned(producer: &Producer, collector: Collector, oldest: usize) {
    attend::settle(producer, collector, |_| false);
    looks(producer, collector, oldest, true);
}

/// The collector looks at these, behind the functions that were called back.
fn looks(producer: &Producer, collector: Collector, oldest: usize, is_together: bool) {
    if oldest != GENERATION.load(Relaxed) {
        return PHASE.store(UNSEEN, Relaxed);
    }
    PHASE.store(BEGUN, Relaxed);
    put(producer, slot::LOOKS, oldest);
    tell_lists(producer, collector, oldest, is_together);
    set_seen();
}

/// Tells of a collection that may begin now, if nobody would notice it otherwise: if none of its objects is of a type that is asked
/// by way of us.
pub fn may_begin(producer: &Producer, collector: Collector, counts: [i32; 3]) {
    // (Who is called back is noticed, and who reports counts reports collections, too.)
    if producer.follows_counts()
        || !is_waiting()
        || collector.is_collecting()
        || calls_back(producer, collector)
    {
        return;
    }
    if is_counted(collector).is_some() {
        return PHASE.store(UNSEEN, Relaxed);
    }
    let oldest = oldest(collector, counts);
    // SAFETY: no collection is at work.
    if !unsafe { lists::is_noticed(collector, oldest) } {
        let why = why(producer, Begins::inside_or(Begins::Noticed, collector, counts[0]));
        tell(producer, collector, slot::MAY_COLLECT, &Beginning { counts, oldest, is_together: false, why });
        PHASE.store(FORESEEN, Relaxed);
    }
}

/// The collector, if it is at work on a collection that was told of.
#[inline(always)]
pub fn at_work() -> Option<Collector> {
    let is_told = PHASE.load(Relaxed) == BEGUN;
    if is_told { Collector::get().filter(|collector| collector.is_collecting()) } else { None }
}

/// Who tells of collections.
pub fn producer() -> Option<&'static Producer> {
    // SAFETY: null, or the page that was mapped for good.
    unsafe { PRODUCER.load(Relaxed).as_ref() }
}

/// So long nothing went on in the collection but that it was recorded.
pub fn leave_out(nanoseconds: i64) {
    TOLD_AT.fetch_add(nanoseconds, Relaxed);
}

/// Whether a collection that was foreseen has begun.
#[cold]
#[inline(never)]
fn settle(producer: &Producer, collector: Collector) {
    if collector.is_collecting() || is_counted(collector).is_some() {
        attend::settle_foreseen(producer);
        put(producer, slot::DOES_COLLECT, 0);
        set_seen();
    } else {
        survivors::forget();
        put(producer, slot::DOES_NOT_COLLECT, 0);
        members::was_unsure();
        PHASE.store(NONE, Relaxed);
    }
}

/// Whether a collection has looked that was about to. What is released otherwise, and is no container, changes nothing of that.
#[cold]
#[inline(never)]
fn settle_look(producer: &Producer, collector: Collector, released: *mut c_void) {
    if has_looked(collector) {
        attend::settle_foreseen(producer);
        put(producer, slot::DOES_COLLECT, 0);
        set_seen();
    } else if released.is_null() || called::is_text(released) || !attend::is_count_unchanged(collector) {
        survivors::forget();
        put(producer, slot::DOES_NOT_COLLECT, 0);
        members::was_unsure();
        PHASE.store(CALLS, Relaxed);
    }
}

/// A call of an allocator while a collection is at work, or was at the call before.
#[derive(Clone, Copy)]
pub struct Call {
    /// How many bytes are asked for an object; none if the collection is not at work any more.
    pub size_within: Option<usize>,
    /// The count of the youngest generation.
    pub count: i32,
    /// What is released, which may have lowered that; null if nothing is.
    pub released: *mut c_void,
    /// What the call before has allocated for an object, and how many bytes (none if it has not).
    pub last: (*mut c_void, usize),
}

/// Goes on with that collection.
#[cold]
#[inline(never)]
pub fn go_on(producer: &Producer, collector: Collector, call: &Call) {
    let &Call { size_within, count, released, .. } = call;
    let is_collecting = size_within.is_some();
    match PHASE.load(Relaxed) {
        // Where nobody tells of births any more, it is not known who is a container.
        NONE if are_births_lost(producer) => PHASE.store(UNSEEN, Relaxed),
        // Who is called back is the first for whom something is made.
        NONE if calls_back(producer, collector) => calls_now(producer, collector),
        // (It may follow upon another one, with nothing between them.)
        NONE | OVER if size_within == Some(START) && !CALLS_AT_END.load(Relaxed) => {
            begins_now(producer, collector);
        }
        NONE => PHASE.store(UNSEEN, Relaxed),
        CALLS if !is_collecting || has_looked(collector) => PHASE.store(UNSEEN, Relaxed),
        CALLS => calls_still(producer, collector, call),
        BEGUN => match is_counted(collector) {
            Some(generation) if generation <= GENERATION.load(Relaxed) => {
                ends(producer, collector, generation, count, is_collecting);
            }
            None if is_collecting => survivors::look(producer),
            // It looked at more than was told; or it ended otherwise.
            _ => PHASE.store(UNSEEN, Relaxed),
        },
        OVER if !is_collecting => have_returned_at_end(producer),
        _ => {}
    }
    // What is released may have been counted less already; it is told of behind that.
    if PHASE.load(Relaxed) == UNSEEN && !is_collecting && released.is_null() {
        is_lost(producer, collector, count);
        PHASE.store(NONE, Relaxed);
    }
}

/// The same where collections are reported, but not that functions are called back.
#[cold]
#[inline(never)]
pub fn go_on_reported(producer: &Producer, collector: Collector, is_collecting: bool) {
    match PHASE.load(Relaxed) {
        NONE if is_collecting && calls_back(producer, collector) => calls_now(producer, collector),
        OVER if !is_collecting => have_returned_at_end(producer),
        _ => survivors::look(producer),
    }
}

/// Nobody is called back any more behind a collection that is over.
fn have_returned_at_end(producer: &Producer) {
    if CALLS_AT_END.swap(false, Relaxed) {
        put(producer, slot::HAS_CALLED_BACK, 0);
    }
    PHASE.store(NONE, Relaxed);
}

/// Whether nobody tells of births any more: then it is not known who is a container.
fn are_births_lost(producer: &Producer) -> bool {
    producer.records_objects() && !objects::is_installed()
}

/// A collection begins, and has done nothing yet.
fn begins_now(producer: &Producer, collector: Collector) {
    let counts = counts(collector);
    attend::tell_settings(producer);
    let why = why(producer, Begins::inside_or(Begins::Noticed, collector, counts[0]));
    let oldest = oldest(collector, counts);
    begins(producer, collector, &Beginning { counts, oldest, is_together: false, why });
}

/// A collection begins, which calls functions of the program back before it does anything else.
fn calls_now(producer: &Producer, collector: Collector) {
    let counts = counts(collector);
    attend::tell_settings(producer);
    let why = why(producer, Begins::inside_or(Begins::Noticed, collector, counts[0]));
    let oldest = oldest(collector, counts);
    if !finds_none_uncounted(producer, collector, &Beginning { counts, oldest, is_together: false, why }) {
        return PHASE.store(UNSEEN, Relaxed);
    }
    tell_allocated_inside(producer, why);
    numbers::remember_counts(collector);
    tell_numbers(producer, collector, counts, why);
    put(producer, slot::CALLS_BACK, oldest);
    GENERATION.store(oldest, Relaxed);
    called::begin();
    PHASE.store(CALLS, Relaxed);
}

/// Where a collection runs inside of an allocation, and what is born tells itself that it is a container: what was allocated is
/// born only when the collection is over.
fn tell_allocated_inside(producer: &Producer, why: usize) {
    if why == slot::INSIDE && producer.follows_counts() {
        put(producer, slot::CONTAINER, 0);
    }
}

/// It calls them still, unless this call shows that one of them has returned, which may have been the last.
fn calls_still(
    producer: &Producer,
    collector: Collector,
    &Call { released, last: (block, size), .. }: &Call,
) {
    called::note(block, size);
    if !called::is_text(released) {
        return;
    }
    called::forget(released);
    let oldest = GENERATION.load(Relaxed);
    // SAFETY: the collector has not looked.
    if !unsafe { lists::is_noticed(collector, oldest) } {
        put(producer, slot::MAY_LOOK, oldest);
        tell_lists(producer, collector, oldest, false);
        PHASE.store(LOOK_FORESEEN, Relaxed);
    }
}

/// Whether the collector has looked while nobody noticed, since it called back.
fn has_looked(collector: Collector) -> bool {
    numbers::is_reset(collector, GENERATION.load(Relaxed)) || is_counted(collector).is_some()
}

/// A collection was not seen. What is known behind it is told, with the count of the youngest generation.
fn is_lost(producer: &Producer, collector: Collector, count: i32) {
    survivors::forget();
    if !are_births_lost(producer) {
        numbers::tell_counts(producer, collector, [count, collector.count(1), collector.count(2)]);
    }
    put(producer, slot::COLLECTION_LOST, 0);
    CALLS_AT_END.store(false, Relaxed);
    members::was_unsure();
    numbers::remember(collector);
    lists::remember(collector);
}

fn begins(producer: &Producer, collector: Collector, beginning: &Beginning) {
    // (What is asked here to what it refers is not to be noticed.)
    PHASE.store(BEGUN, Relaxed);
    if !finds_none_uncounted(producer, collector, beginning) {
        return PHASE.store(UNSEEN, Relaxed);
    }
    tell(producer, collector, slot::COLLECTS, beginning);
    set_seen();
}

/// A collection was told of: it is seen, unless something of that is not certain.
fn set_seen() {
    PHASE.store(if members::was_unsure() { UNSEEN } else { BEGUN }, Relaxed);
}

/// Whether no collection is counted that was not noticed, before one that begins; or that it can be told of before that does. (It
/// cannot where counts are set back already, or what made it due is told.)
fn finds_none_uncounted(producer: &Producer, collector: Collector, beginning: &Beginning) -> bool {
    let is_one = is_counted(collector).is_some();
    if is_one && (beginning.is_together || beginning.why == slot::INSIDE) {
        return false;
    }
    if is_one {
        is_lost(producer, collector, beginning.counts[0]);
    }
    true
}

/// Tells what a collection looks at that begins.
fn tell(producer: &Producer, collector: Collector, how: u64, beginning: &Beginning) {
    let &Beginning { counts, oldest, is_together, why } = beginning;
    tell_numbers(producer, collector, counts, why);
    put(producer, how, oldest);
    tell_lists(producer, collector, oldest, is_together);
}

/// Tells how things are when a collection begins.
fn tell_numbers(producer: &Producer, collector: Collector, counts: [i32; 3], why: usize) {
    counts.into_iter().for_each(|count| tell_number(producer, count.into()));
    (0..3).for_each(|generation| tell_number(producer, collector.threshold(generation).into()));
    collector.long_lived().into_iter().for_each(|number| tell_number(producer, number));
    tell_number(producer, collector.debug().into());
    tell_number(producer, why as i64);
    tell_number(producer, attend::remember_calls_back(calls_back(producer, collector)).into());
}

/// Tells what is looked at.
fn tell_lists(producer: &Producer, collector: Collector, oldest: usize, is_together: bool) {
    GENERATION.store(oldest, Relaxed);
    lists::tell(producer, collector, oldest, is_together);
    survivors::expect(counts(collector), oldest);
    if is_together {
        survivors::has_begun(oldest);
    }
    TOLD_AT.store(sys::nanoseconds(), Relaxed);
}

fn ends(producer: &Producer, collector: Collector, generation: usize, count: i32, is_collecting: bool) {
    let lasted = sys::nanoseconds() - TOLD_AT.load(Relaxed);
    numbers::tell_outcome(producer, collector, generation);
    numbers::tell_counts(producer, collector, [count, collector.count(1), collector.count(2)]);
    tell_number(producer, lasted);
    // (Where it is not at work any more, it has called nobody.)
    let calls = is_collecting && calls_back(producer, collector);
    CALLS_AT_END.store(calls, Relaxed);
    tell_number(producer, attend::remember_calls_back(calls).into());
    put(producer, slot::HAS_COLLECTED, generation);
    numbers::remember(collector);
    lists::remember(collector);
    survivors::forget();
    lists::tell_left(producer, collector, generation);
    PHASE.store(if is_collecting { OVER } else { NONE }, Relaxed);
}
