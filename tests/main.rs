//! Tests of the whole: the command, the bundled traces, and real interpreters where there are some.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod blind;
mod callbacks;
mod collections;
mod command;
mod corpus;
mod counts;
mod damage;
mod damage_objects;
mod deaths;
mod endings;
mod explain;
mod higher_tiers;
mod instrumented;
mod interpreters;
mod jobs;
mod kills;
mod live;
mod matrices;
mod mutants;
mod reachability;
mod soak;
mod stack_references;
mod statistics;
mod stats;
mod support;
