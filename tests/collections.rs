//! Collections, recorded live: each is predicted, and what is wrong is found where it is.

use std::path::{Path, PathBuf};

use replay::compare::Collections;
use replay::engine::{CollectionEngine, CollectionPredictions, PredictedCollection};
use trace::{Collection, CollectorAction, Frame, Graph};

use crate::support::pythons::{Python, collectors};
use crate::support::{frames, replay, stderr, verify_json};

/// Collections of all kinds: of what dies at once and what lives long, tuples and dictionaries that leave the lists, garbage
/// with weak references and finalizers, thresholds that change, collections that are asked for, and objects that are frozen.
pub(crate) const PROGRAM: &str = r#"
import gc, weakref
class Node:
    def __init__(self, number): self.number, self.peers, self.table = number, [], {"n": (number, str(number))}
class Last:
    saved = []
    def __init__(self): self.own = self
    def __del__(self):
        if len(Last.saved) < 3: Last.saved.append(self)
def ring(length):
    nodes = [Node(n) for n in range(length)]
    for node in nodes: node.peers.extend(nodes)
    return nodes[0]
kept, called = [], []
def work(rounds):
    for n in range(rounds):
        node = ring(n % 7 + 1)
        if n % 5 == 0: kept.append((node, (n, (n + 1, "x")), {"a": n}))
        if n % 50 == 0: called.append(weakref.ref(node, called.append))
        if n % 90 == 0: Last()
        if len(kept) > 300: del kept[::3]
work(4000)
gc.set_threshold(300, 4, 3); work(1500)
gc.collect(0); gc.collect(1); gc.collect()
gc.disable(); work(200); gc.enable()
gc.freeze(); work(900); gc.unfreeze()
gc.collect()
"#;

/// Records a program with its collections, and what else this tier has.
pub(crate) fn record(python: &Python, tier: &str, program: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.viv");
    let output = replay()
        .args(["record", "--tier", tier, "-o"])
        .arg(&path)
        .args([python.path.to_str().unwrap(), "-S", "-c", program])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{python:?} {}", stderr(&output));
    (folder, path)
}

#[test]
fn collections_are_predicted() {
    for python in collectors("collections") {
        let (_folder, path) = record(&python, "collections", PROGRAM);
        let (report, status) = verify_json(&path);
        assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{python:?} {report}");
        assert_eq!(report["tier"], "collections");
        let checks = report["checks"].as_array().unwrap();
        let number = |name: &str, what: &str| {
            let check = checks.iter().find(|check| check["name"] == name).unwrap();
            check[what].as_u64().unwrap()
        };
        for (name, least) in [("schedule", 60), ("partition", 30_000), ("survivors", 20_000), ("stats", 600)]
        {
            let verified = number(name, "verified");
            assert!(verified >= least, "{python:?} {name}: {verified}");
        }
        // Also those at the end of the interpreter; from 3.15 on the numbers of the last are gone before anybody looks.
        let last = u64::from(python.version >= (3, 15, 0));
        assert!(number("schedule", "unverified") <= last, "{python:?} {report}");
    }
}

#[test]
fn what_was_predicted_wrongly_once() {
    let programs = [
        // Some builds of one version ask a dictionary for values that are in the object, others that object.
        "import gc
class Plain: pass
for n in range(500):
    plain = Plain(); plain.own = [plain]; taken = plain.__dict__; del taken, plain
gc.collect()
plain = Plain(); plain.own = [1]; taken = plain.__dict__; del taken",
        // Collections of which nothing is of a type of the interpreter's own.
        "import gc
class Slotted: __slots__ = 'next',
def rings(many):
    for n in range(many):
        one, two = Slotted(), Slotted(); one.next = two; two.next = one
gc.collect(); rings(3000); gc.collect(); rings(20); gc.collect(0)",
        // The interpreter ends when something is armed that is not due any more.
        "import gc
thresholds = gc.get_threshold()
gc.set_threshold(1)
class Last:
    def __del__(self): dir(self)
last = Last(); del last
gc.disable(); gc.set_threshold(*thresholds); gc.enable()",
        // It ends when something is armed that is due: before anything is torn down, and behind that.
        "kept = [*map(list, [()] * 3000)]",
        "class Last:
    def __del__(self): self.kept = [*map(list, [()] * 3000)]
last = Last()",
        // The last of those dies that are never collected, and nothing else was frozen.
        "import gc
class Node: pass
gc.freeze(); kept = [Node() for n in range(50)]; gc.freeze()
more = [[] for n in range(300)]
while kept: kept.pop()
more += [[] for n in range(2500)]
gc.collect(0); gc.unfreeze(); gc.collect()",
        // The first object of its type is allocated right behind a collection, and then a container is released.
        "import gc
class Old: __slots__ = 'own',
class Fresh: __slots__ = 'own',
old = [Old()]
gc.collect(); fresh = Fresh(); old.pop(); more = [[n] for n in range(9)]; del fresh
gc.collect()",
        // Who refers to what never dies: that is on a list still, but on none that is collected.
        "import gc
gc.collect()
kept = [(int.__mro__,) for n in range(40)]
for n in range(3000): kept.append([n])
gc.collect(); gc.freeze(); gc.unfreeze(); gc.collect()",
        // Another interpreter releases what this one has made, and counts that for its own collector. (From 3.12 on each has a lock
        // of its own, too.)
        "import gc, sys
if sys.version_info < (3, 12):
    import _xxsubinterpreters as interpreters
    for n in range(3):
        one = interpreters.create()
        interpreters.run_string(one, 'kept = [[n] for n in range(1000)]')
        interpreters.destroy(one)
kept = [[n] for n in range(3000)]
gc.collect()",
        // This one releases what another one has made and given up to a free list, which they share to 3.9.
        "import gc, sys
if sys.version_info < (3, 12):
    import _xxsubinterpreters as interpreters
    one = interpreters.create()
    for n in range(3):
        interpreters.run_string(one, 'kept = [[] for n in range(200)]; del kept')
        taken = [[] for n in range(80)]
        more = [[] for n in range(200)]
        del more, taken
kept = [[n] for n in range(3000)]
gc.collect()",
    ];
    for python in collectors("collections") {
        for program in programs {
            let (_folder, path) = record(&python, "collections", program);
            let (report, status) = verify_json(&path);
            let wrong = format!("{python:?} {program} {report}");
            assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{wrong}");
            let checks = report["checks"].as_array().unwrap();
            let schedule = checks.iter().find(|check| check["name"] == "schedule").unwrap();
            assert!(schedule["verified"].as_u64() > Some(3), "{wrong}");
        }
    }
}

/// Classes that die: with them die the weak references that their bases have to them, which nobody tells of, and what their code
/// refers to, which is no container.
pub(crate) const CLASSES: &str = r#"
import gc
class Base: pass
def make(many):
    for n in range(many):
        class Middle(Base):
            def ask(self, n): return n in {"a", "b"}
        class Own(Middle): pass
make(40); gc.collect(0)
make(400); gc.collect()
gc.collect(); gc.collect()
kept = [type("Kept", (Base,), {"n": n}) for n in range(300)]
"#;

/// What dies with garbage is not taken for it: it was seen among those that can be reached. Answers with how many were, and how many
/// facts of that check, and of the order, are not verified.
pub(crate) fn died_reachable(path: &Path) -> (u64, [u64; 2]) {
    let (report, status) = verify_json(path);
    assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{report}");
    let unverified = |name: &str| {
        let check = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        check["unverified"].as_u64().unwrap()
    };
    let (_, frames) = frames(path);
    let collections = frames.iter().flat_map(|frame| &frame.observations.collections);
    let both = collections.map(|collection| {
        let survivors: std::collections::HashSet<_> = collection.survivors.iter().collect();
        collection.dead.iter().filter(|object| survivors.contains(object)).count() as u64
    });
    (both.sum(), ["partition", "survivors"].map(unverified))
}

#[test]
fn what_dies_with_garbage_was_seen_to_be_reachable() {
    for python in collectors("what dies with garbage") {
        let (_folder, path) = record(&python, "collections", CLASSES);
        let (both, unverified) = died_reachable(&path);
        assert!(both > 700, "{python:?} {both}");
        assert!(unverified[0] <= 10 && unverified[1] <= 3, "{python:?} {unverified:?}");
    }
}

/// What the engine says of a trace after `change` has been at each frame, and what the comparer says of that.
pub(crate) fn replayed(
    path: &Path,
    mut change: impl FnMut(&mut Frame),
) -> (Vec<PredictedCollection>, [Option<u64>; 4], [u64; 4]) {
    let (header, frames) = frames(path);
    let mut engine = CollectionEngine::new(&header.interpreter.version).unwrap();
    let (mut predictions, mut compared) = (CollectionPredictions::default(), Collections::default());
    let mut all = Vec::new();
    for mut frame in frames {
        change(&mut frame);
        engine.run(frame.first_event, &frame.inputs, &mut frame.collections, &mut predictions);
        all.extend(predictions.collections.iter().cloned());
        compared.frame(&frame.observations.collections, &mut predictions);
    }
    compared.finish();
    let checks = compared.checks();
    assert!(checks.iter().all(|(tally, _)| tally.is_conserved()));
    (
        all,
        checks.each_ref().map(|(_, first)| first.map(|first| first.collection)),
        checks.map(|(tally, _)| tally.verified),
    )
}

/// Changes the observation of the collection number `which`.
fn observed(which: usize, change: impl Fn(&mut Collection)) -> impl FnMut(&mut Frame) {
    let mut at = 0;
    move |frame| {
        for collection in &mut frame.observations.collections {
            if at == which {
                change(collection);
            }
            at += 1;
        }
    }
}

/// Changes what is fetched for the collection number `which`.
pub(crate) fn fetched(which: usize, change: impl Fn(&mut Graph)) -> impl FnMut(&mut Frame) {
    let mut at = 0;
    move |frame| {
        for graph in &mut frame.collections.graphs {
            if at == which {
                change(graph);
            }
            at += 1;
        }
    }
}

const SCHEDULE: usize = 0;
const PARTITION: usize = 1;
const SURVIVORS: usize = 2;
const STATS: usize = 3;

#[test]
fn what_is_predicted_does_not_depend_on_what_was_observed_and_what_is_wrong_is_found() {
    let Some(python) = collectors("damaged collections").pop() else { return };
    let (_folder, path) = record(&python, "collections", PROGRAM);
    is_blind_and_sharp(&path);
}

/// What is predicted of a recording of [`PROGRAM`] does not depend on what was observed, and what is wrong is found.
pub(crate) fn is_blind_and_sharp(path: &Path) {
    let (all, firsts, verified) = replayed(path, |_| ());
    assert_eq!(firsts, [None; 4]);
    assert!(verified.iter().all(|verified| *verified > 60), "{verified:?}");
    let (blind, ..) = replayed(path, |frame| frame.observations.collections.clear());
    assert_eq!(blind, all);
    let (turned, ..) = replayed(path, |frame| {
        for collection in &mut frame.observations.collections {
            collection.survivors.reverse();
            collection.dead.clear();
            collection.event ^= 1;
            collection.generation = Some(2);
        }
    });
    assert_eq!(turned, all);

    // One in which some die and some live, and nothing of the program runs.
    let which = all
        .iter()
        .position(|predicted| {
            !predicted.runs_code && predicted.unreachable.len() > 9 && predicted.survivors.len() > 9
        })
        .unwrap();
    let found = |check: usize, change: &dyn Fn(&mut Collection)| {
        let (_, firsts, _) = replayed(path, observed(which, change));
        assert_eq!(firsts[check], Some(which as u64), "{firsts:?}");
    };
    found(SCHEDULE, &|collection| collection.event += 1);
    found(SCHEDULE, &|collection| collection.generation = collection.generation.map(|one| (one + 1) % 3));
    let garbage = all[which].unreachable[3];
    found(PARTITION, &|collection| {
        collection.survivors.push(garbage);
        collection.dead.retain(|object| *object != garbage);
    });
    // Though it has died then.
    found(PARTITION, &|collection| {
        collection.survivors.insert(0, garbage);
        collection.dead.push(garbage);
    });
    found(SURVIVORS, &|collection| collection.survivors.swap(2, 5));
    found(STATS, &|collection| collection.collected += 1);
    found(STATS, &|collection| collection.counts_before[0] += 1);

    // A reference that nobody counted, or one that nobody told of, moves what can be reached.
    let (_, firsts, _) = replayed(
        path,
        fetched(which, |graph| {
            let told =
                graph.told.iter_mut().find(|told| all[which].unreachable.contains(&told.object)).unwrap();
            told.count = told.count.map(|count| count + 1);
        }),
    );
    assert_eq!(firsts[STATS], Some(which as u64), "{firsts:?}");
    let (_, firsts, _) = replayed(
        path,
        fetched(which, |graph| {
            let is_live = |told: &&mut trace::Told| {
                all[which].survivors.contains(&told.object) && told.count == Some(1) && told.weak.is_empty()
            };
            graph.told.iter_mut().filter(is_live).for_each(|told| told.count = Some(0));
        }),
    );
    assert!(firsts.iter().any(|first| first.is_some_and(|first| first >= which as u64)), "{firsts:?}");

    // A container that is not taken for one: a threshold is crossed later, or never.
    let (_, firsts, _) = replayed(path, |frame| {
        if let Some(bits) = frame.collections.containers.get_mut(9) {
            *bits = 0;
        }
    });
    assert!(firsts[SCHEDULE].is_some() || firsts[STATS].is_some(), "{firsts:?}");

    // A safe point where nothing was due.
    let mut is_first = true;
    let (_, firsts, _) = replayed(path, |frame| {
        if std::mem::take(&mut is_first) {
            let (event, what) = (frame.first_event + 9, CollectorAction::SafePoint);
            frame.collections.steps.insert(0, trace::CollectorStep { event, what });
        }
    });
    assert_eq!(firsts[SCHEDULE], Some(0), "{firsts:?}");
}

#[test]
fn an_interpreter_whose_collector_is_not_known_says_so() {
    let older = |python: &Python| python.version < (3, 8, 0) && python.version >= (3, 7, 0);
    let Some(python) = crate::support::pythons::recordable("older collectors").into_iter().find(older) else {
        return;
    };
    let (_folder, path) = record(&python, "collections", "pass");
    let output = replay().arg("info").arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("blocks: collections are recorded of CPython 3.8 and later"), "{text}");
}

/// Whatever a trace says of collections, it is replayed or refused.
#[test]
fn senseless_collections_do_no_harm() {
    use trace::{
        Answer, Arrival, Begins, Behind, CollectorSettings, Domain, Ending, Permanent, Told, UNTRACKED,
        Writer,
    };
    let sample = std::fs::File::open(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../traces/documents/documents-3.13.0.viv"
    ))
    .unwrap();
    let mut header = trace::Reader::new(sample).unwrap().header().clone();
    let mut seed = 88_172_645_463_325_252_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below.max(1)
    };
    let folder = tempfile::tempdir().unwrap();
    let mut diverged = 0;
    for round in 0..200 {
        let path = folder.path().join(format!("{round}.viv"));
        // Beside objects, too.
        header.collections = round % 4 == 3;
        header.tier = if header.collections { trace::Tier::Objects } else { trace::Tier::Collections };
        let mut writer = Writer::new(std::fs::File::create(&path).unwrap(), &header).unwrap();
        let (mut live, mut blocks, mut objects) = (Vec::new(), 0, 0);
        for name in ["tuple", "dict", "list", "Last"] {
            writer.collection_type(&trace::TypeInfo {
                name: name.to_owned(),
                flags: 1 << 14,
                finalizes: name == "Last",
                weakly_referable: true,
                class: name == "Last",
                foreign: false,
                finalizes_late: round % 9 == 0 && name == "Last",
                family: name.to_owned(),
                object: None,
            });
        }
        for _ in 0..400 {
            match random(12) {
                0..=4 => {
                    live.push(writer.allocate(Domain::Obj, 4096, false, Answer::Foreign).unwrap().unwrap());
                    blocks += 1;
                    if random(3) > 0 {
                        writer.container();
                    }
                }
                5 | 6 if !live.is_empty() => {
                    let block = live.swap_remove(usize::try_from(random(live.len() as u64)).unwrap());
                    writer.release(block, 0, Domain::Obj).unwrap();
                }
                7 => writer.collector(&CollectorAction::Settings(CollectorSettings {
                    thresholds: [0, 1, 2].map(|_| u32::try_from(random(3) * random(1 << 31)).unwrap_or(1)),
                    enabled: random(3) > 0,
                    flags: u32::try_from(random(64)).unwrap(),
                    calls_back: random(4) == 0,
                    permanent: [Permanent::Unchanged, Permanent::More, Permanent::None]
                        [usize::try_from(random(3)).unwrap()],
                })),
                8 => {
                    let arrivals: Vec<_> = (0..random(6))
                        .map(|_| Arrival {
                            of: u32::try_from(random(4)).unwrap(),
                            begins: if blocks == 0 {
                                Begins::Elsewhere
                            } else {
                                Begins::InBlock(random(blocks), 16)
                            },
                        })
                        .collect();
                    objects += arrivals.len() as u64;
                    let mut some = |most| (0..random(most)).map(|_| random(objects)).collect::<Vec<_>>();
                    let (gone, came) = (some(3), some(2));
                    let told = if objects == 0 { Vec::new() } else { some(9) };
                    let told = told.into_iter().map(|object| Told {
                        object,
                        count: Some(random(4)).filter(|count| *count != 3),
                        referents: Some(vec![random(objects), UNTRACKED, random(objects)]),
                        uncounted: (0..3).filter(|_| random(3) == 0).collect(),
                        is_embedded: random(5) == 0,
                        weak: (0..random(3)).map(|_| random(objects)).collect(),
                        is_finalized: random(5) == 0,
                    });
                    let told = told.collect();
                    let oldest = u8::try_from(random(3)).unwrap();
                    let (gone, came) = if objects == 0 { (Vec::new(), Vec::new()) } else { (gone, came) };
                    let came = came.into_iter().map(|object| (oldest, object)).collect();
                    writer.graph(&Graph { oldest, arrivals, gone, came, told });
                }
                9 => writer.collector(&CollectorAction::Asks(u8::try_from(random(3)).unwrap())),
                10 => {
                    let known = Behind {
                        counts: [0, 1, 2].map(|_| u32::try_from(random(1 << 20)).unwrap()),
                        long_lived: [random(100), random(u64::MAX)],
                        graphs: if random(2) == 0 { writer.graphs() } else { random(9) },
                    };
                    writer.collector(&match random(8) {
                        0 => CollectorAction::Finalized,
                        1 | 2 => CollectorAction::CalledBack,
                        3 => CollectorAction::Lost(Some(known).filter(|_| random(9) > 0)),
                        _ => CollectorAction::SafePoint,
                    });
                }
                _ => {
                    let survivors: Vec<_> =
                        (0..random(9) * u64::from(objects > 0)).map(|_| random(objects)).collect();
                    writer.collector(&CollectorAction::Over(Some(survivors.clone())));
                    writer.collected(&Collection {
                        event: writer.next_event(),
                        generation: Some(u8::try_from(random(3)).unwrap()),
                        candidates: random(objects + 1),
                        survivors,
                        dead: (0..random(9) * u64::from(objects > 0)).map(|_| random(objects)).collect(),
                        ..Collection::default()
                    });
                }
            }
        }
        writer.finish(Ending::Exited(0), 0).unwrap();
        let (report, status) = verify_json(&path);
        assert!(status == 1 || status == 2 || status == 0, "{report}");
        diverged += u32::from(status == 1);
        is_explained(&path);
    }
    // There is no sense in them.
    assert!(diverged > 150, "{diverged}");
}

/// What is explained of a trace may be senseless, but its numbers agree.
fn is_explained(path: &Path) {
    use replay::explain::{Error, Options, Wanted, explain};
    for wanted in [None, Some(Wanted::Type("dict".to_owned())), Some(Wanted::Object(3))] {
        let options = Options { top: 3, why_alive: wanted.clone(), as_of: None };
        let report = match explain(path, &options, |_| ()) {
            Err(Error::NoType(..) | Error::NotSeen(..)) if wanted.is_some() => continue,
            report => report.unwrap(),
        };
        let census = report.census.as_ref().unwrap();
        let all: u64 = report.generations.iter().map(|of| of.unreachable).sum();
        let found = |of: &replay::explain::Cycle| of.members.objects + of.hanging.objects;
        assert!(all <= census.cycles.iter().map(found).sum::<u64>() + census.in_no_cycle.objects);
        assert_eq!(
            report.collections - report.unseen,
            report.generations.iter().map(|of| of.collections).sum::<u64>()
        );
        assert!(report.verified.unwrap() <= report.collections - report.unseen);
        assert!(report.largest.len() <= 3);
    }
}
