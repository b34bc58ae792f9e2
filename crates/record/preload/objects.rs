//! Births and deaths of objects, from the interpreter's reference tracer (CPython 3.13 and later).
//!
//! The tracer is called when an object is born and right before it is deallocated, when it is whole for the last
//! time: what it refers to is then asked of its type, and written down with the referents' counts. Which death
//! happens inside which is seen by [`nesting`](super::nesting).
//!
//! The layouts read here (`PyObject`, `PyTypeObject`) are the same from 2.7 to 3.15; they are checked nevertheless
//! before anything rests on them.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};

use super::interpreter::find;
use super::nesting;
use super::producer::Producer;
use super::slot;

/// `PyRefTracer`.
type Tracer = unsafe extern "C" fn(*mut c_void, c_int, *mut c_void) -> c_int;
/// `PyRefTracer_SetTracer`.
type SetTracer = unsafe extern "C" fn(Option<Tracer>, *mut c_void) -> c_int;
/// `PyRefTracer_GetTracer`.
type GetTracer = unsafe extern "C" fn(*mut *mut c_void) -> Option<Tracer>;
/// `PyDict_Next`.
type NextEntry = unsafe extern "C" fn(*mut c_void, *mut isize, *mut *mut c_void, *mut *mut c_void) -> c_int;
type Visit = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
type Traverse = unsafe extern "C" fn(*mut c_void, Visit, *mut c_void) -> c_int;

const CREATE: c_int = 0;
const DESTROY: c_int = 1;

/// What is read of a `PyTypeObject`, by offset in words.
const TYPE_OF: usize = 1;
const NAME: usize = 3;
const BASIC_SIZE: usize = 4;
const DEALLOC: usize = 6;
const FLAGS: usize = 21;
const BASE: usize = 32;
const TRAVERSE: usize = 23;
const WEAK_REFERENCES: usize = 26;
const FINALIZE: usize = 49;
const DELETE: usize = 47;
/// Flags of a type: what its instances are.
const IS_GC: usize = 1 << 14;
const IS_TYPE: usize = 1 << 31;
const IS_LIST: usize = 1 << 25;
const IS_HEAP_TYPE: usize = 1 << 9;
const HAS_INLINE_VALUES: usize = 1 << 2;
const HAS_MANAGED_DICTIONARY: usize = 1 << 4;
/// Where a `PyWeakReference` has its callback, and the next one to the same object.
const CALLBACK: usize = 3;
const NEXT: usize = 6;
/// Where an object of varying size has how many items it has.
const SIZE: usize = 2;
/// Where a `PyDictObject` has its values, if it shares its keys with others; else there is nothing.
const VALUES: usize = 5;
/// How far in front of an object with a managed dictionary that is pointed to, in words (CPython 3.13 and later).
const MANAGED_DICTIONARY: usize = 3;

/// Types that were described already, by a part of their address: a type that is not found here is described again.
static DESCRIBED: [AtomicUsize; 4096] = [const { AtomicUsize::new(0) }; 4096];
static PRODUCER: AtomicPtr<Producer> = AtomicPtr::new(null_mut());

/// An object in the interpreter's memory.
#[derive(Clone, Copy)]
struct Object(*mut c_void);

impl Object {
    /// # Safety
    ///
    /// The object is alive and at least as long.
    unsafe fn word(self, at: usize) -> usize {
        // SAFETY: the caller's promise; objects are aligned to words.
        unsafe { self.0.cast::<usize>().add(at).read() }
    }

    /// # Safety
    ///
    /// It is a type, and alive.
    unsafe fn name(self) -> *const c_char {
        // SAFETY: the caller's promise.
        unsafe { self.0.cast::<*const c_char>().add(NAME).read() }
    }

    /// # Safety
    ///
    /// The object is alive.
    unsafe fn of(self) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { self.0.cast::<*mut c_void>().add(TYPE_OF).read() })
    }

    /// How many references there are to it.
    ///
    /// # Safety
    ///
    /// The object is alive.
    unsafe fn count(self) -> u64 {
        if !HAS_IMMORTALS.load(Relaxed) {
            // SAFETY: the caller's promise.
            return (unsafe { self.word(0) } as u64).min(slot::COUNT_MANY);
        }
        // From 3.12 on the lower half of the first word is all of the count: from 2³¹ on the object is immortal.
        // SAFETY: the caller's promise.
        let count = unsafe { self.0.cast::<u32>().read() };
        if count >= 1 << 31 { slot::COUNT_IMMORTAL } else { u64::from(count).min(slot::COUNT_MANY) }
    }
}

/// `PyDict_Type`, and `PyDict_Next`.
static DICTIONARY: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// `PyTuple_Type`.
static TUPLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static NEXT_ENTRY: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Whether the values of an object's attributes may be in it while it has a dictionary: from CPython 3.13 on.
static HAS_INLINE_DICTIONARIES: AtomicBool = AtomicBool::new(false);

/// What tells whether the interpreter has begun to finalize, until it has.
static IS_FINALIZING: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Whether there are immortal objects: from CPython 3.12 on.
static HAS_IMMORTALS: AtomicBool = AtomicBool::new(true);

/// Is this what an interpreter says of its version whose births and deaths can be recorded whole? Before 3.13.3 the tracer
/// was not told of deaths in the bytecode loop; from 3.14 on the interpreter's stack holds references that are not
/// counted, and deaths that were put off are not told.
fn is_known(version: &[u8]) -> bool {
    let Some(patch) = version.strip_prefix(b"3.13.") else { return false };
    let digits = patch.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_u32, |number, digit| number.wrapping_mul(10).wrapping_add(u32::from(digit - b'0'))) >= 3
}

/// Begins to record births and deaths. False if this interpreter does not tell them, or has another build than is
/// known here. `version` is what it says of itself.
///
/// # Safety
///
/// Called once, before the process has a second thread, in a process that contains an interpreter. `producer` lives as
/// long as the process.
pub unsafe fn install(version: &[u8], producer: *mut Producer) -> bool {
    if !is_known(version) {
        return false;
    }
    let set = find(c"PyRefTracer_SetTracer");
    let is_known = !set.is_null() && know(version) && nesting::begin(set);
    // SAFETY: the function of this name has this type; it may be called before the interpreter is initialised.
    let set = unsafe { core::mem::transmute::<*mut c_void, SetTracer>(set) };
    if !is_known {
        return false;
    }
    PRODUCER.store(producer, Relaxed);
    // SAFETY: the tracer lives as long as this library, which is never unloaded, and allocates no objects.
    unsafe { set(Some(nesting::entry()), null_mut()) == 0 }
}

/// Gets to know an interpreter's objects. False if they are laid out in another way than is known here.
pub fn know(version: &[u8]) -> bool {
    let minor =
        version.strip_prefix(b"3.").unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
    let minor =
        minor.fold(0_u32, |number, digit| number.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')));
    HAS_IMMORTALS.store(minor >= 12, Relaxed);
    HAS_INLINE_DICTIONARIES.store(minor >= 13, Relaxed);
    TUPLE.store(find(c"PyTuple_Type"), Relaxed);
    DICTIONARY.store(find(c"PyDict_Type"), Relaxed);
    NEXT_ENTRY.store(find(c"PyDict_Next"), Relaxed);
    let ask = [c"Py_IsFinalizing", c"_Py_IsFinalizing"].map(find);
    IS_FINALIZING.store(ask.into_iter().find(|ask| !ask.is_null()).unwrap_or(null_mut()), Relaxed);
    let [metatype, list] = [c"PyType_Type", c"PyList_Type"].map(find);
    if metatype.is_null() || list.is_null() {
        return false;
    }
    let (metatype, list) = (Object(metatype), Object(list));
    // SAFETY: these are types, which the interpreter has in its data from the beginning on, with their names, where the
    // linker put them. (Before it is initialised, their flags are not complete.)
    unsafe {
        is_called(metatype, c"type")
            && is_called(list, c"list")
            && metatype.word(FLAGS) & (IS_TYPE | IS_GC) == IS_TYPE | IS_GC
            && list.word(FLAGS) & (IS_LIST | IS_GC) == IS_LIST | IS_GC
            && list.word(TRAVERSE) != 0
    }
}

/// Is the tracer still ours?
pub fn is_installed() -> bool {
    let get = find(c"PyRefTracer_GetTracer");
    if get.is_null() {
        return true;
    }
    let mut data = null_mut();
    // SAFETY: the function of this name has this type, and there is room for the answer.
    let tracer = unsafe { core::mem::transmute::<*mut c_void, GetTracer>(get)(&raw mut data) };
    tracer.is_some_and(|tracer| tracer as usize == nesting::entry() as usize)
}

/// # Safety
///
/// `of` is a type of the interpreter's own.
unsafe fn is_called(of: Object, name: &CStr) -> bool {
    // SAFETY: the caller's promise.
    let found = unsafe { of.name() };
    // SAFETY: as above; the names of the interpreter's own types are terminated strings.
    !found.is_null() && unsafe { CStr::from_ptr(found) } == name
}

/// What the tracer comes to. `stack` is where the return address into the interpreter lies.
///
/// # Safety
///
/// Called by the interpreter, by way of [`nesting::entry`].
pub unsafe extern "C" fn trace(object: *mut c_void, event: c_int, _data: *mut c_void, stack: usize) -> c_int {
    // SAFETY: null, or the page that was mapped for good.
    let Some(producer) = (unsafe { PRODUCER.load(Relaxed).as_ref() }) else { return 0 };
    if !producer.records_objects() {
        return 0;
    }
    // SAFETY: the interpreter passes an object that is alive, with its type set.
    unsafe {
        match event {
            CREATE => {
                nesting::settle(producer);
                born(producer, object);
            }
            DESTROY => dies(producer, Object(object), stack),
            _ => {}
        }
    }
    0
}

/// # Safety
///
/// The object is alive.
pub unsafe fn born(producer: &Producer, object: *mut c_void) {
    let object = Object(object);
    // SAFETY: the caller's promise.
    let of = unsafe { object.of() };
    // SAFETY: an object's type is alive.
    unsafe { introduce(producer, of) };
    if of.0 == TUPLE.load(Relaxed) && producer.follows_counts() {
        // Of one that is born in memory that was kept; else it is not set yet.
        // SAFETY: the caller's promise.
        put(producer, slot::VALUE, unsafe { object.word(SIZE) });
    }
    put(producer, slot::OBJECT_BORN, object.0.addr());
    put(producer, slot::OBJECT_TYPE, of.0.addr());
    if is_type(of) {
        forget(object);
    }
}

/// # Safety
///
/// The object is alive.
unsafe fn dies(producer: &Producer, object: Object, stack: usize) {
    // SAFETY: the caller's promise.
    if unsafe { object.count() } > 0 {
        // It does not die: it is about to be resized, and seems to be born again.
        return put(producer, slot::OBJECT_MOVES, object.0.addr());
    }
    // SAFETY: the interpreter's frames are above; the caller's promise.
    unsafe {
        nesting::enter(producer, object.0, stack);
        begins_to_die(producer, object.0, slot::OBJECT_DIES);
    }
}

/// Tells that an object dies, or goes on to, and what it refers to.
///
/// # Safety
///
/// The object is whole.
pub unsafe fn begins_to_die(producer: &Producer, object: *mut c_void, what: u64) {
    let object = Object(object);
    ask_for_the_end(producer);
    // SAFETY: the caller's promise.
    unsafe {
        let of = object.of();
        if producer.follows_counts() {
            introduce(producer, of);
        }
        put(producer, what, object.0.addr());
        if producer.follows_counts() {
            put(producer, slot::OBJECT_TYPE, of.0.addr());
            tell_weak_references(producer, object, of);
        }
        if is_type(of) {
            forget(object);
        }
        let owner = core::ptr::from_ref(producer).cast_mut().cast();
        if of.0 == DICTIONARY.load(Relaxed) && object.word(VALUES) == 0 {
            tell_entries(object, owner);
        } else if of.word(FLAGS) & IS_GC != 0
            && let Some(traverse) = of.0.cast::<Option<Traverse>>().add(TRAVERSE).read()
        {
            match inline(object, of) {
                Some((dictionary, values)) => {
                    let mut seen = 0_usize;
                    traverse(object.0, count_one, (&raw mut seen).cast());
                    // The values are the last that are told, but for the type.
                    let end = seen.saturating_sub(1);
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
    put(producer, slot::OBJECT_EDGES, 0);
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

unsafe extern "C" fn count_one(_referent: *mut c_void, seen: *mut c_void) -> c_int {
    // SAFETY: what `begins_to_die` passed on.
    unsafe { *seen.cast::<usize>() += 1 };
    0
}

unsafe extern "C" fn visit_without(referent: *mut c_void, without: *mut c_void) -> c_int {
    // SAFETY: what `begins_to_die` passed on.
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
unsafe fn tell_entries(dictionary: Object, producer: *mut c_void) {
    let next = NEXT_ENTRY.load(Relaxed);
    if next.is_null() {
        return;
    }
    let (mut position, mut key, mut value) = (0, null_mut(), null_mut());
    // SAFETY: the function of this name has this type; it changes nothing, and what it yields is alive.
    unsafe {
        let next = core::mem::transmute::<*mut c_void, NextEntry>(next);
        while next(dictionary.0, &raw mut position, &raw mut key, &raw mut value) != 0 {
            visit(key, producer);
            visit(value, producer);
        }
    }
}

/// Tells when the interpreter has begun to finalize, once.
fn ask_for_the_end(producer: &Producer) {
    let ask = IS_FINALIZING.load(Relaxed);
    if ask.is_null() {
        return;
    }
    // SAFETY: the function has this type in all versions, and may be called at any time.
    if unsafe { core::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(ask)() } != 0 {
        IS_FINALIZING.store(null_mut(), Relaxed);
        put(producer, slot::FINALIZING, 0);
    }
}

/// Tells of the weak references to an object that have callbacks, in the order in which the object has them.
///
/// # Safety
///
/// The object is whole, and of this type.
unsafe fn tell_weak_references(producer: &Producer, object: Object, of: Object) {
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

unsafe extern "C" fn visit(referent: *mut c_void, producer: *mut c_void) -> c_int {
    // SAFETY: what `dies` passed on; the object that dies refers to live ones.
    let (producer, count) = unsafe { (&*producer.cast::<Producer>(), Object(referent).count()) };
    if referent.addr() >> slot::ADDRESS_BITS == 0 {
        producer.put(slot::pack(slot::EDGE, count, referent as u64));
    }
    0
}

fn is_type(of: Object) -> bool {
    // SAFETY: a type is alive as long as there is an object of it.
    unsafe { of.word(FLAGS) & IS_TYPE != 0 }
}

/// A type begins or ends here: what was known of this address is known no more.
fn forget(of: Object) {
    let place = &DESCRIBED[(of.0.addr() >> 4) % DESCRIBED.len()];
    if place.load(Relaxed) == of.0.addr() {
        place.store(0, Relaxed);
    }
}

/// Describes a type unless that was done.
///
/// # Safety
///
/// It is a type, and alive.
unsafe fn introduce(producer: &Producer, of: Object) {
    let place = &DESCRIBED[(of.0.addr() >> 4) % DESCRIBED.len()];
    if place.load(Relaxed) != of.0.addr() {
        place.store(of.0.addr(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { describe(producer, of) };
    }
}

/// # Safety
///
/// It is a type, and alive.
unsafe fn describe(producer: &Producer, of: Object) {
    put(producer, slot::TYPE, of.0.addr());
    // SAFETY: the caller's promise.
    let (flags, family) = unsafe { (of.word(FLAGS), family(of)) };
    // SAFETY: as above, of both.
    let bits = unsafe {
        [
            of.word(FINALIZE) != 0,
            of.word(WEAK_REFERENCES) != 0,
            is_class(of),
            // (One of the interpreter's own that is not ready yet has none.)
            family.word(DEALLOC) != 0 && !nesting::is_code(family.word(DEALLOC)),
            of.word(DELETE) != 0,
        ]
    };
    let bits = bits.into_iter().rev().fold(0, |bits, bit| bits << 1 | u64::from(bit));
    producer.put(slot::pack(slot::OBJECT, slot::TYPE_FLAGS, (flags as u64 & 0xffff_ffff) | bits << 32));
    // SAFETY: as above.
    unsafe {
        tell_name(producer, of);
        tell_name(producer, family);
    }
}

/// What deallocates instances of classes, once it is known: see [`family`].
static CLASS_DEALLOC: AtomicUsize = AtomicUsize::new(0);

/// Whether its objects are deallocated as those of classes are.
///
/// # Safety
///
/// It is a type, and alive.
unsafe fn is_class(of: Object) -> bool {
    let known = CLASS_DEALLOC.load(Relaxed);
    // SAFETY: the caller's promise.
    known != 0 && unsafe { of.word(DEALLOC) } == known
}

/// The type that this one has its deallocation from.
///
/// # Safety
///
/// It is a type, and alive.
unsafe fn family(of: Object) -> Object {
    // SAFETY: the caller's promise; a type keeps its base alive.
    unsafe {
        let name = CStr::from_ptr(of.name()).to_bytes();
        // Types that are made by C have names with a dot; the first class is one of the import system's.
        if CLASS_DEALLOC.load(Relaxed) == 0 && of.word(FLAGS) & IS_HEAP_TYPE != 0 && !name.contains(&b'.') {
            CLASS_DEALLOC.store(of.word(DEALLOC), Relaxed);
        }
        let base = |of: Object| {
            Some(Object(of.0.cast::<*mut c_void>().add(BASE).read())).filter(|of| !of.0.is_null())
        };
        let mut family = of;
        while is_class(family)
            && let Some(next) = base(family)
        {
            family = next;
        }
        while let Some(next) = base(family)
            && next.word(DEALLOC) == family.word(DEALLOC)
        {
            family = next;
        }
        family
    }
}

/// # Safety
///
/// It is a type, and alive.
unsafe fn tell_name(producer: &Producer, of: Object) {
    // SAFETY: the caller's promise.
    let name = unsafe { of.name() };
    // SAFETY: types that have objects have names, which are terminated strings.
    let name = if name.is_null() { &[] } else { unsafe { CStr::from_ptr(name) }.to_bytes() };
    // The last piece has room for a zero, so that it says that it is the last.
    let pieces = (name.len() / slot::NAME_BYTES + 1).min(slot::NAME_PIECES);
    for piece in 0..pieces {
        let mut bytes = [0; 8];
        let rest = name.get(piece * slot::NAME_BYTES..).unwrap_or_default();
        for (to, from) in bytes.iter_mut().take(slot::NAME_BYTES).zip(rest) {
            *to = *from;
        }
        producer.put(slot::pack(slot::OBJECT, slot::TYPE_NAME, u64::from_le_bytes(bytes)));
    }
}

/// Writes an event with nothing but an address. (Linux gives programs none beyond 48 bits unless they ask for it.)
pub fn put(producer: &Producer, what: u64, address: usize) {
    producer.put(slot::pack(slot::OBJECT, what, address as u64 & ((1 << slot::ADDRESS_BITS) - 1)));
}
