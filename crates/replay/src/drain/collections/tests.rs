//! What is told of those who leave a list unseen.

use trace::{Ending, Frame, Reader, Tier, TypeInfo};

use super::*;

/// A tuple's memory is kept when it dies: that it is on no list any more shows only in what the list holds.
#[test]
fn who_has_left_a_list_that_is_told_from_its_beginning_is_told_to_be_gone() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../traces/life/life-3.13.5-counts.viv");
    let mut header = Reader::new(std::fs::File::open(path).unwrap()).unwrap().header().clone();
    header.tier = Tier::Collections;
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, &header).unwrap();
    writer.collection_type(&TypeInfo {
        name: "tuple".to_owned(),
        flags: 1 << 14,
        finalizes: false,
        weakly_referable: false,
        class: false,
        foreign: false,
        finalizes_late: false,
        family: "tuple".to_owned(),
        object: None,
    });
    let (mut collections, mut addresses) = (Collections::new("3.15.2"), Addresses::new(16));
    let [kept, last, new] = [0x7f00_0000_1000, 0x7f00_0000_2000, 0x7f00_0000_3000];
    let on = |list: u64, objects: &[u64]| {
        let list = std::iter::once(ObjectEvent::List(list));
        list.chain(objects.iter().map(|object| ObjectEvent::Born { object: *object, of: 1 }))
            .collect::<Vec<_>>()
    };
    let collection = |generation: u64, looks: Vec<ObjectEvent>, leaves: Vec<ObjectEvent>| {
        let mut events = vec![ObjectEvent::Collects(generation)];
        events.extend(looks);
        events.extend([ObjectEvent::GraphEnds, ObjectEvent::HasCollected(generation)]);
        events.extend(leaves);
        events.push(ObjectEvent::GraphEnds);
        events
    };
    let events = [
        collection(0, on(0, &[kept, last]), on(1, &[kept, last])),
        // What stood last before dies in this one, so the list is told from its beginning.
        collection(0, on(0, &[new]), on(1, &[last, new])),
        collection(1, [on(0, &[]), on(1, &[last, new])].concat(), on(2, &[last, new])),
    ];
    for event in events.concat() {
        collections.push(event, &mut addresses, &mut writer).unwrap();
    }
    writer.finish(Ending::Exited(0), 0).unwrap();
    let (mut reader, mut frame, mut gone) = (Reader::new(&file[..]).unwrap(), Frame::default(), Vec::new());
    while reader.read(&mut frame).unwrap() {
        gone.extend(frame.collections.graphs.drain(..).map(|graph| graph.gone));
    }
    assert_eq!(gone, [vec![], vec![], vec![0]]);
}
