//! What objects refer to: gathered from many of them, then told as what a collector counts by, the index of each among those that
//! it looks at.
//!
//! Of what is referred to one word is read. Where it is not at hand, as when a program has referred to objects in another order
//! than it has made them, a processor that is told ahead of time fetches many at once.

use core::cell::Cell;
use core::ptr::NonNull;

use alloc::vec::Vec;

use super::any::AnyRef;
use super::object::{NUMBERED, Object};
use super::shared::Core;

/// How many are gathered before they are put elsewhere.
pub(super) const ROOM: usize = 512;

/// Where a visitor gathers.
pub(super) type Room = [Cell<Object>];

/// Does what a visitor does not do inline.
pub(super) trait Slow {
    /// Is shown what the visitor has no room for, and how much is in the room. How much has been gathered elsewhere, and how much is
    /// in the room from here on.
    fn meet(&mut self, object: Object, len: usize) -> (usize, usize) {
        let _ = object;
        (0, len)
    }

    /// To whom references are to be lent, if it is for that that they are shown.
    fn shows(&mut self) -> Option<&mut dyn FnMut(&AnyRef)> {
        None
    }

    /// What is in the room is put elsewhere; what has been gathered behind so many is forgotten. How much is left.
    fn take_back(&mut self, told: usize, len: usize) -> usize {
        let _ = (told, len);
        0
    }
}

/// References are shown, one after the other.
pub(super) struct Show<'a>(pub(super) &'a mut dyn FnMut(&AnyRef));

impl Slow for Show<'_> {
    fn shows(&mut self) -> Option<&mut dyn FnMut(&AnyRef)> {
        Some(self.0)
    }
}

/// They are gathered.
pub(super) struct Gather<'a> {
    /// Needed by somebody; nothing in its heap dies.
    core: NonNull<Core>,
    room: &'a Room,
    /// What was gathered before that.
    more: &'a mut Vec<Cell<Object>>,
}

impl<'a> Gather<'a> {
    /// # Safety
    ///
    /// Somebody needs the core for as long as the result is there, and nothing in its heap dies until what is gathered has been
    /// [told](tell).
    pub(super) unsafe fn new(core: NonNull<Core>, room: &'a Room, more: &'a mut Vec<Cell<Object>>) -> Self {
        Self { core, room, more }
    }

    fn put_away(&mut self, len: usize) {
        self.more.extend_from_slice(self.room.get(..len).unwrap_or_default());
    }
}

impl Slow for Gather<'_> {
    #[cold]
    fn meet(&mut self, object: Object, len: usize) -> (usize, usize) {
        self.put_away(len);
        // What is another heap's may die before it is looked at.
        // SAFETY: the core is there, by the contract of `new`, and so is the object.
        if unsafe { self.core.as_ref().owns(object) || object.core() == self.core } {
            self.more.push(Cell::new(object));
        }
        (self.more.len(), 0)
    }

    #[cold]
    fn take_back(&mut self, told: usize, len: usize) -> usize {
        self.put_away(len);
        self.more.truncate(told);
        self.more.len()
    }
}

/// Tells what was gathered: of each, the index among those whose words are this and those behind it, of which one is taken off
/// what is counted by index. Of which there is none is left out, and `ends`, after how many of them each object's end, are as many
/// less.
///
/// # Safety
///
/// What was gathered is there.
#[inline]
pub(super) unsafe fn tell<'a>(
    gathered: &Room,
    ends: &mut [u32],
    first: u32,
    outside: &mut [u32],
    told: &'a mut Vec<u32>,
) -> &'a [u32] {
    if told.len() < gathered.len() {
        told.resize(gathered.len().max(ROOM), 0);
    }
    let told = &mut told[..gathered.len()];
    let first = NUMBERED | first;
    let mut is_any_unknown = false;
    for (place, object) in told.iter_mut().zip(gathered) {
        // SAFETY: by contract. Without a number it has a word that is none of theirs.
        let index = unsafe { object.get().header() }.word.get().wrapping_sub(first);
        *place = index;
        match outside.get_mut(index as usize) {
            Some(outside) => *outside = outside.wrapping_sub(1),
            None => is_any_unknown = true,
        }
    }
    if is_any_unknown { leave_out(told, ends, outside.len()) } else { told }
}

/// Leaves out all from this number on.
fn leave_out<'a>(told: &'a mut [u32], ends: &mut [u32], from: usize) -> &'a [u32] {
    let (mut at, mut len) = (0, 0);
    for end in ends {
        while at < *end as usize {
            let index = told[at];
            told[len] = index;
            len += usize::from((index as usize) < from);
            at += 1;
        }
        #[allow(clippy::cast_possible_truncation, reason = "not more than before")]
        let own = len as u32;
        *end = own;
    }
    &told[..len]
}
