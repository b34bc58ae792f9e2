//! What safe code can do to typed pointers: each must be sound, most must also make sense.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, LinkedList};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use pool::{Budget, Geometry, Heap as GlobalArenas};
use rc::{AnyRef, Count, Leaf, PoolHeap, Ref, Slot, Trace, Visitor, Weak};

/// Counts how often it is dropped.
struct Bell(Rc<Cell<u32>>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

impl Trace for Bell {
    const REFERS: bool = false;

    fn traverse(&self, _: &mut Visitor<'_>) {
        panic!("it refers to nothing");
    }
}

#[derive(Default)]
struct Node {
    next: Slot<Node>,
}

impl Trace for Node {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.next.traverse(visitor);
    }

    fn clear_refs(&self) {
        self.next.clear_refs();
    }
}

#[test]
fn pointers_are_thin_and_so_are_options() {
    let word = size_of::<usize>();
    assert_eq!([size_of::<Ref<Node>>(), size_of::<Option<Ref<[u64; 9]>>>(), size_of::<AnyRef>()], [word; 3]);
    assert_eq!([size_of::<Weak<Node>>(), size_of::<Option<Weak<()>>>(), size_of::<Slot<Node>>()], [word; 3]);
}

#[test]
fn counts_and_identity() {
    let heap = PoolHeap::default();
    let one = heap.alloc(Node::default());
    let two = one.clone();
    assert_eq!((Ref::count(&one), &one), (Count::Mortal(2), &two));
    assert_ne!(one, heap.alloc(Node::default()));
    let any = Ref::into_any(two);
    assert_eq!((any.count(), any.clone() == any), (Count::Mortal(2), true));
    assert!(any.refers() && any.is::<Node>() && !any.is::<Bell>());
    assert!(format!("{any:?}").contains("Node at 0x"), "{any:?}");
    assert_eq!(format!("{one:?}"), format!("{any:?}"));
    let any = any.downcast::<u64>().unwrap_err();
    assert_eq!(any.downcast::<Node>().unwrap(), one);
    assert_eq!(heap.live(), 2);
    assert!(PoolHeap::ptr_eq(&Ref::heap(&one), &heap));
}

/// Sizes and alignments that pools serve, and those that they do not.
#[test]
fn every_layout() {
    #[repr(align(64))]
    #[derive(Clone, Copy)]
    struct Wide(u8);
    #[repr(align(4096))]
    #[derive(Clone, Copy)]
    struct Page(u8);

    fn check<T: Copy + 'static>(heap: &PoolHeap, value: T, same: impl Fn(&T, &T) -> bool) {
        let all: Vec<_> = (0..100).map(|_| heap.alloc(Leaf(value))).collect();
        for one in &all {
            assert!(same(&one.0, &value));
            assert!(std::ptr::from_ref(&one.0).is_aligned());
            let any = Ref::as_any(one).clone();
            assert!(same(&any.downcast::<Leaf<T>>().unwrap().0, &value));
        }
        for (at, one) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|other| other != one));
        }
    }
    for name in ["textbook", "cpython-3.8", "cpython-3.10"] {
        let heap = PoolHeap::new(pool::preset(name).unwrap().geometry);
        check(&heap, (), |(), ()| true);
        check(&heap, 7_u8, |a, b| a == b);
        check(&heap, 1_u128 << 100, |a, b| a == b);
        check(&heap, [3_u64; 62], |a, b| a == b);
        check(&heap, [3_u64; 63], |a, b| a == b);
        check(&heap, [5_u8; 100_000], |a, b| a == b);
        check(&heap, Wide(9), |a, b| a.0 == b.0);
        check(&heap, Page(9), |a, b| a.0 == b.0);
        assert_eq!((heap.live(), heap.stats().bytes.in_use), (1, 0));
    }
}

#[test]
fn a_list_of_ten_million_dies_in_order() {
    thread_local!(static LAST: Cell<u64> = const { Cell::new(0) });
    struct Link(u64, #[allow(dead_code, reason = "dropped")] Option<Ref<Link>>);
    impl Drop for Link {
        fn drop(&mut self) {
            assert_eq!(LAST.replace(self.0), self.0 + 1);
        }
    }
    impl Trace for Link {
        fn traverse(&self, visitor: &mut Visitor<'_>) {
            self.1.traverse(visitor);
        }
    }
    let heap = PoolHeap::default();
    let mut head = None;
    for value in 0..10_000_000 {
        head = Some(heap.alloc(Link(value, head)));
    }
    LAST.set(10_000_000);
    drop(head);
    assert_eq!((LAST.get(), heap.live()), (0, 1));
}

#[test]
fn the_heap_outlives_its_handle() {
    let rung = Rc::new(Cell::new(0));
    let heap = PoolHeap::default();
    let bell = heap.alloc(Bell(rung.clone()));
    let large = heap.alloc([1_u64; 1000]);
    let weak = Ref::downgrade(&bell);
    drop(heap);
    let again = Ref::heap(&bell);
    let other = again.alloc(5_u32);
    drop(again);
    assert_eq!((*other, large[999]), (5, 1));
    drop(bell);
    assert_eq!(rung.get(), 1);
    drop((other, large));
    // Nothing but this needs the heap now.
    assert!(weak.upgrade().is_none());
}

/// Takes its heap's last handle with it.
#[test]
fn an_object_may_own_its_heap() {
    struct Owner(#[allow(dead_code, reason = "dropped")] RefCell<Option<PoolHeap>>, Bell);
    impl Trace for Owner {
        fn traverse(&self, _: &mut Visitor<'_>) {}
    }
    let rung = Rc::new(Cell::new(0));
    let heap = PoolHeap::default();
    let owner = heap.alloc(Owner(RefCell::new(None), Bell(rung.clone())));
    assert_eq!(owner.1.0.get(), 0);
    owner.0.replace(Some(heap));
    drop(owner);
    assert_eq!(rung.get(), 1);
}

#[test]
fn without_memory_the_value_comes_back() {
    let geometry = Geometry::for_cpython(3, 12, 0).unwrap();
    let heap = PoolHeap::with_source(geometry, Budget::new(GlobalArenas, 1));
    let mut all = Vec::new();
    let refused = loop {
        match heap.try_alloc([all.len() as u64; 60]) {
            Ok(one) => all.push(one),
            Err(value) => break value,
        }
    };
    assert_eq!(refused, [all.len() as u64; 60]);
    assert!(all.len() > 1000, "{}", all.len());
    all.pop();
    assert!(heap.try_alloc([0_u64; 60]).is_ok());
    for (at, one) in all.iter().enumerate() {
        assert_eq!(**one, [at as u64; 60]);
    }
}

/// Blocks that are kept at hand for one type are a pool for another one when memory runs out.
#[test]
fn what_is_at_hand_is_given_up_for_others() {
    let geometry = Geometry::for_cpython(3, 12, 0).unwrap();
    let heap = PoolHeap::with_source(geometry, Budget::new(GlobalArenas, 1));
    let mut all = Vec::new();
    while let Ok(one) = heap.try_alloc([0_u64; 60]) {
        all.push(one);
    }
    assert_eq!(heap.stats().bytes.in_use, 496 * all.len() as u64);
    assert!(heap.try_alloc(1_u64).is_err());
    let of_a_pool = geometry.blocks_per_pool(geometry.class_of(496).unwrap());
    assert!(all.len().is_multiple_of(of_a_pool));
    all.truncate(all.len() - of_a_pool);
    assert_eq!(heap.try_alloc(1_u64).as_deref(), Ok(&1));
    assert_eq!(heap.stats().bytes.in_use, 496 * all.len() as u64);
    assert_eq!(heap.live(), 1 + all.len());
}

/// As many as are kept at hand, fewer and more, over and over.
#[test]
fn objects_that_come_and_go() {
    let heap = PoolHeap::default();
    for count in [1, 15, 16, 17, 100, 1000, 16, 1] {
        let all: Vec<_> = (0..count).map(|n| (heap.alloc(n), heap.alloc([n; 3]))).collect();
        assert!(all.iter().enumerate().all(|(at, (one, three))| **one == at && **three == [at; 3]));
        assert_eq!(heap.live(), 1 + 2 * count);
    }
    assert_eq!((heap.live(), heap.stats().bytes.in_use), (1, 0));
}

#[test]
fn immortals_stay() {
    let rung = Rc::new(Cell::new(0));
    let heap = PoolHeap::default();
    let one = heap.immortal(Bell(rung.clone()));
    let two = heap.alloc(Bell(rung.clone()));
    Ref::immortalize(&two);
    let clones: Vec<_> = (0..10).map(|_| (one.clone(), two.clone())).collect();
    assert_eq!((Ref::count(&one), Ref::count(&two)), (Count::Immortal, Count::Immortal));
    let weak = Ref::downgrade(&two);
    drop((clones, one, two));
    assert_eq!((rung.get(), heap.live()), (0, 4));
    assert_eq!(weak.upgrade().map(|two| Ref::count(&two)), Some(Count::Immortal));
}

#[test]
fn cycles_leak_until_they_are_cleared() {
    let heap = PoolHeap::default();
    let node = heap.alloc(Node::default());
    node.next.set(node.clone());
    let weak = Ref::downgrade(&node);
    drop(node);
    assert_eq!(heap.live(), 3);
    Ref::as_any(&weak.upgrade().unwrap()).clear_refs();
    assert!(weak.upgrade().is_none());
    assert_eq!(heap.live(), 2);
}

/// A finalizer that resurrects, once; then it is not asked again.
#[test]
fn finalizers_run_once() {
    struct Lazarus {
        grave: Rc<RefCell<Vec<Ref<Lazarus>>>>,
        finalized: Rc<Cell<u32>>,
        weak: RefCell<Option<Weak<Lazarus>>>,
        _bell: Bell,
    }
    impl Trace for Lazarus {
        fn traverse(&self, _: &mut Visitor<'_>) {}

        fn finalize(this: &Ref<Self>) {
            this.finalized.set(this.finalized.get() + 1);
            assert_eq!(Ref::count(this), Count::Mortal(1));
            assert_eq!(this.weak.borrow().as_ref().unwrap().upgrade().as_ref(), Some(this));
            this.grave.borrow_mut().push(this.clone());
        }
    }
    let (grave, finalized, rung) = (Rc::default(), Rc::default(), Rc::new(Cell::new(0)));
    let heap = PoolHeap::default();
    let one = heap.alloc(Lazarus {
        grave: Rc::clone(&grave),
        finalized: Rc::clone(&finalized),
        weak: RefCell::default(),
        _bell: Bell(rung.clone()),
    });
    let weak = Ref::downgrade(&one);
    one.weak.replace(Some(weak.clone()));
    drop(one);
    assert_eq!((finalized.get(), rung.get(), grave.borrow().len()), (1, 0, 1));
    assert_eq!(weak.upgrade().as_ref(), grave.borrow().first());
    let last = grave.borrow_mut().pop();
    drop(last);
    assert_eq!((finalized.get(), rung.get(), grave.borrow().len()), (1, 1, 0));
    assert!(weak.upgrade().is_none());
}

#[test]
fn callbacks_newest_first_and_only_of_what_lives() {
    let heap = PoolHeap::default();
    let log: Rc<RefCell<Vec<&str>>> = Rc::default();
    let says = |word: &'static str| {
        let log = log.clone();
        move || log.borrow_mut().push(word)
    };
    let target = heap.alloc(0_u8);
    let plain = Ref::downgrade(&target);
    let first = Ref::watch(&target, says("first"));
    let second = Ref::watch(&target, says("second"));
    let third = Ref::watch(&target, says("third"));
    let copy = third.clone();
    assert!(Weak::ptr_eq(&plain, &Ref::downgrade(&target)) && !Weak::ptr_eq(&plain, &first));
    assert!(Weak::ptr_eq(&copy, &third));
    drop((second, third));
    let (late, watch) = (Ref::downgrade(&target), Ref::watch(&target, says("watch")));
    drop(target);
    assert_eq!(*log.borrow(), ["watch", "third", "first"]);
    assert!([&plain, &first, &copy, &late, &watch].iter().all(|weak| weak.upgrade().is_none()));
    drop((plain, first, copy, late, watch));
    assert_eq!(heap.live(), 1);
}

/// Weak references that come and go in every order.
#[test]
fn lists_of_weak_references() {
    let heap = PoolHeap::default();
    for drop_order in 0..24 {
        let target = heap.alloc(1_u8);
        let ran = Rc::new(Cell::new(0));
        let watch = || {
            let ran = ran.clone();
            Some(Ref::watch(&target, move || ran.set(ran.get() + 1)))
        };
        let mut all = [watch(), Some(Ref::downgrade(&target)), watch(), watch()];
        let (mut left, mut order) = (vec![0, 1, 2, 3], drop_order);
        for choices in (3..=4).rev() {
            let at = left.remove(order % choices);
            order /= choices;
            all[at] = None;
        }
        let expected = left.iter().filter(|&&at| at != 1).count();
        drop(target);
        assert_eq!(ran.get(), expected, "{left:?}");
    }
    assert_eq!(heap.live(), 1);
}

/// Objects that own nothing, but whose finalizers let the next one die: the trashcan bounds these, too.
#[test]
fn finalizers_that_go_on_and_on() {
    thread_local!(static LEFT: RefCell<Vec<Ref<Next>>> = const { RefCell::new(Vec::new()) });
    struct Next;
    impl Trace for Next {
        const REFERS: bool = false;

        fn traverse(&self, _: &mut Visitor<'_>) {}

        fn finalize(_: &Ref<Self>) {
            let next = LEFT.with_borrow_mut(Vec::pop);
            drop(next);
        }
    }
    let heap = PoolHeap::default();
    LEFT.with_borrow_mut(|left| left.extend((0..1_000_000).map(|_| heap.alloc(Next))));
    drop(LEFT.with_borrow_mut(Vec::pop));
    assert_eq!(heap.live(), 1);
}

/// A callback that lets other objects die, makes new ones, and drops the weak reference whose callback it is.
#[test]
fn callbacks_may_do_anything() {
    let heap = PoolHeap::default();
    let target = heap.alloc(Node::default());
    let other = heap.alloc(Node::default());
    let held: Rc<RefCell<Vec<Weak<Node>>>> = Rc::default();
    let seen = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let (inside, heap, other, seen) =
            (held.clone(), heap.clone(), RefCell::new(Some(other.clone())), seen.clone());
        let weak = Ref::watch(&target, move || {
            inside.borrow_mut().clear();
            let new = heap.alloc(Node { next: Slot::from(other.take()) });
            let weak = Ref::downgrade(&new);
            drop(new);
            assert!(weak.upgrade().is_none());
            seen.set(seen.get() + 1);
        });
        held.borrow_mut().push(weak);
    }
    drop(other);
    drop(target);
    // The first one dropped the others, which were held for their turn.
    assert_eq!((seen.get(), heap.live()), (3, 1));
}

/// During a traversal nothing dies; afterwards everything does that has to.
#[test]
fn deaths_wait_for_traversals() {
    thread_local!(static DROPPED: Cell<u32> = const { Cell::new(0) });
    struct Leaky(RefCell<Vec<Ref<Leaky>>>);
    impl Drop for Leaky {
        fn drop(&mut self) {
            DROPPED.set(DROPPED.get() + 1);
        }
    }
    impl Trace for Leaky {
        fn traverse(&self, visitor: &mut Visitor<'_>) {
            // Against all manners, but safe.
            let all = self.0.take();
            let before = DROPPED.get();
            all.traverse(visitor);
            drop(all);
            assert_eq!(DROPPED.get(), before);
        }
    }
    let heap = PoolHeap::default();
    let leaf = || heap.alloc(Leaky(RefCell::default()));
    let one = heap.alloc(Leaky(RefCell::new(vec![leaf(), leaf()])));
    let mut seen = Vec::new();
    let mut weak = None;
    Ref::as_any(&one).traverse(|other| {
        seen.push(other.count());
        // Traversals inside of each other.
        other.traverse(|_| ());
        weak = other.downcast_ref::<Leaky>().map(Ref::downgrade);
    });
    assert_eq!(seen, [Count::Mortal(1), Count::Mortal(1)]);
    assert_eq!((DROPPED.get(), heap.live()), (2, 3));
    assert!(weak.unwrap().upgrade().is_none());
    // What waits for its death is dead already.
    let weak: Rc<RefCell<Option<Weak<Leaky>>>> = Rc::default();
    one.0.replace(vec![leaf(), leaf()]);
    let held = RefCell::new(Some(leaf()));
    Ref::as_any(&one).traverse(|_| {
        if let Some(held) = held.take() {
            weak.replace(Some(Ref::downgrade(&held)));
            drop(held);
            assert!(weak.borrow().as_ref().unwrap().upgrade().is_none());
        }
    });
    assert_eq!(DROPPED.get(), 5);
}

#[test]
fn slots_while_they_are_traversed() {
    let heap = PoolHeap::default();
    let (one, two) = (heap.alloc(Node::default()), heap.alloc(Node::default()));
    one.next.set(two.clone());
    // It reads as empty, and is as before afterwards.
    Ref::as_any(&one).traverse(|other| {
        assert_eq!((other.count(), one.next.get()), (Count::Mortal(2), None));
    });
    assert_eq!(one.next.get().as_ref(), Some(&two));
    // What is put there meanwhile stays.
    Ref::as_any(&one).traverse(|_| one.next.set(one.clone()));
    assert_eq!(one.next.replace(None).as_ref(), Some(&one));
    // A panic puts it back, too.
    one.next.set(two.clone());
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    catch_unwind(AssertUnwindSafe(|| Ref::as_any(&one).traverse(|_| panic!("as the test wants"))))
        .unwrap_err();
    std::panic::set_hook(hook);
    assert_eq!(one.next.take().as_ref(), Some(&two));
    drop((one, two));
    assert_eq!(heap.live(), 1);
}

/// Has a place among others, as what is in a heap of `std` must.
#[derive(PartialEq, Eq)]
struct Ranked(u8, Ref<u8>);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Trace for Ranked {
    const FINALIZES: bool = false;
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.1.traverse(visitor);
    }
}

/// Everything that can hold references shows them, and gives up those that it can.
#[test]
fn containers_are_traversed() {
    let heap = PoolHeap::default();
    let leaf = || heap.alloc(1_u8);
    fn seen<T: Trace>(heap: &PoolHeap, value: T) -> (usize, usize) {
        let object = heap.alloc(value);
        let count = || {
            let mut seen = 0;
            Ref::as_any(&object).traverse(|_| seen += 1);
            seen
        };
        let before = count();
        Ref::as_any(&object).clear_refs();
        (before, count())
    }
    assert_eq!(seen(&heap, (leaf(), Some(leaf()), None::<Ref<u8>>, 3_u8)), (2, 2));
    assert_eq!(seen(&heap, Slot::new(leaf())), (1, 0));
    assert_eq!(seen(&heap, [Slot::new(leaf()), Slot::empty()]), (1, 0));
    assert_eq!(seen(&heap, RefCell::new(vec![leaf(), leaf()])), (2, 0));
    assert_eq!(seen(&heap, (RefCell::new(Some(Box::new(leaf()))), String::new())), (1, 0));
    assert_eq!(seen(&heap, BTreeMap::from([(1_u8, Slot::new(leaf()))])), (1, 0));
    assert_eq!(seen(&heap, vec![Ref::into_any(leaf())].into_boxed_slice()), (1, 1));
    assert_eq!(seen(&heap, HashMap::from([(1_u8, Slot::new(leaf())), (2, Slot::empty())])), (1, 0));
    assert_eq!(seen(&heap, RefCell::new(HashMap::from([("a", leaf()), ("b", leaf())]))), (2, 0));
    assert_eq!(seen(&heap, RefCell::new(HashSet::from([leaf(), leaf()]))), (2, 0));
    assert_eq!(seen(&heap, LinkedList::from([Slot::new(leaf())])), (1, 0));
    assert_eq!(seen(&heap, RefCell::new(BinaryHeap::from([Ranked(1, leaf())]))), (1, 0));
    assert_eq!(seen(&heap, HashSet::from([1_u8])), (0, 0));
    assert_eq!(seen(&heap, Ref::downgrade(&leaf())), (0, 0));
    assert_eq!(seen(&heap, vec![1_u64, 2]), (0, 0));
    // Borrowed: neither seen nor cleared.
    let cell = heap.alloc(RefCell::new(vec![leaf()]));
    let borrowed = cell.borrow_mut();
    Ref::as_any(&cell).traverse(|_| panic!("it is borrowed"));
    Ref::as_any(&cell).clear_refs();
    assert_eq!(borrowed.len(), 1);
}

#[test]
fn forgotten_references_leak_and_no_more() {
    let heap = PoolHeap::default();
    let one = heap.alloc(Node::default());
    std::mem::forget(one.clone());
    let weak = Ref::downgrade(&one);
    std::mem::forget(weak.clone());
    drop(one);
    assert_eq!(weak.upgrade().map(|one| Ref::count(&one)), Some(Count::Mortal(2)));
    drop(weak);
    assert_eq!(heap.live(), 3);
}

/// More types than the cache has places, some of which share one.
#[test]
fn many_types() {
    struct Sized<const N: usize>(#[allow(dead_code, reason = "only its size matters")] [u8; N]);
    impl<const N: usize> Trace for Sized<N> {
        const REFERS: bool = false;
        fn traverse(&self, _: &mut Visitor<'_>) {}
    }
    macro_rules! all {
        ($heap:ident, $all:ident: $($n:literal)*) => {
            $($all.push(Ref::into_any($heap.alloc(Sized([0; $n])))); assert!($all.last().unwrap().is::<Sized<$n>>());)*
        };
    }
    let heap = PoolHeap::default();
    let mut all: Vec<AnyRef> = Vec::new();
    for _ in 0..3 {
        all!(heap, all: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34
            35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64 65 66 67 68 69 70
            71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95 96 97 98 99);
    }
    let names: std::collections::BTreeSet<_> = all.iter().map(AnyRef::type_name).collect();
    assert_eq!((names.len(), all.len(), heap.live()), (100, 300, 301));
    drop(all);
    assert_eq!(heap.live(), 1);
}
