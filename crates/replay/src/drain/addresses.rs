//! Which block lies at which address, and which addresses are arenas'.

use std::collections::BTreeMap;

use trace::LiveBlock;

use super::pages::Pages;

/// The live blocks by address: as much memory as half the heap (all of it, if blocks are aligned to 8 bytes).
#[derive(Clone)]
pub(super) struct Addresses {
    blocks: Pages<LiveBlock>,
    /// The one that was added last, if it is still there: the next object is mostly born in it.
    last: Option<(u64, LiveBlock)>,
}

impl Addresses {
    pub(super) fn new(alignment: u32) -> Self {
        Self { blocks: Pages::new(alignment.trailing_zeros().clamp(3, 4)), last: None }
    }

    /// Adds a block; returns the one that is already there instead.
    #[inline]
    pub(super) fn insert(&mut self, address: u64, live: LiveBlock) -> Option<LiveBlock> {
        self.last = Some((address, live));
        self.blocks.insert(address, live)
    }

    /// The block that was added last, and where it lies.
    #[inline]
    pub(super) fn last(&self) -> Option<(u64, LiveBlock)> {
        self.last
    }

    /// The block at an address.
    #[inline]
    pub(super) fn get(&mut self, address: u64) -> Option<LiveBlock> {
        self.blocks.get(address)
    }

    /// Takes a block out.
    #[inline]
    pub(super) fn remove(&mut self, address: u64) -> Option<LiveBlock> {
        self.last.take_if(|(last, _)| *last == address);
        self.blocks.remove(address)
    }
}

/// How many arenas are remembered in which addresses were found, each by its place in address space.
const NEAR: usize = 16;

/// The live arenas.
#[derive(Clone, Default)]
pub(super) struct Arenas {
    /// Size and number by base.
    live: BTreeMap<u64, (u64, u64)>,
    /// Where addresses were found lately: base and size, by the addresses' 256 KiB.
    near: [(u64, u64); NEAR],
}

impl Arenas {
    pub(super) fn insert(&mut self, base: u64, size: u64, arena: u64) {
        self.live.insert(base, (size, arena));
    }

    /// Takes an arena out and returns its number.
    pub(super) fn remove(&mut self, base: u64) -> Option<u64> {
        self.near = [(0, 0); NEAR];
        self.live.remove(&base).map(|(_, arena)| arena)
    }

    pub(super) fn is_live(&self, base: u64) -> bool {
        self.live.contains_key(&base)
    }

    /// Whether an address lies in a live arena.
    #[inline]
    pub(super) fn contains(&mut self, address: u64) -> bool {
        let near = near(address);
        let (base, size) = self.near[near];
        address.wrapping_sub(base) < size || self.look(near, address)
    }

    #[inline(never)]
    fn look(&mut self, near: usize, address: u64) -> bool {
        let Some((&base, &(size, _))) = self.live.range(..=address).next_back() else { return false };
        let inside = address - base < size;
        if inside {
            self.near[near] = (base, size);
        }
        inside
    }
}

fn near(address: u64) -> usize {
    let [low, ..] = (address >> 18).to_le_bytes();
    usize::from(low) % NEAR
}
