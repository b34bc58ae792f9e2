//! What programs can do to a heap that collects itself: each must be sound, most must also make sense.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use generations::{Counters, Generation, Heap, Manual, Never, Plan, Policy, Why};
use pool::{Budget, Geometry, Heap as GlobalArenas};
use rc::{AnyRef, PoolHeap, Ref, Slot, Trace, Visitor, Weak};

type Log = Rc<RefCell<Vec<String>>>;
/// What a node does when it is asked for something.
type Act = RefCell<Option<Box<dyn FnMut(&Node)>>>;

/// Refers to others, and does what a test wants where foreign code runs.
#[derive(Default)]
struct Node {
    name: String,
    log: Log,
    next: Slot<Node>,
    others: RefCell<Vec<Ref<Node>>>,
    finalizer: RefCell<Option<Box<dyn FnMut(&Ref<Node>)>>>,
    traversed: Act,
    cleared: Act,
    dropped: Act,
}

impl Node {
    fn new(name: &str, log: &Log) -> Self {
        let mut node = Self::default();
        (node.name, node.log) = (name.into(), log.clone());
        node
    }
}

fn act(act: &Act, node: &Node) {
    let taken = act.borrow_mut().take();
    if let Some(mut taken) = taken {
        taken(node);
        act.borrow_mut().get_or_insert(taken);
    }
}

impl Trace for Node {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        act(&self.traversed, self);
        self.next.traverse(visitor);
        self.others.traverse(visitor);
    }

    fn clear_refs(&self) {
        act(&self.cleared, self);
        self.next.clear_refs();
        self.others.clear_refs();
    }

    fn finalize(this: &Ref<Self>) {
        this.log.borrow_mut().push(format!("finalize {}", this.name));
        let taken = this.finalizer.borrow_mut().take();
        if let Some(mut finalizer) = taken {
            finalizer(this);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.log.borrow_mut().push(format!("drop {}", self.name));
        act(&self.dropped, self);
    }
}

struct World {
    heap: Heap<Manual>,
    log: Log,
}

impl World {
    fn new() -> Self {
        Self { heap: Heap::new(Manual), log: Log::default() }
    }

    fn node(&self, name: &str) -> Ref<Node> {
        self.heap.alloc(Node::new(name, &self.log))
    }

    /// A ring of these, in their order.
    fn ring<const N: usize>(&self, names: [&str; N]) -> [Ref<Node>; N] {
        let ring = names.map(|name| self.node(name));
        for at in 0..N {
            ring[at].next.set(ring[(at + 1) % N].clone());
        }
        ring
    }

    fn said(&self) -> Vec<String> {
        self.log.take()
    }

    /// Nothing is left but the heap.
    fn check_empty(&self) {
        assert_eq!((self.heap.tracked(), self.heap.memory().live()), (0, 1));
        assert_eq!(self.heap.memory().stats().bytes.in_use, 0);
    }
}

fn panics(run: impl FnOnce()) {
    catch_unwind(AssertUnwindSafe(run)).unwrap_err();
}

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
    let times = Rc::new(Cell::new(0));
    let seen = times.clone();
    *b.traversed.borrow_mut() = Some(Box::new(move |_| {
        seen.set(seen.get() + 1);
        assert!(seen.get() > 2, "as the test wants");
    }));
    drop((a, b));
    for _ in 0..2 {
        panics(|| _ = world.heap.collect());
        assert!(!world.heap.is_collecting());
        assert_eq!((world.heap.tracked(), world.heap.stats()[2].collections), (2, 0));
        // `act` has lost it.
        break;
    }
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
            if self.2.get() % 7 == 0 {
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
