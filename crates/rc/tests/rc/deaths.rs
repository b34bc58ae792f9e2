//! [`Deaths`] against the recursive model, and what it alone can do.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rc::{
    Callback, CountError, Counting, Death, Deaths, Finalizers, Heap, Holds, Miscount, PRESETS, Part, Rules,
    Trashcan,
};

use crate::recursive::Recursive;
use crate::world::{Action, Event, Object, World};

/// [`Deaths`] and its driver.
pub(crate) struct Stepped {
    pub(crate) world: World,
    pub(crate) deaths: Deaths<usize>,
}

impl Stepped {
    pub(crate) fn new(world: World, rules: Rules) -> Self {
        Self { world, deaths: Deaths::new(rules) }
    }

    pub(crate) fn perform(&mut self, me: Option<usize>, action: Action) {
        if let Some(object) = self.world.act(me, action) {
            self.decref(object);
        }
    }

    pub(crate) fn decref(&mut self, object: usize) {
        if self.deaths.decrement(&mut self.world, object).expect("counted") {
            self.run();
        }
    }

    pub(crate) fn run(&mut self) {
        while let Some(death) = self.deaths.next(&mut self.world).expect("counted") {
            match death {
                Death::Begin(_) | Death::Pause => unreachable!("the heap does not ask for it"),
                Death::Finalize(object) => {
                    self.world.log.push(Event::Finalize(object));
                    assert_eq!(self.world.count(object), 1);
                    for action in self.world.objects[object].finalizer.take().expect("has one") {
                        self.perform(Some(object), action);
                    }
                    assert!(self.deaths.finished(&mut self.world).expect("counted"));
                }
                Death::Callback(weak) => {
                    self.world.log.push(Event::Callback(weak));
                    for action in std::mem::take(&mut self.world.objects[weak].program) {
                        self.perform(None, action);
                    }
                    assert!(self.deaths.finished(&mut self.world).expect("counted"));
                }
                Death::Free(object) => {
                    self.world.log.push(Event::Free(object));
                    self.world.objects[object].freed = true;
                }
            }
        }
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..64_usize).prop_map(Action::Drop),
        1 => (0..64_usize).prop_map(Action::Hold),
        2 => Just(Action::Resurrect),
        1 => (0..64_usize).prop_map(Action::Wrap),
        1 => Just(Action::Watch),
    ]
}

fn program() -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(action(), 0..4)
}

#[derive(Clone, Debug)]
pub(crate) struct Born {
    pub(crate) part: Part,
    /// Among the objects before; one of them is often the last.
    pub(crate) members: Vec<prop::sample::Index>,
    pub(crate) chained: bool,
    pub(crate) last: Option<prop::sample::Index>,
    pub(crate) finalizer: Option<Vec<Action>>,
    pub(crate) weak: Vec<(u8, prop::sample::Index, Vec<Action>)>,
    pub(crate) held: bool,
}

pub(crate) fn born() -> impl Strategy<Value = Born> {
    let part = prop_oneof![
        1 => Just(Part::None),
        3 => Just(Part::Container),
        3 => Just(Part::Instance),
    ];
    let weak = (0..3_u8, any::<prop::sample::Index>(), program());
    (
        part,
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        prop::bool::weighted(0.7),
        prop::option::weighted(0.1, any::<prop::sample::Index>()),
        prop::option::weighted(0.25, program()),
        prop::collection::vec(weak, 0..3),
        prop::bool::weighted(0.3),
    )
        .prop_map(|(part, members, chained, last, finalizer, weak, held)| Born {
            part,
            members,
            chained,
            last,
            finalizer,
            weak,
            held,
        })
}

pub(crate) fn world(all: &[Born], given: Vec<bool>) -> World {
    let mut world = World { given, ..World::default() };
    let mut unheld = Vec::new();
    for one in all {
        let before = world.objects.len();
        let mut object = Object::new(one.part);
        object.finalizer.clone_from(&one.finalizer);
        let id = world.add(object);
        if before > 0 {
            if one.chained {
                // The object before, not the weak references to it.
                if let Some(last) = (0..before).rev().find(|&other| world.objects[other].target.is_none()) {
                    world.own(id, last);
                }
            }
            for member in &one.members {
                world.own(id, member.index(before));
            }
            if let Some(last) = one.last {
                let last = last.index(before);
                world.objects[id].last = Some(last);
                world.objects[last].count += 1;
            }
        }
        world.hold(id);
        for (kind, callback, program) in &one.weak {
            let callback = match kind {
                0 => Callback::None,
                1 => Callback::Foreign,
                _ => Callback::Owned(callback.index(before + 1)),
            };
            // An object that owns a callback that owns the object would be a cycle.
            let callback = if callback == Callback::Owned(id) { Callback::Foreign } else { callback };
            world.watch(id, callback, program.clone());
        }
        if !one.held {
            unheld.push(id);
        }
    }
    // As if whoever made them had put them into others; those that nobody owns stay.
    for id in unheld {
        if world.objects[id].count > 1 {
            world.roots.retain(|&root| root != Some(id));
            world.objects[id].count -= 1;
        }
    }
    world
}

fn rules() -> impl Strategy<Value = Rules> {
    let trashcan = prop_oneof![
        1 => Just(Trashcan::Never),
        4 => (3..7_u32, 0..2_u32).prop_map(|(limit, instance)| Trashcan::Nesting { limit, instance }),
        2 => Just(Trashcan::Given),
    ];
    let holds = prop_oneof![Just(Holds::None), Just(Holds::Several), Just(Holds::All)];
    (trashcan, any::<bool>(), holds).prop_map(|(trashcan, late, holds)| Rules {
        counting: Counting::PLAIN,
        trashcan,
        finalizers: if late { Finalizers::AfterWeak } else { Finalizers::First },
        holds,
    })
}

proptest! {
    #![proptest_config(crate::cases(3000))]

    #[test]
    fn as_functions_that_call_each_other(
        all in prop::collection::vec(born(), 1..40),
        given in prop::collection::vec(any::<bool>(), 1..20),
        rules in rules(),
        actions in prop::collection::vec((0..64_usize).prop_map(Action::Drop), 0..80),
    ) {
        let world = world(&all, given);
        world.check(&BTreeSet::new());
        let mut expected = Recursive::new(world.clone(), rules);
        let mut got = Stepped::new(world, rules);
        for action in actions {
            expected.perform(None, action);
            got.perform(None, action);
            prop_assert_eq!(&got.world.log, &expected.world.log);
            prop_assert!(got.deaths.is_idle());
            prop_assert_eq!(got.deaths.deposited(), expected.later.len());
            got.world.check(&expected.later.iter().copied().collect());
        }
        expected.destroy_chain();
        got.deaths.drain();
        got.run();
        prop_assert_eq!(&got.world.log, &expected.world.log);
        prop_assert_eq!(got.deaths.deposited(), expected.later.len());
    }
}

/// Objects `0..n`, each of which owns the one before; the last is held.
fn chain(n: usize, part: Part) -> World {
    let mut world = World::default();
    for id in 0..n {
        world.add(Object::new(part));
        if id > 0 {
            world.own(id, id - 1);
        }
    }
    world.hold(n - 1);
    world
}

#[test]
fn any_depth_under_every_preset() {
    for preset in PRESETS {
        for part in [Part::None, Part::Container, Part::Instance] {
            let mut stepped = Stepped::new(chain(100_000, part), preset.rules);
            stepped.perform(None, Action::Drop(0));
            stepped.deaths.drain();
            stepped.run();
            let freed = stepped.world.log.iter().filter(|event| matches!(event, Event::Free(_))).count();
            assert_eq!(freed, 100_000, "{} {part:?}", preset.name);
            assert_eq!(stepped.deaths.deposited(), 0);
        }
    }
}

#[test]
fn it_is_known_when_deposited_deaths_are_taken_up() {
    let mut world = chain(1, Part::Container);
    world.given = vec![true];
    let mut stepped = Stepped::new(world, Rules::for_cpython(3, 13).unwrap());
    stepped.perform(None, Action::Drop(0));
    assert_eq!((stepped.deaths.deposited(), stepped.deaths.is_taking_up()), (1, false));
    stepped.deaths.drain();
    assert!(stepped.deaths.is_taking_up());
    assert_eq!(stepped.deaths.next(&mut stepped.world), Ok(Some(Death::Free(0))));
    assert!(!stepped.deaths.is_taking_up());
    assert_eq!(stepped.deaths.next(&mut stepped.world), Ok(None));
    assert!(!stepped.deaths.is_taking_up() && stepped.deaths.is_idle());
}

/// Who is the first to be deposited, and how many are.
fn deposits(world: World, rules: Rules) -> (Option<usize>, usize) {
    let n = world.objects.len();
    let mut stepped = Stepped::new(world, rules);
    stepped.perform(None, Action::Drop(0));
    stepped.deaths.drain();
    stepped.run();
    let mut all = stepped.world.log.iter().filter_map(|event| match event {
        Event::Deposit(object) => Some(n - 1 - object),
        _ => None,
    });
    let first = all.next();
    (first, usize::from(first.is_some()) + all.count())
}

#[test]
fn the_trashcan_takes_the_fifty_first() {
    let rules = |minor| Rules::for_cpython(3, minor).unwrap();
    assert_eq!(deposits(chain(50, Part::Container), rules(11)), (None, 0));
    assert_eq!(deposits(chain(51, Part::Container), rules(11)), (Some(50), 1));
    assert_eq!(deposits(chain(51, Part::Instance), rules(12)), (Some(50), 1));
    // Out of the trashcan the nesting begins at one.
    assert_eq!(deposits(chain(50 + 49 + 1, Part::Container), rules(11)), (Some(50), 2));
    assert_eq!(deposits(chain(50, Part::Instance), rules(7)), (Some(49), 1));
    assert_eq!(deposits(chain(1000, Part::None), rules(11)), (None, 0));
}

#[test]
fn miscounts_are_errors_and_the_rest_goes_on() {
    let rules = Rules::for_cpython(3, 11).unwrap();
    let mut world = chain(3, Part::Container);
    // 1 owns 0 twice, but it is counted once.
    world.objects[1].members.push_back(0);
    let mut deaths = Deaths::new(rules);
    assert!(!deaths.finished(&mut world).unwrap());
    assert_eq!(deaths.decrement(&mut world, 2), Ok(true));
    let mut freed = Vec::new();
    let error = loop {
        match deaths.next(&mut world) {
            Ok(Some(Death::Free(object))) => freed.push(object),
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error, CountError { object: 0, what: Miscount::Underflow });
    assert_eq!(error.to_string(), "a reference to 0 is given up, but none is left: a count is wrong");
    assert_eq!(deaths.next(&mut world), Ok(Some(Death::Free(1))));
    assert_eq!(deaths.next(&mut world), Ok(Some(Death::Free(2))));
    assert_eq!(deaths.next(&mut world), Ok(None));
    assert_eq!(freed, [0]);
    assert!(deaths.decrement(&mut world, 2).unwrap_err().is_underflow());

    let full = world.add(Object::new(Part::None));
    world.objects[full].count = i64::MAX.unsigned_abs();
    let error = deaths.increment(&mut world, full).unwrap_err();
    assert_eq!(error, CountError { object: full, what: Miscount::Overflow });
    assert_eq!(world.count(full), i64::MAX.unsigned_abs());
}

#[test]
fn immortals_neither_die_nor_change() {
    let rules = Rules::for_cpython(3, 14).unwrap();
    let mut world = World::default();
    let (none, owner) = (world.add(Object::new(Part::None)), world.add(Object::new(Part::Container)));
    world.objects[none].count = rules.counting.immortal;
    world.objects[owner].members.push_back(none);
    world.hold(owner);
    let mut stepped = Stepped::new(world, rules);
    stepped.perform(None, Action::Drop(0));
    assert_eq!(stepped.world.log, [Event::Begin(1), Event::Release(1), Event::Free(1)]);
    assert_eq!(stepped.world.count(none), rules.counting.immortal);
}

#[test]
fn a_finalizer_that_gives_up_too_much_is_an_error() {
    for rules in [Rules::for_cpython(2, 7).unwrap(), Rules::for_cpython(3, 11).unwrap()] {
        let mut world = chain(1, Part::Instance);
        world.objects[0].finalizer = Some(vec![]);
        let mut deaths = Deaths::new(rules);
        assert_eq!(deaths.decrement(&mut world, 0), Ok(true));
        assert_eq!(deaths.next(&mut world), Ok(Some(Death::Finalize(0))));
        // Nothing was begun inside.
        assert_eq!(deaths.next(&mut world), Ok(None));
        world.set_count(0, 0);
        assert!(deaths.finished(&mut world).unwrap_err().is_underflow());
        assert_eq!(deaths.next(&mut world), Ok(Some(Death::Free(0))));
        assert!(deaths.is_idle() || deaths.next(&mut world) == Ok(None));
    }
}

/// A heap that learns only when an object dies what it owns.
struct Late {
    counts: Vec<u64>,
    owned: Vec<Vec<usize>>,
    told: Vec<usize>,
}

impl Heap for Late {
    type Id = usize;

    fn count(&self, object: usize) -> u64 {
        self.counts[object]
    }

    fn set_count(&mut self, object: usize, word: u64) {
        self.counts[object] = word;
    }

    fn release_next(&mut self, object: usize) -> Option<usize> {
        assert!(self.told.contains(&object), "its death was announced");
        self.owned[object].pop()
    }

    fn announces(&self) -> bool {
        true
    }
}

#[test]
fn deaths_are_announced_before_anything_is_asked_of_the_object() {
    let mut heap = Late { counts: vec![1, 1, 2], owned: vec![Vec::new(); 3], told: Vec::new() };
    let mut deaths = Deaths::new(Rules::for_cpython(3, 13).expect("rules"));
    assert_eq!(deaths.decrement(&mut heap, 0), Ok(true));
    let mut order = Vec::new();
    while let Some(death) = deaths.next(&mut heap).expect("counted") {
        if let Death::Begin(object) = death {
            heap.told.push(object);
            if object == 0 {
                heap.owned[0] = vec![1, 2, 2];
            }
        }
        order.push(death);
    }
    let begin = Death::Begin;
    let (free, pause) = (Death::Free, Death::Pause);
    assert_eq!(
        order,
        [begin(0), pause, pause, begin(2), free(2), pause, pause, begin(1), free(1), pause, free(0)]
    );
    assert!(deaths.is_idle());
}
