//! The objects that others refer to, gathered from many of these before anything of them is read.
//!
//! Of what is referred to only a word is read. Where it is not at hand, as when a program has referred to objects in another
//! order than it has made them, a processor that is told ahead of time fetches many at once.
#![allow(clippy::inline_always, reason = "a handful of instructions for each reference of a heap")]

use core::fmt;
use core::ptr::NonNull;
use core::slice;

use alloc::vec::Vec;

use super::object::{NUMBERED, Object};
use super::shared::Core;

/// What gathers them.
pub(super) struct Referents {
    core: NonNull<Core>,
    /// All live in the heap of this core; behind so many there is room for more.
    objects: Vec<Object>,
    len: usize,
}

impl Referents {
    /// # Safety
    ///
    /// While the result is in use somebody needs the core, and nothing in its heap dies.
    pub(super) unsafe fn new(core: NonNull<Core>) -> Self {
        Self { core, objects: Vec::new(), len: 0 }
    }

    /// One more, which is there.
    #[inline(always)]
    pub(super) fn push(&mut self, object: Object) {
        if Core::is_alone()
            && let Some(place) = self.objects.get_mut(self.len)
        {
            object.prefetch();
            *place = object;
            self.len += 1;
        } else {
            self.push_slowly(object);
        }
    }

    /// Where there are other heaps, or no room.
    #[cold]
    #[inline(never)]
    fn push_slowly(&mut self, object: Object) {
        // What is another heap's may die before it is looked at.
        // SAFETY: the core is there, by the contract of `new`, and so is the object.
        if unsafe { self.core.as_ref().owns(object) || object.core() == self.core } {
            if self.len == self.objects.len() {
                self.objects.resize(ROOM.max(self.len * 2), Object::NONE);
            }
            object.prefetch();
            if let Some(place) = self.objects.get_mut(self.len) {
                *place = object;
                self.len += 1;
            }
        }
    }

    /// How many there are.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// They are looked at, and forgotten when that is over.
    #[inline(always)]
    pub(super) fn take(&mut self) -> &[Object] {
        self.objects.get(..core::mem::take(&mut self.len)).unwrap_or_default()
    }
}

/// For how many there is room at least when there are any.
const ROOM: usize = 256;

/// By object, the [words](Words) of those that it refers to.
#[derive(Clone)]
pub struct Referring<'a> {
    /// They are there.
    objects: &'a [Object],
    /// By object, after how many its own end.
    ends: slice::Iter<'a, usize>,
    begin: usize,
}

impl<'a> Referring<'a> {
    /// # Safety
    ///
    /// The objects are not freed while the result, or a clone of it, is in use, nor while words are that it tells.
    #[inline(always)]
    pub(super) unsafe fn new(objects: &'a [Object], ends: &'a [usize]) -> Self {
        Self { objects, ends: ends.iter(), begin: 0 }
    }
}

impl<'a> Iterator for Referring<'a> {
    type Item = Words<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Words<'a>> {
        let end = *self.ends.next()?;
        let begin = core::mem::replace(&mut self.begin, end);
        Some(Words { objects: self.objects.get(begin..end)?.iter() })
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ends.size_hint()
    }
}

impl ExactSizeIterator for Referring<'_> {}

impl fmt::Debug for Referring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// The words of the objects that one refers to, in its order: 0 for one that has no number.
#[derive(Clone)]
pub struct Words<'a> {
    /// They are there.
    objects: slice::Iter<'a, Object>,
}

impl Iterator for Words<'_> {
    type Item = u64;

    #[inline(always)]
    fn next(&mut self) -> Option<u64> {
        let object = self.objects.next()?;
        // SAFETY: it is there, by the contract of `Referring::new`; what has that bit has a room.
        unsafe {
            let has_word = object.header().bits.get() & NUMBERED != 0;
            Some(if has_word { object.room().word.get() } else { 0 })
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.objects.size_hint()
    }
}

impl ExactSizeIterator for Words<'_> {}

impl fmt::Debug for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
