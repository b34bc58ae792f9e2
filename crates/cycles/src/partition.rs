//! Who is garbage.

use core::cell::Cell;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::snapshot::Snapshot;

/// What is known of an object: a byte each, so that many are at hand. The lowest bit says that it is reachable.
type State = u8;

/// Nothing is known yet.
const UNKNOWN: State = 0;
const REACHABLE: State = 1;
/// Seems to be garbage; in the end, is.
const UNREACHABLE: State = 2;
/// Had seemed to be garbage.
const RESCUED: State = 3;
/// Is no candidate. It refers to nobody here.
const IMMORTAL: State = 5;

/// Who is garbage, and in which order the others follow each other now.
#[derive(Clone, Copy, Debug)]
pub struct Partition<'s> {
    state: &'s [State],
    rescued: &'s [u32],
    /// How many at the head of the list stay where they are.
    stay: usize,
    has_immortal: bool,
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
        self.state[at as usize] == REACHABLE
    }

    /// Those of the reachable that are to be moved when the others [stay](Self::stay).
    pub(crate) fn moved(&self) -> impl Iterator<Item = u32> + use<'s> {
        self.of(self.stay, |state| state == REACHABLE).chain(self.rescued.iter().copied())
    }

    /// How many at the head of the list are reachable and were seen first from before them, or from outside.
    pub(crate) fn stay(&self) -> usize {
        self.stay
    }

    /// The garbage, in the order of the list.
    pub fn unreachable(&self) -> impl Iterator<Item = u32> + use<'s> {
        self.of(self.stay, |state| state == UNREACHABLE)
    }

    /// The same of the objects of the snapshot: themselves.
    pub(crate) fn garbage<I: Copy>(&self, objects: &'s [I]) -> impl Iterator<Item = I> + use<'s, I> {
        let behind = self.state.iter().zip(objects).skip(self.stay);
        behind.filter(|&(&state, _)| state == UNREACHABLE).map(|(_, &object)| object)
    }

    /// The others, in the order that CPython's lists have from here on: those that were first seen from objects
    /// behind them on the list come last, in the order in which they were seen. Immortal ones are left out.
    pub fn reachable(&self) -> impl Iterator<Item = u32> + use<'s> {
        self.of(0, |state| state == REACHABLE).chain(self.rescued.iter().copied())
    }

    /// Of the reachable, those at the end that have changed their place.
    #[must_use]
    pub fn rescued(&self) -> &'s [u32] {
        self.rescued
    }

    /// The immortal, in the order of the list.
    pub fn immortal(&self) -> impl Iterator<Item = u32> + use<'s> {
        self.of(self.stay, |state| state == IMMORTAL)
    }

    /// Whether there are any.
    pub(crate) fn has_immortal(&self) -> bool {
        self.has_immortal
    }

    /// Those whose state is this, from a place on.
    fn of<F: Fn(State) -> bool>(&self, from: usize, is: F) -> impl Iterator<Item = u32> + use<'s, F> {
        (0_u32..).zip(self.state).skip(from).filter(move |&(_, &state)| is(state)).map(|(at, _)| at)
    }
}

impl<'s, I: Copy + Eq> Snapshot<'s, I> {
    /// Who is garbage: only referred to, at whichever remove, by objects that are garbage, too.
    ///
    /// O(objects + references), without recursion.
    #[must_use]
    pub fn partition(&self, scratch: &'s Bump) -> Partition<'s> {
        let state = scratch.alloc_slice_fill_copy(self.outside.len(), UNKNOWN);
        for (state, &outside) in state.iter_mut().zip(self.outside) {
            *state = if outside == 0 { UNKNOWN } else { REACHABLE };
        }
        for &at in self.immortals {
            state[at] = IMMORTAL;
        }
        let cells = Cell::from_mut(&mut *state).as_slice_of_cells();
        // Most lists are such that nobody is rescued: what need not care for that is quicker.
        let from = self.pass(cells, 0, |_| false);
        let mut rescued = Rescued { all: BumpVec::new_in(scratch), last: [0; TOGETHER], len: 0 };
        self.pass(cells, from, |at| rescued.push(at));
        let mut next = 0;
        while let Some(at) = rescued.get(next) {
            next += 1;
            reach(self.referents(at), cells, |at| rescued.push(at));
        }
        rescued.put_down();
        let (stay, has_immortal) = (reachable_at_first(state), !self.immortals.is_empty());
        Partition { state, rescued: rescued.all.into_bump_slice(), stay, has_immortal }
    }

    /// Goes through the objects from one on, in their order: what is referred to by reachable ones is reachable, what is not known to
    /// be seems to be garbage. Up to which it has come, if it ends before the others because somebody is not to be rescued.
    #[inline]
    fn pass(&self, state: &[Cell<State>], from: usize, mut rescue: impl FnMut(u32) -> bool) -> usize {
        let many = state.len();
        let (Some(begins), Some(ends)) = (self.starts.get(..many), self.starts.get(1..=many)) else {
            return many;
        };
        for at in from..many {
            if state[at].get() & REACHABLE == 0 {
                state[at].set(UNREACHABLE);
            } else {
                let own = begins[at] as usize..ends[at] as usize;
                // They are there, but if the heap told wrongly where references end.
                let own = self.referents.get(own).unwrap_or_default();
                if !reach(own, state, &mut rescue) {
                    return at;
                }
            }
        }
        many
    }
}

/// How many at the head are reachable, and were so from the first.
fn reachable_at_first(state: &[State]) -> usize {
    let is_all = |states: &&[State]| states.iter().fold(0, |all, state| all | (state ^ REACHABLE)) == 0;
    let sure = state.chunks(TOGETHER).take_while(is_all).map(<[State]>::len).sum();
    let others = state.get(sure..).unwrap_or_default();
    sure + others.iter().take_while(|&&state| state == REACHABLE).count()
}

/// How many are rescued before they are put down.
const TOGETHER: usize = 256;

/// Those that had seemed to be garbage, in the order in which they were seen.
struct Rescued<'s> {
    all: BumpVec<'s, u32>,
    /// The last ones, that are not among all yet.
    last: [u32; TOGETHER],
    len: usize,
}

impl Rescued<'_> {
    #[inline]
    fn push(&mut self, at: u32) -> bool {
        if self.len >= TOGETHER {
            self.put_down();
        }
        if let Some(place) = self.last.get_mut(self.len) {
            *place = at;
            self.len += 1;
        }
        true
    }

    #[cold]
    #[inline(never)]
    fn put_down(&mut self) {
        self.all.extend_from_slice_copy(self.last.get(..self.len).unwrap_or_default());
        self.len = 0;
    }

    #[inline]
    fn get(&mut self, at: usize) -> Option<u32> {
        if at >= self.all.len() {
            self.put_down();
        }
        self.all.get(at).copied()
    }
}

/// These are reachable. Whether all that had seemed to be garbage were rescued.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a handful of instructions for each reference")]
fn reach(referents: &[u32], state: &[Cell<State>], mut rescue: impl FnMut(u32) -> bool) -> bool {
    for &referent in referents {
        let there = &state[referent as usize];
        let known = there.get();
        if known == UNREACHABLE {
            if !rescue(referent) {
                return false;
            }
            // What had seemed to be garbage is none.
            there.set(RESCUED);
        } else {
            // Either it comes later in the list, where there is no need to set it aside first, or nothing changes. To tell one
            // from the other would be to guess: processors lose more by that than by a store.
            there.set(known | REACHABLE);
        }
    }
    true
}
