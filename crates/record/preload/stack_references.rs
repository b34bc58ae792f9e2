//! References on evaluation stacks that are not counted.
//!
//! From CPython 3.14 on, what stands on the evaluation stack of a frame may be borrowed from a local variable. Such a reference
//! is marked by its lowest bit. Where the collector takes references off counts it leaves these out, elsewhere it follows them as
//! all others: `tp_traverse` looks at who visits, and does not tell the one visitor of them. Ours is not that one, so it
//! is told of all. The marks are therefore read where they stand; and what is read there has to be what the traversal tells, one
//! by one and in its order. If it is not, that is said, and nobody has to rely on it.
//!
//! Types of extensions, too, may have frames (greenlet's do): from CPython 3.15 on, these ask the interpreter to tell of what is on
//! their stacks, by functions that it exports. Ours stand in the place of these, and tell our visitor which are counted.

use core::ffi::{CStr, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering::Relaxed};

use super::interpose;
use super::interpreter::find;
use super::layout::{BASIC_SIZE, Object, SIZE_OF_ITEM, Traverse, Visit, minor};
use super::members;

/// `PyFrame_Type`.
static FRAME: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// Those whose objects have a frame in them: `PyGen_Type` and others.
static GENERATORS: [AtomicPtr<c_void>; 3] = [const { AtomicPtr::new(null_mut()) }; 3];
/// The state of a generator that does not tell of its frame any more, in which something may be left.
static CLEARED: AtomicU8 = AtomicU8::new(0);

/// How long these objects are in front of their stack, in bytes.
const LENGTH: usize = 152;
/// What is read of a `_PyInterpreterFrame`, by offset in words: code, function, where its stack ends, and where it begins (with
/// local variables); and, in bytes, who owns it.
const CODE: usize = 0;
const FUNCTION: usize = 2;
const STACK_POINTER: usize = 8;
const STACK: usize = 10;
const OWNER: usize = 74;
/// One who owns it: a frame object, which only then tells of it.
const BY_FRAME: u8 = 2;
/// Where a frame object has the pointer to it.
const POINTER: usize = 3;
/// Where a generator has its state, in bytes.
const STATE: usize = 67;
/// Where a generator has the exception that it handles, of which it tells behind its frame.
const EXCEPTION: usize = 5;

/// Marks in the lowest bits: one that is not counted; and both, in a number that is no reference.
const UNCOUNTED: usize = 1;
const NUMBER: usize = 3;

/// Gets to know an interpreter's frames. False if they are laid out in another way than is known here.
///
/// # Safety
///
/// No other thread runs.
pub unsafe fn know(version: &[u8]) -> bool {
    let minor = minor(version);
    if minor < 14 {
        return true;
    }
    // SAFETY: the caller's promise.
    unsafe { replace() };
    CLEARED.store(if minor == 14 { 4 } else { 5 }, Relaxed);
    FRAME.store(find(c"PyFrame_Type"), Relaxed);
    for (place, name) in GENERATORS.iter().zip([c"PyGen_Type", c"PyCoro_Type", c"PyAsyncGen_Type"]) {
        place.store(find(name), Relaxed);
    }
    let all = [&FRAME, &GENERATORS[0], &GENERATORS[1], &GENERATORS[2]].map(|of| Object(of.load(Relaxed)));
    all.into_iter().all(|of| {
        // SAFETY: these are types, which the interpreter has in its data, with their sizes, where the linker put them.
        !of.0.is_null()
            && unsafe { [of.word(BASIC_SIZE), of.word(SIZE_OF_ITEM)] } == [LENGTH, size_of::<usize>()]
    })
}

/// Whether that is a reference. (Nothing may be marked, too.)
fn is_reference(slot: *mut c_void) -> bool {
    slot.addr() > UNCOUNTED && slot.addr() & NUMBER != NUMBER
}

/// Whether a reference with its mark is counted, and the object to which it is one.
fn of_marked(slot: *mut c_void) -> (Object, bool) {
    (Object(slot.map_addr(|address| address & !UNCOUNTED)), slot.addr() & UNCOUNTED == 0)
}

/// How much is told in front of what stands on the stack.
const ON_STACK: usize = 2;

/// The frame of an object with an evaluation stack, as far as a traversal tells of it: in its order.
struct Frame {
    frame: *const *mut c_void,
    /// What comes next: the function, the code, then what stands on the stack (from [`ON_STACK`] on).
    next: usize,
    /// How much the traversal tells behind that.
    behind: usize,
}

impl Frame {
    /// That of an object of this type. `None` if it has none.
    ///
    /// # Safety
    ///
    /// The object is alive, and of this type.
    #[inline(always)]
    unsafe fn of(object: Object, of: Object) -> Option<Self> {
        // SAFETY: the caller's promise, by the layout.
        unsafe {
            if of.0 == FRAME.load(Relaxed) {
                let frame = object.0.cast::<*const *mut c_void>().add(POINTER).read();
                let is_told = frame.cast::<u8>().add(OWNER).read() == BY_FRAME;
                return is_told.then_some(Self { frame, next: 0, behind: 0 });
            }
            let is_one = GENERATORS.iter().any(|generator| of.0 == generator.load(Relaxed));
            if !is_one || object.0.cast::<u8>().add(STATE).read() == CLEARED.load(Relaxed) {
                return None;
            }
            let frame = object.0.cast::<*mut c_void>().add(LENGTH / size_of::<usize>() - STACK);
            Some(Self { frame, next: 0, behind: usize::from(object.word(EXCEPTION) != 0) })
        }
    }

    /// A copy that begins at the beginning.
    fn again(&self) -> Self {
        Self { next: 0, ..*self }
    }
}

impl Iterator for Frame {
    type Item = *mut c_void;

    /// The next reference, with its mark.
    fn next(&mut self) -> Option<*mut c_void> {
        loop {
            let place = match self.next {
                0 => FUNCTION,
                1 => CODE,
                at => STACK + at - ON_STACK,
            };
            // SAFETY: the frame is that of a live object, whose traversal reads the same.
            let slot = unsafe {
                let place = self.frame.add(place);
                if self.next >= ON_STACK && place.addr() >= self.frame.add(STACK_POINTER).read().addr() {
                    return None;
                }
                place.read()
            };
            self.next += 1;
            if is_reference(slot) {
                return Some(slot);
            }
        }
    }
}

/// Tells a visitor of a reference, or of those on the stack of a frame: `_PyGC_VisitStackRef`, `_PyGC_VisitFrameStack`.
type Tell = unsafe extern "C" fn(*const *mut c_void, Visit, *mut c_void) -> c_int;

/// The interpreter's own.
static ORIGINALS: [AtomicPtr<c_void>; 2] = [const { AtomicPtr::new(null_mut()) }; 2];

/// Puts ours in their places, for modules that are loaded from here on.
///
/// # Safety
///
/// No other thread runs.
unsafe fn replace() {
    let all: [(&CStr, Tell); 2] =
        [(c"_PyGC_VisitStackRef", tell_reference), (c"_PyGC_VisitFrameStack", tell_stack)];
    for ((name, ours), original) in all.into_iter().zip(&ORIGINALS) {
        original.store(find(name), Relaxed);
        // SAFETY: the caller's promise; ours takes what the original does, and does the same.
        unsafe { interpose::replace_later(name, ours as usize) };
    }
}

unsafe extern "C" fn tell_reference(slot: *const *mut c_void, visit: Visit, argument: *mut c_void) -> c_int {
    // SAFETY: the caller's promise: a reference lies there. Our visitor's argument is the producer.
    unsafe {
        if visit as usize != members::VISIT as usize {
            return original(0)(slot, visit, argument);
        }
        tell_marked(slot.read(), argument);
    }
    0
}

unsafe extern "C" fn tell_stack(frame: *const *mut c_void, visit: Visit, argument: *mut c_void) -> c_int {
    // SAFETY: the caller's promise, as above: a frame lies there.
    unsafe {
        if visit as usize != members::VISIT as usize {
            return original(1)(frame, visit, argument);
        }
        Frame { frame, next: ON_STACK, behind: 0 }.for_each(|slot| tell_marked(slot, argument));
    }
    0
}

/// # Safety
///
/// The function was there, and called by its name.
unsafe fn original(at: usize) -> Tell {
    // SAFETY: the caller's promise.
    unsafe { core::mem::transmute::<*mut c_void, Tell>(ORIGINALS[at].load(Relaxed)) }
}

/// Tells our visitor of a reference with its mark, if it is one.
///
/// # Safety
///
/// The argument is what our visitor is given.
unsafe fn tell_marked(slot: *mut c_void, argument: *mut c_void) {
    if is_reference(slot) {
        let (referent, is_counted) = of_marked(slot);
        // SAFETY: the caller's promise, and a reference is one to an object.
        unsafe { members::visit_marked(referent.0, argument, is_counted) };
    }
}

/// What is told of an object with a frame.
struct Telling<F> {
    frame: Frame,
    /// How much is told in front of the frame.
    before: usize,
    tell: F,
    /// Whether it is what stands in the frame.
    is_sure: bool,
}

/// Traverses an object that has references which are not counted: `tell` is called with each object that it refers to, and
/// whether the reference is counted. Whether that is certain; `None`, and nothing was told, if all that it has are counted.
///
/// # Safety
///
/// The object is alive, and of this type, of which this is the traversal; `tell` does not change it.
#[inline(always)]
pub unsafe fn traverse<F: FnMut(Object, bool)>(
    object: Object,
    of: Object,
    traverse: Traverse,
    tell: F,
) -> Option<bool> {
    // SAFETY: the caller's promise.
    let frame = unsafe { Frame::of(object, of) }?;
    // SAFETY: as above.
    unsafe { traverse_frame(object, frame, traverse, tell) }
}

/// # Safety
///
/// As for `traverse`; the frame is the object's.
#[cold]
#[inline(never)]
unsafe fn traverse_frame<F: FnMut(Object, bool)>(
    object: Object,
    frame: Frame,
    traverse: Traverse,
    tell: F,
) -> Option<bool> {
    if !frame.again().any(|slot| !of_marked(slot).1) {
        return None;
    }
    let mut all = 0_usize;
    // SAFETY: the caller's promise; the visitors are given what they expect.
    unsafe {
        traverse(object.0, count, (&raw mut all).cast());
        let before = all.checked_sub(frame.again().count() + frame.behind);
        let is_sure = before.is_some();
        let mut telling = Telling { frame, before: before.unwrap_or(all), tell, is_sure };
        traverse(object.0, visit::<F>, (&raw mut telling).cast());
        Some(telling.is_sure)
    }
}

unsafe extern "C" fn count(_referent: *mut c_void, all: *mut c_void) -> c_int {
    // SAFETY: what `traverse_frame` passed on.
    unsafe { *all.cast::<usize>() += 1 };
    0
}

unsafe extern "C" fn visit<F: FnMut(Object, bool)>(referent: *mut c_void, telling: *mut c_void) -> c_int {
    // SAFETY: what `traverse_frame` passed on.
    let telling = unsafe { &mut *telling.cast::<Telling<F>>() };
    let is_in_frame = telling.before == 0;
    telling.before = telling.before.saturating_sub(1);
    let slot = if is_in_frame { telling.frame.next() } else { None };
    let (object, is_counted) = slot.map_or((Object(referent), true), of_marked);
    telling.is_sure &= object.0 == referent;
    (telling.tell)(Object(referent), is_counted);
    0
}
