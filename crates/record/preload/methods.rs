//! Finds the C functions behind built-in methods and puts one of ours in the place of one.
//!
//! `sys._debugmallocstats()` prints the pools only if the interpreter's own allocator is installed for objects, so
//! under our hooks a program that calls it would print less. The wrapper takes the hooks out for that call.
//!
//! A method's entry (`PyMethodDef`: name, function, flags, documentation) lies in the interpreter's writable data
//! and is read at each call. It is found by looking for a pointer to the name there, which needs no Python API, no
//! allocation and no initialised interpreter, and leaves no trace that Python code could see. Were the table constant,
//! it would lie in memory that the loader protects; there nothing is looked for.

use core::ffi::{c_int, c_void};
use core::slice;

use super::asked;
use super::hooks::{self, Once};
use super::producer::Producer;
use super::{slot, sys};

/// Code of the mark that is recorded at each call of `sys._debugmallocstats`.
pub const MARK_DEBUG_MALLOC_STATS: u64 = 1;

const DEBUG_MALLOC_STATS: &[u8] = b"_debugmallocstats\0";
const METH_NOARGS: c_int = 4;

type Function = unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void;

/// `PyMethodDef`.
#[repr(C)]
pub struct Method {
    pub name: usize,
    pub function: usize,
    pub flags: c_int,
    pub documentation: usize,
}

#[derive(Clone, Copy)]
struct Wrapped {
    original: Function,
    producer: *mut Producer,
}

static WRAPPED: Once<Wrapped> = Once::new();

/// Wraps `sys._debugmallocstats` of the interpreter that contains `symbol`. Returns whether it was found.
///
/// # Safety
///
/// As for [`hooks::install`].
pub unsafe fn wrap_debug_malloc_stats(symbol: *const c_void, producer: *mut Producer) -> bool {
    // SAFETY: the interpreter's data is not changed by anyone now, as the process has one thread and that is here.
    let Some(method) = (unsafe { find(symbol, DEBUG_MALLOC_STATS, METH_NOARGS) }) else {
        return false;
    };
    // SAFETY: the entry has this name, takes no arguments, and its function pointer leads into executable code of
    // the interpreter: a function of two object pointers. The entry is aligned and lies in that part of a writable
    // segment which the loader leaves writable.
    unsafe {
        let original = core::mem::transmute::<usize, Function>((*method).function);
        WRAPPED.set(Wrapped { original, producer });
        (&raw mut (*method).function).write(debug_malloc_stats as *const () as usize);
    }
    true
}

/// Takes the place of a function. Returns what does.
type Wrap = fn(usize) -> usize;

/// Wraps what a program asks the collector for by name, in the interpreter that contains `symbol`: see [`asked`].
///
/// # Safety
///
/// As for [`hooks::install`].
pub unsafe fn wrap_requests(symbol: *const c_void) {
    const METH_FASTCALL_KEYWORDS: c_int = 0x82;
    let requests: [(&[u8], c_int, Wrap); 3] = [
        (b"collect\0", METH_FASTCALL_KEYWORDS, asked::wrap_collect),
        (b"freeze\0", METH_NOARGS, asked::wrap_freeze),
        (b"unfreeze\0", METH_NOARGS, asked::wrap_unfreeze),
    ];
    for (name, flags, wrap) in requests {
        // SAFETY: as in `wrap_debug_malloc_stats`; functions with these flags take what ours do.
        unsafe {
            if let Some(method) = find(symbol, name, flags) {
                let ours = wrap((*method).function);
                (&raw mut (*method).function).write(ours);
            }
        }
    }
}

unsafe extern "C" fn debug_malloc_stats(module: *mut c_void, nothing: *mut c_void) -> *mut c_void {
    // SAFETY: this function is called only from the entry that was changed after `WRAPPED` was set.
    let Wrapped { original, producer } = unsafe { *WRAPPED.get().unwrap_unchecked() };
    // SAFETY: the producer lives as long as the process.
    unsafe { &*producer }.put(slot::pack(slot::MARK, MARK_DEBUG_MALLOC_STATS, 0));
    // SAFETY: the interpreter's own functions, called with its lock held. If something was installed over our hooks
    // it is left alone. The original allocates nothing with the hooks out: it prints with the C library.
    unsafe {
        match hooks::interface().filter(|interface| hooks::are_outermost(interface, producer)) {
            Some(interface) => {
                hooks::take_out(interface);
                let result = original(module, nothing);
                hooks::put_in(interface, producer);
                result
            }
            None => original(module, nothing),
        }
    }
}

/// A piece of the interpreter in memory; empty if it ends before it starts.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    end: usize,
    /// Bits of `p_flags`.
    flags: u32,
}

pub const EXECUTABLE: u32 = 1;
pub const WRITABLE: u32 = 2;
pub const READABLE: u32 = 4;
pub const LOAD: u32 = 1;
/// `PT_GNU_RELRO`: what the loader makes read-only when it has relocated it.
pub const PROTECTED_LATER: u32 = 0x6474_e552;

/// More than any linker makes.
const MAX_PIECES: usize = 16;

/// The segments of one module.
pub struct Search {
    symbol: usize,
    pieces: [Piece; MAX_PIECES],
    count: usize,
}

/// The only method entry with this (terminated) name and these flags in the module that contains `symbol`.
///
/// # Safety
///
/// The data of that module is not changed during the call.
unsafe fn find(symbol: *const c_void, name: &[u8], flags: c_int) -> Option<*mut Method> {
    let mut search = Search::new(symbol.addr());
    // SAFETY: `visit` takes a `Search`, which outlives the call.
    unsafe { sys::dl_iterate_phdr(visit, (&raw mut search).cast()) };
    // SAFETY: the loader told where the module is, and the caller promises the rest.
    unsafe { search.find(name, flags) }
}

/// Where the code of the module lies that contains `symbol`: from, to.
pub fn code_around(symbol: *const c_void) -> Option<(usize, usize)> {
    piece_around(symbol).filter(|piece| piece.flags & EXECUTABLE != 0).map(|code| (code.start, code.end))
}

/// The same of data that is written, by a symbol in it.
pub fn data_around(symbol: *const c_void) -> Option<(usize, usize)> {
    piece_around(symbol).filter(|piece| piece.flags & WRITABLE != 0).map(|data| (data.start, data.end))
}

fn piece_around(symbol: *const c_void) -> Option<Piece> {
    let mut search = Search::new(symbol.addr());
    // SAFETY: `visit` takes a `Search`, which outlives the call.
    unsafe { sys::dl_iterate_phdr(visit, (&raw mut search).cast()) };
    let pieces = search.pieces.get(..search.count)?;
    pieces.iter().find(|piece| (piece.start..piece.end).contains(&symbol.addr())).copied()
}

impl Search {
    /// For the module that contains `symbol`.
    pub fn new(symbol: usize) -> Self {
        let none = Piece { start: 0, end: 0, flags: 0 };
        Self { symbol, pieces: [none; MAX_PIECES], count: 0 }
    }

    /// The only method entry with this (terminated) name and these flags.
    ///
    /// # Safety
    ///
    /// The segments that [`visit`] noted are in memory, those that it called readable may be read, and none changes
    /// during the call.
    pub unsafe fn find(&self, name: &[u8], flags: c_int) -> Option<*mut Method> {
        let pieces = self.pieces.get(..self.count)?;
        let holds = |address: usize, size: usize, with: u32, without: u32| {
            pieces.iter().any(|piece| {
                piece.flags & with == with
                    && piece.flags & without == 0
                    && piece.start <= address
                    && address.checked_add(size).is_some_and(|end| end <= piece.end)
            })
        };
        let mut found = None;
        for piece in pieces.iter().filter(|piece| piece.flags & WRITABLE != 0 && piece.flags & READABLE != 0)
        {
            let start = piece.start.next_multiple_of(align_of::<Method>());
            let count =
                piece.end.saturating_sub(start).saturating_sub(size_of::<Method>()) / size_of::<usize>();
            for at in 0..count {
                let method = (start + at * size_of::<usize>()) as *mut Method;
                // SAFETY: the entry lies inside of a readable segment and is aligned; its fields are plain integers
                // here. A name is read only if it lies inside of such a segment too.
                let is_it = unsafe {
                    holds((*method).name, name.len(), READABLE, WRITABLE)
                        && slice::from_raw_parts((*method).name as *const u8, name.len()) == name
                        && (*method).flags == flags
                        && holds((*method).function, 1, EXECUTABLE, WRITABLE)
                };
                if is_it && found.replace(method).is_some() {
                    return None;
                }
            }
        }
        found
    }
}

/// Notes the segments of the module that contains the symbol; of writable ones, what comes after memory that the
/// loader protects. (Linkers put that first. What precedes it, if anything does, may share a page with it.)
///
/// # Safety
///
/// `module` is valid, with as many segments as it states, and `search` points to a [`Search`].
pub unsafe extern "C" fn visit(module: *mut sys::Module, _size: usize, search: *mut c_void) -> c_int {
    // SAFETY: the caller's promise; the loader passes on the pointer that `find` gave it.
    let (module, search, segments) = unsafe {
        let module = &*module;
        let segments = slice::from_raw_parts(module.segments, usize::from(module.segment_count));
        (module, &mut *search.cast::<Search>(), segments)
    };
    let piece = |segment: &sys::Segment, size: usize| {
        let start = module.base.wrapping_add(segment.address);
        Piece { start, end: start.wrapping_add(size), flags: segment.flags }
    };
    let protected = || {
        let kind = |segment: &&sys::Segment| segment.kind == PROTECTED_LATER;
        segments.iter().filter(kind).map(|segment| piece(segment, segment.memory_size))
    };
    let loaded = || {
        let kind = |segment: &&sys::Segment| segment.kind == LOAD;
        segments.iter().filter(kind).map(|segment| {
            let mut loaded = piece(segment, segment.file_size);
            if loaded.flags & WRITABLE != 0 {
                for protected in protected() {
                    if protected.start < loaded.end && loaded.start < protected.end {
                        loaded.start = protected.end;
                    }
                }
            }
            loaded
        })
    };
    if !loaded().any(|piece| (piece.start..piece.end).contains(&search.symbol)) {
        return 0;
    }
    for (to, piece) in search.pieces.iter_mut().zip(loaded()) {
        *to = piece;
        search.count += 1;
    }
    1
}
