use record::Domain::Obj;

use super::*;

/// A frame may end behind a release that gives an arena back, before it is known that it did.
#[test]
fn an_arena_is_given_back_in_the_frame_of_its_event() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../traces/life/life-3.13.5-counts.viv");
    let header = trace::Reader::new(std::fs::File::open(path).unwrap()).unwrap().header().clone();
    let size = header.allocator.arena_size;
    let base = 0x7f00_0000_0000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.viv");
    let file = std::fs::File::create(&path).unwrap();
    let mut drain = Drain::new(header, move || Ok(file));
    let allocate = |address| Event::Allocate { domain: Obj, zeroed: false, address, size: 48 };
    let object = Event::Object;
    let name = |name: &[u8; 6]| object(ObjectEvent::TypeName(*name));
    let mut events = vec![Event::ArenaAcquired { base, size }];
    // As many as show how the allocator was built.
    events.extend((0..EVIDENCE as u64).map(|at| allocate(base + ((at / 340) << 14) + 48 + at % 340 * 48)));
    events.extend([
        object(ObjectEvent::Type(16)),
        object(ObjectEvent::TypeFlags(0)),
        name(b"x\0\0\0\0\0"),
        name(b"x\0\0\0\0\0"),
        object(ObjectEvent::TypePlace { of: 16, place: 1 }),
        object(ObjectEvent::Born { object: base + 48, of: 1 }),
        Event::Release { domain: Obj, address: base + 96 },
        Event::ArenaReleased { base, size },
    ]);
    events.extend((0..400_000).map(|_| object(ObjectEvent::Up(base + 48))));
    // Behind the end of that frame it would be told of the event before, which is in no later one.
    events.push(object(ObjectEvent::Thread(1)));
    events.into_iter().try_for_each(|event| drain.push(event)).unwrap();
    let (totals, _) = drain.finish(Ending::Exited(0), 1, false).unwrap();
    assert_eq!((totals.changes, totals.arena_facts), (400_000, 2));
    let mut reader = trace::Reader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let (mut frame, mut frames) = (trace::Frame::default(), 0);
    while reader.read(&mut frame).unwrap() {
        frames += 1;
    }
    assert!(frames > 1, "{frames}");
}

/// The one frame that comes of these events, of an interpreter that is recorded as that of a bundled trace was, without
/// collections.
fn frame_of(trace: &str, events: impl IntoIterator<Item = Event>) -> trace::Frame {
    let path = format!("{}/../../traces/{trace}", env!("CARGO_MANIFEST_DIR"));
    let mut header = trace::Reader::new(std::fs::File::open(path).unwrap()).unwrap().header().clone();
    header.collections = false;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.viv");
    let file = std::fs::File::create(&path).unwrap();
    let mut drain = Drain::new(header, move || Ok(file));
    events.into_iter().try_for_each(|event| drain.push(event)).unwrap();
    drain.finish(Ending::Exited(0), 1, false).unwrap();
    let mut reader = trace::Reader::new(std::fs::File::open(&path).unwrap()).unwrap();
    let mut frame = trace::Frame::default();
    assert!(reader.read(&mut frame).unwrap());
    frame
}

/// It is told in front of a death when the reference that was the last has been given up.
#[test]
fn another_interpreter_runs_before_what_dies_in_it() {
    let block = 0x7f00_0000_0000;
    let name = || ObjectEvent::TypeName(*b"x\0\0\0\0\0");
    let told = [
        ObjectEvent::Type(16),
        ObjectEvent::TypeFlags(0),
        name(),
        name(),
        ObjectEvent::TypePlace { of: 16, place: 1 },
        ObjectEvent::Born { object: block, of: 1 },
        ObjectEvent::Down(block),
        ObjectEvent::Interpreter(3),
        ObjectEvent::BeginsToDie(block),
        ObjectEvent::OfType(16),
        ObjectEvent::EdgesEnd,
    ];
    let allocate = Event::Allocate { domain: Obj, zeroed: false, address: block, size: 48 };
    let release = Event::Release { domain: Obj, address: block };
    let events = [allocate].into_iter().chain(told.map(Event::Object)).chain([release]);
    let frame = frame_of("life/life-3.13.5-counts.viv", events);
    let last = frame.objects.steps.last_chunk().unwrap();
    assert_eq!(last, &[trace::Step::Interpreter(3), trace::Step::Down(0)]);
    assert_eq!(frame.objects.deaths.len(), 2);
}

/// Whether an object lives on whose birth was not seen is not known when its death is over: it does not if another one is
/// born where it was.
#[test]
fn who_is_born_where_a_stranger_died_is_another() {
    let (first, block) = (0x7f00_0000_0000, 0x7f00_0000_0100);
    let allocate = |address| Event::Allocate { domain: Obj, zeroed: false, address, size: 48 };
    let release = |address| Event::Release { domain: Obj, address };
    let name = || Event::Object(ObjectEvent::TypeName(*b"x\0\0\0\0\0"));
    let dies = |object, is_last| Event::Object(ObjectEvent::Dies { object, is_last });
    let count = record::ReferentCount::new(2);
    let events = [
        Event::Object(ObjectEvent::Type(16)),
        Event::Object(ObjectEvent::TypeFlags(0)),
        name(),
        name(),
        Event::Object(ObjectEvent::TypePlace { of: 16, place: 1 }),
        allocate(block),
        allocate(first),
        Event::Object(ObjectEvent::Born { object: first, of: 1 }),
        dies(first, false),
        Event::Object(ObjectEvent::Edge { referent: block, count, is_last: true }),
        release(first),
        dies(block, true),
        release(block),
        allocate(block),
        Event::Object(ObjectEvent::Born { object: block, of: 1 }),
        dies(block, true),
        release(block),
    ];
    let frame = frame_of("chains/chains-3.13.5-objects.viv", events);
    let died = |step: &trace::Step| match step {
        trace::Step::Dies(object) => Some(*object),
        _ => None,
    };
    let died: Vec<_> = frame.objects.steps.iter().filter_map(died).collect();
    assert_eq!(died, [0, trace::STRANGER, 1]);
    assert_eq!(frame.objects.deaths.last(), Some(&trace::Death::Ends(1, trace::Fate::Released)));
}

/// Where there are more references to an object than can be told, fewer that were told before say nothing any more.
#[test]
fn nobody_dies_of_whom_there_are_too_many_references_to_tell() {
    let [outer, inner, referent] = [0x7f00_0000_0000, 0x7f00_0000_0100, 0x7f00_0000_0200];
    let object = Event::Object;
    let allocate = |address| Event::Allocate { domain: Obj, zeroed: false, address, size: 48 };
    let release = |address| Event::Release { domain: Obj, address };
    let name = || object(ObjectEvent::TypeName(*b"x\0\0\0\0\0"));
    let dies = |object, is_last| Event::Object(ObjectEvent::Dies { object, is_last });
    let edge = |referent, count, is_last| {
        let count = record::ReferentCount::new(count);
        Event::Object(ObjectEvent::Edge { referent, count, is_last })
    };
    let described = [
        object(ObjectEvent::Type(16)),
        object(ObjectEvent::TypeFlags(0)),
        name(),
        name(),
        object(ObjectEvent::TypePlace { of: 16, place: 1 }),
    ];
    let born = [outer, inner, referent]
        .into_iter()
        .flat_map(|address| [allocate(address), object(ObjectEvent::Born { object: address, of: 1 })]);
    let die = [
        dies(outer, false),
        edge(inner, 1, false),
        edge(referent, 2, true),
        dies(inner, false),
        edge(referent, record::COUNT_MANY, true),
        release(inner),
        release(outer),
    ];
    let mut frame =
        frame_of("chains/chains-3.13.5-objects.viv", described.into_iter().chain(born).chain(die));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../traces/chains/chains-3.13.5-objects.viv");
    let header = trace::Reader::new(std::fs::File::open(path).unwrap()).unwrap().header().clone();
    let mut engine = crate::engine::DeathEngine::new(&header.allocator, "3.13.5", header.tier).unwrap();
    let mut predicted = crate::engine::DeathPredictions::default();
    engine.run(&mut frame.objects, &mut frame.fetched, &mut predicted).unwrap();
    assert_eq!(predicted.deaths, frame.objects.deaths);
    assert_eq!(predicted.deaths.len(), 3);
}

/// Half a trace can be told from none.
#[test]
fn a_trace_that_was_opened_has_begun_even_if_its_first_events_do_not_fit() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../traces/life/life-2.7.viv");
    let reader = trace::Reader::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut drain = Drain::new(reader.header().clone(), || Ok(Vec::new()));
    drain.push(Event::Release { domain: Obj, address: 16 }).unwrap();
    assert!(!drain.has_begun());
    assert!(matches!(drain.begin(), Err(DrainError::Gap { event: 0, address: 16, .. })));
    assert!(drain.has_begun());
}
