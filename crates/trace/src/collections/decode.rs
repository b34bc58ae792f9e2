//! Decoding a frame's collections.

use std::ops::RangeInclusive;

use crate::collections::encode::{
    ASKS, CALLED_BACK, CALLS_BACK, COUNTS_ELSEWHERE, COUNTS_HERE, ELSEWHERE, EMBEDDED, ENABLED, ENDS,
    EXCEPTION, FINALIZED, HAS_COUNT, HAS_FINALIZED, HAS_REFERENTS, HAS_WEAK, LOST, LOST_AND_FOUND, OFFSET,
    OVER, OVER_AFTER_CODE, PERMANENT_SHIFT, PLACES, SAFE_POINT, SETTINGS,
};
use crate::collections::{
    Arrival, Behind, Collection, CollectionFrame, CollectorAction, CollectorSettings, CollectorStep, Graph,
    IMMORTAL, Permanent, Told, UNTRACKED,
};
use crate::error::Malformed;
use crate::event::PackedInput;
use crate::frame::stream;
use crate::inputs::Numbers;
use crate::objects::{Begins, Object, read_info};
use crate::varint;

/// How many objects, types and others there are before a frame, and after it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Known {
    pub(crate) objects: u64,
    pub(crate) types: u64,
    pub(crate) references: u64,
    pub(crate) facts: [u64; 4],
}

/// Decodes what a frame says of collections. Its first event is number `first_event`, and `blocks` are born before its end.
pub(crate) fn decode<'a>(
    bytes: impl Fn(u8) -> &'a [u8],
    first_event: u64,
    inputs: &[PackedInput],
    blocks: u64,
    known: &mut Known,
    out: &mut CollectionFrame,
    collections: &mut Vec<Collection>,
) -> Result<(), Malformed> {
    let numbers = |id| Numbers::new(bytes(id), id);
    let last_event = first_event + inputs.len() as u64;
    let for_objects = inputs.iter().filter(|input| input.is_birth_for_object()).count();
    let containers = bytes(stream::CONTAINERS);
    if containers.len() != for_objects.div_ceil(8) {
        return Err(Malformed::OutOfRange { id: stream::CONTAINERS });
    }
    out.containers.extend_from_slice(containers);
    let mut types = numbers(stream::COLLECTION_TYPES);
    while !types.is_at_end() {
        out.types.push(read_info(&mut types, 0)?);
        known.types += 1;
    }
    let mut graphs = numbers(stream::FETCHED_GRAPHS);
    let first_graph = out.graphs.len();
    while !graphs.is_at_end() {
        let graph = graph(&mut graphs, blocks, known)?;
        out.graphs.push_back(graph);
    }
    uncounted(numbers(stream::FETCHED_UNCOUNTED), out.graphs.range_mut(first_graph..))?;
    let mut steps = numbers(stream::COLLECTOR);
    let mut event = first_event;
    while !steps.is_at_end() {
        let distance = steps.number()?;
        event =
            event.checked_add(distance).filter(|event| *event <= last_event).ok_or(steps.out_of_range())?;
        out.steps.push(CollectorStep { event, what: action(&mut steps, known.objects)? });
    }
    let mut observed = numbers(stream::COLLECTIONS);
    let mut clock = numbers(stream::COLLECTIONS_CLOCK);
    let has_clock = !clock.is_at_end();
    while !observed.is_at_end() {
        let mut collection = collection(&mut observed, first_event..=last_event, known.objects)?;
        if has_clock && collection.generation.is_some() {
            collection.nanoseconds = Some(clock.number()?).filter(|nanoseconds| *nanoseconds > 0);
        }
        for (total, facts) in known.facts.iter_mut().zip(collection.facts()) {
            *total = total.saturating_add(facts);
        }
        collections.push(collection);
    }
    if !clock.is_at_end() {
        return Err(clock.out_of_range());
    }
    Ok(())
}

fn small<T: TryFrom<u64>>(numbers: &mut Numbers<'_>) -> Result<T, Malformed> {
    T::try_from(numbers.number()?).map_err(|_| numbers.out_of_range())
}

/// A number of things that follow, each in a byte at least.
fn many(numbers: &mut Numbers<'_>) -> Result<usize, Malformed> {
    let many: usize = small(numbers)?;
    if many > numbers.left() { Err(Malformed::StreamEnds { id: numbers.id() }) } else { Ok(many) }
}

fn generation(numbers: &mut Numbers<'_>) -> Result<u8, Malformed> {
    let generation = numbers.byte()?;
    if generation < 3 { Ok(generation) } else { Err(numbers.out_of_range()) }
}

/// An object, named relative to the one before; `born` of them are.
fn object(numbers: &mut Numbers<'_>, last: &mut Object, born: u64) -> Result<Object, Malformed> {
    relative(numbers.number()?, last, born).ok_or(numbers.out_of_range())
}

fn relative(folded: u64, last: &mut Object, born: u64) -> Option<Object> {
    let object = last.wrapping_add_signed(varint::unfold(folded));
    *last = object;
    (object < born).then_some(object)
}

fn action(steps: &mut Numbers<'_>, objects: u64) -> Result<CollectorAction, Malformed> {
    Ok(match steps.byte()? {
        SETTINGS => {
            let thresholds = [small(steps)?, small(steps)?, small(steps)?];
            let flags = small(steps)?;
            let bits = steps.byte()?;
            let (enabled, calls_back) = (bits & ENABLED != 0, bits & CALLS_BACK != 0);
            let permanent = match (bits & !ENABLED & !CALLS_BACK) >> PERMANENT_SHIFT {
                0 => Permanent::Unchanged,
                1 => Permanent::More,
                2 => Permanent::None,
                _ => return Err(steps.out_of_range()),
            };
            let settings = CollectorSettings { thresholds, enabled, flags, calls_back, permanent };
            CollectorAction::Settings(settings)
        }
        ASKS => CollectorAction::Asks(generation(steps)?),
        SAFE_POINT => CollectorAction::SafePoint,
        ENDS => CollectorAction::Ends,
        HAS_FINALIZED => CollectorAction::Finalized,
        CALLED_BACK => CollectorAction::CalledBack,
        LOST => CollectorAction::Lost(None),
        LOST_AND_FOUND => {
            let counts = [small(steps)?, small(steps)?, small(steps)?];
            let long_lived = [steps.number()?, steps.number()?];
            CollectorAction::Lost(Some(Behind { counts, long_lived, graphs: steps.number()? }))
        }
        EXCEPTION => CollectorAction::Exception,
        COUNTS_ELSEWHERE => CollectorAction::Elsewhere,
        COUNTS_HERE => CollectorAction::Here,
        OVER => CollectorAction::Over(None),
        OVER_AFTER_CODE => {
            let (mut survivors, mut last) = (Vec::new(), 0);
            for _ in 0..many(steps)? {
                survivors.push(object(steps, &mut last, objects)?);
            }
            CollectorAction::Over(Some(survivors))
        }
        code => return Err(Malformed::Code { id: stream::COLLECTOR, code }),
    })
}

fn graph(numbers: &mut Numbers<'_>, blocks: u64, known: &mut Known) -> Result<Graph, Malformed> {
    let mut graph = Graph { oldest: generation(numbers)?, ..Graph::default() };
    let mut last_block = 0;
    for _ in 0..many(numbers)? {
        let of = small(numbers)?;
        if u64::from(of) >= known.types {
            return Err(numbers.out_of_range());
        }
        let number = numbers.number()?;
        let place = number % PLACES;
        let begins = if place == ELSEWHERE {
            Begins::Elsewhere
        } else {
            let block = relative(number / PLACES, &mut last_block, blocks).ok_or(numbers.out_of_range())?;
            Begins::InBlock(block, u32::try_from(place).unwrap_or_default() * OFFSET)
        };
        graph.arrivals.push(Arrival { of, begins });
    }
    let first = known.objects;
    known.objects += graph.arrivals.len() as u64;
    let mut last = 0;
    for _ in 0..many(numbers)? {
        graph.gone.push(object(numbers, &mut last, known.objects)?);
    }
    for _ in 0..many(numbers)? {
        let generation = generation(numbers)?;
        graph.came.push((generation, object(numbers, &mut last, known.objects)?));
    }
    last = first.wrapping_sub(1);
    for _ in 0..many(numbers)? {
        let told = told(numbers, &mut last, known)?;
        graph.told.push(told);
    }
    Ok(graph)
}

/// Notes which references are not counted.
fn uncounted<'g>(
    mut numbers: Numbers<'_>,
    graphs: impl Iterator<Item = &'g mut Graph>,
) -> Result<(), Malformed> {
    if numbers.is_at_end() {
        return Ok(());
    }
    // How many are counted before the next one that is not, from the first reference of an object on.
    let mut counted = numbers.number()?;
    for told in graphs.flat_map(|graph| &mut graph.told) {
        let many = told.referents.as_ref().map_or(0, Vec::len) as u64;
        let mut next = 0;
        while counted < many - next {
            let at = next + counted;
            told.uncounted.push(u32::try_from(at).map_err(|_| numbers.out_of_range())?);
            next = at + 1;
            if numbers.is_at_end() {
                return Ok(());
            }
            counted = numbers.number()?;
        }
        counted -= many - next;
    }
    Err(numbers.out_of_range())
}

fn told(numbers: &mut Numbers<'_>, last: &mut Object, known: &mut Known) -> Result<Told, Malformed> {
    let number = numbers.number()?;
    *last = last.wrapping_add(1);
    let object_ = relative(number >> 5, last, known.objects).ok_or(numbers.out_of_range())?;
    let (is_finalized, is_embedded) = (number & FINALIZED != 0, number & EMBEDDED != 0);
    let mut told = Told { object: object_, is_finalized, is_embedded, ..Told::default() };
    if number & HAS_COUNT != 0 {
        told.count = Some(numbers.number()?.checked_sub(1).unwrap_or(IMMORTAL));
    }
    let mut named = object_;
    if number & HAS_REFERENTS != 0 {
        let many = many(numbers)?;
        let mut referents = Vec::with_capacity(many);
        for _ in 0..many {
            referents.push(match numbers.number()?.checked_sub(1) {
                None => UNTRACKED,
                Some(distance) => {
                    relative(distance, &mut named, known.objects).ok_or(numbers.out_of_range())?
                }
            });
        }
        known.references += many as u64;
        told.referents = Some(referents);
    }
    if number & HAS_WEAK != 0 {
        for _ in 0..many(numbers)? {
            told.weak.push(object(numbers, &mut named, known.objects)?);
        }
    }
    Ok(told)
}

fn collection(
    numbers: &mut Numbers<'_>,
    events: RangeInclusive<u64>,
    objects: u64,
) -> Result<Collection, Malformed> {
    let event = events.start().checked_add_signed(varint::unfold(numbers.number()?));
    let event = event.filter(|event| event <= events.end()).ok_or(numbers.out_of_range())?;
    let mut collection = Collection { event, ..Collection::default() };
    collection.generation = match numbers.byte()? {
        0 => return Ok(collection),
        generation @ 1..=3 => Some(generation - 1),
        code => return Err(Malformed::Code { id: stream::COLLECTIONS, code }),
    };
    collection.candidates = small(numbers)?;
    if collection.candidates > objects {
        return Err(numbers.out_of_range());
    }
    collection.collected = numbers.number()?;
    collection.uncollectable = numbers.number()?;
    collection.counts_before = [small(numbers)?, small(numbers)?, small(numbers)?];
    collection.counts = [small(numbers)?, small(numbers)?, small(numbers)?];
    collection.long_lived = [numbers.number()?, numbers.number()?];
    for list in [&mut collection.survivors, &mut collection.dead] {
        let mut last = 0;
        for _ in 0..many(numbers)? {
            list.push(object(numbers, &mut last, objects)?);
        }
    }
    Ok(collection)
}
