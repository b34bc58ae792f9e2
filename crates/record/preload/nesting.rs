//! Which deallocation happens inside which, seen from the machine's stack.
//!
//! The tracer is called by `_Py_Dealloc`, or where a compiler has put that function's text into another one. What
//! follows is the call of the type's own function, or a jump to it. While that runs, its return address stands on the
//! stack, at a place that is known, as is the address ([`Return`]). So the deallocation is over when that place
//! is no longer below what is in use, or holds something else.
//!
//! A word that lies in an unused gap of a later frame may survive: then a deallocation seems to last a little
//! longer than it did.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::counts;
use super::methods;
use super::objects;
use super::producer::Producer;
use super::returns::{self, Return};
use super::slot;

/// As many as fit into a stack of 8 MiB, each of them in 128 bytes.
const DEEPEST: usize = 1 << 16;
/// Of how many calls it is remembered where what follows returns to.
const CALLS: usize = 1 << 10;

/// A deallocation that is going on.
struct Open {
    object: AtomicUsize,
    /// Where on the stack the return address lies.
    place: AtomicUsize,
    returns: AtomicUsize,
    /// Whose stack it is.
    thread: AtomicUsize,
}

static OPEN: [Open; DEEPEST] = [const {
    Open {
        object: AtomicUsize::new(0),
        place: AtomicUsize::new(0),
        returns: AtomicUsize::new(0),
        thread: AtomicUsize::new(0),
    }
}; DEEPEST];

/// A call of the tracer, by what it returns to, and what follows: an address, or a distance and [`JUMPS`], or 0.
struct Call {
    address: AtomicUsize,
    follows: AtomicUsize,
}

/// No code of a program has an address this large.
const JUMPS: usize = 1 << 63;

static CALLED: [Call; CALLS] =
    [const { Call { address: AtomicUsize::new(0), follows: AtomicUsize::new(0) } }; CALLS];

/// The interpreter's code: from, to.
static CODE: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .text",
    ".hidden vivarium_trace",
    ".globl vivarium_trace",
    "vivarium_trace:",
    "mov rcx, rsp",
    "jmp {trace}",
    ".popsection",
    trace = sym objects::trace,
);

#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    fn vivarium_trace(object: *mut c_void, event: c_int, data: *mut c_void) -> c_int;
}

/// What the interpreter is to call: passes [`objects::trace`] where the stack was.
#[cfg(target_arch = "x86_64")]
pub fn entry() -> unsafe extern "C" fn(*mut c_void, c_int, *mut c_void) -> c_int {
    vivarium_trace
}

/// Return addresses are not kept on the stack alone there.
#[cfg(not(target_arch = "x86_64"))]
pub fn entry() -> unsafe extern "C" fn(*mut c_void, c_int, *mut c_void) -> c_int {
    unsafe extern "C" fn nothing(_: *mut c_void, _: c_int, _: *mut c_void) -> c_int {
        0
    }
    nothing
}

/// Gets ready. False where this cannot work. `symbol` is in the interpreter's code.
pub fn begin(symbol: *const c_void) -> bool {
    let Some((start, end)) = methods::code_around(symbol) else { return false };
    CODE[0].store(start, Relaxed);
    CODE[1].store(end, Relaxed);
    cfg!(target_arch = "x86_64")
}

/// Whether this is in the interpreter's code.
pub fn is_code(address: usize) -> bool {
    (CODE[0].load(Relaxed)..CODE[1].load(Relaxed)).contains(&address)
}

/// The thread that is running, in a number of its own.
#[inline(always)]
pub fn thread() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        let thread: usize;
        // SAFETY: the first word of a thread's control block is its own address, by the platform's ABI.
        unsafe {
            core::arch::asm!("mov {}, fs:0", out(reg) thread, options(nostack, readonly, preserves_flags));
        }
        thread
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// An address on the stack, below all that the callers have there.
#[inline(always)]
fn below() -> usize {
    let here = 0_u8;
    core::ptr::from_ref(&here).addr()
}

/// A word of the stack, which is not ours.
#[inline(always)]
fn word(address: usize) -> *const usize {
    core::ptr::with_exposed_provenance(address)
}

/// Notes which deallocations are over, or which thread runs. Called before anything is recorded.
#[inline(always)]
pub fn settle(producer: &Producer) {
    if producer.follows_counts() {
        return counts::attend(producer);
    }
    if producer.open.load(Relaxed) != 0 {
        close(producer, below(), thread());
    }
}

#[inline(never)]
fn close(producer: &Producer, stack: usize, thread: usize) {
    let mut depth = producer.open.load(Relaxed);
    while let Some(open) = depth.checked_sub(1).and_then(|top| OPEN.get(top)) {
        let place = open.place.load(Relaxed);
        // Another thread's stack tells nothing, and may be gone.
        if open.thread.load(Relaxed) != thread {
            break;
        }
        // SAFETY: the word is on this thread's stack and above what is in use: no frame below has given it back.
        let lasts = place > stack && unsafe { word(place).read_volatile() } == open.returns.load(Relaxed);
        if lasts {
            break;
        }
        depth -= 1;
        producer.open.store(depth, Relaxed);
        objects::put(producer, slot::OBJECT_ENDED, open.object.load(Relaxed));
    }
}

/// A deallocation begins. `stack` is where the tracer's return address lies.
///
/// # Safety
///
/// The tracer was called just now, so that its caller's frame is there.
pub unsafe fn enter(producer: &Producer, object: *mut c_void, stack: usize) {
    // SAFETY: the caller's promise.
    let (place, returns) = match follows(unsafe { word(stack).read() }) {
        // The stack pointer is above the tracer's return address.
        Return::To(address) => (stack, address),
        Return::Above(bytes) => {
            let place = stack + size_of::<usize>() + bytes;
            // SAFETY: the caller's frame ends there.
            (place, unsafe { word(place).read() })
        }
        Return::Nowhere => {
            close(producer, stack, thread());
            return objects::put(producer, slot::OBJECT_UNNESTED, 0);
        }
    };
    let thread = thread();
    // One that began at the same place or below it is over.
    close(producer, place, thread);
    let depth = producer.open.load(Relaxed);
    let Some(open) = OPEN.get(depth) else { return objects::put(producer, slot::OBJECT_UNNESTED, 0) };
    open.object.store(object.addr(), Relaxed);
    open.place.store(place, Relaxed);
    open.returns.store(returns, Relaxed);
    open.thread.store(thread, Relaxed);
    producer.open.store(depth + 1, Relaxed);
}

/// What follows a call of the tracer that returns to `address`.
#[inline(always)]
fn follows(address: usize) -> Return {
    let call = &CALLED[(address ^ address >> 10) % CALLS];
    if call.address.load(Relaxed) != address {
        look(call, address);
    }
    match call.follows.load(Relaxed) {
        0 => Return::Nowhere,
        jump if jump & JUMPS != 0 => Return::Above(jump & !JUMPS),
        address => Return::To(address),
    }
}

#[cold]
fn look(call: &Call, address: usize) {
    let code = CODE[0].load(Relaxed)..CODE[1].load(Relaxed);
    // SAFETY: the loader put the interpreter's code there.
    let follows = unsafe { returns::behind(address, &code) };
    let follows = match follows {
        Return::To(address) => address,
        Return::Above(bytes) => bytes | JUMPS,
        Return::Nowhere => 0,
    };
    call.address.store(address, Relaxed);
    call.follows.store(follows, Relaxed);
}
