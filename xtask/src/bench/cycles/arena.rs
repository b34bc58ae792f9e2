//! The nodes in gc-arena, whose pointers cannot leave it.

use gc_arena::lock::Lock;
use gc_arena::{Arena, Collect, Gc, Rootable};

use super::work::{Graph, SOME, Shape, order};

type Pointer<'gc> = Gc<'gc, Lock<Node<'gc>>>;

#[derive(Clone, Copy, Collect)]
#[collect(no_drop)]
struct Node<'gc> {
    #[allow(dead_code, reason = "it takes room")]
    value: u64,
    links: [Option<Pointer<'gc>>; 3],
}

#[derive(Collect)]
#[collect(no_drop)]
struct Root<'gc> {
    root: Option<Pointer<'gc>>,
    some: Vec<Pointer<'gc>>,
}

/// A graph of nodes.
pub(super) struct Nodes(Arena<Rootable![Root<'_>]>);

impl Nodes {
    pub(super) fn new(shape: Shape, many: usize, shuffled: bool) -> Self {
        Self(Arena::new(|mutation| {
            let order = order(many, shuffled);
            let node = |value| Gc::new(mutation, Lock::new(Node { value, links: [None; 3] }));
            let objects: Vec<Pointer<'_>> = (0..many as u64).map(node).collect();
            for at in 0..many {
                let links = shape.links(at, many, shuffled).map(|link| Some(objects[order[link?]]));
                let object = objects[order[at]];
                object.set(mutation, Node { links, ..object.get() });
            }
            let root = Some(objects[order[0]]);
            Root { root, some: objects.into_iter().step_by(SOME).collect() }
        }))
    }
}

impl Graph for Nodes {
    fn collect(&mut self) {
        self.0.collect_all();
    }

    fn change(&mut self) {
        self.0.mutate_root(|mutation, root| {
            for (at, object) in root.some.iter().enumerate() {
                let mut node = object.get();
                node.links[2] = Some(root.some[(at + 1) % root.some.len()]);
                object.set(mutation, node);
            }
            root.some = Vec::new();
        });
    }

    fn give_up(&mut self) {
        self.0.mutate_root(|_, root| root.root = None);
    }

    fn left(&self) -> Option<usize> {
        Some(self.0.metrics().total_gc_allocation() / size_of::<Node<'_>>())
    }
}
