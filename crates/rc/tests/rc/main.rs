//! Counting against plain models of it and against CPython itself.

#![allow(clippy::unwrap_used, reason = "a test says what it found wrong by panicking")]

mod deaths;
mod guards;
mod pointers;
mod python;
mod recursive;
mod registry;
mod typed;
mod world;

/// So many cases, or as many as `VIVARIUM_RC_CASES` says.
fn cases(cases: u32) -> proptest::test_runner::Config {
    let named = std::env::var("VIVARIUM_RC_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = named.unwrap_or(cases);
    proptest::test_runner::Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Default::default()
    }
}
