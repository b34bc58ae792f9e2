//! Which arena an address lies in.
//!
//! Cut the address space into slots of the size of an arena. At most one arena *begins* in each
//! slot, so one table suffices: by slot, the pointer to the arena that begins there. An address
//! then belongs to the arena that begins in its own slot or in the one before, or to none.
//!
//! The table is a radix tree of two levels over the bits of 48-bit addresses. It holds
//! *pointers*, not addresses: they carry the right to touch the arena (its provenance), which the
//! pointer that a caller hands in need not have, for example if it came out of a `Box<u8>`. And
//! foreign memory is never read to find out whether it is ours.

use alloc::boxed::Box;
use core::cell::Cell;
use core::hint;
use core::ptr::{self, NonNull};

use crate::arena::ArenaId;
use crate::geometry::Geometry;
use crate::window::Window;

const ADDRESS_BITS: u32 = 48;

/// The arena that begins in a slot: a null base if none does; which one it is, and where its object
/// stands among the arena objects.
struct Entry {
    base: Cell<*mut u8>,
    id: Cell<ArenaId>,
    index: Cell<u32>,
}

/// What the map knows of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its memory.
    pub(crate) base: NonNull<u8>,
    /// Which one it is.
    pub(crate) id: ArenaId,
    /// Where its object stands.
    pub(crate) index: u32,
}

/// The tree. Lookups take constant time; nodes are allocated zeroed, so that the parts never
/// written cost no memory where zeroed memory comes lazily from the operating system.
///
/// Let `begin[s]` be the arena that begins in slot `s`. Leaf `k` holds `begin[k * n ..= k * n + n]`,
/// one more than its share `n`: the last entry repeats the first of the following leaf, and both
/// candidates of any lookup are neighbours in one leaf.
pub(crate) struct AddressMap {
    arena_size: usize,
    slot_shift: u32,
    leaf_shift: u32,
    leaf_mask: usize,
    /// Null or a leaf: `leaf_mask + 2` entries leaked from a boxed slice, freed in `drop`.
    leaves: Box<[Cell<*mut Entry>]>,
    pool_size: usize,
    window: Window,
}

impl AddressMap {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        let slot_shift = geometry.arena_size().trailing_zeros();
        let slot_bits = ADDRESS_BITS - slot_shift;
        let leaf_shift = slot_bits / 2;
        let leaves = 1 << (slot_bits - leaf_shift);
        Self {
            arena_size: geometry.arena_size(),
            slot_shift,
            leaf_shift,
            leaf_mask: (1 << leaf_shift) - 1,
            // SAFETY: a cell has the layout of what it holds, and a pointer of zeroes is a null
            // pointer.
            leaves: unsafe { Box::new_zeroed_slice(leaves).assume_init() },
            pool_size: geometry.pool_size(),
            window: Window::new(geometry),
        }
    }

    /// Whether `address` is known to lie in an arena of this map, at little cost. Any address may
    /// be asked; of what this denies, [`arena_of`](Self::arena_of) knows the truth.
    #[inline]
    pub(crate) fn is_surely_ours(&self, address: usize) -> bool {
        self.window.is_ours(address)
    }

    /// The arena that `address` lies in. Any address may be asked.
    #[inline]
    pub(crate) fn arena_of(&self, address: usize) -> Option<NonNull<u8>> {
        // The number of the slot before. Addresses in slot 0 wrap around to an index that no
        // leaf has, as do those above 48 bits: one test refuses both.
        let before = address.wrapping_sub(self.arena_size) >> self.slot_shift;
        let leaf = self.leaves.get(before >> self.leaf_shift)?.get();
        if leaf.is_null() {
            return None;
        }
        let index = before & self.leaf_mask;
        // SAFETY:
        // 1. `leaf` is not null, so it points to `leaf_mask + 2` entries that live as long as
        //    `self`; 2. `index <= leaf_mask`, so that both entries are among them.
        let (earlier, here) = unsafe { ((*leaf.add(index)).base.get(), (*leaf.add(index + 1)).base.get()) };
        let begins_here = address.wrapping_sub(here.addr()) < self.arena_size;
        // Which of the two it is depends on the block and is as good as random.
        let arena = hint::select_unpredictable(begins_here, here, earlier);
        if address.wrapping_sub(arena.addr()) < self.arena_size {
            // SAFETY: null is at a distance of at least an arena's size, for the address is not in
            // slot 0: so `arena` is not null.
            Some(unsafe { NonNull::new_unchecked(arena) })
        } else {
            None
        }
    }

    /// The arena that `address` lies in, which the caller knows to be one of ours.
    ///
    /// Has no branch; only the provenance of the result depends on the table.
    ///
    /// # Safety
    ///
    /// `address` lies in an arena of this map.
    #[inline]
    pub(crate) unsafe fn arena_of_ours(&self, address: usize) -> NonNull<u8> {
        let before = address.wrapping_sub(self.arena_size) >> self.slot_shift;
        let index = before & self.leaf_mask;
        // SAFETY: the address lies in an arena A of this map. `insert` admitted A above slot 0
        // and below 2^48, so that
        // 1. `before >> leaf_shift` is a valid index of `leaves`;
        // 2. that leaf exists: it is the one through which A is found, see `insert`;
        // 3. `index + 1 <= leaf_mask + 1`, the last entry;
        // 4. A is one of the two entries, and not null.
        unsafe {
            let leaf = self.leaves.get_unchecked(before >> self.leaf_shift).get();
            let (earlier, here) = ((*leaf.add(index)).base.get(), (*leaf.add(index + 1)).base.get());
            let begins_here = address.wrapping_sub(here.addr()) < self.arena_size;
            NonNull::new_unchecked(hint::select_unpredictable(begins_here, here, earlier))
        }
    }

    /// What is known of the arena that `address` lies in. Any address may be asked.
    #[inline]
    pub(crate) fn find(&self, address: usize) -> Option<Found> {
        let before = address.wrapping_sub(self.arena_size) >> self.slot_shift;
        let leaf = self.leaves.get(before >> self.leaf_shift)?.get();
        if leaf.is_null() {
            return None;
        }
        let index = before & self.leaf_mask;
        // SAFETY: as in `arena_of`.
        let (earlier, here) = unsafe { (&*leaf.add(index), &*leaf.add(index + 1)) };
        let begins_here = address.wrapping_sub(here.base.get().addr()) < self.arena_size;
        let entry = hint::select_unpredictable(begins_here, here, earlier);
        let base = entry.base.get();
        if address.wrapping_sub(base.addr()) < self.arena_size {
            Some(Found { base: NonNull::new(base)?, id: entry.id.get(), index: entry.index.get() })
        } else {
            None
        }
    }

    /// Enters an arena.
    ///
    /// Refuses one that begins in the first slot, reaches beyond 48 bits or begins in a slot in
    /// which another one does.
    pub(crate) fn insert(&self, base: NonNull<u8>, id: ArenaId, index: u32) -> Result<(), Refused> {
        let address = base.addr().get();
        let slot = address >> self.slot_shift;
        let end = address.checked_add(self.arena_size).ok_or(Refused)?;
        if slot == 0 || end > 1 << ADDRESS_BITS {
            return Err(Refused);
        }
        // An arena that begins in slot s has addresses in s and s + 1, whose lookups go through
        // `begin[s - 1 ..= s]` and `begin[s ..= s + 1]`: the leaves of s - 1 and of s.
        self.make_leaf((slot - 1) >> self.leaf_shift);
        self.make_leaf(slot >> self.leaf_shift);
        if !self.entry(slot, 0).base.get().is_null() {
            return Err(Refused);
        }
        self.set(slot, base.as_ptr(), id, index);
        self.set_pools(address, true);
        Ok(())
    }

    /// Forgets the arena that begins at `base`, which is in the map.
    pub(crate) fn remove(&self, base: NonNull<u8>) {
        self.set(base.addr().get() >> self.slot_shift, ptr::null_mut(), ArenaId::new(0), 0);
        self.set_pools(base.addr().get(), false);
    }

    /// Tells the window of the pools of an arena.
    fn set_pools(&self, base: usize, ours: bool) {
        let first = base.next_multiple_of(self.pool_size);
        self.window.set(first, (base + self.arena_size - first) / self.pool_size, ours);
    }

    fn make_leaf(&self, leaf: usize) {
        if self.leaves[leaf].get().is_null() {
            // SAFETY: cells have the layout of what they hold; zeroes are a null pointer and numbers.
            let entries: Box<[Entry]> = unsafe { Box::new_zeroed_slice(self.leaf_mask + 2).assume_init() };
            self.leaves[leaf].set(Box::into_raw(entries).cast());
        }
    }

    fn set(&self, slot: usize, base: *mut u8, id: ArenaId, index: u32) {
        let enter = |entry: &Entry| {
            entry.base.set(base);
            entry.id.set(id);
            entry.index.set(index);
        };
        enter(self.entry(slot, 0));
        if slot & self.leaf_mask == 0 {
            enter(self.entry(slot - 1, 1));
        }
    }

    /// `begin[slot + after]` in the leaf of `slot`, which has been made; `after` is 0 or 1.
    fn entry(&self, slot: usize, after: usize) -> &Entry {
        let leaf = self.leaves[slot >> self.leaf_shift].get();
        assert!(!leaf.is_null() && after <= 1, "an arena that is not in the map");
        // SAFETY:
        // 1. not null: `leaf_mask + 2` entries that live as long as `self`;
        // 2. the index is at most `leaf_mask + 1`;
        // 3. entries are cells: a shared reference to one never excludes another.
        unsafe { &*leaf.add((slot & self.leaf_mask) + after) }
    }
}

impl Drop for AddressMap {
    fn drop(&mut self) {
        for leaf in &self.leaves {
            let leaf = leaf.get();
            if !leaf.is_null() {
                let entries = ptr::slice_from_raw_parts_mut(leaf, self.leaf_mask + 2);
                // SAFETY: exactly what `make_leaf` leaked, and freed only here.
                drop(unsafe { Box::from_raw(entries) });
            }
        }
    }
}

/// The address cannot be entered in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1 << 20;

    fn map() -> AddressMap {
        AddressMap::new(&crate::preset("cpython-3.10").expect("preset").geometry)
    }

    fn at(address: usize) -> NonNull<u8> {
        NonNull::new(ptr::without_provenance_mut(address)).expect("not null")
    }

    fn bounds_are_found(map: &AddressMap, base: usize) {
        let found = map.find(base).expect("an arena");
        assert_eq!(found.base, at(base));
        for inside in [base, base + 1, base + SIZE / 2, base + SIZE - 1] {
            assert_eq!(map.arena_of(inside), Some(at(base)), "{inside:#x}");
            assert_eq!(map.find(inside), Some(found), "{inside:#x}");
            // SAFETY: it lies in the arena at `base`.
            assert_eq!(unsafe { map.arena_of_ours(inside) }, at(base), "{inside:#x}");
        }
    }

    #[test]
    fn aligned_and_unaligned_arenas_are_found_at_their_bounds() {
        let leaf = SIZE << 14;
        for base in [
            SIZE,
            SIZE + 4096,
            2 * SIZE - 1,
            leaf - SIZE,
            leaf - SIZE + 16,
            leaf,
            leaf + 4096,
            (1 << 48) - SIZE,
        ] {
            let map = map();
            map.insert(at(base), ArenaId::new(7), 3).expect("room");
            bounds_are_found(&map, base);
            assert!(map.is_surely_ours(base + SIZE / 8), "{base:#x}");
            let found = map.find(base).map(|found| (found.id, found.index));
            assert_eq!(found, Some((ArenaId::new(7), 3)));
            assert_eq!(map.arena_of(base - 1), None);
            assert_eq!(map.arena_of(base + SIZE), None);
            map.remove(at(base));
            assert_eq!(map.arena_of(base), None);
            assert_eq!(map.arena_of(base + SIZE - 1), None);
            assert!(!map.is_surely_ours(base + SIZE / 8));
            map.insert(at(base), ArenaId::new(8), 4).expect("free again");
            let found = map.find(base).map(|found| (found.id, found.index));
            assert_eq!(found, Some((ArenaId::new(8), 4)));
        }
    }

    #[test]
    fn neighbours_share_slots() {
        let map = map();
        let first = (SIZE << 14) - 2 * SIZE + 4096;
        for n in 0..4_u32 {
            map.insert(at(first + n as usize * SIZE), ArenaId::new(n.into()), n).expect("room");
        }
        for n in 0..4_u32 {
            bounds_are_found(&map, first + n as usize * SIZE);
            assert_eq!(map.find(first + n as usize * SIZE).map(|found| found.index), Some(n));
        }
        map.remove(at(first + SIZE));
        assert_eq!(map.arena_of(first + SIZE), None);
        bounds_are_found(&map, first);
        bounds_are_found(&map, first + 2 * SIZE);
    }

    #[test]
    fn addresses_from_elsewhere_are_nobodys() {
        let map = map();
        map.insert(at(SIZE), ArenaId::new(0), 0).expect("room");
        for address in [0, 1, 16, SIZE - 1, 2 * SIZE, 1 << 47, 1 << 48, 1 << 62, usize::MAX] {
            assert_eq!(map.arena_of(address), None, "{address:#x}");
            assert_eq!(map.find(address), None, "{address:#x}");
            assert!(!map.is_surely_ours(address), "{address:#x}");
        }
    }

    #[test]
    fn impossible_arenas_are_refused() {
        let map = map();
        for base in [16, SIZE - 1, (1 << 48) - SIZE + 1, 1 << 48, usize::MAX - 15] {
            assert_eq!(map.insert(at(base), ArenaId::new(0), 0), Err(Refused), "{base:#x}");
        }
        map.insert(at(5 * SIZE + 16), ArenaId::new(0), 0).expect("room");
        assert_eq!(map.insert(at(5 * SIZE), ArenaId::new(1), 1), Err(Refused));
    }
}
