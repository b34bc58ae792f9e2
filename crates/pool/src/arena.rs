//! Arenas: the objects that describe them, the order in which they are used, and the pools that
//! they give out and take back.
//!
//! The next pool always comes from the arena with the *fewest* free pools, so that the others may
//! run empty and be returned. Arenas with free pools are therefore kept in a list ordered by that
//! number. One pool more or less moves an arena by one group of equals only; with a table of the
//! last arena of each group the move takes constant time (Raymond Hettinger's and Tim Peters's
//! idea, CPython 3.8; the resulting order is that of the linear search before it).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ptr::{self, NonNull};

use crate::geometry::{EmptyArenas, Geometry};
use crate::header::{Header, Status};

/// Which arena: the number of arenas that the same [`Pool`](crate::Pool) had acquired before it.
///
/// Numbers begin at 0 and are never used again. An arena that the pool had to refuse has
/// consumed one, so that a source may count along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct ArenaId(u64);

impl ArenaId {
    /// The id of the arena acquired after `ordinal` others.
    #[must_use]
    pub const fn new(ordinal: u64) -> Self {
        Self(ordinal)
    }

    /// How many arenas were acquired before it.
    #[must_use]
    pub const fn ordinal(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ArenaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arena {}", self.0)
    }
}

const NONE: u32 = u32::MAX;

/// One arena, or a vacant slot for one if it has no base.
pub(crate) struct Arena {
    pub(crate) base: Option<NonNull<u8>>,
    pub(crate) id: ArenaId,
    /// Offset of the first pool.
    pub(crate) first: usize,
    /// Pools that can be had from the arena at all.
    pub(crate) total: u32,
    /// Those that were handed out at least once; the rest of the arena was never touched.
    pub(crate) carved: u32,
    /// Pools without live blocks, carved or not.
    pub(crate) free: u32,
    /// Pools that were given back, last in, first out.
    returned: *mut Header,
    next: u32,
    previous: u32,
}

impl Arena {
    const VACANT: Self = Self {
        base: None,
        id: ArenaId(0),
        first: 0,
        total: 0,
        carved: 0,
        free: 0,
        returned: ptr::null_mut(),
        next: NONE,
        previous: NONE,
    };

    /// The header of the pool of this number, which has been carved.
    pub(crate) fn header(&self, pool: u32, pool_size: usize) -> Option<NonNull<Header>> {
        let base = self.base.filter(|_| pool < self.carved)?;
        // SAFETY: `pool < carved <= total`, and `first + total * pool_size` is at most the size of
        // the arena, all of which belongs to `base`.
        let start = unsafe { base.add(self.first + pool as usize * pool_size) };
        Some(start.cast())
    }
}

/// All arenas of a [`Pool`](crate::Pool).
pub(crate) struct Arenas {
    slots: Vec<Arena>,
    /// Vacant slots, last in, first out.
    vacant: Vec<u32>,
    /// Head of the usable list: arenas with free pools, fewest first.
    head: u32,
    /// By number of free pools, the last arena of the usable list that has so many.
    last: Box<[u32]>,
    pool_size: usize,
    arena_size: usize,
    policy: EmptyArenas,
    /// Arenas ever acquired, including those refused.
    pub(crate) acquired: u64,
    /// Arenas ever put to use, those in use, and the most that ever were at a time.
    pub(crate) allocated: u64,
    pub(crate) current: u64,
    pub(crate) highwater: u64,
}

impl Arenas {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            head: NONE,
            last: vec![NONE; geometry.pools_per_arena() + 1].into_boxed_slice(),
            pool_size: geometry.pool_size(),
            arena_size: geometry.arena_size(),
            policy: geometry.empty_arenas(),
            acquired: 0,
            allocated: 0,
            current: 0,
            highwater: 0,
        }
    }

    /// The arena in this slot.
    pub(crate) fn get(&self, slot: u32) -> Option<&Arena> {
        self.slots.get(slot as usize).filter(|arena| arena.base.is_some())
    }

    /// All arenas with their slots, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Arena)> {
        (0_u32..).zip(&self.slots).filter(|(_, arena)| arena.base.is_some())
    }

    /// Whether there is a slot for another arena.
    pub(crate) fn has_room(&self) -> bool {
        !self.vacant.is_empty() || self.slots.len() < NONE as usize
    }

    /// The slot that the next arena will get, if there [is one](Self::has_room).
    #[allow(clippy::cast_possible_truncation, reason = "there are less than 2^32 slots")]
    pub(crate) fn next_slot(&self) -> u32 {
        self.vacant.last().copied().unwrap_or(self.slots.len() as u32)
    }

    /// Takes in an arena, in the slot that [`next_slot`](Self::next_slot) tells.
    #[allow(clippy::cast_possible_truncation, reason = "an arena has at most 2^16 pools")]
    pub(crate) fn add(&mut self, base: NonNull<u8>, id: ArenaId) {
        let slot = self.next_slot();
        if self.vacant.pop().is_none() {
            self.slots.push(Arena::VACANT);
        }
        let first = base.addr().get().wrapping_neg() % self.pool_size;
        let total = ((self.arena_size - first) / self.pool_size) as u32;
        self.slots[slot as usize] =
            Arena { base: Some(base), id, first, total, free: total, ..Arena::VACANT };
        self.allocated += 1;
        self.current += 1;
        self.highwater = self.highwater.max(self.current);
        // An arena is asked for when none is usable. If one has become so meanwhile (a source
        // that calls back), the order still holds: behind all those with at most as many.
        let after = (1..=total).rev().map(|k| self.last[k as usize]).find(|&slot| slot != NONE);
        self.link(slot, after.unwrap_or(NONE));
        self.last[total as usize] = slot;
    }

    /// A pool of the first usable arena, its last returned one or else its first untouched one.
    /// `None` if no arena is usable.
    pub(crate) fn take_pool(&mut self) -> Option<NonNull<Header>> {
        let slot = self.head;
        let pool_size = self.pool_size;
        let arena = self.slots.get_mut(slot as usize)?;
        let pool = if let Some(pool) = NonNull::new(arena.returned) {
            // SAFETY: a returned pool of a live arena has a header, and no reference to it exists.
            arena.returned = unsafe { (*pool.as_ptr()).next };
            pool
        } else {
            arena.carved += 1;
            let pool = arena.header(arena.carved - 1, pool_size)?;
            // SAFETY: the pool lies inside the arena and is aligned to the pool size; nobody has
            // used it yet, and its first 48 bytes are for its header.
            unsafe { pool.write(Header::fresh(slot)) };
            pool
        };
        let free = arena.free as usize;
        arena.free -= 1;
        // The first of the list is the last of its group only if it is alone in it; afterwards it
        // is alone with one less, or full and off the list.
        if self.last[free] == slot {
            self.last[free] = NONE;
        }
        if free == 1 {
            self.unlink(slot);
        } else {
            self.last[free - 1] = slot;
        }
        Some(pool)
    }

    /// Whether a pool that was given back now would be the next one to be taken, and all would then be as before: its
    /// arena stays, and is the first of the usable list afterwards.
    ///
    /// # Safety
    ///
    /// As for [`give_back`](Self::give_back).
    pub(crate) unsafe fn returns_first(&self, pool: NonNull<Header>) -> bool {
        // SAFETY: by contract the header is there and ours.
        let slot = unsafe { (*pool.as_ptr()).arena };
        let arena = &self.slots[slot as usize];
        // One that was full goes to the front of the list. Another one has to be there, and stays before those that
        // have had more free pools than it, but not before its equals.
        arena.free == 0
            || (self.head == slot
                && self.last[arena.free as usize] == slot
                && !(arena.free + 1 == arena.total && self.returns_empty(arena.next)))
    }

    /// Whether an arena without live pools goes back to its source: by its successor in the usable list.
    fn returns_empty(&self, next: u32) -> bool {
        match self.policy {
            EmptyArenas::Return => true,
            EmptyArenas::KeepLast => next != NONE,
            EmptyArenas::Keep => false,
        }
    }

    /// Takes back a pool without live blocks. If its arena is to go back to its source, returns
    /// the arena's base; the arena is forgotten already.
    ///
    /// # Safety
    ///
    /// The pool was handed out by `self` and is on no list; nobody else uses its header.
    pub(crate) unsafe fn give_back(&mut self, pool: NonNull<Header>) -> Option<NonNull<u8>> {
        // SAFETY: by contract the header is there and ours.
        let slot = unsafe {
            let header = pool.as_ptr();
            let arena = &mut self.slots[(*header).arena as usize];
            (*header).status = Status::Unused;
            (*header).next = arena.returned;
            arena.returned = header;
            (*header).arena
        };
        let arena = &mut self.slots[slot as usize];
        arena.free += 1;
        let (free, total, next, previous) = (arena.free, arena.total, arena.next, arena.previous);
        if free == 1 {
            // It was full, so on no list: now it has the fewest.
            self.link(slot, NONE);
            if self.last[1] == NONE {
                self.last[1] = slot;
            }
            return None;
        }
        // Out of its old group.
        let old = free as usize - 1;
        let last_of_old = self.last[old];
        if last_of_old == slot {
            let before = self.slots.get(previous as usize).map_or(0, |arena| arena.free);
            self.last[old] = if before as usize == old { previous } else { NONE };
        }
        if free == total && self.returns_empty(next) {
            self.unlink(slot);
            self.current -= 1;
            self.vacant.push(slot);
            let gone = core::mem::replace(&mut self.slots[slot as usize], Arena::VACANT);
            return gone.base;
        }
        // Behind the last of the old group, which is in front of its new equals.
        if last_of_old != slot {
            self.unlink(slot);
            self.link(slot, last_of_old);
        }
        if self.last[free as usize] == NONE {
            self.last[free as usize] = slot;
        }
        None
    }

    /// Forgets all arenas and returns their bases with their ids.
    pub(crate) fn clear(&mut self) -> Vec<(ArenaId, NonNull<u8>)> {
        self.head = NONE;
        self.current = 0;
        self.vacant.clear();
        self.last.fill(NONE);
        self.slots.drain(..).filter_map(|arena| Some((arena.id, arena.base?))).collect()
    }

    /// Puts `slot` behind `after` in the usable list, or first if that is `NONE`.
    fn link(&mut self, slot: u32, after: u32) {
        let next = match self.slots.get_mut(after as usize) {
            Some(before) => core::mem::replace(&mut before.next, slot),
            None => core::mem::replace(&mut self.head, slot),
        };
        if let Some(behind) = self.slots.get_mut(next as usize) {
            behind.previous = slot;
        }
        let arena = &mut self.slots[slot as usize];
        (arena.next, arena.previous) = (next, after);
    }

    fn unlink(&mut self, slot: u32) {
        let arena = &mut self.slots[slot as usize];
        let next = core::mem::replace(&mut arena.next, NONE);
        let previous = core::mem::replace(&mut arena.previous, NONE);
        match self.slots.get_mut(previous as usize) {
            Some(before) => before.next = next,
            None => self.head = next,
        }
        if let Some(behind) = self.slots.get_mut(next as usize) {
            behind.previous = previous;
        }
    }

    /// Ids and free pools of the usable list in order; checks the table of last ones on the way.
    #[cfg(test)]
    pub(crate) fn usable(&self) -> Vec<(u64, u32)> {
        let mut list = Vec::new();
        let (mut slot, mut previous) = (self.head, NONE);
        let mut last = vec![NONE; self.last.len()];
        while let Some(arena) = self.slots.get(slot as usize) {
            assert_eq!(arena.previous, previous);
            last[arena.free as usize] = slot;
            list.push((arena.id.0, arena.free));
            (previous, slot) = (slot, arena.next);
        }
        assert!(list.is_sorted_by_key(|&(_, free)| free), "{list:?}");
        assert_eq!(last, &*self.last);
        list
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const POOL: usize = 1024;

    /// Real memory for arenas of four pools, aligned to the pool size or not.
    struct Bench {
        arenas: Arenas,
        memory: Vec<(*mut u8, core::alloc::Layout)>,
        pools: BTreeMap<u64, Vec<NonNull<Header>>>,
    }

    impl Bench {
        fn new(empty_arenas: EmptyArenas) -> Self {
            let geometry = Geometry::new(8, 64, POOL, 4 * POOL, empty_arenas).expect("valid");
            Self { arenas: Arenas::new(&geometry), memory: Vec::new(), pools: BTreeMap::new() }
        }

        fn add(&mut self, offset: usize) {
            let layout = core::alloc::Layout::from_size_align(5 * POOL, POOL).expect("layout");
            // SAFETY: the layout is not empty.
            let start = unsafe { std::alloc::alloc(layout) };
            self.memory.push((start, layout));
            // SAFETY: the allocation has one pool to spare, and `offset` is below a pool.
            let base = NonNull::new(unsafe { start.add(offset) }).expect("memory");
            let id = ArenaId(self.arenas.acquired);
            self.arenas.acquired += 1;
            self.arenas.add(base, id);
        }

        /// Takes a pool and tells which arena it is from.
        fn take(&mut self) -> u64 {
            let pool = self.arenas.take_pool().expect("an arena is usable");
            // SAFETY: a pool that was just taken has a header.
            let slot = unsafe { (*pool.as_ptr()).arena };
            let id = self.arenas.get(slot).expect("live").id.0;
            self.pools.entry(id).or_default().push(pool);
            id
        }

        /// Gives a pool of that arena back; whether the arena went with it.
        fn give(&mut self, id: u64) -> bool {
            let pool = self.pools.get_mut(&id).and_then(Vec::pop).expect("one is out");
            // SAFETY: taken, and given back once.
            unsafe { self.arenas.give_back(pool) }.is_some()
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            for (start, layout) in self.memory.drain(..) {
                // SAFETY: allocated with this layout in `add`.
                unsafe { std::alloc::dealloc(start, layout) };
            }
        }
    }

    /// Three full arenas of four pools each.
    fn three(policy: EmptyArenas) -> Bench {
        let mut bench = Bench::new(policy);
        for arena in 0..3 {
            bench.add(0);
            for _ in 0..4 {
                assert_eq!(bench.take(), arena);
            }
        }
        assert!(bench.arenas.usable().is_empty());
        bench
    }

    #[test]
    fn the_grown_arena_stops_before_its_equals() {
        let mut bench = three(EmptyArenas::Keep);
        for id in [0, 1, 2, 1, 2, 1, 2] {
            bench.give(id);
        }
        let order = bench.arenas.usable();
        assert_eq!(order.iter().map(|&(_, free)| free).collect::<Vec<_>>(), [1, 3, 3]);
        bench.give(0);
        bench.give(0);
        let mut expected = order;
        expected[0].1 = 3;
        assert_eq!(bench.arenas.usable(), expected);
    }

    #[test]
    fn moves_go_behind_the_group_that_is_left() {
        let mut bench = three(EmptyArenas::Keep);
        for id in [0, 1, 2] {
            bench.give(id);
        }
        // Each newcomer goes to the head.
        assert_eq!(bench.arenas.usable(), [(2, 1), (1, 1), (0, 1)]);
        bench.give(2);
        assert_eq!(bench.arenas.usable(), [(1, 1), (0, 1), (2, 2)]);
        bench.give(1);
        assert_eq!(bench.arenas.usable(), [(0, 1), (1, 2), (2, 2)]);
        assert_eq!(bench.take(), 0);
        assert_eq!(bench.arenas.usable(), [(1, 2), (2, 2)]);
        assert_eq!(bench.take(), 1);
        assert_eq!(bench.arenas.usable(), [(1, 1), (2, 2)]);
    }

    #[test]
    fn keep_last_returns_all_but_the_last() {
        let mut bench = three(EmptyArenas::KeepLast);
        for id in [0, 1, 0, 1, 0, 1] {
            assert!(!bench.give(id));
        }
        assert_eq!(bench.arenas.usable(), [(1, 3), (0, 3)]);
        // Arena 0 is the last one: it stays. Arena 1 is not, and goes.
        assert!(!bench.give(0));
        assert_eq!(bench.arenas.usable(), [(1, 3), (0, 4)]);
        assert!(bench.give(1));
        assert_eq!(bench.arenas.usable(), [(0, 4)]);
        assert_eq!((bench.arenas.allocated, bench.arenas.current, bench.arenas.highwater), (3, 2, 3));
    }

    #[test]
    fn keep_last_asks_for_the_place_before_the_move() {
        let mut bench = three(EmptyArenas::KeepLast);
        for id in [0, 1, 0, 1, 0] {
            assert!(!bench.give(id));
        }
        // Arena 1 has fewer and stands first; its last pools come back while 0 is behind it.
        assert_eq!(bench.arenas.usable(), [(1, 2), (0, 3)]);
        bench.give(1);
        assert_eq!(bench.arenas.usable(), [(1, 3), (0, 3)]);
        assert!(bench.give(1));
        assert_eq!(bench.arenas.usable(), [(0, 3)]);
    }

    #[test]
    fn return_and_keep() {
        let mut bench = three(EmptyArenas::Return);
        assert_eq!([0; 4].map(|id| bench.give(id)), [false, false, false, true]);
        assert!(bench.arenas.usable().is_empty());
        let mut bench = three(EmptyArenas::Keep);
        for id in [2, 1, 0] {
            assert_eq!([id; 4].map(|id| bench.give(id)), [false; 4]);
        }
        assert_eq!(bench.arenas.usable(), [(0, 4), (1, 4), (2, 4)]);
    }

    #[test]
    fn an_unaligned_base_costs_a_pool() {
        let mut bench = Bench::new(EmptyArenas::Return);
        bench.add(64);
        assert_eq!(bench.arenas.usable(), [(0, 3)]);
        let addresses: Vec<usize> = (0..3)
            .map(|_| {
                bench.take();
                bench.pools[&0].last().expect("taken").addr().get()
            })
            .collect();
        let first = bench.memory[0].0.addr() + POOL;
        assert_eq!(addresses, [first, first + POOL, first + 2 * POOL]);
        assert!(bench.arenas.take_pool().is_none());
        assert_eq!([0; 3].map(|id| bench.give(id)), [false, false, true]);
    }

    #[test]
    fn returned_pools_come_last_in_first_out_before_untouched_ones() {
        let mut bench = Bench::new(EmptyArenas::Keep);
        bench.add(0);
        for _ in 0..3 {
            bench.take();
        }
        let pools = bench.pools[&0].clone();
        for _ in 0..3 {
            bench.give(0);
        }
        for _ in 0..4 {
            bench.take();
        }
        assert_eq!(bench.pools[&0][..3], pools);
        assert_eq!(bench.pools[&0][3].addr().get(), pools[2].addr().get() + POOL);
    }

    #[test]
    fn vacant_slots_are_used_again_but_ids_are_not() {
        let mut bench = three(EmptyArenas::Return);
        for _ in 0..4 {
            bench.give(1);
        }
        bench.add(0);
        assert_eq!(bench.arenas.get(1).expect("reused").id, ArenaId::new(3));
        assert_eq!(bench.arenas.clear().len(), 3);
        assert!(bench.arenas.usable().is_empty());
    }
}
