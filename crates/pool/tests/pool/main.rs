//! The allocator against a plain model of it, its contracts, and its reports.

mod addresses;
mod collections;
mod debugmallocstats;
mod driver;
mod exhaustion;
mod layouts;
mod lifetime;
mod model;
mod placement;
mod views;
