//! Decoding a frame's objects.

use crate::error::Malformed;
use crate::event::PackedInput;
use crate::frame::stream;
use crate::inputs::Numbers;
use crate::objects::encode::{
    BEGINS, BORN_ELSEWHERE, BORN_IN_BLOCK, DESCRIBED, DIES, ENDS, IMMORTAL, OBJECT, OLD_STRANGER, RELEASED,
    STEPS,
};
use crate::objects::{
    Beginning, Begins, Death, Edge, Fate, Item, Object, ObjectFrame, STRANGER, Step, TypeInfo, What,
};
use crate::varint;

/// How many objects and types there are before a frame, and after it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) objects: u64,
    pub(crate) types: u64,
    pub(crate) deaths: u64,
}

/// Decodes what a frame says of objects, among its `inputs`; the first of them that is a birth is block number `blocks`.
pub(crate) fn decode<'a>(
    bytes: impl Fn(u8) -> &'a [u8],
    inputs: &[PackedInput],
    mut blocks: u64,
    known: &mut Known,
    out: &mut ObjectFrame,
) -> Result<(), Malformed> {
    let numbers = |id| Numbers::new(bytes(id), id);
    let [mut runs, mut births, mut dying, mut types, mut releases] = [
        stream::OBJECT_RUNS,
        stream::OBJECT_BIRTHS,
        stream::OBJECT_DEATHS,
        stream::OBJECT_TYPES,
        stream::RELEASES_BY_DEATH,
    ]
    .map(numbers);
    let (first, mut last) = (known.objects, known.objects);
    // Which of the frame's inputs are the program's own.
    let mut hidden = vec![false; inputs.len()];
    let mut at = 0_u64;
    while !releases.is_at_end() {
        at = at.checked_add(releases.number()?).ok_or(releases.out_of_range())?;
        let place =
            usize::try_from(at).ok().and_then(|at| hidden.get_mut(at)).ok_or(releases.out_of_range())?;
        *place = true;
    }
    let mut calls = inputs.iter().zip(&hidden).filter(|(_, hidden)| !**hidden).map(|(input, _)| *input);
    let mut step = |out: &mut Vec<Step>, blocks: &mut u64| {
        let input = calls.next()?;
        *blocks += u64::from(input.is_birth());
        out.push(Step::Block(input));
        Some(())
    };
    for &code in bytes(stream::OBJECTS) {
        for _ in 0..runs.number()? {
            step(&mut out.steps, &mut blocks).ok_or(runs.out_of_range())?;
        }
        out.steps.push(match code {
            DESCRIBED => {
                out.types.push(info(&mut types, known.objects)?);
                known.types += 1;
                Step::Described
            }
            BORN_IN_BLOCK | BORN_ELSEWHERE => {
                let of = births.number()?;
                let of = u32::try_from(of).ok().filter(|of| u64::from(*of) < known.types);
                let of = of.ok_or(births.out_of_range())?;
                let begins = if code == BORN_ELSEWHERE {
                    Begins::Elsewhere
                } else {
                    let distance = births.number()?;
                    let block = blocks.checked_sub(1).and_then(|newest| newest.checked_sub(distance));
                    let offset = u32::try_from(births.number()?).map_err(|_| births.out_of_range())?;
                    Begins::InBlock(block.ok_or(births.out_of_range())?, offset)
                };
                known.objects += 1;
                Step::Born { of, begins }
            }
            DIES => Step::Dies(object(&mut dying, &mut last, known.objects)?),
            code => return Err(Malformed::Code { id: stream::OBJECTS, code }),
        });
    }
    while step(&mut out.steps, &mut blocks).is_some() {}
    for stream in [&runs, &births, &dying, &types] {
        stream.end()?;
    }
    fetched(numbers(stream::FETCHED_DEATHS), numbers(stream::FETCHED_EDGES), first, known.objects, out)?;
    observed(numbers(stream::DEATHS), first, known.objects, out)?;
    known.deaths += out.deaths.len() as u64;
    Ok(())
}

fn info(types: &mut Numbers<'_>, born: u64) -> Result<TypeInfo, Malformed> {
    let flags = u32::try_from(types.number()?).map_err(|_| types.out_of_range())?;
    let bits = types.byte()?;
    let object = types.number()?.checked_sub(1);
    if object.is_some_and(|object| object >= born) {
        return Err(types.out_of_range());
    }
    let length = usize::try_from(types.number()?).map_err(|_| types.out_of_range())?;
    let name = String::from_utf8_lossy(types.bytes(length)?).into_owned();
    Ok(TypeInfo { name, flags, finalizes: bits & 1 != 0, weakly_referable: bits & 2 != 0, object })
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

fn fetched(
    mut numbers: Numbers<'_>,
    mut edges: Numbers<'_>,
    first: u64,
    born: u64,
    out: &mut ObjectFrame,
) -> Result<(), Malformed> {
    let mut last = first;
    while !numbers.is_at_end() {
        let code = numbers.byte()?;
        let check = numbers.byte()?;
        let what = match code {
            BEGINS => {
                let choice = numbers.number()?.checked_sub(1).map(u32::try_from);
                let choice = choice.transpose().map_err(|_| numbers.out_of_range())?;
                let length = numbers.number()?.checked_sub(1);
                let mut beginning = Beginning { choice, length, edges: Vec::new() };
                // Each takes a byte at least: as many as there are not make no large vector.
                for _ in 0..numbers.number()? {
                    let referent = named(&mut edges, &mut last, born)?;
                    let count = if referent.is_some() { edges.number()? } else { 0 };
                    let count = u32::try_from(count).map_err(|_| edges.out_of_range())?;
                    beginning.edges.push(Edge { referent, count: (count > 0).then_some(count) });
                }
                What::Begins(beginning)
            }
            STEPS => What::Steps(numbers.number()?),
            ENDS => What::Ends(Fate::Kept),
            RELEASED => What::Ends(Fate::Released),
            code => return Err(Malformed::Code { id: stream::FETCHED_DEATHS, code }),
        };
        out.fetched.items.push_back(Item { check, what });
    }
    edges.end()
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
            code => return Err(Malformed::Code { id: stream::DEATHS, code }),
        });
    }
    Ok(())
}
