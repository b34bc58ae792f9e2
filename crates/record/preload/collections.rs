//! Each collection: what the collector looked at, when it began, and what was left when it was over.
//!
//! Nobody is asked for this, least of all Python: the collector's state is looked at at each call of an allocator. Where a
//! collection runs at a safe point (from CPython 3.12 on), the collector makes a string when it begins, before it has done
//! anything, and another one when it is over. So its lists are read right then: who is on them, how many references there are to
//! each, and to whom each refers. Others are noticed by what [`traverse`] puts in the interpreter's types, and are over when the
//! collector has counted them, at the next call.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed,
};

use super::asked;
use super::attend;
use super::collector::{self, Collector, HEADER};
use super::finalizers;
use super::interpreter::find;
use super::layout::{BASIC_SIZE, FLAGS, IS_GC, Object, SIZE, TRAVERSE, Traverse, VALUES, is_type, minor};
use super::objects::{self, put};
use super::producer::Producer;
use super::referents;
use super::slot;
use super::stack_references;
use super::sys;
use super::traverse;
use super::types::{forget, introduce};

type IsContainer = unsafe extern "C" fn(*mut c_void) -> c_int;

/// What tells objects of a type that are containers from others, by offset in words.
const IS_CONTAINER: usize = 41;

/// How far a collection is.
static PHASE: AtomicU32 = AtomicU32::new(NONE);
const NONE: u32 = 0;
const BEGUN: u32 = 1;
const OVER: u32 = 2;
const UNSEEN: u32 = 3;
const FORESEEN: u32 = 4;

/// Bytes of the string "start".
const START: usize = 46;

/// How often each generation had been collected when the last collection was over, and what had been.
static STATS: [[AtomicI64; 3]; 3] = [const { [const { AtomicI64::new(0) }; 3] }; 3];
/// The counts of the older generations, between collections.
static OLDER: [AtomicI32; 2] = [const { AtomicI32::new(0) }; 2];
/// The last one of each list when the last collection was over.
static LAST: [AtomicPtr<c_void>; 3] = [const { AtomicPtr::new(null_mut()) }; 3];
/// How many objects the collection looks at.
static MEMBERS: AtomicUsize = AtomicUsize::new(0);
/// The last one of each older list.
static TAILS: [AtomicPtr<c_void>; 3] = [const { AtomicPtr::new(null_mut()) }; 3];

/// Whether something was told of the collection that begins which is not certain.
static IS_UNSURE: AtomicBool = AtomicBool::new(false);
/// Of the collection that is going on, where the collector says that.
static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// When what the collection looks at had been told.
static TOLD_AT: AtomicI64 = AtomicI64::new(0);

/// `PyTuple_Type`, and `PyDict_Type`.
static TUPLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static DICTIONARY: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// Whether a dictionary's values may be in the object that it belongs to, which may be who tells of them: in CPython 3.13, but for
/// builds that have a later correction, like Debian's. (From 3.14 on the dictionary does.)
static HAS_EMBEDDED_VALUES: AtomicBool = AtomicBool::new(false);
/// Whether the object that is told of has told of a reference.
static HAS_REFERENTS: AtomicBool = AtomicBool::new(false);

static PRODUCER: AtomicPtr<Producer> = AtomicPtr::new(null_mut());
/// Whether collections may begin of which the interpreter does not say that.
static HAS_UNSEEN: AtomicBool = AtomicBool::new(true);
/// Whether the interpreter has begun to finalize.
static IS_ENDING: AtomicBool = AtomicBool::new(false);

/// Why a collection begins, and what it looks at.
struct Beginning {
    /// The counts of the generations before it.
    counts: [i32; 3],
    /// Up to which generation it looks.
    oldest: usize,
    /// Whether the lists of the younger ones are behind that of the oldest one already.
    is_together: bool,
    /// See [`slot::AT_SAFE_POINT`].
    why: usize,
}

/// Begins to record collections. False if this is an interpreter whose collector is not known.
///
/// # Safety
///
/// `producer` lives as long as the process, and knows what else is recorded.
pub unsafe fn install(version: &[u8], producer: *mut Producer) -> bool {
    PRODUCER.store(producer, Relaxed);
    TUPLE.store(find(c"PyTuple_Type"), Relaxed);
    DICTIONARY.store(find(c"PyDict_Type"), Relaxed);
    HAS_EMBEDDED_VALUES.store(minor(version) == 13, Relaxed);
    attend::know();
    let is_known = collector::know(version)
        && collector::is_there()
        && objects::know(version)
        && stack_references::know(version);
    // SAFETY: the caller's promise.
    let is_told = unsafe { &*producer }.follows_counts();
    HAS_UNSEEN.store(!is_told, Relaxed);
    if is_known && collector::runs_inside() {
        // Who reports counts says nothing of exceptions.
        if is_told {
            return false;
        }
        traverse::install();
    }
    is_known
}

/// Looks what the collector has done so far. Called where that would be too late at the next call of an allocator.
pub fn attend_now() {
    // SAFETY: null, or the page that was mapped for good.
    if let Some(producer) = unsafe { PRODUCER.load(Relaxed).as_ref() } {
        attend::attend(producer, 0, null_mut());
        // Another one may begin before an allocator is called again.
        let _ = PHASE.compare_exchange(OVER, NONE, Relaxed, Relaxed);
    }
}

/// The program asks for a collection.
pub fn is_asked() {
    // Elsewhere a string is made before anything is done.
    if !collector::runs_inside() {
        return;
    }
    attend_now();
    // SAFETY: null, or the page that was mapped for good.
    if let Some(producer) = unsafe { PRODUCER.load(Relaxed).as_ref() }
        && let Some(collector) = Collector::get()
        && producer.records_collections()
    {
        may_begin(producer, collector, counts(collector));
    }
}

/// Is a collection waited for, which may begin unseen?
#[inline(always)]
pub fn is_waiting() -> bool {
    PHASE.load(Relaxed) == NONE
}

/// Looks whether a collection has begun that was foreseen.
#[inline(always)]
pub fn look_for_foreseen(producer: &Producer, collector: Collector) {
    if PHASE.load(Relaxed) == FORESEEN {
        settle(producer, collector);
    }
}

/// Has the interpreter ended?
#[inline(always)]
pub fn is_ended(collector: Collector) -> bool {
    IS_ENDING.load(Relaxed) && collector.is_gone()
}

/// The collector says that a collection of this generation begins, before it has done anything.
pub fn has_begun(producer: &Producer, generation: usize) {
    if let Some(collector) = Collector::get().filter(|_| producer.records_collections()) {
        let oldest = generation.min(2);
        GENERATION.store(oldest, Relaxed);
        finalizers::begin();
        let (counts, why) = (counts(collector), why(producer, false));
        begins(producer, collector, &Beginning { counts, oldest, is_together: false, why });
    }
}

/// It says that all its finalizers have run.
///
/// # Safety
///
/// Called by the collector.
pub unsafe fn have_finalizers_run(producer: &Producer) {
    if let Some(collector) = Collector::get().filter(|_| producer.records_collections()) {
        // SAFETY: the caller's promise.
        unsafe { finalizers::have_run(producer, collector) };
    }
}

/// It says that this is over.
pub fn has_ended(producer: &Producer) {
    if let Some(collector) = Collector::get().filter(|_| producer.records_collections()) {
        ends(producer, collector, GENERATION.load(Relaxed), collector.count(0));
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
    // The collector has set the counts back.
    let (count, is_inside) = attend::settle(producer, collector, |count| runs_inside(collector, count));
    let counts = [count, OLDER[0].load(Relaxed), OLDER[1].load(Relaxed)];
    let why = why(producer, is_inside);
    begins(producer, collector, &Beginning { counts, oldest, is_together: true, why });
}

/// Whether an allocation that has made the count of the youngest generation this one has a collection run inside of it.
fn runs_inside(collector: Collector, count: i32) -> bool {
    let threshold = collector.threshold(0);
    let is_due = collector.enabled() != 0 && threshold != 0 && count > threshold;
    is_due && collector::runs_inside() && asked::generation() == 0
}

/// Collections may begin of which nobody says that.
pub fn expect_unseen() {
    if HAS_UNSEEN.load(Relaxed) {
        traverse::install();
    }
}

/// Why a collection begins.
fn why(producer: &Producer, is_inside: bool) -> usize {
    if objects::ask_for_the_end(producer) && !IS_ENDING.swap(true, Relaxed) {
        expect_unseen();
    }
    match asked::generation() {
        0 if is_inside => slot::INSIDE,
        // Who asks for it goes by another way than the program.
        0 if collector::runs_inside() && !IS_ENDING.load(Relaxed) => 3,
        asked => asked,
    }
}

/// Tells of a collection that may begin now, if nobody would notice it otherwise: if none of its objects is of a type that is asked
/// by way of us.
pub fn may_begin(producer: &Producer, collector: Collector, counts: [i32; 3]) {
    if !is_waiting() || collector.is_collecting() {
        return;
    }
    let oldest = oldest(collector, counts);
    // SAFETY: the interpreter's lock is held, and no collection is at work.
    let is_noticed = |link| unsafe { traverse::is_ours(Object(link).of()) };
    // SAFETY: as above.
    let is_noticed = (0..=oldest).any(|generation| unsafe { members(collector, generation) }.any(is_noticed));
    if !is_noticed {
        let why = why(producer, runs_inside(collector, counts[0]));
        tell(producer, collector, slot::MAY_COLLECT, &Beginning { counts, oldest, is_together: false, why });
        PHASE.store(FORESEEN, Relaxed);
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

/// Whether a collection that was foreseen has begun.
#[cold]
#[inline(never)]
fn settle(producer: &Producer, collector: Collector) {
    if collector.is_collecting() || is_counted(collector).is_some() {
        attend::settle_foreseen(producer);
        put(producer, slot::DOES_COLLECT, 0);
        PHASE.store(BEGUN, Relaxed);
    } else {
        put(producer, slot::DOES_NOT_COLLECT, 0);
        PHASE.store(NONE, Relaxed);
    }
}

/// The generation of which a collection is over that was not when things were noted last. (From 3.15 on there are no numbers any more
/// behind the last one of an interpreter.)
fn is_counted(collector: Collector) -> Option<usize> {
    (0..3).find(|&generation| collector.stats(generation)[0] > STATS[generation][0].load(Relaxed))
}

pub fn counts(collector: Collector) -> [i32; 3] {
    [0, 1, 2].map(|generation| collector.count(generation))
}

/// Goes on with a collection that is at work, or was at the call before: with the bytes that are asked for in it, and the count of
/// the youngest generation.
#[cold]
#[inline(never)]
pub fn go_on(producer: &Producer, collector: Collector, size_within: Option<usize>, count: i32) {
    let is_collecting = size_within.is_some();
    match PHASE.load(Relaxed) {
        // Where nobody tells of births any more, it is not known who is a container.
        NONE if producer.records_objects() && !objects::is_installed() => PHASE.store(UNSEEN, Relaxed),
        // (It may follow upon another one, with nothing between them.)
        NONE | OVER if size_within == Some(START) => begins_now(producer, collector),
        // Where no string is made, who is called back is the first to allocate something.
        NONE if collector::runs_inside() => begins_now(producer, collector),
        NONE => PHASE.store(UNSEEN, Relaxed),
        BEGUN => {
            if let Some(generation) = is_counted(collector) {
                ends(producer, collector, generation, count);
                PHASE.store(if is_collecting { OVER } else { NONE }, Relaxed);
            } else if !is_collecting {
                is_lost(producer, collector);
                PHASE.store(NONE, Relaxed);
            }
        }
        _ if is_collecting => {}
        phase => {
            if phase == UNSEEN {
                is_lost(producer, collector);
            }
            PHASE.store(NONE, Relaxed);
        }
    }
}

/// A collection begins, and has done nothing yet.
fn begins_now(producer: &Producer, collector: Collector) {
    let counts = counts(collector);
    let why = why(producer, runs_inside(collector, counts[0]));
    let oldest = oldest(collector, counts);
    begins(producer, collector, &Beginning { counts, oldest, is_together: false, why });
}

/// A collection was not seen.
fn is_lost(producer: &Producer, collector: Collector) {
    put(producer, slot::COLLECTION_LOST, 0);
    remember(collector);
}

/// Notes how things are between two collections.
fn remember(collector: Collector) {
    for (generation, before) in STATS.iter().enumerate() {
        let stats = collector.stats(generation);
        before.iter().zip(stats).for_each(|(place, number)| place.store(number, Relaxed));
    }
    for (generation, last) in LAST.iter().enumerate() {
        // SAFETY: the head of a list.
        last.store(unsafe { Collector::previous(collector.head(generation)) }, Relaxed);
    }
    remember_counts(collector);
}

pub fn remember_counts(collector: Collector) {
    OLDER.iter().zip(1..).for_each(|(place, generation)| place.store(collector.count(generation), Relaxed));
}

pub fn tell_number(producer: &Producer, number: i64) {
    // What is negative here means nothing.
    put(producer, slot::NUMBER, usize::try_from(number).unwrap_or(0));
}

/// Which generations are looked at, by what the collector says: up to this one. (If it turns out to be another, that is
/// known when the collection is over.)
fn oldest(collector: Collector, counts: [i32; 3]) -> usize {
    let asked = asked::generation();
    if asked > 0 {
        return asked - 1;
    }
    // An interpreter that ends collects all, whatever is due.
    if IS_ENDING.load(Relaxed) {
        return 2;
    }
    let is_due = |generation: &usize| counts[*generation] > collector.threshold(*generation);
    let [total, pending] = collector.long_lived();
    let is_held_back = |generation: usize| generation == 2 && pending < total / 4;
    // Who collects though none is due collects all.
    (0..3).rev().filter(is_due).find(|generation| !is_held_back(*generation)).unwrap_or(2)
}

fn begins(producer: &Producer, collector: Collector, beginning: &Beginning) {
    // (What is asked here to what it refers is not to be noticed.)
    PHASE.store(BEGUN, Relaxed);
    tell(producer, collector, slot::COLLECTS, beginning);
}

/// Tells what a collection looks at that begins.
fn tell(producer: &Producer, collector: Collector, how: u64, beginning: &Beginning) {
    let &Beginning { counts, oldest, is_together, why } = beginning;
    if is_counted(collector).is_some() {
        is_lost(producer, collector);
    }
    for (generation, tail) in TAILS.iter().enumerate() {
        // SAFETY: no collection is at work on the lists that are not looked at.
        tail.store(unsafe { Collector::previous(collector.head(generation)) }, Relaxed);
    }
    counts.into_iter().for_each(|count| tell_number(producer, count.into()));
    (0..3).for_each(|generation| tell_number(producer, collector.threshold(generation).into()));
    collector.long_lived().into_iter().for_each(|number| tell_number(producer, number));
    tell_number(producer, collector.debug().into());
    tell_number(producer, why as i64);
    put(producer, how, oldest);
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
    if IS_UNSURE.swap(false, Relaxed) {
        put(producer, slot::COLLECTION_LOST, 0);
    }
    TOLD_AT.store(sys::nanoseconds(), Relaxed);
}

/// # Safety
///
/// The object is a container, tracked, and alive.
pub unsafe fn tell_member(producer: &Producer, object: Object, is_young: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        let of = object.of();
        if is_young && is_type(of) && producer.has_no_births() {
            // One that has just come may lie where another one lay, of whose end nobody told.
            forget(object);
        }
        introduce(producer, of);
        let count = object.count();
        if count == slot::COUNT_MANY {
            put(producer, slot::NUMBER, object.full_count());
        }
        producer.put(slot::pack(slot::MEMBER, count, object.0 as u64));
        put(producer, slot::OBJECT_TYPE, of.0.addr());
        if header_of(object).add(1).read() & 1 != 0 {
            put(producer, slot::FINALIZED_BEFORE, 0);
        }
        referents::tell_weak(producer, object, of);
        HAS_REFERENTS.store(false, Relaxed);
        if let Some(traverse) = of.0.cast::<Option<Traverse>>().add(TRAVERSE).read() {
            let tell = |referent, is_counted| tell_edge(producer, referent, is_counted);
            match stack_references::traverse(object, of, traverse, tell) {
                Some(is_sure) => _ = IS_UNSURE.fetch_or(!is_sure, Relaxed),
                None => _ = traverse(object.0, visit, core::ptr::from_ref(producer).cast_mut().cast()),
            }
        }
        if of.0 == TUPLE.load(Relaxed) && is_incomplete(object, of) {
            producer.put(slot::pack(slot::EDGE, slot::UNTRACKED, object.0 as u64));
        }
        // One that has any, and tells of none, leaves that to another.
        if of.0 == DICTIONARY.load(Relaxed)
            && HAS_EMBEDDED_VALUES.load(Relaxed)
            && !HAS_REFERENTS.load(Relaxed)
        {
            tell_embedded(producer, object);
        }
    }
}

/// Whether a part of a tuple is missing yet: it then stays on the list.
///
/// # Safety
///
/// The object is alive, and of this type, a tuple.
unsafe fn is_incomplete(object: Object, of: Object) -> bool {
    // SAFETY: the caller's promise: it has so many items behind what all tuples have.
    unsafe {
        let first = of.word(BASIC_SIZE) / size_of::<usize>();
        (0..object.word(SIZE)).any(|at| object.word(first + at) == 0)
    }
}

/// Tells of the values of a dictionary that are in the object which it belongs to, and which that tells of.
///
/// # Safety
///
/// The object is a dictionary, and alive.
unsafe fn tell_embedded(producer: &Producer, object: Object) {
    // SAFETY: the caller's promise: there is a null pointer, or one to how many values there is room for, how many there are,
    // whether they are elsewhere, and the values.
    unsafe {
        let values = object.0.cast::<*mut c_void>().add(VALUES).read();
        if values.is_null() {
            return;
        }
        let [room, _, is_elsewhere, _] = values.cast::<[u8; 4]>().read();
        for at in 0..if is_elsewhere == 0 { 0 } else { usize::from(room) } {
            let value = Object(values.cast::<*mut c_void>().add(1 + at).read());
            if value.0.is_null() || !is_container(value) {
                continue;
            }
            let is_tracked = header_of(value).read() != 0;
            if is_tracked || value.of().0 != TUPLE.load(Relaxed) {
                let how = if is_tracked { slot::EMBEDDED } else { slot::EMBEDDED_UNTRACKED };
                producer.put(slot::pack(slot::EDGE, how, value.0 as u64));
            }
        }
    }
}

/// The two words in front of a container.
fn header_of(object: Object) -> *mut usize {
    object.0.wrapping_byte_sub(HEADER).cast()
}

unsafe extern "C" fn visit(referent: *mut c_void, producer: *mut c_void) -> c_int {
    HAS_REFERENTS.store(true, Relaxed);
    // SAFETY: what `tell_member` passed on.
    tell_edge(unsafe { &*producer.cast::<Producer>() }, Object(referent), true);
    0
}

/// A member refers to that object.
#[inline(always)]
fn tell_edge(producer: &Producer, referent: Object, is_counted: bool) {
    // SAFETY: live objects refer to live ones.
    unsafe {
        if is_container(referent) && referent.0.addr() >> slot::ADDRESS_BITS == 0 {
            let is_tracked = header_of(referent).read() != 0;
            // A tuple that is on no list will never be on one.
            if is_tracked || referent.of().0 != TUPLE.load(Relaxed) {
                let how = if is_tracked { slot::TRACKED } else { slot::UNTRACKED };
                let how = if is_counted { how } else { how + slot::UNCOUNTED };
                producer.put(slot::pack(slot::EDGE, how, referent.0 as u64));
            }
        }
    }
}

/// # Safety
///
/// The object is alive.
unsafe fn is_container(object: Object) -> bool {
    // SAFETY: the caller's promise; so is its type.
    unsafe {
        let of = object.of();
        of.word(FLAGS) & IS_GC != 0
            && of
                .0
                .cast::<Option<IsContainer>>()
                .add(IS_CONTAINER)
                .read()
                .is_none_or(|is_container| is_container(object.0) != 0)
    }
}

fn ends(producer: &Producer, collector: Collector, generation: usize, count: i32) {
    let lasted = sys::nanoseconds() - TOLD_AT.load(Relaxed);
    let [_, collected, uncollectable] = collector.stats(generation);
    tell_number(producer, collected - STATS[generation][1].load(Relaxed));
    tell_number(producer, uncollectable - STATS[generation][2].load(Relaxed));
    let counts = [count, collector.count(1), collector.count(2)];
    counts.into_iter().for_each(|count| tell_number(producer, count.into()));
    collector.long_lived().into_iter().for_each(|number| tell_number(producer, number));
    tell_number(producer, lasted);
    put(producer, slot::HAS_COLLECTED, generation);
    remember(collector);
    let to = (generation + 1).min(2);
    let head = collector.head(to);
    let tail = TAILS[to].load(Relaxed);
    // SAFETY: the lock is held, and the lists are whole again.
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
        let mut rest = if generation < 2 { usize::MAX } else { MEMBERS.load(Relaxed) };
        while link != head && rest > 0 {
            producer.put(slot::pack(slot::MEMBER, 0, link.byte_add(HEADER) as u64));
            rest -= 1;
            // (What was the last one may have died since.)
            let next = Collector::next(link);
            link = if link == last || next == first { head } else { next };
        }
    }
    put(producer, slot::GRAPH_ENDS, 0);
    attend::remember_permanent(collector);
}
