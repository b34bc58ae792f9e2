//! Garbage of which nobody can tell in which order it dies: cleared together, dying together.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use generations::{Generation, Heap, Manual};
use rc::{Ref, Slot, Trace, Visitor};

use super::{Log, World, panics};

/// What it does when it is asked for something.
type Act = RefCell<Option<Box<dyn FnOnce(&Loose)>>>;

/// Says that nobody can tell when it dies. (Here somebody can.)
#[derive(Default)]
struct Loose {
    name: String,
    log: Log,
    next: Slot<Loose>,
    others: RefCell<Vec<Ref<Loose>>>,
    /// Cannot be given up.
    fixed: Option<Ref<Loose>>,
    stubborn: Cell<bool>,
    cleared: Act,
    dropped: Act,
}

impl Loose {
    fn new(name: &str, log: &Log, fixed: Option<Ref<Self>>) -> Self {
        let mut new = Self::default();
        (new.name, new.log, new.fixed) = (name.into(), log.clone(), fixed);
        new
    }

    fn act(&self, act: &Act) {
        let taken = act.borrow_mut().take();
        if let Some(act) = taken {
            act(self);
        }
    }
}

impl Trace for Loose {
    const FINALIZES: bool = false;
    const ORDERED: bool = false;

    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.next.traverse(visitor);
        self.others.traverse(visitor);
        self.fixed.traverse(visitor);
    }

    fn clear_refs(&self) {
        self.log.borrow_mut().push(format!("clear {}", self.name));
        if !self.stubborn.get() {
            self.next.clear_refs();
            self.others.clear_refs();
        }
        self.act(&self.cleared);
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        self.log.borrow_mut().push(format!("drop {}", self.name));
        self.act(&self.dropped);
    }
}

fn loose(world: &World, name: &str) -> Ref<Loose> {
    world.heap.alloc(Loose::new(name, &world.log, None))
}

fn ring<const N: usize>(world: &World, names: [&str; N]) -> [Ref<Loose>; N] {
    let ring = names.map(|name| loose(world, name));
    for at in 0..N {
        ring[at].next.set(ring[(at + 1) % N].clone());
    }
    ring
}

#[test]
fn all_give_up_before_any_dies() {
    let world = World::new();
    drop(ring(&world, ["a", "b", "c"]));
    let outcome = world.heap.collect();
    assert_eq!((outcome.unreachable, outcome.collected, outcome.outlived), (3, 3, 0));
    assert_eq!(world.said(), ["clear a", "clear b", "clear c", "drop a", "drop b", "drop c"]);
    assert_eq!(world.heap.counters().counts, [0; 3]);
    world.check_empty();
}

#[test]
fn one_with_an_order_gives_it_to_all() {
    let world = World::new();
    drop(ring(&world, ["a", "b"]));
    drop(world.ring(["c", "d"]));
    let outcome = world.heap.collect();
    assert_eq!((outcome.unreachable, outcome.collected), (4, 4));
    let said = world.said();
    assert_eq!(said[..2], ["finalize c", "finalize d"]);
    // To clear a lets b die, which then has nothing to be asked for.
    assert_eq!(said[2..], ["clear a", "drop b", "drop a", "drop d", "drop c"]);
    world.check_empty();
}

#[test]
fn what_cannot_be_given_up_is_when_its_owner_dies() {
    let world = World::new();
    for backwards in [false, true] {
        let first = loose(&world, "first");
        let mut last = first.clone();
        let mut all = vec![];
        for _ in 0..1000 {
            last = world.heap.alloc(Loose::new("", &world.log, Some(last)));
            all.push(last.clone());
        }
        first.next.set(last);
        drop(first);
        if backwards {
            // The list has them in another order when each is found from one behind it.
            all.reverse();
            assert_eq!(world.heap.collect().collected, 0);
        }
        drop(all);
        assert_eq!(world.heap.collect().collected, 1001);
        world.check_empty();
    }
    let said = world.said();
    assert_eq!(said.iter().filter(|said| said.starts_with("drop")).count(), 2002);
}

#[test]
fn who_gives_nothing_up_lives_on() {
    let world = World::new();
    let [a, b, c] = ring(&world, ["a", "b", "c"]);
    b.others.borrow_mut().push(b.clone());
    let [also_a, also_b, also_c] = [&a, &b, &c].map(Ref::downgrade);
    let saved = Rc::new(RefCell::new(None));
    let place = saved.clone();
    *c.cleared.borrow_mut() = Some(Box::new(move |c| *place.borrow_mut() = c.next.get()));
    c.stubborn.set(true);
    b.stubborn.set(true);
    drop((a, b, c));
    let outcome = world.heap.collect();
    assert_eq!((outcome.collected, outcome.outlived), (3, 3));
    // Weak references had been cleared before.
    assert!(also_a.upgrade().is_none() && also_b.upgrade().is_none() && also_c.upgrade().is_none());
    assert_eq!(world.said(), ["clear a", "clear b", "clear c"]);
    assert_eq!(world.heap.tracked(), 3);
    let a: Ref<Loose> = saved.take().unwrap();
    assert_eq!(world.heap.generation_of(Ref::as_any(&a)), Some(Generation::OLD));
    drop(a);
    let outcome = world.heap.collect();
    assert_eq!((outcome.collected, outcome.outlived), (3, 3), "they are asked again");
    assert_eq!(world.said(), ["clear a", "clear b", "clear c"]);
    assert_eq!(world.heap.tracked(), 3);
}

#[test]
fn panics_leave_nothing_behind() {
    for who in ["a", "b", "c", "d"] {
        for when in ["clear", "drop"] {
            let world = World::new();
            let ring = ring(&world, ["a", "b", "c", "d"]);
            // One that is left for a second turn.
            let fixed = Some(ring[0].clone());
            let e = world.heap.alloc(Loose::new("e", &world.log, fixed));
            ring[2].others.borrow_mut().push(e);
            let panicking = ring.iter().find(|node| node.name == who).unwrap();
            let act = if when == "clear" { &panicking.cleared } else { &panicking.dropped };
            *act.borrow_mut() = Some(Box::new(|_| panic!("as the test wants")));
            drop(ring);
            panics(|| _ = world.heap.collect());
            let mut said = world.said();
            said.sort();
            let all = ["clear", "drop"]
                .iter()
                .flat_map(|what| "abcde".chars().map(move |who| format!("{what} {who}")));
            assert_eq!(said, all.collect::<Vec<_>>(), "{when} {who}");
            assert_eq!(world.heap.counters().counts, [0; 3]);
            world.check_empty();
        }
    }
}

#[test]
fn foreign_code_may_do_anything_meanwhile() {
    let world = World::new();
    let [a, b, c] = ring(&world, ["a", "b", "c"]);
    let heap = world.heap.clone();
    let born = Rc::new(RefCell::new(vec![]));
    let more = born.clone();
    *a.dropped.borrow_mut() = Some(Box::new(move |a| {
        assert!(heap.is_collecting());
        assert_eq!(heap.collect().collected, 0, "one is going on");
        // The numbers of those that have died are given out again.
        let new = heap.alloc(Loose::new("new", &a.log, None));
        new.next.set(new.clone());
        more.borrow_mut().push(new);
        heap.freeze();
        heap.unfreeze();
    }));
    let other = loose(&world, "other");
    *b.cleared.borrow_mut() = Some(Box::new(move |_| drop(other)));
    drop((a, b, c));
    assert_eq!(world.heap.collect().collected, 3);
    assert_eq!(world.said(), ["clear a", "clear b", "drop other", "clear c", "drop a", "drop b", "drop c"]);
    assert_eq!((world.heap.tracked(), born.borrow().len()), (1, 1));
    born.borrow_mut().clear();
    assert_eq!(world.heap.collect().collected, 1);
    world.check_empty();
}

/// Of many graphs, those live that somebody holds, and what they refer to.
#[test]
fn who_is_held_lives() {
    let mut state = 88_172_645_463_325_252_u64;
    let mut below = |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % end as u64).unwrap()
    };
    for _ in 0..300 {
        let world = World { heap: Heap::new(Manual), log: Log::default() };
        let many = 1 + below(40);
        let mut nodes: Vec<Ref<Loose>> = vec![];
        let mut edges = vec![];
        for at in 0..many {
            let fixed = (at > 0 && below(3) == 0).then(|| below(at));
            edges.extend(fixed.map(|to| (at, to)));
            let fixed = fixed.map(|to| nodes[to].clone());
            nodes.push(world.heap.alloc(Loose::new(&at.to_string(), &world.log, fixed)));
        }
        for _ in 0..below(2 * many) {
            let (from, to) = (below(many), below(many));
            nodes[from].others.borrow_mut().push(nodes[to].clone());
            edges.push((from, to));
        }
        let mut lives: Vec<bool> = (0..many).map(|_| below(8) == 0).collect();
        let held: Vec<_> =
            nodes.iter().zip(&lives).filter(|(_, held)| **held).map(|(node, _)| node.clone()).collect();
        drop(nodes);
        world.heap.collect();
        while let Some(&(_, to)) = edges.iter().find(|(from, to)| lives[*from] && !lives[*to]) {
            lives[to] = true;
        }
        let said = world.said();
        let mut dead: Vec<usize> =
            said.iter().filter_map(|said| said.strip_prefix("drop ")?.parse().ok()).collect();
        dead.sort_unstable();
        assert_eq!(dead, (0..many).filter(|&at| !lives[at]).collect::<Vec<_>>());
        drop(held);
        world.heap.collect();
        world.check_empty();
    }
}
