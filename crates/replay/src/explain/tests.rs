use trace::{Ending, Writer};

use super::example::{report_of, trace};
use super::*;
use crate::stats::example::header;

fn report(wrong: bool, why_alive: Option<Wanted>) -> Report {
    report_of(&trace(wrong), &Options { top: 15, why_alive }).unwrap()
}

#[test]
fn collections_are_counted_with_their_reasons() {
    let report = report(false, None);
    assert_eq!((report.collections, report.unseen, report.idle), (4, 1, 0));
    assert_eq!(report.verified, Some(3), "{report:?}");
    let [young, middle, full] = report.generations;
    assert_eq!(
        (young.collections, young.due, young.asked, young.examined, young.unreachable),
        (2, 1, 1, 10, 7)
    );
    assert_eq!(middle, Totals::default());
    assert_eq!((full.asked, full.examined, full.unreachable), (1, 5, 2));
    assert_eq!((full.saved, full.uncollectable, full.finalizers), (1, 1, 1));
    let [first, second, third] = &report.list[..] else { panic!("{:?}", report.list) };
    let details = |of: &Collection| of.details.clone().unwrap();
    assert_eq!((first.event, first.generation, details(first).why), (12, 0, Why::Due));
    // The sixth container was one too many; three marks and three more followed.
    assert_eq!((details(first).armed, details(first).counts), (Some(5), [9, 0, 0]));
    assert_eq!(young.armed, 6);
    assert_eq!((details(second).why, second.generation), (Why::Asked, 2));
    assert_eq!((third.unreachable, report.largest[0].number), (1, 0));
    assert_eq!(report.unseen_from, Some(report.events));
}

#[test]
fn garbage_is_counted_by_kind() {
    let report = report(false, None);
    let census = report.census.unwrap();
    let kinds: Vec<_> = census.cycles.iter().map(|kind| (kind.signature.join(" "), kind.times)).collect();
    let expected = [("Node dict", 2), ("list", 2), ("Last", 1), ("Old \"kind\"", 1)];
    assert_eq!(kinds, expected.map(|(signature, times)| (signature.to_owned(), times)));
    let [pairs, lists, ..] = &census.cycles[..] else { panic!() };
    assert_eq!(pairs.members, Count { objects: 4, bytes: 2 * (48 + 64) });
    assert_eq!((pairs.retained_most, pairs.hanging.objects, pairs.found_in), (48 + 64, 0, [2, 0, 0]));
    // The younger one of the first pair was event 1, of the second 3; the collection began before event 12.
    assert_eq!((pairs.waited_most, pairs.waited_mean), (11, 10));
    assert_eq!((lists.members.objects, lists.hanging), (2, Count { objects: 1, bytes: 80 }));
    let example = pairs.example.as_ref().unwrap();
    let cycle: Vec<_> = example.cycle.iter().map(|member| member.object).collect();
    assert_eq!((&cycle[..], example.closing, example.references.len()), (&[0, 1][..], [0, 1], 2));
    assert_eq!((census.in_no_cycle.objects, census.is_limited, census.others.is_none()), (0, false, true));
    // All of it is counted once.
    let all: u64 = report.garbage.iter().map(|of| of.count.objects).sum();
    assert_eq!(all, report.generations.iter().map(|of| of.unreachable).sum::<u64>());
    assert_eq!(
        all,
        census.cycles.iter().map(|kind| kind.members.objects + kind.hanging.objects).sum::<u64>()
    );
    let saved: Vec<_> = report.saved.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(saved, ["Last"]);
    let kept: Vec<_> = report.kept.iter().map(|kept| (kept.name.as_str(), kept.why)).collect();
    assert_eq!(kept, [("Old \"kind\"", WhyKept::LegacyFinalizer), ("list", WhyKept::SaveAll)]);
}

#[test]
fn who_is_left_is_told_and_what_held_them() {
    let told = report(false, None);
    let alive: Vec<_> = told
        .alive
        .iter()
        .map(|of| (of.name.as_deref().unwrap(), of.at_exit.objects, of.at_end.objects))
        .collect();
    // Names that are as frequent come in their own order.
    assert_eq!(
        alive,
        [("list", 2, 2), ("Last", 1, 1), ("Old \"kind\"", 1, 1), ("dict", 1, 1), ("Node", 1, 0)]
    );
    assert_eq!((told.alive_unknown.at_exit.objects, told.alive_unknown.at_end.objects), (1, 1));
    assert!(told.why_alive.is_none());
    for wanted in [Wanted::Type("Node".to_owned()), Wanted::Object(8)] {
        let picture = report(false, Some(wanted)).why_alive.unwrap().picture.unwrap();
        // Not the later one, which looked at nobody of them.
        assert_eq!(
            (picture.collection, picture.generation, picture.examined, picture.unreachable),
            (1, 2, 1, 0)
        );
        let [way] = &picture.ways[..] else { panic!("{picture:?}") };
        let path: Vec<_> = way.path.iter().map(|member| (member.object, member.of.as_str())).collect();
        assert_eq!(path, [(6, "list"), (7, "dict"), (8, "Node")]);
        assert_eq!((way.outside, way.holds, way.length), (Some(1), 1, 3));
    }
    // Garbage is held by nobody.
    let picture = report(false, Some(Wanted::Object(1))).why_alive.unwrap().picture.unwrap();
    assert_eq!((picture.collection, picture.unreachable, picture.ways.len()), (0, 1, 0));
    for nobody in [Wanted::Type("Nobody".to_owned()), Wanted::Object(12)] {
        assert_eq!(report(false, Some(nobody)).why_alive.unwrap().picture, None);
    }
}

#[test]
fn what_differs_is_not_verified_and_changes_nothing() {
    let [right, wrong] = [false, true].map(|wrong| report(wrong, None));
    assert_eq!(wrong.verified, Some(1));
    let verified = |report: &Report| -> Vec<bool> {
        report.list.iter().filter_map(|one| one.details.as_ref()).map(|details| details.verified).collect()
    };
    assert_eq!((verified(&right), verified(&wrong)), (vec![true; 3], vec![true, false, false]));
    assert_eq!((right.generations, right.garbage), (wrong.generations, wrong.garbage));
}

#[test]
fn a_trace_without_collections_says_how_to_have_them() {
    for tier in ["blocks", "objects"] {
        let mut file = Vec::new();
        Writer::new(&mut file, &header(tier)).unwrap().finish(Ending::Unknown, 0).unwrap();
        let error = report_of(&file, &Options::default()).unwrap_err().to_string();
        assert!(error.contains("replay record --tier collections") && error.contains(tier), "{error}");
    }
}
