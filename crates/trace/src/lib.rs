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
//! use trace::{Answer, BlockTable, Domain, Ending, Frame, Reader, Resolver, Writer};
//!
//! # let header: trace::Header = serde_json::from_str(r#"{
//! #     "recorder": "doctest", "started": 0, "program": {"name": "doctest"},
//! #     "interpreter": {"implementation": "CPython", "version": "3.13.0", "build": "3.13.0"},
//! #     "machine": {"os": "linux", "arch": "x86_64", "processors": 2},
//! #     "allocator": {"alignment": 16, "small_limit": 512, "pool_size": 16384, "arena_size": 1048576,
//! #                   "empty_arenas": "keep-last"},
//! #     "tier": "blocks", "tier_reason": ""}"#).unwrap();
//! let mut file = Vec::new();
//! let mut writer = Writer::new(&mut file, &header)?;
//! writer.arena_requested(Some(0x7f00_0000_0000));
//! let block = writer.allocate(Domain::Obj, 24, false, Answer::At(0x7f00_0000_0030))?.unwrap();
//! writer.release(block, 0x7f00_0000_0030, Domain::Obj)?;
//! writer.finish(Ending::Exited(0), 1_000)?;
//!
//! let mut reader = Reader::new(&file[..])?;
//! let mut frame = Frame::default();
//! assert!(reader.read(&mut frame)?);
//! assert_eq!(frame.inputs.len(), 2);
//! let mut addresses = Vec::new();
//! Resolver::new(&header.allocator).resolve(&frame, &mut BlockTable::new(), &mut addresses)?;
//! assert_eq!(addresses, [0x7f00_0000_0030]);
//! assert!(!reader.read(&mut frame)?);
//! assert_eq!(reader.trailer().unwrap().totals.events, 2);
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
