//! In what the versions of CPython differ: rules as data.
#![forbid(unsafe_code)]

use crate::count::Counting;

/// How deep deaths are deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trashcan {
    /// They are not: each death runs inside the one that caused it, however deep.
    Never,
    /// A death that would begin inside of `limit` others is deposited, and taken up when the outermost
    /// has ended, the last one deposited first.
    Nesting {
        /// How many may be inside each other.
        limit: u32,
        /// How many more an [instance](Part::Instance) counts for where its own death begins and ends.
        /// With more than 0 it never takes up what was deposited.
        instance: u32,
    },
    /// By something that the objects do not tell (from 3.13 on: how much of the C stack is left). The
    /// heap is asked: [`Heap::deposits`](crate::Heap::deposits), [`Heap::drains`](crate::Heap::drains).
    Given,
}

/// What an object is to the trashcan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its death is never deposited and does not count.
    None,
    /// A container of a built-in type.
    Container,
    /// An instance of a class.
    Instance,
}

/// When the finalizer of a dying object runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizers {
    /// Before weak references are cleared.
    First,
    /// After that. Those made by the finalizer are cleared when it is done, without callbacks.
    AfterWeak,
}

/// Which weak references with callbacks are kept alive while their callbacks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// None: where the heap does by itself what has to be done.
    None,
    /// Those of an object that has several.
    Several,
    /// All of them.
    All,
}

/// All rules of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How counts change.
    pub counting: Counting,
    /// How deep deaths are deferred.
    pub trashcan: Trashcan,
    /// When finalizers run.
    pub finalizers: Finalizers,
    /// Which weak references with callbacks are kept alive while these run.
    pub holds: Holds,
}

/// Rules that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What they are called.
    pub name: &'static str,
    /// Where they are from, in a line.
    pub about: &'static str,
    /// The rules.
    pub rules: Rules,
}

const CPYTHON_2_7: Preset = Preset {
    name: "cpython-2.7",
    about: "2.7: finalizers after weak references; instances count twice in the trashcan",
    rules: Rules {
        counting: Counting::PLAIN,
        trashcan: Trashcan::Nesting { limit: 50, instance: 1 },
        finalizers: Finalizers::AfterWeak,
        holds: Holds::Several,
    },
};
const CPYTHON_3_6: Preset = Preset {
    name: "cpython-3.6",
    about: "3.6, 3.7: finalizers come first",
    rules: Rules { finalizers: Finalizers::First, ..CPYTHON_2_7.rules },
};
const CPYTHON_3_8: Preset = Preset {
    name: "cpython-3.8",
    about: "3.8-3.11: instances count once in the trashcan",
    rules: Rules { trashcan: Trashcan::Nesting { limit: 50, instance: 0 }, ..CPYTHON_3_6.rules },
};
const CPYTHON_3_12: Preset = Preset {
    name: "cpython-3.12",
    about: "3.12: counts of 32 bits, immortal objects",
    rules: Rules { counting: Counting::SIGN_BIT, ..CPYTHON_3_8.rules },
};
const CPYTHON_3_13: Preset = Preset {
    name: "cpython-3.13",
    about: "3.13: deep deaths are deferred by what is left of the C stack",
    rules: Rules { trashcan: Trashcan::Given, holds: Holds::All, ..CPYTHON_3_12.rules },
};
const CPYTHON_3_14: Preset = Preset {
    name: "cpython-3.14",
    about: "3.14, 3.15: counts saturate",
    rules: Rules { counting: Counting::SATURATING, ..CPYTHON_3_13.rules },
};
const TEXTBOOK: Preset = Preset {
    name: "textbook",
    about: "as often taught: nothing is immortal, nothing is deferred",
    rules: Rules { trashcan: Trashcan::Never, ..CPYTHON_3_8.rules },
};

/// All named rules, oldest first.
pub const PRESETS: &[Preset] =
    &[TEXTBOOK, CPYTHON_2_7, CPYTHON_3_6, CPYTHON_3_8, CPYTHON_3_12, CPYTHON_3_13, CPYTHON_3_14];

/// The preset of this name. Each is named after the first version that has it; [`Rules::for_cpython`] finds that of any version.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

impl Rules {
    /// Those of a stock release; `None` for one that is not known. Patch levels do not differ.
    ///
    /// ```
    /// use rc::{Count, Rules};
    ///
    /// let rules = Rules::for_cpython(3, 12).unwrap();
    /// assert_eq!(rules.counting.read(0xFFFF_FFFF), Count::Immortal);
    /// ```
    #[must_use]
    pub fn for_cpython(major: u32, minor: u32) -> Option<Self> {
        let preset = match (major, minor) {
            (2, 7) => CPYTHON_2_7,
            (3, 6 | 7) => CPYTHON_3_6,
            (3, 8..=11) => CPYTHON_3_8,
            (3, 12) => CPYTHON_3_12,
            (3, 13) => CPYTHON_3_13,
            (3, 14 | 15) => CPYTHON_3_14,
            _ => return None,
        };
        Some(preset.rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_found() {
        for (at, one) in PRESETS.iter().enumerate() {
            assert_eq!(preset(one.name), Some(one));
            assert!(PRESETS[..at].iter().all(|other| other.name != one.name && other.rules != one.rules));
        }
        assert!(preset("cpython-1.5").is_none());
    }

    #[test]
    fn each_release_has_the_rules_of_its_family() {
        let is = |major, minor, preset: Preset| {
            assert_eq!(Rules::for_cpython(major, minor), Some(preset.rules), "{major}.{minor}");
        };
        is(2, 7, CPYTHON_2_7);
        is(3, 7, CPYTHON_3_6);
        is(3, 8, CPYTHON_3_8);
        is(3, 11, CPYTHON_3_8);
        is(3, 12, CPYTHON_3_12);
        is(3, 13, CPYTHON_3_13);
        is(3, 15, CPYTHON_3_14);
        assert_eq!((Rules::for_cpython(3, 5), Rules::for_cpython(3, 16)), (None, None));
    }
}
