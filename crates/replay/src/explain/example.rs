//! A small trace of collections for tests: everything that is explained occurs, and few times.

use trace::{
    Answer, Arrival, Begins, Collection, CollectorAction, CollectorSettings, Domain, Ending, Graph, Lineage,
    LiveBlock, MARK_FINALIZING, Object, Permanent, Reader, Told, TypeInfo, TypeNumber, Writer,
};

use super::{Error, Options, Report};
use crate::stats::example::header;

const BASE: u64 = 0x7f00_0000_0000;

pub(crate) const NODE: TypeNumber = 0;
const DICT: TypeNumber = 1;
const LIST: TypeNumber = 2;
const LAST: TypeNumber = 3;
const OLD: TypeNumber = 4;

/// Writes a trace as a recorder would.
struct Program<'a> {
    writer: Writer<&'a mut Vec<u8>>,
    /// By object: where it is, until that is released.
    blocks: Vec<Option<LiveBlock>>,
    /// Who has come since the last collection.
    arrivals: Vec<Arrival>,
    told: Vec<Told>,
}

impl<'a> Program<'a> {
    fn new(file: &'a mut Vec<u8>) -> Self {
        let mut writer = Writer::new(file, &header("collections")).unwrap();
        writer.arena_requested(Some(BASE));
        for name in ["Node", "dict", "list", "Last", "Old \"kind\""] {
            writer.collection_type(&TypeInfo {
                name: name.to_owned(),
                flags: 1 << 14,
                finalizes: name == "Last",
                weakly_referable: true,
                class: !matches!(name, "dict" | "list"),
                foreign: false,
                finalizes_late: name.starts_with("Old"),
                family: name.to_owned(),
                object: None,
            });
        }
        Self { writer, blocks: Vec::new(), arrivals: Vec::new(), told: Vec::new() }
    }

    fn settings(&mut self, flags: u32) {
        self.writer.collector(&CollectorAction::Settings(CollectorSettings {
            thresholds: [5, 10, 10],
            enabled: true,
            flags,
            calls_back: false,
            permanent: Permanent::Unchanged,
        }));
    }

    /// A container that refers to these, and to which there are so many references in all.
    fn born(&mut self, of: TypeNumber, count: u64, referents: &[Object]) -> Object {
        let object = self.blocks.len() as Object;
        let size = 48 + 16 * u64::from(of);
        let block = self.writer.allocate(Domain::Obj, size, false, Answer::At(BASE)).unwrap().unwrap();
        self.writer.container();
        self.arrivals.push(Arrival { of, begins: Begins::InBlock(block.block(), 16) });
        self.blocks.push(Some(block));
        self.told.push(Told {
            object,
            count: Some(count),
            referents: Some(referents.to_vec()),
            ..Told::default()
        });
        object
    }

    /// Something else happens, so often.
    fn works(&mut self, events: u32) {
        for _ in 0..events {
            self.writer.mark(9).unwrap();
        }
    }

    /// A collection looks at what there is, and is over when these have died. It is observed as it was predicted.
    fn collects(
        &mut self,
        what: &CollectorAction,
        mut observed: Collection,
        dead: &[Object],
        runs_code: bool,
    ) {
        self.writer.collector(what);
        observed.event = self.writer.next_event();
        let (arrivals, told) = (std::mem::take(&mut self.arrivals), std::mem::take(&mut self.told));
        self.writer.graph(&Graph { oldest: 2, arrivals, told, ..Graph::default() });
        for &object in dead {
            let block = self.blocks[usize::try_from(object).unwrap()].take().unwrap();
            self.writer.release(block, BASE, Domain::Obj).unwrap();
        }
        observed.dead = dead.to_vec();
        let survivors = runs_code.then(|| observed.survivors.clone());
        self.writer.collector(&CollectorAction::Over(survivors));
        self.writer.collected(&observed);
    }
}

/// The trace's bytes. If something is `wrong`, the second collection did not do what is predicted.
pub(crate) fn trace(wrong: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut program = Program::new(&mut file);
    program.settings(0);
    // Two pairs, a list that is in itself and has another one; a list that is held from outside, with somebody behind it.
    for first in [0, 2] {
        program.born(NODE, 1, &[first + 1]);
        program.born(DICT, 1, &[first]);
    }
    program.born(LIST, 1, &[4, 5]);
    program.born(LIST, 1, &[]);
    program.works(3);
    program.born(LIST, 1, &[7]);
    program.born(DICT, 1, &[8]);
    program.born(NODE, 1, &[]);
    let observed = Collection {
        generation: Some(0),
        candidates: 9,
        collected: 6,
        counts_before: [9, 0, 0],
        counts: [0, 1, 0],
        survivors: vec![6, 7, 8],
        nanoseconds: Some(12_500_000),
        ..Collection::default()
    };
    program.collects(&CollectorAction::SafePoint, observed, &[0, 1, 2, 3, 4, 5], false);
    // One that its finalizer saves, one that has a finalizer which nobody runs, and a pair that is old by then.
    program.works(20);
    program.born(LAST, 1, &[9]);
    program.born(OLD, 1, &[10]);
    let observed = Collection {
        generation: Some(2),
        candidates: 5,
        uncollectable: 1,
        counts_before: [2, 1, 0],
        long_lived: [if wrong { 7 } else { 3 }, 0],
        survivors: vec![6, 7, 8, 9, 10],
        ..Collection::default()
    };
    program.collects(&CollectorAction::Asks(2), observed, &[], true);
    // Garbage is kept from here on. Nothing is due at the safe point before that.
    program.settings(32);
    program.works(10);
    program.born(LIST, 1, &[11]);
    let observed = Collection {
        generation: Some(0),
        candidates: 1,
        collected: 1,
        counts_before: [1, 0, 0],
        counts: [0, 1, 0],
        long_lived: [if wrong { 7 } else { 3 }, 0],
        survivors: vec![11],
        ..Collection::default()
    };
    program.collects(&CollectorAction::Asks(0), observed, &[], false);
    // Nobody looks at this one.
    program.born(NODE, 1, &[]);
    program.writer.mark(MARK_FINALIZING).unwrap();
    let block = program.blocks[8].take().unwrap();
    program.writer.release(block, BASE, Domain::Obj).unwrap();
    program.writer.collector(&CollectorAction::Lost(None));
    program.writer.collected(&Collection { event: program.writer.next_event(), ..Collection::default() });
    program.writer.finish(Ending::Exited(0), 2_500_000).unwrap();
    file
}

/// What is said of a trace in memory.
pub(crate) fn report_of(bytes: &[u8], options: &Options) -> Result<Report, Error> {
    let trace = Lineage::new(Reader::new(bytes).unwrap(), |_| unreachable!()).unwrap();
    super::of(trace, options, |_| {})
}
