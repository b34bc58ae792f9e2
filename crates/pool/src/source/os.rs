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

/// A page of memory, or more than that. What is advised of a part of a page is advised of all of it, so no two arenas
/// share one, and no arena loses a page that is not wholly its own.
pub(super) const PAGE: usize = if cfg!(target_arch = "x86_64") { 4 << 10 } else { 64 << 10 };

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
    /// Arenas that are mapped and not lent, last in, first out, with what they were cut for; their memory is not there.
    spare: Vec<(NonNull<u8>, Layout)>,
}

#[derive(Debug)]
struct Region {
    mapping: MmapMut,
    /// Behind the last arena.
    end: usize,
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

impl Regions {
    /// Maps a region and makes its arenas spare, lowest first.
    fn map(&mut self, layout: Layout) -> Option<()> {
        let stride = layout.pad_to_align().size().checked_next_multiple_of(PAGE)?;
        let size = stride.checked_next_power_of_two()?.max(layout.align()).max(REGION);
        let arenas = size.checked_div(stride)?;
        // Twice as many addresses (of which half stay mere addresses) have an aligned region within.
        let mut mapping = MmapOptions::new().len(size.checked_mul(2)?).map_anon().ok()?;
        let start = mapping.as_mut_ptr();
        let offset = start.addr().wrapping_neg() % size;
        #[cfg(target_os = "linux")]
        {
            // To go without is no error.
            let _ = mapping.advise_range(memmap2::Advice::HugePage, offset, size);
        }
        self.spare.extend((0..arenas).rev().filter_map(|n| {
            // SAFETY: `offset < size`, so that the region ends within the mapping, and arena `n` within the region.
            let arena = NonNull::new(unsafe { start.add(offset + n * stride) });
            arena.map(|arena| (arena, layout))
        }));
        let first = start.addr() + offset;
        self.mapped.insert(first, Region { mapping, end: first + size, lent: 0 });
        Some(())
    }

    /// A spare arena that was cut for this layout.
    fn take_spare(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let index = self.spare.iter().rposition(|&(_, cut_for)| cut_for == layout)?;
        Some(self.spare.remove(index).0)
    }

    /// The region that an arena lies in, with the address of its first one.
    fn region(&mut self, arena: NonNull<u8>) -> Option<(usize, &mut Region)> {
        let (&first, region) = self.mapped.range_mut(..=arena.addr().get()).next_back()?;
        Some((first, region))
    }
}

// SAFETY: the pointers lead into mappings, which belong to the source and to no thread.
unsafe impl Send for Os {}

// SAFETY:
// 1. an arena is a part of a mapping, as large as the layout that it was cut for; a region is aligned to a power of two
//    not less than the layout's alignment, of which the distance between arenas is a multiple;
// 2. it stays mapped, readable and writable, until its `MmapMut` is dropped, which is the handle and not the memory
//    and may move: when no arena of it is lent;
// 3. the system maps it for us alone, and what is lent is not spare;
// 4. the operating system knows no pool.
unsafe impl ArenaSource for Os {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let regions = &mut *self.regions.borrow_mut();
        let base = match regions.take_spare(layout) {
            Some(base) => base,
            None => {
                regions.map(layout)?;
                regions.take_spare(layout)?
            }
        };
        let (_, region) = regions.region(base)?;
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
        let Some((first, region)) = regions.region(base) else { return };
        region.lent -= 1;
        if region.lent == 0 {
            let end = region.end;
            regions.mapped.remove(&first);
            regions.spare.retain(|(arena, _)| !(first..end).contains(&arena.addr().get()));
            return;
        }
        let offset = base.addr().get() - region.mapping.as_ptr().addr();
        // SAFETY: the arena is no longer used, by contract: its contents may go. It begins at a page, and what follows it
        // in its last page is nobody's. It stays mapped.
        let _ = unsafe {
            region.mapping.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, layout.size())
        };
        regions.spare.push((base, layout));
    }
}
