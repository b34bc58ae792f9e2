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
        let mut rescued = Rescued { all: BumpVec::new_in(scratch), last: [0; TOGETHER], len: 0 };
        let cells = Cell::from_mut(&mut *state).as_slice_of_cells();
        let (mut stay, mut begin) = (cells.len(), 0);
        let ends = self.starts.get(1..=cells.len()).unwrap_or_default();
        for at in 0..ends.len() {
            let (there, end) = (&cells[at], ends[at]);
            let own = begin as usize..end as usize;
            begin = end;
            if there.get() & REACHABLE != 0 {
                // They are there, but if the heap told wrongly where references end.
                let Some(own) = self.referents.get(own) else { continue };
                reach(own, cells, &mut rescued);
            } else {
                stay = stay.min(at);
                there.set(UNREACHABLE);
            }
        }
        stay = self.immortals.iter().fold(stay, |stay, &immortal| stay.min(immortal));
        let has_immortal = !self.immortals.is_empty();
        let mut next = 0;
        while let Some(at) = rescued.get(next) {
            next += 1;
            reach(self.referents(at), cells, &mut rescued);
        }
        rescued.put_down();
        Partition { state, rescued: rescued.all.into_bump_slice(), stay, has_immortal }
    }
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
    fn push(&mut self, at: u32) {
        if self.len >= TOGETHER {
            self.put_down();
        }
        if let Some(place) = self.last.get_mut(self.len) {
            *place = at;
            self.len += 1;
        }
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

/// These are reachable.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a handful of instructions for each reference")]
fn reach(referents: &[u32], state: &[Cell<State>], rescued: &mut Rescued<'_>) {
    for &referent in referents {
        let there = &state[referent as usize];
        let known = there.get();
        if known == UNREACHABLE {
            // What had seemed to be garbage is none.
            there.set(RESCUED);
            rescued.push(referent);
        } else {
            // Either it comes later in the list, where there is no need to set it aside first, or nothing changes. To tell one
            // from the other would be to guess: processors lose more by that than by a store.
            there.set(known | 1);
        }
    }
}
