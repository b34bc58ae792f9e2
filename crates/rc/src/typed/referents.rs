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
///
/// What is done out of line takes it over and gives it back: so nothing but the code that is inlined around it knows where it
/// is, and it can be in registers there.
pub(super) struct Referents<'a> {
    /// By index: what is counted.
    outside: &'a mut [u32],
    /// The word of the first of them, as it is in a header; each of the others has one more than the one before.
    first: u32,
    /// The last ones. There is room only as long as there is one heap.
    room: &'a mut [u32],
    len: usize,
    /// Those before them, and how many that are.
    more: Option<&'a mut Vec<u32>>,
    before: usize,
    /// Of their heap.
    core: NonNull<Core>,
    /// How many cores had ever been made when it was looked whether there is one.
    made: usize,
}

impl<'a> Referents<'a> {
    /// For who is shown references, but told of none.
    #[inline]
    pub(super) fn none() -> Self {
        let (core, made) = (NonNull::dangling(), Core::made());
        Self { outside: &mut [], first: 0, room: &mut [], len: 0, more: None, before: 0, core, made }
    }

    /// # Safety
    ///
    /// Somebody needs the core for as long as the result is there.
    #[inline]
    pub(super) unsafe fn new(
        core: NonNull<Core>,
        first: u32,
        outside: &'a mut [u32],
        room: &'a mut [u32],
        more: &'a mut Vec<u32>,
    ) -> Self {
        let made = Core::made();
        let room = if Core::is_alone() { room } else { &mut [] };
        let (first, before) = (NUMBERED | first, more.len());
        Self { outside, first, room, len: 0, more: Some(more), before, core, made }
    }

    /// One more, which is there. Whether that was done: if not, it is to be done [slowly](Self::tell_slowly).
    #[inline(always)]
    pub(super) fn tell(&mut self, object: Object) -> bool {
        let Some(place) = self.room.get_mut(self.len) else { return false };
        // SAFETY: whoever has an object knows that it is there. Without a number it has a word that is none of theirs.
        let index = unsafe { object.header() }.word.get().wrapping_sub(self.first);
        if let Some(outside) = self.outside.get_mut(index as usize) {
            *outside = outside.wrapping_sub(1);
            *place = index;
            self.len += 1;
        }
        true
    }

    /// The same where there are other heaps, or no room.
    #[cold]
    #[inline(never)]
    pub(super) fn tell_slowly(self, object: Object) -> Self {
        // SAFETY: the core is there, by the contract of `new`, and so is the object.
        let (is_ours, word) = unsafe {
            let is_ours =
                self.more.is_some() && (self.core.as_ref().owns(object) || object.core() == self.core);
            (is_ours, object.header().word.get())
        };
        let mut this = self.put_away();
        let index = word.wrapping_sub(this.first);
        if let Some(outside) = this.outside.get_mut(index as usize).filter(|_| is_ours) {
            *outside = outside.wrapping_sub(1);
            if let Some(more) = &mut this.more {
                more.push(index);
                this.before = more.len();
            }
        }
        this
    }

    /// There is room again.
    fn put_away(mut self) -> Self {
        if let Some(more) = &mut self.more {
            more.extend_from_slice(self.room.get(..self.len).unwrap_or_default());
            (self.before, self.len) = (more.len(), 0);
        }
        self
    }

    /// How many have been told.
    #[inline(always)]
    pub(super) fn told(&self) -> usize {
        self.before + self.len
    }

    /// How many of them are in the room.
    #[inline(always)]
    pub(super) fn last(&self) -> usize {
        self.len
    }

    /// Whether no heap has been made since this was: if so, what was told was of one heap if there was only one.
    #[inline(always)]
    pub(super) fn is_sure(&self) -> bool {
        self.made == Core::made()
    }

    /// There may be two heaps. What was told behind so many is to be told once more, if the answer says so: it is as if it had
    /// not been.
    #[cold]
    #[inline(never)]
    pub(super) fn make_sure(self, told: usize) -> (Self, bool) {
        let mut this = self.put_away();
        this.made = Core::made();
        if this.room.is_empty() {
            return (this, false);
        }
        this.room = &mut [];
        if let Some(more) = &mut this.more {
            for index in more.drain(told..) {
                if let Some(outside) = this.outside.get_mut(index as usize) {
                    *outside = outside.wrapping_add(1);
                }
            }
            this.before = more.len();
        }
        (this, true)
    }
}
