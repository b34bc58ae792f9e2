//! Who is collected, in which order, and who is not.

use std::cell::RefCell;
use std::rc::Rc;

use generations::{Generation, Heap, Manual};
use pool::{Budget, Geometry, Heap as GlobalArenas};
use rc::{PoolHeap, Ref, Slot, Trace, Visitor};

use super::{Log, Node, World};

#[test]
fn a_ring_dies_in_the_order_of_its_list() {
    let world = World::new();
    let [a, b, c] = world.ring(["a", "b", "c"]);
    assert_eq!(world.heap.collect().collected, 0);
    let weak = Ref::downgrade(&b);
    drop((a, b));
    assert_eq!(world.heap.collect().collected, 0);
    assert_eq!(world.heap.generation_of(Ref::as_any(&c)), Some(Generation::OLD));
    drop(c);
    assert!(weak.upgrade().is_some(), "nobody has noticed");
    let outcome = world.heap.collect();
    assert_eq!((outcome.unreachable, outcome.collected, outcome.finalized), (3, 3, 3));
    // The others had been found by c, behind it. To clear c lets a die, and b of that.
    let said = world.said();
    assert_eq!(said, ["finalize c", "finalize a", "finalize b", "drop a", "drop b", "drop c"]);
    assert!(weak.upgrade().is_none());
    drop(weak);
    world.check_empty();
}

#[test]
fn weak_references_are_cleared_before_anything_runs() {
    let world = World::new();
    let [a, b] = world.ring(["a", "b"]);
    let (weak_a, weak_b) = (Ref::downgrade(&a), Ref::downgrade(&b));
    let log = world.log.clone();
    let (also_a, also_b) = (weak_a.clone(), weak_b.clone());
    let watch = Ref::watch(&b, move || {
        assert!(also_a.upgrade().is_none() && also_b.upgrade().is_none());
        log.borrow_mut().push("callback".into());
    });
    let forgotten = Ref::watch(&a, || panic!("nobody has it any more"));
    drop((a, b, forgotten));
    let outcome = world.heap.collect();
    assert_eq!((outcome.callbacks, outcome.collected), (1, 2));
    assert_eq!(world.said(), ["callback", "finalize a", "finalize b", "drop b", "drop a"]);
    drop((weak_a, weak_b, watch));
    world.check_empty();
}

#[test]
fn who_is_brought_back_keeps_what_it_refers_to() {
    let world = World::new();
    let [a, b] = world.ring(["a", "b"]);
    let [c, d] = world.ring(["c", "d"]);
    let saved = Rc::new(RefCell::new(None));
    let place = saved.clone();
    *b.finalizer.borrow_mut() = Some(Box::new(move |b| *place.borrow_mut() = Some(b.clone())));
    let weak = Ref::downgrade(&b);
    drop((a, b, c, d));
    let outcome = world.heap.collect();
    assert_eq!((outcome.resurrected, outcome.collected), (2, 2));
    assert_eq!(world.said(), ["finalize a", "finalize b", "finalize c", "finalize d", "drop d", "drop c"]);
    assert!(weak.upgrade().is_none(), "cleared for good");
    let b = saved.take().unwrap();
    assert_eq!(b.next.get().unwrap().name, "a");
    drop(b);
    assert_eq!(world.heap.collect().collected, 2);
    assert_eq!(world.said(), ["drop a", "drop b"], "finalizers run once; b had found a");
    drop(weak);
    world.check_empty();
}

#[test]
fn what_cannot_refer_costs_what_it_costs_elsewhere() {
    let (heap, plain) = (Heap::default(), PoolHeap::default());
    let both = (heap.alloc(7_u64), plain.alloc(7_u64));
    let text = heap.alloc(String::from("no cycle comes through it"));
    let spare = plain.alloc(String::new());
    assert_eq!(heap.memory().stats().bytes.in_use, plain.stats().bytes.in_use);
    assert_eq!(
        (heap.tracked(), heap.generation_of(Ref::as_any(&text)), heap.counters().counts),
        (0, None, [0; 3])
    );
    drop((both, text, spare));
}

#[test]
fn large_and_aligned_objects_are_collected_too() {
    #[repr(align(64))]
    struct Wide<const N: usize>(#[allow(dead_code, reason = "room")] [u8; N], Slot<Wide<N>>);
    impl<const N: usize> Trace for Wide<N> {
        fn traverse(&self, visitor: &mut Visitor<'_>) {
            self.1.traverse(visitor);
        }
        fn clear_refs(&self) {
            self.1.clear_refs();
        }
    }
    fn check<const N: usize>() {
        let heap = Heap::new(Manual);
        for _ in 0..10 {
            let [one, two] = [(); 2].map(|()| heap.alloc(Wide([3; N], Slot::empty())));
            assert!(std::ptr::from_ref(&*one).is_aligned());
            one.1.set(two.clone());
            two.1.set(one);
        }
        assert_eq!(heap.collect().collected, 20);
        assert_eq!((heap.memory().live(), heap.memory().stats().bytes.in_use), (1, 0));
    }
    check::<1>();
    check::<200>();
    check::<5000>();
}

#[test]
fn collections_begin_by_themselves() {
    let heap = Heap::default();
    heap.change_policy(|policy| policy.set_thresholds([100, 3, 3]));
    for _ in 0..5000 {
        let (one, two) = (heap.alloc(Node::default()), heap.alloc(Node::default()));
        one.next.set(two.clone());
        two.next.set(one);
    }
    let [young, middle, old] = heap.stats();
    assert!(young.collections > 10 && middle.collections > 1 && old.collections > 0, "{:?}", heap.stats());
    assert!(heap.memory().live() <= 102);
    heap.set_enabled(false);
    let before = heap.stats();
    (0..1000).for_each(|_| drop(heap.alloc(Node::default())));
    let all: Vec<_> = (0..1000).map(|_| heap.alloc(Node::default())).collect();
    assert_eq!(heap.stats(), before);
    heap.set_enabled(true);
    drop((heap.alloc(Node::default()), all));
    assert_ne!(heap.stats(), before);
}

/// What is not in a slot or a cell cannot be given up: it leaks, as it does without a collector.
#[test]
fn what_cannot_be_cleared_outlives_it() {
    struct Stubborn(#[allow(dead_code, reason = "owned")] Ref<Node>, Slot<Stubborn>);
    impl Trace for Stubborn {
        fn traverse(&self, visitor: &mut Visitor<'_>) {
            self.0.traverse(visitor);
            self.1.traverse(visitor);
        }
    }
    let world = World::new();
    let stubborn = world.heap.alloc(Stubborn(world.node("owned"), Slot::empty()));
    stubborn.1.set(stubborn.clone());
    let weak = Ref::downgrade(&stubborn);
    drop(stubborn);
    let outcome = world.heap.collect();
    assert_eq!((outcome.unreachable, outcome.outlived), (2, 2), "what it owns was cleared, too, and lives");
    assert!(weak.upgrade().is_none());
    assert_eq!(world.heap.tracked(), 2);
}

#[test]
fn objects_outlive_handles_and_find_the_heap() {
    let world = World::new();
    let [a, b] = world.ring(["a", "b"]);
    let [c, d] = world.ring(["c", "d"]);
    drop((c, d));
    let (log, heap) = (world.log.clone(), world.heap.clone());
    drop(world.heap);
    assert!(log.borrow().is_empty(), "there is another handle");
    drop(heap);
    assert_eq!(log.take(), ["finalize c", "finalize d", "drop d", "drop c"]);
    assert!(Heap::<generations::Generational>::of(Ref::as_any(&a)).is_none(), "another policy");
    let heap = Heap::<Manual>::of(Ref::as_any(&a)).unwrap();
    assert_eq!((heap.tracked(), heap.memory().live()), (2, 3));
    drop((a, b));
    let e = heap.alloc(Node::new("e", &log));
    drop(heap);
    assert_eq!(log.take(), ["finalize a", "finalize b", "drop b", "drop a"]);
    drop(e);
    assert_eq!(log.take(), ["finalize e", "drop e"]);
    let plain = PoolHeap::default();
    assert!(Heap::<Manual>::of(Ref::as_any(&plain.alloc(1))).is_none());
}

#[test]
fn an_object_may_own_its_heap() {
    struct Owner(#[allow(dead_code, reason = "dropped")] RefCell<Option<Heap>>, Slot<Owner>);
    impl Trace for Owner {
        fn traverse(&self, visitor: &mut Visitor<'_>) {
            self.1.traverse(visitor);
        }
        fn clear_refs(&self) {
            self.1.clear_refs();
            drop(self.0.take());
        }
    }
    let heap = Heap::default();
    let owner = heap.alloc(Owner(RefCell::new(Some(heap.clone())), Slot::empty()));
    owner.1.set(owner.clone());
    heap.collect();
    drop(owner);
    assert_eq!(heap.collect().collected, 1);
    let owner = heap.alloc(Owner(RefCell::new(Some(heap.clone())), Slot::empty()));
    drop(heap);
    drop(owner);
}

#[test]
fn no_memory() {
    let source = Budget::new(GlobalArenas, 1);
    let heap = Heap::with_source(Manual, Geometry::for_cpython(3, 9, 0).unwrap(), source);
    for _ in 0..10_000 {
        let one = heap.try_alloc(Node::default()).unwrap_or_else(|_| panic!("cycles are collected first"));
        one.next.set(one.clone());
    }
    assert!(heap.stats()[2].collections > 1);
    let mut all = Vec::new();
    let refused = loop {
        match heap.try_alloc(Node::new("refused", &Log::default())) {
            Ok(node) => all.push(node),
            Err(value) => break value,
        }
    };
    assert_eq!((refused.name.as_str(), heap.tracked()), ("refused", all.len()));
}

#[test]
fn immortal_and_frozen_objects() {
    let world = World::new();
    let immortal = world.heap.immortal(Node::new("immortal", &Log::default()));
    immortal.next.set(world.node("kept"));
    immortal.others.borrow_mut().push(immortal.clone());
    let [a, b] = world.ring(["a", "b"]);
    drop((immortal, a, b));
    world.heap.freeze();
    assert_eq!((world.heap.frozen(), world.heap.tracked()), (4, 0));
    assert_eq!(world.heap.collect().collected, 0);
    world.heap.unfreeze();
    assert_eq!((world.heap.frozen(), world.heap.tracked()), (0, 4));
    let outcome = world.heap.collect();
    assert_eq!((outcome.collected, outcome.immortal, world.heap.tracked()), (2, 1, 1));
    assert!(!world.said().iter().any(|said| said.contains("kept")));
}

/// A heap's pools can be asked for, and an object's heap: what is allocated there is not looked at, of whichever type.
#[test]
fn objects_with_and_without_numbers() {
    let world = World::new();
    let with = world.node("with");
    let without = Ref::heap(&with).alloc(Node::new("without", &world.log));
    with.next.set(without.clone());
    without.next.set(with.clone());
    assert_eq!(world.heap.generation_of(Ref::as_any(&without)), None);
    assert!(Ref::as_any(&without).is::<Node>() && Ref::as_any(&with).is::<Node>());
    drop(without);
    assert_eq!(world.heap.collect().collected, 0);
    drop(with.next.take().unwrap().next.take());
    drop(with);
    let said = world.said();
    assert_eq!(said.iter().filter(|said| said.starts_with("drop")).count(), 2, "{said:?}");
    world.check_empty();
}

/// Deaths that have been put off while a collection begins: what they own is theirs until they come.
#[test]
fn a_ring_of_a_million() {
    let heap = Heap::new(Manual);
    let first = heap.alloc(Node::default());
    let mut last = first.clone();
    for _ in 1..1_000_000 {
        let node = heap.alloc(Node::default());
        last.next.set(node.clone());
        last = node;
    }
    last.next.set(first.clone());
    drop((first, last));
    assert_eq!(heap.collect().collected, 1_000_000);
    assert_eq!((heap.tracked(), heap.memory().live()), (0, 1));
}
