//! The graph of one collection: who refers to whom, and how often from outside.

use core::fmt;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use rc::{Count, Counting};

use crate::containers::{Containers, Untracks};
use crate::lists::{ListId, close_up};

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
    starts: &'s [u32],
    referents: &'s [u32],
    /// Those that may be untracked if they survive.
    untrackable: &'s [u32],
    excess: u64,
}

/// Instead of a number of references: so many that the object counts as referred to from outside for ever.
pub(crate) const IMMORTAL: u32 = u32::MAX;
/// The most references that are told apart: more than there are among the objects of any list.
const MOST: u32 = u32::MAX >> 1;

/// How many objects are traversed together.
const TOGETHER: usize = 512;

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
        let mut objects = BumpVec::with_capacity_in(many, scratch);
        objects.extend(heap.lists().iter(list));
        let objects: &'s [I] = objects.into_bump_slice();
        // What its count says less what is found inside: a sum modulo 2³².
        let outside = scratch.alloc_slice_fill_copy(many, 0_u32);
        let mut immortals = BumpVec::new_in(scratch);
        let mut untrackable = BumpVec::new_in(scratch);
        let mut starts = BumpVec::with_capacity_in(many + 1, scratch);
        let mut referents = BumpVec::with_capacity_in(many, scratch);
        let mut at = 0;
        while at < many {
            // So many that what the counts were read from is at hand still when these are traversed.
            let from = at;
            let mut immortal = None;
            while at < many && at < from + TOGETHER && immortal.is_none() {
                let object = objects[at];
                match counting.read(heap.count(object)) {
                    Count::Mortal(count) => {
                        let count = u32::try_from(count).unwrap_or(MOST).min(MOST);
                        outside[at] = outside[at].wrapping_add(count);
                        if heap.untracks(object) != Untracks::Never {
                            #[allow(
                                clippy::cast_possible_truncation,
                                reason = "below the number of objects"
                            )]
                            untrackable.push(at as u32);
                        }
                    }
                    // It is no candidate: what it refers to is referred to from outside.
                    Count::Immortal => immortal = Some(at),
                }
                at += 1;
            }
            let traversed = &objects[from..immortal.unwrap_or(at)];
            let (all, starts, referents) = (&mut *outside, &mut starts, &mut referents);
            heap.traverse_all(traversed, &mut move |among, place| {
                if place.is_on(list)
                    && let Some(outside) = all.get_mut(place.index())
                {
                    *outside = outside.wrapping_sub(1);
                    // Those before it refer to nothing more.
                    #[allow(clippy::cast_possible_truncation, reason = "looked at in the end")]
                    while starts.len() <= from + among {
                        starts.push(referents.len() as u32);
                    }
                    #[allow(clippy::cast_possible_truncation, reason = "below the number of objects")]
                    referents.push(place.index() as u32);
                }
            });
            // What was taken off for these was not in the count.
            for &object in traversed {
                heap.traverse_uncounted(object, &mut |referent| {
                    let place = heap.place(referent);
                    if place.is_on(list)
                        && let Some(outside) = outside.get_mut(place.index())
                    {
                        *outside = outside.wrapping_add(1);
                    }
                });
            }
            immortals.extend(immortal);
        }
        let end = u32::try_from(referents.len()).ok().filter(|&end| end < MOST);
        let end = end.ok_or(TooMany::References)?;
        starts.resize(many + 1, end);
        // Of immortal objects no count was put in: whatever was taken off is no excess.
        for &at in &immortals {
            outside[at] = 0;
        }
        let mut excess = 0;
        for outside in outside.iter_mut().filter(|outside| **outside > MOST) {
            excess += u64::from(outside.wrapping_neg());
            // As in CPython: who is owned more often than counted is nobody's garbage.
            *outside = MOST;
        }
        for &at in &immortals {
            outside[at] = IMMORTAL;
        }
        Ok(Self {
            objects,
            outside,
            starts: starts.into_bump_slice(),
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
