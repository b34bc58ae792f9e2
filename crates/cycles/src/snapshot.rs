//! The graph of one collection: who refers to whom, and how often from outside.

use core::fmt;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use rc::{Count, Counting};

use crate::containers::{Containers, Surveyor, Untracks};
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
    pub(crate) immortals: &'s [usize],
    excess: u64,
}

/// Instead of a number of references: so many that the object counts as referred to from outside for ever.
pub(crate) const IMMORTAL: u32 = u32::MAX;
/// The most references that are told apart: more than there are among the objects of any list.
const MOST: u32 = u32::MAX >> 1;

/// What is put down while a snapshot is taken.
struct Survey<'a, 's, H: Containers> {
    heap: &'a H,
    first: Place,
    counting: Counting,
    objects: &'s [H::Id],
    outside: &'a mut [u32],
    /// By object: where its references end. How many have been told.
    ends: &'a mut [u32],
    told: usize,
    referents: BumpVec<'s, u32>,
    immortals: BumpVec<'s, usize>,
    untrackable: BumpVec<'s, u32>,
}

impl<H: Containers> Survey<'_, '_, H> {
    /// What else is asked of a candidate.
    #[inline]
    fn candidate(&mut self, at: usize) {
        let Some(&object) = self.objects.get(at) else { return };
        if self.heap.untracks(object) != Untracks::Never {
            #[allow(clippy::cast_possible_truncation, reason = "below the number of objects")]
            self.untrackable.push(at as u32);
        }
        // What will be taken off for these is not in the count.
        self.heap.traverse_uncounted(object, &mut |referent| {
            if let Some(outside) = self.outside.get_mut(self.heap.place(referent).after(self.first)) {
                *outside = outside.wrapping_add(1);
            }
        });
    }
}

impl<H: Containers> Surveyor for Survey<'_, '_, H> {
    #[inline]
    fn counted(&mut self, at: usize, word: u64) -> bool {
        let Count::Mortal(count) = self.counting.read(word) else {
            // It is no candidate: what it refers to is referred to from outside.
            self.immortals.push(at);
            return false;
        };
        let Some(outside) = self.outside.get_mut(at) else { return false };
        #[allow(clippy::cast_possible_truncation, reason = "it is not above")]
        let count = count.min(u64::from(MOST)) as u32;
        *outside = outside.wrapping_add(count);
        self.candidate(at);
        true
    }

    #[inline]
    fn all_counted(&mut self, at: usize, counts: &[u32]) {
        let outside = self.outside.get_mut(at..).unwrap_or_default();
        for (outside, &count) in outside.iter_mut().zip(counts) {
            *outside = outside.wrapping_add(if count > MOST { MOST } else { count });
        }
        (at..at + counts.len()).for_each(|at| self.candidate(at));
    }

    #[inline]
    fn outside(&mut self) -> &mut [u32] {
        self.outside
    }

    #[inline]
    fn refer(&mut self, referents: &[u32], ends: &[u32]) {
        let first = self.referents.len();
        self.referents.extend_from_slice_copy(referents);
        #[allow(clippy::cast_possible_truncation, reason = "looked at in the end")]
        let begun = first as u32;
        let to = self.ends.get_mut(self.told..).unwrap_or_default();
        for (end, &told) in to.iter_mut().zip(ends) {
            *end = begun.wrapping_add(told);
        }
        self.told += ends.len();
        // A heap that tells of objects that there are not tells of the first one.
        let many = self.objects.len();
        if !are_below(referents, many) {
            let wrong = |referent: &&mut u32| **referent as usize >= many;
            self.referents.iter_mut().skip(first).filter(wrong).for_each(|referent| *referent = 0);
        }
    }
}

/// Whether all of these are below a number; or perhaps that there is one that is not.
#[inline]
fn are_below(all: &[u32], number: usize) -> bool {
    let Some(most) = u32::try_from(number).ok().and_then(|number| number.checked_sub(1)) else {
        return all.is_empty();
    };
    // Neither is the highest bit of any set, nor that of what is left to the most.
    all.iter().fold(0, |bits, &one| bits | one | most.wrapping_sub(one)) >> 31 == 0
}

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
        let first = Place::new(list, 0);
        let objects: &'s [I] = heap.lists().copy(list, scratch);
        // What its count says less what is found inside: a sum modulo 2³².
        let outside = scratch.alloc_slice_fill_copy(many, 0_u32);
        let starts = scratch.alloc_slice_fill_copy(many + 1, 0_u32);
        let mut survey = Survey {
            heap,
            first,
            counting,
            objects,
            outside: &mut *outside,
            ends: starts.get_mut(1..).unwrap_or_default(),
            told: 0,
            // Room that is not used is not touched; to grow is to copy.
            referents: BumpVec::with_capacity_in(many * 4, scratch),
            immortals: BumpVec::new_in(scratch),
            untrackable: BumpVec::new_in(scratch),
        };
        heap.survey(objects, first, &mut survey);
        let Survey { ends, told, referents, immortals, untrackable, .. } = survey;
        let others = ends.get_mut(told..).unwrap_or_default();
        let end = u32::try_from(referents.len()).ok().filter(|&end| end < MOST);
        let end = end.ok_or(TooMany::References)?;
        others.fill(end);
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
            immortals: immortals.into_bump_slice(),
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
        let own = self.starts[at] as usize..self.starts[at + 1] as usize;
        // It is there, but if the heap told wrongly where references end.
        self.referents.get(own).unwrap_or_default()
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
