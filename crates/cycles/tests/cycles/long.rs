//! A million objects in one cycle, and in one chain: nothing recurses, nothing takes its square.

use bumpalo::Bump;
use cycles::{Collection, Graph, Limits, Plan, Rules, Snapshot, Step, anatomy, second_opinion};
use rc::{Counting, Death, Deaths};

use crate::numbers::{Numbers, OLD, YOUNG};

const MANY: usize = 1_000_000;
const PLAN: Plan = Plan { young: YOUNG, old: OLD, permanent: OLD, saves_all: false };

/// Each owns the next one; the last to be tracked first, so that the order of the list is against that of the references.
fn chain(backwards: bool) -> Numbers {
    let mut heap = Numbers::new(MANY);
    (1..MANY).for_each(|member| heap.own(member - 1, member));
    for at in 0..MANY {
        cycles::track(&mut heap, if backwards { MANY - 1 - at } else { at }, YOUNG);
    }
    heap
}

#[test]
fn a_ring_dies_of_the_first_that_is_cleared() {
    for backwards in [false, true] {
        let mut heap = chain(backwards);
        heap.own(MANY - 1, 0);
        let rules = Rules::for_cpython(3, 13, 0).unwrap();
        let mut deaths = Deaths::new(rc::Rules::for_cpython(3, 12).unwrap());
        let scratch = Bump::new();
        let (mut collection, snapshot, partition) =
            Collection::begin(&mut heap, PLAN, rules, &scratch).unwrap();
        assert_eq!(partition.unreachable().count(), MANY);

        let graph = Graph::among(&snapshot, partition.unreachable(), &scratch);
        let anatomy = anatomy(graph, |_| (), |_| 1, Limits::default(), &scratch);
        assert_eq!(anatomy.knots.len(), 1);
        assert_eq!((anatomy.knots[0].cycle.len(), anatomy.knots[0].is_shortest), (MANY, true));
        assert_eq!(anatomy.knots[0].retained, Some(MANY as u64));

        let mut freed = 0;
        loop {
            let released = match collection.next(&mut heap, &scratch).unwrap() {
                Step::Clear(object) => heap.owned[object].pop().unwrap(),
                Step::Release(object) => object,
                Step::Done(outcome) => {
                    assert_eq!(outcome.collected, MANY);
                    break;
                }
                step => panic!("{step:?}"),
            };
            deaths.decrement(&mut heap, released).unwrap();
            while let Some(death) = deaths.next(&mut heap).unwrap() {
                if let Death::Free(object) = death {
                    cycles::untrack(&mut heap, object);
                    freed += 1;
                }
            }
        }
        assert_eq!(freed, MANY);
    }
}

#[test]
fn a_chain_that_is_held_at_its_head_is_rescued_to_its_end() {
    let mut heap = chain(true);
    heap.counts[0] += 1;
    let scratch = Bump::new();
    let snapshot = Snapshot::take(&mut heap, YOUNG, Counting::PLAIN, &scratch).unwrap();
    let partition = snapshot.partition(&scratch);
    assert_eq!((partition.unreachable().count(), partition.rescued().len()), (0, MANY - 1));
    assert_eq!(second_opinion(&snapshot, &scratch).len(), MANY);
}

#[test]
fn what_hangs_off_a_knot_hangs_off_it_however_far() {
    let mut heap = chain(false);
    heap.own(0, 0);
    let scratch = Bump::new();
    let snapshot = Snapshot::take(&mut heap, YOUNG, Counting::PLAIN, &scratch).unwrap();
    let anatomy = anatomy(Graph::of(&snapshot, &scratch), |at| at, |_| 1, Limits::default(), &scratch);
    assert_eq!(anatomy.knots[0].hanging.len(), MANY - 1);
    assert!(!anatomy.is_dominated && anatomy.knots[0].retained.is_none());
}
