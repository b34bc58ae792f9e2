//! What is told of an object that a collection looks at: its type, how many references there are to it, and to which containers it
//! refers.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

use super::collector::HEADER;
use super::interpreter::find;
use super::layout::{
    BASIC_SIZE, FLAGS, IS_GC, Object, SIZE, TRAVERSE, Traverse, VALUES, Visit, is_type, minor,
};
use super::objects::put;
use super::producer::Producer;
use super::referents;
use super::slot;
use super::stack_references;
use super::types::{forget, introduce};

type IsContainer = unsafe extern "C" fn(*mut c_void) -> c_int;

/// What tells objects of a type that are containers from others, by offset in words.
const IS_CONTAINER: usize = 41;

/// `PyTuple_Type`, and `PyDict_Type`.
static TUPLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static DICTIONARY: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// Whether a dictionary's values may be in the object that it belongs to, which may be who tells of them: in CPython 3.13, but for
/// builds that have a later correction, like Debian's. (From 3.14 on the dictionary does.)
static HAS_EMBEDDED_VALUES: AtomicBool = AtomicBool::new(false);
/// Whether the object that is told of has told of a reference.
static HAS_REFERENTS: AtomicBool = AtomicBool::new(false);

/// Whether something was told which is not certain.
static IS_UNSURE: AtomicBool = AtomicBool::new(false);

/// Gets to know an interpreter's containers.
pub fn know(version: &[u8]) {
    TUPLE.store(find(c"PyTuple_Type"), Relaxed);
    DICTIONARY.store(find(c"PyDict_Type"), Relaxed);
    HAS_EMBEDDED_VALUES.store(minor(version) == 13, Relaxed);
}

/// Whether something was told since this was asked last which is not certain.
pub fn was_unsure() -> bool {
    IS_UNSURE.swap(false, Relaxed)
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
pub fn header_of(object: Object) -> *mut usize {
    object.0.wrapping_byte_sub(HEADER).cast()
}

/// What the members' traversals are given.
pub const VISIT: Visit = visit;

unsafe extern "C" fn visit(referent: *mut c_void, producer: *mut c_void) -> c_int {
    // SAFETY: what `tell_member` passed on.
    unsafe { visit_marked(referent, producer, true) };
    0
}

/// What [`VISIT`] does, of a reference that may not be counted.
///
/// # Safety
///
/// These are a referent, and the argument for which it asks.
pub unsafe fn visit_marked(referent: *mut c_void, producer: *mut c_void, is_counted: bool) {
    HAS_REFERENTS.store(true, Relaxed);
    // SAFETY: the caller's promise.
    tell_edge(unsafe { &*producer.cast::<Producer>() }, Object(referent), is_counted);
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
pub unsafe fn is_container(object: Object) -> bool {
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
