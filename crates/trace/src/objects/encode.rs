//! Encoding a frame's objects.

use crate::frame::stream;
use crate::objects::fetched::check;
use crate::objects::recent::{RECENT, Recent};
use crate::objects::{
    Beginning, Begins, COUNT_LIMIT, Death, Edge, Fate, Object, STRANGER, Step, TypeInfo, TypeNumber,
};
use crate::varint;

/// Codes of inputs: up to here, one more reference to the object at that place of those named lately; as many follow for
/// one less.
pub(super) const ANOTHER: u8 = RECENT;
pub(super) const RARE: u8 = 2 * ANOTHER;
pub(super) const CALL: u8 = RARE;
pub(super) const DESCRIBED: u8 = RARE + 1;
pub(super) const BORN_HERE: u8 = RARE + 2;
pub(super) const BORN_IN_BLOCK: u8 = RARE + 3;
pub(super) const BORN_ELSEWHERE: u8 = RARE + 4;
pub(super) const DIES: u8 = RARE + 5;
pub(super) const UP: u8 = RARE + 6;
pub(super) const DOWN: u8 = RARE + 7;
pub(super) const SET: u8 = RARE + 8;
pub(super) const RETYPED: u8 = RARE + 9;
pub(super) const THREAD: u8 = RARE + 10;
pub(super) const RETURNED: u8 = RARE + 11;
pub(super) const FINALIZED: u8 = RARE + 12;
pub(super) const COLLECTION: u8 = RARE + 13;
pub(super) const COLLECTED: u8 = RARE + 14;
pub(super) const BORN_KEPT: u8 = RARE + 15;
pub(super) const INTERPRETER: u8 = RARE + 16;

/// Objects begin at multiples of this.
pub(super) const OFFSET: u32 = 16;
/// So many offsets have a place beside the number of the type.
pub(super) const OFFSETS: u32 = 4;

/// What is referred to.
pub(super) const IMMORTAL: u64 = 0;
pub(super) const OBJECT: u64 = 2;
pub(super) const OLD_STRANGER: u64 = 3;

/// Codes of what is fetched, and of observations.
pub(super) const BEGINS: u8 = 0;
pub(super) const ENDS: u8 = 1;
pub(super) const RELEASED: u8 = 2;
pub(super) const STEPS: u8 = 3;
/// Of what is fetched only.
pub(super) const STEPS_AFTER: u8 = 4;
pub(super) const GIVES: u8 = 5;
pub(super) const GOES_ON: u8 = 6;
pub(super) const PUT_OFF: u8 = 7;
pub(super) const TAKEN_UP: u8 = 8;
pub(super) const CALLS: u8 = 9;
/// Added to the code of what begins, or goes on: it has weak references with callbacks, and how many follows.
pub(super) const WITH_WEAK: u8 = 0x80;
/// Of observations only.
pub(super) const FINALIZER: u8 = 4;
pub(super) const CALLBACK: u8 = 5;
pub(super) const DEPOSITED: u8 = 6;
pub(super) const REUSES: u8 = 7;

/// Writes what is said of a type.
pub(crate) fn write_info(out: &mut Vec<u8>, info: &TypeInfo) {
    varint::write(out, info.flags.into());
    let bits = [info.finalizes, info.weakly_referable, info.class, info.foreign, info.finalizes_late];
    out.push(bits.iter().rev().fold(0, |bits, bit| bits << 1 | u8::from(*bit)));
    varint::write(out, info.object.map_or(0, |object| object.saturating_add(1)));
    for name in [&info.name, &info.family] {
        varint::write(out, name.len() as u64);
        out.extend_from_slice(name.as_bytes());
    }
}

/// Encodes the objects of a frame under construction.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    codes: Vec<u8>,
    births: Vec<u8>,
    names: Vec<u8>,
    types: Vec<u8>,
    values: Vec<u8>,
    blocks: Vec<u8>,
    fetched: Vec<u8>,
    edges: Vec<u8>,
    /// The counts of what the edges lead to, where those are no answers.
    given_counts: Vec<u8>,
    deaths: Vec<u8>,
    releases: Vec<u8>,
    counts: Vec<u8>,
    /// Calls of the memory manager since the last input of another kind.
    run: u64,
    recent: Recent,
    /// The last object that was named in the program's steps, that was referred to, that was observed.
    last: [Object; 3],
    /// The object whose death was the last to begin.
    last_death: Object,
    /// Whether counts are followed: then those of referents are answers.
    follows: bool,
    /// Where the last release by a death stands in the frame.
    last_release: u64,
    pub(crate) objects: u64,
    types_described: TypeNumber,
    strangers: u64,
    /// How much the frame holds, in numbers.
    pub(crate) size: usize,
}

impl Encoder {
    /// Of a trace in which counts are followed, or not.
    pub(crate) fn new(follows: bool) -> Self {
        Self { follows, ..Self::default() }
    }

    /// Begins a frame.
    pub(crate) fn begin_frame(&mut self) {
        let kept = (self.objects, self.types_described, self.strangers);
        for stream in [
            &mut self.codes,
            &mut self.births,
            &mut self.names,
            &mut self.types,
            &mut self.values,
            &mut self.blocks,
            &mut self.fetched,
            &mut self.edges,
            &mut self.given_counts,
            &mut self.deaths,
            &mut self.releases,
            &mut self.counts,
        ] {
            stream.clear();
        }
        self.recent.clear();
        (self.run, self.last, self.last_release, self.size) = (0, [kept.0; 3], 0, 0);
    }

    /// The encoded streams.
    pub(crate) fn streams(&self) -> [(u8, &[u8]); 12] {
        [
            (stream::OBJECTS, &self.codes),
            (stream::OBJECT_BIRTHS, &self.births),
            (stream::OBJECT_NAMES, &self.names),
            (stream::OBJECT_TYPES, &self.types),
            (stream::OBJECT_VALUES, &self.values),
            (stream::OBJECT_BLOCKS, &self.blocks),
            (stream::FETCHED_DEATHS, &self.fetched),
            (stream::FETCHED_EDGES, &self.edges),
            (stream::FETCHED_COUNTS, &self.given_counts),
            (stream::DEATHS, &self.deaths),
            (stream::RELEASES_BY_DEATH, &self.releases),
            (stream::COUNTS, &self.counts),
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
        // Calls behind the last input are not written.
        let run = usize::try_from(std::mem::take(&mut self.run)).unwrap_or(0);
        self.codes.resize(self.codes.len() + run, CALL);
        self.codes.push(code);
        self.size += 1;
    }

    pub(crate) fn described(&mut self, info: &TypeInfo) -> TypeNumber {
        self.input(DESCRIBED);
        write_info(&mut self.types, info);
        self.types_described += 1;
        self.types_described - 1
    }

    /// An object is born, when `blocks` blocks have been.
    pub(crate) fn born(&mut self, of: TypeNumber, begins: Begins, blocks: u64) -> Object {
        match begins {
            Begins::InBlock(block, offset) => {
                let distance = blocks.wrapping_sub(1).wrapping_sub(block);
                let place = offset / OFFSET;
                if distance == 0 && offset.is_multiple_of(OFFSET) && place < OFFSETS {
                    self.input(BORN_HERE);
                    varint::write(&mut self.births, u64::from(of) * u64::from(OFFSETS) + u64::from(place));
                } else {
                    self.input(BORN_IN_BLOCK);
                    varint::write(&mut self.births, of.into());
                    varint::write(&mut self.blocks, distance);
                    varint::write(&mut self.births, offset.into());
                }
            }
            Begins::Kept(items) => {
                self.input(BORN_KEPT);
                varint::write(&mut self.births, of.into());
                varint::write(&mut self.births, items);
            }
            Begins::Elsewhere => {
                self.input(BORN_ELSEWHERE);
                varint::write(&mut self.births, of.into());
            }
        }
        // (Without changes of counts nobody asks who was named lately.)
        if self.follows {
            self.recent.push(self.objects);
        }
        self.objects += 1;
        self.objects - 1
    }

    pub(crate) fn stranger(&mut self) -> Object {
        self.strangers += 1;
        STRANGER | (self.strangers - 1)
    }

    /// A step that has no function of its own.
    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Up(object) => self.counted(object, 0, UP),
            Step::Down(object) => self.counted(object, ANOTHER, DOWN),
            Step::Dies(object) => self.named(DIES, object),
            Step::Finalized(object) => self.named(FINALIZED, object),
            Step::Set(object, value) => {
                self.named(SET, object);
                varint::write(&mut self.values, value);
            }
            Step::Retyped(object, of) => {
                self.named(RETYPED, object);
                varint::write(&mut self.births, of.into());
            }
            Step::Thread(thread) => self.valued(THREAD, thread.into()),
            Step::Interpreter(number) => self.valued(INTERPRETER, number),
            Step::Collection(generation) => self.valued(COLLECTION, generation.into()),
            Step::Collected(found) => self.valued(COLLECTED, found),
            Step::Returned => self.input(RETURNED),
            Step::Block(_) | Step::Described | Step::Born { .. } => {}
        }
    }

    #[inline]
    fn counted(&mut self, object: Object, near: u8, far: u8) {
        if let Some(place) = self.recent.find(object) {
            self.input(near + place);
        } else {
            self.named(far, object);
            self.recent.push(object);
        }
    }

    fn named(&mut self, code: u8, object: Object) {
        self.input(code);
        name(&mut self.names, object, &mut self.last[0]);
    }

    fn valued(&mut self, code: u8, value: u64) {
        self.input(code);
        varint::write(&mut self.values, value);
    }

    /// Returns how many counts were observed.
    pub(crate) fn begins(&mut self, object: Object, beginning: &Beginning) -> u64 {
        let check = check(object, self.last_death);
        self.last_death = object;
        self.told(BEGINS, check, beginning)
    }

    /// The same behind a finalizer.
    pub(crate) fn goes_on(&mut self, beginning: &Beginning) -> u64 {
        self.told(GOES_ON, 0, beginning)
    }

    fn told(&mut self, code: u8, check: u8, beginning: &Beginning) -> u64 {
        let Beginning { edges, weak } = beginning;
        self.fetched.extend([if weak.is_empty() { code } else { code | WITH_WEAK }, check]);
        varint::write(&mut self.fetched, edges.len() as u64);
        if !weak.is_empty() {
            varint::write(&mut self.fetched, weak.len() as u64);
        }
        let mut counts = 0;
        for Edge { referent, count } in edges {
            let Some(referent) = *referent else {
                varint::write(&mut self.edges, IMMORTAL);
                continue;
            };
            name(&mut self.edges, referent, &mut self.last[1]);
            if !self.follows {
                varint::write(&mut self.given_counts, count.unwrap_or(0).into());
            } else if referent & STRANGER == 0 {
                varint::write(&mut self.counts, count.unwrap_or(COUNT_LIMIT).into());
                counts += 1;
            }
        }
        for reference in weak {
            name(&mut self.edges, *reference, &mut self.last[1]);
        }
        self.size += 1 + edges.len() + weak.len();
        counts
    }

    pub(crate) fn steps(&mut self, steps: u64, after: Option<u64>) {
        self.fetched.push(if after.is_some() { STEPS_AFTER } else { STEPS });
        varint::write(&mut self.fetched, steps);
        if let Some(after) = after {
            varint::write(&mut self.fetched, after);
        }
        self.size += 1;
    }

    pub(crate) fn gives(&mut self, at: u32) {
        self.fetched.push(GIVES);
        varint::write(&mut self.fetched, at.into());
        self.size += 1;
    }

    pub(crate) fn ends(&mut self, fate: Fate) {
        self.fetched.push(ended(fate));
        self.size += 1;
    }

    pub(crate) fn calls(&mut self) {
        self.fetched.push(CALLS);
        self.size += 1;
    }

    pub(crate) fn trashcan(&mut self, is_taken_up: bool) {
        self.fetched.push(if is_taken_up { TAKEN_UP } else { PUT_OFF });
        self.size += 1;
    }

    pub(crate) fn observe(&mut self, death: Death) {
        let code = match death {
            Death::Begins(_) => BEGINS,
            Death::Ends(_, fate) => ended(fate),
            Death::Finalizer(_) => FINALIZER,
            Death::Callback(_) => CALLBACK,
            Death::Deposited(_) => DEPOSITED,
            Death::Reuses(..) => REUSES,
        };
        self.deaths.push(code);
        name(&mut self.deaths, death.object(), &mut self.last[2]);
        if let Death::Reuses(_, block) = death {
            varint::write(&mut self.deaths, block);
        }
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
