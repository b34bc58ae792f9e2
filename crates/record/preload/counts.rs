//! Every change of every reference count, from an interpreter that was built to report them (`cargo xtask python`).
//!
//! Such an interpreter has a variable that holds nothing, or the function that it then calls: with what happened, to
//! which object, and a number. What the reports are is said where those interpreters are built; here they become events of
//! the ring. Beside them it is told which thread they come from, whenever that changes: deaths of one thread may be
//! going on while another has others. So is which interpreter runs, if there are several: each keeps memory of dead objects for
//! its own. That is told in front of what it matters for, births, deaths and calls of an allocator.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::collections;
use super::finalizers;
use super::interpreter::{self, Interpreter, find};
use super::layout::Object;
use super::nesting::{self, thread};
use super::objects::{self, put};
use super::producer::Producer;
use super::slot;
use super::survivors;

/// What the interpreter calls.
type Hook = unsafe extern "C" fn(u32, *mut c_void, isize);

/// The version of the reports that is known here.
const VERSION: u32 = 1;

/// The last of the reports that are of nothing but a count.
const SET: u32 = 3;
const BORN: u32 = 4;
const DEALLOC: u32 = 5;
const FINALIZED: u32 = 10;
const COLLECTION: u32 = 13;
const COLLECTED: u32 = 14;
const FINALIZERS_RUN: u32 = 15;

/// What an event says, by report; 0 where the report is not passed on, or not as it is.
const EVENTS: [u64; 20] = [
    0,
    slot::COUNT_UP,
    slot::COUNT_DOWN,
    slot::COUNT_SET,
    0,
    0,
    slot::OBJECT_ENDED,
    slot::DEPOSITED,
    slot::TAKEN_UP,
    slot::FINALIZER,
    slot::FINALIZED,
    slot::CALLBACK,
    slot::CALLED_BACK,
    slot::COLLECTION,
    slot::COLLECTED,
    0,
    slot::CLEARING,
    slot::CLEARED,
    0,
    slot::RESIZED,
];

static PRODUCER: AtomicPtr<Producer> = AtomicPtr::new(null_mut());
/// Whose the last event was.
static THREAD: AtomicUsize = AtomicUsize::new(0);
/// The interpreter that was there first, once there is one; and the number of the one that ran at the last event.
static FIRST: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static RUNNING: AtomicU64 = AtomicU64::new(0);

/// Whether this interpreter reports changes of counts, in the way that is known here.
pub fn is_told() -> bool {
    let version = find(c"_Vivarium_Version").cast::<AtomicU32>();
    // SAFETY: null, or a constant of this type.
    unsafe { version.as_ref() }.is_some_and(|version| version.load(Relaxed) == VERSION)
        && !find(c"_Vivarium_Hook").is_null()
}

/// Begins to record changes of counts, and what goes with them. False if this interpreter does not report them.
///
/// # Safety
///
/// Called once, before the process has a second thread, in a process that contains an interpreter. `producer` lives as
/// long as the process.
pub unsafe fn install(version: &[u8], producer: *mut Producer) -> bool {
    if !is_told() || !objects::know(version) {
        return false;
    }
    PRODUCER.store(producer, Relaxed);
    if !nesting::begin(find(c"PyObject_Free"), false) {
        return false;
    }
    let hook = find(c"_Vivarium_Hook").cast::<Hook>();
    // SAFETY: the variable of this name has this type, and nobody has read it yet. The function lives as long as this
    // library, which is never unloaded.
    unsafe { hook.write(report) };
    true
}

/// What the interpreter reports.
unsafe extern "C" fn report(what: u32, object: *mut c_void, value: isize) {
    // SAFETY: null, or the page that was mapped for good.
    let Some(producer) = (unsafe { PRODUCER.load(Relaxed).as_ref() }) else { return };
    if !producer.follows_counts() {
        return;
    }
    attend_thread(producer);
    if what > SET {
        attend_interpreter(producer);
    }
    match what {
        // SAFETY: the interpreter passes an object that is alive, with its type set.
        BORN => unsafe { objects::born(producer, object) },
        // SAFETY: as above; its dealloc has not begun.
        DEALLOC => unsafe {
            survivors::dies(producer, Object(object));
            finalizers::dies(object);
            objects::begins_to_die(producer, object, slot::OBJECT_DIES);
        },
        // SAFETY: it is the collector that says so.
        FINALIZERS_RUN => unsafe { collections::have_finalizers_run(producer) },
        what => {
            let event = EVENTS.get(what as usize).copied().unwrap_or(0);
            if event == 0 {
                return;
            }
            if value != 0 {
                put(producer, slot::VALUE, value.unsigned_abs());
            }
            put(producer, event, object.addr());
            match what {
                COLLECTION => collections::has_begun(producer, value.unsigned_abs()),
                COLLECTED => collections::has_ended(producer),
                FINALIZED if value != 0 => collections::has_finalized(producer, object),
                _ => {}
            }
            if what == FINALIZED && value == 0 {
                // SAFETY: as above; its finalizer has run and left it whole.
                unsafe { objects::begins_to_die(producer, object, slot::OBJECT_GOES_ON) };
            }
        }
    }
}

/// Tells which thread is running, and which interpreter, if another one was before. Called before an allocator's call is recorded.
#[inline(always)]
pub fn attend(producer: &Producer) {
    attend_thread(producer);
    attend_interpreter(producer);
}

#[inline(always)]
fn attend_thread(producer: &Producer) {
    let thread = thread();
    if THREAD.load(Relaxed) != thread {
        THREAD.store(thread, Relaxed);
        put(producer, slot::THREAD, thread);
    }
}

#[inline(always)]
fn attend_interpreter(producer: &Producer) {
    // There is no second one before it is the newest, and none but the first runs where that is the only one.
    if let Some(it) = interpreter::recorded()
        && let Some(newest) = it.first()
        && (newest != FIRST.load(Relaxed) || RUNNING.load(Relaxed) != 0)
    {
        tell_interpreter(producer, it, newest);
    }
}

#[cold]
#[inline(never)]
fn tell_interpreter(producer: &Producer, it: &Interpreter, newest: *mut c_void) {
    if FIRST.load(Relaxed).is_null() {
        FIRST.store(newest, Relaxed);
    }
    // SAFETY: the interpreter's lock is held where it reports anything, and where it calls an allocator.
    if let Some(number) = unsafe { it.running_number() }
        && RUNNING.swap(number, Relaxed) != number
    {
        put(producer, slot::INTERPRETER, usize::try_from(number).unwrap_or(usize::MAX));
    }
}

/// Is the hook still ours?
pub fn is_installed() -> bool {
    let hook = find(c"_Vivarium_Hook").cast::<AtomicUsize>();
    // SAFETY: null, or a variable that holds a pointer.
    unsafe { hook.as_ref() }.is_none_or(|hook| hook.load(Relaxed) == report as *const c_void as usize)
}
