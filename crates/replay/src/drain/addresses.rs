//! Which block lies at which address, and which addresses are arenas'.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use trace::LiveBlock;

/// Addresses are kept in pages of 64 KiB.
const PAGE_SHIFT: u32 = 16;

#[derive(Clone)]
struct Page {
    blocks: Box<[Option<LiveBlock>]>,
    live: u32,
}

/// The live blocks by address.
///
/// Most addresses lie close together, in arenas, so each 64 KiB of address space with a live block has an array with
/// a place for each address that may be a block's: as much memory as half the heap (all of it, if blocks are aligned
/// to 8 bytes), and one hash of the page's number instead of one of each address.
#[derive(Clone)]
pub(super) struct Addresses {
    pages: HashMap<u64, Page>,
    /// Addresses are multiples of two to this power; any other goes to `odd`.
    shift: u32,
    odd: HashMap<u64, LiveBlock>,
}

impl Addresses {
    pub(super) fn new(alignment: u32) -> Self {
        let shift = alignment.trailing_zeros().clamp(3, 4);
        Self { pages: HashMap::new(), shift, odd: HashMap::new() }
    }

    fn index(&self, address: u64) -> Option<usize> {
        let within = address & ((1 << PAGE_SHIFT) - 1);
        let index = usize::try_from(within >> self.shift).ok()?;
        (address.trailing_zeros() >= self.shift).then_some(index)
    }

    /// Adds a block; returns the one that is already there instead.
    #[inline]
    pub(super) fn insert(&mut self, address: u64, live: LiveBlock) -> Option<LiveBlock> {
        let Some(index) = self.index(address) else { return self.odd.insert(address, live) };
        let shift = self.shift;
        let page = self.pages.entry(address >> PAGE_SHIFT).or_insert_with(|| Page {
            blocks: vec![None; 1 << (PAGE_SHIFT - shift)].into_boxed_slice(),
            live: 0,
        });
        let before = page.blocks[index].replace(live);
        page.live += u32::from(before.is_none());
        before
    }

    /// The block at an address.
    #[inline]
    pub(super) fn get(&self, address: u64) -> Option<LiveBlock> {
        let Some(index) = self.index(address) else { return self.odd.get(&address).copied() };
        self.pages.get(&(address >> PAGE_SHIFT))?.blocks[index]
    }

    /// Takes a block out.
    #[inline]
    pub(super) fn remove(&mut self, address: u64) -> Option<LiveBlock> {
        let Some(index) = self.index(address) else { return self.odd.remove(&address) };
        let page = self.pages.get_mut(&(address >> PAGE_SHIFT))?;
        let live = page.blocks[index].take()?;
        page.live -= 1;
        if page.live == 0 {
            self.pages.remove(&(address >> PAGE_SHIFT));
        }
        Some(live)
    }
}

/// The live arenas.
#[derive(Clone, Default)]
pub(super) struct Arenas {
    /// Size and number by base.
    live: BTreeMap<u64, (u64, u64)>,
    /// Where the last address was found: base and size.
    last: (u64, u64),
}

impl Arenas {
    pub(super) fn insert(&mut self, base: u64, size: u64, arena: u64) {
        self.live.insert(base, (size, arena));
    }

    /// Takes an arena out and returns its number.
    pub(super) fn remove(&mut self, base: u64) -> Option<u64> {
        self.last = (0, 0);
        self.live.remove(&base).map(|(_, arena)| arena)
    }

    pub(super) fn is_live(&self, base: u64) -> bool {
        self.live.contains_key(&base)
    }

    /// Whether an address lies in a live arena.
    #[inline]
    pub(super) fn contains(&mut self, address: u64) -> bool {
        if address.wrapping_sub(self.last.0) < self.last.1 {
            return true;
        }
        let Some((&base, &(size, _))) = self.live.range(..=address).next_back() else { return false };
        let inside = address - base < size;
        if inside {
            self.last = (base, size);
        }
        inside
    }
}
