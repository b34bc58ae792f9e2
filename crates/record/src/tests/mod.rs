//! Both sides of the ring in one process, without Python.

mod interpreter;
mod opening;
mod packing;
mod returns;
mod two_sides;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::preload::producer::Producer;
use crate::preload::slot;
use crate::ring::Ring;
use crate::{Domain, Event, ObjectEvent};

/// A producer that writes to `ring`.
fn attach(ring: &Ring) -> Producer {
    let producer = Producer::detached();
    let slots = ring.slots();
    let header = std::ptr::from_ref(ring.header()).cast_mut();
    // SAFETY: the ring is new and a power of two of at least 8; every test drops the producer before the ring. Header
    // and slots are atomic, so that writing to them through a pointer made from a reference is allowed.
    unsafe { producer.attach(header, slots.as_ptr().cast::<AtomicU64>().cast_mut(), slots.len()) };
    producer
}

/// What is told of objects, as operation, what is in the size field, and in the address.
fn object(event: ObjectEvent) -> (u8, u64, u64) {
    let (what, address) = match event {
        ObjectEvent::Born { object, of } => return (slot::BORN, of.into(), object),
        ObjectEvent::TypePlace { of, .. } => (slot::TYPE_PLACE, of),
        ObjectEvent::OfType(of) => (slot::OBJECT_TYPE, of),
        ObjectEvent::BeginsToDie(object) => (slot::OBJECT_DIES, object),
        ObjectEvent::Dies { object, is_last } => return (slot::DIES, 0, object | u64::from(is_last)),
        ObjectEvent::Edge { referent, count, is_last } => {
            let count = count.exactly().map_or(slot::COUNT_MANY, u64::from);
            return (slot::EDGE, count, referent | u64::from(is_last));
        }
        ObjectEvent::Immortals { times, is_last } => {
            return (slot::EDGE, slot::COUNT_IMMORTAL, u64::from(times) << 1 | u64::from(is_last));
        }
        ObjectEvent::EdgesEnd => (slot::OBJECT_EDGES, 0),
        ObjectEvent::Ended(object) => (slot::OBJECT_ENDED, object),
        ObjectEvent::Moves(object) => (slot::OBJECT_MOVES, object),
        ObjectEvent::Unnested => (slot::OBJECT_UNNESTED, 0),
        ObjectEvent::Lost => (slot::OBJECTS_LOST, 0),
        ObjectEvent::Type(of) => (slot::TYPE, of),
        ObjectEvent::TypeFlags(flags) => (slot::TYPE_FLAGS, flags),
        ObjectEvent::TypeName([a, b, c, d, e, f]) => {
            (slot::TYPE_NAME, u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
        }
        ObjectEvent::Up(address) => (slot::COUNT_UP, address),
        ObjectEvent::Down(address) => (slot::COUNT_DOWN, address),
        ObjectEvent::Value(address) => (slot::VALUE, address),
        ObjectEvent::Set(address) => (slot::COUNT_SET, address),
        ObjectEvent::Weak(address) => (slot::WEAK, address),
        ObjectEvent::Deposited(address) => (slot::DEPOSITED, address),
        ObjectEvent::TakenUp(address) => (slot::TAKEN_UP, address),
        ObjectEvent::Finalizer(address) => (slot::FINALIZER, address),
        ObjectEvent::Finalized(address) => (slot::FINALIZED, address),
        ObjectEvent::Callback(address) => (slot::CALLBACK, address),
        ObjectEvent::CalledBack(address) => (slot::CALLED_BACK, address),
        ObjectEvent::Clearing(address) => (slot::CLEARING, address),
        ObjectEvent::Cleared(address) => (slot::CLEARED, address),
        ObjectEvent::Resized(address) => (slot::RESIZED, address),
        ObjectEvent::Thread(address) => (slot::THREAD, address),
        ObjectEvent::Interpreter(number) => (slot::INTERPRETER, number),
        ObjectEvent::GoesOn(address) => (slot::OBJECT_GOES_ON, address),
        ObjectEvent::Collection => (slot::COLLECTION, 0),
        ObjectEvent::Collected => (slot::COLLECTED, 0),
        ObjectEvent::Finalizing => (slot::FINALIZING, 0),
        ObjectEvent::FinalizersRun => (slot::FINALIZERS_RUN, 0),
        ObjectEvent::Container => (slot::CONTAINER, 0),
        ObjectEvent::ContainerIf => (slot::CONTAINER_IF, 0),
        ObjectEvent::Number(number) => (slot::NUMBER, number),
        ObjectEvent::Settings => (slot::SETTINGS, 0),
        ObjectEvent::Collects(generation) => (slot::COLLECTS, generation),
        ObjectEvent::HasCollected(generation) => (slot::HAS_COLLECTED, generation),
        ObjectEvent::List(generation) => (slot::LIST, generation),
        ObjectEvent::FinalizedBefore => (slot::FINALIZED_BEFORE, 0),
        ObjectEvent::HasParted(generation) => (slot::HAS_PARTED, generation),
        ObjectEvent::DiesUntracked(address) => (slot::DIES_UNTRACKED, address),
        ObjectEvent::GraphEnds => (slot::GRAPH_ENDS, 0),
        ObjectEvent::CollectionLost => (slot::COLLECTION_LOST, 0),
        ObjectEvent::CallsBack(generation) => (slot::CALLS_BACK, generation),
        ObjectEvent::Looks(generation) => (slot::LOOKS, generation),
        ObjectEvent::MayLook(generation) => (slot::MAY_LOOK, generation),
        ObjectEvent::HasCalledBack => (slot::HAS_CALLED_BACK, 0),
        ObjectEvent::Exception => (slot::EXCEPTION, 0),
        ObjectEvent::AnotherRuns(is_another) => (slot::ANOTHER_RUNS, u64::from(is_another)),
        ObjectEvent::MayCollect(generation) => (slot::MAY_COLLECT, generation),
        ObjectEvent::DoesCollect(true) => (slot::DOES_COLLECT, 0),
        ObjectEvent::DoesCollect(false) => (slot::DOES_NOT_COLLECT, 0),
    };
    (slot::OBJECT, what, address)
}

/// Writes an event as the hooks do.
fn write(producer: &Producer, event: Event) {
    let op = |base: u8, domain: Domain| base + domain as u8 - 1;
    let (op, size, address, old) = match event {
        Event::Allocate { domain, zeroed, address, size } => {
            (op(if zeroed { slot::ALLOCATE_ZEROED } else { slot::ALLOCATE }, domain), size, address, None)
        }
        Event::Resize { domain, old, new, size } => (op(slot::RESIZE, domain), size, new, Some(old)),
        Event::Release { domain, address } => (op(slot::RELEASE, domain), 0, address, None),
        Event::ArenaAcquired { base, size } => (slot::ARENA_ACQUIRED, size, base, None),
        Event::ArenaReleased { base, size } => (slot::ARENA_RELEASED, size, base, None),
        Event::Forked { fork } => (slot::FORK, 0, fork, None),
        Event::Object(event) => {
            let (op, what, address) = object(event);
            (op, what, address, None)
        }
        Event::Mark { code } => (slot::MARK, u64::from(code), 0, None),
    };
    if old.is_none() && slot::is_narrow(size, address) {
        producer.put(slot::pack(op, size, address));
    } else {
        producer.put_any(op, size, address, old);
    }
}

/// The slots of an event that begins with slot number `at`.
fn pack(event: Event, at: u64, slots: &[AtomicU64]) -> usize {
    let ring = Ring::new(8, 1).expect("a ring");
    let producer = attach(&ring);
    write(&producer, event);
    let phase = slot::phase_of_lap(0);
    let mut used = 0;
    for word in ring.slots().iter().map(|word| word.load(Relaxed)).take_while(|word| word & 1 == phase) {
        let at = at + used as u64;
        let capacity = slots.len() as u64;
        let index = usize::try_from(at % capacity).expect("an index");
        slots[index].store(word & !1 | slot::phase_of_lap(at / capacity), Relaxed);
        used += 1;
    }
    used
}
