//! What foreign code can do inside of collections: each must be sound, most must also make sense.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use generations::{Counters, Generation, Heap, Manual, Never, Plan, Policy, Why};
use rc::{AnyRef, PoolHeap, Ref, Slot, Trace, Visitor, Weak};

use super::{Node, World, panics};

#[test]
fn panics_wherever_they_can_be() {
    fn set(place: &str, node: &Node) {
        let act = Box::new(|_: &Node| panic!("as the test wants"));
        match place {
            "finalizer" => *node.finalizer.borrow_mut() = Some(Box::new(|_| panic!("as the test wants"))),
            "cleared" => *node.cleared.borrow_mut() = Some(act),
            _ => *node.dropped.borrow_mut() = Some(act),
        }
    }
    for place in ["finalizer", "cleared", "dropped", "callback"] {
        let world = World::new();
        let [a, b, c] = world.ring(["a", "b", "c"]);
        let [d, e] = world.ring(["d", "e"]);
        let watch = (place == "callback").then(|| Ref::watch(&d, || panic!("as the test wants")));
        if place != "callback" {
            set(place, if place == "cleared" { &a } else { &b });
        }
        let weak = Ref::downgrade(&e);
        drop((a, b, c, d, e));
        panics(|| _ = world.heap.collect());
        assert!(!world.heap.is_collecting());
        let stats = world.heap.stats()[2];
        assert_eq!((stats.collections, weak.upgrade().is_none()), (1, true), "{place}");
        // One whose clearing was interrupted refers to others still.
        world.heap.collect();
        drop((weak, watch));
        let said = world.said();
        assert_eq!(said.iter().filter(|said| said.starts_with("drop")).count(), 5, "{place}: {said:?}");
        world.check_empty();
    }
}

#[test]
fn a_traversal_that_panics_lets_all_live() {
    let world = World::new();
    let [a, b] = world.ring(["a", "b"]);
    *b.traversed.borrow_mut() = Some(Box::new(|_| panic!("as the test wants")));
    drop((a, b));
    panics(|| _ = world.heap.collect());
    assert!(!world.heap.is_collecting());
    assert_eq!((world.heap.tracked(), world.heap.stats()[2].collections), (2, 0));
    // `act` has lost it.
    assert_eq!(world.heap.collect().collected, 2);
    world.check_empty();
}

/// The second look, after finalizers, finds a traversal that panics: then it is as if all had been brought back to life.
#[test]
fn a_second_traversal_that_panics_lets_all_live() {
    let world = World::new();
    let [a, b] = world.ring(["a", "b"]);
    *a.finalizer.borrow_mut() = Some(Box::new(|a| {
        *a.traversed.borrow_mut() = Some(Box::new(|_| panic!("as the test wants")));
    }));
    drop((a, b));
    panics(|| _ = world.heap.collect());
    assert_eq!((world.heap.tracked(), world.heap.is_collecting()), (2, false));
    assert_eq!(world.heap.collect().collected, 2);
    world.check_empty();
}

#[test]
fn a_hundred_panics_leave_nothing_behind() {
    let world = World::new();
    for _ in 0..100 {
        let [a, b] = world.ring(["a", "b"]);
        *a.traversed.borrow_mut() = Some(Box::new(|_| panic!("as the test wants")));
        drop((a, b));
        panics(|| _ = world.heap.collect());
    }
    assert_eq!(world.heap.collect().collected, 200);
    world.check_empty();
}

/// Foreign code that asks for a collection inside of one gets none.
#[test]
fn collections_inside_of_collections() {
    let world = World::new();
    let [a, b] = world.ring(["a", "b"]);
    let nested = Rc::new(Cell::new(0));
    let ask = |heap: &Heap<Manual>, nested: &Rc<Cell<u32>>| {
        let (heap, nested) = (heap.clone(), nested.clone());
        move || {
            assert_eq!(heap.collect(), Default::default());
            assert_eq!(heap.collect_generation(Generation::YOUNG), Default::default());
            nested.set(nested.get() + 1);
        }
    };
    let (finalizer, traversed, cleared, dropped, callback) = (
        ask(&world.heap, &nested),
        ask(&world.heap, &nested),
        ask(&world.heap, &nested),
        ask(&world.heap, &nested),
        ask(&world.heap, &nested),
    );
    *a.finalizer.borrow_mut() = Some(Box::new(move |_| finalizer()));
    *a.traversed.borrow_mut() = Some(Box::new(move |_| traversed()));
    *b.cleared.borrow_mut() = Some(Box::new(move |_| cleared()));
    *b.dropped.borrow_mut() = Some(Box::new(move |_| dropped()));
    let watch = Ref::watch(&a, callback);
    drop((a, b));
    assert_eq!(world.heap.collect().collected, 2);
    assert!(nested.get() >= 5, "{}", nested.get());
    drop(watch);
    assert_eq!(world.heap.tracked(), 0);
}

/// A traversal may allocate, clone, drop: nothing dies before it is over.
#[test]
fn a_traversal_that_changes_everything() {
    let world = World::new();
    let [a, b] = world.ring(["a", "b"]);
    let heap = world.heap.clone();
    let born = Rc::new(RefCell::new(Vec::new()));
    let kept = born.clone();
    *a.traversed.borrow_mut() = Some(Box::new(move |a| {
        kept.borrow_mut().push(heap.alloc(Node::default()));
        drop(heap.alloc(Node::default()));
        heap.freeze();
        heap.set_enabled(true);
        assert_eq!(heap.change_policy(|_| ()), None);
        // The ring is broken here, and b dies, when all have been looked at.
        drop(a.next.take());
    }));
    let extra = world.node("extra");
    b.others.borrow_mut().push(extra.clone());
    drop(b);
    world.heap.collect();
    assert_eq!(world.said(), ["finalize b", "drop b"]);
    assert_eq!(world.heap.generation_of(Ref::as_any(&extra)), Some(Generation::OLD));
    let born: Vec<_> = born.take();
    assert!(born.iter().all(|one| world.heap.generation_of(Ref::as_any(one)) == Some(Generation::YOUNG)));
    drop(a.traversed.take());
    assert_eq!(world.heap.tracked(), 2 + born.len());
    drop((a, extra, born));
    world.check_empty();
}

/// Tells of references that it does not own, and does not tell of those that it owns.
#[test]
fn a_traversal_that_lies() {
    struct Liar(RefCell<Option<AnyRef>>, Slot<Node>, Weak<Node>);
    impl Trace for Liar {
        fn traverse(&self, visitor: &mut Visitor<'_>) {
            for _ in 0..3 {
                self.0.borrow().iter().for_each(|other| visitor.visit(other));
                self.2.upgrade().iter().for_each(|other| other.traverse(visitor));
            }
        }
        fn clear_refs(&self) {
            self.1.clear_refs();
        }
    }
    let world = World::new();
    let [a, b] = world.ring(["a", "b"]);
    let liar = world.heap.alloc(Liar(
        RefCell::new(Some(Ref::into_any(a.clone()))),
        b.clone().into_slot(),
        Ref::downgrade(&a),
    ));
    for _ in 0..3 {
        world.heap.collect();
    }
    // It may have been cleared, but it is there.
    assert_eq!((a.name.as_str(), b.name.as_str()), ("a", "b"));
    drop((a, b));
    world.heap.collect();
    drop(liar);
    world.heap.collect();
    assert_eq!(world.heap.memory().stats().bytes.in_use, 0);
}

trait IntoSlot {
    fn into_slot(self) -> Slot<Node>;
}

impl IntoSlot for Ref<Node> {
    fn into_slot(self) -> Slot<Node> {
        Slot::new(self)
    }
}

/// What is in another heap may die while this one is looked at.
#[test]
fn references_to_other_heaps() {
    struct Across(RefCell<Option<Ref<Node>>>, RefCell<Option<Ref<u64>>>, Slot<Across>);
    impl Trace for Across {
        fn traverse(&self, visitor: &mut Visitor<'_>) {
            // Shown, and gone.
            let shown = self.0.take();
            shown.traverse(visitor);
            drop(shown);
            let shown = self.1.take();
            shown.traverse(visitor);
            drop(shown);
            self.2.traverse(visitor);
        }
        fn clear_refs(&self) {
            self.2.clear_refs();
        }
    }
    let (world, other, plain) = (World::new(), World::new(), PoolHeap::default());
    for _ in 0..200 {
        let across = world.heap.alloc(Across(
            RefCell::new(Some(other.node("other"))),
            RefCell::new(Some(plain.alloc(7))),
            Slot::empty(),
        ));
        across.2.set(across.clone());
    }
    assert_eq!((other.heap.tracked(), plain.live()), (200, 201));
    assert_eq!(world.heap.collect().collected, 200);
    world.check_empty();
    other.check_empty();
    assert_eq!(plain.live(), 1);
    // A cycle through two heaps is seen by neither.
    let (here, there) = (world.node("here"), other.node("there"));
    here.next.set(there.clone());
    there.next.set(here.clone());
    drop((here, there));
    assert_eq!((world.heap.collect().collected, other.heap.collect().collected), (0, 0));
    assert_eq!((world.heap.tracked(), other.heap.tracked()), (1, 1));
}

#[test]
fn garbage_that_garbage_lets_die() {
    let world = World::new();
    let [a, b] = world.ring(["a", "b"]);
    let [c, d] = world.ring(["c", "d"]);
    let weak = RefCell::new(Some(c.clone()));
    a.others.borrow_mut().push(d.clone());
    *a.finalizer.borrow_mut() = Some(Box::new(move |a| {
        // The other ring is broken before its finalizers had their turn.
        weak.borrow_mut().take().into_iter().for_each(|c| drop(c.next.take()));
        a.others.borrow_mut().clear();
    }));
    drop((a, b, c, d));
    // c is held by a finalizer that cannot be seen, so all of its ring is in use.
    let outcome = world.heap.collect();
    assert_eq!((outcome.unreachable, outcome.collected), (2, 2));
    world.heap.collect();
    world.check_empty();
}

#[test]
fn a_collection_in_the_middle_of_deep_deaths() {
    struct Link(Slot<Link>, Heap<Manual>, Rc<Cell<u32>>);
    impl Trace for Link {
        fn traverse(&self, visitor: &mut Visitor<'_>) {
            self.0.traverse(visitor);
        }
        fn clear_refs(&self) {
            self.0.clear_refs();
        }
    }
    impl Drop for Link {
        fn drop(&mut self) {
            self.2.set(self.2.get() + 1);
            if self.2.get().is_multiple_of(7) {
                self.1.collect();
            }
        }
    }
    let heap = Heap::new(Manual);
    let dropped = Rc::new(Cell::new(0));
    let mut head = None;
    for _ in 0..500 {
        head = Some(heap.alloc(Link(Slot::from(head), heap.clone(), dropped.clone())));
    }
    drop(head);
    assert_eq!((dropped.get(), heap.tracked(), heap.memory().live()), (500, 0, 1));
}

#[test]
fn policies() {
    /// Uses the heap that it is the policy of.
    struct Nosy(Rc<RefCell<Option<Heap<Nosy>>>>);
    impl Policy for Nosy {
        fn alarm(&self) -> generations::Alarm {
            generations::Alarm { young: 10, ..generations::Alarm::NEVER }
        }
        fn plan(&mut self, _: &Counters, _: Why) -> Option<Plan> {
            let heap = self.0.borrow().clone();
            let heap = heap?;
            heap.collect();
            heap.freeze();
            assert_eq!((heap.tracked(), heap.stats(), heap.is_collecting()), (0, Default::default(), true));
            let [one, two] = [(); 2].map(|()| heap.alloc(Node::default()));
            one.next.set(two.clone());
            two.next.set(one);
            Some(Plan::whole(Generation::OLD))
        }
    }
    let own = Rc::new(RefCell::new(None));
    let heap = Heap::new(Nosy(own.clone()));
    *own.borrow_mut() = Some(heap.clone());
    for _ in 0..100 {
        let one = heap.alloc(Node::default());
        one.next.set(one.clone());
    }
    assert!(heap.stats()[2].collected > 50, "{:?}", heap.stats());
    drop(own.take());

    let never = Heap::new(Never);
    let one = never.alloc(Node::default());
    one.next.set(one.clone());
    drop(one);
    assert_eq!((never.collect(), never.tracked()), (Default::default(), 1));
}
