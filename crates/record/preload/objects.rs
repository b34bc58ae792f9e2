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
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

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
type Visit = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
type Traverse = unsafe extern "C" fn(*mut c_void, Visit, *mut c_void) -> c_int;

const CREATE: c_int = 0;
const DESTROY: c_int = 1;

/// What is read of a `PyTypeObject`, by offset in words.
const TYPE_OF: usize = 1;
const NAME: usize = 3;
const FLAGS: usize = 21;
const TRAVERSE: usize = 23;
const WEAK_REFERENCES: usize = 26;
const FINALIZE: usize = 49;
/// Flags of a type: what its instances are.
const IS_GC: usize = 1 << 14;
const IS_TYPE: usize = 1 << 31;
const IS_LIST: usize = 1 << 25;
const IS_DICTIONARY: usize = 1 << 29;
/// Where a `PyDictObject` has the number of its entries.
const USED: usize = 2;

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

    /// The lower half of the first word, which is all of the count in these versions: from 2³¹ on the object is
    /// immortal.
    ///
    /// # Safety
    ///
    /// The object is alive.
    unsafe fn count(self) -> u64 {
        // SAFETY: the caller's promise.
        let count = unsafe { self.0.cast::<u32>().read() };
        if count >= 1 << 31 { slot::COUNT_IMMORTAL } else { u64::from(count).min(slot::COUNT_MANY) }
    }
}

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
    let [set, metatype, list] = [c"PyRefTracer_SetTracer", c"PyType_Type", c"PyList_Type"].map(find);
    if set.is_null() || metatype.is_null() || list.is_null() {
        return false;
    }
    // SAFETY: these are types, which the interpreter has in its data from the beginning on; a name is looked at only if
    // it lies in the interpreter's own data, where the linker put it.
    let known = unsafe {
        is_called(Object(metatype), c"type")
            && is_called(Object(list), c"list")
            && Object(metatype).word(FLAGS) & (IS_TYPE | IS_GC) == IS_TYPE | IS_GC
            && Object(list).word(FLAGS) & (IS_LIST | IS_GC) == IS_LIST | IS_GC
            && Object(list).word(TRAVERSE) != 0
    };
    let is_known = known && nesting::begin(set);
    // SAFETY: the function of this name has this type; it may be called before the interpreter is initialised.
    let set = unsafe { core::mem::transmute::<*mut c_void, SetTracer>(set) };
    if !is_known {
        return false;
    }
    PRODUCER.store(producer, Relaxed);
    // SAFETY: the tracer lives as long as this library, which is never unloaded, and allocates no objects.
    unsafe { set(Some(nesting::entry()), null_mut()) == 0 }
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
            CREATE => born(producer, Object(object)),
            DESTROY => dies(producer, Object(object), stack),
            _ => {}
        }
    }
    0
}

/// # Safety
///
/// The object is alive.
unsafe fn born(producer: &Producer, object: Object) {
    nesting::settle(producer);
    // SAFETY: the caller's promise.
    let of = unsafe { object.of() };
    let place = &DESCRIBED[(of.0.addr() >> 4) % DESCRIBED.len()];
    if place.load(Relaxed) != of.0.addr() {
        place.store(of.0.addr(), Relaxed);
        // SAFETY: an object's type is alive.
        unsafe { describe(producer, of) };
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
    // SAFETY: the interpreter's frames are above.
    unsafe { nesting::enter(producer, object.0, stack) };
    put(producer, slot::OBJECT_DIES, object.0.addr());
    // SAFETY: the caller's promise.
    unsafe {
        let of = object.of();
        if is_type(of) {
            forget(object);
        }
        if of.word(FLAGS) & IS_DICTIONARY != 0 {
            put(producer, slot::OBJECT_LENGTH, object.word(USED));
        }
        if of.word(FLAGS) & IS_GC != 0
            && let Some(traverse) = of.0.cast::<Option<Traverse>>().add(TRAVERSE).read()
        {
            traverse(object.0, visit, core::ptr::from_ref(producer).cast_mut().cast());
        }
    }
    put(producer, slot::OBJECT_EDGES, 0);
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

/// # Safety
///
/// It is a type, and alive.
unsafe fn describe(producer: &Producer, of: Object) {
    put(producer, slot::TYPE, of.0.addr());
    // SAFETY: the caller's promise.
    let (flags, finalizes, weak, name) =
        unsafe { (of.word(FLAGS), of.word(FINALIZE) != 0, of.word(WEAK_REFERENCES) != 0, of.name()) };
    let bits = (flags as u64 & 0xffff_ffff) | u64::from(finalizes) << 32 | u64::from(weak) << 33;
    producer.put(slot::pack(slot::OBJECT, slot::TYPE_FLAGS, bits));
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
