//! What objects refer to, told as what a collector counts by: the index of each among those that it looks at.
//!
//! Of what is referred to one word is read, and nothing is kept but a number. So where it is not at hand, as when a program has
//! referred to objects in another order than it has made them, a processor has many of them under way at once.
#![allow(clippy::inline_always, reason = "a handful of instructions for each reference of a heap")]

use core::ptr::NonNull;

use alloc::vec::Vec;

use super::object::{NUMBERED, Object};
use super::shared::Core;

/// For how many referents there is room before those are put elsewhere.
pub(super) const ROOM: usize = 512;

/// Takes references off what is counted of objects, and writes down to which of them they were.
pub(super) struct Referents<'a> {
    /// By index: what is counted.
    outside: &'a mut [u32],
    /// The word of the first of them, as it is in a header; each of the others has one more than the one before.
    first: u32,
    /// The last ones; where there is no room, nothing is done at once.
    room: &'a mut [u32],
    len: usize,
    /// Those that had no room.
    more: Option<&'a mut Vec<u32>>,
    /// Of their heap.
    core: NonNull<Core>,
}

impl<'a> Referents<'a> {
    /// For who is shown references, but none of objects.
    pub(super) fn none() -> Self {
        Self { outside: &mut [], first: 0, room: &mut [], len: 0, more: None, core: NonNull::dangling() }
    }

    /// # Safety
    ///
    /// Somebody needs the core for as long as the result is there.
    #[inline]
    pub(super) unsafe fn new(
        core: NonNull<Core>,
        first: u32,
        outside: &'a mut [u32],
        room: &'a mut [u32; ROOM],
        more: &'a mut Vec<u32>,
    ) -> Self {
        Self { outside, first: NUMBERED | first, room, len: 0, more: Some(more), core }
    }

    /// One more, which is there. Whether that was done: if not, it is to be done [slowly](Self::tell_slowly).
    #[inline(always)]
    pub(super) fn tell(&mut self, object: Object) -> bool {
        let Some(place) = self.room.get_mut(self.len) else { return false };
        if !Core::is_alone() {
            return false;
        }
        // SAFETY: whoever has an object knows that it is there. Without a number it has a word that is none of theirs.
        let index = unsafe { object.header() }.word.get().wrapping_sub(self.first);
        if let Some(outside) = self.outside.get_mut(index as usize) {
            *outside = outside.wrapping_sub(1);
            *place = index;
            self.len += 1;
        }
        true
    }

    /// The same where there are other heaps, or no room. `false` if it is not for this that references are shown.
    #[cold]
    #[inline(never)]
    pub(super) fn tell_slowly(&mut self, object: Object) -> bool {
        let Some(more) = &mut self.more else { return false };
        // SAFETY: the core is there, by the contract of `new`, and so is the object.
        let (is_ours, word) = unsafe {
            let is_ours = self.core.as_ref().owns(object) || object.core() == self.core;
            (is_ours, object.header().word.get())
        };
        let index = word.wrapping_sub(self.first);
        if let Some(outside) = self.outside.get_mut(index as usize).filter(|_| is_ours) {
            *outside = outside.wrapping_sub(1);
            if self.len == self.room.len() {
                more.extend_from_slice(self.room);
                self.len = 0;
            }
            if let Some(place) = self.room.get_mut(self.len) {
                *place = index;
                self.len += 1;
            }
        }
        true
    }

    /// How many have been written down.
    #[inline(always)]
    pub(super) fn told(&self) -> usize {
        self.more.as_ref().map_or(0, |more| more.len()) + self.len
    }

    /// How many of them are in the room.
    #[inline(always)]
    pub(super) fn last(&self) -> usize {
        self.len
    }
}
