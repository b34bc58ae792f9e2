//! Collections that call functions back, and what follows upon one that was not seen: of programs that are made up.

use trace::{Answer as Lies, Arrival, Begins, Behind, Domain, Ending, Frame, Reader, Told, TypeInfo, Writer};

use super::*;
use crate::stats::example::header;

/// A program that allocates containers, as a recorder would tell of it.
struct Program<'a> {
    writer: Writer<&'a mut Vec<u8>>,
    /// Those that no collection has looked at yet: what is told of them.
    young: Vec<Arrival>,
    objects: Object,
}

impl<'a> Program<'a> {
    fn new(file: &'a mut Vec<u8>) -> Self {
        let mut writer = Writer::new(file, &header("collections")).unwrap();
        writer.collection_type(&TypeInfo {
            name: "list".to_owned(),
            flags: 1 << 14,
            family: "list".to_owned(),
            ..TypeInfo::default()
        });
        Self { writer, young: Vec::new(), objects: 0 }
    }

    fn settings(&mut self, calls_back: bool) {
        self.does(CollectorAction::Settings(CollectorSettings {
            thresholds: [3, 10, 10],
            enabled: true,
            calls_back,
            ..CollectorSettings::default()
        }));
    }

    fn does(&mut self, what: CollectorAction) {
        self.writer.collector(&what);
    }

    fn allocates(&mut self, many: usize) {
        for _ in 0..many {
            let block = self.writer.allocate(Domain::Obj, 4096, false, Lies::Foreign).unwrap().unwrap();
            self.writer.container();
            self.young.push(Arrival { of: 0, begins: Begins::InBlock(block.block(), 16) });
        }
    }

    /// A collection looks at these: somebody holds each of them.
    fn looks(&mut self) {
        let arrivals = std::mem::take(&mut self.young);
        let first = self.objects;
        self.objects += arrivals.len() as Object;
        let told = |object| Told { object, count: Some(1), referents: Some(Vec::new()), ..Told::default() };
        let told = (first..self.objects).map(told).collect();
        self.writer.graph(&Graph { oldest: 2, arrivals, told, ..Graph::default() });
    }
}

/// What is predicted of a program in an interpreter of this version.
fn predicted(version: &str, program: impl FnOnce(&mut Program<'_>)) -> Vec<PredictedCollection> {
    let mut file = Vec::new();
    let mut writing = Program::new(&mut file);
    program(&mut writing);
    writing.writer.finish(Ending::Exited(0), 0).unwrap();
    let (mut reader, mut frame) = (Reader::new(&file[..]).unwrap(), Frame::default());
    let mut engine = CollectionEngine::new(version).unwrap();
    let (mut all, mut out) = (Vec::new(), CollectionPredictions::default());
    while reader.read(&mut frame).unwrap() {
        engine.run(frame.first_event, &frame.inputs, &mut frame.collections, &mut out);
        all.append(&mut out.collections);
    }
    all
}

fn begins(all: &[PredictedCollection]) -> Vec<(u64, Option<u8>)> {
    all.iter().map(|predicted| (predicted.event, predicted.generation)).collect()
}

/// What functions that are called back make is looked at, and counted; what they make of it due begins when they have returned.
#[test]
fn who_is_called_back_allocates_inside_of_the_collection() {
    let all = predicted("3.11.7", |program| {
        program.settings(true);
        program.allocates(4);
        // They make more than is too much.
        program.allocates(9);
        program.does(CollectorAction::CalledBack);
        program.looks();
        program.does(CollectorAction::Over(None));
        program.allocates(6);
        program.does(CollectorAction::CalledBack);
        program.settings(false);
        program.allocates(1);
        program.looks();
        program.does(CollectorAction::Over(None));
    });
    assert_eq!(begins(&all), [(4, Some(0)), (20, Some(0))]);
    assert_eq!(all[0].survivors, (0..13).collect::<Vec<_>>());
    assert_eq!((&all[0].numbers[2..5], &all[0].numbers[5..8]), (&[4, 0, 0][..], &[0, 1, 0][..]));
    assert_eq!(all[1].survivors, (13..20).collect::<Vec<_>>());
    assert_eq!(all[1].numbers[2..5], [7, 1, 0]);
}

/// Where nobody is called back, nothing that says that somebody has returned changes anything.
#[test]
fn a_collection_that_calls_nobody_looks_at_once() {
    let all = predicted("3.11.7", |program| {
        program.settings(false);
        program.does(CollectorAction::CalledBack);
        program.allocates(4);
        program.looks();
        program.does(CollectorAction::CalledBack);
        program.does(CollectorAction::Over(None));
    });
    assert_eq!(begins(&all), [(4, Some(0))]);
    assert_eq!(all[0].survivors, [0, 1, 2, 3]);
}

/// To 3.11 a collection that is not seen is predicted where it begins; what was fetched for it is what the next one looks at.
#[test]
fn what_was_fetched_for_an_unseen_collection_is_given_back() {
    let all = predicted("3.11.7", |program| {
        program.settings(false);
        program.allocates(4);
        program.does(CollectorAction::Lost(Some(Behind {
            counts: [1, 7, 2],
            long_lived: [400, 5],
            graphs: 0,
        })));
        program.allocates(3);
        program.looks();
        program.does(CollectorAction::Over(None));
    });
    assert_eq!(begins(&all), [(4, None), (7, Some(0))]);
    assert_eq!((all[0].unseen, all[1].unseen), (Some(Unseen::Recovered), None));
    assert_eq!(all[1].survivors, (0..7).collect::<Vec<_>>());
    assert_eq!(all[1].numbers[2..], [4, 7, 2, 0, 8, 2, 400, 5]);
}

/// From 3.12 on what is due behind it waits for a safe point; full collections are held back by what was told.
#[test]
fn what_is_due_behind_an_unseen_collection_is_armed() {
    let all = predicted("3.13.5", |program| {
        program.settings(false);
        program.does(CollectorAction::Lost(Some(Behind {
            counts: [4, 11, 11],
            long_lived: [400, 99],
            graphs: 0,
        })));
        program.does(CollectorAction::SafePoint);
        program.looks();
        program.does(CollectorAction::Over(None));
        program.does(CollectorAction::SafePoint);
    });
    assert_eq!(begins(&all), [(0, None), (0, Some(1)), (0, None)]);
    assert_eq!(all[1].numbers[5..], [0, 0, 12, 400, 99]);
}

/// Nothing is predicted behind one of which it is not told how things are behind it, until there is one of which it is.
#[test]
fn nothing_is_predicted_where_nothing_is_known() {
    let all = predicted("3.13.5", |program| {
        program.settings(true);
        program.allocates(4);
        program.does(CollectorAction::SafePoint);
        program.does(CollectorAction::Lost(None));
        program.does(CollectorAction::CalledBack);
        program.does(CollectorAction::Asks(2));
        program.looks();
        program.does(CollectorAction::Over(None));
        let behind = Behind { counts: [0, 0, 0], long_lived: [4, 0], graphs: 1 };
        program.does(CollectorAction::Lost(Some(behind)));
        program.settings(false);
        program.allocates(4);
        program.does(CollectorAction::Asks(0));
        program.looks();
        program.does(CollectorAction::Over(None));
        // More was fetched than there is: that cannot be.
        let behind = Behind { graphs: 9, ..behind };
        program.does(CollectorAction::Lost(Some(behind)));
        program.does(CollectorAction::Asks(0));
    });
    assert_eq!(begins(&all), [(4, None), (4, None), (8, Some(0)), (8, None)]);
    assert_eq!(
        all.iter().map(|predicted| predicted.unseen).collect::<Vec<_>>(),
        [Some(Unseen::Lost), Some(Unseen::Recovered), None, Some(Unseen::Lost)]
    );
    assert_eq!(all[2].survivors, [4, 5, 6, 7]);
}
