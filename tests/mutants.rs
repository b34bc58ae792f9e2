//! Wrong collectors, each of which the bundled traces catch: that they are identical says that the right one is right.
//!
//! What versions differ in is data, and so is what is wrong here: other rules, another policy, or something that the engine is
//! not told. What has to be patched into the sources is in `cargo xtask mutants`.

use cycles::SecondLook;
use generations::{
    Alarm, Counters, Generation, Generational, Generations, HeldBack, Joins, Plan, Policy, Runs, Why,
};
use replay::compare::Collections;
use replay::engine::{CollectionEngine, CollectionPredictions, Comparable};
use trace::{CollectorAction, CollectorSettings, Frame, Header, Permanent};

use crate::support::{bundled, frames};

/// What is wrong with a policy.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A generation is due when its count is at its threshold, not only above it.
    AtThreshold,
    /// The count of the generation that is collected goes on.
    CountGoesOn,
    /// The count of the youngest generation goes on when an older one is collected.
    YoungestGoesOn,
    /// The collection of a generation does not count for the next older one.
    OlderNotCounted,
    /// What the program asks for takes place only if it is due.
    RequestIfDue,
    /// What the program asks for is always everything.
    RequestIsFull,
    /// Of the generations that are due, the youngest is collected.
    YoungestFirst,
    /// What comes to the oldest generation is not counted.
    ArrivalsNotCounted,
    /// What survives a full collection is not counted.
    TotalNotCounted,
    /// What comes to the oldest generation goes on to be counted beyond a full collection.
    ArrivalsGoOn,
}

/// CPython's policy with something wrong.
struct Faulty {
    policy: Generational,
    fault: Fault,
}

impl Policy for Faulty {
    fn alarm(&self) -> Alarm {
        self.policy.alarm()
    }

    fn plan(&mut self, counters: &Counters, why: Why) -> Option<Plan> {
        match (self.fault, why) {
            (Fault::RequestIfDue, Why::Request(_)) => self.policy.plan(counters, Why::Alarm),
            (Fault::RequestIsFull, Why::Request(_)) => self.policy.plan(counters, Why::Exit),
            (Fault::YoungestFirst, Why::Alarm) => {
                self.policy.plan(counters, why)?;
                let is_due = |generation: &Generation| {
                    let threshold = self.policy.thresholds()[generation.number()];
                    u64::try_from(threshold).is_ok_and(|threshold| counters.of(*generation) > threshold)
                };
                Generation::ALL.into_iter().find(is_due).map(Plan::whole)
            }
            _ => self.policy.plan(counters, why),
        }
    }

    fn begin(&mut self, plan: &Plan, counters: &mut Counters) {
        let before = counters.counts;
        self.policy.begin(plan, counters);
        let of = plan.generation.number();
        match self.fault {
            Fault::CountGoesOn => counters.counts[of] = before[of],
            Fault::YoungestGoesOn if of > 0 => counters.counts[0] = before[0],
            Fault::OlderNotCounted if of < 2 => counters.counts[of + 1] = before[of + 1],
            _ => {}
        }
    }

    fn found(&mut self, plan: &Plan, survivors: usize) {
        match (self.fault, plan.generation) {
            (Fault::ArrivalsNotCounted, Generation::MIDDLE) => {}
            (Fault::TotalNotCounted, Generation::OLD) => self.policy.found(plan, 0),
            (Fault::ArrivalsGoOn, Generation::OLD) => {
                let pending = self.policy.pending();
                self.policy.found(plan, survivors);
                self.policy.found(&Plan::whole(Generation::MIDDLE), pending);
            }
            _ => self.policy.found(plan, survivors),
        }
    }
}

impl Comparable for Faulty {
    fn set_thresholds(&mut self, thresholds: [i32; Generation::MANY]) {
        let lower = i32::from(self.fault == Fault::AtThreshold);
        self.policy.set_thresholds(thresholds.map(|threshold| (threshold - lower).max(0)));
    }

    fn thresholds(&self) -> [i32; Generation::MANY] {
        Comparable::thresholds(&self.policy)
    }

    fn long_lived(&self) -> [u64; 2] {
        self.policy.long_lived()
    }

    fn set_long_lived(&mut self, long_lived: [u64; 2]) {
        Comparable::set_long_lived(&mut self.policy, long_lived);
    }

    fn holds_back(&self, counters: &Counters) -> Option<HeldBack> {
        self.policy.holds_back(counters)
    }
}

/// A wrong collector.
struct Mutant {
    name: &'static str,
    /// Its rules.
    rules: fn(&mut generations::Rules, &mut cycles::Rules),
    policy: Fault,
    /// What becomes of what it is told.
    told: fn(&mut Frame),
    /// The check that finds it.
    found_by: &'static str,
}

const RIGHT: Mutant =
    Mutant { name: "right", rules: |_, _| {}, policy: Fault::None, told: |_| {}, found_by: "none" };

/// Nothing is told of what is never collected any more, or again.
fn is_unchanged(frame: &mut Frame, ignored: Permanent) {
    settings(frame, |settings| {
        if settings.permanent == ignored {
            settings.permanent = Permanent::Unchanged;
        }
    });
}

fn settings(frame: &mut Frame, change: impl Fn(&mut CollectorSettings)) {
    for step in &mut frame.collections.steps {
        if let CollectorAction::Settings(settings) = &mut step.what {
            change(settings);
        }
    }
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "at the threshold, not above it",
        policy: Fault::AtThreshold,
        found_by: "schedule",
        ..RIGHT
    },
    Mutant {
        name: "the 25 % rule is ignored",
        rules: |rules, _| rules.part = None,
        found_by: "schedule",
        ..RIGHT
    },
    Mutant {
        name: "a third instead of a quarter",
        rules: |rules, _| rules.part = Some(3),
        found_by: "schedule",
        ..RIGHT
    },
    Mutant {
        name: "generations joined 2, 1, 0",
        rules: |rules, _| rules.joins = Joins::OldestFirst,
        found_by: "survivors",
        ..RIGHT
    },
    Mutant {
        name: "survivors are not promoted",
        rules: |rules, _| rules.promotes = false,
        found_by: "survivors",
        ..RIGHT
    },
    Mutant {
        name: "collections inside of allocations",
        rules: |rules, _| rules.runs = Runs::Inside,
        found_by: "schedule",
        ..RIGHT
    },
    Mutant {
        name: "tuples are not untracked",
        rules: |_, rules| rules.untracks_fixed = false,
        found_by: "survivors",
        ..RIGHT
    },
    Mutant {
        name: "dictionaries are not untracked (where they are, to 3.13)",
        rules: |_, rules| rules.untracks_changing = false,
        found_by: "stats",
        ..RIGHT
    },
    Mutant {
        name: "dictionaries are untracked (where they are not, from 3.14 on)",
        rules: |_, rules| rules.untracks_changing = true,
        found_by: "survivors",
        ..RIGHT
    },
    Mutant {
        name: "no second look",
        rules: |_, rules| rules.second_look = SecondLook::None,
        found_by: "partition",
        ..RIGHT
    },
    Mutant {
        name: "the count of what is collected goes on",
        policy: Fault::CountGoesOn,
        found_by: "stats",
        ..RIGHT
    },
    Mutant {
        name: "the youngest count goes on when an older one is collected",
        policy: Fault::YoungestGoesOn,
        found_by: "stats",
        ..RIGHT
    },
    Mutant {
        name: "a collection does not count for the next older generation",
        policy: Fault::OlderNotCounted,
        found_by: "stats",
        ..RIGHT
    },
    Mutant {
        name: "gc.collect only if one is due",
        policy: Fault::RequestIfDue,
        found_by: "schedule",
        ..RIGHT
    },
    Mutant {
        name: "gc.collect collects all, whatever is asked for",
        policy: Fault::RequestIsFull,
        found_by: "schedule",
        ..RIGHT
    },
    Mutant {
        name: "the youngest that is due, not the oldest",
        policy: Fault::YoungestFirst,
        found_by: "schedule",
        ..RIGHT
    },
    Mutant {
        name: "arrivals in the oldest generation are not counted",
        policy: Fault::ArrivalsNotCounted,
        found_by: "stats",
        ..RIGHT
    },
    Mutant {
        name: "survivors of full collections are not counted",
        policy: Fault::TotalNotCounted,
        found_by: "stats",
        ..RIGHT
    },
    Mutant {
        name: "arrivals count on beyond a full collection",
        policy: Fault::ArrivalsGoOn,
        found_by: "stats",
        ..RIGHT
    },
    Mutant {
        name: "gc.set_threshold is ignored",
        told: |frame| settings(frame, |settings| settings.thresholds = [2000, 10, 10]),
        found_by: "schedule",
        ..RIGHT
    },
    Mutant {
        name: "gc.freeze is ignored",
        told: |frame| is_unchanged(frame, Permanent::More),
        found_by: "survivors",
        ..RIGHT
    },
    Mutant {
        name: "gc.unfreeze is ignored",
        told: |frame| is_unchanged(frame, Permanent::None),
        found_by: "survivors",
        ..RIGHT
    },
    Mutant {
        name: "DEBUG_SAVEALL is ignored",
        told: |frame| settings(frame, |settings| settings.flags = 0),
        found_by: "partition",
        ..RIGHT
    },
    Mutant {
        name: "weak references are called oldest first",
        told: |frame| told(frame, |told| told.weak.reverse()),
        found_by: "survivors",
        ..RIGHT
    },
    Mutant {
        name: "weak references are not called",
        told: |frame| told(frame, |told| told.weak.clear()),
        found_by: "survivors",
        ..RIGHT
    },
    Mutant {
        name: "an object is told of once, however often it is referred to",
        told: |frame| told(frame, |told| told.referents.iter_mut().for_each(Vec::dedup)),
        found_by: "stats",
        ..RIGHT
    },
    Mutant {
        name: "objects refer to others in the opposite order",
        told: |frame| told(frame, |told| told.referents.iter_mut().for_each(|all| all.reverse())),
        found_by: "survivors",
        ..RIGHT
    },
];

fn told(frame: &mut Frame, change: fn(&mut trace::Told)) {
    frame.collections.graphs.iter_mut().flat_map(|graph| &mut graph.told).for_each(change);
}

/// The checks that differ, and at which event.
fn differences(header: &Header, frames: Vec<Frame>, mutant: &Mutant) -> Vec<(&'static str, u64)> {
    let mut version = header.interpreter.version.split('.').map(|part| part.parse::<u32>().unwrap());
    let [major, minor, patch] = [0; 3].map(|_| version.next().unwrap());
    let mut rules = generations::Rules::for_cpython(major, minor, patch).unwrap();
    let mut collector = cycles::Rules::for_cpython(major, minor, patch).unwrap();
    (mutant.rules)(&mut rules, &mut collector);
    let policy = Generational::with_part(rules.thresholds, rules.part);
    let policy = Faulty { policy, fault: mutant.policy };
    let generations = Generations::with_policy(policy, rules, collector);
    let mut engine = CollectionEngine::with(generations, (major, minor));
    let (mut predictions, mut compared) = (CollectionPredictions::default(), Collections::default());
    for mut frame in frames {
        (mutant.told)(&mut frame);
        engine.run(frame.first_event, &frame.inputs, &mut frame.collections, &mut predictions);
        compared.frame(&frame.observations.collections, &mut predictions);
    }
    compared.finish();
    let firsts = compared.checks().map(|(_, first)| first.map(|first| first.event));
    let names = ["schedule", "partition", "survivors", "stats"];
    let mut found: Vec<_> =
        names.into_iter().zip(firsts).filter_map(|(name, first)| Some((name, first?))).collect();
    found.sort_by_key(|(_, event)| *event);
    found
}

#[test]
fn every_wrong_collector_is_found_by_a_bundled_trace() {
    let all: Vec<_> =
        bundled().into_iter().filter(|path| path.to_string_lossy().ends_with("-collections.viv")).collect();
    assert!(all.len() >= 12, "{}", all.len());
    for path in &all {
        let (header, frames) = frames(path);
        assert_eq!(differences(&header, frames, &RIGHT), [], "{}", path.display());
    }
    let mut missed = Vec::new();
    for mutant in MUTANTS {
        let found = all.iter().find_map(|path| {
            let (header, frames) = frames(path);
            let found = differences(&header, frames, mutant);
            (!found.is_empty()).then(|| (path.file_stem().unwrap().to_string_lossy().into_owned(), found))
        });
        let row = found.as_ref().map_or("not found".to_owned(), |(path, found)| {
            let all: Vec<_> = found.iter().map(|(check, event)| format!("{check} {event}")).collect();
            format!("{path} | {}", all.join(", "))
        });
        println!("| {} | {row} |", mutant.name);
        if found.is_none_or(|(_, found)| found.iter().all(|(check, _)| *check != mutant.found_by)) {
            missed.push((mutant.name, mutant.found_by, row));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}
