//! CPython's cycle collector: who is garbage though it is referred to, and what happens to it, in which order.
//!
//! **The decision:** a collection is *stepped*. It finds the garbage at once, but what follows runs foreign code
//! (callbacks, finalizers, deaths), and that may do anything to the heap. So the collector says what is to be done and
//! returns; between its steps it holds on to nothing but lists that the heap keeps. And it frees nothing: it has
//! objects *cleared*, and those die of their counts, by [`rc::Deaths`]. So a heap that tells lies has the wrong
//! objects cleared, at worst; none of them is freed while a counted reference to it is left. One thing is the driver's:
//! to [`untrack`] what dies. Who forgets that has it cleared, and told of as [free](rc::Death::Free), once more: by this
//! collection or the next.
//!
//! What it asks of an object model is [`rc::Heap`] and, on top, [`Containers`]. In what the versions of CPython differ
//! is data: [`Rules`].
//!
//! ```
//! use cycles::bumpalo::Bump;
//! use cycles::{Collection, Containers, ListId, Lists, Place, Plan, Rules, Step, track, untrack};
//! use rc::{Death, Deaths, Heap};
//!
//! /// Objects are numbers; each has a count, the references that it owns, and a place on a list.
//! #[derive(Default)]
//! struct Objects {
//!     all: Vec<(u64, Vec<usize>, Place)>,
//!     lists: Lists<usize>,
//! }
//!
//! impl Heap for Objects {
//!     type Id = usize;
//!     fn count(&self, o: usize) -> u64 { self.all[o].0 }
//!     fn set_count(&mut self, o: usize, word: u64) { self.all[o].0 = word }
//!     fn release_next(&mut self, o: usize) -> Option<usize> { self.all[o].1.pop() }
//! }
//!
//! impl Containers for Objects {
//!     fn traverse(&self, o: usize, visit: &mut impl FnMut(usize)) {
//!         self.all[o].1.iter().copied().for_each(visit);
//!     }
//!     fn place(&self, o: usize) -> Place { self.all[o].2 }
//!     fn set_place(&mut self, o: usize, place: Place) { self.all[o].2 = place }
//!     fn lists(&self) -> &Lists<usize> { &self.lists }
//!     fn lists_mut(&mut self) -> &mut Lists<usize> { &mut self.lists }
//! }
//!
//! // 0 and 1 own each other, and 1 owns 2. Somebody else holds 3.
//! let mut heap = Objects::default();
//! let young = ListId::new(0);
//! for (count, owned) in [(1, vec![1]), (1, vec![0, 2]), (1, vec![]), (1, vec![])] {
//!     heap.all.push((count, owned, Place::UNTRACKED));
//!     let newest = heap.all.len() - 1;
//!     track(&mut heap, newest, young);
//! }
//!
//! let mut deaths = Deaths::new(rc::Rules::for_cpython(3, 13).unwrap());
//! let scratch = Bump::new();
//! let plan = Plan { young, old: young, permanent: ListId::new(1), saves_all: false };
//! let rules = Rules::for_cpython(3, 13, 5).unwrap();
//! let (mut collection, ..) = Collection::begin(&mut heap, plan, rules, &scratch).unwrap();
//!
//! let mut freed = Vec::new();
//! let outcome = loop {
//!     let given_up = match collection.next(&mut heap, &scratch).unwrap() {
//!         Step::Clear(o) => std::mem::take(&mut heap.all[o].1),
//!         Step::Release(o) => vec![o],
//!         Step::Done(outcome) => break outcome,
//!         other => unreachable!("no finalizers, no weak references: {other:?}"),
//!     };
//!     for o in given_up {
//!         deaths.decrement(&mut heap, o).unwrap();
//!         while let Some(Death::Free(o)) = deaths.next(&mut heap).unwrap() {
//!             // Or it would be cleared and freed once more.
//!             untrack(&mut heap, o);
//!             freed.push(o);
//!         }
//!     }
//! };
//! assert_eq!(freed, [2, 1, 0]);
//! assert_eq!(outcome.collected, 3);
//! assert_eq!(heap.lists.iter(young).collect::<Vec<_>>(), [3]);
//! ```
//!
//! `examples/index_heap.rs` has a finalizer, too. The [`bumpalo`] whose memory collections use is exported again.
//!
//! # What it does not do
//!
//! * Decide when to collect, and what: a [`Plan`] says what. Counting births and choosing a generation is the floor
//!   above, as is bringing the younger lists behind the one that is collected ([`append`]).
//! * Find roots. Whoever is counted more often than the candidates refer to it is held from outside, that is all it knows of
//!   stacks and globals.
//! * Free, call or finalize: the driver does, when a [`Step`] says so.
//! * The incremental collector of CPython 3.14.0 to 3.14.4, and that of the free-threaded builds.
//! * Cross threads. Collections may begin inside of each other, up to eighty or so.
//!
//! # Complexity
//!
//! Objects stand on [`Lists`] of vectors: to the tail of one, and off it, takes O(1), amortised.
//! [`Collection::begin`] traverses each candidate once and takes O(candidates + their references); survivors that may be
//! taken off the lists are traversed once or twice more. All steps together take O(garbage + its references): what is garbage
//! is traversed a second time if anything ran. Nothing recurses and nothing is hashed. Nine bytes and its name by candidate, four
//! more if it first seems to be garbage and is not, and four by reference, are taken of a [`Bump`](bumpalo::Bump) that the driver owns and may reset when the collection is over.
//! (Room for four references by candidate is set aside at once, but not touched before it is needed.)
//!
//! # Panics
//!
//! None, whatever a heap answers, but those that are documented: of functions that take numbers of nodes. If the heap
//! panics, in its `traverse` for example, all of its objects are still on lists: if [`Collection::begin`] did not come to its
//! end, on those of the plan; else the collection can go on, and asks again. If the driver's own code panics while it does
//! a step, the collection can go on with the next one: its state is that of its lists, and what it had counted is
//! given up by the [`Step::Release`] that follows. To give a collection up, do nothing but its
//! releases until it is [done](Step::Done): then all of its objects are back on the driver's lists.
//!
//! # Features
//!
//! * `petgraph` (default): the [`Graph`] of a collection for the algorithms of petgraph, a [`second_opinion`] on who is
//!   unreachable, and the [`anatomy`] of garbage: its knots, their shortest cycles, what they retain. Without it, no
//!   dependencies but `rc` (its contract only) and `bumpalo`. In both cases `core` and `alloc`, and no unsafe code.
//!
//! # Limits
//!
//! Fewer than 2³² − 16 candidates, and fewer than 2³¹ − 1 references among them: else [`TooMany`], before
//! anything has changed. An object of which more references are told than are counted lives on, as in CPython from 3.8 on
//! (where a count that falls below zero is not zero; earlier versions stop at zero and take it for garbage).

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "petgraph")]
mod anatomy;
mod collection;
mod containers;
mod found;
mod lists;
#[cfg(feature = "petgraph")]
mod marks;
mod partition;
mod rules;
#[cfg(feature = "petgraph")]
mod shortest;
mod snapshot;
mod step;
#[cfg(feature = "petgraph")]
mod view;

pub use bumpalo;

#[cfg(feature = "petgraph")]
pub use crate::anatomy::{Anatomy, Knot, Limits, anatomy};
pub use crate::collection::Collection;
pub use crate::containers::{Cleared, Concerns, Containers, Surveyor, Untracks, Which};
pub use crate::lists::{ListId, Lists, Place, append, track, untrack};
#[cfg(feature = "petgraph")]
pub use crate::marks::Marks;
pub use crate::partition::Partition;
pub use crate::rules::{Counted, Immortals, PRESETS, Preset, Rules, SecondLook, Silent, preset};
pub use crate::snapshot::{Snapshot, TooMany};
pub use crate::step::{Outcome, Plan, Step};
#[cfg(feature = "petgraph")]
pub use crate::view::{Graph, Reference, References, second_opinion};
