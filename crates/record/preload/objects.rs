//! Births and deaths of objects, from the interpreter's reference tracer (CPython 3.13 and later).
//!
//! The tracer is called when an object is born and right before it is deallocated, when it is whole for the last
//! time: what it refers to is then asked of its type, and written down with the referents' counts. Which death
//! happens inside which is seen by [`nesting`](super::nesting).

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

use super::attend;
use super::deposits;
use super::interpreter::find;
use super::layout::{self, Object, SIZE, is_type, minor, number};
use super::nesting;
use super::producer::Producer;
use super::referents::{self, Telling};
use super::slot;
use super::survivors;
use super::types::{self, forget, introduce};

/// `PyRefTracer`.
type Tracer = unsafe extern "C" fn(*mut c_void, c_int, *mut c_void) -> c_int;
/// `PyRefTracer_SetTracer`.
type SetTracer = unsafe extern "C" fn(Option<Tracer>, *mut c_void) -> c_int;
/// `PyRefTracer_GetTracer`.
type GetTracer = unsafe extern "C" fn(*mut *mut c_void) -> Option<Tracer>;

const CREATE: c_int = 0;
const DESTROY: c_int = 1;

/// `PyTuple_Type`.
static TUPLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static PRODUCER: AtomicPtr<Producer> = AtomicPtr::new(null_mut());

/// What tells whether the interpreter has begun to finalize, until it has.
static IS_FINALIZING: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// Whether it has.
static HAS_ENDED: AtomicBool = AtomicBool::new(false);

/// Is this what an interpreter says of its version whose births and deaths can be recorded whole? Before 3.13.3 the tracer
/// was not told of deaths in the bytecode loop; 3.14.0 to 3.14.4 have a collector of their own.
fn is_known(version: &[u8]) -> bool {
    let patch = |minor: &[u8]| version.strip_prefix(minor).map(number);
    match minor(version) {
        13 => patch(b"3.13.").is_some_and(|patch| patch >= 3),
        14 => patch(b"3.14.").is_some_and(|patch| patch >= 5),
        15 => true,
        _ => false,
    }
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
    let is_known = !set.is_null()
        && know(version)
        && nesting::begin(set, minor(version) >= 14)
        && deposits::begin(minor(version));
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
    referents::know(version);
    TUPLE.store(find(c"PyTuple_Type"), Relaxed);
    let ask = [c"Py_IsFinalizing", c"_Py_IsFinalizing"].map(find);
    IS_FINALIZING.store(ask.into_iter().find(|ask| !ask.is_null()).unwrap_or(null_mut()), Relaxed);
    layout::know(version)
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

/// What the tracer comes to. `stack` is where the return address into the interpreter lies, `frame` what the frame pointer is.
///
/// # Safety
///
/// Called by the interpreter, by way of [`nesting::entry`].
pub unsafe extern "C" fn trace(
    object: *mut c_void,
    event: c_int,
    _data: *mut c_void,
    stack: usize,
    frame: usize,
) -> c_int {
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
            DESTROY => dies(producer, Object(object), stack, frame),
            _ => {}
        }
    }
    0
}

/// # Safety
///
/// The object is alive.
pub unsafe fn born(producer: &Producer, object: *mut c_void) {
    attend::is_born(producer);
    let object = Object(object);
    // SAFETY: the caller's promise.
    let of = unsafe { object.of() };
    // SAFETY: an object's type is alive.
    let place = unsafe { types::place(producer, of) };
    if of.0 == TUPLE.load(Relaxed) && producer.follows_counts() {
        // Of one that is born in memory that was kept; else it is not set yet.
        // SAFETY: the caller's promise.
        put(producer, slot::VALUE, unsafe { object.word(SIZE) });
    }
    producer.put(slot::pack(slot::BORN, place, object.0.addr() as u64 & slot::ADDRESS_MASK));
    if is_type(of) {
        forget(object);
    }
}

/// # Safety
///
/// The object is alive.
unsafe fn dies(producer: &Producer, object: Object, stack: usize, frame: usize) {
    // SAFETY: the caller's promise.
    if unsafe { object.count() } > 0 {
        // It does not die: it is about to be resized, and seems to be born again.
        return put(producer, slot::OBJECT_MOVES, object.0.addr());
    }
    // SAFETY: the interpreter's frames are above; the caller's promise.
    unsafe {
        let of = object.of();
        survivors::dies(producer, object);
        nesting::enter(producer, object, layout::offset(of), stack, frame);
        ask_for_the_end(producer);
        if is_type(of) {
            forget(object);
        }
        let dies = slot::pack(slot::DIES, 0, object.0.addr() as u64 & slot::ADDRESS_MASK & !slot::LAST);
        let mut telling = Telling::behind(producer, dies);
        referents::tell(&mut telling, object, of);
        telling.end();
    }
}

/// Tells that an object dies, or goes on to, and what it refers to, with what is told of it where counts are.
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
        introduce(producer, of);
        put(producer, what, object.0.addr());
        put(producer, slot::OBJECT_TYPE, of.0.addr());
        referents::tell_weak(producer, object, of);
        if is_type(of) {
            forget(object);
        }
        let mut telling = Telling::new(producer);
        referents::tell(&mut telling, object, of);
        telling.break_off();
    }
    put(producer, slot::OBJECT_EDGES, 0);
}

/// Tells when the interpreter has begun to finalize, once. Returns whether it has.
pub fn ask_for_the_end(producer: &Producer) -> bool {
    let ask = IS_FINALIZING.load(Relaxed);
    if ask.is_null() {
        return HAS_ENDED.load(Relaxed);
    }
    // SAFETY: the function has this type in all versions, and may be called at any time.
    let is_finalizing = unsafe { core::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(ask)() } != 0;
    if is_finalizing {
        IS_FINALIZING.store(null_mut(), Relaxed);
        HAS_ENDED.store(true, Relaxed);
        put(producer, slot::FINALIZING, 0);
    }
    is_finalizing
}

/// Writes an event with nothing but an address. (Linux gives programs none beyond 48 bits unless they ask for it.)
pub fn put(producer: &Producer, what: u64, address: usize) {
    producer.put(slot::pack(slot::OBJECT, what, address as u64 & slot::ADDRESS_MASK));
}
