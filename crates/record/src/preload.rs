//! The parts of the preloaded library that the reading side, or its tests, share with it.

#[path = "../preload/board.rs"]
pub(crate) mod board;
#[cfg(test)]
#[path = "../preload/finalizers.rs"]
mod finalizers;
#[path = "../preload/header.rs"]
pub(crate) mod header;
#[path = "../preload/slot.rs"]
pub(crate) mod slot;

#[cfg(test)]
#[path = "../preload/arena.rs"]
mod arena;
#[cfg(test)]
#[path = "../preload/asked.rs"]
mod asked;
#[cfg(test)]
#[path = "../preload/attend.rs"]
mod attend;
#[cfg(test)]
#[path = "../preload/called.rs"]
mod called;
#[cfg(test)]
#[path = "../preload/collections.rs"]
mod collections;
#[cfg(test)]
#[path = "../preload/collector.rs"]
mod collector;
#[cfg(test)]
#[path = "../preload/containers.rs"]
mod containers;
#[cfg(test)]
#[path = "../preload/counts.rs"]
mod counts;
#[cfg(test)]
#[path = "../preload/deposits.rs"]
mod deposits;
#[cfg(test)]
#[path = "../preload/environment.rs"]
mod environment;
#[cfg(test)]
#[path = "../preload/exec.rs"]
mod exec;
#[cfg(test)]
#[path = "../preload/family.rs"]
mod family;
#[cfg(test)]
#[path = "../preload/functions.rs"]
mod functions;
#[cfg(test)]
#[path = "../preload/hooks.rs"]
mod hooks;
#[cfg(test)]
#[path = "../preload/interpose.rs"]
mod interpose;
#[cfg(test)]
#[path = "../preload/interpreter.rs"]
mod interpreter;
#[cfg(test)]
#[path = "../preload/layout.rs"]
mod layout;
#[cfg(test)]
#[path = "../preload/lists.rs"]
mod lists;
#[cfg(test)]
#[path = "../preload/members.rs"]
mod members;
#[cfg(test)]
#[path = "../preload/methods.rs"]
pub(crate) mod methods;
#[cfg(test)]
#[path = "../preload/nesting.rs"]
mod nesting;
#[cfg(test)]
#[path = "../preload/numbers.rs"]
mod numbers;
#[cfg(test)]
#[path = "../preload/objects.rs"]
mod objects;
#[cfg(test)]
#[path = "../preload/producer.rs"]
pub(crate) mod producer;
#[cfg(test)]
#[path = "../preload/reader.rs"]
mod reader;
#[cfg(test)]
#[path = "../preload/reasons.rs"]
mod reasons;
#[cfg(test)]
#[path = "../preload/referents.rs"]
mod referents;
#[cfg(test)]
#[path = "../preload/reset.rs"]
mod reset;
#[cfg(test)]
#[path = "../preload/returns.rs"]
pub(crate) mod returns;
#[cfg(test)]
#[path = "../preload/ring.rs"]
pub(crate) mod ring;
#[cfg(test)]
#[path = "../preload/stack_references.rs"]
mod stack_references;
#[cfg(test)]
#[path = "../preload/start.rs"]
pub(crate) mod start;
#[cfg(test)]
#[path = "../preload/survivors.rs"]
mod survivors;
#[cfg(test)]
#[path = "../preload/sys.rs"]
pub(crate) mod sys;
#[cfg(test)]
#[path = "../preload/text.rs"]
mod text;
#[cfg(test)]
#[path = "../preload/traverse.rs"]
mod traverse;
#[cfg(test)]
#[path = "../preload/types.rs"]
mod types;
