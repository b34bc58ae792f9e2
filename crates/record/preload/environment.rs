//! Finds our variables and puts the environment back to what it was.
//!
//! Done on the array itself, without `setenv`, which would allocate and leave copies behind.

use core::ffi::{CStr, c_char};

use super::{sys, text};

/// Path of the board's file.
pub const BOARD: &[u8] = b"VIVARIUM_BOARD=";
/// The same, for what an interpreter started: nothing of ours is to be seen there, whether it is an interpreter or not.
pub const HIDDEN_BOARD: &[u8] = b"VIVARIUM_HIDDEN_BOARD=";
/// What `LD_PRELOAD` was before; absent if it was absent.
pub const EARLIER: &[u8] = b"VIVARIUM_LD_PRELOAD=";
pub const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// What [`EARLIER`] has in front of [`PRELOAD`].
pub const OURS: &[u8] = b"VIVARIUM_";

/// The board's path, and whether it is to be hidden.
///
/// # Safety
///
/// As for [`find`].
pub unsafe fn board<'a>() -> Option<(&'a CStr, bool)> {
    // SAFETY: the caller's promise.
    unsafe { find(HIDDEN_BOARD).map(|path| (path, true)).or_else(|| find(BOARD).map(|path| (path, false))) }
}

/// The value of the variable that begins with `name` (which includes the equals sign).
///
/// # Safety
///
/// The environment is not changed by another thread, nor by anyone while the value is in use.
pub unsafe fn find<'a>(name: &[u8]) -> Option<&'a CStr> {
    // SAFETY: the caller's promise.
    let entry = unsafe { position(name).map(|at| *sys::environ.add(at))? };
    // SAFETY: `entry` begins with `name`, so the rest is a string too, maybe an empty one.
    Some(unsafe { CStr::from_ptr(entry.add(name.len())) })
}

/// Removes our variables and restores `LD_PRELOAD`, each other variable staying where it is.
///
/// # Safety
///
/// As for [`find`], and no other thread reads the environment.
pub unsafe fn restore() {
    // SAFETY: indices come from `position`, so the slots exist; an entry that begins with `EARLIER` contains the
    // restored one, "LD_PRELOAD=…", behind "VIVARIUM_". Strings stay where they are; only pointers to them move.
    unsafe {
        if let Some(preload) = position(PRELOAD) {
            match position(EARLIER) {
                Some(earlier) => *sys::environ.add(preload) = (*sys::environ.add(earlier)).add(OURS.len()),
                None => remove(preload),
            }
        }
        // By their whole names: others may begin alike.
        for ours in [EARLIER, BOARD, HIDDEN_BOARD] {
            while let Some(ours) = position(ours) {
                remove(ours);
            }
        }
    }
}

/// Index of the first entry that begins with `prefix`.
///
/// # Safety
///
/// As for [`find`].
unsafe fn position(prefix: &[u8]) -> Option<usize> {
    // SAFETY: `environ` is null or an array of strings that ends with a null pointer, and nobody changes it now.
    unsafe {
        let entries: *mut *mut c_char = sys::environ;
        if entries.is_null() {
            return None;
        }
        let mut at = 0;
        while let Some(entry) = entries.add(at).read().as_ref() {
            if text::bytes(entry).starts_with(prefix) {
                return Some(at);
            }
            at += 1;
        }
    }
    None
}

/// Takes out one entry and moves the later ones up.
///
/// # Safety
///
/// The entry exists; otherwise as for [`restore`].
unsafe fn remove(mut at: usize) {
    // SAFETY: the array goes on at least until its terminating null pointer, which is copied last.
    unsafe {
        loop {
            let next = *sys::environ.add(at + 1);
            *sys::environ.add(at) = next;
            if next.is_null() {
                return;
            }
            at += 1;
        }
    }
}
