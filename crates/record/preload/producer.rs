//! The writing side of the ring.
//!
//! A [`Producer`] is the hot state of the recorder: it lives alone in a page that the kernel wipes in forked
//! children, and all zeroes means "not recording". So a child, however it was made, passes straight through, unless
//! the C library made it, and it then [joins](super::family) with a ring of its own.
//!
//! One word says whether it is recording: `limit`, null if not. Once null it stays so: only [`Producer::attach`]
//! makes a limit out of nothing, and the slow path exchanges the one that it has seen for another. `next` never
//! leaves the ring, whatever happens.
//!
//! Events are written under the interpreter's global lock, by one thread at a time. The fields are atomic all the
//! same, relaxed, which costs nothing: code that breaks the rule (two interpreters with a lock each) spoils the
//! recording, which is then stopped and reported, but is no data race here, never writes outside of the ring, and
//! never waits for a reader that cannot help.

use core::ptr::{null_mut, without_provenance_mut};
use core::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
    compiler_fence, fence,
};

use super::header::{self, Header};
use super::slot;
use super::{family, reader, sys};

/// How long the program sleeps on a full ring before it looks after the reader, in milliseconds.
const PATIENCE: i64 = 50;

/// What `next` and `limit` are while a forked child waits for its first event: no slot is left of that limit, and
/// this `next` is left of none.
const WAITING: (usize, usize) = (usize::MAX, 1);

/// Births and deaths of objects are recorded.
pub const OBJECTS: u32 = 1;
/// So are changes of counts.
pub const COUNTS: u32 = 2;

/// The state of the writing side.
#[repr(C)]
pub struct Producer {
    /// Where the next slot goes: inside of the ring or at its end, also when recording has stopped. Null in a wiped
    /// page.
    next: AtomicPtr<AtomicU64>,
    /// Where the slow path begins: the end of the quarter, of the ring, or of the room in it. Null while nothing is
    /// recorded, so that every slot takes the slow path, which does nothing then.
    limit: AtomicPtr<AtomicU64>,
    /// The phase bit of the current lap.
    phase: AtomicU64,
    /// 1 while a block allocator is called from a hook: what the arena hook sees then is its arena.
    inside: AtomicU32,
    /// 1 while a thread is in the slow path.
    turning: AtomicU32,
    /// 1 once a hook was called in an initialised interpreter.
    initialized: AtomicU32,
    /// [`OBJECTS`] if births and deaths of objects are recorded, [`COUNTS`] if changes of counts are, too.
    tier: AtomicU32,
    /// 1 if collections are recorded, whatever else is.
    collections: AtomicU32,
    /// How many deallocations are going on.
    pub open: AtomicUsize,
    slots: AtomicPtr<AtomicU64>,
    capacity: AtomicUsize,
    /// Slots of all finished laps.
    base: AtomicU64,
    header: AtomicPtr<Header>,
}

impl Producer {
    /// In a forked child: takes a ring when the first event comes. Until then there is nothing to be recorded, and there
    /// never will be if the child becomes another program.
    pub fn wait_for_event(&self) {
        self.next.store(without_provenance_mut(WAITING.0), Relaxed);
        self.limit.store(without_provenance_mut(WAITING.1), Relaxed);
    }

    /// Is this a forked child that had no event yet?
    pub fn is_waiting(&self) -> bool {
        self.limit.load(Relaxed).addr() == WAITING.1
    }

    /// A producer that is not recording, as it also looks in a forked child.
    #[cfg(test)]
    pub fn detached() -> Self {
        // SAFETY: every field is an atomic integer or pointer, for which zero is valid.
        unsafe { core::mem::zeroed() }
    }

    /// Starts recording into an empty ring.
    ///
    /// # Safety
    ///
    /// `slots` points to `capacity` zeroed slots; these and the header stay mapped as long as this producer is used.
    /// `capacity` is a power of two of at least 8. The producer is detached or [waits](Self::wait_for_event), and no other
    /// thread uses it yet.
    pub unsafe fn attach(&self, header: *mut Header, slots: *mut AtomicU64, capacity: usize) {
        self.header.store(header, Relaxed);
        self.slots.store(slots, Relaxed);
        self.capacity.store(capacity, Relaxed);
        self.base.store(0, Relaxed);
        self.phase.store(slot::phase_of_lap(0), Relaxed);
        self.next.store(slots, Relaxed);
        self.limit.store(slots.wrapping_add(capacity / 4), Relaxed);
    }

    /// Is this process being recorded?
    #[inline(always)]
    pub fn is_recording(&self) -> bool {
        !self.limit.load(Relaxed).is_null()
    }

    /// Stops recording for good. A thread that is inside of [`Self::put`] may still write the one slot that it is at.
    pub fn stop(&self) {
        self.limit.store(null_mut(), Relaxed);
        if let Some(header) = self.header() {
            header.state.store(header::STATE_FINISHED, Release);
            fence(SeqCst);
            wake_consumer(header);
        }
    }

    /// Stops recording for good: what was recorded is not what the program did.
    #[cold]
    pub fn refuse(&self, reason: u32) {
        self.limit.store(null_mut(), Relaxed);
        if let Some(header) = self.header() {
            header.reason.store(reason, Relaxed);
            header.state.store(header::STATE_REFUSED, Release);
            fence(SeqCst);
            wake_consumer(header);
        }
    }

    /// The shared header; none in a forked child.
    pub fn header(&self) -> Option<&Header> {
        // SAFETY: null, or what `attach` was given, which stays mapped; all fields are atomic.
        unsafe { self.header.load(Relaxed).as_ref() }
    }

    /// Adds flags for the reader to see.
    #[cold]
    pub fn raise(&self, flags: u32) {
        if let Some(header) = self.header() {
            header.flags.fetch_or(flags, Relaxed);
        }
    }

    /// Has [`Self::set_initialized`] been called?
    #[inline(always)]
    pub fn is_initialized(&self) -> bool {
        self.initialized.load(Relaxed) != 0
    }

    /// Notes that the hooks outlived the interpreter's start.
    pub fn set_initialized(&self) {
        self.initialized.store(1, Relaxed);
        self.raise(header::FLAG_INITIALIZED);
    }

    /// Are births and deaths of objects recorded, by what the tracer tells?
    #[inline(always)]
    pub fn records_objects(&self) -> bool {
        self.tier.load(Relaxed) == OBJECTS
    }

    /// Are changes of counts recorded?
    #[inline(always)]
    pub fn follows_counts(&self) -> bool {
        self.tier.load(Relaxed) == COUNTS
    }

    /// Are collections recorded?
    #[inline(always)]
    pub fn records_collections(&self) -> bool {
        self.collections.load(Relaxed) != 0
    }

    /// Are births of objects not recorded?
    #[inline(always)]
    pub fn has_no_births(&self) -> bool {
        self.tier.load(Relaxed) == 0
    }

    /// Has collections recorded, too.
    pub fn record_collections(&self) {
        self.collections.store(1, Relaxed);
        self.raise(header::FLAG_COLLECTIONS);
    }

    /// Says what of objects is recorded: 0, [`OBJECTS`] or [`COUNTS`].
    pub fn record(&self, tier: u32) {
        self.tier.store(tier, Relaxed);
    }

    /// Enters a block allocator. False: nothing is recorded, call the original and no more.
    #[inline(always)]
    pub fn enter(&self) -> bool {
        if !self.is_recording() {
            return false;
        }
        if self.inside.load(Relaxed) != 0 {
            return self.refuse_concurrent();
        }
        self.inside.store(1, Relaxed);
        true
    }

    /// Leaves the block allocator.
    #[inline(always)]
    pub fn leave(&self) {
        self.inside.store(0, Relaxed);
    }

    /// Is a block allocator being called?
    #[inline(always)]
    pub fn is_inside(&self) -> bool {
        self.inside.load(Relaxed) != 0
    }

    #[cold]
    #[inline(never)]
    fn refuse_concurrent(&self) -> bool {
        self.raise(header::FLAG_CONCURRENT);
        self.stop();
        false
    }

    /// Writes an event of one slot, made by [`slot::pack`].
    #[inline(always)]
    pub fn put(&self, slot: u64) {
        let mut next = self.next.load(Relaxed);
        // In this order for a signal's sake, whose handler may fork (see below); no instruction comes of it.
        compiler_fence(Acquire);
        // Always if nothing is recorded: then the limit is null.
        if next >= self.limit.load(Relaxed) {
            next = self.make_room();
            if next.is_null() {
                return;
            }
        }
        // SAFETY: `next` is a slot. Either `turn` returned it, or it is left of a limit that is not null, so one that
        // `attach` or `turn` made, in the ring or at its end. Then it is not left of the ring either: it is from
        // `attach` or `turn`, or one more than a slot that was written. Or it is null: before `attach`, which no other
        // thread sees, and in a child whose page was wiped; but there a limit that is loaded later is null too.
        // While a child waits for its first event it has no slot left of the limit, and `next` is left of no limit.
        // This holds for any two values that they had, so it does not matter who else stops the recording, or writes
        // against the rules, meanwhile. The slots stay mapped as long as the producer is used.
        unsafe { &*next }.store(slot | self.phase.load(Relaxed), Relaxed);
        self.next.store(next.wrapping_add(1), Relaxed);
    }

    /// Writes an event of any shape.
    #[cold]
    #[inline(never)]
    pub fn put_any(&self, op: u8, size: u64, address: u64, old: Option<u64>) {
        let (slots, used) = slot::pack_any(op, size, address, old);
        for slot in slots.iter().take(used) {
            self.put(*slot);
        }
    }

    /// The slow path, taken a few times per lap: tells the reader, learns how far it is, waits while there is no
    /// room, and gives up when nobody reads any more. Returns where to write; null if nothing is to be written.
    #[cold]
    #[inline(never)]
    fn make_room(&self) -> *mut AtomicU64 {
        if !self.is_recording() {
            return null_mut();
        }
        let _keep = sys::KeepErrno::new();
        let Some(header) = self.header() else {
            return if family::join(self) { self.next.load(Relaxed) } else { null_mut() };
        };
        if self.turning.swap(1, Acquire) != 0 {
            self.refuse_concurrent();
            return null_mut();
        }
        let next = self.turn(header);
        self.turning.store(0, Release);
        next
    }

    fn turn(&self, header: &Header) -> *mut AtomicU64 {
        let capacity = self.capacity.load(Relaxed);
        let slots = self.slots.load(Relaxed);
        let mut index = self.next.load(Relaxed).addr().wrapping_sub(slots.addr()) / size_of::<AtomicU64>();
        if index >= capacity {
            let base = self.base.load(Relaxed).wrapping_add(capacity as u64);
            self.base.store(base, Relaxed);
            self.phase.store(slot::phase_of_lap(base / capacity as u64), Relaxed);
            index = 0;
        }
        let head = self.base.load(Relaxed).wrapping_add(index as u64);
        let mut seen = header.tail.load(Acquire);
        loop {
            let old_limit = self.limit.load(Relaxed);
            if old_limit.is_null() {
                // Stopped meanwhile: another thread ends the process, or found out that there are two.
                break;
            }
            if header.closed.load(Relaxed) != 0 {
                self.stop();
                break;
            }
            fence(SeqCst);
            wake_consumer(header);
            let tail = header.tail.load(Acquire);
            // More than there is room for: two threads wrote at once and lost count. Waiting would be for ever.
            let used = usize::try_from(head.wrapping_sub(tail)).unwrap_or(usize::MAX);
            let Some(free) = capacity.checked_sub(used) else {
                self.refuse_concurrent();
                break;
            };
            if free > 0 {
                let quarter = capacity / 4;
                let limit = (index + free).min((index / quarter + 1) * quarter);
                // Unless it was stopped since: what has ended must not begin again.
                let limit = slots.wrapping_add(limit);
                if self.limit.compare_exchange(old_limit, limit, Relaxed, Relaxed).is_err() {
                    break;
                }
                let next = slots.wrapping_add(index);
                self.next.store(next, Relaxed);
                return next;
            }
            header.producer_sleeps.store(1, Relaxed);
            fence(SeqCst);
            if header.tail.load(Acquire) == tail {
                sys::futex_wait(&header.producer_sleeps, 1, PATIENCE);
            }
            header.producer_sleeps.store(0, Relaxed);
            let now = header.tail.load(Acquire);
            if now == seen && !reader::is_alive(header.reader.load(Relaxed)) {
                self.stop();
                break;
            }
            seen = now;
        }
        null_mut()
    }
}

fn wake_consumer(header: &Header) {
    if header.consumer_sleeps.load(Relaxed) != 0 && header.consumer_sleeps.swap(0, Relaxed) != 0 {
        sys::futex_wake(&header.consumer_sleeps);
    }
}
