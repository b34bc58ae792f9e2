//! The heaps, each with the same node: a number and three pointers that can be set.

use std::cell::RefCell;

use generations::{Heap, Manual};

use crate::Result;

/// A heap that collects cycles.
pub(super) trait Peer {
    type Heap;
    type Pointer: Clone;

    fn heap() -> Result<Self::Heap>;

    fn node(heap: &Self::Heap, value: u64) -> Self::Pointer;

    fn set(node: &Self::Pointer, slot: usize, to: Self::Pointer);

    fn collect(heap: &Self::Heap);
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

    fn traverse(&self, visitor: &mut ::rc::Visitor<'_>) {
        self.links.traverse(visitor);
    }

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
}
