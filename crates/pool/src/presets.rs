//! Named geometries: each a row of data.

use crate::geometry::{EmptyArenas, Geometry};

/// A geometry that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What it is called, for example on a command line.
    pub name: &'static str,
    /// Where it comes from, in a line.
    pub about: &'static str,
    /// The numbers.
    pub geometry: Geometry,
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const fn preset_of(
    name: &'static str,
    about: &'static str,
    (alignment, small_limit, pool, arena): (usize, usize, usize, usize),
    empty_arenas: EmptyArenas,
) -> Preset {
    match Geometry::new(alignment, small_limit, pool, arena, empty_arenas) {
        Ok(geometry) => Preset { name, about, geometry },
        // Evaluated by the compiler: a wrong row does not build.
        Err(_) => panic!("a preset has an impossible geometry"),
    }
}

const CPYTHON_3_6: Preset = preset_of(
    "cpython-3.6",
    "2.7.0-2.7.16, 3.6, 3.7.0-3.7.3: steps of 8 bytes; every empty arena is returned",
    (8, 512, 4 * KIB, 256 * KIB),
    EmptyArenas::Return,
);
const CPYTHON_3_8: Preset = preset_of(
    "cpython-3.8",
    "2.7.17+, 3.7.4-3.8: steps of 16 bytes; every empty arena is returned",
    (16, 512, 4 * KIB, 256 * KIB),
    EmptyArenas::Return,
);
const CPYTHON_3_9: Preset = preset_of(
    "cpython-3.9",
    "3.9: as 3.8, but the last usable arena is kept when it runs empty",
    (16, 512, 4 * KIB, 256 * KIB),
    EmptyArenas::KeepLast,
);
const CPYTHON_3_10: Preset = preset_of(
    "cpython-3.10",
    "3.10-3.15: pools of 16 KiB in arenas of 1 MiB",
    (16, 512, 16 * KIB, MIB),
    EmptyArenas::KeepLast,
);
const CPYTHON_3_15_HUGEPAGES: Preset = preset_of(
    "cpython-3.15-hugepages",
    "3.15 built for huge pages: arenas of 2 MiB",
    (16, 512, 16 * KIB, 2 * MIB),
    EmptyArenas::KeepLast,
);
const TEXTBOOK: Preset = preset_of(
    "textbook",
    "as often taught: requests up to 256 bytes, arenas of 256 KiB that are never handed back",
    (8, 256, 4 * KIB, 256 * KIB),
    EmptyArenas::Keep,
);

/// Every named geometry, oldest first: `textbook`, `cpython-3.6`, `cpython-3.8`, `cpython-3.9`, `cpython-3.10` and
/// `cpython-3.15-hugepages`. Each is named after the first version that had it, and serves those after it, too.
pub const PRESETS: &[Preset] =
    &[TEXTBOOK, CPYTHON_3_6, CPYTHON_3_8, CPYTHON_3_9, CPYTHON_3_10, CPYTHON_3_15_HUGEPAGES];

/// The preset of this name: one of [`PRESETS`]. Not every version has one (3.13 is built like 3.10);
/// [`Geometry::for_cpython`] finds that of any version.
///
/// ```
/// use pool::{Geometry, preset};
///
/// assert!(preset("cpython-3.13").is_none());
/// assert_eq!(Geometry::for_cpython(3, 13, 0), preset("cpython-3.10").map(|preset| preset.geometry));
/// assert_eq!(pool::preset("textbook").unwrap().geometry.small_limit(), 256);
/// assert!(pool::preset("cpython-1.5").is_none());
/// ```
#[must_use]
pub fn preset(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

/// A range of stock releases: major, minor, first patch level, last patch level.
type Releases = (u32, u32, u32, u32);

const LATER: u32 = u32::MAX;

const RELEASES: &[(Releases, Preset)] = &[
    ((2, 7, 0, 16), CPYTHON_3_6),
    ((2, 7, 17, LATER), CPYTHON_3_8),
    ((3, 6, 0, LATER), CPYTHON_3_6),
    ((3, 7, 0, 3), CPYTHON_3_6),
    ((3, 7, 4, LATER), CPYTHON_3_8),
    ((3, 8, 0, LATER), CPYTHON_3_8),
    ((3, 9, 0, LATER), CPYTHON_3_9),
    ((3, 10, 0, LATER), CPYTHON_3_10),
    ((3, 11, 0, LATER), CPYTHON_3_10),
    ((3, 12, 0, LATER), CPYTHON_3_10),
    ((3, 13, 0, LATER), CPYTHON_3_10),
    ((3, 14, 0, LATER), CPYTHON_3_10),
    ((3, 15, 0, LATER), CPYTHON_3_10),
];

pub(crate) fn for_cpython(major: u32, minor: u32, patch: u32) -> Option<Geometry> {
    RELEASES
        .iter()
        .find(|((a, b, first, last), _)| (*a, *b) == (major, minor) && (*first..=*last).contains(&patch))
        .map(|(_, preset)| preset.geometry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_found() {
        for (at, one) in PRESETS.iter().enumerate() {
            assert_eq!(preset(one.name), Some(one));
            assert!(PRESETS[..at].iter().all(|other| other.name != one.name));
            assert!(PRESETS[..at].iter().all(|other| other.geometry != one.geometry));
        }
    }

    #[test]
    fn releases_at_the_borders() {
        let of = |major, minor, patch| for_cpython(major, minor, patch);
        let is = |preset: Preset| Some(preset.geometry);
        assert_eq!(of(2, 7, 16), is(CPYTHON_3_6));
        assert_eq!(of(2, 7, 17), is(CPYTHON_3_8));
        assert_eq!(of(3, 6, 15), is(CPYTHON_3_6));
        assert_eq!(of(3, 7, 3), is(CPYTHON_3_6));
        assert_eq!(of(3, 7, 4), is(CPYTHON_3_8));
        assert_eq!(of(3, 8, 20), is(CPYTHON_3_8));
        assert_eq!(of(3, 9, 0), is(CPYTHON_3_9));
        assert_eq!(of(3, 10, 0), is(CPYTHON_3_10));
        assert_eq!(of(3, 15, 2), is(CPYTHON_3_10));
        assert_eq!((of(3, 5, 0), of(3, 16, 0), of(2, 6, 9)), (None, None, None));
    }
}
