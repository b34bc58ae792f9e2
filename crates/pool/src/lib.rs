//! The small-object allocator of CPython, address for address.
//!
//! **The decision:** CPython's allocator is written once, as an allocator that works on real
//! memory, and everything in which its versions differ is data: a [`Geometry`]. Given the bases of
//! its arenas, it puts every block exactly where CPython would. So one and the same code is checked
//! against recorded programs and serves as an allocator in programs of its own.
//!
//! Memory comes in *arenas* (256 KiB or 1 MiB) from an [`ArenaSource`]. Arenas are cut into *pools*
//! (4 or 16 KiB), each of which serves one *size class* at a time and is cut into *blocks* of that
//! size behind a header of 48 bytes. Free blocks are linked through their first word, so that
//! allocating is unlinking and freeing is linking. A pool without live blocks can serve any class;
//! an arena without live pools can be handed back.
//!
//! ```
//! use hashbrown::{DefaultHashBuilder, HashMap};
//! use pool::{Geometry, Pool};
//!
//! let pool = Pool::new(Geometry::for_cpython(3, 12, 1).expect("a known version"));
//!
//! // As CPython uses it: sizes in, addresses out.
//! let a = pool.malloc(40).expect("memory");
//! let b = pool.malloc(33).expect("memory");
//! assert_eq!(b.addr().get() - a.addr().get(), 48);
//! // SAFETY: both blocks are from this pool, freed once, and not used afterwards.
//! unsafe {
//!     pool.free(Some(a));
//!     assert_eq!(pool.malloc(48), Some(a), "the block freed last is used first");
//!     pool.free(Some(a));
//!     pool.free(Some(b));
//! }
//!
//! // As Rust uses it: `&Pool` is an allocator for collections.
//! let mut squares = HashMap::with_hasher_in(DefaultHashBuilder::default(), &pool);
//! squares.extend((0..10_u64).map(|n| (n, n * n)));
//! assert_eq!(squares[&9], 81);
//! assert!(pool.stats().bytes.in_use > 0);
//! ```
//!
//! # Features
//!
//! * `os` (default): `Os`, arenas from anonymous mappings.
//! * `libc` (default): `Malloc`, the C library behind the pools. Without it [`Pool::new`] has nothing behind them:
//!   `malloc(600)`, which no pool serves, is `None`.
//! * `bump` (default): `Bump`, arenas from bump allocation.
//! * `serde` (default): geometries, statistics and views can be serialised.
//!
//! Without them the crate needs `core`, `alloc` and `allocator-api2` only, and takes arenas from the
//! global allocator ([`Heap`]).
//!
//! # Limits
//!
//! 64-bit addresses, of which arenas use the lower 48 bits. One thread at a time. Interpreters
//! with a debugging allocator or without the GIL place blocks differently.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("pool needs a 64-bit target: its headers hold as much as CPython's do there");

mod address_map;
mod arena;
mod class;
mod debugmallocstats;
mod fallback;
mod geometry;
mod header;
mod layout_api;
mod pool;
mod presets;
mod raw;
mod source;
mod state;
mod stats;
mod view;
mod window;

pub use crate::arena::ArenaId;
pub use crate::class::SizeClass;
pub use crate::debugmallocstats::{FORMATS, Format, RadixTree, debugmallocstats};
#[cfg(feature = "libc")]
pub use crate::fallback::Malloc;
pub use crate::fallback::{DefaultFallback, Fallback, Refuse, Unbacked};
pub use crate::geometry::{EmptyArenas, Geometry, GeometryError, MAX_CLASSES};
pub use crate::pool::Pool;
pub use crate::presets::{PRESETS, Preset, preset};
pub use crate::source::budget::Budget;
#[cfg(feature = "bump")]
pub use crate::source::bump::Bump;
pub use crate::source::heap::Heap;
#[cfg(feature = "os")]
pub use crate::source::os::Os;
pub use crate::source::replay::{ArenaEvent, Refusal, Replay};
pub use crate::source::retain::Retain;
pub use crate::source::{ArenaSource, DefaultSource};
pub use crate::stats::{ArenaStats, ByteStats, ClassStats, Stats};
pub use crate::view::{ArenaView, ClassView, Place, PoolView, Position};
