//! Replays what a Python program did to its memory manager, and compares every answer with CPython's.
//!
//! **The decision.** This crate contains no allocator, no counter and no collector. It drives the public interface of
//! the crates that are one, so that what somebody depends on à la carte is what was verified here. And whoever
//! predicts cannot see the answers: [`engine`] is handed a program's inputs and may fetch the base of an arena when its
//! own pool asks for one; [`compare`] alone is handed the observations.
//!
//! [`verify`](verify::verify) is the way from a file to a verdict; the command `replay` is a thin shell around it.
//!
//! ```no_run
//! use replay::compare::Check;
//! use replay::verify::{Verdict, verify};
//!
//! let report = verify("app.viv".as_ref(), &Check::ALL, |_bytes_read| {});
//! assert_eq!(report.verdict, Verdict::Identical);
//! ```

#![deny(unsafe_code)]

pub mod cli;
pub mod compare;
mod diagnose;
pub mod drain;
#[allow(unsafe_code, reason = "it gives blocks back to the pool that it took them from")]
pub mod engine;
pub mod explain;
mod free_lists;
mod kinds;
mod nearest;
pub mod stats;
pub mod verify;
