use trace::{
    Answer, Beginning, Begins, Death, Domain, Edge, Ending, Fate, Fetched, Frame, Header, Lineage, Reader,
    Step, Tier, TypeInfo, Writer,
};

use super::{DeathEngine, DeathPredictions};

const BASE: u64 = 0x7f00_0000_0000;

fn header() -> Header {
    let header = r#"{"recorder": "test", "started": 0, "program": {"name": "example"},
        "interpreter": {"implementation": "CPython", "version": "3.13.5", "build": "3.13.5"},
        "machine": {"os": "linux", "arch": "x86_64", "processors": 1},
        "allocator": {"alignment": 16, "small_limit": 512, "pool_size": 16384, "arena_size": 1048576,
                      "empty_arenas": "keep-last"},
        "tier": "objects", "tier_reason": ""}"#;
    serde_json::from_str(header).unwrap()
}

/// Slices are born and die in turns in two interpreters, each of which keeps the memory of one: even if it was another that had
/// made it. One dies inside of a death in which the other interpreter runs.
#[test]
fn each_interpreter_keeps_memory_for_its_own() {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, &Header { tier: Tier::Counts, ..header() }).unwrap();
    writer.arena_requested(Some(BASE));
    let info =
        |name: &str| TypeInfo { name: name.to_owned(), family: name.to_owned(), ..TypeInfo::default() };
    let [slice, other] = ["slice", "other"].map(|name| writer.described(&info(name)).unwrap());
    let make = |writer: &mut Writer<_>, of| {
        let block = writer.allocate(Domain::Obj, 56, false, Answer::At(BASE)).unwrap().unwrap();
        (writer.born(of, Begins::InBlock(block.block(), 0)).unwrap(), block)
    };
    let dies = |writer: &mut Writer<_>, object, fate| {
        writer.step(Step::Down(object)).unwrap();
        writer.begins(object, &Beginning::default()).unwrap();
        writer.observed(Death::Begins(object));
        writer.ends(fate);
        writer.observed(Death::Ends(object, fate));
    };
    let [one, two, three] = [0; 3].map(|_| make(&mut writer, slice));
    dies(&mut writer, one.0, Fate::Kept);
    writer.step(Step::Interpreter(5)).unwrap();
    dies(&mut writer, two.0, Fate::Kept);
    dies(&mut writer, three.0, Fate::Released);
    writer.release_by_death(three.1, BASE, Domain::Obj).unwrap();
    let again = |writer: &mut Writer<_>, block| {
        let object = writer.born(slice, Begins::Kept(0)).unwrap();
        writer.observed(Death::Reuses(object, block));
        object
    };
    writer.step(Step::Interpreter(0)).unwrap();
    let first = one.1.block();
    let one = again(&mut writer, first);
    writer.step(Step::Interpreter(5)).unwrap();
    again(&mut writer, two.1.block());
    // The first interpreter runs when it dies, where the death of what it is in began in the other.
    let around = make(&mut writer, other);
    writer.step(Step::Down(around.0)).unwrap();
    let edges = vec![Edge { referent: Some(one), count: Some(1) }];
    writer.begins(around.0, &Beginning { edges, ..Beginning::default() }).unwrap();
    writer.observed(Death::Begins(around.0));
    writer.steps(1, Some(0));
    writer.step(Step::Interpreter(0)).unwrap();
    writer.begins(one, &Beginning::default()).unwrap();
    writer.observed(Death::Begins(one));
    for (object, fate) in [(one, Fate::Kept), (around.0, Fate::Released)] {
        writer.ends(fate);
        writer.observed(Death::Ends(object, fate));
    }
    writer.release_by_death(around.1, BASE, Domain::Obj).unwrap();
    again(&mut writer, first);
    writer.finish(Ending::Unknown, 0).unwrap();

    let mut trace = Lineage::new(Reader::new(&file[..]).unwrap(), |_| unreachable!()).unwrap();
    let mut engine = DeathEngine::new(&header().allocator, "3.13.5", Tier::Counts).unwrap();
    let (mut frame, mut bases) = (Frame::default(), Fetched::default());
    let mut out = DeathPredictions::default();
    assert!(trace.read(&mut frame).unwrap());
    bases.append(&mut frame.fetched);
    engine.run(&mut frame.objects, &mut bases, &mut out).unwrap();
    assert_eq!((&out.deaths, out.deaths.len()), (&frame.objects.deaths, 13));
}

/// That a death is put off, and which, are two parts of what is told: a frame may end between them.
#[test]
fn a_frame_may_end_within_what_is_told_of_a_death_that_is_put_off() {
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, &header()).unwrap();
    writer.arena_requested(Some(BASE));
    let info = TypeInfo {
        name: "list".to_owned(),
        flags: 1 << 14,
        family: "list".to_owned(),
        ..TypeInfo::default()
    };
    let list = writer.described(&info).unwrap();
    let [(inner, _), (outer, block)] = [0, 1].map(|_| {
        let block = writer.allocate(Domain::Obj, 56, false, Answer::At(BASE)).unwrap().unwrap();
        (writer.born(list, Begins::InBlock(block.block(), 0)).unwrap(), block)
    });
    writer.step(Step::Dies(outer)).unwrap();
    let edges = vec![Edge { referent: Some(inner), count: Some(1) }];
    writer.begins(outer, &Beginning { edges, ..Beginning::default() }).unwrap();
    writer.trashcan(false);
    writer.branch().unwrap();
    writer.begins(inner, &Beginning::default()).unwrap();
    writer.observed(Death::Begins(inner));
    for (object, fate) in [(inner, Fate::Kept), (outer, Fate::Released)] {
        writer.ends(fate);
        writer.observed(Death::Ends(object, fate));
    }
    writer.release_by_death(block, BASE, Domain::Obj).unwrap();
    writer.finish(Ending::Unknown, 0).unwrap();

    let mut trace = Lineage::new(Reader::new(&file[..]).unwrap(), |_| unreachable!()).unwrap();
    let mut engine = DeathEngine::new(&header().allocator, "3.13.5", Tier::Objects).unwrap();
    let (mut frame, mut bases) = (Frame::default(), Fetched::default());
    let (mut predicted, mut observed, mut put_off, mut frames) = (Vec::new(), Vec::new(), 0, 0);
    while trace.read(&mut frame).unwrap() {
        bases.append(&mut frame.fetched);
        let mut out = DeathPredictions::default();
        engine.run(&mut frame.objects, &mut bases, &mut out).unwrap();
        predicted.append(&mut out.deaths);
        observed.append(&mut frame.objects.deaths);
        put_off += out.given.put_off;
        frames += 1;
    }
    assert_eq!((&predicted, put_off, frames), (&observed, 1, 2));
    assert_eq!(predicted.len(), 3);
}
