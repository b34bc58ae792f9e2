//! Random programs on a heap that collects itself, against what can be reached.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use generations::{Generation, Heap};
use proptest::prelude::*;
use rc::{Ref, Slot, Trace, Visitor, Weak};

#[derive(Clone, Debug)]
enum Action {
    /// A node that refers to two that are held, and is held.
    Node(usize, usize),
    /// A slot of a held node refers to another one.
    Set(usize, bool, usize),
    Unset(usize, bool),
    Drop(usize),
    /// What a held node refers to is held, too.
    Follow(usize, bool),
    Watch(usize),
    Upgrade(usize),
    Collect(u8),
    Freeze,
    Unfreeze,
}

fn action() -> impl Strategy<Value = Action> {
    let any = || 0..100_usize;
    prop_oneof![
        6 => (any(), any()).prop_map(|(a, b)| Action::Node(a, b)),
        5 => (any(), prop::bool::ANY, any()).prop_map(|(a, slot, b)| Action::Set(a, slot, b)),
        1 => (any(), prop::bool::ANY).prop_map(|(a, slot)| Action::Unset(a, slot)),
        5 => any().prop_map(Action::Drop),
        2 => (any(), prop::bool::ANY).prop_map(|(a, slot)| Action::Follow(a, slot)),
        1 => any().prop_map(Action::Watch),
        1 => any().prop_map(Action::Upgrade),
        1 => (0..3_u8).prop_map(Action::Collect),
        1 => prop::bool::ANY.prop_map(|freeze| if freeze { Action::Freeze } else { Action::Unfreeze }),
    ]
}

struct Node {
    id: usize,
    state: Rc<State>,
    slots: [Slot<Node>; 2],
    /// What its finalizer does.
    program: RefCell<Vec<Action>>,
}

impl Trace for Node {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.state.maybe_panic();
        self.slots.traverse(visitor);
    }

    fn clear_refs(&self) {
        self.state.maybe_panic();
        self.slots.clear_refs();
    }

    fn finalize(this: &Ref<Self>) {
        for action in this.program.take() {
            // It may bring itself back.
            this.state.held.borrow_mut().push(Some(this.clone()));
            this.state.perform(&action);
            this.state.maybe_panic();
            if !matches!(action, Action::Follow(..)) {
                let me = this.state.held.borrow_mut().pop();
                drop(me);
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        assert!(self.state.alive.borrow_mut().remove(&self.id), "once");
        self.state.maybe_panic();
    }
}

struct State {
    heap: RefCell<Option<Heap>>,
    held: RefCell<Vec<Option<Ref<Node>>>>,
    weak: RefCell<Vec<Weak<Node>>>,
    alive: RefCell<BTreeSet<usize>>,
    born: Cell<usize>,
    programs: RefCell<Vec<Vec<Action>>>,
    patience: Cell<Option<u32>>,
}

impl State {
    fn heap(&self) -> Heap {
        self.heap.borrow().clone().unwrap()
    }

    fn maybe_panic(&self) {
        match self.patience.get() {
            Some(0) if !std::thread::panicking() => {
                self.patience.set(None);
                std::panic::resume_unwind(Box::new("as the test wants"));
            }
            Some(left) => self.patience.set(Some(left.saturating_sub(1))),
            None => {}
        }
    }

    fn pick(&self, at: usize) -> Option<Ref<Node>> {
        let held = self.held.borrow();
        held.get(at % held.len().max(1)).cloned().flatten()
    }

    fn perform(self: &Rc<Self>, action: &Action) {
        match *action {
            Action::Node(a, b) => {
                let id = self.born.replace(self.born.get() + 1);
                let program = self.programs.borrow_mut().pop().unwrap_or_default();
                self.alive.borrow_mut().insert(id);
                let node = self.heap().alloc(Node {
                    id,
                    state: self.clone(),
                    slots: [Slot::from(self.pick(a)), Slot::from(self.pick(b))],
                    program: RefCell::new(program),
                });
                self.held.borrow_mut().push(Some(node));
            }
            Action::Set(a, slot, b) => {
                if let (Some(a), Some(b)) = (self.pick(a), self.pick(b)) {
                    a.slots[usize::from(slot)].set(b);
                }
            }
            Action::Unset(a, slot) => {
                if let Some(a) = self.pick(a) {
                    a.slots[usize::from(slot)].set(None);
                }
            }
            Action::Drop(at) => {
                let slots = self.held.borrow().len().max(1);
                let held = self.held.borrow_mut().get_mut(at % slots).and_then(Option::take);
                drop(held);
            }
            Action::Follow(a, slot) => {
                if let Some(next) = self.pick(a).and_then(|a| a.slots[usize::from(slot)].get()) {
                    self.held.borrow_mut().push(Some(next));
                }
            }
            Action::Watch(a) => {
                if let Some(a) = self.pick(a) {
                    let state = Rc::downgrade(self);
                    let watch = Ref::watch(&a, move || {
                        if let Some(state) = state.upgrade() {
                            state.perform(&Action::Node(a_number(), 1));
                            state.maybe_panic();
                        }
                    });
                    self.weak.borrow_mut().extend([watch, Ref::downgrade(&a)]);
                }
            }
            Action::Upgrade(at) => {
                let upgraded = {
                    let weak = self.weak.borrow();
                    weak.get(at % weak.len().max(1)).and_then(Weak::upgrade)
                };
                self.held.borrow_mut().extend(upgraded.map(Some));
            }
            Action::Collect(generation) => {
                self.heap().collect_generation(Generation::new(generation.into()).unwrap());
            }
            Action::Freeze => self.heap().freeze(),
            Action::Unfreeze => self.heap().unfreeze(),
        }
    }

    /// Who can be reached from what is held.
    fn reachable(&self) -> BTreeSet<usize> {
        let mut seen = BTreeSet::new();
        let mut next: Vec<Ref<Node>> = self.held.borrow().iter().flatten().cloned().collect();
        while let Some(node) = next.pop() {
            if seen.insert(node.id) {
                next.extend(node.slots.iter().filter_map(Slot::get));
            }
        }
        seen
    }
}

fn a_number() -> usize {
    7
}

fn new(programs: Vec<Vec<Action>>) -> Rc<State> {
    let heap = Heap::default();
    heap.change_policy(|policy| policy.set_thresholds([7, 2, 2]));
    Rc::new(State {
        heap: RefCell::new(Some(heap)),
        held: RefCell::default(),
        weak: RefCell::default(),
        alive: RefCell::default(),
        born: Cell::new(0),
        programs: RefCell::new(programs),
        patience: Cell::new(None),
    })
}

/// Drops all, and finds that nothing is left.
fn end(state: &Rc<State>) {
    state.patience.set(None);
    state.programs.take();
    // Finalizers run once, so this comes to an end.
    loop {
        let held = state.held.take();
        let nothing = held.iter().all(Option::is_none);
        drop(held);
        drop(state.weak.take());
        state.heap().unfreeze();
        state.heap().collect();
        let nothing = nothing && state.weak.borrow().is_empty();
        if nothing && state.held.borrow().iter().all(Option::is_none) && state.alive.borrow().is_empty() {
            break;
        }
    }
    let heap = state.heap();
    assert_eq!((heap.tracked(), heap.memory().live()), (0, 2));
    assert_eq!(heap.memory().stats().bytes.in_use, 0);
    drop(state.heap.take());
}

fn programs() -> impl Strategy<Value = Vec<Vec<Action>>> {
    prop::collection::vec(prop_oneof![2 => Just(vec![]), 1 => prop::collection::vec(action(), 1..4)], 0..60)
}

proptest! {
    #![proptest_config(crate::cases(600))]

    /// Without finalizers: what a full collection leaves is what can be reached.
    #[test]
    fn what_can_be_reached_lives(actions in prop::collection::vec(action(), 1..300)) {
        let state = new(vec![]);
        for action in &actions {
            state.perform(action);
            let reachable = state.reachable();
            prop_assert!(state.alive.borrow().is_superset(&reachable));
        }
        state.heap().unfreeze();
        // Callbacks may make nodes, which are held.
        state.heap().collect();
        state.heap().collect();
        prop_assert_eq!(&*state.alive.borrow(), &state.reachable());
        prop_assert_eq!(state.heap().tracked(), state.alive.borrow().len());
        end(&state);
    }

    /// With finalizers that do anything.
    #[test]
    fn finalizers_may_do_anything(
        programs in programs(),
        actions in prop::collection::vec(action(), 1..200),
    ) {
        let state = new(programs);
        for action in &actions {
            state.perform(action);
            prop_assert!(state.alive.borrow().is_superset(&state.reachable()));
        }
        end(&state);
    }

    /// Whatever panics.
    #[test]
    fn panics_leave_the_heap_in_order(
        programs in programs(),
        actions in prop::collection::vec((action(), prop::option::weighted(0.3, 0..60_u32)), 1..200),
    ) {
        let state = new(programs);
        for (action, patience) in &actions {
            state.patience.set(*patience);
            let _ = catch_unwind(AssertUnwindSafe(|| state.perform(action)));
            state.patience.set(None);
            prop_assert!(!state.heap().is_collecting());
            prop_assert!(state.alive.borrow().is_superset(&state.reachable()));
        }
        end(&state);
    }
}
