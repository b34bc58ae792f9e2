//! The allocator against a plain model of it, its contracts, and its reports.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test says what it found wrong by panicking; patterns are the low bytes of numbers"
)]

mod addresses;
mod collections;
mod debugmallocstats;
mod driver;
mod exhaustion;
mod layouts;
mod lifetime;
mod model;
mod placement;
mod replayed;
mod views;
