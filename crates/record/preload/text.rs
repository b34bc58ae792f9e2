//! Bytes of C strings, without the C library's or Rust's string types.

use core::ffi::c_char;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The bytes of a C string, without its terminator.
///
/// # Safety
///
/// `text` points to a nul-terminated string that is neither changed nor freed during `'a`.
pub unsafe fn bytes<'a>(text: *const c_char) -> &'a [u8] {
    // SAFETY: the caller promises exactly what `CStr::from_ptr` asks for.
    unsafe { core::ffi::CStr::from_ptr(text) }.to_bytes()
}

/// Writes `text` and a terminator into shared memory, cut where it does not fit.
pub fn publish(text: &[u8], to: &[AtomicU8]) {
    let room = to.len().saturating_sub(1);
    for (from, to) in text.iter().take(room).chain(&[0]).zip(to) {
        to.store(*from, Relaxed);
    }
}

/// Does `text` contain `part`?
pub fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
