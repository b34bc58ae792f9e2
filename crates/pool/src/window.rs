//! Whether an address lies in a pool of ours: the quick answer.
//!
//! Pools are aligned to their size, arenas need not be. So the question "is it in one of our
//! pools?" takes one table with a byte for each place where a pool could be, where the question
//! "in which arena?" takes [two comparisons](crate::address_map). Arenas mostly lie near each other: the
//! table covers a window of the address space around the first one. What lies outside is left to
//! the map.

use alloc::boxed::Box;
use core::cell::Cell;

use crate::geometry::Geometry;

/// Places in a window: 4 GiB of addresses with pools of 4 KiB, 16 GiB with pools of 16 KiB.
/// (In unit tests so few that most arenas lie outside.)
const PLACES: usize = if cfg!(test) { 32 } else { 1 << 20 };

/// The table. It is allocated zeroed with the first arena; the parts never written cost no memory
/// where zeroed memory comes lazily from the operating system.
pub(crate) struct Window {
    pool_shift: u32,
    /// The number (an address without the bits within a pool) of the first place.
    first: Cell<usize>,
    /// By place, 1 if it is a pool of a live arena and 0 otherwise: null, or `PLACES` of them leaked
    /// from a boxed slice, freed in `drop`.
    ours: Cell<*mut Cell<u8>>,
    /// 0 or `PLACES`, so that one test refuses what is outside and what has no table.
    places: Cell<usize>,
}

impl Window {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        Self {
            pool_shift: geometry.pool_size().trailing_zeros(),
            first: Cell::new(0),
            ours: Cell::new(core::ptr::null_mut()),
            places: Cell::new(0),
        }
    }

    /// Whether `address` lies in a pool of ours and that is known here. Any address may be asked.
    #[inline]
    pub(crate) fn is_ours(&self, address: usize) -> bool {
        self.place(address).is_some_and(|ours| ours.get() != 0)
    }

    /// The entry for `address`, if it is in the window.
    #[inline]
    fn place(&self, address: usize) -> Option<&Cell<u8>> {
        let place = (address >> self.pool_shift).wrapping_sub(self.first.get());
        // SAFETY: `places` is not 0, so there is a table, of so many cells, which lives as long as `self`.
        (place < self.places.get()).then(|| unsafe { &*self.ours.get().add(place) })
    }

    /// Enters the pools of an arena, or takes them out: those of `pool_size` that begin at `first` and are
    /// aligned to it.
    pub(crate) fn set(&self, first: usize, pools: usize, ours: bool) {
        let number = first >> self.pool_shift;
        if self.places.get() == 0 {
            // SAFETY: a cell has the layout of what it holds, which may be zero.
            let table: Box<[Cell<u8>]> = unsafe { Box::new_zeroed_slice(PLACES).assume_init() };
            self.ours.set(Box::into_raw(table).cast());
            self.places.set(PLACES);
            self.first.set(number.wrapping_sub(PLACES / 2));
        }
        for n in number..number + pools {
            if let Some(place) = self.place(n << self.pool_shift) {
                place.set(u8::from(ours));
            }
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if self.places.get() != 0 {
            let table = core::ptr::slice_from_raw_parts_mut(self.ours.get(), PLACES);
            // SAFETY: exactly what `set` leaked, and freed only here.
            drop(unsafe { Box::from_raw(table) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: usize = 4096;

    fn window() -> Window {
        let window = Window::new(&crate::preset("cpython-3.9").expect("preset").geometry);
        assert_eq!(1 << window.pool_shift, POOL);
        window
    }

    #[test]
    fn whole_pools_and_nothing_else() {
        let window = window();
        let first = 0x7f00_0000_0000;
        window.set(first, 3, true);
        for (address, ours) in [
            (first - 1, false),
            (first, true),
            (first + 3 * POOL - 1, true),
            (first + 3 * POOL, false),
            (0, false),
            (usize::MAX, false),
        ] {
            assert_eq!(window.is_ours(address), ours, "{address:#x}");
        }
        window.set(first + POOL, 1, false);
        assert!(window.is_ours(first) && !window.is_ours(first + POOL) && window.is_ours(first + 2 * POOL));
    }

    #[test]
    fn what_lies_outside_is_not_known() {
        let window = window();
        let first = 0x7f00_0000_0000;
        window.set(first, 1, true);
        let half = PLACES / 2 * POOL;
        // Around both ends, and far away: what would be an entry of the table if the number wrapped around.
        for pools in [first - half - 2 * POOL, first + half - 2 * POOL, first ^ (1 << 46), 1 << 20] {
            window.set(pools, 4, true);
        }
        assert!(!window.is_ours(first - half - 1) && window.is_ours(first - half));
        assert!(window.is_ours(first + half - 1) && !window.is_ours(first + half));
        assert!(!window.is_ours(first ^ (1 << 46)) && !window.is_ours(1 << 20));
        assert!(!window.is_ours(first + POOL) && window.is_ours(first));
    }

    #[test]
    fn the_first_addresses_are_a_window_like_any() {
        let window = window();
        window.set(POOL, 1, true);
        assert!(!window.is_ours(0) && window.is_ours(POOL) && !window.is_ours(2 * POOL));
        assert!(!window.is_ours(usize::MAX));
    }
}
