//! The predictor cannot see the answers, and the comparer sees every one that is wrong.

use trace::{ArenaChange, FOREIGN, Input};

use crate::support::edit::Trace;
use crate::support::{smallest, verify_json, write_trace};

/// What `replay verify` predicts does not depend on what was observed, byte for byte.
#[test]
fn predictions_are_the_same_whatever_was_observed() {
    let folder = tempfile::tempdir().unwrap();
    let original = Trace::read(&smallest());
    let (report, status) = verify_json(&smallest());
    assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0));
    let predictions = report["predictions"].as_str().expect("a digest").to_owned();

    // Put together again with nothing changed: the tool that makes the other traces of this test is faithful.
    let path = write_trace(&folder, "same.viv", &original.write());
    let (report, status) = verify_json(&path);
    assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0));
    assert_eq!(report["predictions"], predictions);

    let mut blanked = original.clone();
    blanked.addresses.fill(FOREIGN);
    // An observed arena cannot be blanked away without its base, which is fetched; but they can be moved to the very
    // beginning, one to an event, and releases can go.
    blanked.arenas.retain(|change| !matches!(change.change, ArenaChange::Released(_)));
    for (event, change) in (0..).zip(&mut blanked.arenas) {
        change.event = event;
    }

    let mut shuffled = original.clone();
    let mut state = 1_u64;
    for index in (1..shuffled.addresses.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap() % (index + 1);
        shuffled.addresses.swap(index, other);
    }

    for (name, trace) in [("blanked.viv", blanked), ("shuffled.viv", shuffled)] {
        let path = write_trace(&folder, name, &trace.write());
        let (report, status) = verify_json(&path);
        assert_eq!((report["verdict"].as_str(), status), (Some("diverged"), 1), "{name}");
        assert_eq!(report["predictions"], predictions, "{name}");
    }
}

fn check<'a>(report: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).expect("the check")
}

fn is_conserved(check: &serde_json::Value) -> bool {
    let number = |name: &str| check[name].as_u64().expect("a number");
    number("facts") == number("verified") + number("diverged") + number("unverified")
}

/// One bit of one recorded address is wrong: `placement` finds it, at that event.
#[test]
fn a_wrong_address_is_found_at_its_event() {
    let folder = tempfile::tempdir().unwrap();
    let original = Trace::read(&smallest());
    let events = original.events_of_facts();
    for (index, bit) in [(0, 4), (events.len() / 3, 5), (events.len() / 2, 12), (events.len() - 1, 30)] {
        let mut trace = original.clone();
        trace.addresses[index] ^= 1 << bit;
        let (report, status) = verify_json(&write_trace(&folder, "address.viv", &trace.write()));
        assert_eq!((report["verdict"].as_str(), status), (Some("diverged"), 1));
        let placement = check(&report, "placement");
        assert_eq!(placement["first"]["event"], events[index]);
        assert_eq!((&placement["verified"], &placement["diverged"]), (&index.into(), &1.into()));
        assert!(is_conserved(placement), "{placement}");
        let wrong = format!("{:#x}", trace.addresses[index]);
        assert!(placement["first"]["observed"].as_str().unwrap().contains(&wrong), "{placement}");
        // The other check has nothing to complain of.
        assert_eq!(check(&report, "arenas")["diverged"], 0);
    }
}

/// A wrong base of an arena is found at the first block that is placed in that arena.
///
/// (Bits below the pool size matter only as far as they decide where the first whole pool begins.)
#[test]
fn a_wrong_base_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let original = Trace::read(&smallest());
    let arena = original.bases.len() - 1;
    let base = original.bases[arena].expect("an arena that was not refused");
    let size = original.allocator().arena_size;
    let first = original.addresses.iter().position(|address| address.wrapping_sub(base) < size);
    let event = original.events_of_facts()[first.expect("a block in the arena")];
    for bit in [original.allocator().pool_size.trailing_zeros(), 21, 40] {
        let mut trace = original.clone();
        trace.bases[arena] = Some(base ^ 1 << bit);
        let (report, status) = verify_json(&write_trace(&folder, "base.viv", &trace.write()));
        if status == 2 {
            // The wrong base lies in the middle of another arena, which is found before any block is.
            let words = "needs an arena whose recorded base";
            assert!(report["error"].as_str().unwrap().contains(words), "bit {bit}: {report}");
            continue;
        }
        assert_eq!((report["verdict"].as_str(), status), (Some("diverged"), 1));
        assert_eq!(check(&report, "placement")["first"]["event"], event, "bit {bit}");
    }
}

/// A wrong size moves the block to another class.
#[test]
fn a_wrong_size_is_found_at_its_event() {
    let folder = tempfile::tempdir().unwrap();
    let original = Trace::read(&smallest());
    let facts = original.events_of_facts();
    for index in [facts.len() / 5, facts.len() / 2] {
        let mut trace = original.clone();
        let event = facts[index..].iter().copied().find(|&event| {
            matches!(trace.inputs[event], Input::Allocate { size, .. } if (33..=256).contains(&size))
        });
        let event = event.expect("an allocation in the middle of the classes");
        let Input::Allocate { size, .. } = &mut trace.inputs[event] else { unreachable!("found above") };
        *size ^= 0x20;
        let (report, status) = verify_json(&write_trace(&folder, "size.viv", &trace.write()));
        assert_eq!((report["verdict"].as_str(), status), (Some("diverged"), 1));
        assert_eq!(check(&report, "placement")["first"]["event"], event);
    }
}

/// An arena that CPython acquired or released elsewhere is found by `arenas`.
#[test]
fn an_arena_at_another_event_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let original = Trace::read(&smallest());
    let mut trace = original.clone();
    let last = trace.arenas.iter().rposition(|change| matches!(change.change, ArenaChange::Acquired(_)));
    let change = &mut trace.arenas[last.expect("an acquired arena")];
    change.event += 1;
    let event = change.event - 1;
    let (report, status) = verify_json(&write_trace(&folder, "arena.viv", &trace.write()));
    assert_eq!((report["verdict"].as_str(), status), (Some("diverged"), 1));
    let arenas = check(&report, "arenas");
    assert_eq!(arenas["first"]["event"], event);
    assert!(is_conserved(arenas), "{arenas}");
}
