//! CPython 2.7, which has no hooks: the functions that serve objects are replaced themselves.
//!
//! There are three. What takes their place passes each call through the [`hooks`] of domain OBJ, where it is said what
//! is recorded and when, and from there to the interpreter's own function. (What is domain MEM in later versions comes
//! straight from the C library in this one, and is none of the pools' business.) Arenas are mapped by the interpreter
//! itself, so that the functions which do that are replaced too, in its module alone: what is mapped inside of a block
//! allocator, and as large as an arena, is one.

use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::header::REASON_DIRECT_CALLS;
use super::hooks::{self, Allocator, OBJ, Once};
use super::interpose::{self, Replacement};
use super::interpreter::{self, Interpreter, find};
use super::producer::Producer;
use super::{slot, sys};

type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
type Realloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);

const MALLOC: &CStr = c"PyObject_Malloc";
const REALLOC: &CStr = c"PyObject_Realloc";
const FREE: &CStr = c"PyObject_Free";

/// The interpreter's own functions.
#[derive(Clone, Copy)]
pub struct Functions {
    malloc: Malloc,
    realloc: Realloc,
    free: Free,
}

#[derive(Clone, Copy)]
struct Replaced {
    functions: Functions,
    producer: *mut Producer,
}

static REPLACED: Once<Replaced> = Once::new();

/// Is the interpreter's `realloc` being called? It calls the other two by their names.
static NESTED: AtomicBool = AtomicBool::new(false);

/// Bytes of an arena.
const ARENA_SIZE: usize = 256 << 10;

impl Functions {
    /// The interpreter's functions, if all are there.
    pub fn look_up() -> Option<Self> {
        let found = [MALLOC, REALLOC, FREE].map(find);
        if found.contains(&null_mut()) {
            return None;
        }
        let [malloc, realloc, free] = found;
        // SAFETY: none is null, and functions of these names have these types in every version.
        unsafe {
            Some(Self {
                malloc: core::mem::transmute::<*mut c_void, Malloc>(malloc),
                realloc: core::mem::transmute::<*mut c_void, Realloc>(realloc),
                free: core::mem::transmute::<*mut c_void, Free>(free),
            })
        }
    }
}

/// Replaces the functions of the interpreter whose module contains `interpreter`. False: its calls do not go by their
/// names, or memory stays protected.
///
/// # Safety
///
/// As for [`hooks::install`].
pub unsafe fn install(functions: Functions, interpreter: *const c_void, producer: *mut Producer) -> bool {
    let context = null_mut();
    let original =
        Allocator { context, malloc: call_malloc, calloc: no_calloc, realloc: call_realloc, free: call_free };
    // SAFETY: nothing is replaced yet, so nothing reads either value.
    unsafe {
        REPLACED.set(Replaced { functions, producer });
        hooks::set_originals([original; 2]);
    }
    let replace = |name, original: usize, ours: usize| Replacement { name, original, ours, everywhere: true };
    // The C library has one function under two names; builds for large files refer to the first.
    [c"mmap64", c"mmap"].into_iter().any(|map_name: &CStr| {
        let in_module = |name: &'static CStr, ours: usize| Replacement {
            name,
            original: find(name).addr(),
            ours,
            everywhere: false,
        };
        let replacements = [
            replace(MALLOC, functions.malloc as usize, malloc as *const () as usize),
            replace(REALLOC, functions.realloc as usize, realloc as *const () as usize),
            replace(FREE, functions.free as usize, free as *const () as usize),
            in_module(map_name, map as *const () as usize),
            in_module(c"munmap", unmap as *const () as usize),
        ];
        // SAFETY: the process has one thread, which is here. The functions of ours have the same types as those whose
        // place they take, and do what these do.
        unsafe { interpose::replace(&replacements, interpreter) }
    })
}

#[inline(always)]
fn replaced() -> &'static Replaced {
    // SAFETY: the functions are replaced after the value was set, and that is never unset.
    unsafe { REPLACED.get().unwrap_unchecked() }
}

unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    let Replaced { functions, producer } = replaced();
    if NESTED.load(Relaxed) {
        // SAFETY: the arguments that the interpreter gave, to its own function; so below.
        return unsafe { (functions.malloc)(size) };
    }
    note_initialized(*producer);
    // SAFETY: the producer lives as long as the process; so below.
    unsafe { hooks::malloc::<OBJ>(producer.cast(), size) }
}

unsafe extern "C" fn realloc(old: *mut c_void, size: usize) -> *mut c_void {
    let Replaced { functions, producer } = replaced();
    // SAFETY: as in `malloc`.
    unsafe {
        if NESTED.load(Relaxed) {
            return (functions.realloc)(old, size);
        }
        hooks::realloc::<OBJ>(producer.cast(), old, size)
    }
}

unsafe extern "C" fn free(block: *mut c_void) {
    let Replaced { functions, producer } = replaced();
    // SAFETY: as in `malloc`.
    unsafe {
        if NESTED.load(Relaxed) {
            return (functions.free)(block);
        }
        hooks::free::<OBJ>(producer.cast(), block);
    }
}

unsafe extern "C" fn call_malloc(_: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: as in `malloc`.
    unsafe { (replaced().functions.malloc)(size) }
}

unsafe extern "C" fn call_realloc(_: *mut c_void, old: *mut c_void, size: usize) -> *mut c_void {
    NESTED.store(true, Relaxed);
    // SAFETY: as in `malloc`.
    let block = unsafe { (replaced().functions.realloc)(old, size) };
    NESTED.store(false, Relaxed);
    block
}

unsafe extern "C" fn call_free(_: *mut c_void, block: *mut c_void) {
    // SAFETY: as in `malloc`.
    unsafe { (replaced().functions.free)(block) }
}

/// These versions have none, so that nothing calls it.
unsafe extern "C" fn no_calloc(_: *mut c_void, _: usize, _: usize) -> *mut c_void {
    null_mut()
}

/// Notes that the functions are called by an interpreter that starts: then they are what it calls.
#[inline(always)]
fn note_initialized(producer: *mut Producer) {
    // SAFETY: the producer lives as long as the process.
    let producer = unsafe { &*producer };
    if !producer.is_initialized() && interpreter::recorded().is_some_and(Interpreter::is_initialized) {
        producer.set_initialized();
    }
}

unsafe extern "C" fn map(
    at: *mut c_void,
    size: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    // SAFETY: the arguments that the interpreter gave.
    let base = unsafe { sys::mmap(at, size, protection, flags, fd, offset) };
    // SAFETY: the producer lives as long as the process.
    let producer = unsafe { &*replaced().producer };
    let is_arena = size == ARENA_SIZE && flags == sys::MAP_PRIVATE | sys::MAP_ANONYMOUS;
    if is_arena && producer.is_recording() {
        if producer.is_inside() {
            // MAP_FAILED is the address −1.
            let base = if base.addr() == usize::MAX { 0 } else { base as u64 };
            producer.put_any(slot::ARENA_ACQUIRED, size as u64, base, None);
        } else {
            // Blocks are allocated past us.
            producer.refuse(REASON_DIRECT_CALLS);
        }
    }
    base
}

unsafe extern "C" fn unmap(at: *mut c_void, size: usize) -> c_int {
    // SAFETY: the producer lives as long as the process.
    let producer = unsafe { &*replaced().producer };
    if size == ARENA_SIZE && producer.is_recording() && producer.is_inside() {
        producer.put_any(slot::ARENA_RELEASED, size as u64, at as u64, None);
    }
    // SAFETY: the arguments that the interpreter gave.
    unsafe { sys::munmap(at, size) }
}
