//! Arenas from the operating system: anonymous private mappings.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::RefCell;
use core::ptr::NonNull;

use memmap2::{MmapMut, MmapOptions, UncheckedAdvice};

use super::ArenaSource;

/// What a huge page has on most machines; a region is as large, unless an arena is larger.
const REGION: usize = 2 << 20;

/// Maps memory in aligned regions of 2 MiB, for which the system may take huge pages, and cuts them into arenas.
///
/// The memory of an arena is returned to the system when the arena is released, and the addresses
/// of a region when its last arena is.
///
/// CPython maps each arena on its own, mostly not aligned to its pools: then each arena loses one
/// pool. Here none does. What does not depend on the bases of arenas is the same; to have the same
/// bases as a recorded program, use [`Replay`](crate::Replay).
#[derive(Debug, Default)]
pub struct Os {
    regions: RefCell<Regions>,
}

#[derive(Debug, Default)]
struct Regions {
    /// By the address of the first arena.
    mapped: BTreeMap<usize, Region>,
    /// Arenas that are mapped and not lent, last in, first out; their memory is not there.
    spare: Vec<NonNull<u8>>,
}

#[derive(Debug)]
struct Region {
    mapping: MmapMut,
    /// How many of its arenas are lent.
    lent: usize,
}

impl Os {
    /// A source without mappings yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// How large a region of arenas of this layout is. Both are powers of two.
fn region_size(layout: Layout) -> usize {
    layout.size().next_power_of_two().max(REGION)
}

impl Regions {
    /// Maps a region and makes its arenas spare, lowest first.
    fn map(&mut self, layout: Layout) -> Option<()> {
        let size = region_size(layout);
        // Twice as many addresses (of which half stay mere addresses) have an aligned region within.
        let mut mapping = MmapOptions::new().len(2 * size).map_anon().ok()?;
        let start = mapping.as_mut_ptr();
        let offset = start.addr().wrapping_neg() % size;
        #[cfg(target_os = "linux")]
        {
            // To go without is no error.
            let _ = mapping.advise_range(memmap2::Advice::HugePage, offset, size);
        }
        let arenas = size / layout.size();
        self.spare.extend((0..arenas).rev().filter_map(|n| {
            // SAFETY: `offset < size`, so that the region ends within the mapping, and arena `n` within the region.
            NonNull::new(unsafe { start.add(offset + n * layout.size()) })
        }));
        self.mapped.insert(start.addr() + offset, Region { mapping, lent: 0 });
        Some(())
    }
}

// SAFETY:
// 1. an arena is a part of a mapping, as large as was asked for; a region is aligned to a power of two that is not
//    less than the arena's size, which is not less than its alignment;
// 2. it stays mapped, readable and writable, until its `MmapMut` is dropped, which is the handle and not the memory
//    and may move: when no arena of it is lent;
// 3. the system maps it for us alone, and what is lent is not spare;
// 4. the operating system knows no pool.
unsafe impl ArenaSource for Os {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let regions = &mut *self.regions.borrow_mut();
        if regions.spare.is_empty() {
            regions.map(layout)?;
        }
        let base = regions.spare.pop()?;
        let (_, region) = regions.mapped.range_mut(..=base.addr().get()).next_back()?;
        region.lent += 1;
        #[cfg(target_os = "linux")]
        {
            // An arena is asked for when there is not one free pool, and is mostly filled at once. To
            // have its pages in one go costs a fraction of as many page faults; to go without is no error.
            let offset = base.addr().get() - region.mapping.as_ptr().addr();
            let _ = region.mapping.advise_range(memmap2::Advice::PopulateWrite, offset, layout.size());
        }
        Some(base)
    }

    unsafe fn release(&self, base: NonNull<u8>, layout: Layout) {
        let regions = &mut *self.regions.borrow_mut();
        let Some((&start, region)) = regions.mapped.range_mut(..=base.addr().get()).next_back() else {
            return;
        };
        region.lent -= 1;
        if region.lent == 0 {
            let end = start + region_size(layout);
            regions.mapped.remove(&start);
            regions.spare.retain(|arena| !(start..end).contains(&arena.addr().get()));
            return;
        }
        let offset = base.addr().get() - region.mapping.as_ptr().addr();
        // SAFETY: the arena is no longer used, by contract: its contents may go. It stays mapped.
        let _ = unsafe {
            region.mapping.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, layout.size())
        };
        regions.spare.push(base);
    }
}
