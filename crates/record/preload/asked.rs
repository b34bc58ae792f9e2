//! What the program asks the collector for by name: `gc.collect`, which generation it asks for, and that the collection is over
//! when it returns; `gc.freeze` and `gc.unfreeze`, of which nothing that the collector holds says for certain that they were called.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use super::collections;
use super::interpreter::find;
use super::layout::Object;

/// The generation that the program asks to be collected, and 1 more; 0 if it asks for none.
static ASKED: AtomicUsize = AtomicUsize::new(0);

/// That.
pub fn generation() -> usize {
    ASKED.load(Relaxed)
}

type Collect = unsafe extern "C" fn(*mut c_void, *const *mut c_void, isize, *mut c_void) -> *mut c_void;

type Freeze = unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void;

/// The functions themselves.
static COLLECT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static FREEZE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static UNFREEZE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Takes the place of `gc.collect`, of which this is the entry. Returns what that is to call.
pub fn wrap_collect(original: usize) -> usize {
    COLLECT.store(original as *mut c_void, Relaxed);
    collect as *const () as usize
}

/// The same of `gc.freeze`.
pub fn wrap_freeze(original: usize) -> usize {
    FREEZE.store(original as *mut c_void, Relaxed);
    freeze as *const () as usize
}

/// The same of `gc.unfreeze`.
pub fn wrap_unfreeze(original: usize) -> usize {
    UNFREEZE.store(original as *mut c_void, Relaxed);
    unfreeze as *const () as usize
}

unsafe extern "C" fn freeze(module: *mut c_void, nothing: *mut c_void) -> *mut c_void {
    collections::freeze(true, || call(&FREEZE, module, nothing))
}

unsafe extern "C" fn unfreeze(module: *mut c_void, nothing: *mut c_void) -> *mut c_void {
    collections::freeze(false, || call(&UNFREEZE, module, nothing))
}

/// Calls one of the two functions whose place was taken, with what the interpreter has called that with.
fn call(function: &AtomicPtr<c_void>, module: *mut c_void, nothing: *mut c_void) -> *mut c_void {
    // SAFETY: the interpreter's own function, of this type, with the arguments that it gave.
    unsafe { core::mem::transmute::<*mut c_void, Freeze>(function.load(Relaxed))(module, nothing) }
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
        ASKED.store(asked_for(arguments, count, names) + 1, Relaxed);
        collections::is_asked();
        let original = core::mem::transmute::<*mut c_void, Collect>(COLLECT.load(Relaxed));
        let result = original(module, arguments, count, names);
        collections::attend_now();
        ASKED.store(before, Relaxed);
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
