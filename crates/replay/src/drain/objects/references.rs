//! What the deaths that are going on refer to.

use std::num::NonZeroU32;
use std::ops::Range;

use super::super::census::{Census, Known, Place};

/// A reference that a death may give up.
#[derive(Clone, Copy, Debug)]
struct Reference {
    /// To what is counted.
    to: Option<Place>,
    /// The one before to the same, of this death or of one around it: its place, counted from 1.
    before: Option<NonZeroU32>,
    /// It was given up for sure.
    is_gone: bool,
}

/// The references of all deaths that are going on, those of inner ones behind those of outer ones. All that lead to the
/// same object are linked, so that nobody has to look for them.
#[derive(Clone, Debug, Default)]
pub(super) struct References {
    all: Vec<Reference>,
}

fn place(number: NonZeroU32) -> usize {
    number.get() as usize - 1
}

impl References {
    /// Where those begin of a death that begins now.
    pub(super) fn end(&self) -> usize {
        self.all.len()
    }

    /// One more, of the innermost death.
    pub(super) fn push(&mut self, to: Option<Place>, census: &mut Census) {
        let mut before = None;
        if let Some(to) = to {
            // (More would be thirty gigabytes of references in a single death: those are not linked, and explain nothing.)
            let number = u32::try_from(self.all.len() + 1).ok().and_then(NonZeroU32::new);
            before = std::mem::replace(&mut census.known(to).last, number);
        }
        self.all.push(Reference { to, before, is_gone: false });
    }

    /// The places of the references to something that a death has, which are these, and has not given up for sure; the last
    /// first.
    fn of(&self, range: Range<usize>, last: Option<NonZeroU32>) -> impl Iterator<Item = usize> {
        let chain = std::iter::successors(last, |number| self.all.get(place(*number))?.before);
        chain
            .map(place)
            .skip_while(move |at| *at >= range.end)
            .take_while(move |at| *at >= range.start)
            .filter(|at| self.all.get(*at).is_some_and(|one| !one.is_gone))
    }

    /// How many these are.
    pub(super) fn times(&self, range: Range<usize>, to: Place, census: &mut Census) -> u32 {
        let times = self.of(range, census.known(to).last).count();
        u32::try_from(times).unwrap_or(u32::MAX)
    }

    /// To what each of a death's references is that are counted, in their order, and backwards.
    pub(super) fn all(&self, range: Range<usize>) -> impl DoubleEndedIterator<Item = Place> {
        self.all.get(range).unwrap_or_default().iter().filter_map(|one| one.to)
    }

    /// Notes that so many of a death's references to something were given up, the first ones; how many are left to be given
    /// up elsewhere.
    pub(super) fn forget(&mut self, range: Range<usize>, to: Place, times: u32, census: &mut Census) -> u32 {
        let last = census.known(to).last;
        let found = self.times(range.clone(), to, census);
        let forgotten = found.min(times);
        let kept = (found - forgotten) as usize;
        let places: Vec<usize> = self.of(range, last).skip(kept).collect();
        for at in places {
            self.all[at].is_gone = true;
        }
        times - forgotten
    }

    /// Where among a death's references those to something are; the last first.
    pub(super) fn places(
        &self,
        range: Range<usize>,
        to: Place,
        census: &mut Census,
    ) -> impl Iterator<Item = u32> {
        let start = range.start;
        self.of(range, census.known(to).last).map(move |at| u32::try_from(at - start).unwrap_or(u32::MAX))
    }

    /// Takes out those from a place on, of the innermost death; `given_up` is told what each led to that was not given up
    /// before.
    #[inline]
    pub(super) fn end_at(
        &mut self,
        start: usize,
        census: &mut Census,
        mut given_up: impl FnMut(Place, &mut Known),
    ) {
        while self.all.len() > start
            && let Some(Reference { to, before, is_gone }) = self.all.pop()
        {
            let Some(to) = to else { continue };
            let known = census.known(to);
            if !is_gone {
                given_up(to, known);
            }
            known.last = before;
            if before.is_none() {
                census.is_unreferred(to);
            }
        }
    }
}
