//! The hook on the arena allocator.
//!
//! From CPython 3.11 on it is also asked for the interpreter's own stack chunks, which are no arenas. What is asked
//! for from within a block allocator is an arena; anything else is a chunk, or tells that blocks are allocated past
//! our hooks.

use core::ffi::c_void;

use super::header::{FLAG_HOOKS_LOST, FLAG_SEVERAL_INTERPRETERS};
use super::hooks::{self, Once};
use super::interpreter;
use super::producer::Producer;
use super::slot;

/// `PyObjectArenaAllocator`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ArenaAllocator {
    pub context: *mut c_void,
    pub alloc: unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void,
    pub free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
}

/// `PyObject_GetArenaAllocator` and `PyObject_SetArenaAllocator`.
pub type Exchange = unsafe extern "C" fn(*mut ArenaAllocator);

static ORIGINAL: Once<ArenaAllocator> = Once::new();

/// Sizes of an arena in any version so far, in bytes.
const ARENA_SIZES: [usize; 3] = [256 << 10, 1 << 20, 2 << 20];

/// Puts the hook in.
///
/// # Safety
///
/// As for [`hooks::install`].
pub unsafe fn install(get: Exchange, set: Exchange, producer: *mut Producer) {
    let mut allocator = ArenaAllocator { context: producer.cast(), alloc, free };
    let mut original = allocator;
    // SAFETY: both functions copy a structure; ours live as long as the process and forward to the original, which
    // is stored before anything can call them.
    unsafe {
        get(&raw mut original);
        ORIGINAL.set(original);
        set(&raw mut allocator);
    }
}

fn original() -> &'static ArenaAllocator {
    // SAFETY: the hook is installed after the original was set, and that is never unset.
    unsafe { ORIGINAL.get().unwrap_unchecked() }
}

unsafe extern "C" fn alloc(context: *mut c_void, size: usize) -> *mut c_void {
    let original = original();
    // SAFETY: the arguments that the interpreter gave, to the allocator that it gave.
    let base = unsafe { (original.alloc)(original.context, size) };
    // SAFETY: the interpreter passes the context that it was given, a producer that lives as long as the process.
    let producer = unsafe { &*context.cast::<Producer>() };
    if producer.is_recording() {
        if producer.is_inside() {
            write(producer, slot::ARENA_ACQUIRED, base, size);
            // From 3.12 on interpreters may have pools of their own, and these begin with an arena.
            // SAFETY: the interpreter's own functions; its lock is held in a block allocator.
            if interpreter::recorded().is_some_and(|interpreter| unsafe { interpreter.is_one_of_several() }) {
                producer.raise(FLAG_SEVERAL_INTERPRETERS);
            }
        } else if ARENA_SIZES.contains(&size) {
            look_for_hooks(producer, context.cast());
        }
    }
    base
}

unsafe extern "C" fn free(context: *mut c_void, base: *mut c_void, size: usize) {
    // SAFETY: as in `alloc`.
    let producer = unsafe { &*context.cast::<Producer>() };
    if producer.is_recording() && producer.is_inside() {
        write(producer, slot::ARENA_RELEASED, base, size);
    }
    let original = original();
    // SAFETY: as in `alloc`.
    unsafe { (original.free)(original.context, base, size) }
}

fn write(producer: &Producer, op: u8, base: *mut c_void, size: usize) {
    producer.put_any(op, size as u64, base as u64, None);
}

/// Something of an arena's size was asked for from outside of the hooks. If the hooks are where they were, it is a
/// large stack chunk.
#[cold]
fn look_for_hooks(producer: &Producer, installed: *mut Producer) {
    let Some(interface) = hooks::interface() else { return };
    // SAFETY: the functions are the interpreter's own. The lock that they take in newer versions is not held here:
    // it protects the exchange of allocators, not their use.
    if !unsafe { hooks::are_outermost(interface, installed) } {
        producer.raise(FLAG_HOOKS_LOST);
    }
}
