use trace::{Death, Ending, Reader, Writer};

use super::example::{header, report_of, trace, wrong};
use super::*;
use crate::engine::{Cause, Happening};

#[test]
fn each_kind_of_death_is_counted_once() {
    let (report, curve) = report_of(&trace(), 15).unwrap();
    let Objects { born, recycled, without_block, bytes, died, outlived, revived, .. } = report.objects;
    assert_eq!((born, recycled, without_block, outlived, revived), (10, 1, 1, 1, 1));
    assert_eq!(born, outlived + died.running.all() + died.in_collections.all() + died.at_exit.all());
    let Ways { alone, explained, hidden, after_code } = died.running;
    assert_eq!((alone, explained, hidden, after_code), (4, 2, 1, 1));
    assert_eq!((died.at_exit.alone, report.strangers_died), (1, 1));
    // The list's block counts twice, its array never.
    assert_eq!(bytes, 56 + 50 + 60 + 56 + 40 + 100 + 48 + 70 + 80);
    // But it was allocated, and grew.
    assert_eq!(report.bytes_allocated, bytes - 56 + 2000);
    assert!(report.tells_exit && !report.tells_collections);
    assert!((curve.alive(0) - 1.0).abs() < 1e-9 && (curve.alive(1 << 40) - 0.2).abs() < 1e-9);
}

#[test]
fn survivors_are_those_that_have_not_died() {
    let (report, _) = report_of(&trace(), 15).unwrap();
    let last = report.survival.last().unwrap();
    assert!(last.age > report.bytes_allocated);
    assert_eq!((last.died, last.unknown), (8, 2));
    assert_eq!(last.died_bytes, report.objects.bytes - 80);
    assert!(report.survival.is_sorted_by_key(|row| (row.age, row.died, row.unknown)));
}

#[test]
fn types_are_told_by_name() {
    let (report, _) = report_of(&trace(), 1).unwrap();
    let names: Vec<_> = report.types.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["str", "list", "Hider, \"quoted\"", "Last"]);
    let [of_str, list, ..] = &report.types[..] else { panic!() };
    assert_eq!((of_str.size_median, of_str.size_max), (Some(70), Some(100)));
    // Described twice, and recycled the second time.
    assert_eq!((list.objects.born, list.objects.recycled), (2, 1));
    // Allocated while the first one lived: two strings, an array that grew.
    assert_eq!(list.objects.lifetime.bytes.max, Some(50 + 60 + 2000));
    // While the second one did: what hides, what is hidden, what is brought back, and what that makes.
    assert_eq!(list.objects.lifetime.bytes.p50, Some(40 + 100 + 48 + 70));
    // A third of the strings died neither before the exit nor at all.
    assert_eq!(of_str.objects.lifetime.bytes.p90, None);
    let [longest] = &report.cascades.longest[..] else { panic!() };
    assert_eq!((longest.root.as_deref(), longest.inside, longest.levels), (Some("list"), 2, 1));
    assert_eq!(longest.bytes, 56 + 50 + 60);
    let [hidden] = &report.hidden[..] else { panic!() };
    assert_eq!((hidden.inside.as_deref(), hidden.died.as_str()), (Some("Hider, \"quoted\""), "str"));
}

#[test]
fn a_trace_without_objects_says_how_to_have_them() {
    let mut file = Vec::new();
    Writer::new(&mut file, &header("blocks")).unwrap().finish(Ending::Unknown, 0).unwrap();
    let error = report_of(&file, 15).unwrap_err().to_string();
    assert!(error.contains("tier blocks") && error.contains("record --tier objects"), "{error}");
}

#[test]
fn a_trace_without_births_is_no_trouble() {
    let mut file = Vec::new();
    Writer::new(&mut file, &header("objects")).unwrap().finish(Ending::Unknown, 0).unwrap();
    let (report, curve) = report_of(&file, 15).unwrap();
    assert_eq!((report.objects.born, report.types.len(), report.survival.len()), (0, 0, 1));
    assert!(curve.alive(0).abs() < 1e-9);
}

/// What was observed otherwise, or is not there to be predicted.
#[test]
fn what_is_not_predicted_is_not_counted() {
    let whole = trace();
    let cut = &whole[..whole.len() - 3];
    let mut trace = Lineage::new(Reader::new(cut).unwrap(), |_| unreachable!()).unwrap();
    while trace.read(&mut Frame::default()).is_ok_and(|more| more) {}
    assert!(matches!(report_of(cut, 15), Err(Error::Trace(_))));
    for (diverges, words) in
        [(true, "in the frame from event 0 on, predicted: "), (false, "facts about deaths")]
    {
        let bytes = wrong(diverges);
        let error = report_of(&bytes, 15).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// What is followed is what `verify` compares.
#[test]
fn what_happens_is_what_is_predicted() {
    let bytes = trace();
    let mut trace = Lineage::new(Reader::new(&bytes[..]).unwrap(), |_| unreachable!()).unwrap();
    let mut engine = DeathEngine::new(&header("objects").allocator, "3.13.5", Tier::Objects).unwrap();
    let (mut frame, mut bases) = (Frame::default(), Fetched::default());
    let mut predictions = DeathPredictions::with_happenings();
    let mut events = 0;
    while trace.read(&mut frame).unwrap() {
        bases.append(&mut frame.fetched);
        let observed = std::mem::take(&mut frame.objects.deaths);
        engine.run(&mut frame.objects, &mut bases, &mut predictions).unwrap();
        let happenings = predictions.happenings.as_ref().unwrap();
        let deaths: Vec<_> = happenings
            .iter()
            .filter_map(|happening| match *happening {
                Happening::Begins(object, Cause::Explained) => Some(Death::Begins(object)),
                Happening::Ends { object, fate, .. } => Some(Death::Ends(object, fate)),
                _ => None,
            })
            .collect();
        assert_eq!((&deaths, &deaths), (&predictions.deaths, &observed));
        events += happenings.iter().filter(|happening| matches!(happening, Happening::Call(_))).count();
    }
    assert_eq!(events as u64, trace.trailer().unwrap().totals.events);
}
