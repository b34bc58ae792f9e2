//! In what the versions of CPython differ: rules as data.

use crate::generation::Generation;

/// Where a collection that is due runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// Inside the allocation that made it due.
    Inside,
    /// At a safe point: the allocation only *arms* it, and what is due is asked again there.
    AtSafePoint {
        /// Whose safe points count.
        arms: Arms,
        /// Whether it does not run if collections have been disabled meanwhile.
        minds_disabled: bool,
        /// Whether it does not run inside of a collection that somebody has asked for meanwhile.
        minds_running: bool,
    },
}

/// Who is armed by an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arms {
    /// All threads: the next safe point of any.
    Interpreter,
    /// The thread that allocates.
    Thread,
}

/// In which order younger generations are put behind the one that is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joins {
    /// The youngest comes first, as in CPython: 2, 0, 1.
    YoungestFirst,
    /// The older comes first, for those who ask what if: 2, 1, 0.
    OldestFirst,
}

/// Who asks for a collection, other than an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The program: `gc.collect(generation)`.
    Program(Generation),
    /// Something that is embedded or embeds: `PyGC_Collect()`.
    Api,
    /// The end of the program: everything, if collections are enabled.
    Exit,
    /// The end of the interpreter: everything, without callbacks, whatever is enabled. (`_PyGC_CollectNoFail`.)
    NoFail,
}

/// All rules of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The thresholds that a process begins with.
    pub thresholds: [i32; Generation::MANY],
    /// What part of the old objects must be new for a full collection to be worth its time: one in so many.
    pub part: Option<usize>,
    /// In which order generations are joined that are collected together.
    pub joins: Joins,
    /// Whether survivors go on to the next older generation. If not, for those who ask what if, they stay in theirs.
    pub promotes: bool,
    /// Where collections run that are due.
    pub runs: Runs,
    /// Whether [`Request::Api`] is in vain while collections are disabled.
    pub api_minds_disabled: bool,
    /// Whether callbacks are called when a collection starts, and when it is over.
    pub calls_back: bool,
    /// What an interpreter that ends asks for, in this order.
    pub at_exit: &'static [Request],
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

const TEXTBOOK: Preset = Preset {
    name: "textbook",
    about: "as often taught: thresholds, and nothing else",
    rules: Rules { part: None, ..CPYTHON_3_6.rules },
};
const CPYTHON_2_7: Preset = Preset {
    name: "cpython-2.7",
    about: "2.7: no callbacks; one collection at exit",
    rules: Rules {
        thresholds: [700, 10, 10],
        part: Some(4),
        joins: Joins::YoungestFirst,
        promotes: true,
        runs: Runs::Inside,
        api_minds_disabled: false,
        calls_back: false,
        at_exit: &[Request::Api],
    },
};
const CPYTHON_3_6: Preset = Preset {
    name: "cpython-3.6",
    about: "3.6, 3.7: callbacks; three collections at exit",
    rules: Rules {
        calls_back: true,
        at_exit: &[Request::Exit, Request::NoFail, Request::NoFail],
        ..CPYTHON_2_7.rules
    },
};
const CPYTHON_3_8: Preset = Preset {
    name: "cpython-3.8",
    about: "3.8: PyGC_Collect does nothing while collections are disabled",
    rules: Rules { api_minds_disabled: true, ..CPYTHON_3_6.rules },
};
const CPYTHON_3_9: Preset = Preset {
    name: "cpython-3.9",
    about: "3.9-3.11: four collections at exit",
    rules: Rules {
        at_exit: &[Request::Exit, Request::NoFail, Request::NoFail, Request::NoFail],
        ..CPYTHON_3_8.rules
    },
};
const CPYTHON_3_12: Preset = Preset {
    name: "cpython-3.12",
    about: "3.12.0-3.12.2: at safe points, come what may",
    rules: Rules {
        runs: Runs::AtSafePoint { arms: Arms::Interpreter, minds_disabled: false, minds_running: false },
        ..CPYTHON_3_9.rules
    },
};
const CPYTHON_3_12_3: Preset = Preset {
    name: "cpython-3.12.3",
    about: "3.12.3-3.12: not if collections were disabled meanwhile",
    rules: Rules {
        runs: Runs::AtSafePoint { arms: Arms::Interpreter, minds_disabled: true, minds_running: false },
        ..CPYTHON_3_12.rules
    },
};
const CPYTHON_3_13: Preset = Preset {
    name: "cpython-3.13",
    about: "3.13, 3.14.5-3.15: by thread, never inside of another one, at 2000",
    rules: Rules {
        thresholds: [2000, 10, 10],
        runs: Runs::AtSafePoint { arms: Arms::Thread, minds_disabled: true, minds_running: true },
        ..CPYTHON_3_12_3.rules
    },
};

/// All named rules, oldest first.
pub const PRESETS: &[Preset] = &[
    TEXTBOOK,
    CPYTHON_2_7,
    CPYTHON_3_6,
    CPYTHON_3_8,
    CPYTHON_3_9,
    CPYTHON_3_12,
    CPYTHON_3_12_3,
    CPYTHON_3_13,
];

/// The preset of this name. Each is named after the first version that has it; [`Rules::for_cpython`] finds that of any version.
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

impl Rules {
    /// Those of a stock release; `None` for one that is not known, or collects in another way (3.14.0 to 3.14.4,
    /// incrementally).
    ///
    /// ```
    /// use generations::{Rules, Runs};
    ///
    /// assert_eq!(Rules::for_cpython(3, 11, 2).unwrap().runs, Runs::Inside);
    /// assert_eq!(Rules::for_cpython(3, 12, 0).unwrap().thresholds, [700, 10, 10]);
    /// assert_eq!(Rules::for_cpython(3, 14, 5).unwrap().thresholds, [2000, 10, 10]);
    /// assert!(Rules::for_cpython(3, 14, 4).is_none());
    /// ```
    #[must_use]
    pub fn for_cpython(major: u32, minor: u32, patch: u32) -> Option<Self> {
        let preset = match (major, minor, patch) {
            (2, 7, _) => CPYTHON_2_7,
            (3, 6 | 7, _) => CPYTHON_3_6,
            (3, 8, _) => CPYTHON_3_8,
            (3, 9..=11, _) => CPYTHON_3_9,
            (3, 12, ..=2) => CPYTHON_3_12,
            (3, 12, _) => CPYTHON_3_12_3,
            (3, 13, _) | (3, 14, 5..) | (3, 15, _) => CPYTHON_3_13,
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
        let is = |major, minor, patch, preset: Preset| {
            assert_eq!(
                Rules::for_cpython(major, minor, patch),
                Some(preset.rules),
                "{major}.{minor}.{patch}"
            );
        };
        is(2, 7, 18, CPYTHON_2_7);
        is(3, 7, 16, CPYTHON_3_6);
        is(3, 8, 0, CPYTHON_3_8);
        is(3, 11, 7, CPYTHON_3_9);
        is(3, 12, 2, CPYTHON_3_12);
        is(3, 12, 3, CPYTHON_3_12_3);
        is(3, 13, 0, CPYTHON_3_13);
        is(3, 14, 10, CPYTHON_3_13);
        is(3, 15, 2, CPYTHON_3_13);
        for (major, minor, patch) in [(3, 5, 0), (3, 14, 0), (3, 14, 4), (3, 16, 0)] {
            assert_eq!(Rules::for_cpython(major, minor, patch), None);
        }
    }

    /// Which releases are known is the same for the collector.
    #[test]
    fn whatever_is_known_can_be_collected() {
        for minor in 0..20 {
            for patch in 0..20 {
                let both = [
                    Rules::for_cpython(3, minor, patch).is_some(),
                    cycles::Rules::for_cpython(3, minor, patch).is_some(),
                ];
                assert_eq!(both[0], both[1], "3.{minor}.{patch}");
            }
        }
    }
}
