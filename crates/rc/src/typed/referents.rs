//! The objects that others refer to, gathered from many of these before anything of them is read.
//!
//! Of what is referred to only a word is read. Where it is not at hand, as when a program has referred to objects in another
//! order than it has made them, a processor that is told ahead of time fetches many at once.
#![allow(clippy::inline_always, reason = "a handful of instructions for each reference of a heap")]

use core::ptr::NonNull;

use alloc::vec::Vec;

use super::object::{NUMBERED, Object};
use super::shared::Core;

/// What gathers them.
pub(super) struct Referents {
    core: NonNull<Core>,
    /// All live in the heap of this core; behind so many there is room for more.
    objects: Vec<Object>,
    len: usize,
    words: Vec<u64>,
}

impl Referents {
    /// # Safety
    ///
    /// While the result is in use somebody needs the core, and nothing in its heap dies.
    pub(super) unsafe fn new(core: NonNull<Core>) -> Self {
        Self { core, objects: Vec::new(), len: 0, words: Vec::new() }
    }

    /// One more, which is there.
    #[inline(always)]
    pub(super) fn push(&mut self, object: Object) {
        // SAFETY: the core is there, by the contract of `new`.
        if unsafe { self.core.as_ref() }.owns(object)
            && let Some(place) = self.objects.get_mut(self.len)
        {
            object.prefetch();
            *place = object;
            self.len += 1;
        } else {
            self.push_slowly(object);
        }
    }

    #[cold]
    #[inline(never)]
    fn push_slowly(&mut self, object: Object) {
        // What is another heap's may die before it is looked at.
        // SAFETY: it is there.
        if unsafe { object.core() } == self.core {
            self.objects.truncate(self.len);
            self.objects.push(object);
            self.len += 1;
            self.objects.resize(self.objects.capacity().max(ROOM), Object::NONE);
        }
    }

    /// How many there are.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Their words, in the order in which they came, 0 for those that have none. They are forgotten.
    #[inline(always)]
    pub(super) fn take_words(&mut self) -> &[u64] {
        let gathered = self.objects.get(..core::mem::take(&mut self.len)).unwrap_or_default();
        self.words.clear();
        self.words.extend(gathered.iter().map(|&object| {
            // SAFETY: it was there when it came, in this heap, where nothing dies; what has that bit has a room.
            unsafe {
                let has_word = object.header().bits.get() & NUMBERED != 0;
                if has_word { object.room().word.get() } else { 0 }
            }
        }));
        &self.words
    }
}

/// For how many there is room at least when there are any.
const ROOM: usize = 256;
