//! Finding a method's entry, in what looks like a loaded interpreter.

use std::ffi::c_int;
use std::mem::offset_of;
use std::ops::Range;

use crate::preload::methods::{EXECUTABLE, LOAD, Method, PROTECTED_LATER, READABLE, Search, WRITABLE, visit};
use crate::preload::sys::{Module, Segment};

const FLAGS: c_int = 4;
const ENTRIES: usize = 6;
/// What is found is this one, unless a test says otherwise.
const WANTED: usize = 3;

#[repr(C)]
struct Memory {
    code: [u8; 64],
    name: [u8; 8],
    other_name: [u8; 8],
    entries: [Method; ENTRIES],
}

fn entry(name: &[u8; 8], function: &u8) -> Method {
    let (name, function) = (name.as_ptr().addr(), std::ptr::from_ref(function).addr());
    Method { name, function, flags: FLAGS, documentation: 0 }
}

/// Offsets of some entries.
fn place(entries: Range<usize>) -> Range<usize> {
    let offset = |entry: usize| offset_of!(Memory, entries) + entry * size_of::<Method>();
    offset(entries.start)..offset(entries.end)
}

/// Which entry is found, if the entries `named` have the name, in a writable segment of which the loader protects what
/// is given: from one offset to another.
fn found(named: &[usize], protected: Option<Range<usize>>) -> Option<usize> {
    let empty = || Method { name: 0, function: 0, flags: 0, documentation: 0 };
    let mut memory = Box::new(Memory {
        code: [0; 64],
        name: *b"wanted!\0",
        other_name: *b"another\0",
        entries: [(); ENTRIES].map(|()| empty()),
    });
    for at in 0..ENTRIES {
        let name = if named.contains(&at) { &memory.name } else { &memory.other_name };
        memory.entries[at] = entry(name, &memory.code[at]);
    }
    // The segment of data has zeroes behind what is in the file, which may be protected too.
    let segment = |kind: u32, flags: u32, place: Range<usize>| Segment {
        kind,
        flags,
        offset: place.start,
        address: place.start,
        physical: place.start,
        file_size: place.len(),
        memory_size: place.len(),
        alignment: 8,
    };
    let mut segments = vec![
        segment(LOAD, READABLE | EXECUTABLE, 0..offset_of!(Memory, entries)),
        segment(LOAD, READABLE | WRITABLE, place(0..ENTRIES)),
    ];
    segments.extend(protected.map(|place| segment(PROTECTED_LATER, READABLE, place)));
    let mut module = Module {
        base: std::ptr::from_ref(&*memory).expose_provenance(),
        name: std::ptr::null(),
        segments: segments.as_ptr(),
        segment_count: u16::try_from(segments.len()).expect("a few"),
    };
    let mut search = Search::new(memory.code.as_ptr().addr());
    // SAFETY: the module and its segments live longer than the calls; the segments lie inside of `memory`, which nobody
    // changes meanwhile.
    let entry = unsafe {
        assert_eq!(visit(&raw mut module, size_of::<Module>(), (&raw mut search).cast()), 1);
        search.find(&memory.name, FLAGS)
    };
    entry.map(|entry| (entry.addr() - memory.entries.as_ptr().addr()) / size_of::<Method>())
}

#[test]
fn an_entry_that_can_be_changed_is_found() {
    assert_eq!(found(&[WANTED], None), Some(WANTED));
    assert_eq!(found(&[WANTED], Some(place(0..WANTED))), Some(WANTED));
    assert_eq!(found(&[WANTED], Some(place(0..0))), Some(WANTED));
    // In another segment, as some linkers do it.
    assert_eq!(found(&[WANTED], Some(0..place(0..0).start)), Some(WANTED));
    assert_eq!(found(&[], None), None);
}

#[test]
fn a_protected_entry_is_left_alone() {
    let end = place(0..ENTRIES).end;
    for protected in [place(0..ENTRIES), place(0..WANTED + 1), place(WANTED..WANTED + 1)] {
        assert_eq!(found(&[WANTED], Some(protected)), None);
    }
    assert_eq!(found(&[WANTED], Some(place(0..0).start..end + 4096)), None);
    // Half of it is.
    let start = place(WANTED..ENTRIES).start;
    assert_eq!(found(&[WANTED], Some(place(0..0).start..start + 8)), None);
    // It shares a page with one that is protected.
    assert_eq!(found(&[WANTED], Some(place(WANTED + 1..ENTRIES))), None);
}

#[test]
fn an_ambiguous_entry_is_left_alone() {
    assert_eq!(found(&[1, WANTED], None), None);
    assert_eq!(found(&[1, WANTED], Some(place(0..2))), Some(WANTED));
}
