use trace::{Ending, Writer};

use super::example::{report_of, trace};
use super::*;
use crate::stats::example::header;

fn report(wrong: bool, why_alive: Option<Wanted>) -> Report {
    report_of(&trace(wrong), &Options { top: 15, why_alive, as_of: None }).unwrap()
}

/// What is seen of somebody by the collection that is taken, or by that of a number.
fn picture(wanted: Wanted, as_of: Option<u64>) -> Result<Picture, String> {
    let options = Options { top: 15, why_alive: Some(wanted), as_of };
    let report = report_of(&trace(false), &options).map_err(|error| error.to_string())?;
    Ok(report.why_alive.unwrap().picture)
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
        let picture = picture(wanted, None).unwrap();
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
    let picture = picture(Wanted::Object(1), None).unwrap();
    assert_eq!((picture.collection, picture.unreachable, picture.ways.len()), (0, 1, 0));
    assert_eq!(picture.taken, Taken::NoneFull);
}

#[test]
fn a_collection_can_be_chosen() {
    let node = || Wanted::Type("Node".to_owned());
    let taken =
        |as_of| picture(node(), as_of).map(|picture| (picture.collection, picture.examined, picture.taken));
    assert_eq!(taken(None), Ok((1, 1, Taken::LastFull)));
    assert_eq!(taken(Some(0)), Ok((0, 3, Taken::ByNumber)));
    assert_eq!(taken(Some(1)), Ok((1, 1, Taken::ByNumber)));
    let why = |wanted, as_of| picture(wanted, as_of).unwrap_err();
    assert!(why(node(), Some(2)).starts_with("collection 2 did not look at Node"));
    assert!(why(node(), Some(3)).ends_with("those that were seen have the numbers 0 to 2"));
}

#[test]
fn who_was_never_seen_is_no_answer() {
    let why = |name: &str| picture(Wanted::Type(name.to_owned()), None).unwrap_err();
    assert!(why("node").ends_with("names like it: \"Node\""), "{}", why("node"));
    assert!(why("__main__.Node").ends_with("names like it: \"Node\""), "{}", why("__main__.Node"));
    assert!(why("Wholly other").contains("with the name \"Wholly other\", nor of one like it"));
    let error = picture(Wanted::Object(12), None).unwrap_err();
    assert_eq!(error, "no collection that was seen looked at object 12");
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
        // Of whom they are recorded, and of whom this is, is the reason.
        assert!(error.contains("of CPython 3.13.5") && error.contains("CPython 3.8 or later"), "{error}");
    }
}
