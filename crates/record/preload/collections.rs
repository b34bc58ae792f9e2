//! Each collection: what the collector looked at, when it began, and what was left when it was over.
//!
//! Nobody is asked for this, least of all Python: the collector's state is looked at at each call of an allocator. Where a
//! collection runs at a safe point (from CPython 3.12 on), the collector makes a string when it begins, before it has done
//! anything, and another one when it is over. So its lists are read right then: who is on them, how many references there are to
//! each, and to whom each refers.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicPtr, AtomicU32, AtomicUsize, Ordering::Relaxed,
};

use super::collector::{self, Collector, HEADER};
use super::finalizers;
use super::interpreter::find;
use super::layout::{
    BASIC_SIZE, FLAGS, IS_GC, Object, SIZE, TRAVERSE, TYPE_OF, Traverse, VALUES, is_type, minor,
};
use super::methods;
use super::objects::{self, put};
use super::producer::Producer;
use super::referents;
use super::slot;
use super::stack_references;
use super::sys;
use super::types::{forget, introduce, is_described};

type IsContainer = unsafe extern "C" fn(*mut c_void) -> c_int;

/// What tells objects of a type that are containers from others, by offset in words.
const IS_CONTAINER: usize = 41;

/// The count of the youngest generation at the call before, how many bytes that asked for an object (none if for none), and the
/// block.
static COUNT: AtomicI32 = AtomicI32::new(0);
static SIZE_ASKED: AtomicUsize = AtomicUsize::new(0);
static BLOCK: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// Bytes of the smallest object.
const LEAST: usize = 16;
/// What was told last of the collector's settings.
static THRESHOLD: AtomicI32 = AtomicI32::new(-1);
static ENABLED: AtomicI32 = AtomicI32::new(-1);
static LAST_PERMANENT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// How far a collection is.
static PHASE: AtomicU32 = AtomicU32::new(NONE);
const NONE: u32 = 0;
const BEGUN: u32 = 1;
const OVER: u32 = 2;
const UNSEEN: u32 = 3;

/// Bytes of the string "start".
const START: usize = 46;

/// Of when the collection began: how often each generation had been collected, and what had been.
static STATS: [[AtomicI64; 3]; 3] = [const { [const { AtomicI64::new(0) }; 3] }; 3];
/// The last one of each older list.
static TAILS: [AtomicPtr<c_void>; 3] = [const { AtomicPtr::new(null_mut()) }; 3];

/// Whether something was told of the collection that begins which is not certain.
static IS_UNSURE: AtomicBool = AtomicBool::new(false);
/// Of the collection that is going on, where the collector says that.
static GENERATION: AtomicUsize = AtomicUsize::new(0);

/// When what the collection looks at had been told.
static TOLD_AT: AtomicI64 = AtomicI64::new(0);

/// The generation that the program asks to be collected, and 1 more.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Where the interpreter has its own types, from and to; and `PyType_Type`.
static DATA: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
static METATYPE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// `PyTuple_Type`, and `PyDict_Type`.
static TUPLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static DICTIONARY: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// Whether a dictionary's values may be in the object that it belongs to, which then tells of them: in CPython 3.13. (From 3.14
/// on the dictionary does.)
static HAS_EMBEDDED_VALUES: AtomicBool = AtomicBool::new(false);

/// Begins to record collections. False if this is an interpreter whose collector is not known.
pub fn install(version: &[u8]) -> bool {
    TUPLE.store(find(c"PyTuple_Type"), Relaxed);
    DICTIONARY.store(find(c"PyDict_Type"), Relaxed);
    HAS_EMBEDDED_VALUES.store(minor(version) == 13, Relaxed);
    METATYPE.store(find(c"PyType_Type"), Relaxed);
    if let Some((from, to)) = methods::data_around(find(c"PyType_Type")) {
        DATA[0].store(from, Relaxed);
        DATA[1].store(to, Relaxed);
    }
    collector::know(version)
        && collector::is_there()
        && objects::know(version)
        && stack_references::know(version)
}

/// The program asks for a collection of this generation, or has.
pub fn ask(generation: Option<usize>) {
    ASKED.store(generation.map_or(0, |generation| generation + 1), Relaxed);
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
    }
}

fn look(producer: &Producer, object_size: usize, released: *mut c_void) {
    let Some(collector) = Collector::get() else { return };
    // What is born says itself that it is a container.
    if producer.has_no_births() {
        look_for_containers(producer, collector, object_size, released);
    }
    let is_collecting = collector.is_collecting();
    let phase = PHASE.load(Relaxed);
    if !is_collecting
        && (THRESHOLD.load(Relaxed) != collector.threshold(0)
            || ENABLED.load(Relaxed) != collector.enabled()
            || LAST_PERMANENT.load(Relaxed) != collector.last_permanent())
    {
        tell_settings(producer, collector);
    }
    // Who reports counts reports collections, too.
    if (is_collecting || phase != NONE) && !producer.follows_counts() {
        go_on(producer, collector, is_collecting, object_size == START);
    }
}

#[inline(always)]
fn look_for_containers(producer: &Producer, collector: Collector, object_size: usize, released: *mut c_void) {
    let count = collector.count(0);
    let size = SIZE_ASKED.load(Relaxed);
    if size > 0 {
        let before = COUNT.load(Relaxed);
        if count > before {
            put(producer, slot::CONTAINER, 0);
        } else if count == before && !released.is_null() {
            // The release of a container has lowered it already.
            if released != BLOCK.load(Relaxed) {
                put(producer, slot::CONTAINER_IF, 0);
            } else if size >= HEADER + LEAST {
                // SAFETY: the block is as large, and not released yet.
                if unsafe { was_container(released) } {
                    put(producer, slot::CONTAINER, 0);
                }
            }
        }
    }
    COUNT.store(count, Relaxed);
    SIZE_ASKED.store(object_size, Relaxed);
}

/// The collector says that a collection of this generation begins, before it has done anything.
pub fn has_begun(producer: &Producer, generation: usize) {
    if let Some(collector) = Collector::get().filter(|_| producer.records_collections()) {
        GENERATION.store(generation.min(2), Relaxed);
        finalizers::begin();
        begins(producer, collector, generation.min(2));
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
        ends(producer, collector, GENERATION.load(Relaxed));
    }
}

/// Whether a block that is released, with what was in it, held a container: where a container has its type, one is found.
///
/// # Safety
///
/// The block is as large as a container.
unsafe fn was_container(block: *mut c_void) -> bool {
    // SAFETY: the caller's promise.
    let of = unsafe { block.cast::<*mut c_void>().add(HEADER / size_of::<usize>() + TYPE_OF).read() };
    if is_described(of.addr()) {
        return true;
    }
    let [from, to] = [DATA[0].load(Relaxed), DATA[1].load(Relaxed)];
    let is_there = of.addr() >= from && of.addr() < to.saturating_sub(size_of::<[usize; 64]>());
    // SAFETY: what is read lies in the interpreter's own data: one of its types, or something else that says nothing.
    is_there
        && of.addr().is_multiple_of(size_of::<usize>())
        && unsafe { Object(of).of().0 == METATYPE.load(Relaxed) && Object(of).word(FLAGS) & IS_GC != 0 }
}

#[cold]
#[inline(never)]
fn go_on(producer: &Producer, collector: Collector, is_collecting: bool, is_start: bool) {
    match PHASE.load(Relaxed) {
        // One at the end of the interpreter makes no strings: it is seen too late. And where nobody tells of births any more, it
        // is not known who is a container.
        NONE if !is_start || (producer.records_objects() && !objects::is_installed()) => {
            PHASE.store(UNSEEN, Relaxed);
        }
        NONE => {
            begins(producer, collector, oldest(collector));
            PHASE.store(BEGUN, Relaxed);
        }
        BEGUN => {
            let collected =
                |generation: usize| collector.stats(generation)[0] != STATS[generation][0].load(Relaxed);
            if let Some(generation) = (0..3).find(|generation| collected(*generation)) {
                ends(producer, collector, generation);
                PHASE.store(if is_collecting { OVER } else { NONE }, Relaxed);
            } else if !is_collecting {
                put(producer, slot::COLLECTION_LOST, 0);
                PHASE.store(NONE, Relaxed);
            }
        }
        _ if is_collecting => {}
        phase => {
            if phase == UNSEEN {
                put(producer, slot::COLLECTION_LOST, 0);
            }
            PHASE.store(NONE, Relaxed);
        }
    }
}

fn tell_number(producer: &Producer, number: i64) {
    // What is negative here means nothing.
    put(producer, slot::NUMBER, usize::try_from(number).unwrap_or(0));
}

#[cold]
#[inline(never)]
fn tell_settings(producer: &Producer, collector: Collector) {
    THRESHOLD.store(collector.threshold(0), Relaxed);
    ENABLED.store(collector.enabled(), Relaxed);
    let (last, before) = (collector.last_permanent(), LAST_PERMANENT.load(Relaxed));
    LAST_PERMANENT.store(last, Relaxed);
    // 1: there are more that are never collected; 2: there are none any more.
    let frozen = if before.is_null() || before == last {
        0
    } else if last == collector.permanent() {
        2
    } else {
        1
    };
    (0..3).for_each(|generation| tell_number(producer, collector.threshold(generation).into()));
    tell_number(producer, collector.enabled().into());
    tell_number(producer, collector.debug().into());
    tell_number(producer, frozen);
    put(producer, slot::SETTINGS, 0);
}

/// Which generations are looked at, by what the collector says: up to this one. (If it turns out to be another, that is
/// known when the collection is over.)
fn oldest(collector: Collector) -> usize {
    let asked = ASKED.load(Relaxed);
    if asked > 0 {
        return asked - 1;
    }
    let is_due = |generation: &usize| collector.count(*generation) > collector.threshold(*generation);
    let [total, pending] = collector.long_lived();
    let is_held_back = |generation: usize| generation == 2 && pending < total / 4;
    // Who collects though none is due collects all.
    (0..3).rev().filter(is_due).find(|generation| !is_held_back(*generation)).unwrap_or(2)
}

fn begins(producer: &Producer, collector: Collector, oldest: usize) {
    objects::ask_for_the_end(producer);
    for generation in 0..3 {
        let stats = collector.stats(generation);
        STATS[generation].iter().zip(stats).for_each(|(place, number)| place.store(number, Relaxed));
        // SAFETY: no collection is at work yet.
        TAILS[generation].store(unsafe { Collector::previous(collector.head(generation)) }, Relaxed);
    }
    (0..3).for_each(|generation| tell_number(producer, collector.count(generation).into()));
    (0..3).for_each(|generation| tell_number(producer, collector.threshold(generation).into()));
    collector.long_lived().into_iter().for_each(|number| tell_number(producer, number));
    tell_number(producer, collector.debug().into());
    tell_number(producer, ASKED.load(Relaxed) as i64);
    put(producer, slot::COLLECTS, oldest);
    for generation in 0..=oldest {
        put(producer, slot::LIST, generation);
        let head = collector.head(generation);
        // SAFETY: the interpreter's lock is held, and its lists are whole: their links lead from object to object, which are
        // alive, and back to the head.
        unsafe {
            let mut link = Collector::next(head);
            while link != head {
                tell_member(producer, Object(link.byte_add(HEADER)), generation);
                link = Collector::next(link);
            }
        }
    }
    put(producer, slot::GRAPH_ENDS, 0);
    if IS_UNSURE.swap(false, Relaxed) {
        put(producer, slot::COLLECTION_LOST, 0);
    }
    TOLD_AT.store(sys::nanoseconds(), Relaxed);
}

/// # Safety
///
/// The object is a container, tracked, and alive.
pub unsafe fn tell_member(producer: &Producer, object: Object, generation: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let of = object.of();
        if generation == 0 && is_type(of) && producer.has_no_births() {
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
        if of.0 == DICTIONARY.load(Relaxed) && HAS_EMBEDDED_VALUES.load(Relaxed) {
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

/// Tells of the values of a dictionary that are in the object which it belongs to: the dictionary's type does not.
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

fn ends(producer: &Producer, collector: Collector, generation: usize) {
    let lasted = sys::nanoseconds() - TOLD_AT.load(Relaxed);
    let [_, collected, uncollectable] = collector.stats(generation);
    tell_number(producer, collected - STATS[generation][1].load(Relaxed));
    tell_number(producer, uncollectable - STATS[generation][2].load(Relaxed));
    (0..3).for_each(|generation| tell_number(producer, collector.count(generation).into()));
    collector.long_lived().into_iter().for_each(|number| tell_number(producer, number));
    tell_number(producer, lasted);
    put(producer, slot::HAS_COLLECTED, generation);
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
        while link != head {
            producer.put(slot::pack(slot::MEMBER, 0, link.byte_add(HEADER) as u64));
            link = Collector::next(link);
        }
    }
    put(producer, slot::GRAPH_ENDS, 0);
    LAST_PERMANENT.store(collector.last_permanent(), Relaxed);
}

type Collect = unsafe extern "C" fn(*mut c_void, *const *mut c_void, isize, *mut c_void) -> *mut c_void;

/// `gc.collect` itself.
static COLLECT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Takes the place of `gc.collect`, of which this is the entry. Returns what that is to call.
pub fn wrap(original: usize) -> usize {
    COLLECT.store(original as *mut c_void, Relaxed);
    collect as *const () as usize
}

unsafe extern "C" fn collect(
    module: *mut c_void,
    arguments: *const *mut c_void,
    count: isize,
    names: *mut c_void,
) -> *mut c_void {
    let before = ASKED.load(Relaxed);
    // SAFETY: the arguments that the interpreter gave, to its own function.
    unsafe {
        ask(Some(asked_for(arguments, count, names)));
        let original = core::mem::transmute::<*mut c_void, Collect>(COLLECT.load(Relaxed));
        let result = original(module, arguments, count, names);
        ASKED.store(before, Relaxed);
        // The next one may begin before an allocator is called again.
        let _ = PHASE.compare_exchange(OVER, NONE, Relaxed, Relaxed);
        result
    }
}

/// The generation that a call of `gc.collect` asks for; all if it asks for none, or for what is none.
///
/// # Safety
///
/// The arguments are those of such a call.
unsafe fn asked_for(arguments: *const *mut c_void, count: isize, names: *mut c_void) -> usize {
    type AsLong = unsafe extern "C" fn(*mut c_void) -> i64;
    let (as_long, integers) = (find(c"PyLong_AsLong"), find(c"PyLong_Type"));
    // SAFETY: the caller's promise: there is at least one argument if it was counted, or has a name. Only what is exactly an
    // integer is asked, which runs no code; it has few digits.
    unsafe {
        if (count < 1 && names.is_null()) || as_long.is_null() {
            return 2;
        }
        let argument = Object(arguments.read());
        // An integer of one digit or two: others would be an error, which is for the interpreter to find.
        if argument.of().0 != integers {
            return 2;
        }
        match core::mem::transmute::<*mut c_void, AsLong>(as_long)(argument.0) {
            generation @ 0..=2 => usize::try_from(generation).unwrap_or(2),
            -1 => {
                let clear = find(c"PyErr_Clear");
                if !clear.is_null() {
                    core::mem::transmute::<*mut c_void, unsafe extern "C" fn()>(clear)();
                }
                2
            }
            _ => 2,
        }
    }
}
