//! Typed pointers to objects that live in a pool.
//!
//! Unsafe code is in `object` (the header), `shared` and `free_list` (memory and who needs it), `life` (how an object
//! dies), `handle` (how it is born), in the pointers themselves: `pointer`, `any`, `weak`,
//! and where objects have numbers: `registry`, `referents`, `held`.

mod any;
mod free_list;
mod handle;
mod heads;
mod held;
mod life;
mod numbers;
mod object;
mod pointer;
mod referents;
mod registry;
mod shared;
mod slot;
mod trace;
mod weak;

pub use any::AnyRef;
pub use handle::PoolHeap;
pub use held::Held;
pub use numbers::Number;
pub use pointer::Ref;
pub use registry::{Keeper, Look, Registry, Surveyor};
pub use slot::Slot;
pub use trace::{Leaf, Trace, Visitor};
pub use weak::{Cleared, Weak};
