//! The allocators: ours, and those of others, behind the same three C functions.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::{MaybeUninit, transmute};
use std::ptr::{NonNull, null_mut};

use ::pool::{Geometry, Pool};

use super::libpython;
use crate::Result;

/// The C contract. Ours may unwind (a source of arenas is any Rust code); to forbid it would take a frame in each call,
/// just to say so.
#[derive(Clone, Copy)]
pub(super) struct Functions {
    pub(super) malloc: Malloc,
    pub(super) realloc: Realloc,
    pub(super) free: Free,
}

type Malloc = unsafe extern "C-unwind" fn(usize) -> *mut c_void;
type Realloc = unsafe extern "C-unwind" fn(*mut c_void, usize) -> *mut c_void;
type Free = unsafe extern "C-unwind" fn(*mut c_void);

type CMalloc = unsafe extern "C" fn(usize) -> *mut c_void;
type CRealloc = unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void;
type CFree = unsafe extern "C" fn(*mut c_void);

impl Functions {
    /// Those of an allocator that never unwinds.
    fn of_c(malloc: CMalloc, realloc: CRealloc, free: CFree) -> Self {
        // SAFETY: all are pointers to functions with the calling convention of C; those that do not unwind may be
        // called as if they did.
        unsafe {
            Self {
                malloc: transmute::<CMalloc, Malloc>(malloc),
                realloc: transmute::<CRealloc, Realloc>(realloc),
                free: transmute::<CFree, Free>(free),
            }
        }
    }
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Contender {
    /// Our pools through the C contract.
    Ours,
    /// Our pools as Rust code uses them: inlined, and told the size again when a block is given back.
    OursSized,
    /// CPython's `PyObject_Malloc`.
    Cpython,
    Mimalloc,
    Jemalloc,
    /// The C library's.
    System,
    /// Does nothing.
    Empty,
}

impl Contender {
    pub(super) const ALL: [Self; 7] = [
        Self::Ours,
        Self::OursSized,
        Self::Cpython,
        Self::Mimalloc,
        Self::Jemalloc,
        Self::System,
        Self::Empty,
    ];

    /// How it is called in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Ours => "ours, malloc/realloc/free",
            Self::OursSized => "ours, sized and inlined",
            Self::Cpython => "CPython",
            Self::Mimalloc => "mimalloc",
            Self::Jemalloc => "jemalloc",
            Self::System => "system",
            Self::Empty => "(the loop alone)",
        }
    }

    /// Its functions; none for [`OursSized`](Self::OursSized). Once per process.
    pub(super) fn functions(self, largest: usize) -> Result<Option<Functions>> {
        Ok(Some(match self {
            Self::OursSized => return Ok(None),
            Self::Ours => {
                OURS.fill(new_pool()?);
                Functions { malloc: ours_malloc, realloc: ours_realloc, free: ours_free }
            }
            Self::Cpython => libpython::functions()?,
            Self::Mimalloc => Functions::of_c(
                libmimalloc_sys::mi_malloc,
                libmimalloc_sys::mi_realloc,
                libmimalloc_sys::mi_free,
            ),
            Self::Jemalloc => Functions::of_c(
                tikv_jemalloc_sys::malloc,
                tikv_jemalloc_sys::realloc,
                tikv_jemalloc_sys::free,
            ),
            Self::System => Functions::of_c(libc::malloc, libc::realloc, libc::free),
            Self::Empty => {
                // One block for all, touched beforehand.
                EMPTY.fill(Box::leak(vec![1_u8; largest.max(1)].into_boxed_slice()).as_mut_ptr());
                Functions { malloc: empty_malloc, realloc: empty_realloc, free: empty_free }
            }
        }))
    }
}

/// The pools that are measured, in the geometry of CPython 3.10 and later whatever the trace's is: CPython's own
/// allocator has no other either.
pub(super) fn new_pool() -> Result<Pool> {
    let geometry =
        Geometry::for_cpython(3, 11, 2).ok_or("CPython 3.11 is not known to the allocator any more")?;
    Ok(Pool::new(geometry))
}

/// A global that is filled once before it is used, by the only thread: as quick to reach as a global in C.
struct Global<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: a measuring process has one thread only that touches these.
unsafe impl<T> Sync for Global<T> {}

impl<T> Global<T> {
    const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    fn fill(&self, value: T) {
        // SAFETY: there is one thread, and `get` lends to functions that do not call here.
        unsafe { (*self.0.get()).write(value) };
    }

    /// # Safety
    ///
    /// It has been filled.
    #[inline]
    unsafe fn get(&self) -> &T {
        // SAFETY: filled by contract; not written while it is lent, see `fill`.
        unsafe { (*self.0.get()).assume_init_ref() }
    }
}

static OURS: Global<Pool> = Global::new();
static EMPTY: Global<*mut u8> = Global::new();

fn address(block: Option<NonNull<u8>>) -> *mut c_void {
    block.map_or(null_mut(), |block| block.as_ptr().cast())
}

unsafe extern "C-unwind" fn ours_malloc(size: usize) -> *mut c_void {
    // SAFETY: it was filled before this function was handed out.
    address(unsafe { OURS.get() }.malloc(size))
}

unsafe extern "C-unwind" fn ours_realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: it was filled before this function was handed out; the caller vouches for the block.
    address(unsafe { OURS.get().realloc(NonNull::new(block.cast()), size) })
}

unsafe extern "C-unwind" fn ours_free(block: *mut c_void) {
    // SAFETY: it was filled before this function was handed out; the caller vouches for the block.
    unsafe { OURS.get().free(NonNull::new(block.cast())) };
}

unsafe extern "C-unwind" fn empty_malloc(_size: usize) -> *mut c_void {
    // SAFETY: it was filled before this function was handed out.
    unsafe { EMPTY.get() }.cast()
}

unsafe extern "C-unwind" fn empty_realloc(block: *mut c_void, _size: usize) -> *mut c_void {
    block
}

unsafe extern "C-unwind" fn empty_free(_block: *mut c_void) {}
