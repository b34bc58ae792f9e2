//! Which deallocation happens inside which, seen from the machine's stack.
//!
//! The tracer is called by `_Py_Dealloc`, or where a compiler has put that function's text into another one. What
//! follows is the call of the type's own function, or a jump to it. While that runs, its return address stands on the
//! stack, at a place that is known, as is the address ([`Return`]). So the deallocation is over when that place
//! is no longer below what is in use, or holds something else.
//!
//! A word that lies in an unused gap of a later frame may survive: then a deallocation seems to last a little
//! longer than it did. From 3.14 on `_Py_Dealloc` measures the stack by the address of its frame, and so has one, of which
//! the tracer gets to know: then the address that this frame returns to is watched, too, which whatever its caller calls
//! next writes over.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::counts;
use super::deposits;
use super::layout::Object;
use super::methods;
use super::objects;
use super::producer::Producer;
use super::returns::{self, Return};
use super::slot;

/// As many as fit into a stack of 8 MiB, each of them in 64 bytes.
const DEEPEST: usize = 1 << 17;
/// Of how many calls it is remembered where what follows returns to.
const CALLS: usize = 1 << 10;

/// A deallocation that is going on.
struct Open {
    object: AtomicUsize,
    /// Where the memory begins that the object is in: when that is released, the deallocation is over.
    block: AtomicUsize,
    /// Where on the stack the return address lies.
    place: AtomicUsize,
    returns: AtomicUsize,
    /// Where on the stack the return address of the frame lies that the tracer was called from, or 0 if that is not known.
    frame: AtomicUsize,
    frame_returns: AtomicUsize,
    /// Whose stack it is.
    thread: AtomicUsize,
}

static OPEN: [Open; DEEPEST] = [const {
    Open {
        object: AtomicUsize::new(0),
        block: AtomicUsize::new(0),
        place: AtomicUsize::new(0),
        returns: AtomicUsize::new(0),
        frame: AtomicUsize::new(0),
        frame_returns: AtomicUsize::new(0),
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

/// Whether the tracer is called from functions that have a frame which the frame pointer shows: from CPython 3.14 on.
static HAS_FRAMES: AtomicBool = AtomicBool::new(false);
/// How large a frame may be, in bytes: what is farther away is none of the function that calls the tracer.
const LARGEST: usize = 1 << 13;

/// The interpreter's code: from, to.
static CODE: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .text",
    ".hidden vivarium_trace",
    ".globl vivarium_trace",
    "vivarium_trace:",
    "mov rcx, rsp",
    "mov r8, rbp",
    "jmp {trace}",
    ".popsection",
    trace = sym objects::trace,
);

#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    fn vivarium_trace(object: *mut c_void, event: c_int, data: *mut c_void) -> c_int;
}

/// What the interpreter is to call: passes [`objects::trace`] where the stack was, and the frame.
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

/// Gets ready. False where this cannot work. `symbol` is in the interpreter's code; `has_frames` says whether its deallocations
/// have frames.
pub fn begin(symbol: *const c_void, has_frames: bool) -> bool {
    HAS_FRAMES.store(has_frames, Relaxed);
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

/// A word of the interpreter's, which is not ours.
#[inline(always)]
pub fn word(address: usize) -> *const usize {
    core::ptr::with_exposed_provenance(address)
}

/// Notes which deallocations are over, or which thread runs. Called before anything is recorded.
#[inline(always)]
pub fn settle(producer: &Producer) {
    if producer.follows_counts() {
        return counts::attend(producer);
    }
    if producer.open.load(Relaxed) != 0 {
        deposits::look(producer, 0);
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
        let frame = open.frame.load(Relaxed);
        // SAFETY: the words are on this thread's stack and above what is in use: no frame below has given them back.
        let lasts = place > stack
            && unsafe { word(place).read_volatile() } == open.returns.load(Relaxed)
            && (frame == 0 || unsafe { word(frame).read_volatile() } == open.frame_returns.load(Relaxed));
        if lasts {
            break;
        }
        depth -= 1;
        producer.open.store(depth, Relaxed);
        objects::put(producer, slot::OBJECT_ENDED, open.object.load(Relaxed));
    }
}

/// A block is about to be released, which ends the deallocation of the object in it: nothing else has to tell that.
#[inline(always)]
pub fn release(producer: &Producer, block: usize) {
    let depth = producer.open.load(Relaxed);
    if let Some(open) = depth.checked_sub(1).and_then(|top| OPEN.get(top))
        && open.block.load(Relaxed) == block
    {
        producer.open.store(depth - 1, Relaxed);
    }
}

/// The deallocation of an object begins, which lies `offset` bytes behind the beginning of its memory. `stack` is where the
/// tracer's return address lies, `frame` what the frame pointer was.
///
/// # Safety
///
/// The tracer was called just now, so that its caller's frame is there.
pub unsafe fn enter(producer: &Producer, object: Object, offset: usize, stack: usize, frame: usize) {
    // SAFETY: the caller's promise.
    let follows = follows(unsafe { word(stack).read() });
    let is_taken = matches!(follows, Return::To(address) if deposits::is_taking(address));
    deposits::look(producer, if is_taken { object.0.addr() } else { 0 });
    let (place, returns) = match follows {
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
    open.object.store(object.0.addr(), Relaxed);
    open.block.store(object.0.addr().wrapping_sub(offset), Relaxed);
    open.place.store(place, Relaxed);
    open.returns.store(returns, Relaxed);
    // A register that is used for something else does not point into the caller's frame.
    let above = frame.wrapping_add(size_of::<usize>());
    let is_near = above > place && above - place < LARGEST && above.is_multiple_of(size_of::<usize>());
    let has_frame = HAS_FRAMES.load(Relaxed) && is_near;
    // SAFETY: the word is on the stack: the callers of whoever called the tracer have more than that.
    let returns = if has_frame { unsafe { word(above).read() } } else { 0 };
    open.frame.store(if is_code(returns) { above } else { 0 }, Relaxed);
    open.frame_returns.store(returns, Relaxed);
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
