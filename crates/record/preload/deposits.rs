//! Deaths that are put off, from CPython 3.14 on.
//!
//! Where little of the machine's stack is left, an object that the collector knows is not deallocated but deposited, and
//! nobody is told. When there is more of the stack again its deallocation is told as any other (in 3.14.10 and 3.15.2; the
//! first patches of 3.14 are read not to tell of that either). What is deposited is a chain: the state of the thread has the object that came last, whose collector's header has the one before. Whenever
//! something is recorded inside of a deallocation the chain is looked at, and what is new in it is told.

use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use super::interpreter::find;
use super::nesting::{is_code, word};
use super::objects::put;
use super::producer::Producer;
use super::slot;

/// `PyThreadState_GetUnchecked`.
type CurrentState = extern "C" fn() -> *mut c_void;

/// Where a `PyThreadState` has the chain, by the interpreter's minor version: its layout is part of a version's ABI.
const CHAIN: [(u32, usize); 2] = [(14, 168), (15, 192)];
/// How far in front of an object the word of its collector's header lies that leads to the next of the chain, and what that
/// holds beside: whether the collector followed the object.
const LINK: usize = 16;
const WAS_TRACKED: usize = 1;
/// As many bytes as the code is long that deals with the chain, about.
const LENGTH: usize = 192;

static CURRENT: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());
static OFFSET: AtomicUsize = AtomicUsize::new(0);
/// The code that deals with the chain: from here on, [`LENGTH`] bytes.
static DESTROY: AtomicUsize = AtomicUsize::new(0);
/// The thread whose chain was looked at last, what was deposited there last, and what before that.
static STATE: AtomicUsize = AtomicUsize::new(0);
static LAST: AtomicUsize = AtomicUsize::new(0);
static BEFORE: AtomicUsize = AtomicUsize::new(0);

/// Gets ready, if this version puts deaths off without telling. False if it is not known how.
///
/// Called when it is known where the interpreter's code is.
pub fn begin(minor: u32) -> bool {
    if minor < 14 {
        return true;
    }
    let [current, destroy] = [c"PyThreadState_GetUnchecked", c"_PyTrash_thread_destroy_chain"].map(find);
    let Some((_, offset)) = CHAIN.iter().find(|(of, _)| *of == minor) else { return false };
    if current.is_null() || !is_code(destroy.addr()) || !is_code(destroy.addr() + LENGTH) {
        return false;
    }
    // SAFETY: this is code, which can be read.
    let code: [u8; LENGTH] = unsafe { destroy.cast::<[u8; LENGTH]>().read_unaligned() };
    // It says where the chain is.
    let says_so = |bytes: &[u8]| bytes == u32::try_from(*offset).unwrap_or(0).to_le_bytes();
    if !code.windows(size_of::<u32>()).any(says_so) {
        return false;
    }
    OFFSET.store(*offset, Relaxed);
    DESTROY.store(destroy.addr(), Relaxed);
    CURRENT.store(current, Relaxed);
    true
}

/// Whether what returns here was called to deal with the chain.
pub fn is_taking(returns: usize) -> bool {
    let destroy = DESTROY.load(Relaxed);
    destroy != 0 && returns.wrapping_sub(destroy) < LENGTH
}

/// Tells what was deposited since this was called before. `taken` is what was taken out of the chain just now, or 0.
///
/// The interpreter's lock is held.
#[inline(always)]
pub fn look(producer: &Producer, taken: usize) {
    let current = CURRENT.load(Relaxed);
    if current.is_null() {
        return;
    }
    // SAFETY: the function of this name has this type, and may be called at any time.
    let state = unsafe { core::mem::transmute::<*mut c_void, CurrentState>(current)() };
    if state.is_null() {
        return;
    }
    // SAFETY: a thread's state has this there.
    let head = unsafe { state.byte_add(OFFSET.load(Relaxed)).cast::<usize>().read() };
    if taken != 0 || head != LAST.load(Relaxed) || state.addr() != STATE.load(Relaxed) {
        tell(producer, state.addr(), head, taken);
    }
}

#[cold]
fn tell(producer: &Producer, state: usize, head: usize, taken: usize) {
    // Of another thread's it is not remembered what was told: whoever hears it twice notices.
    let is_same = STATE.swap(state, Relaxed) == state;
    // SAFETY: what is in the chain lives, with the collector's header in front of it.
    let next = |object: usize| unsafe { word(object - LINK).read() } & !WAS_TRACKED;
    let last = LAST.swap(head, Relaxed);
    let before = BEFORE.swap(if head == 0 { 0 } else { next(head) }, Relaxed);
    // The last one may have been taken out, in versions that do not tell of that.
    if is_same && taken == 0 && head == before {
        return;
    }
    let known = if is_same { last } else { 0 };
    if taken != 0 {
        if taken == known {
            return;
        }
        put(producer, slot::DEPOSITED, taken);
    }
    let mut at = head;
    while at != 0 && at != known {
        put(producer, slot::DEPOSITED, at);
        at = next(at);
    }
}
