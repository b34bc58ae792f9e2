//! The heaps, each with the same node: a number and three pointers that can be set.

use std::cell::RefCell;
use std::hint::black_box;

use generations::{Heap, Manual};

use super::work::{Graph, SOME, Shape, order};
use crate::Result;

/// A heap that collects cycles.
pub(super) trait Peer {
    type Heap;
    type Pointer: Clone;

    fn heap() -> Result<Self::Heap>;

    fn node(heap: &Self::Heap, value: u64) -> Self::Pointer;

    fn set(node: &Self::Pointer, slot: usize, to: Self::Pointer);

    fn collect(heap: &Self::Heap);

    /// How many objects are left, if the heap knows.
    fn left(_heap: &Self::Heap) -> Option<usize> {
        None
    }
}

/// A graph of nodes.
pub(super) struct Nodes<P: Peer> {
    heap: P::Heap,
    root: Option<P::Pointer>,
    some: Vec<P::Pointer>,
}

impl<P: Peer> Nodes<P> {
    pub(super) fn new(shape: Shape, many: usize, shuffled: bool) -> Result<Self> {
        let heap = P::heap()?;
        let order = order(many, shuffled);
        let objects: Vec<P::Pointer> = (0..many as u64).map(|value| P::node(&heap, value)).collect();
        for at in 0..many {
            for (slot, link) in shape.links(at, many, shuffled).into_iter().enumerate() {
                if let Some(link) = link {
                    P::set(&objects[order[at]], slot, objects[order[link]].clone());
                }
            }
        }
        let root = Some(objects[order[0]].clone());
        let some = objects.iter().step_by(SOME).cloned().collect();
        Ok(Self { heap, root: black_box(root), some })
    }
}

impl<P: Peer> Graph for Nodes<P> {
    fn collect(&mut self) {
        P::collect(&self.heap);
    }

    fn change(&mut self) {
        for (at, object) in self.some.iter().enumerate() {
            P::set(object, 2, self.some[(at + 1) % self.some.len()].clone());
        }
        self.some = Vec::new();
    }

    fn give_up(&mut self) {
        self.root = None;
    }

    fn left(&self) -> Option<usize> {
        P::left(&self.heap)
    }
}

/// A node and its peer, for pointers that are made by `new`.
macro_rules! peer {
    ($peer:ident, $node:ident, $pointer:ty, $cell:ident, $new:expr, $collect:expr) => {
        pub(super) struct $peer;

        pub(super) struct $node {
            #[allow(dead_code, reason = "it takes room")]
            value: u64,
            links: [$cell<Option<$pointer>>; 3],
        }

        impl Peer for $peer {
            type Heap = ();
            type Pointer = $pointer;

            fn heap() -> Result<()> {
                Ok(())
            }

            fn node((): &(), value: u64) -> $pointer {
                $new($node { value, links: [$cell::new(None), $cell::new(None), $cell::new(None)] })
            }

            fn set(node: &$pointer, slot: usize, to: $pointer) {
                *node.links[slot].borrow_mut() = Some(to);
            }

            fn collect((): &()) {
                $collect();
            }
        }
    };
}

peer!(RustCc, RustCcNode, rust_cc::Cc<RustCcNode>, RefCell, rust_cc::Cc::new, rust_cc::collect_cycles);

impl rust_cc::Finalize for RustCcNode {}

// SAFETY: the pointers are traced, once each, and nothing else is done; it does not implement `Drop`.
unsafe impl rust_cc::Trace for RustCcNode {
    fn trace(&self, context: &mut rust_cc::Context<'_>) {
        for link in &self.links {
            link.trace(context);
        }
    }
}

peer!(
    BaconRajan,
    BaconRajanNode,
    bacon_rajan_cc::Cc<BaconRajanNode>,
    RefCell,
    bacon_rajan_cc::Cc::new,
    bacon_rajan_cc::collect_cycles
);

impl bacon_rajan_cc::Trace for BaconRajanNode {
    fn trace(&self, tracer: &mut bacon_rajan_cc::Tracer) {
        for link in &self.links {
            link.trace(tracer);
        }
    }
}

peer!(
    Dumpster,
    DumpsterNode,
    dumpster::unsync::Gc<DumpsterNode>,
    RefCell,
    dumpster::unsync::Gc::new,
    dumpster::unsync::collect
);

// SAFETY: the pointers are shown to the visitor.
unsafe impl<V: dumpster::Visitor> dumpster::TraceWith<V> for DumpsterNode {
    fn accept(&self, visitor: &mut V) -> std::result::Result<(), ()> {
        self.links.iter().try_for_each(|link| link.accept(visitor))
    }
}

type GcPointer = gc::Gc<GcNode>;

/// gc's own kind of cell has to be used.
pub(super) struct Gc;

pub(super) struct GcNode {
    #[allow(dead_code, reason = "it takes room")]
    value: u64,
    links: [gc::GcCell<Option<GcPointer>>; 3],
}

impl gc::Finalize for GcNode {}

// SAFETY: the macro is given every pointer.
#[allow(unused_unsafe, reason = "one of the functions that the macro makes of this is safe")]
unsafe impl gc::Trace for GcNode {
    gc::custom_trace!(this, {
        // SAFETY: called by the collector, for what this node owns.
        unsafe {
            for link in &this.links {
                mark(link);
            }
        }
    });
}

impl Peer for Gc {
    type Heap = ();
    type Pointer = GcPointer;

    fn heap() -> Result<()> {
        Ok(())
    }

    fn node((): &(), value: u64) -> GcPointer {
        gc::Gc::new(GcNode { value, links: [(); 3].map(|()| gc::GcCell::new(None)) })
    }

    fn set(node: &GcPointer, slot: usize, to: GcPointer) {
        *node.links[slot].borrow_mut() = Some(to);
    }

    fn collect((): &()) {
        gc::force_collect();
    }
}

/// Ours.
pub(super) struct Ours;

pub(super) struct OurNode {
    #[allow(dead_code, reason = "it takes room")]
    value: u64,
    links: [::rc::Slot<OurNode>; 3],
}

impl ::rc::Trace for OurNode {
    const FINALIZES: bool = false;
    const ORDERED: bool = false;

    #[inline]
    fn traverse(&self, visitor: &mut ::rc::Visitor<'_>) {
        self.links.traverse(visitor);
    }

    #[inline]
    fn clear_refs(&self) {
        self.links.clear_refs();
    }
}

impl Peer for Ours {
    type Heap = Heap<Manual>;
    type Pointer = ::rc::Ref<OurNode>;

    fn heap() -> Result<Self::Heap> {
        Ok(Heap::new(Manual))
    }

    fn node(heap: &Self::Heap, value: u64) -> Self::Pointer {
        heap.alloc(OurNode { value, links: Default::default() })
    }

    fn set(node: &Self::Pointer, slot: usize, to: Self::Pointer) {
        node.links[slot].set(to);
    }

    fn collect(heap: &Self::Heap) {
        heap.collect();
    }

    fn left(heap: &Self::Heap) -> Option<usize> {
        Some(super::ours::left(heap))
    }
}
