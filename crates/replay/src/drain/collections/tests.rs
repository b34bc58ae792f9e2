//! What is told of those who leave a list unseen.

use trace::{Ending, Frame, Reader, Tier, TypeInfo};

use super::*;

/// Of a look: how many come, who of them to which older list, and who has gone.
type Looked = (usize, Vec<(u8, Object)>, Vec<Object>);

/// What is written of such collections.
fn written(events: impl IntoIterator<Item = ObjectEvent>) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../traces/life/life-3.13.5-counts.viv");
    let mut header = Reader::new(std::fs::File::open(path).unwrap()).unwrap().header().clone();
    header.tier = Tier::Collections;
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, &header).unwrap();
    writer.collection_type(&TypeInfo {
        name: "tuple".to_owned(),
        flags: 1 << 14,
        family: "tuple".to_owned(),
        ..TypeInfo::default()
    });
    let (mut collections, mut addresses) = (Collections::new("3.15.2"), Addresses::new(16));
    for event in events {
        match event {
            ObjectEvent::BeginsToDie(address) => collections.begins_to_die(address),
            event => collections.push(event, &mut addresses, &mut writer).unwrap(),
        }
    }
    writer.finish(Ending::Exited(0), 0).unwrap();
    file
}

/// What is told of such collections: the steps, and of each look.
fn told(events: impl IntoIterator<Item = ObjectEvent>) -> (Vec<CollectorAction>, Vec<Looked>) {
    let file = written(events);
    let (mut reader, mut frame) = (Reader::new(&file[..]).unwrap(), Frame::default());
    let (mut steps, mut graphs) = (Vec::new(), Vec::new());
    while reader.read(&mut frame).unwrap() {
        steps.extend(frame.collections.steps.drain(..).map(|step| step.what));
        let looks = frame.collections.graphs.drain(..);
        graphs.extend(looks.map(|graph| (graph.arrivals.len(), graph.came, graph.gone)));
    }
    (steps, graphs)
}

fn on(list: u64, objects: &[u64]) -> Vec<ObjectEvent> {
    let list = std::iter::once(ObjectEvent::List(list));
    list.chain(objects.iter().map(|object| ObjectEvent::Born { object: *object, of: 1 })).collect()
}

fn collection(generation: u64, looks: Vec<ObjectEvent>, leaves: Vec<ObjectEvent>) -> Vec<ObjectEvent> {
    let mut events = vec![ObjectEvent::Collects(generation)];
    events.extend(looks);
    events.extend([ObjectEvent::GraphEnds, ObjectEvent::HasCollected(generation)]);
    events.extend(leaves);
    events.push(ObjectEvent::GraphEnds);
    events
}

fn lost(numbers: &[u64]) -> Vec<ObjectEvent> {
    numbers.iter().map(|number| ObjectEvent::Number(*number)).chain([ObjectEvent::CollectionLost]).collect()
}

/// A tuple's memory is kept when it dies: that it is on no list any more shows only in what the list holds.
#[test]
fn who_has_left_a_list_that_is_told_from_its_beginning_is_told_to_be_gone() {
    let [kept, last, new] = [0x7f00_0000_1000, 0x7f00_0000_2000, 0x7f00_0000_3000];
    let events = [
        collection(0, on(0, &[kept, last]), on(1, &[kept, last])),
        // What stood last before dies in this one, so the list is told from its beginning.
        collection(0, on(0, &[new]), on(1, &[last, new])),
        collection(1, [on(0, &[]), on(1, &[last, new])].concat(), on(2, &[last, new])),
    ];
    let (_, graphs) = told(events.concat());
    assert_eq!(graphs.into_iter().map(|(_, _, gone)| gone).collect::<Vec<_>>(), [vec![], vec![], vec![0]]);
}

/// Behind a collection that was not seen, each list is told whole when it is looked at, in its order.
#[test]
fn who_is_on_a_list_behind_an_unseen_collection_comes_anew() {
    let [a, b, c, d] = [0x7f00_0000_1000, 0x7f00_0000_2000, 0x7f00_0000_3000, 0x7f00_0000_4000];
    let events = [
        collection(0, on(0, &[a, b]), on(1, &[a, b])),
        lost(&[2, 3, 4, 500, 60]),
        // The list is told from its beginning, of which nothing is known but who came last.
        collection(0, on(0, &[c]), on(1, &[a, b, c])),
        collection(1, [on(0, &[d]), on(1, &[a, b, c])].concat(), on(2, &[a, b, c, d])),
        // From here on all are known.
        collection(2, [on(0, &[]), on(1, &[]), on(2, &[a, b, c, d])].concat(), on(2, &[a, b, c, d])),
    ];
    let (steps, graphs) = told(events.concat());
    let behind = Behind { counts: [2, 3, 4], long_lived: [500, 60], graphs: 1 };
    assert!(steps.contains(&CollectorAction::Lost(Some(behind))), "{steps:?}");
    let whole = vec![(1, 4), (1, 5), (1, 6)];
    assert_eq!(graphs, [(2, vec![], vec![]), (1, vec![], vec![]), (4, whole, vec![2]), (0, vec![], vec![])]);
}

/// Where nobody knows on which list who was, all come to the youngest one's, in the order in which the lists were put together.
#[test]
fn lists_that_were_put_together_behind_an_unseen_collection_are_told_as_one() {
    let [a, b, c] = [0x7f00_0000_1000, 0x7f00_0000_2000, 0x7f00_0000_3000];
    let events = [
        collection(1, [on(0, &[a, b]), on(1, &[])].concat(), on(2, &[a, b])),
        lost(&[]),
        collection(2, on(2 + TOGETHER, &[b, c, a]), on(2, &[b, c, a])),
        collection(2, on(2 + TOGETHER, &[b, c, a]), on(2, &[b, c, a])),
    ];
    let (steps, graphs) = told(events.concat());
    assert!(steps.contains(&CollectorAction::Lost(None)), "{steps:?}");
    assert_eq!(graphs, [(2, vec![], vec![]), (3, vec![], vec![]), (0, vec![], vec![])]);
}

/// What no collection had looked at may be frozen, and stands among others in the oldest list when that is over.
#[test]
fn who_stands_behind_an_unknown_one_comes_anew() {
    let [a, b, c, d] = [0x7f00_0000_1000, 0x7f00_0000_2000, 0x7f00_0000_3000, 0x7f00_0000_4000];
    let settings = |frozen| [0, 0, 0, 0, 0, frozen, 0].map(ObjectEvent::Number).to_vec();
    let events = [
        collection(2, [on(0, &[a, b]), on(1, &[]), on(2, &[])].concat(), on(2, &[a, b])),
        [settings(1), vec![ObjectEvent::Settings]].concat(),
        collection(2, [on(0, &[c]), on(1, &[]), on(2, &[])].concat(), on(2, &[c])),
        [settings(2), vec![ObjectEvent::Settings]].concat(),
        collection(2, [on(0, &[]), on(1, &[]), on(2, &[c, d, a, b])].concat(), on(2, &[c, d, a, b])),
    ];
    let (_, graphs) = told(events.concat());
    let came = vec![(2, 3), (2, 4), (2, 5)];
    assert_eq!(graphs, [(2, vec![], vec![]), (1, vec![], vec![]), (3, came, vec![0, 1])]);
}

/// What a collection that calls functions back looks at is told when they have returned.
#[test]
fn who_is_called_back_comes_before_what_is_looked_at() {
    let a = 0x7f00_0000_1000;
    let tail = |mut events: Vec<ObjectEvent>| {
        events.extend([ObjectEvent::GraphEnds, ObjectEvent::HasCollected(0)]);
        events.extend(on(1, &[a]));
        events.extend([ObjectEvent::GraphEnds, ObjectEvent::HasCalledBack]);
        events
    };
    let looks = tail([vec![ObjectEvent::CallsBack(0), ObjectEvent::Looks(0)], on(TOGETHER, &[a])].concat());
    let (steps, graphs) = told(looks);
    let expected = [
        CollectorAction::SafePoint,
        CollectorAction::CalledBack,
        CollectorAction::Over(None),
        CollectorAction::CalledBack,
    ];
    assert_eq!((&steps[..], graphs.len()), (&expected[..], 1));
    // It is foreseen twice; the second time it does.
    let foreseen = || [vec![ObjectEvent::MayLook(0)], on(0, &[a]), vec![ObjectEvent::GraphEnds]].concat();
    let mut events = vec![ObjectEvent::CallsBack(0)];
    for does in [false, true] {
        events.extend(foreseen());
        events.push(ObjectEvent::DoesCollect(does));
    }
    events.push(ObjectEvent::HasCollected(0));
    events.extend(on(1, &[a]));
    events.extend([ObjectEvent::GraphEnds, ObjectEvent::HasCalledBack]);
    let (steps, graphs) = told(events);
    assert_eq!((&steps[..], graphs), (&expected[..], vec![(1, vec![], vec![])]));
}

/// Who was seen behind the collector's decision comes first, dead or alive; what has come to the list since stands behind.
#[test]
fn who_can_be_reached_is_told_though_it_has_died_since() {
    use ObjectEvent::{BeginsToDie, DiesUntracked, GraphEnds, HasParted};
    let [lives, dies, garbage, off, vanishes] = [1, 2, 3, 4, 5].map(|at| 0x7f00_0000_0000 + at * 0x1000);
    let collected = |parted_of: u64| {
        let mut looks = on(0, &[lives, dies, garbage, off, vanishes]);
        looks.extend([GraphEnds, HasParted(parted_of)]);
        looks.extend(on(1, &[lives, dies, vanishes]));
        // Two that seem to die, and are brought back to life; one that was on no list, and is no garbage.
        looks.push(GraphEnds);
        looks.extend([garbage, lives, dies, dies].map(BeginsToDie));
        looks.extend([DiesUntracked(off), BeginsToDie(off)]);
        let events = collection(0, looks, on(1, &[garbage, lives]));
        let (file, mut frame) = (written(events), Frame::default());
        let mut reader = Reader::new(&file[..]).unwrap();
        assert!(reader.read(&mut frame).unwrap());
        let [collection] = &mut frame.observations.collections[..] else { panic!() };
        (std::mem::take(&mut collection.survivors), std::mem::take(&mut collection.dead))
    };
    assert_eq!(collected(0), (vec![0, 1, 4, 2], vec![1, 4]));
    // What was seen is of another collection than this: it says nothing.
    assert_eq!(collected(1), (vec![2, 0], vec![1]));
}
