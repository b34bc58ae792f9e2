//! Records real interpreters: every one that is found is put through every test.
//!
//! `VIVARIUM_PYTHONS`, separated by colons, says which; otherwise `python3` on the path, pyenv's versions and
//! `/usr/bin/python3` are used. Without any, the tests say `skipped` and pass.
#![cfg(target_os = "linux")]

mod invisible;
mod lifecycle;
mod linking;
mod model;
mod objects;
mod pythons;
mod recorded;
mod stream;
