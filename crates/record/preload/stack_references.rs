//! References on evaluation stacks that are not counted.
//!
//! From CPython 3.14 on, what stands on the evaluation stack of a frame may be borrowed from a local variable. Such a reference
//! is marked by its lowest bit. Where the collector takes references off counts it leaves these out, elsewhere it follows them as
//! all others: `tp_traverse` looks at who visits, and does not tell the one visitor of them. Ours is not that one, so it
//! is told of all. The marks are therefore read where they stand; and what is read there has to be what the traversal tells, one
//! by one and in its order. If it is not, that is said, and nobody has to rely on it.

use core::ffi::{c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering::Relaxed};

use super::interpreter::find;
use super::layout::{BASIC_SIZE, Object, SIZE_OF_ITEM, Traverse, minor};

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
pub fn know(version: &[u8]) -> bool {
    let minor = minor(version);
    if minor < 14 {
        return true;
    }
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

/// The frame of an object with an evaluation stack, as far as a traversal tells of it: in its order.
struct Frame {
    frame: *const usize,
    /// What comes next: the function, the code, then what stands on the stack.
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
                let frame = object.0.cast::<*const usize>().add(POINTER).read();
                let is_told = frame.cast::<u8>().add(OWNER).read() == BY_FRAME;
                return is_told.then_some(Self { frame, next: 0, behind: 0 });
            }
            let is_one = GENERATORS.iter().any(|generator| of.0 == generator.load(Relaxed));
            if !is_one || object.0.cast::<u8>().add(STATE).read() == CLEARED.load(Relaxed) {
                return None;
            }
            let frame = object.0.cast::<usize>().add(LENGTH / size_of::<usize>() - STACK);
            Some(Self { frame, next: 0, behind: usize::from(object.word(EXCEPTION) != 0) })
        }
    }

    /// A copy that begins at the beginning.
    fn again(&self) -> Self {
        Self { next: 0, ..*self }
    }
}

impl Iterator for Frame {
    type Item = usize;

    /// The next reference, with its mark.
    fn next(&mut self) -> Option<usize> {
        loop {
            let place = match self.next {
                0 => FUNCTION,
                1 => CODE,
                at => STACK + at - 2,
            };
            // SAFETY: the frame is that of a live object, whose traversal reads the same.
            let slot = unsafe {
                let place = self.frame.add(place);
                if self.next >= 2 && place.addr() >= self.frame.add(STACK_POINTER).read() {
                    return None;
                }
                place.read()
            };
            self.next += 1;
            // Nothing may be marked, too.
            if slot > UNCOUNTED && slot & NUMBER != NUMBER {
                return Some(slot);
            }
        }
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
    if !frame.again().any(|slot| slot & UNCOUNTED != 0) {
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
    let mut is_counted = true;
    if telling.before > 0 {
        telling.before -= 1;
    } else if let Some(slot) = telling.frame.next() {
        is_counted = slot & UNCOUNTED == 0;
        telling.is_sure &= slot & !UNCOUNTED == referent.addr();
    }
    (telling.tell)(Object(referent), is_counted);
    0
}
