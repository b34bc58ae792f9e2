//! The pointers, each with the same node: a number and two optional pointers.

use crate::Result;

/// A kind of pointer.
pub(super) trait Peer {
    /// Where nodes are allocated, if one has to say so.
    type Heap;
    type Pointer: Clone;

    fn heap() -> Result<Self::Heap>;

    fn node(
        heap: &Self::Heap,
        value: u64,
        left: Option<Self::Pointer>,
        right: Option<Self::Pointer>,
    ) -> Self::Pointer;

    /// A node's number and what it points to.
    fn parts(node: &Self::Pointer) -> (u64, Option<&Self::Pointer>, Option<&Self::Pointer>);

    /// Does what was put off.
    fn collect() {}
}

/// A node and its peer, for pointers that are made by `new`.
macro_rules! peer {
    ($peer:ident, $node:ident, $pointer:ty, $new:expr $(, $collect:expr)?) => {
        pub(super) struct $peer;

        pub(super) struct $node {
            value: u64,
            left: Option<$pointer>,
            right: Option<$pointer>,
        }

        impl Peer for $peer {
            type Heap = ();
            type Pointer = $pointer;

            fn heap() -> Result<()> {
                Ok(())
            }

            #[inline]
            fn node((): &(), value: u64, left: Option<$pointer>, right: Option<$pointer>) -> $pointer {
                $new($node { value, left, right })
            }

            #[inline]
            fn parts(node: &$pointer) -> (u64, Option<&$pointer>, Option<&$pointer>) {
                (node.value, node.left.as_ref(), node.right.as_ref())
            }

            $(fn collect() {
                $collect();
            })?
        }
    };
}

peer!(Std, StdNode, std::rc::Rc<StdNode>, std::rc::Rc::new);

peer!(RustCc, RustCcNode, rust_cc::Cc<RustCcNode>, rust_cc::Cc::new, rust_cc::collect_cycles);

impl rust_cc::Finalize for RustCcNode {}

// SAFETY: both pointers are traced, once each, and nothing else is done; it does not implement `Drop`.
unsafe impl rust_cc::Trace for RustCcNode {
    fn trace(&self, context: &mut rust_cc::Context<'_>) {
        self.left.trace(context);
        self.right.trace(context);
    }
}

peer!(
    BaconRajan,
    BaconRajanNode,
    bacon_rajan_cc::Cc<BaconRajanNode>,
    bacon_rajan_cc::Cc::new,
    bacon_rajan_cc::collect_cycles
);

impl bacon_rajan_cc::Trace for BaconRajanNode {
    fn trace(&self, tracer: &mut bacon_rajan_cc::Tracer) {
        self.left.trace(tracer);
        self.right.trace(tracer);
    }
}

peer!(Gc, GcNode, gc::Gc<GcNode>, gc::Gc::new, gc::force_collect);

impl gc::Finalize for GcNode {}

// SAFETY: the macro is given every pointer.
#[allow(unused_unsafe, reason = "one of the functions that the macro makes of this is safe")]
unsafe impl gc::Trace for GcNode {
    gc::custom_trace!(this, {
        // SAFETY: called by the collector, for what this node owns.
        unsafe {
            mark(&this.left);
            mark(&this.right);
        }
    });
}

peer!(
    Dumpster,
    DumpsterNode,
    dumpster::unsync::Gc<DumpsterNode>,
    dumpster::unsync::Gc::new,
    dumpster::unsync::collect
);

// SAFETY: both pointers are shown to the visitor.
unsafe impl<V: dumpster::Visitor> dumpster::TraceWith<V> for DumpsterNode {
    fn accept(&self, visitor: &mut V) -> std::result::Result<(), ()> {
        self.left.accept(visitor)?;
        self.right.accept(visitor)
    }
}

/// Ours.
pub(super) struct Ours;

pub(super) struct OurNode {
    value: u64,
    left: Option<::rc::Ref<OurNode>>,
    right: Option<::rc::Ref<OurNode>>,
}

impl ::rc::Trace for OurNode {
    fn traverse(&self, visitor: &mut ::rc::Visitor<'_>) {
        self.left.traverse(visitor);
        self.right.traverse(visitor);
    }
}

impl Peer for Ours {
    type Heap = ::rc::PoolHeap;
    type Pointer = ::rc::Ref<OurNode>;

    fn heap() -> Result<Self::Heap> {
        Ok(::rc::PoolHeap::default())
    }

    #[inline]
    fn node(
        heap: &Self::Heap,
        value: u64,
        left: Option<Self::Pointer>,
        right: Option<Self::Pointer>,
    ) -> Self::Pointer {
        heap.alloc(OurNode { value, left, right })
    }

    #[inline]
    fn parts(node: &Self::Pointer) -> (u64, Option<&Self::Pointer>, Option<&Self::Pointer>) {
        (node.value, node.left.as_ref(), node.right.as_ref())
    }
}
