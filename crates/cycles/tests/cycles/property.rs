//! Collections and the model do the same, whatever happens meanwhile.

use proptest::prelude::*;

use crate::model::Model;
use crate::setup::{Seed, Setup, Tape};
use crate::stepped::Stepped;
use crate::world::{Event, LISTS};

/// What happened, of what kinds, in all cases: so that a test can say that it tested something.
#[derive(Default, Debug)]
struct Seen {
    collections: usize,
    nested: usize,
    rescued: usize,
    callbacks: usize,
    suppressed: usize,
    finalized: usize,
    resurrected: usize,
    outlived: usize,
    immortal: usize,
    tuples: usize,
    dicts: usize,
    uncollectable: usize,
    excess: usize,
    /// Worlds in which it matters that a reference is not counted.
    uncounted: usize,
}

impl Seen {
    fn add(&mut self, log: &[Event]) {
        let mut inside = 0;
        for event in log {
            match event {
                Event::Collect(_) => {
                    inside += 1;
                    self.nested += usize::from(inside > 1);
                }
                Event::Done(outcome) => {
                    inside -= 1;
                    self.collections += 1;
                    self.rescued += outcome.rescued;
                    self.callbacks += outcome.callbacks;
                    self.suppressed += outcome.suppressed;
                    self.finalized += outcome.finalized;
                    self.resurrected += outcome.resurrected;
                    self.outlived += outcome.outlived;
                    self.immortal += outcome.immortal;
                    self.tuples += outcome.untracked_fixed;
                    self.dicts += outcome.untracked_changing;
                    self.uncollectable += outcome.uncollectable;
                    self.excess += usize::from(outcome.excess > 0);
                }
                _ => {}
            }
        }
    }
}

/// Shows where two logs part.
fn assert_same(got: &[Event], expected: &[Event], preset: &str) {
    if got != expected {
        let same = got.iter().zip(expected).take_while(|(got, expected)| got == expected).count();
        let before = &got[same.saturating_sub(8)..same];
        let (got, expected) = (got.get(same), expected.get(same));
        panic!("{preset}, after {before:?}:\n     got {got:?}\nexpected {expected:?}");
    }
}

/// Runs the script on both sides; what happened.
fn compare(setup: Setup) -> Vec<Event> {
    let Setup { name, rules, world, saves_all, script } = setup;
    world.check();
    let mut plain = world.clone();
    plain.plain = Some(LISTS.map(|list| world.lists.iter(list).collect()).to_vec());
    let untracks_inside = ["cpython-2.7", "cpython-3.6", "cpython-3.7.5"].contains(&name);
    let mut expected = Model { world: plain, rules, saves_all, untracks_inside };
    let mut got = Stepped::new(world, rules, saves_all);
    for action in script {
        expected.perform(None, action);
        got.perform(None, action);
        assert_same(&got.world.log, &expected.world.log, name);
        for (one, other) in got.world.objects.iter().zip(&expected.world.objects) {
            assert_eq!((one.count, one.freed, &one.weak), (other.count, other.freed, &other.weak));
        }
        got.world.check();
    }
    got.world.log
}

proptest! {
    #![proptest_config(crate::cases(2000))]

    #[test]
    fn as_the_model(tape in prop::collection::vec(any::<u16>(), 0..400)) {
        compare(Setup::new(&mut Tape(tape.iter())));
    }

    #[test]
    fn as_the_model_when_references_are_not_counted(tape in prop::collection::vec(any::<u16>(), 0..400)) {
        let mut tape = Tape(tape.iter());
        let mut setup = Setup::new(&mut tape);
        setup.borrow(&mut tape);
        compare(setup);
    }

    #[test]
    fn as_the_model_when_objects_lie(tape in prop::collection::vec(any::<u16>(), 0..400)) {
        let mut tape = Tape(tape.iter());
        let mut setup = Setup::new(&mut tape);
        setup.lie(&mut tape);
        compare(setup);
    }
}

#[test]
fn as_the_model_for_seeds() {
    let seeds = crate::named("VIVARIUM_CYCLES_SEEDS", 10_000);
    let mut seen = Seen::default();
    for seed in 0..seeds {
        let mut choices = Seed::new(seed.into());
        let mut setup = Setup::new(&mut choices);
        if seed % 5 == 0 {
            setup.lie(&mut choices);
        }
        if seed % 4 == 0 {
            setup.borrow(&mut choices);
            let counted = compare(setup.counting_all());
            seen.uncounted += usize::from(counted != compare(setup.clone()));
        }
        seen.add(&compare(setup));
    }
    println!("{seen:?}");
    let Seen { collections, nested, rescued, callbacks, suppressed, finalized, resurrected, .. } = seen;
    let Seen { outlived, immortal, tuples, dicts, uncollectable, excess, uncounted, .. } = seen;
    let all = [
        collections,
        nested,
        rescued,
        callbacks,
        suppressed,
        finalized,
        resurrected,
        outlived,
        immortal,
        tuples,
        dicts,
        uncollectable,
        excess,
        uncounted,
    ];
    assert!(all.iter().all(|&all| all > 50), "something hardly ever happened");
}
