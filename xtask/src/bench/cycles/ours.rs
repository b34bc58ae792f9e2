//! Lists and tuples in our heap.

use std::cell::RefCell;
use std::hint::black_box;

use generations::{Heap, Manual};
use rc::{AnyRef, Ref, Trace, Visitor};

use super::work::{Graph, SOME, Shape, order};

/// How many objects are left in our heap.
pub(super) fn left(heap: &Heap<Manual>) -> usize {
    // One is the handle.
    (heap.memory().live() - 1).max(heap.tracked())
}

/// As large as a list of CPython: what it holds is elsewhere.
#[derive(Default)]
pub(super) struct List(RefCell<Vec<AnyRef>>);

impl Trace for List {
    const FINALIZES: bool = false;
    const ORDERED: bool = false;

    #[inline]
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.0.traverse(visitor);
    }

    #[inline]
    fn clear_refs(&self) {
        self.0.clear_refs();
    }
}

/// As large as a pair of CPython, whose length it has, too. It cannot be changed, so it cannot be cleared.
pub(super) struct Tuple {
    #[allow(dead_code, reason = "it takes room")]
    length: usize,
    items: [AnyRef; 2],
}

impl Trace for Tuple {
    const FINALIZES: bool = false;
    const ORDERED: bool = false;

    #[inline]
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.items.traverse(visitor);
    }
}

/// A graph of lists, or of tuples and a list.
pub(super) struct Containers {
    heap: Heap<Manual>,
    root: Option<Ref<List>>,
    lists: Vec<Ref<List>>,
    tuples: Vec<AnyRef>,
}

impl Containers {
    pub(super) fn lists(many: usize, shuffled: bool) -> Self {
        let heap = Heap::new(Manual);
        let order = order(many, shuffled);
        let objects: Vec<Ref<List>> = (0..many).map(|_| heap.alloc(List::default())).collect();
        for at in 0..many {
            let links = Shape::Lists.links(at, many, shuffled);
            let items = links.iter().flatten().map(|&link| Ref::into_any(objects[order[link]].clone()));
            *objects[order[at]].0.borrow_mut() = items.collect();
        }
        let root = black_box(Some(objects[order[0]].clone()));
        Self { heap, root, lists: objects.iter().step_by(SOME).cloned().collect(), tuples: Vec::new() }
    }

    pub(super) fn tuples(many: usize, shuffled: bool) -> Self {
        let heap = Heap::new(Manual);
        let root = heap.alloc(List::default());
        let first = || Ref::into_any(root.clone());
        let mut objects: Vec<AnyRef> = Vec::with_capacity(many);
        let mut referred = vec![false; many];
        for at in 0..many {
            let links = if at == 0 { [None; 3] } else { Shape::Tuples.links(at, many, shuffled) };
            let items = [0, 1].map(|slot| {
                links[slot].map_or_else(first, |link| {
                    referred[link] = true;
                    objects[link].clone()
                })
            });
            objects.push(Ref::into_any(heap.alloc(Tuple { length: 2, items })));
        }
        let held = objects.iter().zip(&referred).filter(|&(_, referred)| !referred);
        *root.0.borrow_mut() = held.map(|(tuple, _)| tuple.clone()).collect();
        let tuples = objects.iter().step_by(SOME).cloned().collect();
        Self { heap, root: black_box(Some(root)), lists: Vec::new(), tuples }
    }
}

impl Graph for Containers {
    fn collect(&mut self) {
        self.heap.collect();
    }

    fn change(&mut self) {
        for (at, list) in self.lists.iter().enumerate() {
            list.0.borrow_mut()[1] = Ref::into_any(self.lists[(at + 1) % self.lists.len()].clone());
        }
        if let Some(root) = self.root.as_ref().filter(|_| self.lists.is_empty()) {
            root.0.borrow_mut().extend(self.tuples.first().cloned());
        }
        (self.lists, self.tuples) = (Vec::new(), Vec::new());
    }

    fn give_up(&mut self) {
        self.root = None;
    }

    fn left(&self) -> Option<usize> {
        Some(left(&self.heap))
    }
}
