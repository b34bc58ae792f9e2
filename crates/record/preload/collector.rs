//! Where the interpreter's cycle collector keeps its state, and what it says.
//!
//! The state is no part of any interface. Where it lies is known by version, give or take what vendors change in front of
//! it; and it is recognised by what it holds at the beginning: three lists that link to themselves or to what links back, and the
//! thresholds that they have by default.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use super::interpreter::{self, find};
use super::layout::{minor, number};

/// Where things lie in the state, in bytes.
struct Layout {
    enabled: usize,
    debug: usize,
    generations: usize,
    permanent: usize,
    stats: usize,
    collecting: usize,
    total: usize,
    /// Whether the statistics are elsewhere, in rings, and pointed to.
    has_rings: bool,
}

/// Of a generation: head of its list (next, previous), threshold, count.
const GENERATION: usize = 24;
const THRESHOLD: usize = 16;
const COUNT: usize = 20;
/// By generation: how often it was collected, how many objects were, and how many could not be.
const STATS: usize = 24;
/// In rings: where each begins, how many records it has, and one of these.
const RINGS: [(usize, usize); 3] = [(0, 11), (712, 3), (912, 3)];
const RECORD: usize = 64;
const IN_RECORD: usize = 16;
/// Bytes of what stands in front of a container.
pub const HEADER: usize = 16;

const TO_3_13: Layout = Layout {
    enabled: 12,
    debug: 16,
    generations: 24,
    permanent: 104,
    stats: 128,
    collecting: 200,
    total: 224,
    has_rings: false,
};
const IN_3_14: Layout = Layout { permanent: 96, stats: 120, collecting: 192, total: 240, ..TO_3_13 };
const IN_3_15: Layout = Layout {
    enabled: 0,
    debug: 4,
    generations: 8,
    permanent: 80,
    stats: 104,
    collecting: 112,
    total: 152,
    has_rings: true,
};

/// By minor version: how far the state is behind the beginning of the interpreter, about.
const PLACES: [(u32, usize, &Layout); 4] =
    [(12, 112, &TO_3_13), (13, 7400, &TO_3_13), (14, 7408, &IN_3_14), (15, 7400, &IN_3_15)];
/// How much that may differ, by what was built in.
const AROUND: usize = 512;

/// Which of the places, and 1 more.
static PLACE: AtomicU32 = AtomicU32::new(0);
static STATE: AtomicPtr<u8> = AtomicPtr::new(null_mut());

/// The collector of the interpreter.
#[derive(Clone, Copy)]
pub struct Collector {
    state: *mut u8,
    layout: &'static Layout,
}

/// Gets to know a version. False if it is none whose collector is known.
pub fn know(version: &[u8]) -> bool {
    let minor_version = minor(version);
    // From 3.14.0 to 3.14.4 it is another collector.
    let is_other = |patch: &[u8]| number(patch) < 5;
    if version.strip_prefix(b"3.14.").is_some_and(is_other) {
        return false;
    }
    let at = PLACES.iter().position(|(minor, ..)| *minor == minor_version);
    PLACE.store(at.map_or(0, |at| at as u32 + 1), Relaxed);
    at.is_some()
}

impl Collector {
    /// The one that is recorded, once it is there.
    #[inline(always)]
    pub fn get() -> Option<Self> {
        let (_, _, layout) = PLACES.get((PLACE.load(Relaxed) as usize).wrapping_sub(1))?;
        let state = STATE.load(Relaxed);
        if state.is_null() { Self::look_for(layout) } else { Some(Self { state, layout }) }
    }

    #[cold]
    #[inline(never)]
    fn look_for(layout: &'static Layout) -> Option<Self> {
        let place = PLACE.load(Relaxed) as usize - 1;
        let (minor, about, _) = PLACES[place];
        let interpreter = interpreter::recorded()?.first()?;
        let first = about.saturating_sub(AROUND);
        let threshold = if minor < 13 { 700 } else { 2000 };
        let state = (first..about + AROUND).step_by(8).find_map(|at| {
            let this = Self { state: interpreter.cast::<u8>().wrapping_add(at), layout };
            // SAFETY: an interpreter's state is longer than that, and aligned.
            unsafe { this.is_plausible(threshold) }.then_some(this.state)
        })?;
        STATE.store(state, Relaxed);
        Some(Self { state, layout })
    }

    /// # Safety
    ///
    /// There is as much memory, which may be read.
    unsafe fn is_plausible(self, threshold: i32) -> bool {
        let thresholds = [0, 1, 2].map(|generation| self.threshold(generation));
        if thresholds != [threshold, 10, 10] || self.enabled() > 1 {
            return false;
        }
        (0..3).all(|generation| {
            let head = self.head(generation);
            // SAFETY: where these three numbers are in their places, two links are before each; what they link to
            // has two links, too.
            unsafe {
                let (next, previous) = (Self::next(head), Self::previous(head));
                !next.is_null()
                    && !previous.is_null()
                    && Self::previous(next) == head
                    && Self::next(previous) == head
            }
        })
    }

    #[inline(always)]
    fn int(self, at: usize) -> i32 {
        // SAFETY: by the layout, a number lies there.
        unsafe { self.state.add(at).cast::<i32>().read() }
    }

    #[inline(always)]
    fn long(self, at: usize) -> i64 {
        // SAFETY: by the layout, a number lies there.
        unsafe { self.state.add(at).cast::<i64>().read() }
    }

    /// The count of a generation.
    #[inline(always)]
    pub fn count(self, generation: usize) -> i32 {
        self.int(self.layout.generations + generation * GENERATION + COUNT)
    }

    /// Its threshold.
    #[inline(always)]
    pub fn threshold(self, generation: usize) -> i32 {
        self.int(self.layout.generations + generation * GENERATION + THRESHOLD)
    }

    /// Whether it collects by itself.
    #[inline(always)]
    pub fn enabled(self) -> i32 {
        self.int(self.layout.enabled)
    }

    /// Its flags for debugging.
    pub fn debug(self) -> i32 {
        self.int(self.layout.debug)
    }

    /// Whether a collection is going on.
    #[inline(always)]
    pub fn is_collecting(self) -> bool {
        self.int(self.layout.collecting) != 0
    }

    /// How many objects survived the last full collection, and how many have come to the oldest list since.
    pub fn long_lived(self) -> [i64; 2] {
        [self.long(self.layout.total), self.long(self.layout.total + 8)]
    }

    /// How often a generation was collected, how many objects were collected so far, and how many could not be.
    pub fn stats(self, generation: usize) -> [i64; 3] {
        if !self.layout.has_rings {
            return [0, 8, 16].map(|at| self.long(self.layout.stats + generation * STATS + at));
        }
        let (ring, records) = RINGS[generation];
        // SAFETY: by the layout, a pointer to the rings lies there once the state is complete, and each is followed by
        // the number of its newest record.
        unsafe {
            let rings = self.state.add(self.layout.stats).cast::<*mut u8>().read();
            if rings.is_null() {
                return [0; 3];
            }
            let ring = rings.add(ring);
            let newest = usize::from(ring.add(records * RECORD).read()).min(records - 1);
            let record = ring.add(newest * RECORD + IN_RECORD).cast::<i64>();
            [record.read(), record.add(1).read(), record.add(2).read()]
        }
    }

    /// The head of a generation's list.
    pub fn head(self, generation: usize) -> *mut c_void {
        self.state.wrapping_add(self.layout.generations + generation * GENERATION).cast()
    }

    /// The last one of those that are never collected; the head if there are none.
    #[inline(always)]
    pub fn last_permanent(self) -> *mut c_void {
        // SAFETY: by the layout, the head of a list lies there.
        unsafe { Self::previous(self.permanent()) }
    }

    /// The head of their list.
    #[inline(always)]
    pub fn permanent(self) -> *mut c_void {
        self.state.wrapping_add(self.layout.permanent).cast()
    }

    /// What follows on a list.
    ///
    /// # Safety
    ///
    /// It is a head, or what stands in front of an object.
    #[inline(always)]
    pub unsafe fn next(link: *mut c_void) -> *mut c_void {
        // SAFETY: the caller's promise. The lowest bits are flags.
        unsafe { link.cast::<*mut c_void>().read() }.map_addr(|address| address & !3)
    }

    /// What precedes.
    ///
    /// # Safety
    ///
    /// As for `next`; no collection is at work on the list.
    #[inline(always)]
    pub unsafe fn previous(link: *mut c_void) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe { link.cast::<*mut c_void>().add(1).read() }.map_addr(|address| address & !3)
    }
}

/// Whether an interpreter has one that could be looked for at all.
pub fn is_there() -> bool {
    !find(c"PyInterpreterState_Head").is_null()
}
