//! Looking into a pool: arenas, their pools, and where an address lies.
//!
//! Views are copies of what was there when they were made, so the pool may be used meanwhile.

use alloc::vec::Vec;

use crate::arena::{Arena, ArenaId};
use crate::class::SizeClass;
use crate::fallback::Fallback;
use crate::header::Status;
use crate::pool::Pool;
use crate::source::ArenaSource;
use crate::state::State;

/// A byte of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Place {
    /// Which arena.
    pub arena: ArenaId,
    /// Bytes from the arena's base.
    pub offset: usize,
}

/// A byte of a block, live or free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Position {
    /// Which arena.
    pub arena: ArenaId,
    /// Bytes from the arena's base.
    pub arena_offset: usize,
    /// Which pool of the arena, from 0. Pools are aligned to their size, so the first one of an
    /// unaligned arena does not begin at its base.
    pub pool_index: usize,
    /// The class of the pool.
    pub class: SizeClass,
    /// Which block of the pool, from 0.
    pub block_index: usize,
    /// Bytes from the beginning of the block.
    pub block_offset: usize,
}

/// A size class of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ClassView {
    /// Which class.
    pub class: SizeClass,
    /// Bytes of a block: the largest request that it serves.
    pub block_size: usize,
    /// Blocks of a pool.
    pub blocks_per_pool: usize,
}

/// A pool that has been in use at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct PoolView {
    /// Which pool of its arena, from 0.
    pub index: usize,
    /// Address of its header.
    pub address: usize,
    /// The class it serves, or served last.
    pub class: SizeClass,
    /// Live blocks. A pool without any is free for every class.
    pub live: usize,
    /// Blocks that it has room for.
    pub capacity: usize,
}

/// An arena.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ArenaView {
    /// Which arena.
    pub id: ArenaId,
    /// Address of its first byte.
    pub base: usize,
    /// Bytes from the base to the first pool: 0 unless the base is no multiple of the pool size.
    pub first_pool: usize,
    /// Pools that it can hold.
    pub pools_total: usize,
    /// Pools without live blocks, including those that were never in use.
    pub pools_free: usize,
    /// The pools that were in use at least once, by address.
    pub pools: Vec<PoolView>,
}

impl<S: ArenaSource, F: Fallback> Pool<S, F> {
    /// All arenas in the order in which they were acquired.
    ///
    /// Copies the numbers of every pool: linear in the number of pools.
    pub fn arenas(&self) -> impl ExactSizeIterator<Item = ArenaView> + use<S, F> {
        let mut views: Vec<ArenaView> = self
            .state
            .arenas(|arenas| arenas.iter().filter_map(|(_, arena)| self.state.view(arena)).collect());
        views.sort_unstable_by_key(|view| view.id);
        views.into_iter()
    }

    /// The size classes, smallest first.
    pub fn classes(&self) -> impl ExactSizeIterator<Item = ClassView> + use<S, F> {
        let geometry = *self.geometry();
        (0..geometry.classes()).map(move |index| {
            let class = SizeClass::new(index);
            ClassView {
                class,
                block_size: geometry.block_size(class),
                blocks_per_pool: geometry.blocks_per_pool(class),
            }
        })
    }

    /// The arena that an address lies in, and how far in. `None` for addresses elsewhere.
    ///
    /// Any address may be asked; nothing is read from it. Constant time.
    #[inline]
    #[must_use]
    pub fn locate(&self, address: *const u8) -> Option<Place> {
        let found = self.state.map.find(address.addr())?;
        Some(Place { arena: found.id, offset: address.addr() - found.base.addr().get() })
    }

    /// The block that an address lies in, live or free, carved or not. `None` for addresses
    /// elsewhere: in no arena, in a header, behind the last whole block of a pool, in a pool that
    /// was never in use or has no live block now.
    ///
    /// Any address may be asked; nothing is read from it. Constant time.
    #[must_use]
    pub fn position(&self, address: *const u8) -> Option<Position> {
        let Place { arena, offset: arena_offset } = self.locate(address)?;
        let slot = self.state.map.find(address.addr())?.index;
        let geometry = self.geometry();
        let (pool_index, in_pool, pool) = self.state.arenas(|arenas| {
            let arena = arenas.get(slot)?;
            let in_pools = arena_offset.checked_sub(arena.first)?;
            let pool_index = in_pools / geometry.pool_size();
            let pool = self.state.view_pool(arena, u32::try_from(pool_index).ok()?)?;
            Some((pool_index, in_pools % geometry.pool_size(), pool))
        })?;
        let in_blocks = in_pool.checked_sub(geometry.header_size())?;
        let size = geometry.block_size(pool.class);
        let block_index = in_blocks / size;
        (pool.live > 0 && block_index < pool.capacity).then_some(Position {
            arena,
            arena_offset,
            pool_index,
            class: pool.class,
            block_index,
            block_offset: in_blocks % size,
        })
    }
}

impl State {
    fn view(&self, arena: &Arena) -> Option<ArenaView> {
        Some(ArenaView {
            id: arena.id,
            base: arena.base?.addr().get(),
            first_pool: arena.first,
            pools_total: arena.total as usize,
            pools_free: arena.free as usize,
            pools: (0..arena.carved).filter_map(|pool| self.view_pool(arena, pool)).collect(),
        })
    }

    fn view_pool(&self, arena: &Arena, pool: u32) -> Option<PoolView> {
        let header = arena.header(pool, self.geometry.pool_size())?;
        // SAFETY: a carved pool has a header, and there are only pointers to it.
        let (class, status, live) =
            unsafe { ((*header.as_ptr()).class, (*header.as_ptr()).status, (*header.as_ptr()).live) };
        let class = self.geometry.class(class as usize)?;
        let capacity = self.geometry.blocks_per_pool(class);
        let live = if status == Status::Full { capacity } else { live as usize };
        let address = header.addr().get();
        Some(PoolView { index: pool as usize, address, class, live, capacity })
    }
}
