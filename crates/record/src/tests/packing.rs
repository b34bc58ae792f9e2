//! Events survive being packed, and nothing that stands in the slots makes the decoder fail.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use proptest::prelude::*;

use super::pack;
use crate::decode::{Found, decode_any, decode_narrow};
use crate::preload::slot;
use crate::{Domain, Event, ObjectEvent, ReferentCount, Sink};

fn domains() -> impl Strategy<Value = Domain> {
    prop_oneof![Just(Domain::Mem), Just(Domain::Obj)]
}

fn addresses() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0..1_u64 << 44).prop_map(|address| address << 4),
        1 => 0..1_u64 << 48,
        1 => any::<u64>(),
        1 => Just(0),
    ]
}

fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..1030_u64, 1 => 0..1_u64 << 40, 1 => 0..=slot::MAX_PAYLOAD]
}

/// What interpreters tell that report changes of counts, where that has an address.
const OF_COUNTS: [fn(u64) -> ObjectEvent; 17] = [
    ObjectEvent::Up,
    ObjectEvent::Down,
    ObjectEvent::Value,
    ObjectEvent::Set,
    ObjectEvent::Weak,
    ObjectEvent::Deposited,
    ObjectEvent::TakenUp,
    ObjectEvent::Finalizer,
    ObjectEvent::Finalized,
    ObjectEvent::Callback,
    ObjectEvent::CalledBack,
    ObjectEvent::Clearing,
    ObjectEvent::Cleared,
    ObjectEvent::Resized,
    ObjectEvent::Thread,
    ObjectEvent::Interpreter,
    ObjectEvent::GoesOn,
];

fn objects() -> impl Strategy<Value = ObjectEvent> {
    let count = (0..1022_u16).prop_map(ReferentCount::new);
    let address = || 0..1_u64 << slot::ADDRESS_BITS;
    let even = || address().prop_map(|address| address & !slot::LAST);
    let places = u16::try_from(slot::TYPE_PLACES).expect("ten bits");
    prop_oneof![
        (1..1_u64 << slot::ADDRESS_BITS, 0..places).prop_map(|(object, of)| ObjectEvent::Born { object, of }),
        address().prop_map(|of| ObjectEvent::TypePlace { of, place: slot::type_place(of) }),
        address().prop_map(ObjectEvent::OfType),
        address().prop_map(ObjectEvent::BeginsToDie),
        (even(), any::<bool>()).prop_map(|(object, is_last)| ObjectEvent::Dies { object, is_last }),
        (even(), count, any::<bool>()).prop_map(|(referent, count, is_last)| ObjectEvent::Edge {
            referent,
            count,
            is_last
        }),
        (1..=slot::MOST_IMMORTALS, any::<bool>())
            .prop_map(|(times, is_last)| ObjectEvent::Immortals { times, is_last }),
        Just(ObjectEvent::EdgesEnd),
        address().prop_map(ObjectEvent::Ended),
        address().prop_map(ObjectEvent::Moves),
        (address(), 0..OF_COUNTS.len()).prop_map(|(address, which)| OF_COUNTS[which](address)),
        Just(ObjectEvent::Collection),
        Just(ObjectEvent::Collected),
        Just(ObjectEvent::Finalizing),
        Just(ObjectEvent::Unnested),
        Just(ObjectEvent::Lost),
        address().prop_map(ObjectEvent::Type),
        address().prop_map(ObjectEvent::TypeFlags),
        any::<[u8; 6]>().prop_map(ObjectEvent::TypeName),
    ]
}

pub(super) fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        (domains(), any::<bool>(), addresses(), sizes())
            .prop_map(|(domain, zeroed, address, size)| Event::Allocate { domain, zeroed, address, size }),
        (domains(), addresses().prop_filter("null", |old| *old != 0), addresses(), sizes())
            .prop_map(|(domain, old, new, size)| Event::Resize { domain, old, new, size }),
        (domains(), addresses()).prop_map(|(domain, address)| Event::Release { domain, address }),
        (addresses(), sizes()).prop_map(|(base, size)| Event::ArenaAcquired { base, size }),
        (addresses(), sizes()).prop_map(|(base, size)| Event::ArenaReleased { base, size }),
        (0..1023_u16).prop_map(|code| Event::Mark { code }),
        objects().prop_map(Event::Object),
    ]
}

fn empty(slots: usize) -> Vec<AtomicU64> {
    (0..slots).map(|_| AtomicU64::new(0)).collect()
}

/// Keeps the event that it takes.
struct Taken(Option<Event>);

impl Sink for Taken {
    fn take(&mut self, event: Event) {
        assert_eq!(self.0.replace(event), None);
    }
}

proptest! {
    #[test]
    fn every_event_comes_back(event in events(), at in 0..1000_u64) {
        let slots = empty(8);
        // What the lap before left there, as in a ring that was full once.
        for place in 0..8 {
            let index = usize::try_from((at + place) % 8).expect("an index");
            slots[index].store(u64::MAX << 1 | (slot::phase_of_lap((at + place) / 8) ^ 1), Relaxed);
        }
        let used = pack(event, at, &slots);
        prop_assert!((1..=slot::MAX_SLOTS).contains(&used));
        prop_assert_eq!(decode_any(&slots, at), Found::Event(event, used));
        let first = slots[usize::try_from(at % 8).expect("an index")].load(Relaxed);
        let mut taken = Taken(None);
        prop_assert_eq!(decode_narrow(first, &mut taken), used == 1);
        prop_assert_eq!(taken.0, (used == 1).then_some(event));
    }

    #[test]
    fn an_unfinished_event_is_not_there_yet(event in events(), at in 0..1000_u64) {
        let slots = empty(8);
        let used = pack(event, at, &slots);
        for missing in 0..used as u64 {
            let index = usize::try_from((at + missing) % 8).expect("an index");
            let word = slots[index].load(Relaxed);
            slots[index].store(word ^ 1, Relaxed);
            prop_assert_eq!(decode_any(&slots, at), Found::Nothing);
            slots[index].store(word, Relaxed);
        }
    }

    #[test]
    fn garbage_is_refused_or_read_but_never_fatal(words in prop::array::uniform8(any::<u64>()), at in any::<u64>()) {
        let slots: Vec<_> = words.into_iter().map(AtomicU64::new).collect();
        if let Found::Event(_, used) = decode_any(&slots, at) {
            prop_assert!((1..=slot::MAX_SLOTS).contains(&used));
        }
        let mut taken = Taken(None);
        prop_assert_eq!(decode_narrow(words[0], &mut taken), taken.0.is_some());
    }
}

#[test]
fn ordinary_events_take_one_slot() {
    let slots = empty(8);
    let block = 0x7f12_3456_7890;
    let small = Event::Allocate { domain: Domain::Obj, zeroed: false, address: block, size: 1022 };
    let large = Event::Allocate { domain: Domain::Obj, zeroed: false, address: block, size: 1023 };
    let resized = Event::Resize { domain: Domain::Mem, old: block, new: block, size: 56 };
    assert_eq!(pack(small, 0, &slots), 1);
    assert_eq!(pack(Event::Release { domain: Domain::Mem, address: block }, 0, &slots), 1);
    assert_eq!(pack(large, 0, &slots), 2);
    assert_eq!(pack(resized, 0, &slots), 2);
}

#[test]
fn a_size_that_fits_nowhere_is_cut() {
    let slots = empty(8);
    let event = |size| Event::ArenaAcquired { base: 1, size };
    pack(event(u64::MAX), 0, &slots);
    assert_eq!(decode_any(&slots, 0), Found::Event(event(slot::MAX_PAYLOAD), 2));
}

#[test]
fn an_empty_ring_holds_nothing() {
    let slots = empty(8);
    assert_eq!(decode_any(&slots, 0), Found::Nothing);
    // In the second lap zeroes do look valid; nothing is born at address 0.
    assert_eq!(decode_any(&slots, 8), Found::Garbage);
}
