//! CPython 3.6, which sets its allocators when it starts: by the value of `PYTHONMALLOC`, or to what they were.
//!
//! Its main program does so before the first block is asked for, and once more, to the C library's, when all is over.
//! The function that does it is replaced by one that puts the hooks back where the pools are back. Where the interpreter
//! is part of the executable, calls of that function cannot be caught, but what it asks of the C library next can: the
//! seed of its hashes, from the environment or from the system.
//!
//! Should a block be asked for meanwhile, the hook on arenas, which stays, finds that the others are gone.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};

use super::hooks::{self, Once};
use super::interpose::{self, Replacement};
use super::interpreter::{self, Interpreter, find};
use super::producer::Producer;
use super::sys;

type SetUp = unsafe extern "C" fn(*const c_char) -> c_int;
type GetRandom = unsafe extern "C" fn(*mut c_void, usize, c_uint) -> isize;

#[derive(Clone, Copy)]
struct Reset {
    /// The interpreter's own function.
    set_up: SetUp,
    /// The C library's; older ones have none.
    get_random: Option<GetRandom>,
    producer: *mut Producer,
}

static RESET: Once<Reset> = Once::new();

/// Sees to it that the hooks outlast the start of an interpreter that sets its allocators then, as the one does whose
/// module contains `interpreter`. False: that is not possible.
///
/// # Safety
///
/// As for [`hooks::install`], which is called afterwards.
pub unsafe fn outlast(interpreter: *const c_void, producer: *mut Producer) -> bool {
    const SET_UP: &CStr = c"_PyMem_SetupAllocators";
    let original = find(SET_UP);
    if original.is_null() {
        // Nothing can be reset by it.
        return true;
    }
    // SAFETY: the functions have these types, in the version that this is for; null is `None` where the type is an
    // option. Nothing reads the value yet.
    unsafe {
        let set_up = core::mem::transmute::<*mut c_void, SetUp>(original);
        let get_random = core::mem::transmute::<*mut c_void, Option<GetRandom>>(find(c"getrandom"));
        RESET.set(Reset { set_up, get_random, producer });
    }
    let replace = |name: &'static CStr, ours: *const (), everywhere: bool| {
        let replacement = Replacement { name, original: find(name).addr(), ours: ours as usize, everywhere };
        // SAFETY: the process has one thread, which is here. Ours have the types of what they replace, and do that.
        unsafe { interpose::replace(&[replacement], interpreter) }
    };
    if replace(SET_UP, set_up as *const (), true) {
        return true;
    }
    // Where the environment is to be ignored it is the system at once; in older ones there is no such function.
    let _ = replace(c"getrandom", getrandom as *const (), false);
    replace(c"getenv", getenv as *const (), false)
}

/// Are the hooks gone because the interpreter has ended?
pub fn has_ended(producer: &Producer) -> bool {
    let is_initialized = || interpreter::recorded().is_some_and(Interpreter::is_initialized);
    RESET.get().is_some() && producer.is_initialized() && !is_initialized()
}

#[inline(always)]
fn reset() -> &'static Reset {
    // SAFETY: functions are replaced after the value was set, and that is never unset.
    unsafe { RESET.get().unwrap_unchecked() }
}

/// Puts the hooks back if what was there before is there again, for an interpreter that starts.
fn put_back() {
    // SAFETY: the producer lives as long as the process.
    let producer = unsafe { &*reset().producer };
    let Some(interface) = hooks::interface() else { return };
    if !producer.is_recording() || producer.is_initialized() || producer.is_inside() {
        return;
    }
    // SAFETY: the interpreter's own functions; while it starts, no other thread allocates.
    unsafe {
        if hooks::are_originals(interface) {
            hooks::put_in(interface, reset().producer);
        }
    }
}

unsafe extern "C" fn set_up(name: *const c_char) -> c_int {
    // SAFETY: the argument that the interpreter gave, to its own function.
    let result = unsafe { (reset().set_up)(name) };
    put_back();
    result
}

unsafe extern "C" fn getenv(name: *const c_char) -> *mut c_char {
    // Asked for each arena, when a block is already being allocated.
    // SAFETY: the interpreter gives the name of a variable, a terminated string.
    if unsafe { CStr::from_ptr(name) } != c"PYTHONMALLOCSTATS" {
        put_back();
    }
    // SAFETY: as above.
    unsafe { sys::getenv(name) }
}

unsafe extern "C" fn getrandom(to: *mut c_void, size: usize, flags: c_uint) -> isize {
    put_back();
    // SAFETY: the arguments that the interpreter gave, to the function that it called.
    reset().get_random.map_or(-1, |original| unsafe { original(to, size, flags) })
}
