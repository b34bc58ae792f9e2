//! CPython's cycle collector: who is garbage though it is referred to, and what happens to it, in which order.
//!
//! **The decision:** a collection is *stepped*. It finds the garbage at once, but what follows runs foreign code
//! (callbacks, finalizers, deaths), and that may do anything to the heap. So the collector says what is to be done and
//! returns; between its steps it holds on to nothing but lists that the heap keeps.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "petgraph")]
mod anatomy;
mod collection;
mod containers;
mod found;
mod lists;
mod partition;
mod rules;
#[cfg(feature = "petgraph")]
mod shortest;
mod snapshot;
mod step;
#[cfg(feature = "petgraph")]
mod view;

#[cfg(feature = "petgraph")]
pub use crate::anatomy::{Anatomy, Knot, Limits, anatomy};
pub use crate::collection::Collection;
pub use crate::containers::{Cleared, Containers, Untracks, Which};
pub use crate::lists::{ListId, Lists, Place, append, track, untrack};
pub use crate::partition::Partition;
pub use crate::rules::{Counted, Immortals, PRESETS, Preset, Rules, SecondLook, Silent, preset};
pub use crate::snapshot::{Snapshot, TooMany};
pub use crate::step::{Outcome, Plan, Step};
#[cfg(feature = "petgraph")]
pub use crate::view::{Graph, Marks, Reference, References, second_opinion};
