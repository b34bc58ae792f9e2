//! `cargo xtask python`: a CPython that reports every change of every reference count, and a check that it does.
//!
//! An instrumented build is CPython's own sources with some edits ([`edits`]): wherever a reference count changes, and
//! around what makes counts change by itself, it calls `_Vivarium_Hook` if somebody has set it. The hook is
//! `void hook(uint32_t what, void *object, intptr_t value)`, a variable of libpython that is null at first; beside it
//! lies `_Vivarium_Version`, 1 for what is said here.
//!
//! | what | | when, and the value |
//! | --: | --- | --- |
//! | 1 | INCREMENT | the count was raised by one |
//! | 2 | DECREMENT | the count is about to be lowered by one, even if the object then dies |
//! | 3 | SET | the count was written: the value is the new one |
//! | 4 | BORN | an object begins, also one from a free list; its type and its count are set |
//! | 5, 6 | DEALLOC, DEALLOCATED | around the call of its dealloc; afterwards the address is only a name |
//! | 7, 8 | DEPOSITED, DRAINING | the trashcan put the object off; it is taken out (5 and 6 follow) |
//! | 9, 10 | FINALIZER, FINALIZED | around `tp_finalize` and `tp_del`; 1 if the collector calls |
//! | 11, 12 | CALLBACK, CALLED_BACK | around the callback of the weak reference; 1 if the collector calls |
//! | 13, 14 | COLLECTION, COLLECTED | around a collection without `gc.callbacks`: its generation, what it found |
//! | 15 | FINALIZERS_RUN | the collector is through with finalizers |
//! | 16, 17 | CLEARING, CLEARED | around `tp_clear`, called by the collector |
//! | 18 | CHECK | the evaluation loop serves what made it pause |
//! | 19 | MOVED | the object was resized: the value is where it was, maybe the same address |
//!
//! What has no object in this table passes null. Reports come from whoever holds the interpreter lock; interpreters with
//! locks of their own report at the same time. The hook must leave every object alone.
//!
//! # What the reports of an object look like
//!
//! * A count that does not change because the object is immortal is not reported. Making an object immortal, and mortal
//!   again when the interpreter ends, is a SET.
//! * It begins with a SET to 1 and a BORN. Static objects are never born; up to 3.11 all of CPython's own count like any
//!   other: from 1, or from 999999999 if they belong to the runtime (small integers, single characters, frozen code).
//! * Resized it has a MOVED and, if it is bytes, a string or a tuple, a SET to 1, and goes on; items that were cut off
//!   have gone before.
//! * Revived for its finalizer it has a SET to 1, inside its DEALLOC, and then a SET to one less than it has: if that is
//!   not 0 it lives on after its DEALLOCATED.
//! * An interned string has a SET to two less when it is interned, since the two references of the table of interned
//!   strings do not count (mortal ones, from 3.13 on), and inside its DEALLOC a SET that brings them back: to 2, or up to
//!   3.11 to 3, from where taking it out of the table lowers it; and a SET to 0.
//! * Given many references at once, as by repeating a list, it has a SET.
//! * A static type of CPython's own may have a SET to 0 at the end, up to 3.11, without any dealloc.
//! * What an iterator of a dict or a set would still yield (`__reduce__`) is asked of a copy of it on the machine stack:
//!   that is born there, and ends with a SET to 0 and an empty pair of DEALLOC and DEALLOCATED.
//! * Put off by the trashcan it has DEALLOC, DEPOSITED, DEALLOCATED, and later DRAINING, DEALLOC, DEALLOCATED.
//! * Its memory may be given away inside its dealloc: then a new object may be born at its address before its own
//!   DEALLOCATED.
//!
//! # What is not reported
//!
//! * Counting in extensions that were built against other headers. The reports are made in CPython's headers where its
//!   counting is inlined, so extensions built against those of an instrumented build make them; and those of the limited
//!   API from 3.12 on, wherever built, call functions of libpython that do.
//! * Objects that are freed without a dealloc: when there is no memory left for resizing one. CPython's own tests forge
//!   such objects, too (`test_capi`).
//! * Deallocs that somebody calls by hand, not for a count of 0, and those of base types inside the dealloc of a type.
//!
//! The check ([`check`]) trusts none of this: it follows every object's count by the reports alone, and compares with the
//! object's own field at each.

mod build;
mod check;
mod edits;

use std::path::PathBuf;

use crate::Result;
use crate::interpreters::{self, fetch};

/// Build a CPython that reports every change of every reference count, and check that it does.
///
/// It comes into ~/.cache/vivarium/interpreters, in a folder of its own. If one is there that was built with the same
/// edits it is only checked. To build takes some minutes, a compiler, and what CPython's README asks for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The version, such as 3.13.5. The sources of 3.11.2 and 3.13.5 come from Debian
    version: String,
    /// CPython's sources of that version: a folder or an archive
    #[arg(long, value_name = "DIR|TARBALL")]
    source: Option<PathBuf>,
    /// Only check what has been built
    #[arg(long, conflicts_with = "source")]
    check: bool,
    /// In the check, run this one of CPython's own tests, too
    #[arg(long, value_name = "TEST")]
    also: Vec<String>,
}

/// How the folders of instrumented builds begin; the version follows.
pub(crate) const FOLDER: &str = "instrumented-";

/// A version of CPython 3.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    minor: u32,
    patch: u32,
}

impl Version {
    fn of(text: &str) -> Result<Self> {
        let numbers = text.strip_prefix("3.").and_then(|rest| rest.split_once('.'));
        let parsed = numbers.and_then(|(minor, patch)| Some((minor.parse().ok()?, patch.parse().ok()?)));
        let (minor, patch) =
            parsed.ok_or_else(|| format!("{text:?} is no version of CPython 3, such as 3.13.5"))?;
        Ok(Self { minor, patch })
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let version = Version::of(&arguments.version)?;
    let folder = fetch::cache()?.join(format!("{FOLDER}3.{}.{}", version.minor, version.patch));
    if !arguments.check {
        build::run(version, arguments.source.as_deref(), &folder)?;
    }
    let built = interpreters::instrumented();
    let python = built.iter().find(|one| one.path.starts_with(&folder)).ok_or_else(|| {
        format!("{} holds no instrumented interpreter: leave --check out to build it", folder.display())
    })?;
    check::run(python, &arguments.also)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert!(Version::of("3.11.2").is_ok_and(|version| version == Version { minor: 11, patch: 2 }));
        for wrong in ["3.11", "2.7.18", "3.x.1", "", "3.13.5rc1"] {
            assert!(Version::of(wrong).is_err(), "{wrong:?}");
        }
    }
}
