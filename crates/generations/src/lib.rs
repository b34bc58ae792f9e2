//! When CPython's collector runs, and on which generation.
//!
//! **The decision:** *when to collect what* is apart from *how*. A [`Policy`] decides by counters when which objects are
//! looked at, and is asked only when its [`Alarm`] rings, so that an allocation costs a counter. [`Generations`] puts it
//! into CPython's surroundings, where collections are disabled, asked for, armed by one thread and run at another's safe point;
//! in what the versions differ there is data: [`Rules`]. What is decided is done by [`cycles`], a step at a time, whose
//! steps the driver does.
//!
//! For programs in Rust there is a [`Heap`] that is all of this, on [`rc`]'s typed pointers (the feature `heap`, which is
//! on by default; without it the crate is `core` and `alloc`, and knows of no object model):
//!
//! ```
//! # #[cfg(feature = "heap")] {
//! use generations::Heap;
//! use rc::{Ref, Slot, Trace, Visitor};
//!
//! struct Parent {
//!     child: Slot<Child>,
//! }
//!
//! struct Child {
//!     parent: Slot<Parent>,
//! }
//!
//! impl Trace for Parent {
//!     fn traverse(&self, visitor: &mut Visitor<'_>) { self.child.traverse(visitor) }
//!     fn clear_refs(&self) { self.child.clear_refs() }
//! }
//!
//! impl Trace for Child {
//!     fn traverse(&self, visitor: &mut Visitor<'_>) { self.parent.traverse(visitor) }
//!     fn clear_refs(&self) { self.parent.clear_refs() }
//!     fn finalize(_: &Ref<Self>) { println!("nobody knows us any more") }
//! }
//!
//! let heap = Heap::default();
//! let parent = heap.alloc(Parent { child: Slot::empty() });
//! parent.child.set(heap.alloc(Child { parent: Slot::new(parent.clone()) }));
//! drop(parent);
//! // Some thousand allocations later this would come by itself.
//! assert_eq!(heap.collect().collected, 2);
//! # }
//! ```
//!
//! [`Generations`] itself stores no objects and frees none. A replay of a recorded program drives it, as an interpreter would:
//!
//! ```
//! use cycles::{Lists, Place};
//! use generations::{Answer, Generation, Generations, Step, Thread};
//!
//! // An object model: numbered objects that refer to others.
//! #[derive(Default)]
//! struct Heap {
//!     counts: Vec<u64>,
//!     owns: Vec<Vec<usize>>,
//!     places: Vec<Place>,
//!     lists: Lists<usize>,
//! }
//!
//! impl rc::Heap for Heap {
//!     type Id = usize;
//!     fn count(&self, o: usize) -> u64 { self.counts[o] }
//!     fn set_count(&mut self, o: usize, word: u64) { self.counts[o] = word }
//!     fn release_next(&mut self, o: usize) -> Option<usize> { self.owns[o].pop() }
//! }
//!
//! impl cycles::Containers for Heap {
//!     fn traverse(&self, o: usize, visit: &mut impl FnMut(usize)) {
//!         self.owns[o].iter().copied().for_each(visit);
//!     }
//!     fn place(&self, o: usize) -> Place { self.places[o] }
//!     fn set_place(&mut self, o: usize, place: Place) { self.places[o] = place }
//!     fn lists(&self) -> &Lists<usize> { &self.lists }
//!     fn lists_mut(&mut self) -> &mut Lists<usize> { &mut self.lists }
//! }
//!
//! let mut generations = Generations::for_cpython(3, 11, 2).unwrap();
//! let mut heap = Heap::default();
//! let mut deaths = rc::Deaths::new(rc::Rules::for_cpython(3, 11).unwrap());
//! let scratch = generations::bumpalo::Bump::new();
//! let mut freed = 0;
//!
//! // A program that leaves rings of two behind.
//! for o in 0..702 {
//!     let rings = generations.allocated();
//!     heap.counts.push(1);
//!     heap.owns.push(vec![o ^ 1]);
//!     heap.places.push(Place::UNTRACKED);
//!     if rings && let Answer::Collect(started) = generations.trigger(Thread(0), false) {
//!         let mut run = started.look(&mut generations, &mut heap, &scratch).unwrap().run;
//!         loop {
//!             let given_up = match run.next(&mut generations, &mut heap, &scratch).unwrap() {
//!                 Step::Collector(cycles::Step::Clear(o)) => heap.owns[o].pop(),
//!                 Step::Collector(cycles::Step::Release(o)) => Some(o),
//!                 Step::Done(_) => break,
//!                 _ => None,
//!             };
//!             if let Some(o) = given_up {
//!                 deaths.decrement(&mut heap, o).unwrap();
//!                 while let Some(death) = deaths.next(&mut heap).unwrap() {
//!                     let rc::Death::Free(o) = death else { continue };
//!                     // Or it would be cleared and freed once more.
//!                     cycles::untrack(&mut heap, o);
//!                     generations.freed();
//!                     freed += 1;
//!                 }
//!             }
//!         }
//!     }
//!     cycles::track(&mut heap, o, Generation::YOUNG.list());
//! }
//! // The last one before the threshold and what came then are a ring, too.
//! assert_eq!((freed, generations.stats()[0].collections, heap.lists.len(Generation::YOUNG.list())), (700, 1, 2));
//! ```
//!
//! The [`bumpalo`] whose memory collections use is exported again. Names are short and meant to be imported singly or used by
//! path: `rc::Heap` is a contract, `generations::Heap` a heap.
//!
//! # Limits
//!
//! * The incremental collector of 3.14.0 to 3.14.4 is not here: [`Generations::for_cpython`] says so. What it needs of the seam
//!   is: an [`Extent`] that is a part of a generation.
//! * Whether garbage is kept (`DEBUG_SAVEALL`) is read when a collection looks; CPython reads it for each object that it
//!   clears.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod counters;
mod generation;
#[cfg(feature = "heap")]
mod heap;
mod policy;
mod rules;
mod run;
mod schedule;

pub use bumpalo;

pub use crate::counters::{Counters, Stats};
pub use crate::generation::{Generation, PERMANENT};
#[cfg(feature = "heap")]
pub use crate::heap::Heap;
pub use crate::policy::{Alarm, Choice, Extent, Generational, HeldBack, Manual, Never, Plan, Policy, Why};
pub use crate::rules::{Arms, Joins, PRESETS, Preset, Request, Rules, Runs, preset};
pub use crate::run::{Look, Run, Started, Step};
pub use crate::schedule::{Answer, Armed, Because, Generations, Thread};
