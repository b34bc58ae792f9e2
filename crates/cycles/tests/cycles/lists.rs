//! Lists against vectors.

use cycles::{ListId, Place, append, track, untrack};
use proptest::prelude::*;

use crate::numbers::Numbers;

const LISTS: [ListId; 3] = [ListId::new(0), ListId::new(1), ListId::new(7)];

#[derive(Clone, Debug)]
enum Operation {
    Track(usize, usize),
    Untrack(usize),
    Append(usize, usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0..60_usize, 0..3_usize).prop_map(|(object, list)| Operation::Track(object, list)),
        4 => (0..60_usize).prop_map(Operation::Untrack),
        1 => (0..3_usize, 0..3_usize).prop_map(|(from, to)| Operation::Append(from, to)),
    ]
}

proptest! {
    #![proptest_config(crate::cases(1000))]

    #[test]
    fn as_vectors(operations in prop::collection::vec(operation(), 0..400)) {
        let mut heap = Numbers::new(60);
        let mut plain = vec![Vec::new(); LISTS.len()];
        for operation in operations {
            match operation {
                Operation::Track(object, list) => {
                    let news = plain.iter().all(|list| !list.contains(&object));
                    if news {
                        plain[list].push(object);
                    }
                    prop_assert_eq!(track(&mut heap, object, LISTS[list]), news);
                }
                Operation::Untrack(object) => {
                    let before: usize = plain.iter().map(Vec::len).sum();
                    plain.iter_mut().for_each(|list| list.retain(|&other| other != object));
                    let after: usize = plain.iter().map(Vec::len).sum();
                    prop_assert_eq!(untrack(&mut heap, object), after < before);
                }
                Operation::Append(from, to) => {
                    if from != to {
                        let moved = std::mem::take(&mut plain[from]);
                        plain[to].extend(moved);
                    }
                    append(&mut heap, LISTS[from], LISTS[to]);
                }
            }
            for (&list, plain) in LISTS.iter().zip(&plain) {
                prop_assert_eq!(&heap.lists.iter(list).collect::<Vec<_>>(), plain);
                prop_assert!(heap.lists.iter(list).rev().eq(plain.iter().rev().copied()));
                prop_assert_eq!(heap.lists.len(list), plain.len());
                prop_assert_eq!(heap.lists.is_empty(list), plain.is_empty());
            }
            for object in 0..60 {
                let list = plain.iter().position(|list| list.contains(&object)).map(|list| LISTS[list]);
                prop_assert_eq!(heap.places[object].list(), list);
                prop_assert_eq!(heap.places[object].is_tracked(), list.is_some());
                prop_assert_eq!(Place::from_word(heap.places[object].to_word()), heap.places[object]);
            }
        }
    }
}

#[test]
fn a_list_that_is_mostly_empty_places_closes_up() {
    let mut heap = Numbers::new(1001);
    // One stays at the tail, all others come and go: without closing up the list would grow for ever.
    track(&mut heap, 1000, LISTS[0]);
    for round in 0..1000 {
        for object in 0..100 {
            track(&mut heap, object, LISTS[0]);
        }
        track(&mut heap, 100 + round % 2, LISTS[0]);
        for object in 0..100 {
            untrack(&mut heap, object);
        }
        untrack(&mut heap, 101 - round % 2);
    }
    assert!(heap.lists.bytes() < 10_000 * size_of::<usize>(), "{}", heap.lists.bytes());
    let all: Vec<_> = heap.lists.iter(LISTS[0]).collect();
    assert_eq!(all[0], 1000);
}

#[test]
fn a_place_says_where_it_is() {
    let mut heap = Numbers::new(2);
    assert_eq!(format!("{:?}", heap.places[0]), "untracked");
    track(&mut heap, 0, LISTS[2]);
    track(&mut heap, 1, LISTS[2]);
    assert_eq!(format!("{:?}", heap.places[1]), "1 on list 7");
    assert_eq!((heap.places[1].index(), LISTS[2].number()), (1, 7));
}

#[test]
fn places_are_words_of_31_bits_if_they_are_low_enough() {
    let mut heap = Numbers::new(2);
    for list in (0..4).map(ListId::new) {
        track(&mut heap, 0, list);
        track(&mut heap, 1, list);
        let words = [0, 1].map(|object| heap.places[object].to_short().unwrap());
        assert_eq!(words.map(Place::from_short), [heap.places[0], heap.places[1]]);
        assert_eq!((words[1] - words[0], words[1] >> 31, heap.places[1].after(heap.places[0])), (1, 0, 1));
        let far = heap.places[0].behind(1 << 28);
        assert_eq!((far.to_short(), far.after(heap.places[0])), (None, 1 << 28));
        assert!(untrack(&mut heap, 0) && untrack(&mut heap, 1));
    }
    assert_eq!((Place::UNTRACKED.to_short(), Place::from_short(0)), (Some(0), Place::UNTRACKED));
    track(&mut heap, 0, ListId::new(5));
    assert_eq!(heap.places[0].to_short(), None);
    assert!(Place::UNTRACKED.after(heap.places[0]) > 1 << 40);
}
