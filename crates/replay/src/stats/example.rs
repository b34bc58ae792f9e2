//! A small trace of objects for tests: everything that can be counted occurs, and few times.

use trace::{
    Answer, Beginning, Begins, Block, Death, Domain, Edge, Ending, Fate, Header, Lineage, LiveBlock,
    MARK_FINALIZING, Object, Reader, Step, TypeInfo, TypeNumber, Writer,
};

use super::{Curve, Error, Report};

const BASE: u64 = 0x7f00_0000_0000;

pub(crate) fn header(tier: &str) -> Header {
    let header = r#"{"recorder": "test", "started": 0, "program": {"name": "example"},
        "interpreter": {"implementation": "CPython", "version": "3.13.5", "build": "3.13.5"},
        "machine": {"os": "linux", "arch": "x86_64", "processors": 1},
        "allocator": {"alignment": 16, "small_limit": 512, "pool_size": 16384, "arena_size": 1048576,
                      "empty_arenas": "keep-last"},
        "tier": "TIER", "tier_reason": ""}"#;
    serde_json::from_str(&header.replace("TIER", tier)).unwrap()
}

/// Writes a trace as a recorder would.
struct Program<'a> {
    writer: Writer<&'a mut Vec<u8>>,
    /// Where each block is said to lie, which nobody looks at here.
    blocks: Vec<LiveBlock>,
}

impl<'a> Program<'a> {
    fn new(file: &'a mut Vec<u8>) -> Self {
        let mut writer = Writer::new(file, &header("objects")).unwrap();
        writer.arena_requested(Some(BASE));
        Self { writer, blocks: Vec::new() }
    }

    fn of_type(&mut self, name: &str, finalizes: bool) -> TypeNumber {
        let info = TypeInfo {
            name: name.to_owned(),
            flags: 0,
            finalizes,
            weakly_referable: false,
            class: finalizes,
            foreign: false,
            finalizes_late: false,
            family: name.to_owned(),
            object: None,
        };
        self.writer.described(&info).unwrap()
    }

    fn allocate(&mut self, size: u64) -> Block {
        let live = self.writer.allocate(Domain::Obj, size, false, Answer::At(BASE)).unwrap().unwrap();
        self.blocks.push(live);
        live.block()
    }

    fn born(&mut self, of: TypeNumber, size: u64) -> (Object, Block) {
        let block = self.allocate(size);
        (self.reborn(of, block), block)
    }

    fn reborn(&mut self, of: TypeNumber, block: Block) -> Object {
        self.writer.born(of, Begins::InBlock(block, 0)).unwrap()
    }

    fn begins(&mut self, object: Object, is_inside: bool, referents: &[Object]) {
        let edges = referents.iter().map(|object| Edge { referent: Some(*object), count: Some(1) }).collect();
        self.writer.begins(object, &Beginning { edges, ..Beginning::default() }).unwrap();
        if is_inside {
            self.writer.observed(Death::Begins(object));
        }
    }

    /// A death that is told, and what is referred to by who dies.
    fn dies(&mut self, object: Object, is_inside: bool, referents: &[Object]) {
        self.writer.step(Step::Dies(object)).unwrap();
        if is_inside {
            self.writer.steps(1, None);
        }
        self.begins(object, false, referents);
    }

    fn ends(&mut self, object: Object, block: Option<Block>) {
        let fate = if block.is_some() { Fate::Released } else { Fate::Kept };
        self.writer.ends(fate);
        self.writer.observed(Death::Ends(object, fate));
        if let Some(block) = block {
            let live = self.blocks[usize::try_from(block).unwrap()];
            self.writer.release_by_death(live, BASE, Domain::Obj).unwrap();
        }
    }
}

/// The trace's bytes.
pub(crate) fn trace() -> Vec<u8> {
    let mut file = Vec::new();
    let mut program = Program::new(&mut file);
    let [list, str_] = ["list", "str"].map(|name| program.of_type(name, false));
    let [hider, last] =
        [("Hider, \"quoted\"", false), ("Last", true)].map(|(name, f)| program.of_type(name, f));
    // A list of two strings, with an array that is no object, and some work. All die at once.
    let (first, first_in) = program.born(list, 56);
    let (one, one_in) = program.born(str_, 50);
    let (two, two_in) = program.born(str_, 60);
    let array = program.allocate(16);
    let grown = program.writer.resize(
        program.blocks[usize::try_from(array).unwrap()],
        BASE,
        Domain::Obj,
        2000,
        Answer::Foreign,
    );
    program.blocks[usize::try_from(array).unwrap()] = grown.unwrap();
    program.dies(first, false, &[one, two]);
    program.begins(one, true, &[]);
    program.ends(one, Some(one_in));
    program.begins(two, true, &[]);
    program.ends(two, Some(two_in));
    program.ends(first, None);
    // Its block was kept, for this one, which is described anew (the type died, say).
    let list = program.of_type("list", false);
    let second = program.reborn(list, first_in);
    // What hides its reference.
    let (third, third_in) = program.born(hider, 40);
    let (hidden, hidden_in) = program.born(str_, 100);
    program.dies(third, false, &[]);
    program.dies(hidden, true, &[]);
    program.ends(hidden, Some(hidden_in));
    program.ends(third, Some(third_in));
    // A finalizer that makes a string and lets it go, and brings its object back to life; which then dies.
    let (fourth, fourth_in) = program.born(last, 48);
    program.dies(fourth, false, &[second]);
    let (made, made_in) = program.born(str_, 70);
    program.writer.steps(2, None);
    program.dies(made, true, &[]);
    program.ends(made, Some(made_in));
    program.ends(fourth, None);
    program.dies(fourth, false, &[second]);
    program.dies(second, true, &[]);
    program.ends(second, Some(first_in));
    program.ends(fourth, Some(fourth_in));
    // One was born before, one dies at exit, one outlives it, in no block that is known.
    let stranger = program.writer.stranger();
    program.dies(stranger, false, &[]);
    program.ends(stranger, None);
    let (fifth, fifth_in) = program.born(str_, 80);
    program.writer.born(str_, Begins::Elsewhere).unwrap();
    program.writer.mark(MARK_FINALIZING).unwrap();
    program.dies(fifth, false, &[]);
    program.ends(fifth, Some(fifth_in));
    program.writer.finish(Ending::Exited(0), 0).unwrap();
    file
}

/// A trace in which a death was observed that does not come of what the program did: at once, or when all is over.
pub(crate) fn wrong(at_once: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut program = Program::new(&mut file);
    let of = program.of_type("str", false);
    let [(one, one_in), (two, two_in)] = [50, 60].map(|size| program.born(of, size));
    if at_once {
        program.writer.observed(Death::Begins(two));
    }
    program.dies(one, false, &[]);
    program.ends(one, Some(one_in));
    if !at_once {
        program.writer.observed(Death::Ends(two, Fate::Released));
        let live = program.blocks[usize::try_from(two_in).unwrap()];
        program.writer.release_by_death(live, BASE, Domain::Obj).unwrap();
    }
    program.writer.finish(Ending::Exited(0), 0).unwrap();
    file
}

/// What is said of a trace in memory.
pub(crate) fn report_of(bytes: &[u8], top: usize) -> Result<(Report, Curve), Error> {
    let trace = Lineage::new(Reader::new(bytes).unwrap(), |_| unreachable!()).unwrap();
    super::of(trace, "example.viv".as_ref(), top, |_| {})
}
