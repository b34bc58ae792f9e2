//! The schedule against a plain model of CPython's, and the heap that collects itself.
#![allow(clippy::unwrap_used, reason = "a test says what it found wrong by panicking")]

mod driver;
mod heap;
mod model;
mod schedule;
mod soup;

/// So many cases, or as many as `VIVARIUM_GENERATIONS_CASES` says.
fn cases(cases: u32) -> proptest::test_runner::Config {
    let named = std::env::var("VIVARIUM_GENERATIONS_CASES").ok().and_then(|cases| cases.parse().ok());
    proptest::test_runner::Config {
        cases: named.unwrap_or(cases),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Default::default()
    }
}
