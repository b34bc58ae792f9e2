//! The second opinion: it agrees with the engine, and would find it wrong.

use std::path::{Path, PathBuf};

use replay::compare::{Difference, Reachability};
use replay::engine::{CollectionEngine, CollectionPredictions, Look};
use trace::Collection;

use crate::support::{bundled, frames};

fn trace() -> PathBuf {
    let is_one = |path: &PathBuf| path.ends_with("sessions/sessions-3.13.5-collections.viv");
    bundled().into_iter().find(is_one).expect("a bundled trace of collections")
}

/// What the check says of a trace when the engine's look number `which` was changed, or the collection that was observed then:
/// how many facts are verified, and where it differs.
fn opinion(
    path: &Path,
    which: usize,
    look: impl Fn(&mut Look),
    observed: impl Fn(&mut Collection),
) -> (u64, Option<(u64, Difference)>) {
    let (header, frames) = frames(path);
    let mut engine = CollectionEngine::new(&header.interpreter.version).unwrap();
    let (mut predictions, mut opinion) = (CollectionPredictions::default(), Reachability::default());
    let (mut looked, mut over) = (0, 0);
    for mut frame in frames {
        engine.run(frame.first_event, &frame.inputs, &mut frame.collections, &mut predictions);
        for one in &mut predictions.looks {
            if looked == which {
                look(one);
            }
            looked += 1;
        }
        for one in &mut frame.observations.collections {
            if over == which {
                observed(one);
            }
            over += 1;
        }
        let (steps, observed) = (&frame.collections.steps, &frame.observations.collections);
        opinion.frame(frame.first_event, &frame.inputs, steps, observed, &predictions.looks);
    }
    let (tally, first) = opinion.check();
    assert!(tally.is_conserved());
    assert_eq!(tally.diverged, u64::from(first.is_some()));
    (tally.verified, first.map(|first| (first.collection, first.what)))
}

#[test]
fn petgraph_finds_what_is_wrong() {
    let path = trace();
    let (verified, first) = opinion(&path, 0, |_| {}, |_| {});
    assert_eq!(first, None);
    assert!(verified > 30_000, "{verified}");

    let which = 9;
    let number = which as u64;
    // Somebody else than the garbage, somebody twice, and less of it.
    let one_more = |look: &mut Look| {
        let Look { graph, unreachable, .. } = look;
        let told = graph.told.iter().find(|told| !unreachable.contains(&told.object)).unwrap();
        unreachable.push(told.object);
    };
    let (_, first) = opinion(&path, which, one_more, |_| {});
    assert!(matches!(first, Some((at, Difference::Reached(_))) if at == number), "{first:?}");
    let (_, first) = opinion(&path, which, |look| look.unreachable.push(look.unreachable[0]), |_| {});
    assert!(matches!(first, Some((at, Difference::Reached(_))) if at == number), "{first:?}");
    let (_, first) = opinion(&path, which, |look| look.unreachable.truncate(5), |_| {});
    assert!(matches!(first, Some((at, Difference::Unreached(_))) if at == number), "{first:?}");

    // A reference that nobody counted makes garbage reachable, one that nobody tells of does, too.
    let one_count_more = |look: &mut Look| {
        let Look { graph, unreachable, .. } = look;
        let told = graph.told.iter_mut().find(|told| unreachable.contains(&told.object)).unwrap();
        told.count = told.count.map(|count| count + 1);
    };
    let (_, first) = opinion(&path, which, one_count_more, |_| {});
    assert!(matches!(first, Some((at, Difference::Reached(_))) if at == number), "{first:?}");
    let one_edge_less = |look: &mut Look| {
        let Look { graph, unreachable, .. } = look;
        let told = graph.told.iter_mut().find(|told| {
            let is_inside =
                |referents: &Vec<_>| referents.iter().any(|referent| unreachable.contains(referent));
            unreachable.contains(&told.object) && told.referents.as_ref().is_some_and(is_inside)
        });
        told.unwrap().referents.as_mut().unwrap().retain(|referent| !unreachable.contains(referent));
    };
    let (_, first) = opinion(&path, which, one_edge_less, |_| {});
    assert!(matches!(first, Some((at, Difference::Reached(_))) if at == number), "{first:?}");

    // Who was observed to survive is on the next list: one that is not is missed there.
    let (_, first) = opinion(&path, which, |_| {}, |collection| collection.candidates += 1);
    assert!(matches!(first, Some((at, Difference::Candidates(_))) if at == number), "{first:?}");
    let (_, first) = opinion(&path, which, |_| {}, |collection| collection.survivors.truncate(3));
    assert!(first.is_some_and(|(at, _)| at > number), "{first:?}");
}
