//! What is told of a type, once: what its instances are, its name, and what deallocates them.

use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::layout::{BASE, DEALLOC, DELETE, FINALIZE, FLAGS, IS_HEAP_TYPE, Object, WEAK_REFERENCES};
use super::nesting;
use super::objects::put;
use super::producer::Producer;
use super::slot;

/// Types that were described already, by a part of their address: a type that is not found here is described again.
static DESCRIBED: [AtomicUsize; 4096] = [const { AtomicUsize::new(0) }; 4096];

/// A type begins or ends here: what was known of this address is known no more.
pub fn forget(of: Object) {
    let place = &DESCRIBED[(of.0.addr() >> 4) % DESCRIBED.len()];
    if place.load(Relaxed) == of.0.addr() {
        place.store(0, Relaxed);
    }
}

/// Describes a type unless that was done.
///
/// # Safety
///
/// It is a type, and alive.
pub unsafe fn introduce(producer: &Producer, of: Object) {
    let place = &DESCRIBED[(of.0.addr() >> 4) % DESCRIBED.len()];
    if place.load(Relaxed) != of.0.addr() {
        place.store(of.0.addr(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { describe(producer, of) };
    }
}

/// # Safety
///
/// It is a type, and alive.
unsafe fn describe(producer: &Producer, of: Object) {
    put(producer, slot::TYPE, of.0.addr());
    // SAFETY: the caller's promise.
    let (flags, family) = unsafe { (of.word(FLAGS), family(of)) };
    // SAFETY: as above, of both.
    let bits = unsafe {
        [
            of.word(FINALIZE) != 0,
            of.word(WEAK_REFERENCES) != 0,
            is_class(of),
            // (One of the interpreter's own that is not ready yet has none.)
            family.word(DEALLOC) != 0 && !nesting::is_code(family.word(DEALLOC)),
            of.word(DELETE) != 0,
        ]
    };
    let bits = bits.into_iter().rev().fold(0, |bits, bit| bits << 1 | u64::from(bit));
    producer.put(slot::pack(slot::OBJECT, slot::TYPE_FLAGS, (flags as u64 & 0xffff_ffff) | bits << 32));
    // SAFETY: as above.
    unsafe {
        tell_name(producer, of);
        tell_name(producer, family);
    }
}

/// What deallocates instances of classes, once it is known: see [`family`].
static CLASS_DEALLOC: AtomicUsize = AtomicUsize::new(0);

/// Whether its objects are deallocated as those of classes are.
///
/// # Safety
///
/// It is a type, and alive.
unsafe fn is_class(of: Object) -> bool {
    let known = CLASS_DEALLOC.load(Relaxed);
    // SAFETY: the caller's promise.
    known != 0 && unsafe { of.word(DEALLOC) } == known
}

/// The type that this one has its deallocation from.
///
/// # Safety
///
/// It is a type, and alive.
unsafe fn family(of: Object) -> Object {
    // SAFETY: the caller's promise; a type keeps its base alive.
    unsafe {
        let name = CStr::from_ptr(of.name()).to_bytes();
        // Types that are made by C have names with a dot; the first class is one of the import system's.
        if CLASS_DEALLOC.load(Relaxed) == 0 && of.word(FLAGS) & IS_HEAP_TYPE != 0 && !name.contains(&b'.') {
            CLASS_DEALLOC.store(of.word(DEALLOC), Relaxed);
        }
        let base = |of: Object| {
            Some(Object(of.0.cast::<*mut c_void>().add(BASE).read())).filter(|of| !of.0.is_null())
        };
        let mut family = of;
        while is_class(family)
            && let Some(next) = base(family)
        {
            family = next;
        }
        while let Some(next) = base(family)
            && next.word(DEALLOC) == family.word(DEALLOC)
        {
            family = next;
        }
        family
    }
}

/// # Safety
///
/// It is a type, and alive.
unsafe fn tell_name(producer: &Producer, of: Object) {
    // SAFETY: the caller's promise.
    let name = unsafe { of.name() };
    // SAFETY: types that have objects have names, which are terminated strings.
    let name = if name.is_null() { &[] } else { unsafe { CStr::from_ptr(name) }.to_bytes() };
    // The last piece has room for a zero, so that it says that it is the last.
    let pieces = (name.len() / slot::NAME_BYTES + 1).min(slot::NAME_PIECES);
    for piece in 0..pieces {
        let mut bytes = [0; 8];
        let rest = name.get(piece * slot::NAME_BYTES..).unwrap_or_default();
        for (to, from) in bytes.iter_mut().take(slot::NAME_BYTES).zip(rest) {
            *to = *from;
        }
        producer.put(slot::pack(slot::OBJECT, slot::TYPE_NAME, u64::from_le_bytes(bytes)));
    }
}
