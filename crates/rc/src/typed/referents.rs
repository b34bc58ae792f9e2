//! The words of many objects that others refer to, fetched together.
//!
//! Of what is referred to only a word is read. Where it is not at hand, as when a program has referred to objects in another
//! order than it has made them, a processor that is told ahead of time fetches many at once.

use super::object::{NUMBERED, Object};
use super::shared::Core;

/// How many are fetched together.
const MANY: usize = 128;

/// What gathers them.
pub(super) struct Referents<'a> {
    core: &'a Core,
    objects: [Object; MANY],
    /// Who refers to each.
    of: [usize; MANY],
    len: usize,
    /// Who is traversed.
    pub(super) at: usize,
    /// Told of the words, and who refers to them.
    tell: &'a mut dyn FnMut(&[usize], &[u64]),
}

impl<'a> Referents<'a> {
    /// # Safety
    ///
    /// Nothing in the heap of this core dies while the result is in use.
    pub(super) unsafe fn new(core: &'a Core, tell: &'a mut dyn FnMut(&[usize], &[u64])) -> Self {
        Self { core, objects: [Object::NONE; MANY], of: [0; MANY], len: 0, at: 0, tell }
    }

    /// One more, which is there.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a handful of instructions for each reference of a heap")]
    pub(super) fn push(&mut self, object: Object) {
        if self.len < MANY && self.core.owns(object) {
            self.add(object);
        } else {
            self.push_slowly(object);
        }
    }

    #[cold]
    #[inline(never)]
    fn push_slowly(&mut self, object: Object) {
        if self.len == MANY {
            self.flush();
        }
        // SAFETY: it is there.
        let core = unsafe { object.core() };
        // What is another heap's may die before it is looked at.
        if core::ptr::eq(core.as_ptr(), self.core) {
            self.add(object);
        }
    }

    /// One more that lives in this heap.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "as above")]
    fn add(&mut self, object: Object) {
        object.prefetch();
        self.objects[self.len] = object;
        self.of[self.len] = self.at;
        self.len += 1;
    }

    /// Tells of those that are gathered.
    pub(super) fn flush(&mut self) {
        let mut words = [0; MANY];
        let mut filled = 0;
        for at in 0..core::mem::take(&mut self.len) {
            let object = self.objects[at];
            // SAFETY: it was there when it came, in this heap, where nothing dies; what has that bit has a room.
            unsafe {
                if object.header().bits.get() & NUMBERED != 0 {
                    words[filled] = object.room().word.get();
                    self.of[filled] = self.of[at];
                    filled += 1;
                }
            }
        }
        (self.tell)(&self.of[..filled], &words[..filled]);
    }
}
