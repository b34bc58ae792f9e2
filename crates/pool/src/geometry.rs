//! The numbers that make one pool allocator differ from another.
//!
//! CPython's allocator changed little in twenty years apart from these numbers and from what
//! becomes of an arena that runs empty. Everything else in this crate is written once, for any
//! [`Geometry`]; the versions are rows of [a table](crate::PRESETS).

use core::alloc::Layout;
use core::{error, fmt};

use crate::class::SizeClass;
use crate::header::HEADER_BYTES;

/// The most size classes that a [`Geometry`] may have.
pub const MAX_CLASSES: usize = 64;

const MIN_ALIGNMENT: usize = 8;
const MAX_ALIGNMENT: usize = 64;
const MIN_POOL: usize = 1 << 10;
const MAX_ARENA: usize = 1 << 30;
// An arena whose base is not a multiple of the pool size loses one pool. With at least four, it
// keeps so many that "was full" and "is now empty" cannot be the same moment.
const MIN_POOLS: usize = 4;
const MAX_POOLS: usize = 1 << 16;

/// What becomes of an arena when its last pool is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum EmptyArenas {
    /// Every empty arena goes back to its source at once (CPython up to 3.8).
    Return,
    /// It is kept if it is the last of the usable list at that moment, so that a program at the
    /// edge does not ask for the same arena again and again (CPython from 3.9 on).
    KeepLast,
    /// No arena is ever handed back.
    Keep,
}

/// Sizes and policies of a pool allocator, checked once so that nothing later has to be.
///
/// All sizes are in bytes. Deserialising performs the same checks as [`Geometry::new`].
///
/// ```
/// use pool::{EmptyArenas, Geometry};
///
/// let geometry = Geometry::new(16, 512, 4096, 256 << 10, EmptyArenas::Return)?;
/// assert_eq!(geometry.classes(), 32);
/// assert_eq!(Some(geometry), Geometry::for_cpython(3, 8, 18));
/// assert!(Geometry::new(16, 500, 4096, 256 << 10, EmptyArenas::Return).is_err());
/// # Ok::<(), pool::GeometryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Fields", into = "Fields"))]
pub struct Geometry {
    alignment: usize,
    small_limit: usize,
    pool_size: usize,
    arena_size: usize,
    empty_arenas: EmptyArenas,
}

impl Geometry {
    /// Checks the numbers and puts them together.
    ///
    /// * `alignment`: of every block, and the step between size classes: a power of two from 8
    ///   to 64.
    /// * `small_limit`: the largest request that a pool serves: a multiple of `alignment`, making
    ///   at most [`MAX_CLASSES`] classes.
    /// * `pool_size`: a power of two, at least 1 KiB and large enough for two blocks of the
    ///   largest class beside the header.
    /// * `arena_size`: a power of two, at most 1 GiB, holding 4 to 65,536 pools.
    ///
    /// # Errors
    ///
    /// [`GeometryError`] names the first number that is not as described.
    pub const fn new(
        alignment: usize,
        small_limit: usize,
        pool_size: usize,
        arena_size: usize,
        empty_arenas: EmptyArenas,
    ) -> Result<Self, GeometryError> {
        if !alignment.is_power_of_two() || alignment < MIN_ALIGNMENT || alignment > MAX_ALIGNMENT {
            return Err(GeometryError::Alignment { found: alignment });
        }
        if small_limit == 0 || !small_limit.is_multiple_of(alignment) || small_limit / alignment > MAX_CLASSES
        {
            return Err(GeometryError::SmallLimit { found: small_limit, alignment });
        }
        if !arena_size.is_power_of_two() || arena_size > MAX_ARENA {
            return Err(GeometryError::ArenaSize { found: arena_size });
        }
        if !pool_size.is_power_of_two() || pool_size < MIN_POOL {
            return Err(GeometryError::PoolSize { found: pool_size });
        }
        let geometry = Self { alignment, small_limit, pool_size, arena_size, empty_arenas };
        // Both sides are below 2^13, and the pool has at least 2^10 bytes: nothing wraps.
        if pool_size < geometry.header_size() + 2 * small_limit {
            return Err(GeometryError::PoolTooSmall {
                found: pool_size,
                needed: geometry.header_size() + 2 * small_limit,
            });
        }
        let pools = arena_size / pool_size;
        if pools < MIN_POOLS || pools > MAX_POOLS {
            return Err(GeometryError::PoolsPerArena { found: pools });
        }
        Ok(geometry)
    }

    /// The geometry of a stock 64-bit CPython, or `None` for a version that the table does not
    /// know (before 3.6 except 2.7, or after 3.15).
    ///
    /// The alignment belongs to the build: distributors' patches may have moved an old version
    /// from 8 to 16 bytes. Where a build is at hand, ask it rather than this table.
    #[must_use]
    pub fn for_cpython(major: u32, minor: u32, patch: u32) -> Option<Self> {
        crate::presets::for_cpython(major, minor, patch)
    }

    /// Alignment of every block and difference between neighbouring size classes.
    #[must_use]
    pub const fn alignment(&self) -> usize {
        self.alignment
    }

    /// The largest request, inclusive, that is served from a pool.
    #[must_use]
    pub const fn small_limit(&self) -> usize {
        self.small_limit
    }

    /// Size of a pool, header included.
    #[must_use]
    pub const fn pool_size(&self) -> usize {
        self.pool_size
    }

    /// Size of an arena.
    #[must_use]
    pub const fn arena_size(&self) -> usize {
        self.arena_size
    }

    /// What becomes of empty arenas.
    #[must_use]
    pub const fn empty_arenas(&self) -> EmptyArenas {
        self.empty_arenas
    }

    /// Number of size classes.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.small_limit / self.alignment
    }

    /// Bytes at the start of each pool that hold its header: 48, rounded up to the alignment.
    #[must_use]
    pub const fn header_size(&self) -> usize {
        HEADER_BYTES.next_multiple_of(self.alignment)
    }

    /// Pools in an arena whose base is a multiple of the pool size; others have one less.
    #[must_use]
    pub const fn pools_per_arena(&self) -> usize {
        self.arena_size / self.pool_size
    }

    /// What is asked of an [`ArenaSource`](crate::ArenaSource): an arena, aligned as blocks are.
    #[must_use]
    pub const fn arena_layout(&self) -> Layout {
        match Layout::from_size_align(self.arena_size, self.alignment) {
            Ok(layout) => layout,
            // The alignment is a power of two, and the size at most 2^30.
            Err(_) => unreachable!(),
        }
    }

    /// The class that serves a request of `size` bytes; `None` for 0 and above the limit.
    #[must_use]
    pub const fn class_of(&self, size: usize) -> Option<SizeClass> {
        let last = size.wrapping_sub(1);
        if last < self.small_limit { Some(SizeClass::new(last / self.alignment)) } else { None }
    }

    /// The class of this index; `None` beyond the last one.
    #[must_use]
    pub const fn class(&self, index: usize) -> Option<SizeClass> {
        if index < self.classes() { Some(SizeClass::new(index)) } else { None }
    }

    /// Size of the blocks of a class, the largest request it serves.
    #[must_use]
    pub const fn block_size(&self, class: SizeClass) -> usize {
        (class.index() + 1) * self.alignment
    }

    /// Blocks that one pool of this class holds.
    ///
    /// A class of another geometry, too large for this one, is answered by the same formula.
    #[must_use]
    pub const fn blocks_per_pool(&self, class: SizeClass) -> usize {
        (self.pool_size - self.header_size()) / self.block_size(class)
    }
}

/// What is read is checked.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    alignment: usize,
    small_limit: usize,
    pool_size: usize,
    arena_size: usize,
    empty_arenas: EmptyArenas,
}

#[cfg(feature = "serde")]
impl From<Geometry> for Fields {
    fn from(geometry: Geometry) -> Self {
        let Geometry { alignment, small_limit, pool_size, arena_size, empty_arenas } = geometry;
        Self { alignment, small_limit, pool_size, arena_size, empty_arenas }
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Fields> for Geometry {
    type Error = GeometryError;

    fn try_from(fields: Fields) -> Result<Self, GeometryError> {
        let Fields { alignment, small_limit, pool_size, arena_size, empty_arenas } = fields;
        Self::new(alignment, small_limit, pool_size, arena_size, empty_arenas)
    }
}

/// Why some numbers do not make a [`Geometry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeometryError {
    /// The alignment is not a power of two from 8 to 64.
    Alignment {
        /// The alignment asked for.
        found: usize,
    },
    /// The largest small request is zero, not a multiple of the alignment, or makes too many
    /// classes.
    SmallLimit {
        /// The limit asked for.
        found: usize,
        /// The alignment it goes with.
        alignment: usize,
    },
    /// The pool size is not a power of two of at least 1 KiB.
    PoolSize {
        /// The pool size asked for.
        found: usize,
    },
    /// A pool does not hold its header and two blocks of the largest class.
    PoolTooSmall {
        /// The pool size asked for.
        found: usize,
        /// The bytes it would have to hold.
        needed: usize,
    },
    /// The arena size is not a power of two up to 1 GiB.
    ArenaSize {
        /// The arena size asked for.
        found: usize,
    },
    /// An arena would hold too few or too many pools.
    PoolsPerArena {
        /// Pools per arena.
        found: usize,
    },
}

impl fmt::Display for GeometryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Alignment { found } => write!(
                f,
                "alignment of {found} bytes: must be a power of two from {MIN_ALIGNMENT} to \
                 {MAX_ALIGNMENT}"
            ),
            Self::SmallLimit { found, alignment } => write!(
                f,
                "small limit of {found} bytes: must be a multiple of the alignment, from \
                 {alignment} to {} ({MAX_CLASSES} classes of {alignment} bytes)",
                MAX_CLASSES.saturating_mul(alignment)
            ),
            Self::PoolSize { found } => {
                write!(f, "pool size of {found} bytes: must be a power of two of at least {MIN_POOL}")
            }
            Self::PoolTooSmall { found, needed } => write!(
                f,
                "pool size of {found} bytes: a header and two blocks of the largest class need \
                 {needed}"
            ),
            Self::ArenaSize { found } => {
                write!(f, "arena size of {found} bytes: must be a power of two of at most {MAX_ARENA}")
            }
            Self::PoolsPerArena { found } => {
                write!(f, "{found} pools per arena: must be {MIN_POOLS} to {MAX_POOLS}")
            }
        }
    }
}

impl error::Error for GeometryError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn cpython(minor: u32) -> Geometry {
        Geometry::for_cpython(3, minor, 0).expect("in the table")
    }

    #[test]
    fn class_boundaries() {
        let geometry = cpython(8);
        let class = |size| geometry.class_of(size).map(SizeClass::index);
        assert_eq!(class(0), None);
        assert_eq!((class(1), class(16), class(17), class(32)), (Some(0), Some(0), Some(1), Some(1)));
        assert_eq!((class(497), class(512), class(513)), (Some(31), Some(31), None));
        assert_eq!(class(usize::MAX), None);
    }

    #[test]
    fn capacities() {
        let capacity =
            |geometry: Geometry, size| geometry.blocks_per_pool(geometry.class_of(size).expect("small"));
        let small = cpython(8);
        assert_eq!([16, 32, 64, 512].map(|b| capacity(small, b)), [253, 126, 63, 7]);
        let large = cpython(12);
        assert_eq!([16, 32, 48, 512].map(|b| capacity(large, b)), [1021, 510, 340, 31]);
    }

    #[test]
    fn each_number_is_checked() {
        use GeometryError as E;
        let new = |a, l, p, r| Geometry::new(a, l, p, r, EmptyArenas::Keep);
        for found in [0, 4, 12, 128, usize::MAX] {
            assert_eq!(new(found, 512, 4096, 1 << 18), Err(E::Alignment { found }));
        }
        for found in [0, 8, 24, 16 * 65, usize::MAX] {
            let expected = Err(E::SmallLimit { found, alignment: 16 });
            assert_eq!(new(16, found, 4096, 1 << 18), expected);
        }
        for found in [0, 512, 4095, 5000] {
            assert_eq!(new(16, 512, found, 1 << 18), Err(E::PoolSize { found }));
        }
        for found in [0, 100_000, 1 << 31, 1 << 63] {
            assert_eq!(new(16, 512, 4096, found), Err(E::ArenaSize { found }));
        }
        assert_eq!(new(16, 512, 1024, 1 << 18), Err(E::PoolTooSmall { found: 1024, needed: 1072 }));
        assert_eq!(new(16, 512, 1 << 63, 1 << 18), Err(E::PoolsPerArena { found: 0 }));
        assert_eq!(new(16, 512, 1 << 17, 1 << 18), Err(E::PoolsPerArena { found: 2 }));
        assert_eq!(new(8, 64, 1024, 1 << 27), Err(E::PoolsPerArena { found: 1 << 17 }));
        assert!(new(64, 4096, 1 << 14, 1 << 30).is_ok());
    }

    #[test]
    fn wide_alignment_widens_the_header() {
        let geometry = Geometry::new(64, 512, 4096, 1 << 16, EmptyArenas::Keep).expect("valid");
        assert_eq!(geometry.header_size(), 64);
        assert_eq!(cpython(6).header_size(), 48);
    }

    #[test]
    fn messages_say_the_number_and_what_is_allowed() {
        let error = Geometry::new(12, 512, 4096, 1 << 18, EmptyArenas::Keep).expect_err("refused");
        assert_eq!(error.to_string(), "alignment of 12 bytes: must be a power of two from 8 to 64");
        let error = Geometry::new(8, 520, 4096, 1 << 18, EmptyArenas::Keep).expect_err("refused");
        assert!(error.to_string().contains("520") && error.to_string().contains("8 to 512"));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn deserialising_checks() {
        let geometry = cpython(12);
        let json = serde_json::to_string(&geometry).expect("plain data");
        assert_eq!(serde_json::from_str::<Geometry>(&json).expect("round trip"), geometry);
        let broken = json.replace("\"alignment\":16", "\"alignment\":17");
        let error = serde_json::from_str::<Geometry>(&broken).expect_err("refused");
        assert!(error.to_string().contains("alignment of 17 bytes"), "{error}");
    }
}
