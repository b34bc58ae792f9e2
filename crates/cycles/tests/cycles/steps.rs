//! Single steps, by hand; and drivers and heaps that do not do as they should.

use std::cell::RefCell;

use bumpalo::Bump;
use cycles::{Collection, Containers, ListId, Lists, PRESETS, Place, Plan, Rules, Snapshot, Step, TooMany};
use rc::{CountError, Counting, Heap, Miscount};

use crate::numbers::{Numbers, OLD, YOUNG};
use crate::setup::{Choices, Seed};
use crate::stepped::Stepped;
use crate::world::{Action, Event, Kind, Object, World};

const PLAN: Plan = Plan { young: YOUNG, old: OLD, permanent: ListId::new(2), saves_all: false };

fn rules() -> Rules {
    Rules::for_cpython(3, 14, 5).unwrap()
}

#[test]
fn survivors_follow_each_other_as_they_were_reached() {
    // 2 is held, refers to 1, and that to 0.
    let mut heap = Numbers::new(3);
    heap.own(2, 1);
    heap.own(1, 0);
    heap.counts[2] += 1;
    (0..3).for_each(|object| _ = cycles::track(&mut heap, object, YOUNG));
    let scratch = Bump::new();
    let (mut collection, snapshot, partition) =
        Collection::begin(&mut heap, PLAN, rules(), &scratch).unwrap();
    assert_eq!(partition.reachable().collect::<Vec<_>>(), [2, 1, 0]);
    assert_eq!(partition.rescued(), [1, 0]);
    assert_eq!((snapshot.outside(2), snapshot.outside(1)), (Some(1), Some(0)));
    assert_eq!(heap.lists.iter(OLD).collect::<Vec<_>>(), [2, 1, 0]);
    assert!(heap.lists.is_empty(YOUNG) && heap.lists.is_empty(collection.garbage()));
    assert_eq!(collection.plan(), &PLAN);
    let Ok(Step::Done(outcome)) = collection.next(&mut heap, &scratch) else {
        panic!("nothing is to be done")
    };
    assert_eq!(&outcome, collection.outcome());
    assert_eq!((outcome.candidates, outcome.survivors, outcome.rescued), (3, 3, 2));
}

/// A ring of so many, nobody holds it.
fn ring(many: usize) -> Numbers {
    let mut heap = Numbers::new(many);
    (0..many).for_each(|owner| heap.own(owner, (owner + 1) % many));
    (0..many).for_each(|object| _ = cycles::track(&mut heap, object, YOUNG));
    heap
}

#[test]
fn a_reference_that_cannot_be_counted_leaves_its_step_out() {
    let mut heap = ring(2);
    let scratch = Bump::new();
    let rules = Rules::for_cpython(3, 11, 0).unwrap();
    let (mut collection, ..) = Collection::begin(&mut heap, PLAN, rules, &scratch).unwrap();
    heap.counts[0] = i64::MAX.unsigned_abs();
    let error = collection.next(&mut heap, &scratch).unwrap_err();
    assert_eq!(error, CountError { object: 0, what: Miscount::Overflow });
    assert_eq!(collection.next(&mut heap, &scratch), Ok(Step::Clear(1)));
    assert_eq!(heap.counts[1], 2);
    assert_eq!(collection.next(&mut heap, &scratch), Ok(Step::Release(1)));
    heap.counts[1] -= 1;
    let Ok(Step::Done(outcome)) = collection.next(&mut heap, &scratch) else { panic!("it is over") };
    assert_eq!((outcome.collected, outcome.outlived), (2, 2));
    // Nobody cleared them: they live on.
    assert_eq!(heap.lists.iter(OLD).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn collections_inside_each_other_until_there_are_too_many() {
    let mut heap = ring(3);
    let scratch = Bump::new();
    let mut open = Vec::new();
    let error = loop {
        match Collection::begin(&mut heap, PLAN, rules(), &scratch) {
            Ok((collection, ..)) => open.push(collection),
            Err(error) => break error,
        }
    };
    assert_eq!(error, TooMany::Collections);
    assert_eq!(error.to_string(), "there are too many collections inside each other");
    assert!(open.len() > 80);
    assert_eq!(heap.lists.iter(open[0].garbage()).collect::<Vec<_>>(), [0, 1, 2]);
    // One that is over makes room for another.
    let mut last = open.pop().unwrap();
    assert!(matches!(last.next(&mut heap, &scratch), Ok(Step::Done(_))));
    let (again, ..) = Collection::begin(&mut heap, PLAN, rules(), &scratch).unwrap();
    assert_eq!(again.outcome().candidates, 0);
}

#[test]
fn who_gives_a_collection_up_does_its_releases_only() {
    for preset in PRESETS {
        let mut world = World::new(preset.rules.counting);
        world.programs.push(vec![Action::Resurrect]);
        for at in 0..3 {
            let mut object = Object::new(Kind::Instance);
            object.finalizer = Some(0);
            world.add(object);
            world.track(at, 0);
        }
        (0..3).for_each(|at| world.own(at, (at + 1) % 3));
        let weak = world.watch(1, Some(0));
        world.hold(weak);
        let scratch = Bump::new();
        let plan = Plan { old: YOUNG, ..PLAN };
        let (mut collection, ..) = Collection::begin(&mut world, plan, preset.rules, &scratch).unwrap();
        let mut stepped = Stepped::new(world, preset.rules, false);
        loop {
            match collection.next(&mut stepped.world, &scratch).unwrap() {
                Step::Release(object) => stepped.decref(object),
                Step::Done(_) => break,
                _ => {}
            }
        }
        stepped.world.check();
        assert_eq!(stepped.world.lists.iter(YOUNG).collect::<Vec<_>>(), [weak, 0, 1, 2], "{}", preset.name);
        assert!(stepped.world.log.is_empty());
    }
}

#[test]
fn immortals_are_told_apart_from_those_owned_too_often() {
    let mut heap = Numbers::new(3);
    // 0 tells of a reference to 1 once more than it owns it, and of one to 2, which is immortal.
    heap.owned[0] = vec![1, 1, 2];
    heap.counts = vec![1, 1, rules().counting.immortal];
    (0..3).for_each(|object| _ = cycles::track(&mut heap, object, YOUNG));
    let scratch = Bump::new();
    let snapshot = Snapshot::take(&mut heap, YOUNG, rules().counting, &scratch).unwrap();
    assert_eq!((snapshot.excess(), snapshot.outside(2)), (1, None));
    assert!(snapshot.outside(1) > Some(1000));
    let partition = snapshot.partition(&scratch);
    assert_eq!(partition.reachable().collect::<Vec<_>>(), [0, 1]);
    assert_eq!(partition.immortal().collect::<Vec<_>>(), [2]);
}

/// Who survives of so many young objects, in order, where these refer to each other.
fn survivors(counts: &[u64], owned: &[(usize, usize)], borrowed: &[(usize, usize)]) -> Vec<usize> {
    let mut heap = Numbers::new(counts.len());
    owned.iter().for_each(|&(owner, member)| heap.owned[owner].push(member));
    borrowed.iter().for_each(|&(borrower, referent)| heap.borrowed[borrower].push(referent));
    heap.counts = counts.to_vec();
    (0..counts.len()).for_each(|object| _ = cycles::track(&mut heap, object, YOUNG));
    let scratch = Bump::new();
    let snapshot = Snapshot::take(&mut heap, YOUNG, rules().counting, &scratch).unwrap();
    assert_eq!(snapshot.excess(), 0);
    snapshot.partition(&scratch).reachable().map(|at| at as usize).collect()
}

#[test]
fn references_that_are_not_counted_are_followed_but_not_taken_off() {
    // 0 and 1 own each other, which 2 borrows, which is held.
    let cycle = [(0, 1), (1, 0)];
    assert_eq!(survivors(&[1, 1, 1], &cycle, &[(2, 0)]), [2, 0, 1]);
    // Nobody holds 2: what it borrows is garbage as it is.
    assert_eq!(survivors(&[1, 1, 1], &[(0, 1), (1, 0), (2, 2)], &[(2, 0)]), [0; 0]);
    // 1 is held. That 0, which is garbage, borrows it does not change that.
    assert_eq!(survivors(&[1, 1], &[(0, 0)], &[(0, 1), (0, 1)]), [1]);
    // An immortal object borrows nothing that matters.
    let immortal = rules().counting.immortal;
    assert_eq!(survivors(&[1, 1, immortal], &cycle, &[(2, 0)]), [0; 0]);
}

#[test]
fn who_tells_of_more_that_is_not_counted_than_of_references_lets_it_live() {
    let mut heap = Fickle { numbers: Numbers::new(2), choices: RefCell::new(Seed::new(1)), misplaces: false };
    heap.numbers.counts = vec![1, 0];
    // A heap that tells of its references to 1 only where it is asked what is not counted.
    heap.numbers.borrowed[0] = vec![1; 9];
    (0..2).for_each(|object| _ = cycles::track(&mut heap, object, YOUNG));
    let scratch = Bump::new();
    let snapshot = Snapshot::take(&mut heap, YOUNG, rules().counting, &scratch).unwrap();
    assert!(snapshot.outside(1) > Some(0));
    assert_eq!(snapshot.partition(&scratch).unreachable().count(), 0);
}

/// A heap that tells something else whenever it is asked.
struct Fickle {
    numbers: Numbers,
    choices: RefCell<Seed>,
    /// Whether places are made up, too.
    misplaces: bool,
}

impl Heap for Fickle {
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
        self.choices.borrow_mut().of(4) == 0
    }
}

impl Containers for Fickle {
    fn traverse(&self, object: usize, visit: &mut impl FnMut(usize)) {
        for &member in &self.numbers.owned[object] {
            let (choice, other) = {
                let mut choices = self.choices.borrow_mut();
                (choices.of(8), choices.of(self.numbers.counts.len()))
            };
            match choice {
                0 => {}
                1 => visit(other),
                _ => visit(member),
            }
        }
    }

    fn traverse_uncounted(&self, object: usize, visit: &mut impl FnMut(usize)) {
        for &referent in &self.numbers.borrowed[object] {
            if self.choices.borrow_mut().of(8) > 0 {
                visit(referent);
            }
        }
    }

    fn place(&self, object: usize) -> Place {
        if self.misplaces && self.choices.borrow_mut().of(16) == 0 {
            let word = u64::try_from(self.choices.borrow_mut().of(1 << 12)).unwrap();
            // Any list, and one of few places.
            return Place::from_word((word & 0xFF) << 56 | word >> 8);
        }
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

    fn untracks(&self, _object: usize) -> cycles::Untracks {
        [cycles::Untracks::Never, cycles::Untracks::Fixed, cycles::Untracks::Changing]
            [self.choices.borrow_mut().of(3)]
    }

    fn is_uncollectable(&self, _object: usize) -> bool {
        self.choices.borrow_mut().of(8) == 0
    }
}

#[test]
fn no_lie_makes_a_collection_panic_or_free() {
    let worlds = crate::named("VIVARIUM_CYCLES_LIES", 4_000);
    for seed in 0..worlds {
        let mut choices = Seed::new(seed.into());
        let numbers = Numbers::random(&mut choices, 20);
        let counts = numbers.counts.clone();
        let preset = &PRESETS[choices.of(PRESETS.len())];
        let plan = Plan { old: [YOUNG, OLD][choices.of(2)], saves_all: choices.once_in(8), ..PLAN };
        let mut heap = Fickle { numbers, choices: RefCell::new(choices), misplaces: seed % 2 == 0 };
        let scratch = Bump::new();
        let (mut collection, ..) = Collection::begin(&mut heap, plan, preset.rules, &scratch).unwrap();
        let mut held = None;
        loop {
            match collection.next(&mut heap, &scratch).unwrap() {
                Step::Finalize(object) | Step::Clear(object) => {
                    assert_eq!(heap.count(object), counts[object] + 1);
                    held = Some(object);
                }
                Step::Release(object) => {
                    assert_eq!(held.take(), Some(object));
                    heap.numbers.counts[object] -= 1;
                }
                Step::Garbage(_) => {}
                Step::Callback(_) => unreachable!("there are no weak references"),
                Step::Done(_) => break,
            }
        }
        assert_eq!(heap.numbers.counts, counts, "whatever it was told, it took no reference away");
    }
}

#[test]
fn a_weak_reference_without_callback_can_be_used_by_finalizers_from_3_15_on() {
    for (minor, patch, revives) in [(8, 0, false), (14, 5, false), (15, 0, true)] {
        let rules = Rules::for_cpython(3, minor, patch).unwrap();
        let mut world = World::new(rules.counting);
        world.programs = vec![vec![Action::Upgrade(2)]];
        let mut object = Object::new(Kind::Instance);
        object.finalizer = Some(0);
        let (one, other) = (world.add(object), world.add(Object::new(Kind::Dict)));
        world.own(one, other);
        world.own(other, one);
        let weak = world.watch(other, None);
        world.hold(weak);
        [one, other].into_iter().for_each(|object| world.track(object, 0));
        let mut stepped = Stepped::new(world, rules, false);
        stepped.perform(None, Action::Collect(2));
        stepped.world.check();
        assert_eq!(stepped.world.objects[other].freed, !revives, "3.{minor}");
        assert_eq!(stepped.world.objects[weak].target.is_some(), revives, "3.{minor}");
        assert!(stepped.world.log.contains(&Event::FinalizeGarbage(one)));
    }
    assert_eq!(rules().counting, Counting::SATURATING);
}
