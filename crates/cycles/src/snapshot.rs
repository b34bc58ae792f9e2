//! The graph of one collection: who refers to whom, and how often from outside.

use core::cell::Cell;
use core::fmt;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use rc::{Count, Counting};

use crate::containers::{Containers, Untracks};
use crate::lists::{ListId, Place, close_up};

/// More than a collection can number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMany {
    /// Objects on one list: from 2³² − 16 on.
    Objects,
    /// References among them: from 2³¹ − 1 on.
    References,
    /// Collections inside each other: from about 80 on.
    Collections,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Objects => "there are more objects on a list than a collection can number",
            Self::References => "there are more references among objects than a collection can number",
            Self::Collections => "there are too many collections inside each other",
        })
    }
}

impl core::error::Error for TooMany {}

/// The objects of a list, numbered in its order from 0, and the references among them.
///
/// Taking it is all that a collection asks of the objects before it knows who is garbage: each is
/// traversed once, immortal ones not at all. What follows works on these arrays.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'s, I> {
    objects: &'s [I],
    /// By object: how many references to it are not from the list, or `IMMORTAL`.
    pub(crate) outside: &'s [u32],
    /// Where the references of each begin, and where all end.
    pub(crate) starts: &'s [u32],
    pub(crate) referents: &'s [u32],
    /// Those that may be untracked if they survive.
    untrackable: &'s [u32],
    excess: u64,
}

/// Instead of a number of references: so many that the object counts as referred to from outside for ever.
pub(crate) const IMMORTAL: u32 = u32::MAX;
/// The most references that are told apart: more than there are among the objects of any list.
const MOST: u32 = u32::MAX >> 1;

impl<'s, I: Copy + Eq> Snapshot<'s, I> {
    /// Takes the objects of a list, which closes up.
    ///
    /// O(objects + references); three words by object and one by reference of `scratch`.
    ///
    /// # Errors
    ///
    /// [`TooMany`], before anything has changed.
    pub fn take<H: Containers<Id = I>>(
        heap: &mut H,
        list: ListId,
        counting: Counting,
        scratch: &'s Bump,
    ) -> Result<Self, TooMany> {
        close_up(heap, list);
        let heap = &*heap;
        let many = heap.lists().len(list);
        if many >= (u32::MAX - 16) as usize {
            return Err(TooMany::Objects);
        }
        let objects: &'s [I] = heap.lists().copy(list, scratch);
        // What its count says less what is found inside: a sum modulo 2³².
        let outside = scratch.alloc_slice_fill_copy(many, 0_u32);
        let starts = scratch.alloc_slice_fill_copy(many + 1, 0_u32);
        let mut immortals = BumpVec::new_in(scratch);
        let mut untrackable = BumpVec::new_in(scratch);
        // Room that is not used is not touched; to grow is to copy.
        let mut referents = BumpVec::with_capacity_in(many * 4, scratch);
        // For how many it is known where their references begin.
        let mut begun = 0;
        let cells = Cell::from_mut(&mut *outside).as_slice_of_cells();
        heap.survey(
            objects,
            &mut |at, word| match counting.read(word) {
                Count::Mortal(count) => {
                    let count = u32::try_from(count).unwrap_or(MOST).min(MOST);
                    if let Some(outside) = cells.get(at) {
                        outside.set(outside.get().wrapping_add(count));
                    }
                    let Some(&object) = objects.get(at) else { return false };
                    if heap.untracks(object) != Untracks::Never {
                        #[allow(clippy::cast_possible_truncation, reason = "below the number of objects")]
                        untrackable.push(at as u32);
                    }
                    // What will be taken off for these is not in the count.
                    heap.traverse_uncounted(object, &mut |referent| {
                        let place = heap.place(referent);
                        if place.is_on(list)
                            && let Some(outside) = cells.get(place.index())
                        {
                            outside.set(outside.get().wrapping_add(1));
                        }
                    });
                    true
                }
                // It is no candidate: what it refers to is referred to from outside.
                Count::Immortal => {
                    immortals.push(at);
                    false
                }
            },
            &mut |at, words| {
                #[allow(clippy::cast_possible_truncation, reason = "looked at in the end")]
                let begins = referents.len() as u32;
                if begun < at
                    && let Some(between) = starts.get_mut(begun..at)
                {
                    // They were not traversed.
                    between.fill(begins);
                }
                if let Some(start) = starts.get_mut(at) {
                    *start = begins;
                    begun = at + 1;
                }
                for place in words.iter().map(|&word| Place::from_word(word)) {
                    if place.is_on(list)
                        && let Some(outside) = cells.get(place.index())
                    {
                        outside.set(outside.get().wrapping_sub(1));
                        #[allow(clippy::cast_possible_truncation, reason = "below the number of objects")]
                        referents.push(place.index() as u32);
                    }
                }
            },
        );
        let end = u32::try_from(referents.len()).ok().filter(|&end| end < MOST);
        let end = end.ok_or(TooMany::References)?;
        starts[begun..].fill(end);
        // Of immortal objects no count was put in: whatever was taken off is no excess.
        for &at in &immortals {
            outside[at] = 0;
        }
        let mut excess = 0;
        // That there is none is soon said.
        if outside.iter().fold(0, |all, &outside| all | outside) > MOST {
            for outside in outside.iter_mut().filter(|outside| **outside > MOST) {
                excess += u64::from(outside.wrapping_neg());
                // As in CPython: who is owned more often than counted is nobody's garbage.
                *outside = MOST;
            }
        }
        for &at in &immortals {
            outside[at] = IMMORTAL;
        }
        Ok(Self {
            objects,
            outside,
            starts,
            referents: referents.into_bump_slice(),
            untrackable: untrackable.into_bump_slice(),
            excess,
        })
    }

    /// The objects: those with the numbers 0, 1, …
    #[must_use]
    pub fn objects(&self) -> &'s [I] {
        self.objects
    }

    /// How many references to an object are not from the objects here; `None` if it is immortal. Very many if it
    /// has a share in the [excess](Self::excess).
    ///
    /// # Panics
    ///
    /// If there is no object of this number; so do the others.
    #[must_use]
    pub fn outside(&self, at: u32) -> Option<u32> {
        let outside = self.outside[at as usize];
        (outside != IMMORTAL).then_some(outside)
    }

    /// The objects here to which an object refers, once by reference, as it was traversed; none of an immortal one.
    #[inline]
    #[must_use]
    pub fn referents(&self, at: u32) -> &'s [u32] {
        let at = at as usize;
        &self.referents[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    /// How many references there are among the objects.
    #[must_use]
    pub fn references(&self) -> usize {
        self.referents.len()
    }

    /// Where the references of each begin (and where all end), and to whom they are.
    #[cfg(feature = "petgraph")]
    pub(crate) fn edges(&self) -> (&'s [u32], &'s [u32]) {
        (self.starts, self.referents)
    }

    pub(crate) fn untrackable(&self) -> &'s [u32] {
        self.untrackable
    }

    /// How many references were told of beyond those that are counted: if there are any, some object's `traverse` tells of
    /// references that it does not own (and its `traverse_uncounted` does not), or a count is wrong. Objects of which there
    /// are such count as referred to from outside.
    #[must_use]
    pub fn excess(&self) -> u64 {
        self.excess
    }
}
