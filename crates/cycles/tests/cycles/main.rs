//! Collections against plain models of them.

#![allow(clippy::unwrap_used, reason = "a test says what it found wrong by panicking")]

mod cells;
mod contract;
mod graphs;
mod liars;
mod lists;
mod long;
mod model;
mod numbers;
mod panics;
mod property;
mod setup;
mod stepped;
mod steps;
mod world;

/// So many cases, or as many as the environment variable of this name says.
fn named(name: &str, cases: u32) -> u32 {
    std::env::var(name).ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases)
}

/// How proptest is to go about its cases.
fn cases(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases: named("VIVARIUM_CYCLES_CASES", cases),
        failure_persistence: None,
        max_shrink_iters: 3000,
        ..Default::default()
    }
}
