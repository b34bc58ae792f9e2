//! Damaged and hostile traces: a clear error, and nothing lost that came before.

use trace::{Frame, Reader};

use crate::support::edit::Trace;
use crate::support::{replay, root, smallest, stderr, stdout, verify_json, write_trace};

/// A short trace of its own: the first events of a real one.
fn short() -> Vec<u8> {
    let mut trace = Trace::read(&smallest());
    trace.inputs.truncate(2_000);
    let facts = trace.inputs.iter().filter(|input| trace.is_placed(input)).count();
    trace.addresses.truncate(facts);
    trace.arenas.retain(|change| change.event < 2_000);
    trace.write()
}

fn read_all(bytes: &[u8]) -> Result<u64, trace::Error> {
    let mut reader = Reader::new(bytes)?;
    let mut frame = Frame::default();
    let mut events = 0;
    while reader.read(&mut frame)? {
        events += frame.inputs.len() as u64;
    }
    Ok(events)
}

#[test]
fn every_flipped_bit_is_found_or_harmless() {
    let bytes = short();
    assert_eq!(read_all(&bytes).unwrap(), 2_000);
    let mut harmless = Vec::new();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if read_all(&damaged).is_ok() {
            harmless.push(bit / 8);
        }
    }
    // What no checksum covers and any value may have: the minor version.
    assert!(harmless.iter().all(|&byte| (10..12).contains(&byte)), "{harmless:?}");
}

#[test]
fn every_cut_is_a_truncation_that_says_how_much_was_recovered() {
    let bytes = short();
    for length in 0..bytes.len() {
        match read_all(&bytes[..length]) {
            Err(trace::Error::Truncated { frame, events }) => {
                assert!(frame <= 2);
                assert_eq!(events, if frame == 2 { 2_000 } else { 0 });
            }
            other => panic!("{length}: {other:?}"),
        }
    }
}

#[test]
fn each_kind_of_damage_has_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = short();
    let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        edit(&mut bytes);
        bytes
    };
    for (name, bytes, words) in [
        ("new.viv", edited(&|bytes| bytes[8] = 2), "too new: the trace is in format 2.0"),
        ("old.viv", edited(&|bytes| bytes[8] = 0), "too old: the trace is in format 0.0"),
        ("zero.viv", edited(&|bytes| bytes[12] = 1), "corrupt before its first frame: bytes 12 to 15"),
        (
            "short.viv",
            edited(&|bytes| bytes.truncate(bytes.len() - 1)),
            "truncated at frame 2, 2000 events recovered",
        ),
        ("flipped.viv", edited(&|bytes| *bytes.last_mut().unwrap() ^= 1), "corrupt frame 2: its checksum"),
        ("more.viv", edited(&|bytes| bytes.push(0)), "frame 2: bytes follow the trailer"),
        ("text.viv", b"Once upon a time\n".to_vec(), "not a Vivarium trace"),
        ("empty.viv", Vec::new(), "truncated in its header"),
        ("begun.viv", bytes[..5].to_vec(), "truncated in its header"),
    ] {
        let path = write_trace(&folder, name, &bytes);
        let output = replay().arg("verify").arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(stdout(&output).contains(words), "{name}: {}", stdout(&output));
        assert!(stdout(&output).contains(name), "{name}: {}", stdout(&output));
        let output = replay().arg("info").arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(stderr(&output).contains(words), "{name}: {}", stderr(&output));
    }
}

/// The facts before a cut are verified, those after it are not, and the trace is not identical.
#[test]
fn a_truncated_trace_is_verified_up_to_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = short();
    let path = write_trace(&folder, "cut.viv", &bytes[..bytes.len() - 10]);
    let (report, status) = verify_json(&path);
    assert_eq!((report["verdict"].as_str(), status), (Some("unreadable"), 2));
    assert_eq!(report["events"], 2_000);
    let placement = &report["checks"][0];
    assert!(placement["verified"].as_u64().unwrap() > 0);
    assert_eq!(placement["verified"], placement["facts"]);
    assert!(placement["why"].as_str().unwrap().contains("truncated at frame 2"));
}

/// An input that touches what is not live is a gap, at its event, whether the checksum is right or not.
#[test]
fn a_gap_is_an_error_with_its_event() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = short();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let header = reader.header().clone();
    assert!(reader.read(&mut Frame::default()).unwrap());
    let mut file = Vec::new();
    let mut writer = trace::Writer::new(&mut file, &header).unwrap();
    let block = writer.allocate(trace::Domain::Obj, 600, false, trace::Answer::Foreign).unwrap().unwrap();
    writer.release(block, 0x1000, trace::Domain::Obj).unwrap();
    writer.release(block, 0x1000, trace::Domain::Obj).unwrap();
    writer.finish(trace::Ending::Exited(0), 0).unwrap();
    let output = replay().arg("verify").arg(write_trace(&folder, "gap.viv", &file)).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stdout(&output)
            .contains("frame 1, event 2 touches block 0, which is not live: the recording has a gap")
    );
}

/// A trace without a single fact makes nothing identical.
#[test]
fn nothing_verified_is_not_identical() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = short();
    let header = Reader::new(&bytes[..]).unwrap().header().clone();
    let mut file = Vec::new();
    let writer = trace::Writer::new(&mut file, &header).unwrap();
    writer.finish(trace::Ending::Exited(0), 0).unwrap();
    let (report, status) = verify_json(&write_trace(&folder, "nothing.viv", &file));
    assert_eq!((report["verdict"].as_str(), status), (Some("unreadable"), 2));
    assert!(report["error"].as_str().unwrap().contains("no facts"));
}

/// A trace made by hand: its allocator is that of the bundled traces, its events those that `write` writes.
fn made(write: impl FnOnce(&mut trace::Writer<&mut Vec<u8>>)) -> Vec<u8> {
    let bytes = short();
    let header = Reader::new(&bytes[..]).unwrap().header().clone();
    let mut file = Vec::new();
    let mut writer = trace::Writer::new(&mut file, &header).unwrap();
    write(&mut writer);
    writer.finish(trace::Ending::Exited(0), 0).unwrap();
    file
}

const BASE: u64 = 0x7f00_0000_0000;

/// A request that pools would have served cannot have failed.
#[test]
fn a_failure_that_cannot_be_diverges() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(|writer| {
        writer.arena_requested(Some(BASE));
        writer.allocate(trace::Domain::Obj, 64, false, trace::Answer::At(BASE + 48)).unwrap();
        writer.allocate(trace::Domain::Obj, 64, false, trace::Answer::Failed).unwrap();
    });
    let (report, status) = verify_json(&write_trace(&folder, "failed.viv", &file));
    assert_eq!((report["verdict"].as_str(), status), (Some("diverged"), 1));
    assert_eq!(report["checks"][0]["first"]["event"], 1, "{report}");
}

/// A failure for want of an arena is what CPython does: an input, and counted as one.
#[test]
fn a_failure_for_want_of_memory_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let file = made(|writer| {
        writer.arena_requested(None);
        writer.allocate(trace::Domain::Obj, 64, false, trace::Answer::Failed).unwrap();
        writer.arena_requested(None);
        let block = writer.allocate(trace::Domain::Obj, 64, false, trace::Answer::Foreign).unwrap().unwrap();
        // Outside the pools a resize is not the pools' business, small or not, failed or not.
        let block = writer.resize(block, 0, trace::Domain::Obj, 100, trace::Answer::Failed).unwrap();
        let block = writer.resize(block, 0, trace::Domain::Obj, 100, trace::Answer::Foreign).unwrap();
        writer.release(block, 0, trace::Domain::Obj).unwrap();
    });
    let (report, status) = verify_json(&write_trace(&folder, "refused.viv", &file));
    assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{report}");
    assert_eq!(report["checks"][0]["given"]["failed"], 2);
    assert_eq!(report["checks"][0]["facts"], 4);
    assert_eq!(report["checks"][1]["facts"], 2);
}

/// Two live arenas cannot lie in the same place.
/// A replay that goes wrong may soon not be able to go on: it has diverged all the same.
#[test]
fn what_was_wrong_before_the_replay_ended_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = root().join("traces/accesslog/accesslog-3.7.viv");
    let mut trace = Trace::read(&path);
    assert_eq!(trace.header.allocator.empty_arenas, trace::EmptyArenas::Return);
    trace.header.allocator.empty_arenas = trace::EmptyArenas::Keep;
    let (report, status) = verify_json(&write_trace(&folder, "keeps.viv", &trace.write()));
    assert_eq!((&report["verdict"], status), (&"diverged".into(), 1), "{report}");
    for check in report["checks"].as_array().unwrap() {
        let number = |name: &str| check[name].as_u64().unwrap();
        assert_eq!(number("facts"), number("verified") + number("diverged") + number("unverified"));
        assert!(number("facts") > 0, "{report}");
    }
    assert!(report["checks"][1]["first"]["observed"].as_str().unwrap().contains("released"), "{report}");
}

#[test]
fn arenas_that_overlap_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = short();
    let allocator = Reader::new(&bytes[..]).unwrap().header().allocator;
    let file = made(|writer| {
        let mut address = 0;
        // More blocks of 512 bytes than an arena holds.
        for number in 0..allocator.arena_size / 512 {
            if number == 0 || number == allocator.arena_size / 512 - 100 {
                writer.arena_requested(Some(BASE + 4096 * number.min(1)));
            }
            address += 512;
            writer.allocate(trace::Domain::Obj, 512, false, trace::Answer::At(BASE + address)).unwrap();
        }
    });
    let output = replay().arg("verify").arg(write_trace(&folder, "overlap.viv", &file)).output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("lies in one that is live"), "{}", stdout(&output));
}

/// A divergence in the past is one of the child's, too, all of whose facts are then unverified.
#[test]
fn a_wrong_past_makes_a_wrong_child() {
    use trace::{Answer, Domain, Ending, Writer};
    let folder = tempfile::tempdir().unwrap();
    let header = Reader::new(&short()[..]).unwrap().header().clone();
    let base = 0x7f00_0000_0000;
    for (wrong, expected) in [(0, ("identical", 0, 1)), (16, ("diverged", 1, 0))] {
        let (mut parent, mut child) = (Vec::new(), Vec::new());
        let mut writer = Writer::new(&mut parent, &header).unwrap();
        writer.arena_requested(Some(base));
        let at = |number: u64| Answer::At(base + 48 + number * 16);
        let first = writer.allocate(Domain::Obj, 16, false, at(0)).unwrap().unwrap();
        writer.allocate(Domain::Obj, 16, false, Answer::At(base + 64 + wrong)).unwrap();
        let branch = writer.branch().unwrap();
        writer.finish(Ending::Exited(0), 0).unwrap();
        let mut writer = Writer::resume(&mut child, &header, branch, "parent.viv".to_owned()).unwrap();
        writer.release(first, base + 48, Domain::Obj).unwrap();
        writer.allocate(Domain::Obj, 16, false, at(0)).unwrap();
        writer.finish(Ending::Unknown, 0).unwrap();
        write_trace(&folder, "parent.viv", &parent);
        let (report, status) = verify_json(&write_trace(&folder, "child.viv", &child));
        let placement = &report["checks"][0];
        let verified = placement["verified"].as_u64().unwrap();
        assert_eq!((report["verdict"].as_str().unwrap(), status, verified), expected, "{report}");
        assert_eq!(placement["facts"], 1, "{report}");
        assert_eq!(report["events"], 2, "{report}");
        if wrong != 0 {
            assert_eq!(placement["first"]["event"], 1, "in the parent: {report}");
        }
    }
}
