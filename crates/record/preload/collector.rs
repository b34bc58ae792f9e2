//! Where the interpreter's cycle collector keeps its state, and what it says.
//!
//! The state is no part of any interface. Where it lies is known by version, give or take what vendors change in front of
//! it; and it is recognised by what it holds at the beginning: three lists that link to themselves or to what links back, and the
//! thresholds that they have by default.

use core::ffi::c_void;
use core::ptr::{self, null_mut};
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

use super::interpreter::{self, Interpreter, find};
use super::layout::{FLAGS, IS_LIST, Object, SIZE, minor, number};

/// Where things lie in the state, in bytes.
struct Layout {
    enabled: usize,
    debug: usize,
    generations: usize,
    stats: usize,
    collecting: usize,
    callbacks: usize,
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
    stats: 128,
    collecting: 200,
    callbacks: 216,
    total: 224,
    has_rings: false,
};
/// As Debian builds 3.13: there the generations need no alignment to words.
const PACKED_3_13: Layout = Layout { generations: 20, ..TO_3_13 };
const IN_3_14: Layout = Layout { stats: 120, collecting: 192, callbacks: 208, total: 240, ..TO_3_13 };
const IN_3_15: Layout = Layout {
    enabled: 0,
    debug: 4,
    generations: 8,
    stats: 104,
    collecting: 112,
    callbacks: 136,
    total: 152,
    has_rings: true,
};

/// Where a version may have its state.
struct Place {
    minor: u32,
    /// Whether it is no part of an interpreter, but of what all have in common.
    is_common: bool,
    /// How far it is behind the beginning of that, about.
    about: usize,
    /// How much that may differ, by what was built in. (There is more behind it by far.)
    around: usize,
    layout: &'static Layout,
}

const OF_3_12: Place = Place { minor: 12, is_common: false, about: 112, around: 4096, layout: &TO_3_13 };
const OF_3_9: Place = Place { minor: 9, about: 616, around: 512, ..OF_3_12 };
const OF_3_13: Place = Place { minor: 13, about: 7400, ..OF_3_12 };
const PLACES: [Place; 9] = [
    Place { minor: 8, is_common: true, about: 344, around: 256, ..OF_3_9 },
    OF_3_9,
    Place { minor: 10, ..OF_3_9 },
    Place { minor: 11, about: 648, ..OF_3_9 },
    OF_3_12,
    OF_3_13,
    Place { layout: &PACKED_3_13, ..OF_3_13 },
    Place { minor: 14, about: 7408, layout: &IN_3_14, ..OF_3_13 },
    Place { minor: 15, layout: &IN_3_15, ..OF_3_13 },
];

/// The list of functions that are called back, once it is known to be one.
static CALLBACKS: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// The interpreter's minor version; and how its state is laid out, once that is known.
static MINOR: AtomicU32 = AtomicU32::new(0);
static LAYOUT: AtomicPtr<Layout> = AtomicPtr::new(null_mut());
static STATE: AtomicPtr<u8> = AtomicPtr::new(null_mut());
/// The interpreter that it is part of; null if of none.
static OWNER: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

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
    MINOR.store(minor_version, Relaxed);
    PLACES.iter().any(|place| place.minor == minor_version)
}

/// Whether collections run inside of the allocations that make them due: up to CPython 3.11.
pub fn runs_inside() -> bool {
    MINOR.load(Relaxed) < 12
}

impl Collector {
    /// The one that is recorded, once it is there.
    #[inline(always)]
    pub fn get() -> Option<Self> {
        Self::known().or_else(Self::look_for)
    }

    /// The same, if it is known where it is.
    #[inline(always)]
    pub fn known() -> Option<Self> {
        // SAFETY: null, or that of one of the places.
        let layout = unsafe { LAYOUT.load(Relaxed).as_ref() }?;
        Some(Self { state: STATE.load(Relaxed), layout })
    }

    /// Whether the interpreter that it belongs to is there no more, which may be after it has begun to finalize.
    pub fn is_gone(self) -> bool {
        let of = OWNER.load(Relaxed);
        // SAFETY: the lock is held where the collector's state is looked at.
        !of.is_null() && interpreter::recorded().is_some_and(|it| unsafe { !it.is_there(of) })
    }

    /// Whether there are interpreters beside the one that it belongs to, which may have collectors of their own: from CPython 3.9
    /// on.
    pub fn is_one_of_several() -> bool {
        // SAFETY: the lock is held where the collector's state is looked at.
        !OWNER.load(Relaxed).is_null()
            && interpreter::recorded().is_some_and(|it| unsafe { it.is_one_of_several() })
    }

    /// Whether there is an interpreter that was made after the one that it belongs to.
    #[inline(always)]
    pub fn is_there_a_newer() -> bool {
        let of = OWNER.load(Relaxed);
        !of.is_null()
            && interpreter::recorded().and_then(Interpreter::first).is_some_and(|newest| newest != of)
    }

    /// The collector of another interpreter, if that runs: what it allocates and releases counts for that. It lies where this one
    /// lies in its own.
    pub fn of_another(self) -> Option<Self> {
        // SAFETY: as above.
        let running = interpreter::recorded().and_then(|it| unsafe { it.running() })?;
        let owner = OWNER.load(Relaxed);
        let state = running.wrapping_byte_add(self.state.addr() - owner.addr()).cast();
        (running != owner).then_some(Self { state, ..self })
    }

    /// What tells it from those of other interpreters.
    pub fn address(self) -> *mut c_void {
        self.state.cast()
    }

    #[cold]
    #[inline(never)]
    fn look_for() -> Option<Self> {
        let minor = MINOR.load(Relaxed);
        let threshold = if minor < 13 { 700 } else { 2000 };
        let places = PLACES.iter().filter(|place| place.minor == minor);
        for &Place { is_common, about, around, layout, .. } in places {
            let interpreter = if is_common { null_mut() } else { interpreter::recorded()?.first()? };
            let base = if is_common { find(c"_PyRuntime") } else { interpreter };
            if base.is_null() {
                return None;
            }
            for at in (about.saturating_sub(around)..about + around).step_by(8) {
                let this = Self { state: base.cast::<u8>().wrapping_add(at), layout };
                // SAFETY: an interpreter's state is longer than that; so is what all have in common.
                if unsafe { this.is_plausible(threshold) } {
                    STATE.store(this.state, Relaxed);
                    OWNER.store(interpreter, Relaxed);
                    LAYOUT.store(ptr::from_ref(layout).cast_mut(), Relaxed);
                    return Some(this);
                }
            }
        }
        None
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
        unsafe { self.state.add(at).cast::<i64>().read_unaligned() }
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

    /// The list of functions that are called back, or null.
    #[inline(always)]
    fn callbacks(self) -> *mut c_void {
        // SAFETY: by the layout, a pointer to an object lies there, or null.
        unsafe { self.state.add(self.layout.callbacks).cast::<*mut c_void>().read_unaligned() }
    }

    /// Whether there may be functions that are called back. False only if there are none.
    #[inline(always)]
    pub fn may_have_callbacks(self) -> bool {
        let list = self.callbacks();
        // SAFETY: if it is one that is known to be a list, it has a number of items.
        !list.is_null() && (list != CALLBACKS.load(Relaxed) || unsafe { Object(list).word(SIZE) != 0 })
    }

    /// Whether functions are called back when a collection begins, and when it is over.
    pub fn has_callbacks(self) -> bool {
        let list = self.callbacks();
        if list.is_null() || (list != CALLBACKS.load(Relaxed) && !is_list(list)) {
            return false;
        }
        // SAFETY: it is a list, which has a number of items.
        unsafe { Object(list).word(SIZE) != 0 }
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
            let rings = self.state.add(self.layout.stats).cast::<*mut u8>().read_unaligned();
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

    /// What follows on a list.
    ///
    /// # Safety
    ///
    /// It is a head, or what stands in front of an object.
    #[inline(always)]
    pub unsafe fn next(link: *mut c_void) -> *mut c_void {
        // SAFETY: the caller's promise. The lowest bits are flags.
        unsafe { link.cast::<*mut c_void>().read_unaligned() }.map_addr(|address| address & !3)
    }

    /// What precedes.
    ///
    /// # Safety
    ///
    /// As for `next`; no collection is at work on the list.
    #[inline(always)]
    pub unsafe fn previous(link: *mut c_void) -> *mut c_void {
        // SAFETY: the caller's promise.
        unsafe { link.cast::<*mut c_void>().add(1).read_unaligned() }.map_addr(|address| address & !3)
    }
}

/// Whether an object is a list, which is then remembered.
#[cold]
fn is_list(object: *mut c_void) -> bool {
    // SAFETY: what the collector's state points to is alive.
    let is_list = object.addr().is_multiple_of(size_of::<usize>())
        && unsafe { Object(object).of().word(FLAGS) & IS_LIST != 0 };
    if is_list {
        CALLBACKS.store(object, Relaxed);
    }
    is_list
}

/// Whether an interpreter has one that could be looked for at all.
pub fn is_there() -> bool {
    !find(c"PyInterpreterState_Head").is_null()
}
