//! Edits of CPython's sources: a short piece of a file, and what of ours stands beside it or in its place.
//!
//! Each edit says how often its piece occurs. If it occurs more or less often, the sources are not those that the edit
//! was written for, and nothing is built.

mod counts;
mod phases;

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::Result;

/// What the reports are made of; it becomes a header among CPython's.
pub(super) const HEADER: &str = include_str!("../vivarium.h");

/// Where the header belongs.
const HEADER_FILE: &str = "Include/vivarium.h";

/// The minor versions of CPython 3 that the edits were written for.
const KNOWN: [u32; 2] = [11, 13];

const ALL: RangeInclusive<u32> = 11..=13;
const OLD: RangeInclusive<u32> = 11..=11;
const NEW: RangeInclusive<u32> = 13..=13;

#[derive(Debug)]
struct Edit {
    file: &'static str,
    /// The minor versions of CPython 3 that it is for.
    minors: RangeInclusive<u32>,
    anchor: &'static str,
    /// How often the anchor occurs.
    times: usize,
    change: Change,
}

/// What happens where the anchor is.
#[derive(Debug)]
enum Change {
    Before(&'static str),
    After(&'static str),
    Instead(&'static str),
}
use Change::{After, Before, Instead};

/// A row of the tables.
const fn edit(
    file: &'static str,
    minors: RangeInclusive<u32>,
    times: usize,
    anchor: &'static str,
    change: Change,
) -> Edit {
    Edit { file, minors, anchor, times, change }
}

impl Edit {
    /// The text with the edit.
    fn of(&self, text: &str) -> Result<String> {
        let found = text.matches(self.anchor).count();
        if found != self.times {
            return Err(format!(
                "{}: an edit does not fit: {:?} occurs {found} times, not {} times; these sources are not of the version \
                 that it was written for",
                self.file, self.anchor, self.times
            ));
        }
        let new = match self.change {
            Before(new) => format!("{new}{}", self.anchor),
            After(new) => format!("{}{new}", self.anchor),
            Instead(new) => new.to_owned(),
        };
        Ok(text.replace(self.anchor, &new))
    }
}

fn of_version(minor: u32) -> impl Iterator<Item = &'static Edit> {
    let all = counts::EDITS.iter().chain(phases::EDITS);
    all.filter(move |edit| edit.minors.contains(&minor))
}

/// Whether there are edits for a version.
pub(super) fn known(minor: u32) -> Result<()> {
    if KNOWN.contains(&minor) {
        return Ok(());
    }
    let known: Vec<_> = KNOWN.iter().map(|minor| format!("3.{minor}")).collect();
    Err(format!("what changes counts in CPython 3.{minor} is not known yet, only in {}", known.join(" and ")))
}

/// Edits all files of CPython's sources.
pub(super) fn apply(sources: &Path, minor: u32) -> Result<()> {
    for edit in of_version(minor) {
        let path = sources.join(edit.file);
        let failed = |error| format!("{}: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(failed)?;
        fs::write(&path, edit.of(&text)?).map_err(failed)?;
    }
    let header = sources.join(HEADER_FILE);
    fs::write(&header, HEADER).map_err(|error| format!("{}: {error}", header.display()))
}

/// Tells these edits from others.
pub(super) fn fingerprint(minor: u32) -> String {
    let mut hash = Xxh3::new();
    hash.update(HEADER.as_bytes());
    for edit in of_version(minor) {
        hash.update(format!("{edit:?}\n").as_bytes());
    }
    format!("{:016x}\n", hash.digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_changes_each_place() {
        let text = "a(); b(); a();";
        for (change, result) in [
            (Before("x "), "x a(); b(); x a();"),
            (After(" x"), "a(); x b(); a(); x"),
            (Instead("x"), "x b(); x"),
        ] {
            assert_eq!(edit("f.c", ALL, 2, "a();", change).of(text).as_deref(), Ok(result));
        }
    }

    #[test]
    fn an_edit_that_does_not_fit_says_so() {
        let error = edit("Objects/f.c", ALL, 1, "a();", Before("x")).of("a(); a();").unwrap_err();
        assert!(
            error.starts_with("Objects/f.c: an edit does not fit: \"a();\" occurs 2 times, not 1 times"),
            "{error}"
        );
    }

    #[test]
    fn anchors_are_short() {
        for minor in KNOWN {
            assert!(of_version(minor).count() > 20, "3.{minor}");
            for edit in of_version(minor) {
                assert!(edit.anchor.lines().count() <= 3 && edit.anchor.len() <= 160, "{edit:?}");
            }
        }
    }
}
