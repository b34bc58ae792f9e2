//! Encoding a frame's objects.

use crate::frame::stream;
use crate::objects::{Beginning, Begins, Death, Edge, Fate, Object, STRANGER, TypeInfo, TypeNumber, check};
use crate::varint;

/// Codes of inputs.
pub(super) const DESCRIBED: u8 = 0;
pub(super) const BORN_IN_BLOCK: u8 = 1;
pub(super) const BORN_ELSEWHERE: u8 = 2;
pub(super) const DIES: u8 = 3;

/// What is referred to.
pub(super) const IMMORTAL: u64 = 0;
pub(super) const OBJECT: u64 = 2;
pub(super) const OLD_STRANGER: u64 = 3;

/// Codes of what is fetched, and of observations.
pub(super) const BEGINS: u8 = 0;
pub(super) const ENDS: u8 = 1;
pub(super) const RELEASED: u8 = 2;
pub(super) const STEPS: u8 = 3;

/// Encodes the objects of a frame under construction.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    codes: Vec<u8>,
    runs: Vec<u8>,
    births: Vec<u8>,
    dying: Vec<u8>,
    types: Vec<u8>,
    fetched: Vec<u8>,
    edges: Vec<u8>,
    deaths: Vec<u8>,
    releases: Vec<u8>,
    /// Calls of the memory manager since the last input.
    run: u64,
    /// The last object that died for no known reason, that was referred to, that was observed.
    last: [Object; 3],
    /// Where the last release by a death stands in the frame.
    last_release: u64,
    pub(crate) objects: u64,
    types_described: TypeNumber,
    strangers: u64,
    /// How much the frame holds, in numbers.
    pub(crate) size: usize,
}

impl Encoder {
    /// Begins a frame.
    pub(crate) fn begin_frame(&mut self) {
        let kept = (self.objects, self.types_described, self.strangers);
        for stream in [
            &mut self.codes,
            &mut self.runs,
            &mut self.births,
            &mut self.dying,
            &mut self.types,
            &mut self.fetched,
            &mut self.edges,
            &mut self.deaths,
            &mut self.releases,
        ] {
            stream.clear();
        }
        (self.run, self.last, self.last_release, self.size) = (0, [kept.0; 3], 0, 0);
    }

    /// The encoded streams.
    pub(crate) fn streams(&self) -> [(u8, &[u8]); 9] {
        [
            (stream::OBJECTS, &self.codes),
            (stream::OBJECT_RUNS, &self.runs),
            (stream::OBJECT_BIRTHS, &self.births),
            (stream::OBJECT_DEATHS, &self.dying),
            (stream::OBJECT_TYPES, &self.types),
            (stream::FETCHED_DEATHS, &self.fetched),
            (stream::FETCHED_EDGES, &self.edges),
            (stream::DEATHS, &self.deaths),
            (stream::RELEASES_BY_DEATH, &self.releases),
        ]
    }

    /// A call of the memory manager that the program made.
    pub(crate) fn block(&mut self) {
        self.run += 1;
    }

    /// The last call was a release by a death, and is the frame's event of this number.
    pub(crate) fn released_by_death(&mut self, at: u64) {
        self.run -= 1;
        varint::write(&mut self.releases, at - self.last_release);
        self.last_release = at;
    }

    fn input(&mut self, code: u8) {
        self.codes.push(code);
        varint::write(&mut self.runs, std::mem::take(&mut self.run));
        self.size += 1;
    }

    pub(crate) fn described(&mut self, info: &TypeInfo) -> TypeNumber {
        self.input(DESCRIBED);
        varint::write(&mut self.types, info.flags.into());
        self.types.push(u8::from(info.finalizes) | u8::from(info.weakly_referable) << 1);
        varint::write(&mut self.types, info.object.map_or(0, |object| object.saturating_add(1)));
        varint::write(&mut self.types, info.name.len() as u64);
        self.types.extend_from_slice(info.name.as_bytes());
        self.types_described += 1;
        self.types_described - 1
    }

    /// An object is born, when `blocks` blocks have been.
    pub(crate) fn born(&mut self, of: TypeNumber, begins: Begins, blocks: u64) -> Object {
        match begins {
            Begins::InBlock(block, offset) => {
                self.input(BORN_IN_BLOCK);
                varint::write(&mut self.births, of.into());
                varint::write(&mut self.births, blocks.wrapping_sub(1).wrapping_sub(block));
                varint::write(&mut self.births, offset.into());
            }
            Begins::Elsewhere => {
                self.input(BORN_ELSEWHERE);
                varint::write(&mut self.births, of.into());
            }
        }
        self.objects += 1;
        self.objects - 1
    }

    pub(crate) fn stranger(&mut self) -> Object {
        self.strangers += 1;
        STRANGER | (self.strangers - 1)
    }

    pub(crate) fn dies(&mut self, object: Object) {
        self.input(DIES);
        name(&mut self.dying, object, &mut self.last[0]);
    }

    pub(crate) fn begins(&mut self, object: Object, beginning: &Beginning) {
        self.fetched.extend([BEGINS, check(object)]);
        varint::write(&mut self.fetched, beginning.choice.map_or(0, |choice| u64::from(choice) + 1));
        varint::write(&mut self.fetched, beginning.length.map_or(0, |length| length.saturating_add(1)));
        varint::write(&mut self.fetched, beginning.edges.len() as u64);
        for edge in &beginning.edges {
            self.edge(*edge);
        }
        self.size += 1 + beginning.edges.len();
    }

    fn edge(&mut self, edge: Edge) {
        let Some(referent) = edge.referent else { return varint::write(&mut self.edges, IMMORTAL) };
        name(&mut self.edges, referent, &mut self.last[1]);
        varint::write(&mut self.edges, edge.count.unwrap_or(0).into());
    }

    pub(crate) fn steps(&mut self, object: Object, steps: u64) {
        self.fetched.extend([STEPS, check(object)]);
        varint::write(&mut self.fetched, steps);
        self.size += 1;
    }

    pub(crate) fn ends(&mut self, object: Object, fate: Fate) {
        self.fetched.extend([ended(fate), check(object)]);
        self.size += 1;
    }

    pub(crate) fn observe(&mut self, death: Death) {
        let (code, object) = match death {
            Death::Begins(object) => (BEGINS, object),
            Death::Ends(object, fate) => (ended(fate), object),
        };
        self.deaths.push(code);
        name(&mut self.deaths, object, &mut self.last[2]);
        self.size += 1;
    }
}

fn ended(fate: Fate) -> u8 {
    match fate {
        Fate::Kept => ENDS,
        Fate::Released => RELEASED,
    }
}

/// Names an object relative to the one before.
fn name(out: &mut Vec<u8>, object: Object, last: &mut Object) {
    if object & STRANGER == 0 {
        varint::write(
            out,
            OBJECT + (varint::fold(object.cast_signed().wrapping_sub(last.cast_signed())) << 2),
        );
        *last = object;
    } else {
        varint::write(out, OLD_STRANGER + ((object & !STRANGER) << 2));
    }
}
