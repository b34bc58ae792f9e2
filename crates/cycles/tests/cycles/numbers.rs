//! The least of a heap: numbers that refer to numbers.

use cycles::{Containers, ListId, Lists, Place};
use rc::Heap;

use crate::setup::Choices;

pub(crate) const YOUNG: ListId = ListId::new(0);
pub(crate) const OLD: ListId = ListId::new(1);

#[derive(Default)]
pub(crate) struct Numbers {
    pub(crate) counts: Vec<u64>,
    pub(crate) owned: Vec<Vec<usize>>,
    /// To what each refers, behind that, without being counted.
    pub(crate) borrowed: Vec<Vec<usize>>,
    pub(crate) places: Vec<Place>,
    pub(crate) lists: Lists<usize>,
}

impl Numbers {
    /// So many objects, which own nothing, on no list.
    pub(crate) fn new(many: usize) -> Self {
        Self {
            counts: vec![0; many],
            owned: vec![Vec::new(); many],
            borrowed: vec![Vec::new(); many],
            places: vec![Place::UNTRACKED; many],
            lists: Lists::new(),
        }
    }

    /// A random graph: most of its objects are young, and most of the references to them counted.
    pub(crate) fn random(choices: &mut impl Choices, most: usize) -> Self {
        let many = 1 + choices.of(most);
        let mut this = Self::new(many);
        for owner in 0..many {
            for _ in 0..choices.of(4) {
                let member =
                    if choices.of(2) == 0 { choices.of(many) } else { (owner + choices.of(4)) % many };
                this.own(owner, member);
            }
        }
        for object in 0..many {
            this.counts[object] += u64::from(choices.once_in(6));
            let list = [YOUNG, OLD][usize::from(choices.once_in(8))];
            cycles::track(&mut this, object, list);
        }
        for borrower in 0..many {
            if choices.once_in(4) {
                this.borrowed[borrower].push(choices.of(many));
            }
        }
        this
    }

    pub(crate) fn own(&mut self, owner: usize, member: usize) {
        self.owned[owner].push(member);
        self.counts[member] += 1;
    }
}

impl Heap for Numbers {
    type Id = usize;

    fn count(&self, object: usize) -> u64 {
        self.counts[object]
    }

    fn set_count(&mut self, object: usize, word: u64) {
        self.counts[object] = word;
    }

    fn release_next(&mut self, object: usize) -> Option<usize> {
        self.owned[object].pop()
    }
}

impl Containers for Numbers {
    fn traverse(&self, object: usize, visit: &mut impl FnMut(usize)) {
        self.owned[object].iter().chain(&self.borrowed[object]).copied().for_each(visit);
    }

    fn traverse_uncounted(&self, object: usize, visit: &mut impl FnMut(usize)) {
        self.borrowed[object].iter().copied().for_each(visit);
    }

    fn traverse_places(&self, object: usize, visit: &mut impl FnMut(Place)) {
        let all = self.owned[object].iter().chain(&self.borrowed[object]);
        all.for_each(|&member| visit(self.places[member]));
    }

    fn place(&self, object: usize) -> Place {
        self.places[object]
    }

    fn set_place(&mut self, object: usize, place: Place) {
        self.places[object] = place;
    }

    fn lists(&self) -> &Lists<usize> {
        &self.lists
    }

    fn lists_mut(&mut self) -> &mut Lists<usize> {
        &mut self.lists
    }
}
