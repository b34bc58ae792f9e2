//! What happens when the program is loaded and when it ends.
//!
//! The constructor runs in every process that inherits the environment: shells, `env`, version managers. Only one
//! that exports CPython's allocator interface takes the ring; the others leave everything as it is, so that the
//! program that they start may. It runs before `main` and allocates nothing, least of all from Python.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{
    AtomicPtr, AtomicU64,
    Ordering::{Relaxed, Release, SeqCst},
};

use super::arena;
use super::header::{self, HEADER_BYTES, Header};
use super::hooks::{self, Interface};
use super::producer::Producer;
use super::{environment, methods, parent, sys, text};

/// The page of the [`Producer`]; null if this process was not claimed.
static PRODUCER: AtomicPtr<Producer> = AtomicPtr::new(null_mut());

/// What is needed of the interpreter.
struct Symbols {
    interface: Interface,
    get_arena: arena::Exchange,
    set_arena: arena::Exchange,
    version: unsafe extern "C" fn() -> *const c_char,
}

/// Called by the dynamic loader before `main`.
pub fn constructor() {
    let _keep = sys::KeepErrno::new();
    // SAFETY: the process has one thread, which is here.
    unsafe {
        let Some(path) = environment::find(environment::RING) else { return };
        let Some(symbols) = look_up() else { return };
        let ring = open(path);
        if let Some(ring) = &ring
            && ring.claim()
        {
            parent::remember(path.to_bytes());
            start(ring, &symbols);
        }
        // A second interpreter that came too late, or one whose reader is gone, must not see our variables either.
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
    {
        // Hooks that worked after the interpreter's start were not dropped by it: something wraps them.
        let worked = producer.is_initialized();
        producer.raise(if worked { header::FLAG_HOOKS_WRAPPED } else { header::FLAG_HOOKS_LOST });
    }
    producer.stop();
}

/// The interpreter's functions, if all are there.
///
/// # Safety
///
/// None; `dlsym` may be called at any time. The types are those of CPython's documented interface.
unsafe fn look_up() -> Option<Symbols> {
    // RTLD_DEFAULT is the null handle.
    // SAFETY: the names are terminated strings.
    let find = |name: &CStr| unsafe { sys::dlsym(null_mut(), name.as_ptr()) };
    let get = find(c"PyMem_GetAllocator");
    let set = find(c"PyMem_SetAllocator");
    let get_arena = find(c"PyObject_GetArenaAllocator");
    let set_arena = find(c"PyObject_SetArenaAllocator");
    let version = find(c"Py_GetVersion");
    // Only programs with glibc are known to go well.
    let glibc = find(c"gnu_get_libc_version");
    if [get, set, get_arena, set_arena, version, glibc].contains(&null_mut()) {
        return None;
    }
    let is_initialized = find(c"Py_IsInitialized");
    let first = find(c"PyInterpreterState_Head");
    let next = find(c"PyInterpreterState_Next");
    // SAFETY: none of the first five is null, and the functions of these names have these types in every version. A
    // null pointer is `None` where the type is an option.
    unsafe {
        Some(Symbols {
            interface: Interface {
                get: core::mem::transmute::<*mut c_void, hooks::Exchange>(get),
                set: core::mem::transmute::<*mut c_void, hooks::Exchange>(set),
                is_initialized: core::mem::transmute::<*mut c_void, Option<unsafe extern "C" fn() -> c_int>>(
                    is_initialized,
                ),
                first: core::mem::transmute::<*mut c_void, Option<unsafe extern "C" fn() -> *mut c_void>>(
                    first,
                ),
                next: core::mem::transmute::<
                    *mut c_void,
                    Option<unsafe extern "C" fn(*mut c_void) -> *mut c_void>,
                >(next),
            },
            get_arena: core::mem::transmute::<*mut c_void, arena::Exchange>(get_arena),
            set_arena: core::mem::transmute::<*mut c_void, arena::Exchange>(set_arena),
            version: core::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *const c_char>(version),
        })
    }
}

/// The ring's file in memory, mapped for good.
pub struct Ring {
    header: *mut Header,
    slots: *mut AtomicU64,
    capacity: usize,
}

impl Ring {
    fn header(&self) -> &Header {
        // SAFETY: mapped by `open` and never unmapped; all fields are atomic.
        unsafe { &*self.header }
    }

    /// Takes the ring for this process, if none has it.
    fn claim(&self) -> bool {
        let pid = number_in_proc().unwrap_or_else(|| {
            // SAFETY: no preconditions.
            let own = unsafe { sys::getpid() };
            own.cast_unsigned() | header::CLAIM_UNCERTAIN
        });
        self.header().claim.compare_exchange(0, pid, SeqCst, Relaxed).is_ok()
    }

    fn refuse(&self, reason: u32) {
        self.header().reason.store(reason, Relaxed);
        self.header().state.store(header::STATE_REFUSED, Release);
    }
}

/// The number of this process in the namespace that `/proc` belongs to. The ring is found through `/proc`, under the
/// reader's number there, so the reader understands this one also if this process has a namespace of its own.
fn number_in_proc() -> Option<u32> {
    // More digits than any process id has.
    let mut digits = [0u8; 16];
    // SAFETY: the path is a terminated string and the room is what `digits` has.
    let length = unsafe { sys::readlink(c"/proc/self".as_ptr(), digits.as_mut_ptr().cast(), digits.len()) };
    let digits = digits.get(..usize::try_from(length).ok()?)?;
    let number = core::str::from_utf8(digits).ok()?.parse().ok()?;
    (1..header::CLAIM_UNCERTAIN).contains(&number).then_some(number)
}

/// Maps the ring whole and touches every page of it now, not in the program's time. No descriptor stays open.
pub fn open(path: &CStr) -> Option<Ring> {
    // SAFETY: the path is a terminated string.
    let fd = unsafe { sys::open(path.as_ptr(), sys::O_RDWR | sys::O_CLOEXEC) };
    if fd < 0 {
        return None;
    }
    let ring = capacity(fd).and_then(|capacity| {
        let protection = sys::PROT_READ | sys::PROT_WRITE;
        let flags = sys::MAP_SHARED | sys::MAP_POPULATE;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let whole = unsafe { sys::mmap(null_mut(), file_size(capacity), protection, flags, fd, 0) };
        // MAP_FAILED is the address −1.
        if whole.addr() == usize::MAX {
            return None;
        }
        // SAFETY: the offset is inside of the mapping.
        let slots = unsafe { whole.byte_add(HEADER_BYTES) };
        Some(Ring { header: whole.cast(), slots: slots.cast(), capacity })
    });
    // SAFETY: the descriptor is ours and not used afterwards.
    unsafe { sys::close(fd) };
    ring
}

/// How many slots the ring in this file has; none if it is not a ring of this layout, or does not have, now and for
/// ever, all the bytes that it should: mapped memory behind the end of a file is a trap.
fn capacity(fd: c_int) -> Option<usize> {
    // SAFETY: every field is an atomic integer, for which zero is valid.
    let mut header: Header = unsafe { core::mem::zeroed() };
    // SAFETY: the room is what `header` has, and any bytes are valid there.
    let read = unsafe { sys::pread(fd, (&raw mut header).cast(), size_of::<Header>(), 0) };
    let log2 = header.slots_log2.load(Relaxed);
    if usize::try_from(read) != Ok(size_of::<Header>())
        || header.magic.load(Relaxed) != header::MAGIC
        || header.layout.load(Relaxed) != header::LAYOUT
        || !(3..=40).contains(&log2)
    {
        return None;
    }
    let capacity = 1 << log2;
    // SAFETY: both calls take numbers only. (`fstat` is no symbol of glibc before 2.33.)
    let (seals, size) = unsafe { (sys::fcntl(fd, sys::F_GET_SEALS), sys::lseek(fd, 0, sys::SEEK_END)) };
    // Either is −1 if it failed, as seals do in files that cannot have any.
    let is_sealed = seals >= 0 && seals & sys::F_SEAL_SHRINK != 0;
    let is_whole = usize::try_from(size).is_ok_and(|size| size >= file_size(capacity));
    (is_sealed && is_whole).then_some(capacity)
}

/// Bytes of a file with room for the header and this many slots, at most 2^40.
const fn file_size(capacity: usize) -> usize {
    HEADER_BYTES + capacity * size_of::<AtomicU64>()
}

/// Fills in who we are and puts the hooks in.
///
/// # Safety
///
/// Called once, by the constructor.
unsafe fn start(ring: &Ring, symbols: &Symbols) {
    // SAFETY: the function returns a static string and allocates nothing.
    let version = unsafe { text::bytes((symbols.version)()) };
    let header = ring.header();
    text::publish(version, &header.version);
    publish_files(header, symbols.version as *const c_void);
    if text::contains(version, b"free-threading build") {
        return ring.refuse(header::REASON_FREE_THREADED);
    }
    let Some(page) = wiped_page() else {
        return ring.refuse(header::REASON_SYSTEM);
    };
    PRODUCER.store(page, Relaxed);
    // SAFETY: the page lives as long as the process, holds zeroes, and is large enough; the ring is mapped for good;
    // one thread, before `main`.
    unsafe {
        (*page).attach(ring.header, ring.slots, ring.capacity);
        hooks::install(symbols.interface, page);
        arena::install(symbols.get_arena, symbols.set_arena, page);
        if methods::wrap_debug_malloc_stats(symbols.version as *const c_void, page) {
            (*page).raise(header::FLAG_STATISTICS);
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
    // Kernels that cannot do that: at least children of the C library's `fork` are kept out.
    (wiped || sys::at_fork_in_child(forget)).then_some(page.cast())
}

unsafe extern "C" fn forget() {
    let page = PRODUCER.load(Relaxed);
    if !page.is_null() {
        // SAFETY: the page is the child's own copy, the child has one thread, and zeroes are valid.
        unsafe { page.write_bytes(0, 1) };
    }
}
