//! What the preloaded library takes for a ring, and what it leaves alone.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::preload::header::{HEADER_BYTES, LAYOUT, MAGIC};
use crate::preload::ring::open;
use crate::ring::Ring;

/// Bytes of a ring of 2^4 slots.
const WHOLE: u64 = HEADER_BYTES as u64 + 16 * 8;

/// Does the library map what this descriptor of ours stands for? If so it stays mapped.
fn opens(descriptor: i32) -> bool {
    let path = CString::new(format!("/proc/self/fd/{descriptor}")).expect("a path");
    open(&path).is_some()
}

/// A file that begins like a ring of 2^4 slots and has this length.
fn file(bytes: u64, layout: u32, seals: SealFlags) -> OwnedFd {
    let file = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("a file");
    let file = File::from(file);
    file.write_all_at(&MAGIC.to_ne_bytes(), 0).expect("written");
    file.write_all_at(&layout.to_ne_bytes(), 8).expect("written");
    file.write_all_at(&4_u32.to_ne_bytes(), 12).expect("written");
    file.set_len(bytes).expect("a length");
    fcntl_add_seals(&file, seals).expect("sealed");
    file.into()
}

#[test]
fn a_ring_is_opened() {
    assert!(opens(Ring::new(64, 1).expect("a ring").descriptor().cast_signed()));
    assert!(opens(file(WHOLE, LAYOUT, SealFlags::SHRINK).as_raw_fd()));
    assert!(opens(file(WHOLE + 1, LAYOUT, SealFlags::SHRINK | SealFlags::GROW).as_raw_fd()));
}

#[test]
fn a_file_that_is_too_short_is_left_alone() {
    for bytes in [0, 8, 16, 2000, HEADER_BYTES as u64, WHOLE - 1] {
        assert!(!opens(file(bytes, LAYOUT, SealFlags::SHRINK).as_raw_fd()), "{bytes}");
    }
}

#[test]
fn what_may_become_too_short_or_is_no_ring_is_left_alone() {
    assert!(!opens(file(WHOLE, LAYOUT, SealFlags::GROW).as_raw_fd()));
    assert!(!opens(file(WHOLE, LAYOUT + 1, SealFlags::SHRINK).as_raw_fd()));
    let own = File::open(std::env::current_exe().expect("a path")).expect("a file");
    assert!(!opens(own.as_raw_fd()));
    assert!(!opens(-1));
}
