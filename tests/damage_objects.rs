//! Bundled traces of objects in which something was changed: it is noticed, and where.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use replay::compare::{Deaths, ListDivergence};
use replay::engine::{DeathEngine, DeathPredictions, Stopped};
use trace::{Death, Fetched, Frame, Object, Reader, STRANGER, Step, Tier};

use crate::support::{bundled, frames};

/// A step that does nothing: it takes the place of another one.
const NOTHING: Step = Step::Finalized(STRANGER);

/// What a replay came to.
struct Replayed {
    deaths: Option<ListDivergence<Death>>,
    counts: Option<ListDivergence<u32>>,
    stopped: Option<Stopped>,
    predicted: Vec<Death>,
}

/// The bundled traces of a tier, frame by frame.
fn traces(tier: Tier) -> Vec<PathBuf> {
    let is_of = |path: &PathBuf| {
        let reader = Reader::new(std::fs::File::open(path).unwrap()).unwrap();
        reader.header().tier == tier
    };
    let found: Vec<_> = bundled().into_iter().filter(is_of).collect();
    assert!(found.len() >= 4, "{tier:?} {found:?}");
    found
}

/// Replays a trace after something was changed in all its frames.
fn replayed(path: &Path, change: impl FnOnce(&mut [Frame])) -> Replayed {
    let (header, mut frames) = frames(path);
    change(&mut frames);
    let mut engine = DeathEngine::new(&header.allocator, &header.interpreter.version, header.tier).unwrap();
    let (mut bases, mut predictions) = (Fetched::default(), DeathPredictions::default());
    let (mut compared, mut predicted, mut stopped) = (Deaths::default(), Vec::new(), None);
    for mut frame in frames {
        bases.append(&mut frame.fetched);
        let said = engine.run(&mut frame.objects, &mut bases, &mut predictions);
        compared.frame(&frame.objects, &predictions, &[]);
        predicted.extend_from_slice(&predictions.deaths);
        stopped = said.err();
    }
    compared.finish(stopped.as_ref());
    let ((deaths_tally, deaths), (counts_tally, counts)) = (compared.deaths(), compared.counts());
    assert!(deaths_tally.is_conserved() && counts_tally.is_conserved());
    Replayed { deaths, counts, stopped, predicted }
}

/// All that was observed of deaths.
fn observed(path: &Path) -> Vec<Death> {
    frames(path).1.into_iter().flat_map(|frame| frame.objects.deaths).collect()
}

/// The step that is so many of these from the beginning, by its frame and its place there.
fn nth(frames: &[Frame], is_it: impl Fn(&Step) -> bool, n: usize) -> Option<(usize, usize)> {
    let steps = frames.iter().enumerate().flat_map(|(number, frame)| {
        frame.objects.steps.iter().enumerate().map(move |(at, step)| ((number, at), step))
    });
    steps.filter(|(_, step)| is_it(step)).map(|(place, _)| place).nth(n)
}

/// Places to try, spread over a trace.
fn spread(frames: &[Frame], is_it: impl Fn(&Step) -> bool) -> Vec<usize> {
    let all = frames.iter().flat_map(|frame| &frame.objects.steps).filter(|step| is_it(step)).count();
    (0..12).map(|at| all * at / 12 + at).collect()
}

fn object_of(step: Step) -> Object {
    match step {
        Step::Up(object) | Step::Down(object) => object,
        step => panic!("{step:?} is no change of a count"),
    }
}

#[test]
fn nothing_is_learnt_from_what_was_observed() {
    for path in traces(Tier::Counts).into_iter().chain(traces(Tier::Objects)) {
        let whole = replayed(&path, |_| {});
        assert!(whole.deaths.is_none() && whole.counts.is_none() && whole.stopped.is_none(), "{path:?}");
        assert!(whole.predicted.len() > 10_000, "{path:?}");
        let blind = replayed(&path, |frames| {
            for frame in frames {
                frame.objects.deaths.clear();
                frame.objects.counts.clear();
            }
        });
        assert!(blind.predicted == whole.predicted, "{path:?}");
        let turned = replayed(&path, |frames| {
            for frame in frames {
                frame.objects.deaths.reverse();
                frame.objects.counts.iter_mut().for_each(|count| *count ^= 1);
            }
        });
        assert!(turned.predicted == whole.predicted && turned.deaths.is_some(), "{path:?}");
        assert_eq!(turned.counts.is_some(), path.to_string_lossy().contains("counts"), "{path:?}");
    }
}

/// A reference that is not given up keeps its object alive: where that was observed to die, it is missed.
#[test]
fn a_decrement_that_is_missing_is_found_where_its_object_dies() {
    let mut tried = 0;
    for path in traces(Tier::Counts) {
        let observed = observed(&path);
        let is_it = |step: &Step| matches!(step, Step::Down(_));
        for n in spread(&frames(&path).1, is_it) {
            let mut object = STRANGER;
            let result = replayed(&path, |frames| {
                let (frame, at) = nth(frames, is_it, n).unwrap();
                let step = &mut frames[frame].objects.steps[at];
                object = object_of(*step);
                *step = NOTHING;
            });
            let Some(dies) = observed.iter().position(|death| *death == Death::Begins(object)) else {
                continue;
            };
            tried += 1;
            let first = result.deaths.unwrap_or_else(|| panic!("{path:?}: {object} is not missed"));
            assert!(first.at <= dies as u64, "{path:?} {object} {first:?}");
            // What is earlier is of another that this one would have... none: its own death is the first to differ.
            assert_eq!(first.observed, Some(Death::Begins(object)), "{path:?} {first:?}");
        }
    }
    assert!(tried > 20, "{tried}");
}

/// One that is given up twice, or was never added, lets its object die too early, or one reference too few is seen.
#[test]
fn a_decrement_too_much_and_a_missing_increment_are_found() {
    for path in traces(Tier::Counts) {
        let is_it = |step: &Step| matches!(step, Step::Up(_));
        // A count that is written later does not tell of what was before.
        let (_, all) = frames(&path);
        let steps = all.iter().flat_map(|frame| &frame.objects.steps);
        let written: HashSet<_> = steps
            .filter_map(|step| if let Step::Set(object, _) = step { Some(*object) } else { None })
            .collect();
        for n in spread(&frames(&path).1, is_it) {
            for doubled in [false, true] {
                let mut object = STRANGER;
                let result = replayed(&path, |frames| {
                    let (frame, at) = nth(frames, is_it, n).unwrap();
                    let step = &mut frames[frame].objects.steps[at];
                    object = object_of(*step);
                    *step = if doubled { Step::Down(object) } else { NOTHING };
                });
                let found = result.deaths.is_some() || result.counts.is_some() || result.stopped.is_some();
                // Who outlives the program and is never looked at may have any count.
                let outlives = !result.predicted.contains(&Death::Begins(object));
                assert!(
                    found || outlives || written.contains(&object),
                    "{path:?}: nobody misses a reference to {object}"
                );
                if let Some(Stopped::NoBeginning(dead)) = result.stopped {
                    assert_eq!(dead, object, "{path:?}");
                }
            }
        }
    }
}

/// Whose reference is given up by a step, if one is.
fn step_key(step: Step) -> Option<Object> {
    if let Step::Down(object) = step { Some(object) } else { None }
}

/// Two last references that are given up in another order.
#[test]
fn decrements_that_change_places_are_found_where_they_do() {
    let mut tried = 0;
    for path in traces(Tier::Counts) {
        let observed = observed(&path);
        let dies = |object: Object| observed.iter().position(|death| *death == Death::Begins(object));
        let (_, all) = frames(&path);
        let places = all.iter().enumerate().flat_map(|(number, frame)| {
            frame.objects.steps.iter().enumerate().map(move |(at, step)| ((number, at), *step))
        });
        let last: HashMap<_, _> = places.map(|(place, step)| (step_key(step), place)).collect();
        let pairs = all.iter().enumerate().flat_map(|(number, frame)| {
            let last = &last;
            let windows = frame.objects.steps.windows(2).enumerate();
            windows.filter_map(move |(at, pair)| match *pair {
                [Step::Down(one), Step::Down(two)]
                    if last[&step_key(pair[0])] == (number, at)
                        && last[&step_key(pair[1])] == (number, at + 1) =>
                {
                    Some((number, at, one, two))
                }
                _ => None,
            })
        });
        // Both die by that, one right after the other.
        let lethal = pairs.filter_map(|(number, at, one, two)| {
            let ends = observed.get(dies(one)? + 1)?;
            let follows = matches!(ends, Death::Ends(object, _) if *object == one);
            (follows && dies(two)? == dies(one)? + 2).then_some((number, at, one, two))
        });
        for (number, at, one, two) in lethal.take(9).collect::<Vec<_>>() {
            let result = replayed(&path, |frames| frames[number].objects.steps.swap(at, at + 1));
            // Unless both die later, with who owns them.
            let Some(first) = result.deaths else { continue };
            assert_eq!(first.observed, Some(Death::Begins(one)), "{path:?} {two}");
            assert_eq!(first.at, dies(one).unwrap() as u64, "{path:?}");
            tried += 1;
        }
    }
    assert!(tried >= 4, "{tried}");
}

/// Observations that are not as they were: deaths that change places, a finalizer and a callback that run elsewhere, a
/// count, a block that is used again.
#[test]
fn observations_that_differ_are_found_where_they_do() {
    let mut moved = [0; 4];
    for path in traces(Tier::Counts).into_iter().chain(traces(Tier::Objects)) {
        let observed = observed(&path);
        let kinds: [fn(&Death) -> bool; 4] = [
            |death| matches!(death, Death::Begins(_)),
            |death| matches!(death, Death::Finalizer(_)),
            |death| matches!(death, Death::Callback(_)),
            |death| matches!(death, Death::Reuses(..)),
        ];
        for (moved, is_it) in moved.iter_mut().zip(kinds) {
            let places: Vec<_> = (0..observed.len() - 1).filter(|at| is_it(&observed[*at])).collect();
            for at in [places.len() / 3, places.len() / 2].into_iter().filter_map(|at| places.get(at)) {
                let mut before = 0;
                let result = replayed(&path, |frames| {
                    for frame in frames {
                        let deaths = &mut frame.objects.deaths;
                        if let Some(here) = at.checked_sub(before).filter(|here| here + 1 < deaths.len()) {
                            deaths.swap(here, here + 1);
                            break;
                        }
                        before += deaths.len();
                    }
                });
                let first = result.deaths.expect("a difference");
                assert!(first.at == *at as u64 || first.at == *at as u64 + 1, "{path:?} {first:?} {at}");
                *moved += 1;
            }
        }
    }
    assert!(moved.iter().all(|moved| *moved > 0), "{moved:?}");
}

/// A reference that leads elsewhere.
#[test]
fn an_edge_that_leads_elsewhere_is_found() {
    for tier in [Tier::Counts, Tier::Objects] {
        let mut found = 0;
        for path in traces(tier) {
            for part in 1..9 {
                let result = replayed(&path, |frames| {
                    let frame = &mut frames[0].objects.fetched;
                    let mut edges: Vec<_> = frame.edges_mut().collect();
                    let from = edges.len() * part / 9;
                    let known = |edge: &&mut trace::Edge| edge.referent.is_some_and(|to| to & STRANGER == 0);
                    let one = from + edges[from..].iter().position(known).unwrap();
                    let to = edges[one].referent;
                    let other = edges[one..].iter().find(|edge| known(edge) && edge.referent != to);
                    edges[one].referent = other.unwrap().referent;
                });
                found += u32::from(result.deaths.is_some() || result.counts.is_some());
            }
        }
        // With counts each of them; else one that neither object dies by may stay unnoticed.
        assert!(found >= if tier == Tier::Counts { 8 * 4 } else { 8 }, "{tier:?} {found}");
    }
}

/// Whatever a trace says that its program did, the engine comes to an end, and facts are conserved (see `replayed`).
#[test]
fn steps_that_make_no_sense_are_refused_or_replayed() {
    let mut random = 1_u64;
    let mut next = move |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(random >> 33).unwrap() % below.max(1)
    };
    let mut stopped = 0;
    for path in traces(Tier::Counts).into_iter().filter(|path| path.to_string_lossy().contains("errors")) {
        for round in 0..60 {
            let result = replayed(&path, |frames| {
                for _ in 0..=round % 7 {
                    let frame = next(frames.len());
                    let frame = &mut frames[frame].objects;
                    let (one, other) = (next(frame.steps.len()), next(frame.steps.len()));
                    let object = [STRANGER | 3, 5, 20_000, u64::MAX >> 1][next(4)];
                    frame.steps[one] = match next(12) {
                        0 => Step::Up(object),
                        1 => Step::Down(object),
                        2 => Step::Set(object, [0, 1, u64::MAX][next(3)]),
                        3 => Step::Dies(object),
                        4 => Step::Thread([0, 1, 2, u32::MAX][next(4)]),
                        5 => Step::Returned,
                        6 => Step::Born { of: 7, begins: trace::Begins::Kept(3) },
                        7 => Step::Retyped(object, u32::MAX),
                        8 => Step::Collected(1),
                        9 => Step::Collection(2),
                        10 => Step::Interpreter([0, 1, u64::MAX][next(3)]),
                        _ => frame.steps[other],
                    };
                }
            });
            stopped += u32::from(result.stopped.is_some());
        }
    }
    assert!(stopped > 20, "{stopped}");
}
