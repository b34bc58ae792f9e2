//! Who is garbage.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::snapshot::{IMMORTAL, Snapshot};

/// Seems to be garbage; in the end, is.
const UNREACHABLE: u32 = u32::MAX - 1;
/// Had seemed to be garbage.
const RESCUED: u32 = u32::MAX - 2;

/// Who is garbage, and in which order the others follow each other now.
#[derive(Clone, Copy, Debug)]
pub struct Partition<'s> {
    state: &'s [u32],
    rescued: &'s [u32],
}

impl<'s> Partition<'s> {
    /// Whether an object is garbage.
    ///
    /// # Panics
    ///
    /// If there is no object of this number.
    #[must_use]
    pub fn is_unreachable(&self, at: u32) -> bool {
        self.state[at as usize] == UNREACHABLE
    }

    /// Whether an object is reachable, and was not seen first from behind.
    pub(crate) fn is_first(&self, at: u32) -> bool {
        self.state[at as usize] < RESCUED
    }

    /// The garbage, in the order of the list.
    pub fn unreachable(&self) -> impl Iterator<Item = u32> + use<'s> {
        self.of(|state| state == UNREACHABLE)
    }

    /// The others, in the order that CPython's lists have from here on: those that were first seen from objects
    /// behind them on the list come last, in the order in which they were seen. Immortal ones are left out.
    pub fn reachable(&self) -> impl Iterator<Item = u32> + use<'s> {
        self.of(|state| state < RESCUED).chain(self.rescued.iter().copied())
    }

    /// Of the reachable, those at the end that have changed their place.
    #[must_use]
    pub fn rescued(&self) -> &'s [u32] {
        self.rescued
    }

    /// The immortal, in the order of the list.
    pub fn immortal(&self) -> impl Iterator<Item = u32> + use<'s> {
        self.of(|state| state == IMMORTAL)
    }

    fn of<F: Fn(u32) -> bool>(&self, is: F) -> impl Iterator<Item = u32> + use<'s, F> {
        (0_u32..).zip(self.state).filter(move |&(_, &state)| is(state)).map(|(at, _)| at)
    }
}

impl<'s, I: Copy + Eq> Snapshot<'s, I> {
    /// Who is garbage: only referred to, at whichever remove, by objects that are garbage, too.
    ///
    /// O(objects + references), without recursion.
    #[must_use]
    pub fn partition(&self, scratch: &'s Bump) -> Partition<'s> {
        let state = scratch.alloc_slice_copy(self.outside);
        let mut rescued = BumpVec::new_in(scratch);
        let reach = |at: u32, state: &mut [u32], rescued: &mut BumpVec<'s, u32>| {
            for &referent in self.referents(at) {
                match &mut state[referent as usize] {
                    there @ &mut UNREACHABLE => {
                        *there = RESCUED;
                        rescued.push(referent);
                    }
                    // It comes later in the list: no need to set it aside first.
                    there @ 0 => *there = 1,
                    _ => {}
                }
            }
        };
        for at in (0_u32..).take(self.objects().len()) {
            match &mut state[at as usize] {
                there @ 0 => *there = UNREACHABLE,
                &mut IMMORTAL => {}
                _ => reach(at, state, &mut rescued),
            }
        }
        let mut next = 0;
        while let Some(&at) = rescued.get(next) {
            next += 1;
            reach(at, state, &mut rescued);
        }
        Partition { state, rescued: rescued.into_bump_slice() }
    }
}
