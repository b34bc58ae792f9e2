//! The schedule against a plain model of CPython's.
#![allow(clippy::unwrap_used, reason = "a test says what it found wrong by panicking")]
