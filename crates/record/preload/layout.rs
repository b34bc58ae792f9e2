//! How objects and their types are laid out, as far as they are read.
//!
//! The layouts of `PyObject` and `PyTypeObject` are the same from 2.7 to 3.15; they are checked nevertheless before anything
//! rests on them.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::interpreter::find;
use super::slot;

/// What is read of a `PyTypeObject`, by offset in words.
pub const TYPE_OF: usize = 1;
pub const NAME: usize = 3;
pub const BASIC_SIZE: usize = 4;
pub const SIZE_OF_ITEM: usize = 5;
pub const DEALLOC: usize = 6;
pub const FLAGS: usize = 21;
pub const BASE: usize = 32;
pub const TRAVERSE: usize = 23;
pub const WEAK_REFERENCES: usize = 26;
pub const FINALIZE: usize = 49;
pub const DELETE: usize = 47;
/// Flags of a type: what its instances are.
pub const IS_GC: usize = 1 << 14;
pub const IS_TYPE: usize = 1 << 31;
pub const IS_LIST: usize = 1 << 25;
pub const IS_HEAP_TYPE: usize = 1 << 9;
pub const HAS_INLINE_VALUES: usize = 1 << 2;
pub const HAS_MANAGED_DICTIONARY: usize = 1 << 4;
pub const HAS_MANAGED_WEAK_REFERENCES: usize = 1 << 3;
/// Where a `PyWeakReference` has its callback, and the next one to the same object.
pub const CALLBACK: usize = 3;
pub const NEXT: usize = 6;
/// Where an object of varying size has how many items it has.
pub const SIZE: usize = 2;
/// Where a `PyDictObject` has its values, if it shares its keys with others; else there is nothing.
pub const VALUES: usize = 5;
/// How far in front of an object with a managed dictionary that is pointed to, in words (CPython 3.13 and later).
pub const MANAGED_DICTIONARY: usize = 3;

/// A function that a traversal calls with each object that is referred to, and with what it was given.
pub type Visit = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
/// A type's traversal.
pub type Traverse = unsafe extern "C" fn(*mut c_void, Visit, *mut c_void) -> c_int;

/// Whether there are immortal objects: from CPython 3.12 on.
static HAS_IMMORTALS: AtomicBool = AtomicBool::new(true);

/// An object in the interpreter's memory.
#[derive(Clone, Copy)]
pub struct Object(pub *mut c_void);

impl Object {
    /// # Safety
    ///
    /// The object is alive and at least as long.
    pub unsafe fn word(self, at: usize) -> usize {
        // SAFETY: the caller's promise; objects are aligned to words.
        unsafe { self.0.cast::<usize>().add(at).read() }
    }

    /// # Safety
    ///
    /// It is a type, and alive.
    pub unsafe fn name(self) -> *const c_char {
        // SAFETY: the caller's promise.
        unsafe { self.0.cast::<*const c_char>().add(NAME).read() }
    }

    /// # Safety
    ///
    /// The object is alive.
    pub unsafe fn of(self) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { self.0.cast::<*mut c_void>().add(TYPE_OF).read() })
    }

    /// How many references there are to an object that is not immortal, however many.
    ///
    /// # Safety
    ///
    /// The object is alive.
    pub unsafe fn full_count(self) -> usize {
        // SAFETY: the caller's promise.
        unsafe {
            if HAS_IMMORTALS.load(Relaxed) { self.0.cast::<u32>().read() as usize } else { self.word(0) }
        }
    }

    /// How many references there are to it.
    ///
    /// # Safety
    ///
    /// The object is alive.
    pub unsafe fn count(self) -> u64 {
        if !HAS_IMMORTALS.load(Relaxed) {
            // SAFETY: the caller's promise.
            return (unsafe { self.word(0) } as u64).min(slot::COUNT_MANY);
        }
        // From 3.12 on the lower half of the first word is all of the count: from 2³¹ on the object is immortal.
        // SAFETY: the caller's promise.
        let count = unsafe { self.0.cast::<u32>().read() };
        if count >= 1 << 31 { slot::COUNT_IMMORTAL } else { u64::from(count).min(slot::COUNT_MANY) }
    }
}

/// The minor number of a version 3, from what an interpreter says of itself.
pub fn minor(version: &[u8]) -> u32 {
    number(version.strip_prefix(b"3.").unwrap_or_default())
}

/// The number that some text begins with, or 0.
pub fn number(text: &[u8]) -> u32 {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number: u32, digit| number.wrapping_mul(10).wrapping_add(u32::from(digit - b'0')))
}

/// Gets to know an interpreter's objects. False if they are laid out in another way than is known here.
pub fn know(version: &[u8]) -> bool {
    let minor = minor(version);
    HAS_IMMORTALS.store(minor >= 12, Relaxed);
    let [metatype, list] = [c"PyType_Type", c"PyList_Type"].map(find);
    if metatype.is_null() || list.is_null() {
        return false;
    }
    let (metatype, list) = (Object(metatype), Object(list));
    // SAFETY: these are types, which the interpreter has in its data from the beginning on, with their names, where the
    // linker put them. (Before it is initialised, their flags are not complete.)
    unsafe {
        is_called(metatype, c"type")
            && is_called(list, c"list")
            && metatype.word(FLAGS) & (IS_TYPE | IS_GC) == IS_TYPE | IS_GC
            && list.word(FLAGS) & (IS_LIST | IS_GC) == IS_LIST | IS_GC
            && list.word(TRAVERSE) != 0
    }
}

/// # Safety
///
/// `of` is a type of the interpreter's own.
unsafe fn is_called(of: Object, name: &CStr) -> bool {
    // SAFETY: the caller's promise.
    let found = unsafe { of.name() };
    // SAFETY: as above; the names of the interpreter's own types are terminated strings.
    !found.is_null() && unsafe { CStr::from_ptr(found) } == name
}

/// How far behind the beginning of its memory an object of this type lies: behind what the collector has there, and two
/// pointers in front of that (CPython 3.13 and later).
///
/// # Safety
///
/// It is a type, and alive.
pub unsafe fn offset(of: Object) -> usize {
    const HAS_POINTERS: usize = HAS_MANAGED_DICTIONARY | HAS_MANAGED_WEAK_REFERENCES;
    // SAFETY: the caller's promise.
    let flags = unsafe { of.word(FLAGS) };
    let pieces = usize::from(flags & IS_GC != 0) + usize::from(flags & HAS_POINTERS != 0);
    pieces * 2 * size_of::<usize>()
}

pub fn is_type(of: Object) -> bool {
    // SAFETY: a type is alive as long as there is an object of it.
    unsafe { of.word(FLAGS) & IS_TYPE != 0 }
}
