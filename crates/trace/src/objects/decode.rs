//! Decoding a frame's objects.

use crate::error::Malformed;
use crate::event::PackedInput;
use crate::frame::stream;
use crate::inputs::Numbers;
use crate::objects::encode::{
    ANOTHER, BEGINS, BORN_ELSEWHERE, BORN_HERE, BORN_IN_BLOCK, BORN_KEPT, CALL, CALLBACK, CALLS, COLLECTED,
    COLLECTION, DEPOSITED, DESCRIBED, DIES, DOWN, ENDS, FINALIZED, FINALIZER, GIVES, GOES_ON, IMMORTAL,
    INTERPRETER, OBJECT, OFFSET, OFFSETS, OLD_STRANGER, PUT_OFF, RARE, RELEASED, RETURNED, RETYPED, REUSES,
    SET, STEPS, STEPS_AFTER, TAKEN_UP, THREAD, UP, WITH_WEAK,
};
use crate::objects::fetched::{Item, Told};
use crate::objects::recent::Recent;
use crate::objects::{Begins, Death, Edge, Fate, Object, ObjectFrame, STRANGER, Step, TypeInfo, TypeNumber};
use crate::varint;

/// How many objects and types there are before a frame, and after it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) objects: u64,
    pub(crate) types: u64,
    pub(crate) deaths: u64,
    pub(crate) counts: u64,
    pub(crate) changes: u64,
    pub(crate) edges: u64,
    /// Whether counts are followed.
    pub(crate) follows: bool,
}

/// Decodes what a frame says of objects, among its `inputs`; the first of them that is a birth is block number `blocks`.
pub(crate) fn decode<'a>(
    bytes: impl Fn(u8) -> &'a [u8],
    inputs: &[PackedInput],
    blocks: u64,
    known: &mut Known,
    out: &mut ObjectFrame,
) -> Result<(), Malformed> {
    let numbers = |id| Numbers::new(bytes(id), id);
    // Which of the frame's inputs are the program's own.
    let mut hidden = vec![false; inputs.len()];
    let mut releases = numbers(stream::RELEASES_BY_DEATH);
    let mut at = 0_u64;
    while !releases.is_at_end() {
        at = at.checked_add(releases.number()?).ok_or(releases.out_of_range())?;
        let place =
            usize::try_from(at).ok().and_then(|at| hidden.get_mut(at)).ok_or(releases.out_of_range())?;
        *place = true;
    }
    let first = known.objects;
    let mut steps = Steps {
        calls: inputs.iter().zip(&hidden).filter(|(_, hidden)| !**hidden).map(|(input, _)| *input),
        blocks,
        births: numbers(stream::OBJECT_BIRTHS),
        names: numbers(stream::OBJECT_NAMES),
        types: numbers(stream::OBJECT_TYPES),
        values: numbers(stream::OBJECT_VALUES),
        distances: numbers(stream::OBJECT_BLOCKS),
        recent: Recent::default(),
        last: first,
        known,
    };
    for &code in bytes(stream::OBJECTS) {
        let step = steps.step(code, &mut out.types)?;
        out.steps.push(step);
    }
    while let Some(call) = steps.call() {
        out.steps.push(call);
    }
    for stream in [&steps.births, &steps.names, &steps.types, &steps.values, &steps.distances] {
        stream.end()?;
    }
    let edges = Edges { names: numbers(stream::FETCHED_EDGES), counts: numbers(stream::FETCHED_COUNTS) };
    fetched(numbers(stream::FETCHED_DEATHS), edges, first, known, out)?;
    observed(numbers(stream::DEATHS), first, known.objects, out)?;
    let mut counts = numbers(stream::COUNTS);
    while !counts.is_at_end() {
        out.counts.push(u32::try_from(counts.number()?).map_err(|_| counts.out_of_range())?);
    }
    let changes = out.steps.iter().filter(|step| matches!(step, Step::Up(_) | Step::Down(_) | Step::Set(..)));
    known.changes += changes.count() as u64;
    known.edges += out.fetched.edges() as u64;
    known.deaths += out.deaths.len() as u64;
    known.counts += out.counts.len() as u64;
    Ok(())
}

/// The program's steps, as they are decoded.
struct Steps<'a, C> {
    calls: C,
    /// How many blocks were born.
    blocks: u64,
    births: Numbers<'a>,
    names: Numbers<'a>,
    types: Numbers<'a>,
    values: Numbers<'a>,
    distances: Numbers<'a>,
    recent: Recent,
    /// The object that was named last.
    last: Object,
    known: &'a mut Known,
}

impl<C: Iterator<Item = PackedInput>> Steps<'_, C> {
    fn call(&mut self) -> Option<Step> {
        let input = self.calls.next()?;
        self.blocks += u64::from(input.is_birth());
        Some(Step::Block(input))
    }

    #[inline]
    fn step(&mut self, code: u8, types: &mut Vec<TypeInfo>) -> Result<Step, Malformed> {
        let unknown = Malformed::Code { id: stream::OBJECTS, code };
        if code < RARE {
            let (is_down, at) = if code < ANOTHER { (false, code) } else { (true, code - ANOTHER) };
            let object = self.recent.get(at.into()).ok_or(unknown)?;
            return Ok(if is_down { Step::Down(object) } else { Step::Up(object) });
        }
        Ok(match code {
            CALL => return self.call().ok_or(unknown),
            DESCRIBED => {
                types.push(read_info(&mut self.types, self.known.objects)?);
                self.known.types += 1;
                Step::Described
            }
            BORN_HERE => {
                let number = self.births.number()?;
                let place = u32::try_from(number % u64::from(OFFSETS)).unwrap_or_default();
                let of = self.type_numbered(number / u64::from(OFFSETS))?;
                let block = self.blocks.checked_sub(1).ok_or(self.births.out_of_range())?;
                self.born(of, Begins::InBlock(block, place * OFFSET))
            }
            BORN_IN_BLOCK => {
                let number = self.births.number()?;
                let of = self.type_numbered(number)?;
                let distance = self.distances.number()?;
                let block = self.blocks.checked_sub(1).and_then(|newest| newest.checked_sub(distance));
                let block = block.ok_or(self.distances.out_of_range())?;
                let offset = u32::try_from(self.births.number()?).map_err(|_| self.births.out_of_range())?;
                self.born(of, Begins::InBlock(block, offset))
            }
            BORN_KEPT => {
                let number = self.births.number()?;
                let of = self.type_numbered(number)?;
                let items = self.births.number()?;
                self.born(of, Begins::Kept(items))
            }
            BORN_ELSEWHERE => {
                let number = self.births.number()?;
                let of = self.type_numbered(number)?;
                self.born(of, Begins::Elsewhere)
            }
            DIES => Step::Dies(self.object()?),
            UP | DOWN => {
                let object = self.object()?;
                self.recent.push(object);
                if code == UP { Step::Up(object) } else { Step::Down(object) }
            }
            SET => Step::Set(self.object()?, self.values.number()?),
            RETYPED => {
                let object = self.object()?;
                let number = self.births.number()?;
                Step::Retyped(object, self.type_numbered(number)?)
            }
            THREAD => {
                Step::Thread(u32::try_from(self.values.number()?).map_err(|_| self.values.out_of_range())?)
            }
            INTERPRETER => Step::Interpreter(self.values.number()?),
            RETURNED => Step::Returned,
            FINALIZED => Step::Finalized(self.object()?),
            COLLECTION => {
                Step::Collection(u8::try_from(self.values.number()?).map_err(|_| self.values.out_of_range())?)
            }
            COLLECTED => Step::Collected(self.values.number()?),
            _ => return Err(unknown),
        })
    }

    fn type_numbered(&self, number: u64) -> Result<TypeNumber, Malformed> {
        let of = u32::try_from(number).ok().filter(|of| u64::from(*of) < self.known.types);
        of.ok_or(self.births.out_of_range())
    }

    fn born(&mut self, of: TypeNumber, begins: Begins) -> Step {
        if self.known.follows {
            self.recent.push(self.known.objects);
        }
        self.known.objects += 1;
        Step::Born { of, begins }
    }

    fn object(&mut self) -> Result<Object, Malformed> {
        object(&mut self.names, &mut self.last, self.known.objects)
    }
}

/// Reads what is said of a type, when so many objects were born.
pub(crate) fn read_info(types: &mut Numbers<'_>, born: u64) -> Result<TypeInfo, Malformed> {
    let flags = u32::try_from(types.number()?).map_err(|_| types.out_of_range())?;
    let bits = types.byte()?;
    let object = types.number()?.checked_sub(1);
    if object.is_some_and(|object| object >= born) {
        return Err(types.out_of_range());
    }
    let mut name = || {
        let length = usize::try_from(types.number()?).map_err(|_| types.out_of_range())?;
        Ok::<_, Malformed>(String::from_utf8_lossy(types.bytes(length)?).into_owned())
    };
    let (name, family) = (name()?, name()?);
    let [finalizes, weakly_referable, class, foreign, finalizes_late] =
        [0, 1, 2, 3, 4].map(|bit| bits >> bit & 1 != 0);
    Ok(TypeInfo { name, flags, finalizes, weakly_referable, class, foreign, finalizes_late, family, object })
}

/// An object, named relative to the one before; `born` of them are.
fn object(numbers: &mut Numbers<'_>, last: &mut Object, born: u64) -> Result<Object, Malformed> {
    named(numbers, last, born)?.ok_or(numbers.out_of_range())
}

/// The same, or `None` for one that is immortal.
fn named(numbers: &mut Numbers<'_>, last: &mut Object, born: u64) -> Result<Option<Object>, Malformed> {
    let number = numbers.number()?;
    match number & 3 {
        IMMORTAL if number == IMMORTAL => Ok(None),
        OBJECT => {
            let object = last.checked_add_signed(varint::unfold(number >> 2)).filter(|object| *object < born);
            *last = object.ok_or(numbers.out_of_range())?;
            Ok(Some(*last))
        }
        OLD_STRANGER => Ok(Some(STRANGER | number >> 2)),
        _ => Err(numbers.out_of_range()),
    }
}

/// What dying objects refer to.
struct Edges<'a> {
    names: Numbers<'a>,
    counts: Numbers<'a>,
}

fn fetched(
    mut numbers: Numbers<'_>,
    mut edges: Edges<'_>,
    first: u64,
    known: &Known,
    out: &mut ObjectFrame,
) -> Result<(), Malformed> {
    let mut last = first;
    while !numbers.is_at_end() {
        let code = numbers.byte()?;
        let item = match code {
            STEPS => Item::Steps(numbers.number()?, None),
            STEPS_AFTER => {
                let steps = numbers.number()?;
                Item::Steps(steps, Some(numbers.number()?))
            }
            GIVES => Item::Gives(u32::try_from(numbers.number()?).map_err(|_| numbers.out_of_range())?),
            ENDS => Item::Ends(Fate::Kept),
            RELEASED => Item::Ends(Fate::Released),
            CALLS => Item::Calls,
            PUT_OFF => Item::Deposited,
            TAKEN_UP => Item::TakenUp,
            _ => {
                let what = code & !WITH_WEAK;
                if what != BEGINS && what != GOES_ON {
                    return Err(Malformed::Code { id: stream::FETCHED_DEATHS, code });
                }
                let told = beginning(code, &mut numbers, &mut edges, &mut last, known, out)?;
                if what == BEGINS { Item::Begins(told) } else { Item::GoesOn(told) }
            }
        };
        out.fetched.push(item);
    }
    edges.names.end()?;
    edges.counts.end()
}

fn beginning(
    code: u8,
    numbers: &mut Numbers<'_>,
    edges: &mut Edges<'_>,
    last: &mut Object,
    known: &Known,
    out: &mut ObjectFrame,
) -> Result<Told, Malformed> {
    let check = numbers.byte()?;
    let mut small = || u32::try_from(numbers.number()?).map_err(|_| numbers.out_of_range());
    let many = small()?;
    let weak = if code & WITH_WEAK != 0 {
        u32::try_from(numbers.number()?).map_err(|_| numbers.out_of_range())?
    } else {
        0
    };
    // Each takes a byte at least: as many as there are not make no large vector.
    for _ in 0..many {
        let referent = named(&mut edges.names, last, known.objects)?;
        let count = if referent.is_some() && !known.follows { edges.counts.number()? } else { 0 };
        let count = u32::try_from(count).map_err(|_| edges.counts.out_of_range())?;
        out.fetched.push_edge(Edge { referent, count: (count > 0).then_some(count) });
    }
    for _ in 0..weak {
        let reference = object(&mut edges.names, last, known.objects)?;
        out.fetched.push_weak(reference);
    }
    Ok(Told { check, edges: many, weak })
}

fn observed(mut numbers: Numbers<'_>, first: u64, born: u64, out: &mut ObjectFrame) -> Result<(), Malformed> {
    let mut last = first;
    while !numbers.is_at_end() {
        let code = numbers.byte()?;
        let object = object(&mut numbers, &mut last, born)?;
        out.deaths.push(match code {
            BEGINS => Death::Begins(object),
            ENDS => Death::Ends(object, Fate::Kept),
            RELEASED => Death::Ends(object, Fate::Released),
            FINALIZER => Death::Finalizer(object),
            CALLBACK => Death::Callback(object),
            DEPOSITED => Death::Deposited(object),
            REUSES => Death::Reuses(object, numbers.number()?),
            code => return Err(Malformed::Code { id: stream::DEATHS, code }),
        });
    }
    Ok(())
}
