//! The process that reads the ring: what of its is found where, and is it still there?
//!
//! The latter is asked only by a program that has waited in vain, and by one that starts others. A reader that ends in
//! good order sets a flag in what it shares; what is left are readers that were killed.

use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::{sys, text};

/// Long enough for `/proc/<pid>/fd/<fd>`.
pub const PATH_BYTES: usize = 64;
const TARGET_BYTES: usize = 128;

// Copies, since a program may overwrite the memory of its initial environment.
static PATH: [AtomicU8; PATH_BYTES] = [const { AtomicU8::new(0) }; PATH_BYTES];
static TARGET: [AtomicU8; TARGET_BYTES] = [const { AtomicU8::new(0) }; TARGET_BYTES];

/// Remembers where the board was found.
pub fn remember(path: &[u8]) {
    text::publish(path, &PATH);
    let mut target = [0; TARGET_BYTES];
    if let Ok(length) = read_link(&mut target) {
        text::publish(&target[..length], &TARGET);
    }
}

/// Does process `pid` still hold the board open?
///
/// The descriptor seen through `/proc` answers for processes that are gone, that are zombies, and whose number
/// belongs to another process by now. Where `/proc` cannot be read (the program changed its user or its root) the
/// existence of the process has to do.
pub fn is_alive(pid: u32) -> bool {
    // A number that is no process id must not become a group or "everyone".
    let Some(pid) = c_int::try_from(pid).ok().filter(|pid| *pid > 0) else {
        return false;
    };
    let mut target = [0; TARGET_BYTES];
    match read_link(&mut target) {
        Ok(length) => {
            target[..length].iter().chain(&[0]).zip(&TARGET).all(|(now, then)| *now == then.load(Relaxed))
        }
        // SAFETY: signal 0 only asks.
        Err(_) if unsafe { sys::kill(pid, 0) } != 0 && sys::errno() == sys::ESRCH => false,
        Err(sys::ENOENT) => !process_is_visible(),
        Err(_) => true,
    }
}

/// The path of another descriptor of the reader's, put into `path`. None if nothing was remembered.
pub fn sibling(descriptor: u32, path: &mut [u8; PATH_BYTES]) -> Option<&CStr> {
    for (to, from) in path.iter_mut().zip(&PATH) {
        *to = from.load(Relaxed);
    }
    let end = path.iter().rposition(|byte| *byte == b'/')? + 1;
    // No number has more digits.
    let mut digits = [0; 10];
    let mut first = digits.len();
    let mut rest = descriptor;
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10).to_le_bytes()[0];
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let digits = &digits[first..];
    path.get_mut(end..end + digits.len())?.copy_from_slice(digits);
    *path.get_mut(end + digits.len())? = 0;
    CStr::from_bytes_until_nul(path).ok()
}

/// The path without its last part, `/proc/<pid>/fd`, and again without: does that exist?
fn process_is_visible() -> bool {
    let mut path = [0u8; PATH_BYTES];
    for (to, from) in path.iter_mut().zip(&PATH) {
        *to = from.load(Relaxed);
    }
    // "/proc/<pid>" ends at the third slash.
    let Some(end) = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).nth(2)
    else {
        return false;
    };
    // A name that any process directory has and that is no link: EINVAL says that it is there.
    let name = b"/stat\0";
    let Some(room) = path.get_mut(end..end + name.len()) else {
        return false;
    };
    room.copy_from_slice(name);
    let mut unused = [0u8; 1];
    // SAFETY: `path` holds a terminated string, `unused` has the length given.
    let result = unsafe { sys::readlink(path.as_ptr().cast(), unused.as_mut_ptr().cast(), unused.len()) };
    result >= 0 || sys::errno() != sys::ENOENT
}

/// Where the remembered path leads, cut to the room for it less one byte, or the error number.
fn read_link(target: &mut [u8; TARGET_BYTES]) -> Result<usize, c_int> {
    // SAFETY: PATH always ends with a zero: it begins as zeroes and `publish` keeps the last one. An AtomicU8 is
    // laid out like a byte, and nothing writes to PATH after the constructor. The room given is inside `target`.
    let length = unsafe { sys::readlink(PATH.as_ptr().cast(), target.as_mut_ptr().cast(), TARGET_BYTES - 1) };
    usize::try_from(length).map_err(|_| sys::errno())
}
