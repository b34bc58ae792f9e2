//! From slots to events.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::preload::slot::{self, PHASE};
use crate::{Domain, Event, ObjectEvent, ReferentCount, Sink};

/// What stands at a place of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An event and the number of its slots.
    Event(Event, usize),
    /// Nothing, or an event whose last slots are not written yet.
    Nothing,
    /// What no library writes.
    Garbage,
}

/// Takes the event in a valid slot, if it is one that takes a single slot; else false. Resizes never do.
///
/// The sink stands in each of the branches, and so knows in each what it is given.
#[inline(always)]
pub(crate) fn decode_narrow(word: u64, sink: &mut impl Sink) -> bool {
    let size = slot::size(word);
    if size == slot::SIZE_FOLLOWS || slot::is_wide(word) {
        return false;
    }
    let op = slot::op(word);
    let address = slot::address(word);
    match op {
        2..=5 => sink.take(allocate(op, address, size)),
        8 | 9 if size == 0 => sink.take(Event::Release { domain: domain(op), address }),
        slot::BORN | slot::DIES | slot::EDGE => return take_common(op, address, size, sink),
        _ => match decode_rare(op, address, size) {
            Some(event) => sink.take(event),
            None => return false,
        },
    }
    true
}

/// Takes what is told of objects most often; false if it is none of that.
#[inline(always)]
fn take_common(op: u8, address: u64, size: u64, sink: &mut impl Sink) -> bool {
    let is_last = address & slot::LAST != 0;
    let even = address & !slot::LAST;
    let Ok(size) = u16::try_from(size) else { return false };
    match op {
        // (Memory that was never written to holds no births.)
        slot::BORN if address != 0 => {
            sink.take(Event::Object(ObjectEvent::Born { object: address, of: size }));
        }
        slot::DIES if size == 0 => sink.take(Event::Object(ObjectEvent::Dies { object: even, is_last })),
        slot::EDGE if u64::from(size) == slot::COUNT_IMMORTAL => match u32::try_from(even >> 1) {
            Ok(times @ 1..=slot::MOST_IMMORTALS) => {
                sink.take(Event::Object(ObjectEvent::Immortals { times, is_last }));
            }
            _ => return false,
        },
        slot::EDGE => {
            let count = ReferentCount::new(size);
            sink.take(Event::Object(ObjectEvent::Edge { referent: even, count, is_last }));
        }
        _ => return false,
    }
    true
}

/// Keeps the event that it takes.
struct Taken(Option<Event>);

impl Sink for Taken {
    fn take(&mut self, event: Event) {
        self.0 = Some(event);
    }
}

fn decode_object(what: u64, address: u64) -> Option<ObjectEvent> {
    Some(match what {
        slot::TYPE_PLACE => ObjectEvent::TypePlace { of: address, place: slot::type_place(address) },
        slot::OBJECT_TYPE => ObjectEvent::OfType(address),
        slot::OBJECT_DIES => ObjectEvent::BeginsToDie(address),
        slot::OBJECT_EDGES => ObjectEvent::EdgesEnd,
        slot::OBJECT_ENDED => ObjectEvent::Ended(address),
        slot::OBJECT_MOVES => ObjectEvent::Moves(address),
        slot::OBJECT_UNNESTED => ObjectEvent::Unnested,
        slot::OBJECTS_LOST => ObjectEvent::Lost,
        slot::TYPE => ObjectEvent::Type(address),
        slot::TYPE_FLAGS => ObjectEvent::TypeFlags(address),
        slot::TYPE_NAME => {
            let [bytes @ .., _, _] = address.to_le_bytes();
            ObjectEvent::TypeName(bytes)
        }
        slot::COUNT_UP => ObjectEvent::Up(address),
        slot::COUNT_DOWN => ObjectEvent::Down(address),
        slot::VALUE => ObjectEvent::Value(address),
        slot::COUNT_SET => ObjectEvent::Set(address),
        slot::WEAK => ObjectEvent::Weak(address),
        slot::DEPOSITED => ObjectEvent::Deposited(address),
        slot::TAKEN_UP => ObjectEvent::TakenUp(address),
        slot::FINALIZER => ObjectEvent::Finalizer(address),
        slot::FINALIZED => ObjectEvent::Finalized(address),
        slot::CALLBACK => ObjectEvent::Callback(address),
        slot::CALLED_BACK => ObjectEvent::CalledBack(address),
        slot::COLLECTION => ObjectEvent::Collection,
        slot::COLLECTED => ObjectEvent::Collected,
        slot::CLEARING => ObjectEvent::Clearing(address),
        slot::CLEARED => ObjectEvent::Cleared(address),
        slot::RESIZED => ObjectEvent::Resized(address),
        slot::THREAD => ObjectEvent::Thread(address),
        slot::INTERPRETER => ObjectEvent::Interpreter(address),
        slot::OBJECT_GOES_ON => ObjectEvent::GoesOn(address),
        slot::FINALIZING => ObjectEvent::Finalizing,
        slot::CONTAINER_IF => ObjectEvent::ContainerIf,
        slot::CONTAINER => ObjectEvent::Container,
        slot::NUMBER => ObjectEvent::Number(address),
        slot::SETTINGS => ObjectEvent::Settings,
        slot::LIST => ObjectEvent::List(address),
        slot::FINALIZED_BEFORE => ObjectEvent::FinalizedBefore,
        slot::COLLECTS => ObjectEvent::Collects(address),
        slot::HAS_COLLECTED => ObjectEvent::HasCollected(address),
        slot::FINALIZERS_RUN => ObjectEvent::FinalizersRun,
        slot::HAS_PARTED => ObjectEvent::HasParted(address),
        slot::DIES_UNTRACKED => ObjectEvent::DiesUntracked(address),
        slot::GRAPH_ENDS => ObjectEvent::GraphEnds,
        slot::MAY_COLLECT => ObjectEvent::MayCollect(address),
        slot::DOES_COLLECT => ObjectEvent::DoesCollect(true),
        slot::DOES_NOT_COLLECT => ObjectEvent::DoesCollect(false),
        slot::EXCEPTION => ObjectEvent::Exception,
        slot::COLLECTION_LOST => ObjectEvent::CollectionLost,
        slot::CALLS_BACK => ObjectEvent::CallsBack(address),
        slot::LOOKS => ObjectEvent::Looks(address),
        slot::MAY_LOOK => ObjectEvent::MayLook(address),
        slot::HAS_CALLED_BACK => ObjectEvent::HasCalledBack,
        slot::ANOTHER_RUNS => ObjectEvent::AnotherRuns(address != 0),
        _ => return None,
    })
}

#[inline(never)]
fn decode_rare(op: u8, address: u64, size: u64) -> Option<Event> {
    match op {
        slot::ARENA_ACQUIRED => Some(Event::ArenaAcquired { base: address, size }),
        slot::ARENA_RELEASED => Some(Event::ArenaReleased { base: address, size }),
        slot::OBJECT => decode_object(size, address).map(Event::Object),
        slot::BORN | slot::DIES | slot::EDGE => {
            let mut taken = Taken(None);
            (size < slot::SIZE_FOLLOWS && take_common(op, address, size, &mut taken)).then_some(taken.0)?
        }
        slot::FORK if size == 0 => Some(Event::Forked { fork: address }),
        // The size field has ten bits.
        slot::MARK if address == 0 => u16::try_from(size).ok().map(|code| Event::Mark { code }),
        _ => None,
    }
}

/// What stands in the slots from number `at` on, counted from the beginning of the recording.
#[cold]
pub(crate) fn decode_any(slots: &[AtomicU64], at: u64) -> Found {
    let mut used = 0;
    let Some(first) = next(slots, at, &mut used) else { return Found::Nothing };
    let op = slot::op(first);
    let mut size = slot::size(first);
    let mut address = slot::address(first);
    let mut old = 0;
    if size == slot::SIZE_FOLLOWS {
        let Some(word) = next(slots, at, &mut used) else { return Found::Nothing };
        size = slot::payload(word);
    }
    if slot::is_wide(first) {
        let Some(word) = next(slots, at, &mut used) else { return Found::Nothing };
        let upper = slot::payload(word);
        address |= (upper & 0xffff) << slot::ADDRESS_BITS;
        old |= (upper >> 16 & 0xffff) << slot::ADDRESS_BITS;
    }
    let event = match op {
        2..=5 => Some(allocate(op, address, size)),
        6 | 7 => {
            let Some(word) = next(slots, at, &mut used) else { return Found::Nothing };
            let old = old | slot::payload(word);
            (old != 0).then_some(Event::Resize { domain: domain(op), old, new: address, size })
        }
        8 | 9 if size == 0 => Some(Event::Release { domain: domain(op), address }),
        _ => decode_rare(op, address, size),
    };
    event.map_or(Found::Garbage, |event| Found::Event(event, used))
}

/// The `used`-th slot of the event that begins at `at`, if it is written.
fn next(slots: &[AtomicU64], at: u64, used: &mut usize) -> Option<u64> {
    let at = at.wrapping_add(*used as u64);
    let capacity = slots.len() as u64;
    let index = usize::try_from(at % capacity).ok()?;
    let word = slots.get(index)?.load(Relaxed);
    *used += 1;
    (word & PHASE == slot::phase_of_lap(at / capacity)).then_some(word)
}

#[inline(always)]
fn domain(op: u8) -> Domain {
    if op & 1 == 0 { Domain::Mem } else { Domain::Obj }
}

#[inline(always)]
fn allocate(op: u8, address: u64, size: u64) -> Event {
    let zeroed = op >= slot::ALLOCATE_ZEROED;
    Event::Allocate { domain: domain(op), zeroed, address, size }
}
