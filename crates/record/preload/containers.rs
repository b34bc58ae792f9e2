//! Whether a block holds a container, by what is in it: where the count of the youngest generation does not say.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use super::collector::{Collector, HEADER};
use super::interpreter::find;
use super::layout::{FLAGS, IS_GC, IS_TYPE, Object, TYPE_OF};
use super::methods;
use super::sys;
use super::types::is_described;

/// Bytes of the smallest object.
pub const LEAST: usize = 16;
/// Nothing lies at lower addresses.
const LOWEST: usize = 1 << 16;
/// What the second word of an untracked container's header holds at most: flags.
const HEADER_FLAGS: usize = 3;

/// Where the interpreter has its own types, from and to; and `PyType_Type`.
static DATA: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
static METATYPE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
/// Types elsewhere that have been found to be some.
static FOUND: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];

/// Gets to know where an interpreter has its types.
pub fn know() {
    METATYPE.store(find(c"PyType_Type"), Relaxed);
    if let Some((from, to)) = methods::data_around(find(c"PyType_Type")) {
        DATA[0].store(from, Relaxed);
        DATA[1].store(to, Relaxed);
    }
}

/// Whether a block of this size, with what is in it, holds a container that counts for this collector, or for the one that is
/// recorded: it is the last one on the list, or where a container has its type, one is found.
///
/// # Safety
///
/// The block is as large, and not released yet.
pub unsafe fn is_one(block: *mut c_void, size: usize, collector: Option<Collector>) -> bool {
    let youngest = collector.or_else(Collector::known).map(|collector| collector.head(0));
    // SAFETY: the head of a list. (While that is collected, it is another list's or its own.)
    let last = youngest.map_or(null_mut(), |head| unsafe { Collector::previous(head) });
    if last.addr().wrapping_sub(block.addr()) < size {
        return true;
    }
    // Some have as much in front of that again.
    let size = if block.is_null() { 0 } else { size };
    [HEADER, 2 * HEADER].into_iter().filter(|header| header + LEAST <= size).any(|header| {
        let object = block.wrapping_byte_add(header).cast::<*mut c_void>();
        // SAFETY: the caller's promise.
        let (of, next, previous, count) = unsafe {
            let words = object.cast::<usize>();
            (object.add(TYPE_OF).read(), words.sub(2).read(), words.sub(1).read(), words.read())
        };
        // On no list, or on one: what else stands where a header would is that of an object without, or nobody's.
        let is_untracked = next == 0 && previous <= HEADER_FLAGS;
        let is_header = is_untracked || next >= LOWEST;
        // What is not on a list any more, and dead.
        let has_died = is_untracked && count == 0;
        is_header && (is_type_of_containers(of) || (has_died && is_type_elsewhere(of.addr())))
    })
}

/// Whether there is a type at an address whose objects are containers, as far as that can be told without a doubt about what may be
/// read.
fn is_type_of_containers(of: *mut c_void) -> bool {
    if is_described(of.addr()) {
        return true;
    }
    let [from, to] = [DATA[0].load(Relaxed), DATA[1].load(Relaxed)];
    let is_there = of.addr() >= from && of.addr() < to.saturating_sub(size_of::<[usize; 64]>());
    // SAFETY: what is read lies in the interpreter's own data: one of its types, or something else that says nothing.
    is_there
        && of.addr().is_multiple_of(size_of::<usize>())
        && unsafe { Object(of).of().0 == METATYPE.load(Relaxed) && Object(of).word(FLAGS) & IS_GC != 0 }
}

/// The same of any address: the kernel says what is there, if anything is.
#[cold]
#[inline(never)]
fn is_type_elsewhere(of: usize) -> bool {
    if of == 0 || !of.is_multiple_of(size_of::<usize>()) {
        return false;
    }
    let place = &FOUND[(of >> 4) % FOUND.len()];
    if place.load(Relaxed) == of {
        return true;
    }
    let type_at = |at: usize| sys::copied::<{ FLAGS + 1 }>(at);
    let is_one = type_at(of).is_some_and(|words| {
        words[FLAGS] & IS_GC != 0
            && type_at(words[TYPE_OF]).is_some_and(|metatype| metatype[FLAGS] & IS_TYPE != 0)
    });
    if is_one {
        place.store(of, Relaxed);
    }
    is_one
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What died right behind its birth is known by its type, wherever that is; nothing else is taken for one.
    #[test]
    fn what_died_is_known_by_its_type() {
        let mut metatype = [0_usize; FLAGS + 1];
        metatype[FLAGS] = IS_TYPE;
        let mut of = [0_usize; FLAGS + 1];
        (of[TYPE_OF], of[FLAGS]) = ((&raw const metatype).expose_provenance(), IS_GC);
        let mut plain = of;
        plain[FLAGS] = 0;
        let mut no_type = of;
        no_type[TYPE_OF] = (&raw const plain).expose_provenance();
        let is_one = |words: [usize; 6]| {
            let mut block = words;
            // SAFETY: the block is as large.
            unsafe { is_one((&raw mut block).cast(), size_of_val(&block), None) }
        };
        let [of, plain, no_type] = [&of, &plain, &no_type].map(|words| words.as_ptr().expose_provenance());
        assert!(is_one([0, 2, 0, of, 0, 0]));
        // There may be as much in front of that again.
        assert!(is_one([7, 7, 0, 0, 0, of]));
        let others = [plain, no_type, of + 1, 8, usize::MAX - 7, 0];
        assert!(others.into_iter().all(|other| !is_one([0, 0, 0, other, 0, 0])));
        // It is alive, or what is in front of it is no header.
        assert!(!is_one([0, 0, 1, of, 0, 0]) && !is_one([9, 9, 0, of, 0, 0]));
    }

    /// What lives is known by its type if that is the interpreter's own, unless what stands where its header would is none: as in
    /// an object of a few words of which the last happens to be the address of a type.
    #[test]
    fn what_lives_is_known_by_its_type_behind_a_header() {
        let metatype = 0_usize;
        let metatype = (&raw const metatype).cast_mut().cast::<c_void>();
        let mut data = [0_usize; 3 * 64];
        (data[TYPE_OF], data[FLAGS]) = (metatype.expose_provenance(), IS_GC);
        let from = (&raw mut data).cast::<usize>();
        METATYPE.store(metatype, Relaxed);
        DATA[0].store(from.addr(), Relaxed);
        DATA[1].store(from.addr() + size_of_val(&data), Relaxed);
        let of = from.expose_provenance();
        let is_one = |words: [usize; 4]| {
            let mut block = words;
            // SAFETY: the block is as large.
            unsafe { is_one((&raw mut block).cast(), size_of_val(&block), None) }
        };
        assert!(is_one([0, 1, 1, of]) && is_one([of, 6, 1, of]));
        assert!(!is_one([1, of, 1, of]) && !is_one([0, of, 1, of]));
    }
}
