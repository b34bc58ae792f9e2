//! The checks of objects: `deaths`, who dies inside what, in which order, whose finalizers and callbacks run, and whose
//! memory is released; `counts`, how many references there are to what a dying object refers to; and
//! `placement-from-deaths`, where blocks come to lie if nothing but predicted deaths releases objects.

use std::collections::VecDeque;

use trace::{Death, Fate, ObjectFrame};

use super::Tally;
use crate::engine::{DeathPredictions, Given, Stopped};

/// Where two lists differ first: how far they are the same, and what each has there, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListDivergence<T> {
    /// How many facts are the same.
    pub at: u64,
    /// What was predicted.
    pub predicted: Option<T>,
    /// What was observed.
    pub observed: Option<T>,
}

/// Compares two lists of which one may be ahead of the other.
#[derive(Debug)]
struct Queue<T> {
    tally: Tally,
    predicted: VecDeque<T>,
    observed: VecDeque<T>,
    first: Option<ListDivergence<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { tally: Tally::default(), predicted: VecDeque::new(), observed: VecDeque::new(), first: None }
    }
}

impl<T: Copy + PartialEq> Queue<T> {
    fn push(&mut self, predicted: &[T], observed: &[T]) {
        if self.tally.pass_over(observed.len() as u64) {
            return;
        }
        self.predicted.extend(predicted);
        self.observed.extend(observed);
        let both = self.predicted.len().min(self.observed.len());
        let (predicted, observed) = (self.predicted.make_contiguous(), self.observed.make_contiguous());
        let (predicted, observed) = (&predicted[..both], &observed[..both]);
        let at = self.tally.verified;
        if let Some(index) = self.tally.compare(predicted, observed) {
            self.first = Some(ListDivergence {
                at: at + index as u64,
                predicted: predicted.get(index).copied(),
                observed: observed.get(index).copied(),
            });
        }
        self.predicted.drain(..both);
        self.observed.drain(..both);
        if self.first.is_some() {
            self.leave();
        }
    }

    /// What was observed and is not predicted is not verified.
    fn leave(&mut self) {
        self.tally.leave(self.observed.len() as u64);
        self.observed.clear();
        self.predicted.clear();
    }

    /// Nothing more comes. `wrong`: the replay could not go on, because this was predicted (or something else that did not
    /// happen, if it is `None`).
    fn end(&mut self, wrong: Option<Option<T>>) {
        if let (Some(wrong), None) = (wrong, &self.first) {
            self.first = Some(ListDivergence {
                at: self.tally.verified,
                predicted: wrong,
                observed: self.observed.front().copied(),
            });
            self.tally.fail(self.observed.len() as u64);
            self.observed.clear();
        }
        self.leave();
    }
}

/// Compares what happens to objects, and where blocks lie because of that.
#[derive(Debug, Default)]
pub struct Deaths {
    deaths: Queue<Death>,
    counts: Queue<u32>,
    placement: Queue<u64>,
    /// Answers that had to be inputs.
    pub given: Given,
}

impl Deaths {
    /// Compares a frame; `addresses` are where its blocks were observed to lie.
    pub fn frame(&mut self, frame: &ObjectFrame, predictions: &DeathPredictions, addresses: &[u64]) {
        self.deaths.push(&predictions.deaths, &frame.deaths);
        self.counts.push(&predictions.counts, &frame.counts);
        self.placement.push(&predictions.addresses, addresses);
        self.given.add(&predictions.given);
    }

    /// There are no further frames; the replay went to their end, or stopped.
    pub fn finish(&mut self, stopped: Option<&Stopped>) {
        let (deaths, placement) = match stopped {
            None => (None, None),
            Some(Stopped::NoBeginning(object)) => (Some(Some(Death::Begins(*object))), Some(None)),
            Some(Stopped::NoEnd(object)) => (Some(Some(Death::Ends(*object, Fate::Released))), Some(None)),
            Some(Stopped::NotAlive(_) | Stopped::NotCalled | Stopped::NothingKept | Stopped::NoThread(_)) => {
                (Some(None), Some(None))
            }
            Some(Stopped::NoCall(object)) => (Some(Some(Death::Finalizer(*object))), Some(None)),
            Some(Stopped::Blocks(_)) => (None, Some(None)),
        };
        self.deaths.end(deaths);
        // Those that were not reached follow from deaths that were not.
        self.counts.end(None);
        self.placement.end(placement);
    }

    /// What became of the facts about deaths, and where they differ first.
    #[must_use]
    pub fn deaths(&self) -> (Tally, Option<ListDivergence<Death>>) {
        (self.deaths.tally, self.deaths.first)
    }

    /// What became of the facts about counts, and where they differ first.
    #[must_use]
    pub fn counts(&self) -> (Tally, Option<ListDivergence<u32>>) {
        (self.counts.tally, self.counts.first)
    }

    /// What became of the facts about addresses, and where they differ first.
    #[must_use]
    pub fn placement(&self) -> (Tally, Option<ListDivergence<u64>>) {
        (self.placement.tally, self.placement.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(queue: &Queue<u64>) -> [u64; 4] {
        let Tally { facts, verified, diverged, unverified, .. } = queue.tally;
        assert!(queue.tally.is_conserved());
        [facts, verified, diverged, unverified]
    }

    #[test]
    fn one_list_may_be_ahead_of_the_other() {
        let mut queue = Queue::default();
        queue.push(&[], &[1, 2]);
        queue.push(&[1, 2, 3], &[]);
        queue.push(&[], &[3]);
        queue.end(None);
        assert_eq!((tally(&queue), queue.first), ([3, 3, 0, 0], None));
    }

    #[test]
    fn what_differs_is_found_where_it_does() {
        let mut queue = Queue::default();
        queue.push(&[1, 2], &[1]);
        queue.push(&[], &[7, 8]);
        queue.push(&[8], &[9]);
        queue.end(None);
        let first = ListDivergence { at: 1, predicted: Some(2), observed: Some(7) };
        assert_eq!((tally(&queue), queue.first), ([4, 1, 1, 2], Some(first)));
    }

    #[test]
    fn a_prediction_that_never_happens_is_a_divergence() {
        let mut queue = Queue::default();
        queue.push(&[1], &[1, 2, 3]);
        queue.end(Some(Some(5)));
        let first = ListDivergence { at: 1, predicted: Some(5), observed: Some(2) };
        assert_eq!((tally(&queue), queue.first), ([3, 1, 1, 1], Some(first)));
        let mut queue = Queue::default();
        queue.push(&[1], &[1]);
        queue.end(Some(None));
        let first = ListDivergence { at: 1, predicted: None, observed: None };
        assert_eq!((tally(&queue), queue.first), ([1, 1, 0, 0], Some(first)));
    }

    #[test]
    fn what_is_not_predicted_is_not_verified() {
        let mut queue = Queue::default();
        queue.push(&[1], &[1, 2]);
        queue.end(None);
        assert_eq!((tally(&queue), queue.first), ([2, 1, 0, 1], None));
    }
}
