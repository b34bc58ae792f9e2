//! A heap that panics when it is traversed: nobody is lost.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use bumpalo::Bump;
use cycles::{Collection, Containers, ListId, Lists, Place, Plan, Rules, Step, Untracks};
use rc::Heap;

use crate::numbers::{Numbers, OLD, YOUNG};
use crate::setup::{Choices, Seed};

struct Fragile {
    numbers: Numbers,
    /// How many traversals there are until one panics.
    left: Cell<usize>,
}

impl Heap for Fragile {
    type Id = usize;

    fn count(&self, object: usize) -> u64 {
        self.numbers.count(object)
    }

    fn set_count(&mut self, object: usize, word: u64) {
        self.numbers.set_count(object, word);
    }

    fn release_next(&mut self, object: usize) -> Option<usize> {
        self.numbers.release_next(object)
    }

    fn take_finalizer(&mut self, _object: usize) -> bool {
        true
    }
}

impl Containers for Fragile {
    fn traverse(&self, object: usize, visit: &mut impl FnMut(usize)) {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.unwrap_or(usize::MAX));
        if left.is_none() {
            // A panic that prints nothing.
            resume_unwind(Box::new("on purpose"));
        }
        self.numbers.traverse(object, visit);
    }

    fn traverse_uncounted(&self, object: usize, visit: &mut impl FnMut(usize)) {
        self.numbers.traverse_uncounted(object, visit);
    }

    fn place(&self, object: usize) -> Place {
        self.numbers.place(object)
    }

    fn set_place(&mut self, object: usize, place: Place) {
        self.numbers.set_place(object, place);
    }

    fn lists(&self) -> &Lists<usize> {
        &self.numbers.lists
    }

    fn lists_mut(&mut self) -> &mut Lists<usize> {
        &mut self.numbers.lists
    }

    fn untracks(&self, object: usize) -> Untracks {
        [Untracks::Never, Untracks::Fixed, Untracks::Changing][object % 3]
    }
}

/// Runs a collection in which a traversal panics after so many. Whether one did.
fn run(seed: u64, after: usize) -> bool {
    let mut choices = Seed::new(seed);
    let numbers = Numbers::random(&mut choices, 15);
    let counts = numbers.counts.clone();
    let mut heap = Fragile { numbers, left: Cell::new(after) };
    let plan = Plan { young: YOUNG, old: [YOUNG, OLD][choices.of(2)], permanent: OLD, saves_all: false };
    let (rules, scratch) = (Rules::for_cpython(3, 13, 13).unwrap(), Bump::new());
    let mut panicked = false;
    let mut begin =
        || catch_unwind(AssertUnwindSafe(|| Collection::begin(&mut heap, plan, rules, &scratch).unwrap().0));
    let mut collection = begin().unwrap_or_else(|_| {
        panicked = true;
        // It panics once.
        begin().unwrap()
    });
    loop {
        match catch_unwind(AssertUnwindSafe(|| collection.next(&mut heap, &scratch).unwrap())) {
            Ok(Step::Release(object)) => heap.numbers.counts[object] -= 1,
            Ok(Step::Done(_)) => break,
            Ok(_) => {}
            Err(_) => panicked = true,
        }
    }
    assert_eq!(heap.numbers.counts, counts);
    for (object, place) in heap.numbers.places.iter().enumerate() {
        // Nobody was cleared: whoever is on no list was taken off on purpose.
        assert!(place.list().is_some_and(|list| list <= OLD) || object % 3 > 0);
        assert_eq!(place.list() == Some(YOUNG), heap.numbers.lists.iter(YOUNG).any(|other| other == object));
    }
    // None of the collector's own lists was left open.
    heap.left.set(usize::MAX);
    let (next, ..) = Collection::begin(&mut heap, plan, rules, &scratch).unwrap();
    assert_eq!(next.garbage().number(), ListId::USERS);
    panicked
}

#[test]
fn wherever_a_traversal_panics_nobody_is_lost() {
    for seed in 0..200 {
        assert!((0..).take_while(|&after| run(seed, after)).count() > 0);
    }
}
