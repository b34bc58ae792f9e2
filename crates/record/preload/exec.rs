//! Starting other programs: what an interpreter starts is given the environment that the interpreter was given.
//!
//! An interpreter's own environment is restored, so programs that it starts would know nothing of the recording. These
//! functions, exported in place of the C library's, add what they need to the environment that the caller passes, and
//! call the C library's. In processes that are no interpreters they change nothing.
//!
//! They also run in children made by `vfork`, which borrow their parent's memory: nothing but the stack is written to.

use core::ffi::{CStr, c_char, c_int, c_void};
use core::ptr::null;
use core::sync::atomic::{
    AtomicPtr, AtomicU8,
    Ordering::{Acquire, Relaxed, Release},
};

use super::board::Board;
use super::environment::{self, EARLIER, HIDDEN_BOARD, OURS, PRELOAD};
use super::{family, reader, sys, text};

/// Larger environments, and longer paths, are passed on as they are: what is then started is not known to the recorder.
const MAX_ENTRIES: usize = 1000;
const MAX_TEXT: usize = 1024;

pub type Strings = *const *const c_char;

static BOARD: AtomicPtr<Board> = AtomicPtr::new(core::ptr::null_mut());
/// The variable that leads to the board. Copies, since a program may overwrite the memory of its initial environment.
static VARIABLE: [AtomicU8; 128] = [const { AtomicU8::new(0) }; 128];
/// The path of this library.
static LIBRARY: [AtomicU8; 512] = [const { AtomicU8::new(0) }; 512];

/// From now on, programs that this process starts are told of the recording.
///
/// `preload` is the value of `LD_PRELOAD`, which begins with the path of this library. Called once, by the constructor.
pub fn pass_on(board: &'static Board, path: &CStr, preload: &CStr) {
    let library = preload.to_bytes().split(|byte| *byte == b':').next().unwrap_or_default();
    let mut variable = [0; VARIABLE.len()];
    if join(&mut variable, &[HIDDEN_BOARD, path.to_bytes()]).is_none() || library.len() >= LIBRARY.len() {
        return;
    }
    text::publish(&variable, &VARIABLE);
    text::publish(library, &LIBRARY);
    BOARD.store(core::ptr::from_ref(board).cast_mut(), Release);
}

/// Is there anybody who wants to know of what this process starts?
fn is_wanted() -> bool {
    // SAFETY: null, or mapped for good.
    unsafe { BOARD.load(Acquire).as_ref() }
        .is_some_and(|board| board.closed.load(Relaxed) == 0 && reader::is_alive(board.reader.load(Relaxed)))
}

/// An environment with what the recorder adds.
struct Extended {
    entries: [*const c_char; MAX_ENTRIES + 4],
    preload: [u8; MAX_TEXT],
    earlier: [u8; MAX_TEXT],
}

impl Extended {
    const EMPTY: Self =
        Self { entries: [null(); MAX_ENTRIES + 4], preload: [0; MAX_TEXT], earlier: [0; MAX_TEXT] };

    /// Makes the environment from the caller's. None: it is to stay as it is.
    ///
    /// # Safety
    ///
    /// `given` is null or an array of terminated strings that ends with a null pointer.
    unsafe fn fill(&mut self, given: Strings) -> Option<Strings> {
        let mut used = 0;
        let mut earlier: Option<&[u8]> = None;
        let mut at = given;
        // SAFETY: the caller's promise; the loop ends at the null pointer.
        while let Some(entry) = unsafe { at.as_ref().filter(|entry| !entry.is_null()) } {
            // SAFETY: a terminated string, which nobody changes during the call that it is passed to.
            let text = unsafe { text::bytes(*entry) };
            if [EARLIER, HIDDEN_BOARD, environment::BOARD].iter().any(|name| text.starts_with(name)) {
                // Somebody records what is started, within what is recorded.
                return None;
            }
            if earlier.is_none() && text.starts_with(PRELOAD) {
                earlier = Some(text);
            } else {
                *self.entries.get_mut(used).filter(|_| used < MAX_ENTRIES)? = *entry;
                used += 1;
            }
            // SAFETY: the array goes on until its null pointer.
            at = unsafe { at.add(1) };
        }
        let mut library = [0; LIBRARY.len()];
        let library = copy(&LIBRARY, &mut library);
        let value = earlier.map(|entry| &entry[PRELOAD.len()..]);
        let separator: &[u8] = if value.is_some() { b":" } else { b"" };
        join(&mut self.preload, &[PRELOAD, library, separator, value.unwrap_or_default()])?;
        if let Some(earlier) = earlier {
            join(&mut self.earlier, &[OURS, earlier])?;
            self.entries[used] = self.earlier.as_ptr().cast();
            used += 1;
        }
        self.entries[used] = self.preload.as_ptr().cast();
        self.entries[used + 1] = VARIABLE.as_ptr().cast();
        Some(self.entries.as_ptr())
    }
}

/// The text in shared bytes, without its terminator.
fn copy<'a>(from: &[AtomicU8], to: &'a mut [u8]) -> &'a [u8] {
    let mut length = 0;
    for (from, to) in from.iter().zip(to.iter_mut()) {
        *to = from.load(Relaxed);
        if *to == 0 {
            break;
        }
        length += 1;
    }
    &to[..length]
}

/// Puts parts behind each other, and a terminator. None if there is no room.
fn join(to: &mut [u8], parts: &[&[u8]]) -> Option<()> {
    let mut end = 0;
    for part in parts {
        to.get_mut(end..end + part.len())?.copy_from_slice(part);
        end += part.len();
    }
    *to.get_mut(end)? = 0;
    Some(())
}

/// Calls `start` with the environment that a program is to be given.
///
/// # Safety
///
/// As for [`Extended::fill`].
unsafe fn with<R>(given: Strings, start: impl FnOnce(Strings) -> R) -> R {
    let keep = sys::KeepErrno::new();
    if !is_wanted() {
        drop(keep);
        return start(given);
    }
    let mut extended = Extended::EMPTY;
    // SAFETY: the caller's promise.
    let environment = unsafe { extended.fill(given) }.unwrap_or(given);
    drop(keep);
    start(environment)
}

/// The C library's function of this name, for which ours is called.
fn original(name: &CStr) -> Option<*mut c_void> {
    // RTLD_NEXT is the handle −1.
    let next = core::ptr::without_provenance_mut(usize::MAX);
    // SAFETY: the name is a terminated string.
    let function = unsafe { sys::dlsym(next, name.as_ptr()) };
    (!function.is_null()).then_some(function)
}

/// `execve`.
///
/// # Safety
///
/// As for the C library's function of this name; so for all that follow.
pub unsafe fn execve(path: *const c_char, arguments: Strings, environment: Strings) -> c_int {
    family::is_replaced();
    // SAFETY: the caller's promise.
    unsafe { with(environment, |environment| sys::execve(path, arguments, environment)) }
}

/// `execvpe`.
///
/// # Safety
///
/// See [`execve`].
pub unsafe fn execvpe(file: *const c_char, arguments: Strings, environment: Strings) -> c_int {
    type Function = unsafe extern "C" fn(*const c_char, Strings, Strings) -> c_int;
    family::is_replaced();
    let Some(original) = original(c"execvpe") else { return missing() };
    // SAFETY: the C library's function of this name has this type; its arguments are the caller's promise.
    unsafe {
        let original = core::mem::transmute::<*mut c_void, Function>(original);
        with(environment, |environment| original(file, arguments, environment))
    }
}

/// `fexecve`.
///
/// # Safety
///
/// See [`execve`].
pub unsafe fn fexecve(fd: c_int, arguments: Strings, environment: Strings) -> c_int {
    type Function = unsafe extern "C" fn(c_int, Strings, Strings) -> c_int;
    family::is_replaced();
    let Some(original) = original(c"fexecve") else { return missing() };
    // SAFETY: as in `execvpe`.
    unsafe {
        let original = core::mem::transmute::<*mut c_void, Function>(original);
        with(environment, |environment| original(fd, arguments, environment))
    }
}

/// `posix_spawn` or `posix_spawnp`, by name.
///
/// # Safety
///
/// See [`execve`].
pub unsafe fn spawn(
    name: &CStr,
    pid: *mut c_int,
    file: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    type Function = unsafe extern "C" fn(
        *mut c_int,
        *const c_char,
        *const c_void,
        *const c_void,
        Strings,
        Strings,
    ) -> c_int;
    let Some(original) = original(name) else { return sys::ENOSYS };
    // SAFETY: as in `execvpe`.
    unsafe {
        let original = core::mem::transmute::<*mut c_void, Function>(original);
        with(environment, |environment| original(pid, file, actions, attributes, arguments, environment))
    }
}

fn missing() -> c_int {
    sys::set_errno(sys::ENOSYS);
    -1
}

/// `system` or `popen`, whose new process is given this one's environment by the C library: for the time of the call,
/// that is what others are given.
///
/// # Safety
///
/// `start` does not call back; otherwise as for [`execve`].
pub unsafe fn with_own_environment<R>(start: impl FnOnce() -> R) -> R {
    let keep = sys::KeepErrno::new();
    let mut extended = Extended::EMPTY;
    // SAFETY: the C library's environment. If another thread changes it now, the caller's own use of it would be as wrong.
    if !is_wanted() || unsafe { extended.fill(sys::environ.cast_const().cast()) }.is_none() {
        drop(keep);
        return start();
    }
    let had_preload = extended.earlier[0] != 0;
    let mut variable = [0; VARIABLE.len()];
    copy(&VARIABLE, &mut variable);
    // SAFETY: all are terminated strings, with an equals sign where the name ends; the C library copies what it keeps.
    let result = unsafe {
        sys::set_variable(&mut extended.preload, PRELOAD.len());
        sys::set_variable(&mut variable, HIDDEN_BOARD.len());
        if had_preload {
            sys::set_variable(&mut extended.earlier, EARLIER.len());
        }
        drop(keep);
        start()
    };
    let _keep = sys::KeepErrno::new();
    // SAFETY: as above.
    unsafe {
        sys::unset_variable(&mut variable, HIDDEN_BOARD.len());
        if had_preload {
            sys::unset_variable(&mut extended.earlier, EARLIER.len());
            // What it was stands behind the prefix.
            sys::set_variable(&mut extended.earlier[OURS.len()..], PRELOAD.len());
        } else {
            sys::unset_variable(&mut extended.preload, PRELOAD.len());
        }
    }
    result
}

/// `system`.
///
/// # Safety
///
/// See [`execve`].
pub unsafe fn system(line: *const c_char) -> c_int {
    let Some(original) = original(c"system") else { return missing() };
    // SAFETY: as in `execvpe`.
    unsafe {
        let original =
            core::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const c_char) -> c_int>(original);
        with_own_environment(|| original(line))
    }
}

/// `popen`.
///
/// # Safety
///
/// See [`execve`].
pub unsafe fn popen(line: *const c_char, mode: *const c_char) -> *mut c_void {
    type Function = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut c_void;
    let Some(original) = original(c"popen") else {
        missing();
        return core::ptr::null_mut();
    };
    // SAFETY: as in `execvpe`.
    unsafe {
        let original = core::mem::transmute::<*mut c_void, Function>(original);
        with_own_environment(|| original(line, mode))
    }
}
