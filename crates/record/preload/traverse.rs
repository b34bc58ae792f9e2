//! How a collection is noticed that makes nothing when it begins to look: those that run inside of an allocation (up to CPython
//! 3.11), those of an interpreter that ends, and those before which functions are called back.
//!
//! The first thing that a collector does with the objects that it looks at is to ask their types to what they refer. Types of the
//! interpreter's own are structures that may be written to; so in the place of their `tp_traverse` stands one of ours, which
//! looks whether it is asked by a collector that nobody has seen yet, and passes the question on. By then the lists are put
//! together, and the counts of generations are set back; but what is written in front of the objects is all that the collector
//! has done to them: the links that lead forward are whole, and so are the counts of references.
//!
//! It asks again what it then takes for garbage: see [`survivors`](super::survivors).

use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed};

use super::collections;
use super::collector::{Collector, HEADER};
use super::interpreter::find;
use super::layout::{FLAGS, IS_GC, Object, TRAVERSE};
use super::survivors;

type Visit = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
type Traverse = unsafe extern "C" fn(*mut c_void, Visit, *mut c_void) -> c_int;

/// In the second word in front of an object: a collection counts what refers to it.
const IS_COUNTED: usize = 2;

const MANY: usize = 24;

/// The types, of which most containers are.
const TYPES: [(&CStr, Traverse); MANY] = [
    (c"PyFunction_Type", traverse::<0>),
    (c"PyTuple_Type", traverse::<1>),
    (c"PyDict_Type", traverse::<2>),
    (c"PyList_Type", traverse::<3>),
    (c"PyType_Type", traverse::<4>),
    (c"PyCell_Type", traverse::<5>),
    (c"PyModule_Type", traverse::<6>),
    (c"PyMethod_Type", traverse::<7>),
    (c"PyCFunction_Type", traverse::<8>),
    (c"PySet_Type", traverse::<9>),
    (c"PyFrozenSet_Type", traverse::<10>),
    (c"PyFrame_Type", traverse::<11>),
    (c"PyGen_Type", traverse::<12>),
    (c"PyCoro_Type", traverse::<13>),
    (c"PyTraceBack_Type", traverse::<14>),
    (c"PyProperty_Type", traverse::<15>),
    (c"PyClassMethod_Type", traverse::<16>),
    (c"PyStaticMethod_Type", traverse::<17>),
    (c"PyGetSetDescr_Type", traverse::<18>),
    (c"PyMemberDescr_Type", traverse::<19>),
    (c"PyMethodDescr_Type", traverse::<20>),
    (c"PyWrapperDescr_Type", traverse::<21>),
    (c"_PyWeakref_RefType", traverse::<22>),
    (c"PySlice_Type", traverse::<23>),
];

/// What stood there.
static ORIGINALS: [AtomicPtr<c_void>; MANY] = [const { AtomicPtr::new(null_mut()) }; MANY];

/// Whether ours stand there.
static IS_INSTALLED: AtomicBool = AtomicBool::new(false);

/// Puts ours there, once. Types that are derived from these may take it over, and are served by it.
pub fn install() {
    if IS_INSTALLED.swap(true, Relaxed) {
        return;
    }
    for ((name, ours), original) in TYPES.iter().zip(&ORIGINALS) {
        let of = find(name);
        if of.is_null() {
            continue;
        }
        let place = of.cast::<*mut c_void>().wrapping_add(TRAVERSE);
        // SAFETY: the symbol is that of a type in the interpreter's data, which the interpreter writes to itself when the type is
        // made ready. No other thread runs the interpreter meanwhile.
        unsafe {
            let before = place.read();
            if Object(of).word(FLAGS) & IS_GC != 0 && !before.is_null() {
                original.store(before, Relaxed);
                place.write(*ours as *mut c_void);
            }
        }
    }
}

/// Whether the objects of a type are asked by way of us.
///
/// # Safety
///
/// It is a type, and alive.
pub unsafe fn is_ours(of: Object) -> bool {
    // SAFETY: the caller's promise.
    let traverse = unsafe { of.word(TRAVERSE) };
    TYPES.iter().any(|(_, ours)| *ours as usize == traverse)
}

/// # Safety
///
/// Called in the place of the function that stood at this place of [`TYPES`].
unsafe extern "C" fn traverse<const AT: usize>(
    object: *mut c_void,
    visit: Visit,
    argument: *mut c_void,
) -> c_int {
    if collections::may_look() {
        // SAFETY: the caller's promise.
        unsafe { notice(object) };
    } else {
        survivors::is_traversed();
    }
    // SAFETY: the caller's promise: what stood there takes these.
    unsafe {
        let original = core::mem::transmute::<*mut c_void, Traverse>(ORIGINALS[AT].load(Relaxed));
        original(object, visit, argument)
    }
}

/// Looks whether it is a collection that asks what the object refers to.
///
/// # Safety
///
/// The object is alive, and of a type whose objects are containers, or such a type.
unsafe fn notice(object: *mut c_void) {
    if let Some(collector) = Collector::get()
        && collector.is_collecting()
        // SAFETY: containers have two words in front of them; the types that have none lie behind others.
        && unsafe { object.byte_sub(HEADER).cast::<usize>().add(1).read() } & IS_COUNTED != 0
    {
        collections::begins_to_look(collector);
    }
}
