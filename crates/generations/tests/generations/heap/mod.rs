//! The heap that collects itself.

mod collected;
mod foreign;
mod together;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use generations::{Heap, Manual};
use rc::{Ref, Slot, Trace, Visitor};

type Log = Rc<RefCell<Vec<String>>>;
type Finalizer = Box<dyn FnMut(&Ref<Node>)>;
/// What a node does when it is asked for something.
type Act = RefCell<Option<Box<dyn FnMut(&Node)>>>;

/// Refers to others, and does what a test wants where foreign code runs.
#[derive(Default)]
struct Node {
    name: String,
    log: Log,
    next: Slot<Node>,
    others: RefCell<Vec<Ref<Node>>>,
    finalizer: RefCell<Option<Finalizer>>,
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
