//! CPython's reference counting: who dies when a count comes to zero, in which order, and what runs on the way.
//!
//! **The decision:** counting is an algorithm apart from any object model. [`Heap`] is all that it asks of one (a
//! count to store, the references that an object owns), [`Deaths`] does the rest, a *step* at a time: it
//! says *finalize this*, *call that*, *free this*, and whoever drives it may do anything in between. In what the
//! versions of CPython differ is data: [`Rules`]. So one and the same code replays recorded programs, counts in
//! an interpreter with objects of its own, and is what the typed pointers here are tested against.
//!
//! The second half is one such object model, for programs in Rust: [`Ref`] is a counted pointer to a value that
//! lives in a [`PoolHeap`], in CPython's order of deaths, with its finalizers and its weak references.
//!
//! Names are short and meant to be imported singly or used by path: `rc::Heap` is a contract, `generations::Heap` a heap.
//!
//! ```
//! use rc::{PoolHeap, Ref, Slot, Trace, Visitor};
//!
//! struct Node {
//!     name: &'static str,
//!     next: Slot<Node>,
//! }
//!
//! impl Trace for Node {
//!     fn traverse(&self, visitor: &mut Visitor<'_>) {
//!         self.next.traverse(visitor);
//!     }
//!     fn finalize(this: &Ref<Self>) {
//!         println!("{} dies", this.name);
//!     }
//! }
//!
//! let heap = PoolHeap::default();
//! let tail = heap.alloc(Node { name: "tail", next: Slot::empty() });
//! let head = heap.alloc(Node { name: "head", next: Slot::new(tail.clone()) });
//! let weak = Ref::downgrade(&tail);
//! let _watch = Ref::watch(&tail, || println!("and nobody refers to it any more"));
//!
//! drop(tail);
//! assert_eq!(head.next.get(), weak.upgrade());
//! drop(head); // head dies, tail dies, and nobody refers to it any more
//! assert!(weak.upgrade().is_none());
//! ```
//!
//! # What `std::rc::Rc` does not do
//!
//! * A list of ten million nodes can be dropped: deep deaths are deferred, as by CPython's *trashcan*.
//! * A finalizer may bring an object back to life; weak references call back.
//! * Pointers are thin and can be asked for their type ([`AnyRef`]); counts saturate, and objects can be immortal.
//! * Allocating and freeing is a matter of nanoseconds, on CPython's pools.
//! * What an object refers to can be asked ([`Trace`]), which is what a cycle collector needs.
//!
//! # What it does not do either
//!
//! * Free cycles. In a [`PoolHeap`] they leak; the crate `generations` has a heap that collects them, on a [`Registry`],
//!   which is what a collector of your own would take, too.
//! * Cross threads. Nothing here is `Send`: atomic counts would cost a clone what an allocation costs now, and
//!   an order of deaths that two threads race for is none.
//! * Derive [`Trace`]: that would be a second crate and a parser of Rust to compile, to save a line by field.
//! * Point to unsized values: a trait object in a `Box` inside of an object can be.
//!
//! # Panics
//!
//! If a finalizer, a callback or a `Drop` panics, the death that it is part of is brought to its end while that
//! unwinds, as are the deaths that wait for it: later callbacks are called, the value is dropped, memory is freed,
//! and the heap is as it would be without the panic. A second panic meanwhile aborts, as everywhere in Rust.
//!
//! # Features
//!
//! * `pool` (default): typed pointers; [`Trace`] for them in the collections of `std`. Without it the crate is the contract
//!   alone: `core` and `alloc`, no unsafe code, no dependencies.
//!
//! # Limits
//!
//! A list subclass' instance passes CPython's trashcan twice up to 3.7, as instance and as list; here an object is
//! one or the other. The tuple in which CPython holds weak references while their callbacks run does not count as
//! a level of nesting.

#![no_std]
#![cfg_attr(not(feature = "pool"), forbid(unsafe_code))]

extern crate alloc;
#[cfg(any(test, feature = "pool"))]
extern crate std;

mod count;
mod deaths;
mod heap;
mod rules;
#[cfg(feature = "pool")]
mod typed;

pub use crate::count::{Count, CountError, Counting, Miscount};
pub use crate::deaths::{Death, Deaths};
pub use crate::heap::{Callback, Detached, Heap, Note};
pub use crate::rules::{Finalizers, Holds, PRESETS, Part, Preset, Rules, Trashcan, preset};
#[cfg(feature = "pool")]
pub use crate::typed::{
    AnyRef, Cleared, Held, Keeper, Leaf, Look, Number, PoolHeap, Ref, Registry, Slot, Surveyor, Trace,
    Visitor, Weak,
};
