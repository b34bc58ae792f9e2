//! Typed pointers against [`Deaths`](rc::Deaths): the same births, programs and drops, the same order.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use proptest::prelude::*;
use rc::{Callback, Counting, Finalizers, Holds, Part, PoolHeap, Ref, Rules, Trace, Trashcan, Visitor, Weak};

use crate::deaths::{Born, Stepped, born, world};
use crate::world::{Action, Event, World};

/// What a reference from outside, or a member, can be.
#[derive(Clone)]
enum Held {
    Object(Ref<Node>),
    #[allow(dead_code, reason = "held, not looked at")]
    Weak(Weak<Node>),
}

impl Trace for Held {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        if let Self::Object(object) = self {
            object.traverse(visitor);
        }
    }
}

/// As [`crate::world::Object`], alive. Fields are dropped in the order of their declaration.
struct Node {
    id: usize,
    state: Rc<State>,
    program: RefCell<Option<Vec<Action>>>,
    members: RefCell<Vec<Held>>,
    _gone: Gone,
}

/// Says that its owner is gone.
struct Gone(usize, Rc<State>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.1.log(Event::Free(self.0));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.state.log(Event::Release(self.id));
        self.state.maybe_panic();
    }
}

impl Trace for Node {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.state.maybe_panic();
        self.members.traverse(visitor);
    }

    fn clear_refs(&self) {
        self.members.clear_refs();
    }

    fn finalize(this: &Ref<Self>) {
        let program = this.program.take();
        if let Some(program) = program {
            this.state.log(Event::Finalize(this.id));
            for action in program {
                this.state.perform(Some(this), action);
                this.state.maybe_panic();
            }
        }
    }
}

struct State {
    heap: PoolHeap,
    roots: RefCell<Vec<Option<Held>>>,
    next: Cell<usize>,
    log: RefCell<Vec<Event>>,
    /// How many chances to panic are let pass; none ever if this is `None`.
    patience: Cell<Option<u32>>,
}

impl State {
    fn new() -> Rc<Self> {
        Rc::new(Self {
            heap: PoolHeap::default(),
            roots: RefCell::default(),
            next: Cell::new(0),
            log: RefCell::default(),
            patience: Cell::new(None),
        })
    }

    fn log(&self, event: Event) {
        self.log.borrow_mut().push(event);
    }

    fn maybe_panic(&self) {
        match self.patience.get() {
            Some(0) if !std::thread::panicking() => {
                self.patience.set(None);
                panic!("as the test wants");
            }
            Some(left) => self.patience.set(Some(left.saturating_sub(1))),
            None => {}
        }
    }

    fn number(&self) -> usize {
        self.next.replace(self.next.get() + 1)
    }

    fn node(self: &Rc<Self>, program: Option<Vec<Action>>, members: Vec<Held>) -> Ref<Node> {
        let id = self.number();
        self.heap.alloc(Node {
            id,
            state: self.clone(),
            program: RefCell::new(program),
            members: RefCell::new(members),
            _gone: Gone(id, self.clone()),
        })
    }

    fn hold(&self, held: Held) {
        self.roots.borrow_mut().push(Some(held));
    }

    fn watch(self: &Rc<Self>, target: &Ref<Node>, program: Option<Vec<Action>>) -> Weak<Node> {
        let id = self.number();
        let Some(program) = program else {
            return Ref::downgrade(target);
        };
        let state = self.clone();
        let dead = Rc::new(RefCell::new(None::<Weak<Node>>));
        let seen = dead.clone();
        let weak = Ref::watch(target, move || {
            state.log(Event::Callback(id));
            if let Some(weak) = seen.take() {
                assert!(weak.upgrade().is_none(), "cleared before");
            }
            for action in program {
                state.perform(None, action);
                state.maybe_panic();
            }
        });
        // Another one, which is not counted as `weak` is: whoever drops that forgets the callback.
        *dead.borrow_mut() = Some(Ref::downgrade(target));
        weak
    }

    fn perform(self: &Rc<Self>, me: Option<&Ref<Node>>, action: Action) {
        let slots = self.roots.borrow().len().max(1);
        match action {
            Action::Drop(root) => {
                let held = self.roots.borrow_mut().get_mut(root % slots).and_then(Option::take);
                drop(held);
            }
            Action::Hold(root) => {
                let held = self.roots.borrow().get(root % slots).cloned().flatten();
                held.into_iter().for_each(|held| self.hold(held));
            }
            Action::Resurrect => {
                me.into_iter().for_each(|me| self.hold(Held::Object(me.clone())));
            }
            Action::Wrap(root) => {
                let held = self.roots.borrow_mut().get_mut(root % slots).and_then(Option::take);
                let wrapper = self.node(None, held.into_iter().collect());
                self.hold(Held::Object(wrapper));
            }
            Action::Watch => {
                if let Some(me) = me {
                    let weak = self.watch(me, Some(vec![]));
                    self.hold(Held::Weak(weak));
                }
            }
        }
    }

    /// Everything that the world has, typed.
    fn mirror(self: &Rc<Self>, world: &World) {
        let mut all: Vec<Held> = Vec::new();
        for object in &world.objects {
            let held = if let Some(target) = object.target {
                let Held::Object(target) = &all[target] else { panic!("objects have weak references") };
                let program = (object.callback != Callback::None).then(|| object.program.clone());
                Held::Weak(self.watch(target, program))
            } else {
                let members = object.members.iter().map(|&member| all[member].clone()).collect();
                Held::Object(self.node(object.finalizer.clone(), members))
            };
            all.push(held);
        }
        let roots = world.roots.iter().map(|root| root.map(|root| all[root].clone())).collect();
        self.roots.replace(roots);
    }
}

const RULES: Rules = Rules {
    counting: Counting::SATURATING,
    trashcan: Trashcan::Nesting { limit: 50, instance: 0 },
    finalizers: Finalizers::First,
    holds: Holds::All,
};

/// Without what typed pointers have differently: types are no objects, callbacks are no objects.
fn plain(mut all: Vec<Born>, long: bool) -> Vec<Born> {
    for one in &mut all {
        one.part = Part::Container;
        one.last = None;
        one.chained |= long;
        one.weak.iter_mut().for_each(|(kind, ..)| *kind = (*kind).min(1));
    }
    all
}

/// What can be seen of typed pointers: not when a death begins, and nothing of weak references' own.
fn visible(world: &World) -> Vec<Event> {
    let is_weak = |id: &usize| world.is_weak.contains(id);
    let seen = |event: &&Event| match event {
        Event::Begin(_) | Event::Deposit(_) | Event::Resurrect(_) => false,
        Event::Release(id) | Event::Free(id) => !is_weak(id),
        Event::Finalize(_) | Event::Callback(_) => true,
    };
    world.log.iter().filter(seen).copied().collect()
}

fn quietly<T>(run: impl FnOnce() -> T) -> Result<T, ()> {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.with(Cell::get) {
                before(info);
            }
        }));
    });
    QUIET.with(|quiet| quiet.set(true));
    let result = catch_unwind(AssertUnwindSafe(run)).map_err(drop);
    QUIET.with(|quiet| quiet.set(false));
    result
}

proptest! {
    #![proptest_config(crate::cases(1500))]

    #[test]
    fn die_as_the_contract_says(
        all in prop::collection::vec(born(), 1..30),
        long in prop::option::weighted(0.3, prop::collection::vec(born(), 60..150)),
        actions in prop::collection::vec((0..200_usize).prop_map(Action::Drop), 0..200),
    ) {
        let is_long = long.is_some();
        let model = world(&plain(long.unwrap_or(all), is_long), vec![]);
        let state = State::new();
        state.mirror(&model);
        let mut expected = Stepped::new(model, RULES);
        for action in actions {
            expected.perform(None, action);
            state.perform(None, action);
            prop_assert_eq!(&*state.log.borrow(), &visible(&expected.world));
        }
        let mut root = 0;
        while root < state.roots.borrow().len() {
            // Those that finalizers add are behind.
            expected.perform(None, Action::Drop(root));
            state.perform(None, Action::Drop(root));
            root += 1;
        }
        prop_assert_eq!(&*state.log.borrow(), &visible(&expected.world));
        prop_assert!(state.roots.borrow().iter().all(Option::is_none));
        prop_assert_eq!(state.heap.live(), 1);
    }

    /// Whatever panics: what was born is gone exactly once, and nothing is left of it.
    #[test]
    fn panics_leave_the_heap_in_order(
        all in prop::collection::vec(born(), 1..30),
        long in prop::option::weighted(0.3, prop::collection::vec(born(), 60..150)),
        actions in prop::collection::vec((0..200_usize, 0..20_u32), 1..100),
    ) {
        let is_long = long.is_some();
        let model = world(&plain(long.unwrap_or(all), is_long), vec![]);
        let state = State::new();
        state.mirror(&model);
        let mut panics = 0;
        for (root, patience) in actions {
            state.patience.set(Some(patience));
            let some = state.roots.borrow().get(root).cloned().flatten();
            panics += usize::from(quietly(|| {
                if let Some(Held::Object(some)) = some {
                    let mut seen = 0;
                    Ref::as_any(&some).traverse(|_| seen += 1);
                    assert_eq!(seen, some.members.borrow().iter().filter(|held| matches!(held, Held::Object(_))).count());
                }
                state.perform(None, Action::Drop(root));
            }).is_err());
        }
        state.patience.set(None);
        // Finalizers put some back: each once.
        loop {
            let roots = state.roots.take();
            if roots.is_empty() {
                break;
            }
            drop(roots);
        }
        let log = state.log.take();
        let gone: Vec<usize> =
            log.iter().filter_map(|event| match event { Event::Free(id) => Some(*id), _ => None }).collect();
        let once: BTreeSet<usize> = gone.iter().copied().collect();
        prop_assert_eq!(once.len(), gone.len(), "nobody twice");
        let finalized: Vec<_> = log.iter().filter(|event| matches!(event, Event::Finalize(_))).collect();
        prop_assert_eq!(finalized.iter().map(|event| format!("{event:?}")).collect::<BTreeSet<_>>().len(), finalized.len());
        prop_assert_eq!(state.heap.live(), 1, "after {} panics", panics);
        prop_assert_eq!(state.heap.stats().bytes.in_use, 0);
    }
}
