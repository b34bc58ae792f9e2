//! CPython's rules, as plainly as they can be written: integers for addresses, vectors for lists,
//! linear searches. Slow, and nothing else than the rules.

use std::collections::{BTreeMap, VecDeque};

use pool::{EmptyArenas, Geometry};

/// What the model asks for and gives back, to be compared with the allocator's doings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Acquired { arena: u64, base: u64 },
    Refused,
    Released { arena: u64, base: u64 },
}

struct Arena {
    base: u64,
    /// Pools that were given back, the last one at the end.
    returned: Vec<u64>,
    /// Address of the next pool that was never used.
    next: u64,
    free: u64,
    total: u64,
}

struct Pool {
    arena: u64,
    class: u64,
    count: u64,
    /// Free blocks, the next one at the end.
    free: Vec<u64>,
    next_offset: u64,
}

pub(crate) struct Model {
    alignment: u64,
    limit: u64,
    pool_size: u64,
    arena_size: u64,
    header: u64,
    policy: EmptyArenas,
    /// What the operating system answers to each request for an arena.
    bases: VecDeque<Option<u64>>,
    arenas: BTreeMap<u64, Arena>,
    /// Arenas with free pools, fewest first.
    usable: Vec<u64>,
    /// By class, pools with live and available blocks, the front one first.
    used: BTreeMap<u64, Vec<u64>>,
    pools: BTreeMap<u64, Pool>,
    acquired: u64,
    pub(crate) events: Vec<Event>,
}

impl Model {
    pub(crate) fn new(geometry: &Geometry, bases: impl IntoIterator<Item = Option<u64>>) -> Self {
        let alignment = geometry.alignment() as u64;
        Self {
            alignment,
            limit: geometry.small_limit() as u64,
            pool_size: geometry.pool_size() as u64,
            arena_size: geometry.arena_size() as u64,
            header: 48_u64.div_ceil(alignment) * alignment,
            policy: geometry.empty_arenas(),
            bases: bases.into_iter().collect(),
            arenas: BTreeMap::new(),
            usable: Vec::new(),
            used: BTreeMap::new(),
            pools: BTreeMap::new(),
            acquired: 0,
            events: Vec::new(),
        }
    }

    /// The address of a new block; `None` if it is not the pools' business.
    pub(crate) fn malloc(&mut self, size: u64) -> Option<u64> {
        if size == 0 || size > self.limit {
            return None;
        }
        let class = (size - 1) / self.alignment;
        let block = (class + 1) * self.alignment;
        let last_start = self.pool_size - block;
        if let Some(&front) = self.used.entry(class).or_default().first() {
            let pool = self.pools.get_mut(&front).unwrap();
            pool.count += 1;
            let address = pool.free.pop().unwrap();
            if pool.free.is_empty() {
                if pool.next_offset <= last_start {
                    pool.free.push(front + pool.next_offset);
                    pool.next_offset += block;
                } else {
                    self.used.get_mut(&class).unwrap().remove(0);
                }
            }
            return Some(address);
        }
        if self.usable.is_empty() {
            self.new_arena()?;
        }
        let arena_number = self.usable[0];
        let arena = self.arenas.get_mut(&arena_number).unwrap();
        let address = arena.returned.pop().unwrap_or_else(|| {
            let fresh = arena.next;
            arena.next += self.pool_size;
            self.pools.insert(
                fresh,
                Pool { arena: arena_number, class: u64::MAX, count: 0, free: Vec::new(), next_offset: 0 },
            );
            fresh
        });
        arena.free -= 1;
        if arena.free == 0 {
            self.usable.remove(0);
        }
        self.used.insert(class, vec![address]);
        let pool = self.pools.get_mut(&address).unwrap();
        pool.count = 1;
        if pool.class == class {
            return pool.free.pop();
        }
        pool.class = class;
        pool.free = vec![address + self.header + block];
        pool.next_offset = self.header + 2 * block;
        if address + self.header + block > address + last_start {
            unreachable!("two blocks fit any pool");
        }
        Some(address + self.header)
    }

    fn new_arena(&mut self) -> Option<()> {
        let Some(base) = self.bases.pop_front().flatten() else {
            self.events.push(Event::Refused);
            return None;
        };
        let number = self.acquired;
        self.acquired += 1;
        self.events.push(Event::Acquired { arena: number, base });
        let mut total = self.arena_size / self.pool_size;
        let mut next = base;
        if !base.is_multiple_of(self.pool_size) {
            total -= 1;
            next = base.next_multiple_of(self.pool_size);
        }
        let arena = Arena { base, returned: Vec::new(), next, free: total, total };
        self.arenas.insert(number, arena);
        self.usable = vec![number];
        Some(())
    }

    /// Frees a block that [`malloc`](Self::malloc) returned.
    pub(crate) fn free(&mut self, block: u64) {
        let address = block / self.pool_size * self.pool_size;
        let pool = self.pools.get_mut(&address).unwrap();
        let was_full = pool.free.is_empty();
        pool.free.push(block);
        pool.count -= 1;
        let list = self.used.get_mut(&pool.class).unwrap();
        if was_full {
            list.insert(0, address);
            return;
        }
        if pool.count > 0 {
            return;
        }
        list.retain(|&other| other != address);
        let number = pool.arena;
        let arena = self.arenas.get_mut(&number).unwrap();
        arena.returned.push(address);
        arena.free += 1;
        let free = arena.free;
        let goes = match self.policy {
            EmptyArenas::Return => true,
            EmptyArenas::KeepLast => self.usable.last() != Some(&number),
            EmptyArenas::Keep => false,
        };
        if free == arena.total && goes {
            self.usable.retain(|&other| other != number);
            let arena = self.arenas.remove(&number).unwrap();
            self.pools.retain(|_, pool| pool.arena != number);
            self.events.push(Event::Released { arena: number, base: arena.base });
            return;
        }
        if free == 1 {
            self.usable.insert(0, number);
            return;
        }
        let mut at = self.usable.iter().position(|&other| other == number).unwrap();
        while at + 1 < self.usable.len() && self.arenas[&self.usable[at + 1]].free < free {
            self.usable.swap(at, at + 1);
            at += 1;
        }
    }

    /// Size of the block at this address.
    pub(crate) fn block_size(&self, block: u64) -> u64 {
        let pool = &self.pools[&(block / self.pool_size * self.pool_size)];
        (pool.class + 1) * self.alignment
    }

    /// Whether a block of a pool stays where it is when it gets this size.
    pub(crate) fn stays(&self, block: u64, size: u64) -> bool {
        let old = self.block_size(block);
        size <= old && 4 * size > 3 * old
    }

    /// By class, live blocks and the pools they are in; classes without are left out.
    pub(crate) fn in_use(&self) -> BTreeMap<u64, (u64, u64)> {
        let mut classes = BTreeMap::new();
        for pool in self.pools.values().filter(|pool| pool.count > 0) {
            let (blocks, pools) = classes.entry(pool.class).or_insert((0, 0));
            *blocks += pool.count;
            *pools += 1;
        }
        classes
    }

    pub(crate) fn unused_pools(&self) -> u64 {
        self.arenas.values().map(|arena| arena.free).sum()
    }
}
