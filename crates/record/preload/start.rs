//! What happens when the program is loaded and when it ends.
//!
//! The constructor runs in every process that inherits the environment: shells, `env`, version managers. Only one
//! that exports CPython's allocator interface takes a ring; the others leave everything as it is, so that the
//! program that they start may. (What an interpreter started must not see anything of it in its environment: there the
//! variables go, and come back for what is started next.) It runs before `main` and allocates nothing, least of all from
//! Python.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Relaxed, Release},
};

use super::arena;
use super::board::{self, Board};
use super::functions::{self, Functions};
use super::header::{self, Header};
use super::hooks::{self, Interface};
use super::interpreter::{Interpreter, find};
use super::producer::{self, Producer};
use super::ring::{self, Ring};
use super::{
    collections, counts, environment, exec, family, methods, objects, reader, reset, slot, sys, text,
};

/// The page of the [`Producer`]; null if this process was not claimed.
static PRODUCER: AtomicPtr<Producer> = AtomicPtr::new(null_mut());

/// How the version begins whose interpreter sets its allocators when it starts, whatever they are.
const SETS_ALLOCATORS: &[u8] = b"3.6.";

/// What is needed of the interpreter.
struct Symbols {
    interpreter: Interpreter,
    allocators: Allocators,
}

/// How its allocators can be watched.
enum Allocators {
    /// By hooks.
    Hooked { interface: Interface, get_arena: arena::Exchange, set_arena: arena::Exchange },
    /// There are no hooks: by functions in the place of its own.
    Replaced(Functions),
}

/// Called by the dynamic loader before `main`.
pub fn constructor() {
    let _keep = sys::KeepErrno::new();
    // SAFETY: the process has one thread, which is here.
    unsafe {
        let Some((path, hidden)) = environment::board() else { return };
        let symbols = look_up();
        if symbols.is_none() && !hidden {
            return;
        }
        if let Some(board) = ring::open_board(path) {
            reader::remember(path.to_bytes());
            if let Some(preload) = environment::find(environment::PRELOAD) {
                exec::pass_on(board, path, preload);
            }
            if let Some(symbols) = symbols {
                // What an interpreter started is its child, however it came to be.
                let is_child = hidden && board.follows.load(Relaxed) == 0;
                match if is_child { None } else { ring::take(board) } {
                    Some(ring) => start(board, &ring, &symbols),
                    None => ring::pass_by(board),
                }
            }
        }
        // Interpreters that are not recorded must not see our variables either.
        environment::restore();
    }
}

/// Called by the dynamic loader at the end of the process, also of its forked children.
pub fn destructor() {
    let _keep = sys::KeepErrno::new();
    let page = PRODUCER.load(Relaxed);
    // SAFETY: null, or the page that was mapped for good in `start`.
    let Some(producer) = (unsafe { page.as_ref() }) else { return };
    if !producer.is_recording() {
        return;
    }
    if let Some(interface) = hooks::interface()
        // SAFETY: the interpreter's own functions.
        && !unsafe { hooks::are_outermost(interface, page) }
        && !reset::has_ended(producer)
    {
        // Hooks that worked after the interpreter's start were not dropped by it: something wraps them.
        let worked = producer.is_initialized();
        producer.raise(if worked { header::FLAG_HOOKS_WRAPPED } else { header::FLAG_HOOKS_LOST });
    }
    if (producer.records_objects() && !objects::is_installed())
        || (producer.follows_counts() && !counts::is_installed())
    {
        objects::put(producer, slot::OBJECTS_LOST, 0);
    }
    producer.stop();
}

/// The interpreter's functions, if all are there.
fn look_up() -> Option<Symbols> {
    let interpreter = Interpreter::look_up()?;
    let hooks = [
        c"PyMem_GetAllocator",
        c"PyMem_SetAllocator",
        c"PyObject_GetArenaAllocator",
        c"PyObject_SetArenaAllocator",
    ]
    .map(find);
    if hooks.contains(&null_mut()) {
        // With another C library nothing is known of functions that take the place of the interpreter's.
        if find(c"gnu_get_libc_version").is_null() {
            return None;
        }
        let allocators = Allocators::Replaced(Functions::look_up()?);
        return Some(Symbols { interpreter, allocators });
    }
    let [get, set, get_arena, set_arena] = hooks;
    // SAFETY: none is null, and the functions of these names have these types in every version.
    let allocators = unsafe {
        Allocators::Hooked {
            interface: Interface {
                get: core::mem::transmute::<*mut c_void, hooks::Exchange>(get),
                set: core::mem::transmute::<*mut c_void, hooks::Exchange>(set),
            },
            get_arena: core::mem::transmute::<*mut c_void, arena::Exchange>(get_arena),
            set_arena: core::mem::transmute::<*mut c_void, arena::Exchange>(set_arena),
        }
    };
    Some(Symbols { interpreter, allocators })
}

/// Fills in who we are and puts the hooks in.
///
/// # Safety
///
/// Called once, by the constructor.
unsafe fn start(board: &'static Board, ring: &Ring, symbols: &Symbols) {
    let version = symbols.interpreter.version().to_bytes();
    let header = ring.header();
    text::publish(version, &header.version);
    publish_files(header, symbols.interpreter.address());
    if text::contains(version, b"free-threading build") {
        return ring.refuse(header::REASON_FREE_THREADED);
    }
    let Some(page) = wiped_page() else {
        return ring.refuse(header::REASON_SYSTEM);
    };
    let module = symbols.interpreter.address();
    // SAFETY: the page lives as long as the process, holds zeroes, and is large enough; one thread, before `main`. Until
    // the page is attached to the ring, nothing is recorded.
    let is_possible = unsafe {
        symbols.interpreter.remember();
        match symbols.allocators {
            Allocators::Hooked { .. } if !version.starts_with(SETS_ALLOCATORS) => true,
            Allocators::Hooked { .. } => reset::outlast(module, page),
            Allocators::Replaced(functions) => functions::install(functions, module, page),
        }
    };
    if !is_possible {
        return ring.refuse(header::REASON_DIRECT_CALLS);
    }
    PRODUCER.store(page, Relaxed);
    family::remember(board, ring, page);
    // SAFETY: as above; the ring is mapped for good.
    unsafe {
        (*page).attach(ring.header, ring.slots, ring.capacity);
        if let Allocators::Hooked { interface, get_arena, set_arena } = symbols.allocators {
            hooks::install(interface, page);
            arena::install(get_arena, set_arena, page);
            // Of what cannot be had, the next lower tier.
            let tier = board.tier.load(Relaxed);
            let wants_objects = matches!(tier, board::TIER_OBJECTS | board::TIER_COUNTS);
            // What an interpreter reports says more than what a tracer is told there.
            if (wants_objects || tier == board::TIER_AUTOMATIC) && counts::install(version, page) {
                (*page).record(producer::COUNTS);
                (*page).raise(header::FLAG_COUNTS);
            } else if wants_objects && objects::install(version, page) {
                (*page).record(producer::OBJECTS);
                (*page).raise(header::FLAG_OBJECTS);
            }
            let wants_collections = wants_objects || tier == board::TIER_COLLECTIONS;
            if (wants_collections || !(*page).has_no_births()) && collections::install(version, page) {
                (*page).record_collections();
                methods::wrap_requests(module);
            }
            if methods::wrap_debug_malloc_stats(module, page) {
                (*page).raise(header::FLAG_STATISTICS);
            }
        }
    }
    header.state.store(header::STATE_RECORDING, Release);
}

/// Writes down which files the process and the interpreter are.
fn publish_files(header: &Header, symbol: *const c_void) {
    let mut file = [0u8; 1024];
    // SAFETY: the path is a terminated string and the room is what `file` has.
    let length =
        unsafe { sys::readlink(c"/proc/self/exe".as_ptr(), file.as_mut_ptr().cast(), file.len() - 1) };
    if let Some(file) = usize::try_from(length).ok().and_then(|length| file.get(..length)) {
        text::publish(file, &header.executable);
    }
    let mut info = sys::SymbolInfo {
        file: core::ptr::null(),
        base: null_mut(),
        symbol: core::ptr::null(),
        address: null_mut(),
    };
    // SAFETY: `info` has room for the answer; the file name belongs to the loader and stays.
    unsafe {
        if sys::dladdr(symbol, &raw mut info) != 0 && !info.file.is_null() {
            text::publish(text::bytes(info.file), &header.library);
        }
    }
}

/// A zeroed page that is zeroed again in every forked child.
fn wiped_page() -> Option<*mut Producer> {
    const SIZE: usize = 4096;
    const _: () = assert!(size_of::<Producer>() <= SIZE);
    // SAFETY: a new private mapping at a place of the kernel's choice.
    let page = unsafe {
        let protection = sys::PROT_READ | sys::PROT_WRITE;
        let flags = sys::MAP_PRIVATE | sys::MAP_ANONYMOUS;
        sys::mmap(null_mut(), SIZE, protection, flags, -1, 0)
    };
    if page.addr() == usize::MAX {
        return None;
    }
    // SAFETY: the page was mapped just now, and only its treatment at a fork changes.
    let wiped = unsafe { sys::madvise(page, SIZE, sys::MADV_WIPEONFORK) } == 0;
    // Kernels that cannot do that: at least children of the C library's `fork` are noticed.
    let noticed = sys::at_fork(family::before_fork, family::after_fork_in_child);
    (wiped || noticed).then_some(page.cast())
}
