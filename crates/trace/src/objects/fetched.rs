//! What a replay of deaths fetches.

use std::collections::VecDeque;

use super::{Beginning, Edge, Fate, Object};

/// What a replay of deaths fetches: each item may be had only in its turn, by who has predicted that this death begins,
/// or ends, now.
#[derive(Debug, Default)]
pub struct FetchedDeaths {
    items: VecDeque<Item>,
    /// Those of all items that have some.
    edges: VecDeque<Edge>,
    weak: VecDeque<Object>,
    /// The object whose death was the last to begin.
    last: Object,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// So many steps of the program, when the innermost death has given up so many references since it began, or since
    /// the steps before; `None`: at once.
    Steps(u64, Option<u64>),
    /// It gives up this reference next.
    Gives(u32),
    Begins(Told),
    /// Its finalizer has run.
    GoesOn(Told),
    Ends(Fate),
    /// It calls a finalizer or a callback.
    Calls,
    Deposited,
    TakenUp,
}

/// A [`Beginning`], whose parts are elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// See [`check`].
    pub(super) check: u8,
    pub(super) edges: u32,
    pub(super) weak: u32,
}

/// An object's number as far as it is kept beside what is fetched: the lowest bits of its difference from the one whose
/// death began before.
pub(super) fn check(object: Object, last: Object) -> u8 {
    object.wrapping_sub(last).to_le_bytes()[0]
}

impl FetchedDeaths {
    pub(super) fn push(&mut self, item: Item) {
        self.items.push_back(item);
    }

    pub(super) fn push_edge(&mut self, edge: Edge) {
        self.edges.push_back(edge);
    }

    pub(super) fn push_weak(&mut self, reference: Object) {
        self.weak.push_back(reference);
    }

    /// What dying objects refer to, to be changed: for who wants to know whether that is noticed.
    pub fn edges_mut(&mut self) -> impl Iterator<Item = &mut Edge> {
        self.edges.iter_mut()
    }

    /// How many references are told of.
    pub(super) fn edges(&self) -> usize {
        self.edges.len()
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.edges.clear();
        self.weak.clear();
    }

    /// How many steps the program makes now inside of the innermost death, which has given up so many references since it
    /// began or since this was answered with more than none.
    #[inline]
    pub fn steps(&mut self, given_up: u64) -> u64 {
        match self.items.front() {
            Some(&Item::Steps(steps, after)) if after.is_none_or(|after| after == given_up) => {
                self.items.pop_front();
                steps
            }
            _ => 0,
        }
    }

    /// What is to be known of the death of this object, which begins now. False: it does not.
    pub fn begins(&mut self, object: Object, into: &mut Beginning) -> bool {
        match self.items.front() {
            Some(&Item::Begins(told)) if told.check == check(object, self.last) => {
                self.items.pop_front();
                self.last = object;
                self.take(told, into);
                true
            }
            _ => false,
        }
    }

    /// What is to be known of the innermost death now that a finalizer has run in it, if that is told anew.
    pub fn goes_on(&mut self, into: &mut Beginning) -> bool {
        match self.items.front() {
            Some(&Item::GoesOn(told)) => {
                self.items.pop_front();
                self.take(told, into);
                true
            }
            _ => false,
        }
    }

    fn take(&mut self, told: Told, into: &mut Beginning) {
        into.clear();
        into.edges.extend(self.edges.drain(..(told.edges as usize).min(self.edges.len())));
        into.weak.extend(self.weak.drain(..(told.weak as usize).min(self.weak.len())));
    }

    /// What becomes of the memory of the object whose death is the innermost one and ends now, for who cannot know.
    /// `None`: it does not end.
    pub fn ends(&mut self) -> Option<Fate> {
        match self.items.front()? {
            &Item::Ends(fate) => {
                self.items.pop_front();
                Some(fate)
            }
            _ => None,
        }
    }

    /// For who cannot know in which order an object gives up its references: the one that the innermost death gives up
    /// next, if there is one.
    pub fn gives(&mut self) -> Option<u32> {
        match self.items.front()? {
            &Item::Gives(at) => {
                self.items.pop_front();
                Some(at)
            }
            _ => None,
        }
    }

    /// For who cannot know: whether the innermost death calls a finalizer or a callback next.
    #[must_use]
    pub fn will_call(&self) -> bool {
        self.items.front() == Some(&Item::Calls)
    }

    /// Whether the innermost death calls a finalizer or a callback now.
    pub fn calls(&mut self) -> bool {
        self.items.pop_front_if(|item| *item == Item::Calls).is_some()
    }

    /// Whether the death that is about to begin is put off, for who cannot know.
    pub fn is_deposited(&mut self) -> bool {
        self.items.pop_front_if(|item| *item == Item::Deposited).is_some()
    }

    /// Whether there is nothing but that the death about to begin is put off.
    #[must_use]
    pub fn is_only_a_deposit(&self) -> bool {
        self.items.len() == 1 && self.items.front() == Some(&Item::Deposited)
    }

    /// Whether deaths that were put off are taken up now, for who cannot know.
    pub fn is_taken_up(&mut self) -> bool {
        self.items.pop_front_if(|item| *item == Item::TakenUp).is_some()
    }

    /// Whether there is nothing (yet).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes over what another frame has to fetch, behind what is left of the frames before.
    pub fn append(&mut self, next: &mut Self) {
        self.items.append(&mut next.items);
        self.edges.append(&mut next.edges);
        self.weak.append(&mut next.weak);
    }
}
