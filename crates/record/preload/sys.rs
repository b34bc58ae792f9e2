//! The C library's functions, and the Linux constants that x86-64 and AArch64 share.

use core::ffi::{c_char, c_int, c_long, c_void};
use core::sync::atomic::AtomicU32;

pub const O_RDWR: c_int = 2;
pub const O_CLOEXEC: c_int = 0o2_000_000;
pub const PROT_READ: c_int = 1;
pub const PROT_WRITE: c_int = 2;
pub const PROT_EXEC: c_int = 4;
pub const MAP_SHARED: c_int = 1;
pub const MAP_PRIVATE: c_int = 2;
pub const MAP_ANONYMOUS: c_int = 0x20;
pub const MAP_POPULATE: c_int = 0x8000;
pub const MADV_WIPEONFORK: c_int = 18;
pub const SEEK_END: c_int = 2;
pub const F_GET_SEALS: c_int = 1034;
pub const F_SEAL_SHRINK: c_int = 2;
pub const ENOENT: c_int = 2;
pub const ESRCH: c_int = 3;
pub const ENOSYS: c_int = 38;

#[cfg(target_arch = "x86_64")]
const SYS_FUTEX: c_long = 202;
#[cfg(not(target_arch = "x86_64"))]
const SYS_FUTEX: c_long = 98;
#[cfg(target_arch = "x86_64")]
const SYS_EXECVE: c_long = 59;
#[cfg(not(target_arch = "x86_64"))]
const SYS_EXECVE: c_long = 221;
#[cfg(target_arch = "x86_64")]
const SYS_CLOCK_GETTIME: c_long = 228;
#[cfg(not(target_arch = "x86_64"))]
const SYS_CLOCK_GETTIME: c_long = 113;
#[cfg(target_arch = "x86_64")]
const SYS_PROCESS_VM_READV: c_long = 310;
#[cfg(not(target_arch = "x86_64"))]
const SYS_PROCESS_VM_READV: c_long = 270;
const CLOCK_MONOTONIC: c_int = 1;
const FUTEX_WAIT: c_int = 0;
const FUTEX_WAKE: c_int = 1;

/// `Dl_info`.
#[repr(C)]
pub struct SymbolInfo {
    pub file: *const c_char,
    pub base: *mut c_void,
    pub symbol: *const c_char,
    pub address: *mut c_void,
}

/// `Elf64_Phdr`; only 64-bit targets are supported.
#[repr(C)]
pub struct Segment {
    pub kind: u32,
    pub flags: u32,
    pub offset: usize,
    pub address: usize,
    pub physical: usize,
    pub file_size: usize,
    pub memory_size: usize,
    pub alignment: usize,
}

/// The beginning of `struct dl_phdr_info`.
#[repr(C)]
pub struct Module {
    pub base: usize,
    pub name: *const c_char,
    pub segments: *const Segment,
    pub segment_count: u16,
}

/// The argument of `dl_iterate_phdr`; not 0 ends the iteration.
pub type ModuleVisitor = unsafe extern "C" fn(*mut Module, usize, *mut c_void) -> c_int;

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    pub static mut environ: *mut *mut c_char;

    pub fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    pub fn dladdr(address: *const c_void, info: *mut SymbolInfo) -> c_int;
    pub fn dl_iterate_phdr(visit: ModuleVisitor, data: *mut c_void) -> c_int;
    pub fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    pub fn close(fd: c_int) -> c_int;
    pub fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    pub fn lseek(fd: c_int, offset: i64, from: c_int) -> i64;
    pub fn pread(fd: c_int, to: *mut c_void, size: usize, offset: i64) -> isize;
    pub fn readlink(path: *const c_char, to: *mut c_char, size: usize) -> isize;
    pub fn mmap(
        at: *mut c_void,
        size: usize,
        protection: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void;
    pub fn munmap(at: *mut c_void, size: usize) -> c_int;
    pub fn mprotect(at: *mut c_void, size: usize, protection: c_int) -> c_int;
    pub fn getpagesize() -> c_int;
    pub fn getenv(name: *const c_char) -> *mut c_char;
    pub fn madvise(at: *mut c_void, size: usize, advice: c_int) -> c_int;
    fn setenv(name: *const c_char, value: *const c_char, overwrite: c_int) -> c_int;
    fn unsetenv(name: *const c_char) -> c_int;
    pub fn kill(pid: c_int, signal: c_int) -> c_int;
    pub fn getpid() -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

/// A handler of [`RegisterAtFork`].
type AtFork = Option<unsafe extern "C" fn()>;

/// `__register_atfork`: part of glibc's interface since 2.3; `pthread_atfork` itself is not in every version's shared
/// library.
type RegisterAtFork =
    unsafe extern "C" fn(prepare: AtFork, parent: AtFork, child: AtFork, library: *mut c_void) -> c_int;

/// The calling thread's error number.
pub fn errno() -> c_int {
    // SAFETY: glibc returns a valid pointer for the whole life of the thread.
    unsafe { *__errno_location() }
}

/// Sets it.
pub fn set_errno(error: c_int) {
    // SAFETY: as in `errno`; the location belongs to this thread alone.
    unsafe { *__errno_location() = error }
}

/// Puts the error number back to what it was when this value was made.
pub struct KeepErrno(c_int);

impl KeepErrno {
    pub fn new() -> Self {
        Self(errno())
    }
}

impl Drop for KeepErrno {
    fn drop(&mut self) {
        set_errno(self.0);
    }
}

/// `struct iovec`.
#[repr(C)]
struct Piece {
    start: usize,
    bytes: usize,
}

/// The words that are at an address, whatever it is; none if it cannot be read.
pub fn copied<const WORDS: usize>(address: usize) -> Option<[usize; WORDS]> {
    let _keep = KeepErrno::new();
    let (mut words, bytes) = ([0_usize; WORDS], size_of::<[usize; WORDS]>());
    let to = Piece { start: (&raw mut words).expose_provenance(), bytes };
    let from = Piece { start: address, bytes };
    // SAFETY: the kernel writes to `words`, which has so much room; it copies, or says that it cannot.
    let copied = unsafe {
        syscall(SYS_PROCESS_VM_READV, getpid(), &raw const to, 1_usize, &raw const from, 1_usize, 0_usize)
    };
    (usize::try_from(copied) == Ok(bytes)).then_some(words)
}

/// Sleeps while `word` is `value`, at most that long; may return early for no reason.
pub fn futex_wait(word: &AtomicU32, value: u32, milliseconds: i64) {
    let timeout = Timespec { seconds: milliseconds / 1000, nanoseconds: milliseconds % 1000 * 1_000_000 };
    // SAFETY: FUTEX_WAIT reads an aligned 4-byte word and a timespec, both alive during the call; the flag for
    // private futexes is not given, as the word is shared between processes.
    unsafe { syscall(SYS_FUTEX, word.as_ptr(), FUTEX_WAIT, value, &raw const timeout) };
}

/// Nanoseconds since some moment; 0 if they cannot be had.
pub fn nanoseconds() -> i64 {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    let _error = KeepErrno::new();
    // SAFETY: the call writes a timespec, which is alive.
    let failed = unsafe { syscall(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, &raw mut now) } != 0;
    if failed { 0 } else { now.seconds.wrapping_mul(1_000_000_000).wrapping_add(now.nanoseconds) }
}

/// Wakes who sleeps on `word`.
pub fn futex_wake(word: &AtomicU32) {
    // SAFETY: FUTEX_WAKE only looks up the address of the word, which is aligned and alive.
    unsafe { syscall(SYS_FUTEX, word.as_ptr(), FUTEX_WAKE, c_int::MAX) };
}

/// Has `before` called in the parent, before each fork that the C library makes, and `in_child` afterwards in the
/// child. Returns whether that worked.
pub fn at_fork(before: unsafe extern "C" fn(), in_child: unsafe extern "C" fn()) -> bool {
    // Not linked: a program with another C library could then not even be started with this one.
    // SAFETY: the name is a terminated string.
    let found = unsafe { dlsym(core::ptr::null_mut(), c"__register_atfork".as_ptr()) };
    // SAFETY: null is `None`, and what has this name has this type. Handlers may be absent; no library handle means that
    // they are never unregistered, which is right for code that is never unloaded.
    unsafe {
        let register = core::mem::transmute::<*mut c_void, Option<RegisterAtFork>>(found);
        register
            .is_some_and(|register| register(Some(before), None, Some(in_child), core::ptr::null_mut()) == 0)
    }
}

/// Replaces the process by a program. Returns only if that failed.
///
/// # Safety
///
/// A terminated path, and arrays of terminated strings that end with null pointers.
pub unsafe fn execve(
    path: *const c_char,
    arguments: *const *const c_char,
    environment: *const *const c_char,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { syscall(SYS_EXECVE, path, arguments, environment) };
    -1
}

/// Sets a variable of the C library's environment. `variable` is its name, an equals sign and its value; the name with
/// the sign has `name` bytes. Failure, for want of memory, leaves it as it was.
///
/// # Safety
///
/// `variable` holds a terminated string with that sign in that place. No other thread uses the environment but by the C
/// library's functions.
pub unsafe fn set_variable(variable: &mut [u8], name: usize) {
    // SAFETY: with a terminator in place of the sign, both are terminated strings.
    unsafe { split(variable, name, |name, value| setenv(name, value, 1)) };
}

/// Removes a variable of the C library's environment.
///
/// # Safety
///
/// As for [`set_variable`].
pub unsafe fn unset_variable(variable: &mut [u8], name: usize) {
    // SAFETY: as above.
    unsafe { split(variable, name, |name, _| unsetenv(name)) };
}

fn split(variable: &mut [u8], name: usize, call: impl FnOnce(*const c_char, *const c_char) -> c_int) {
    variable[name - 1] = 0;
    let (start, value) = variable.split_at(name);
    call(start.as_ptr().cast(), value.as_ptr().cast());
    variable[name - 1] = b'=';
}
