//! Forked children: each takes a ring of its own, if every interpreter is recorded, and is counted otherwise.
//!
//! A child goes on with its parent's heap, so the parent's events until then are its past. Where they end is written into
//! the parent's ring, as a numbered event right before the fork; the child states that number. It takes its ring only
//! with its first event: most children that become other programs have none.
//!
//! Only forks by the C library's functions are noticed, since they call handlers. What is made otherwise passes
//! through unrecorded: see [`Producer`].

use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr, AtomicU32,
    Ordering::{Relaxed, Release},
};

use super::board::Board;
use super::header::{self, Header, REMEMBERED};
use super::interpreter::{self, Interpreter};
use super::producer::Producer;
use super::ring::{self, Ring};
use super::slot;

// Outside of the page that is wiped: a child still needs them.
static BOARD: AtomicPtr<Board> = AtomicPtr::new(null_mut());
/// The page of the producer.
static PRODUCER: AtomicPtr<Producer> = AtomicPtr::new(null_mut());
/// The ring of this process; in a child that has none yet, its parent's.
static RING: AtomicPtr<Header> = AtomicPtr::new(null_mut());
/// How often this process was forked so far.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// The number of the fork that made this child, or is about to make one; 0: that one cannot be recorded.
static FORK: AtomicU32 = AtomicU32::new(0);
/// 1 in a parent that was recorded, or counted, when it forked last, and so in its child until that has its first event.
static WAITS: AtomicU32 = AtomicU32::new(0);
/// 1 in a child that is not recorded, but was counted: so its own children are.
static COUNTED: AtomicU32 = AtomicU32::new(0);

/// Notes what children will need. Called once, by the constructor.
pub fn remember(board: &'static Board, ring: &Ring, producer: *mut Producer) {
    BOARD.store(core::ptr::from_ref(board).cast_mut(), Relaxed);
    RING.store(ring.header, Relaxed);
    PRODUCER.store(producer, Relaxed);
}

/// In the parent, right before the fork.
pub unsafe extern "C" fn before_fork() {
    // SAFETY: null, or the page that was mapped for good.
    let Some(producer) = (unsafe { PRODUCER.load(Relaxed).as_ref() }) else { return };
    // SAFETY: null, or mapped for good.
    let Some(board) = (unsafe { BOARD.load(Relaxed).as_ref() }) else { return };
    if producer.is_waiting() {
        // This child's own child goes on from the same fork.
        // SAFETY: null, or mapped until `join`.
        if let (fork @ 1.., Some(parent)) = (FORK.load(Relaxed), unsafe { RING.load(Relaxed).as_ref() }) {
            parent.shared[fork as usize % REMEMBERED].store(fork, Relaxed);
        }
        return;
    }
    let holds_lock = interpreter::recorded().is_some_and(Interpreter::holds_lock);
    // Without the interpreter's lock another thread may be in the middle of an event.
    let may_write = board.follows.load(Relaxed) != 0 && holds_lock && !producer.is_inside();
    let is_recorded = may_write && producer.is_recording();
    let fork = if is_recorded { FORKS.fetch_add(1, Relaxed).wrapping_add(1) } else { 0 };
    if is_recorded {
        producer.put(slot::pack(slot::FORK, 0, fork.into()));
    }
    FORK.store(fork, Relaxed);
    WAITS.store(u32::from(producer.is_recording()) | COUNTED.load(Relaxed), Relaxed);
}

/// In the child, right after the fork.
pub unsafe extern "C" fn after_fork_in_child() {
    let producer = PRODUCER.load(Relaxed);
    if producer.is_null() {
        return;
    }
    // SAFETY: the page is the child's own copy, the child has one thread, and zeroes are valid. (Where the kernel has
    // wiped it, it has them already.)
    unsafe {
        producer.write_bytes(0, 1);
        if WAITS.load(Relaxed) != 0 {
            (*producer).wait_for_event();
        }
    }
}

/// In a child, at its first event: takes a ring. False if it is not recorded, now and for good.
pub fn join(producer: &Producer) -> bool {
    WAITS.store(0, Relaxed);
    let fork = FORK.load(Relaxed);
    // SAFETY: null, or mapped for good.
    let (board, parent) = unsafe { (BOARD.load(Relaxed).as_ref(), RING.load(Relaxed).as_ref()) };
    let (Some(board), Some(parent)) = (board, parent) else {
        producer.stop();
        return false;
    };
    let ring = if fork == 0 || board.follows.load(Relaxed) == 0 { None } else { ring::take(board) };
    let Some(ring) = ring else {
        producer.stop();
        ring::pass_by(board);
        COUNTED.store(1, Relaxed);
        return false;
    };
    let header = ring.header();
    for (from, to) in [
        (&parent.version[..], &header.version[..]),
        (&parent.executable[..], &header.executable[..]),
        (&parent.library[..], &header.library[..]),
    ] {
        for (from, to) in from.iter().zip(to) {
            to.store(from.load(Relaxed), Relaxed);
        }
    }
    header.forked_from.store(parent.number.load(Relaxed), Relaxed);
    header.fork.store(fork, Relaxed);
    header.flags.store(parent.flags.load(Relaxed) & header::FLAG_STATISTICS, Relaxed);
    FORKS.store(0, Relaxed);
    let old = RING.swap(ring.header, Relaxed);
    // SAFETY: the ring is mapped for good, up to the next fork; the producer waits, and this is its only thread that
    // has the interpreter's lock.
    unsafe { producer.attach(ring.header, ring.slots, ring.capacity) };
    if interpreter::recorded().is_some_and(Interpreter::is_initialized) {
        producer.set_initialized();
    }
    header.state.store(header::STATE_RECORDING, Release);
    // SAFETY: mapped with this capacity, by this process' parent; what referred to it has just been replaced.
    unsafe { ring::unmap(old, 1 << parent.slots_log2.load(Relaxed)) };
    true
}

/// In a process that is about to become another program: tells the reader not to wait for its first event.
pub fn is_replaced() {
    let fork = FORK.load(Relaxed);
    // SAFETY: null, or mapped until `join`.
    if let (1, 1.., Some(parent)) = (WAITS.load(Relaxed), fork, unsafe { RING.load(Relaxed).as_ref() })
        // In the parent itself (also while a child borrows its memory, after `vfork`) the recording goes on.
        // SAFETY: null, or the page that was mapped for good.
        && unsafe { PRODUCER.load(Relaxed).as_ref() }.is_some_and(Producer::is_waiting)
    {
        parent.replaced[fork as usize % REMEMBERED].store(fork, Relaxed);
    }
}
