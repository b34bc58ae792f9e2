//! What safe code can do with the numbers of objects: each must be sound.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use pool::Geometry;
use rc::{AnyRef, Keeper, Look, Number, PoolHeap, Ref, Registry, Slot, Surveyor, Trace, Visitor};

/// Writes down who goes, and does what a test wants then.
#[derive(Default)]
struct Book {
    gone: RefCell<Vec<(Number, u32)>>,
    panics: Cell<bool>,
    registry: RefCell<Option<Registry>>,
}

impl Keeper for Book {
    fn gone(&self, number: Number, word: u32) {
        let registry = self.registry.take();
        if let Some(registry) = registry {
            assert!(registry.get(number).is_none(), "nobody gets at it any more");
            assert_eq!((registry.count(number), registry.word(number)), (Some(0), word));
            registry.set_word(number, 99);
            // Foreign code may do anything.
            drop(registry.alloc(Node::default()).0);
        }
        self.gone.borrow_mut().push((number, word));
        assert!(!self.panics.take(), "as the test wants");
    }
}

#[derive(Default)]
struct Node {
    next: Slot<Node>,
    shows: RefCell<Option<AnyRef>>,
    finalized: Cell<u32>,
}

impl Trace for Node {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.next.traverse(visitor);
        let shown = self.shows.take();
        shown.iter().for_each(|shown| visitor.visit(shown));
        // May have been the last one.
        drop(shown);
    }

    fn finalize(this: &Ref<Self>) {
        this.finalized.set(this.finalized.get() + 1);
    }
}

fn registry() -> (Registry, Rc<Book>) {
    let book = Rc::new(Book::default());
    (Registry::new(Geometry::for_cpython(3, 13, 0).unwrap(), book.clone()), book)
}

#[test]
fn numbers_come_and_go() {
    let (registry, book) = registry();
    let (node, number) = registry.alloc(Node::default());
    let number = number.unwrap();
    assert_eq!(
        (number.get(), registry.number(Ref::as_any(&node)), registry.numbered()),
        (1, Some(number), 1)
    );
    assert_eq!((registry.word(number), registry.count(number)), (0, Some(1)));
    registry.set_word(number, 1 << 30);
    let again = registry.get(number).unwrap();
    assert_eq!((&again, registry.count(number)), (Ref::as_any(&node), Some(2)));
    drop((node, again));
    assert_eq!(book.gone.take(), [(number, 1 << 30)]);
    // Nothing, which does no harm.
    assert!(registry.get(number).is_none() && registry.count(number).is_none());
    registry.set_word(number, 5);
    assert!(!registry.take_finalizer(number) && registry.clear_weak(number, false).is_none());
    registry.look().numbers(number, |_| unreachable!());
    for stale in [2, 1 << 31, u32::MAX] {
        let stale = Number::new(stale).unwrap();
        assert!(registry.get(stale).is_none() && registry.word(stale) == 0);
    }
    // Another one gets it, and the word of the one before is no affair of its.
    let (other, same) = registry.alloc([Slot::<Node>::empty()]);
    assert_eq!((same, registry.word(number)), (Some(number), 0));
    assert!(registry.alloc(7_u32).1.is_none(), "it cannot refer");
    drop(other);
    assert_eq!((registry.numbered(), registry.heap().live()), (0, 1));
}

#[test]
fn whoever_looks_after_them_may_do_anything() {
    let (registry, book) = registry();
    *book.registry.borrow_mut() = Some(registry.clone());
    let (node, number) = registry.alloc(Node::default());
    drop(node);
    // The one that was allocated meanwhile has gone before it.
    let other = Number::new(2).unwrap();
    assert_eq!(book.gone.take(), [(other, 0), (number.unwrap(), 0)]);
    let (node, number) = registry.alloc(Node::default());
    let weak = Ref::downgrade(&node);
    let called = Rc::new(Cell::new(false));
    let calls = called.clone();
    let watch = Ref::watch(&node, move || calls.set(true));
    book.panics.set(true);
    catch_unwind(AssertUnwindSafe(|| drop(node))).unwrap_err();
    assert_eq!(book.gone.take(), [(number.unwrap(), 0)]);
    assert!(called.get() && weak.upgrade().is_none(), "its death went on");
    drop((weak, watch));
    assert_eq!(
        (registry.numbered(), registry.heap().live(), registry.heap().stats().bytes.in_use),
        (0, 1, 0)
    );
}

/// What a survey has told of objects.
#[derive(Default)]
struct Told {
    counts: Vec<(usize, u64)>,
    outside: Vec<u32>,
    /// By object.
    referents: Vec<Vec<u32>>,
}

impl Told {
    /// Of so many.
    fn of(many: usize) -> Self {
        Self { outside: vec![0; many], ..Self::default() }
    }
}

impl Surveyor for Told {
    fn counted(&mut self, at: usize, word: u64) -> bool {
        self.counts.push((at, word));
        word < 1 << 31
    }

    fn all_counted(&mut self, at: usize, counts: &[u32]) {
        self.counts.extend(counts.iter().enumerate().map(|(ahead, &count)| (at + ahead, count.into())));
    }

    fn outside(&mut self) -> &mut [u32] {
        &mut self.outside
    }

    fn refer(&mut self, referents: &[u32], ends: &[u32]) {
        let mut begin = 0;
        for &end in ends {
            self.referents.push(referents[begin..end as usize].to_vec());
            begin = end as usize;
        }
        assert_eq!(begin, referents.len());
    }
}

#[test]
fn nothing_dies_while_one_looks() {
    let (registry, book) = registry();
    let plain = PoolHeap::default();
    let nodes: Vec<_> = (0..1000).map(|_| registry.alloc(Node::default())).collect();
    for (at, (node, number)) in (100..).zip(&nodes) {
        registry.set_word(number.unwrap(), at);
        node.next.set(nodes[((at - 100) * 7 + 1) as usize % 1000].0.clone());
        // Shown, and dropped: the last reference to what is here, and to what is elsewhere.
        let shown = match at % 3 {
            0 => Ref::into_any(registry.alloc(Node::default()).0),
            1 => Ref::into_any(plain.alloc(at)),
            _ => Ref::into_any(registry.alloc([7_u8; 600]).0),
        };
        *node.shows.borrow_mut() = Some(shown);
    }
    for at in (2..1000).step_by(30) {
        Ref::immortalize(&nodes[at].0);
    }
    let numbers: Vec<_> = nodes.iter().map(|(_, number)| number.unwrap()).collect();
    let mut told = Told::of(1000);
    {
        let look = registry.look();
        look.survey(&numbers, 100, &mut told);
        let count = |at| if at % 30 == 2 { 3 << 30 } else { 2 };
        assert_eq!(told.counts, (0..1000).map(|at| (at, count(at))).collect::<Vec<_>>());
        assert_eq!(told.referents.len(), 1000);
        assert_eq!(plain.live(), 1, "another heap's do");
        assert_eq!(book.gone.borrow().len(), 0);
        drop(nodes);
        assert_eq!(book.gone.borrow().len(), 0);
    }
    let mut outside = vec![0_u32; 1000];
    for (at, referents) in (0..).zip(&told.referents) {
        // Those that have no number, or another word, are not told of.
        let next = (at % 30 != 2).then_some((at * 7 + 1) % 1000);
        assert_eq!(*referents, Vec::from_iter(next));
        next.into_iter().for_each(|next| outside[next as usize] = outside[next as usize].wrapping_sub(1));
    }
    assert_eq!(told.outside, outside);
    assert!(!book.gone.borrow().is_empty(), "some are in rings, others not");
}

/// Refers to very many, and to objects of a heap that it makes when it is asked to what.
struct Maker {
    registry: Registry,
    many: RefCell<Vec<AnyRef>>,
    makes: bool,
}

impl Trace for Maker {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        let elsewhere = self.makes.then(|| registry().0);
        for one in self.many.borrow().iter() {
            visitor.visit(one);
            if let Some(elsewhere) = &elsewhere {
                let (stranger, number) = elsewhere.alloc(Node::default());
                elsewhere.set_word(number.unwrap(), 1);
                // It dies as soon as it has been shown.
                visitor.visit(Ref::as_any(&stranger));
            }
        }
    }

    fn clear_refs(&self) {
        assert!(Rc::strong_count(&self.registry.keeper()) > 0);
        self.many.take();
    }
}

#[test]
fn what_is_of_a_heap_that_is_made_meanwhile_is_not_told_of() {
    for makes in [false, true] {
        let (registry, _) = registry();
        let maker = || Maker { registry: registry.clone(), many: RefCell::default(), makes };
        let makers: Vec<_> = (0..3).map(|_| registry.alloc(maker())).collect();
        let numbers: Vec<_> = makers.iter().map(|(_, number)| number.unwrap()).collect();
        for (word, &number) in (1..).zip(&numbers) {
            registry.set_word(number, word);
        }
        for (at, (maker, _)) in makers.iter().enumerate() {
            let next = Ref::into_any(makers[(at + 1) % 3].0.clone());
            maker.many.borrow_mut().extend(std::iter::repeat_n(next, 1000 * at));
        }
        let mut told = Told::of(3);
        registry.look().survey(&numbers, 1, &mut told);
        assert_eq!(told.referents, [vec![], vec![2; 1000], vec![0; 2000]]);
        assert_eq!(taken_off(&told.outside), [2000, 0, 1000]);
        makers.iter().for_each(|(maker, _)| maker.clear_refs());
    }
}

/// What was taken off.
fn taken_off(outside: &[u32]) -> Vec<u32> {
    outside.iter().map(|outside| outside.wrapping_neg()).collect()
}

/// Makes a look when it dies, and keeps that for ever.
struct Looks(&'static Registry, Rc<Cell<Option<&'static Look<'static>>>>);

impl Trace for Looks {
    fn traverse(&self, _: &mut Visitor<'_>) {}
}

impl Drop for Looks {
    fn drop(&mut self) {
        self.1.set(Some(Box::leak(Box::new(self.0.look()))));
    }
}

/// Drops the last reference to another one while it is looked at.
struct Drops(RefCell<Option<AnyRef>>, Rc<Book>);

impl Trace for Drops {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        let last = self.0.take();
        last.iter().for_each(|last| visitor.visit(last));
        drop(last);
        assert!(self.1.gone.borrow().is_empty(), "nothing dies");
    }
}

#[test]
fn nothing_dies_while_one_looks_by_what_was_made_in_a_death() {
    let (registry, book) = registry();
    let registry: &'static Registry = Box::leak(Box::new(registry));
    let look = Rc::new(Cell::new(None));
    drop(registry.alloc(Looks(registry, look.clone())).0);
    book.gone.take();
    let drops = || {
        let last = Ref::into_any(registry.alloc(Node::default()).0);
        registry.alloc(Drops(RefCell::new(Some(last)), book.clone()))
    };
    let (two, look) = ([drops(), drops()], look.get().unwrap());
    look.survey(&[two[0].1.unwrap()], 1, &mut Told::of(1));
    book.gone.take();
    look.numbers(two[1].1.unwrap(), |_| ());
}

#[test]
fn finalizers_and_weak_references_in_turn() {
    let (registry, _) = registry();
    let (node, number) = registry.alloc(Node::default());
    let number = number.unwrap();
    assert!(registry.take_finalizer(number) && !registry.take_finalizer(number));
    Registry::finalize(Ref::as_any(&node));
    assert_eq!(node.finalized.get(), 1);
    let weak = Ref::downgrade(&node);
    let called = Rc::new(Cell::new(0));
    let watch = |by: u32| {
        let called = called.clone();
        Ref::watch(&node, move || called.set(called.get() * 10 + by))
    };
    let watches = [watch(1), watch(2), watch(3)];
    let first = registry.clear_weak(number, true).unwrap().unwrap();
    assert!(weak.upgrade().is_some());
    assert!(registry.clear_weak(number, false).unwrap().is_none());
    assert!(weak.upgrade().is_none());
    let second = registry.clear_weak(number, false).unwrap().unwrap();
    first.call();
    drop(watches);
    second.call();
    assert_eq!(called.get(), 32, "the newest first");
    drop(node);
    assert!(registry.clear_weak(number, false).is_none());
    assert_eq!(called.get(), 32);
}

#[test]
fn of_another_heap() {
    let ((one, _), (two, _)) = (registry(), registry());
    let ((a, _), plain) = (one.alloc(Node::default()), PoolHeap::default().alloc(Node::default()));
    assert!(two.number(Ref::as_any(&a)).is_none() && one.number(Ref::as_any(&plain)).is_none());
    assert!(Registry::of(Ref::as_any(&plain)).is_none());
    let same = Registry::of(Ref::as_any(&a)).unwrap();
    assert!(PoolHeap::ptr_eq(same.heap(), one.heap()));
    // A look that is forgotten lets nobody die, and that is all.
    std::mem::forget(one.look());
    drop(a);
    assert_eq!(one.numbered(), 1);
}

/// Refers to others of its kind, and to what cannot refer.
#[derive(Default)]
struct Loose {
    next: Slot<Loose>,
    text: Option<Ref<String>>,
    dropped: Rc<Cell<usize>>,
    panics: Cell<bool>,
}

impl Trace for Loose {
    const FINALIZES: bool = false;
    const ORDERED: bool = false;

    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.next.traverse(visitor);
        self.text.traverse(visitor);
    }

    fn clear_refs(&self) {
        self.next.clear_refs();
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
        assert!(!self.panics.get(), "as the test wants");
    }
}

#[test]
fn what_is_held_dies_when_nobody_else_refers_to_it() {
    let (registry, book) = registry();
    let dropped = Rc::new(Cell::new(0));
    let node = || {
        let mut node = Loose::default();
        (node.text, node.dropped) = (Some(registry.heap().alloc("text".to_owned())), dropped.clone());
        registry.alloc(node)
    };
    let mut nodes: Vec<_> = (0..100).map(|_| node()).collect();
    for at in 0..100 {
        nodes[at].0.next.set(nodes[(at + 1) % 100].0.clone());
    }
    let numbers: Vec<_> = nodes.iter().map(|(_, number)| number.unwrap()).collect();
    let stale = Number::new(1 << 20).unwrap();
    let hold = || registry.hold(numbers.iter().copied().chain([stale])).unwrap();
    // Given up again, they are as before.
    let mut held = hold();
    assert_eq!(registry.count(numbers[0]), Some(3));
    assert_eq!(held.numbers().collect::<Vec<_>>(), numbers);
    drop(held);
    assert_eq!(registry.count(numbers[0]), Some(2));
    let last = nodes.pop().unwrap().0;
    last.panics.set(true);
    nodes[7].0.panics.set(true);
    nodes.clear();
    let mut held = hold();
    held.clear_refs();
    {
        let _look = registry.look();
        held.let_die();
        assert_eq!((held.died(), dropped.get()), (0, 0), "nothing dies");
    }
    catch_unwind(AssertUnwindSafe(|| held.let_die())).unwrap_err();
    assert_eq!(dropped.get(), 8);
    held.let_die();
    assert_eq!((held.died(), dropped.get(), registry.numbered()), (99, 99, 1));
    assert_eq!(held.numbers().collect::<Vec<_>>(), [numbers[99]]);
    assert!(book.gone.borrow().is_empty(), "nobody was told");
    // It outlives the handle.
    drop(last);
    assert_eq!(dropped.get(), 99);
    catch_unwind(AssertUnwindSafe(|| drop(held))).unwrap_err();
    assert_eq!((dropped.get(), book.gone.take().len()), (100, 1));
    assert_eq!((registry.heap().live(), registry.heap().stats().bytes.in_use), (1, 0));
}

#[test]
fn what_has_an_order_is_not_held() {
    let (registry, _) = registry();
    let (loose, node) = (registry.alloc(Loose::default()), registry.alloc(Node::default()));
    let both = [loose.1.unwrap(), node.1.unwrap()];
    assert!(registry.hold(both.into_iter()).is_none());
    assert_eq!((registry.count(both[0]), registry.count(both[1])), (Some(1), Some(1)));
    // A reference that is counted no more holds for ever.
    Ref::immortalize(&loose.0);
    let mut held = registry.hold([both[0]].into_iter()).unwrap();
    held.clear_refs();
    held.let_die();
    assert_eq!((held.died(), held.numbers().count()), (0, 1));
}
