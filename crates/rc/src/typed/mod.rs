//! Typed pointers to objects that live in a pool.
//!
//! Unsafe code is in `object` (the header), `shared` and `free_list` (memory and who needs it), `life` (how an object
//! dies), `handle` (how it is born), and in the pointers themselves: `pointer`, `any`, `weak`.

mod any;
mod free_list;
mod handle;
mod heads;
mod life;
mod object;
mod pointer;
mod shared;
mod slot;
mod trace;
mod weak;

pub use any::AnyRef;
pub use handle::PoolHeap;
pub use pointer::Ref;
pub use slot::Slot;
pub use trace::{Leaf, Trace, Visitor};
pub use weak::Weak;
