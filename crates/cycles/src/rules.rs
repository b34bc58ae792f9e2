//! In what the versions of CPython differ: rules as data.

use rc::Counting;

/// What becomes of immortal objects that a collection meets on its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Immortals {
    /// Nothing: to a collection, no count means immortal. They are candidates like all others, with very many
    /// references.
    Counted,
    /// They go to the tail of the list of those that are never collected.
    Permanent,
    /// They are taken off the lists.
    Untracked,
}

/// What is done about objects that finalizers and callbacks have brought back to life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondLook {
    /// Nothing: they are cleared all the same.
    None,
    /// If one is referred to from outside, all of the garbage lives on.
    Whole,
    /// Those that are, and what they refer to, live on.
    Partial,
}

/// When the weak references to garbage are cleared that have nothing to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silent {
    /// Before the finalizers run, with the others.
    Early,
    /// After the second look.
    Late,
}

/// When garbage counts as collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// As soon as it is found.
    Found,
    /// When it is cleared: what lives on does not count.
    Cleared,
}

/// All rules of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What a stored count means.
    pub counting: Counting,
    /// What becomes of immortal objects.
    pub immortals: Immortals,
    /// Whether collections take objects off the lists whose references are [fixed](crate::Untracks::Fixed). (Before 2.7 none did.)
    pub untracks_fixed: bool,
    /// Whether full collections take objects off the lists whose references [change](crate::Untracks::Changing).
    pub untracks_changing: bool,
    /// Whether garbage that is a weak reference is cleared with those to garbage.
    pub clears_own: bool,
    /// When weak references that have nothing to call are cleared.
    pub silent: Silent,
    /// Whether finalizers of garbage run before it is cleared. If not, nobody is asked for them.
    pub finalizers: bool,
    /// What is done after finalizers.
    pub second_look: SecondLook,
    /// Whether weak references to what is still garbage after that are cleared once more, without calls.
    pub clears_again: bool,
    /// When garbage counts as collected.
    pub counted: Counted,
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
    about: "2.7: what has a finalizer is never collected",
    rules: Rules {
        counting: Counting::PLAIN,
        immortals: Immortals::Counted,
        untracks_fixed: true,
        untracks_changing: true,
        clears_own: false,
        silent: Silent::Early,
        finalizers: false,
        second_look: SecondLook::None,
        clears_again: false,
        counted: Counted::Found,
    },
};
const CPYTHON_3_6: Preset = Preset {
    name: "cpython-3.6",
    about: "3.6.0-3.7.4: one object brought back to life saves all of the garbage, which counts as collected",
    rules: Rules { finalizers: true, second_look: SecondLook::Whole, ..CPYTHON_2_7.rules },
};
const CPYTHON_3_7_5: Preset = Preset {
    name: "cpython-3.7.5",
    about: "3.7.5-3.7: what is saved does not count",
    rules: Rules { counted: Counted::Cleared, ..CPYTHON_3_6.rules },
};
const CPYTHON_3_8: Preset = Preset {
    name: "cpython-3.8",
    about: "3.8: weak references that are garbage are cleared",
    rules: Rules { clears_own: true, ..CPYTHON_3_7_5.rules },
};
const CPYTHON_3_9: Preset = Preset {
    name: "cpython-3.9",
    about: "3.9-3.11: what is not brought back to life is collected",
    rules: Rules { second_look: SecondLook::Partial, ..CPYTHON_3_8.rules },
};
const CPYTHON_3_12: Preset = Preset {
    name: "cpython-3.12",
    about: "3.12-3.13.12: immortal objects are put aside",
    rules: Rules { counting: Counting::SIGN_BIT, immortals: Immortals::Permanent, ..CPYTHON_3_9.rules },
};
const CPYTHON_3_13_13: Preset = Preset {
    name: "cpython-3.13.13",
    about: "3.13.13-3.13: weak references made by finalizers are cleared, too",
    rules: Rules { clears_again: true, ..CPYTHON_3_12.rules },
};
const CPYTHON_3_14: Preset = Preset {
    name: "cpython-3.14.5",
    about: "3.14.5-3.14: immortal objects are taken off the lists, dicts are not",
    rules: Rules {
        counting: Counting::SATURATING,
        immortals: Immortals::Untracked,
        untracks_changing: false,
        ..CPYTHON_3_13_13.rules
    },
};
const CPYTHON_3_15: Preset = Preset {
    name: "cpython-3.15",
    about: "3.15: weak references without callbacks can be used while finalizers run",
    rules: Rules { silent: Silent::Late, clears_own: false, ..CPYTHON_3_14.rules },
};

/// All named rules, oldest first.
pub const PRESETS: &[Preset] = &[
    CPYTHON_2_7,
    CPYTHON_3_6,
    CPYTHON_3_7_5,
    CPYTHON_3_8,
    CPYTHON_3_9,
    CPYTHON_3_12,
    CPYTHON_3_13_13,
    CPYTHON_3_14,
    CPYTHON_3_15,
];

/// The preset of this name. Each is named after the first version that has it; [`Rules::for_cpython`] finds that of any version.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

impl Rules {
    /// How a collection reads counts.
    pub(crate) const fn reading(&self) -> Counting {
        match self.immortals {
            // No word reads as immortal: not even the one that means it where nothing else does.
            Immortals::Counted => Counting {
                mask: self.counting.mask & i64::MAX.unsigned_abs(),
                immortal_from: u64::MAX,
                ..self.counting
            },
            Immortals::Permanent | Immortals::Untracked => self.counting,
        }
    }

    /// Those of a stock release; `None` for one that is not known, or has a collector of another kind (3.14.0 to
    /// 3.14.4).
    ///
    /// ```
    /// use cycles::{Rules, SecondLook};
    ///
    /// assert_eq!(Rules::for_cpython(3, 8, 18).unwrap().second_look, SecondLook::Whole);
    /// assert_eq!(Rules::for_cpython(3, 9, 0).unwrap().second_look, SecondLook::Partial);
    /// assert!(Rules::for_cpython(3, 14, 2).is_none());
    /// ```
    #[must_use]
    pub fn for_cpython(major: u32, minor: u32, patch: u32) -> Option<Self> {
        let preset = match (major, minor, patch) {
            (2, 7, _) => CPYTHON_2_7,
            (3, 6, _) | (3, 7, ..=4) => CPYTHON_3_6,
            (3, 7, _) => CPYTHON_3_7_5,
            (3, 8, _) => CPYTHON_3_8,
            (3, 9..=11, _) => CPYTHON_3_9,
            (3, 12, _) | (3, 13, ..=12) => CPYTHON_3_12,
            (3, 13, _) => CPYTHON_3_13_13,
            (3, 14, 5..) => CPYTHON_3_14,
            (3, 15, _) => CPYTHON_3_15,
            _ => return None,
        };
        Some(preset.rules)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

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
        let is = |major, minor, patch, preset: Preset| {
            assert_eq!(
                Rules::for_cpython(major, minor, patch),
                Some(preset.rules),
                "{major}.{minor}.{patch}"
            );
        };
        is(2, 7, 18, CPYTHON_2_7);
        is(3, 6, 15, CPYTHON_3_6);
        is(3, 7, 4, CPYTHON_3_6);
        is(3, 7, 5, CPYTHON_3_7_5);
        is(3, 8, 0, CPYTHON_3_8);
        is(3, 9, 0, CPYTHON_3_9);
        is(3, 11, 7, CPYTHON_3_9);
        is(3, 12, 13, CPYTHON_3_12);
        is(3, 13, 12, CPYTHON_3_12);
        is(3, 13, 13, CPYTHON_3_13_13);
        is(3, 14, 5, CPYTHON_3_14);
        is(3, 15, 0, CPYTHON_3_15);
        for (minor, patch) in [(5, 0), (14, 0), (14, 4), (16, 0)] {
            assert_eq!(Rules::for_cpython(3, minor, patch), None);
        }
    }

    #[test]
    fn what_differs_is_what_the_table_says() {
        let all = |is: fn(&Rules) -> bool| -> Vec<_> {
            PRESETS.iter().filter(|preset| is(&preset.rules)).map(|preset| &preset.name[8..]).collect()
        };
        assert_eq!(all(|rules| !rules.finalizers), ["2.7"]);
        assert_eq!(all(|rules| rules.second_look == SecondLook::Whole), ["3.6", "3.7.5", "3.8"]);
        assert_eq!(all(|rules| rules.counted == Counted::Found), ["2.7", "3.6"]);
        assert_eq!(all(|rules| rules.immortals == Immortals::Permanent), ["3.12", "3.13.13"]);
        assert_eq!(all(|rules| rules.immortals == Immortals::Untracked), ["3.14.5", "3.15"]);
        assert_eq!(all(|rules| !rules.untracks_changing), ["3.14.5", "3.15"]);
        assert_eq!(all(|rules| rules.clears_own), ["3.8", "3.9", "3.12", "3.13.13", "3.14.5"]);
        assert_eq!(all(|rules| rules.clears_again), ["3.13.13", "3.14.5", "3.15"]);
        assert_eq!(all(|rules| rules.silent == Silent::Late), ["3.15"]);
    }

    #[test]
    fn where_none_is_immortal_no_word_reads_so() {
        for preset in PRESETS {
            let rules = Rules { immortals: Immortals::Counted, ..preset.rules };
            for word in [0, 1, u64::from(u32::MAX), u64::MAX, rules.counting.immortal] {
                assert!(matches!(rules.reading().read(word), rc::Count::Mortal(_)), "{word:x}");
            }
        }
    }
}
