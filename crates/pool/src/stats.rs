//! Every byte of every arena, accounted for.

use alloc::vec::Vec;

use crate::fallback::Fallback;
use crate::geometry::Geometry;
use crate::pool::Pool;
use crate::source::ArenaSource;

/// What the pools of one class hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClassStats {
    /// Number of the class.
    pub class: usize,
    /// Bytes of a block.
    pub block_size: usize,
    /// Pools with at least one live block.
    pub pools: u64,
    /// Live blocks.
    pub blocks_in_use: u64,
    /// Other blocks of these pools.
    pub blocks_available: u64,
}

/// How many arenas there are and were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ArenaStats {
    /// Acquired since the beginning.
    pub allocated_total: u64,
    /// Most at a time.
    pub highwater: u64,
    /// Now.
    pub current: u64,
    /// Of those now, how many lost a pool because their base is no multiple of the pool size.
    pub unaligned: u64,
    /// Pools without live blocks, whether they were ever in use or not.
    pub unused_pools: u64,
}

impl ArenaStats {
    /// Arenas handed back.
    #[must_use]
    pub fn reclaimed(&self) -> u64 {
        self.allocated_total.saturating_sub(self.current)
    }
}

/// Where the bytes of the arenas are. Each is in one of the groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ByteStats {
    /// In live blocks.
    pub in_use: u64,
    /// In other blocks of pools with live ones.
    pub available: u64,
    /// In pools without live blocks.
    pub unused_pools: u64,
    /// In headers of pools with live blocks.
    pub headers: u64,
    /// Behind the last whole block of those pools.
    pub quantization: u64,
    /// Around the pools of arenas whose base is no multiple of the pool size.
    pub alignment: u64,
}

impl ByteStats {
    /// The sum of all groups: the bytes of all arenas.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { in_use, available, unused_pools, headers, quantization, alignment } = *self;
        [available, unused_pools, headers, quantization, alignment]
            .into_iter()
            .fold(in_use, u64::saturating_add)
    }
}

/// Statistics of a pool allocator.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Stats {
    /// Its numbers.
    pub geometry: Geometry,
    /// One entry for each class, in use or not, smallest first.
    pub classes: Vec<ClassStats>,
    /// Its arenas.
    pub arenas: ArenaStats,
    /// Its bytes.
    pub bytes: ByteStats,
}

impl Stats {
    /// Statistics from counts: by class (in any order, classes not named are empty) and of arenas.
    /// The sums of bytes follow from them.
    ///
    /// `None` if a class does not exist in the geometry, is named twice or has another block size.
    /// Absurdly large counts give saturated sums, which are not [consistent](Self::is_consistent).
    #[must_use]
    pub fn from_counts(
        geometry: Geometry,
        counts: impl IntoIterator<Item = ClassStats>,
        arenas: ArenaStats,
    ) -> Option<Self> {
        let mut classes: Vec<ClassStats> = (0..geometry.classes())
            .map(|class| ClassStats {
                class,
                block_size: (class + 1) * geometry.alignment(),
                ..ClassStats::default()
            })
            .collect();
        for count in counts {
            let class = classes.get_mut(count.class)?;
            let named_before = class.pools != 0;
            if named_before || class.block_size != count.block_size {
                return None;
            }
            *class = count;
        }
        let pool_size = geometry.pool_size() as u64;
        let mut bytes = ByteStats {
            unused_pools: arenas.unused_pools.saturating_mul(pool_size),
            alignment: arenas.unaligned.saturating_mul(pool_size),
            ..ByteStats::default()
        };
        let room = geometry.pool_size() - geometry.header_size();
        let add = |sum: &mut u64, count: u64, size: usize| {
            *sum = sum.saturating_add(count.saturating_mul(size as u64));
        };
        for class in &classes {
            add(&mut bytes.in_use, class.blocks_in_use, class.block_size);
            add(&mut bytes.available, class.blocks_available, class.block_size);
            add(&mut bytes.headers, class.pools, geometry.header_size());
            add(&mut bytes.quantization, class.pools, room % class.block_size);
        }
        Some(Self { geometry, classes, arenas, bytes })
    }

    /// Whether the groups of bytes add up to the size of the arenas, as they must.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.arenas.current.checked_mul(self.geometry.arena_size() as u64) == Some(self.bytes.total())
    }
}

impl<S: ArenaSource, F: Fallback> Pool<S, F> {
    /// Counts everything. Linear in the number of pools; allocating and freeing keep no counters.
    ///
    /// ```
    /// let pool = pool::Pool::new(pool::Geometry::for_cpython(3, 9, 0).unwrap());
    /// let block = pool.malloc(500).unwrap();
    /// let stats = pool.stats();
    /// assert_eq!((stats.arenas.current, stats.bytes.in_use), (1, 512));
    /// assert!(stats.is_consistent());
    /// # // SAFETY: allocated above and not used.
    /// # unsafe { pool.free(Some(block)) };
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut classes: Vec<ClassStats> = self
            .classes()
            .map(|view| ClassStats {
                class: view.class.index(),
                block_size: view.block_size,
                ..ClassStats::default()
            })
            .collect();
        let (allocated_total, highwater, current) =
            self.state.arenas(|arenas| (arenas.allocated, arenas.highwater, arenas.current));
        let mut arenas = ArenaStats { allocated_total, highwater, current, ..ArenaStats::default() };
        for arena in self.arenas() {
            arenas.unaligned += u64::from(arena.first_pool != 0);
            arenas.unused_pools += arena.pools_free as u64;
            for pool in arena.pools.iter().filter(|pool| pool.live > 0) {
                let class = &mut classes[pool.class.index()];
                class.pools += 1;
                class.blocks_in_use += pool.live as u64;
                class.blocks_available += (pool.capacity - pool.live) as u64;
            }
        }
        let counted = classes.iter().copied().filter(|class| class.pools > 0);
        Stats::from_counts(*self.geometry(), counted, arenas)
            .unwrap_or_else(|| unreachable!("the classes are those of the geometry"))
    }
}
