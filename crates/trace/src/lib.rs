//! The Vivarium trace format: what a program did to its memory manager, and what the manager answered.
//!
//! **The decision.** A trace is a question and its answer, and a replay is only worth something if it cannot peek.
//! So each frame keeps three kinds of records in separate streams, which become three separate types: *inputs* are
//! what the program did; *fetched* records exist only because an answer exists (the base of a new arena), and are
//! handed out one at a time to who has predicted that one is due; *observations* are the answers, for who compares.
//! Nothing in the inputs' order or numbering tells an answer: blocks are numbered by birth and numbers are never
//! used again.
//!
//! The format is specified in `FORMAT.md`, beside this crate's manifest, for a reader in any language. This crate knows
//! nothing of pools, arenas or free lists: observed addresses are written as their distance from a guess that rests on
//! earlier observations alone. So a [`Reader`] needs no more memory than a frame takes, and who wants the addresses has a
//! [`Resolver`] follow the blocks.
//!
//! ```
//! use trace::{Allocator, Answer, BlockTable, Domain, EmptyArenas, Ending, Frame, Header, Reader, Resolver, Writer};
//!
//! fn main() -> Result<(), trace::Error> {
//!     let allocator = Allocator {
//!         alignment: 16,
//!         small_limit: 512,
//!         pool_size: 16 << 10,
//!         arena_size: 1 << 20,
//!         empty_arenas: EmptyArenas::KeepLast,
//!     };
//!     let mut file = Vec::new();
//!     let mut writer = Writer::new(&mut file, &Header::new("example", "3.13.0", allocator))?;
//!     writer.arena_requested(Some(0x7f00_0000_0000));
//!     let block = writer.allocate(Domain::Obj, 24, false, Answer::At(0x7f00_0000_0030))?.unwrap();
//!     writer.release(block, 0x7f00_0000_0030, Domain::Obj)?;
//!     writer.finish(Ending::Exited(0), 1_000)?;
//!
//!     let mut reader = Reader::new(&file[..])?;
//!     let mut frame = Frame::default();
//!     assert!(reader.read(&mut frame)?);
//!     assert_eq!(frame.inputs.len(), 2);
//!     let mut addresses = Vec::new();
//!     Resolver::new(&reader.header().allocator).resolve(&frame, &mut BlockTable::new(), &mut addresses)?;
//!     assert_eq!(addresses, [0x7f00_0000_0030]);
//!     assert!(!reader.read(&mut frame)?);
//!     assert_eq!(reader.trailer().unwrap().totals.events, 2);
//!     Ok(())
//! }
//! ```
//!
//! Files are best opened as a [`Lineage`]. The trace of a forked process goes on from its parent's, in the same folder, and
//! cannot be resolved without; one that was not forked is read as by a `Reader`:
//!
//! ```
//! use trace::{BlockTable, Frame, Lineage, Resolver};
//!
//! let mut trace = Lineage::open("../../traces/store/store-3.11.2-4.viv".as_ref())?;
//! let mut resolver = Resolver::new(&trace.header().allocator);
//! let (mut blocks, mut frame, mut addresses) = (BlockTable::new(), Frame::default(), Vec::new());
//! let (mut inherited, mut own) = (0, 0);
//! while trace.read(&mut frame)? {
//!     addresses.clear();
//!     resolver.resolve(&frame, &mut blocks, &mut addresses)?;
//!     *if trace.in_past() { &mut inherited } else { &mut own } += frame.inputs.len();
//! }
//! assert_eq!(own as u64, trace.trailer().unwrap().totals.events);
//! assert_eq!(inherited as u64, trace.header().parent.as_ref().unwrap().events);
//! # Ok::<(), trace::Error>(())
//! ```

#![forbid(unsafe_code)]

mod address;
mod blocks;
mod collections;
mod error;
mod event;
mod frame;
mod header;
mod inputs;
mod lineage;
mod objects;
mod read;
mod resolve;
mod varint;
mod write;

pub use blocks::BlockTable;
pub use collections::{
    Arrival, Behind, Collection, CollectionFrame, CollectorAction, CollectorSettings, CollectorStep, Graph,
    IMMORTAL, Permanent, Told, UNTRACKED,
};
pub use error::{Corruption, Error, Malformed};
pub use event::{
    Answer, ArenaChange, ArenaEvent, Block, Domain, Input, Kind, MARK_DEBUGMALLOCSTATS, MARK_FINALIZING,
    MAX_SIZE, PackedInput,
};
pub use frame::{OLDEST, VERSION, Version};
pub use header::{
    Allocator, EmptyArenas, Ending, Header, ImpossibleAllocator, Interpreter, Machine, Parent, Program, Tier,
    Totals, Trailer,
};
pub use lineage::Lineage;
pub use objects::{
    Beginning, Begins, COUNT_LIMIT, Death, Edge, Fate, FetchedDeaths, Object, ObjectFrame, STRANGER, Step,
    TypeInfo, TypeNumber,
};
pub use read::{FOREIGN, Fetched, FetchedArena, Frame, Observations, Reader};
pub use resolve::{Placed, Places, Resolver};
pub use write::{Branch, LiveBlock, Writer};
