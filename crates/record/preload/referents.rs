//! What an object refers to when it dies, in the order in which it gives that up as far as that can be known.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

use super::interpreter::find;
use super::layout::{
    BASIC_SIZE, CALLBACK, FLAGS, HAS_INLINE_VALUES, HAS_MANAGED_DICTIONARY, IS_GC, IS_HEAP_TYPE,
    MANAGED_DICTIONARY, NEXT, Object, TRAVERSE, Traverse, VALUES, WEAK_REFERENCES, is_type, minor,
};
use super::objects::put;
use super::producer::Producer;
use super::slot;

/// `PyDict_Next`.
type NextEntry = unsafe extern "C" fn(*mut c_void, *mut isize, *mut *mut c_void, *mut *mut c_void) -> c_int;

/// `PyDict_Type`, and `PyDict_Next`.
static DICTIONARY: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static NEXT_ENTRY: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Whether the values of an object's attributes may be in it while it has a dictionary: from CPython 3.13 on.
static HAS_INLINE_DICTIONARIES: AtomicBool = AtomicBool::new(false);

/// Gets to know an interpreter's dictionaries.
pub fn know(version: &[u8]) {
    HAS_INLINE_DICTIONARIES.store(minor(version) >= 13, Relaxed);
    DICTIONARY.store(find(c"PyDict_Type"), Relaxed);
    NEXT_ENTRY.store(find(c"PyDict_Next"), Relaxed);
}

/// What is being told of an object, one behind: only the next call says whether a slot is the last.
pub struct Telling<'a> {
    producer: &'a Producer,
    /// The slot that is told next, or 0.
    next: u64,
    /// How many immortal ones it refers to behind that.
    immortals: u32,
}

impl<'a> Telling<'a> {
    pub fn new(producer: &'a Producer) -> Self {
        Self::behind(producer, 0)
    }

    /// Behind this slot, which is told, too.
    #[inline(always)]
    pub fn behind(producer: &'a Producer, slot: u64) -> Self {
        Self { producer, next: slot, immortals: 0 }
    }

    #[inline(always)]
    fn go_on(&mut self, slot: u64) {
        let before = core::mem::replace(&mut self.next, slot);
        if before != 0 {
            self.producer.put(before);
        }
    }

    #[inline(always)]
    fn tell_immortals(&mut self) {
        if self.immortals > 0 {
            let times = core::mem::take(&mut self.immortals);
            self.go_on(slot::pack(slot::EDGE, slot::COUNT_IMMORTAL, u64::from(times) << 1));
        }
    }

    /// That was all; the last slot says so, if there is one.
    #[inline(always)]
    pub fn end(mut self) {
        self.tell_immortals();
        if self.next != 0 {
            self.producer.put(self.next | slot::pack(0, 0, slot::LAST));
        }
    }

    /// That was all, which is told in another way.
    pub fn break_off(mut self) {
        self.tell_immortals();
        self.go_on(0);
    }
}

/// Tells what an object refers to.
///
/// # Safety
///
/// The object is whole, and of this type.
#[inline(always)]
pub unsafe fn tell(telling: &mut Telling<'_>, object: Object, of: Object) {
    // SAFETY: the caller's promise.
    unsafe {
        let owner = core::ptr::from_mut(telling).cast();
        if of.0 == DICTIONARY.load(Relaxed) && object.word(VALUES) == 0 {
            tell_entries(object, owner);
        } else if of.word(FLAGS) & IS_GC != 0
            && let Some(traverse) = of.0.cast::<Option<Traverse>>().add(TRAVERSE).read()
        {
            match inline(object, of) {
                Some((dictionary, values)) => {
                    let mut seen = Seen { referents: 0, dictionary, is_told: false };
                    traverse(object.0, count_one, (&raw mut seen).cast());
                    // From 3.14 on it tells of the dictionary.
                    if seen.is_told {
                        traverse(object.0, visit, owner);
                        return;
                    }
                    // The values are the last that are told, but for the type.
                    let end = seen.referents.saturating_sub(1);
                    let values = end.saturating_sub(values)..end;
                    let mut without = Without { owner, values, at: 0, dictionary };
                    traverse(object.0, visit_without, (&raw mut without).cast());
                }
                None => {
                    traverse(object.0, visit, owner);
                }
            }
        }
    }
}

/// An object's dictionary, if the values of its attributes are in the object nevertheless, and how many these are. Such an
/// object tells of the values; but when it dies it leaves them to the dictionary, and gives up that.
///
/// # Safety
///
/// The object is whole, and of this type.
unsafe fn inline(object: Object, of: Object) -> Option<(*mut c_void, usize)> {
    const FLAGS_WANTED: usize = HAS_INLINE_VALUES | HAS_MANAGED_DICTIONARY;
    // SAFETY: the caller's promise; objects of a type with these flags have this in front of them, and behind them how many
    // values there is room for, whether they are there, and the values.
    unsafe {
        if !HAS_INLINE_DICTIONARIES.load(Relaxed) || of.word(FLAGS) & FLAGS_WANTED != FLAGS_WANTED {
            return None;
        }
        let dictionary = object.0.cast::<*mut c_void>().sub(MANAGED_DICTIONARY).read();
        let values = object.0.byte_add(of.word(BASIC_SIZE));
        let [room, _, _, is_valid] = values.cast::<[u8; 4]>().read();
        if dictionary.is_null() || is_valid == 0 {
            return None;
        }
        let first = values.cast::<*mut c_void>().add(1);
        let there = (0..usize::from(room)).filter(|at| !first.add(*at).read().is_null());
        Some((dictionary, there.count()))
    }
}

/// What is told of an object with a dictionary whose values are in the object.
struct Without {
    owner: *mut c_void,
    /// The values, by their places among what is told.
    values: core::ops::Range<usize>,
    at: usize,
    dictionary: *mut c_void,
}

/// How much is told of an object, and whether its dictionary is.
struct Seen {
    referents: usize,
    dictionary: *mut c_void,
    is_told: bool,
}

unsafe extern "C" fn count_one(referent: *mut c_void, seen: *mut c_void) -> c_int {
    // SAFETY: what `tell` passed on.
    let seen = unsafe { &mut *seen.cast::<Seen>() };
    seen.referents += 1;
    seen.is_told |= referent == seen.dictionary;
    0
}

unsafe extern "C" fn visit_without(referent: *mut c_void, without: *mut c_void) -> c_int {
    // SAFETY: what `tell` passed on.
    let without = unsafe { &mut *without.cast::<Without>() };
    let at = without.at;
    without.at += 1;
    // SAFETY: the object that dies refers to live ones.
    unsafe {
        if at == without.values.end {
            visit(without.dictionary, without.owner);
        }
        if without.values.contains(&at) { 0 } else { visit(referent, without.owner) }
    }
}

/// Tells of a dictionary's keys and values, in the order in which it gives them up: its traversal leaves out keys that
/// are strings.
///
/// # Safety
///
/// It is a dictionary, which does not share its keys, and whole.
unsafe fn tell_entries(dictionary: Object, telling: *mut c_void) {
    let next = NEXT_ENTRY.load(Relaxed);
    if next.is_null() {
        return;
    }
    let (mut position, mut key, mut value) = (0, null_mut(), null_mut());
    // SAFETY: the function of this name has this type; it changes nothing, and what it yields is alive.
    unsafe {
        let next = core::mem::transmute::<*mut c_void, NextEntry>(next);
        while next(dictionary.0, &raw mut position, &raw mut key, &raw mut value) != 0 {
            visit(key, telling);
            visit(value, telling);
        }
    }
}

/// Tells of the weak references to an object that have callbacks, in the order in which the object has them.
///
/// # Safety
///
/// The object is whole, and of this type.
pub unsafe fn tell_weak(producer: &Producer, object: Object, of: Object) {
    // SAFETY: the caller's promise. Types are no exception that matters: those whose list is elsewhere never die.
    unsafe {
        let offset = of.word(WEAK_REFERENCES).cast_signed();
        if offset == 0 || (is_type(of) && object.word(FLAGS) & IS_HEAP_TYPE == 0) {
            return;
        }
        let mut next = object.0.byte_offset(offset).cast::<*mut c_void>().read();
        while !next.is_null() {
            let words = next.cast::<*mut c_void>();
            if !words.add(CALLBACK).read().is_null() {
                put(producer, slot::WEAK, next.addr());
            }
            next = words.add(NEXT).read();
        }
    }
}

unsafe extern "C" fn visit(referent: *mut c_void, telling: *mut c_void) -> c_int {
    // SAFETY: what `tell` passed on; the object that dies refers to live ones.
    let (telling, count) = unsafe { (&mut *telling.cast::<Telling<'_>>(), Object(referent).count()) };
    if count == slot::COUNT_IMMORTAL {
        telling.immortals += 1;
        if telling.immortals == slot::MOST_IMMORTALS {
            telling.tell_immortals();
        }
    } else if referent.addr() as u64 & !slot::ADDRESS_MASK == 0 {
        telling.tell_immortals();
        telling.go_on(slot::pack(slot::EDGE, count, referent as u64 & !slot::LAST));
    }
    0
}
