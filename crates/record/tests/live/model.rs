//! A memory manager that only knows which blocks live: what every recording must agree with.

use std::collections::{HashMap, HashSet};

use record::Event;

/// Counts of what was seen.
#[derive(Debug, Default)]
pub(crate) struct Model {
    blocks: HashMap<u64, u64>,
    arenas: HashMap<u64, u64>,
    /// The block that an arena still held when it was given back: it is being moved by the resize that follows.
    moving: Option<u64>,
    pub allocated: u64,
    pub released: u64,
    pub resized: u64,
    pub arenas_acquired: u64,
    pub marks: Vec<u16>,
    /// Sizes of allocations, for tests that look for one of theirs.
    pub sizes: HashSet<u64>,
}

/// Plays a recording from the empty memory on; fails at the first event that cannot be.
pub(crate) fn play(events: &[Event]) -> Model {
    let mut model = Model::default();
    for (at, event) in events.iter().enumerate() {
        model.step(*event).unwrap_or_else(|why| panic!("event {at}, {event:x?}: {why}"));
    }
    model
}

impl Model {
    fn step(&mut self, event: Event) -> Result<(), &'static str> {
        if !matches!(event, Event::ArenaAcquired { .. } | Event::ArenaReleased { .. })
            && let Some(moving) = self.moving.take()
            && !matches!(event, Event::Resize { old, .. } if old == moving)
        {
            return Err("an arena was released before it, with a block in it that is not moved");
        }
        match event {
            Event::Allocate { address, size, .. } => {
                self.allocated += 1;
                self.sizes.insert(size);
                self.begin(address, size)
            }
            Event::Resize { old, new, size, .. } => {
                self.resized += 1;
                if !self.blocks.contains_key(&old) {
                    return Err("the old block is not alive");
                }
                if new != 0 {
                    self.blocks.remove(&old);
                    self.begin(new, size)?;
                }
                Ok(())
            }
            Event::Release { address, .. } => {
                self.released += 1;
                self.blocks.remove(&address).map(drop).ok_or("the block is not alive")
            }
            Event::Forked { .. } | Event::Object(_) => Ok(()),
            Event::ArenaAcquired { base, size } => {
                self.arenas_acquired += 1;
                if ![256 << 10, 1 << 20, 2 << 20].contains(&size) {
                    return Err("not the size of an arena");
                }
                let overlaps = |(other, length): (&u64, &u64)| base < other + length && *other < base + size;
                if base != 0 && self.arenas.iter().any(overlaps) {
                    return Err("overlaps another arena");
                }
                self.arenas.insert(base, size);
                Ok(())
            }
            Event::ArenaReleased { base, size } => {
                if self.arenas.remove(&base) != Some(size) {
                    return Err("no such arena");
                }
                let mut inside = self.blocks.keys().filter(|block| (base..base + size).contains(*block));
                self.moving = self.moving.or(inside.next().copied());
                if inside.next().is_some() {
                    return Err("blocks in it are alive");
                }
                Ok(())
            }
            Event::Mark { code } => {
                self.marks.push(code);
                Ok(())
            }
        }
    }

    fn begin(&mut self, address: u64, size: u64) -> Result<(), &'static str> {
        if address == 0 {
            return Ok(());
        }
        if !address.is_multiple_of(8) {
            return Err("not aligned");
        }
        match self.blocks.insert(address, size) {
            None => Ok(()),
            Some(_) => Err("the address is in use"),
        }
    }

    /// Of the blocks of up to 512 bytes, how many lie in arenas, and how many elsewhere.
    pub(crate) fn small_blocks(&self) -> (usize, usize) {
        let in_arena =
            |address: u64| self.arenas.iter().any(|(base, size)| (*base..base + size).contains(&address));
        let small = self.blocks.iter().filter(|(_, size)| (1..=512).contains(*size));
        let (inside, outside): (Vec<_>, Vec<_>) = small.partition(|(address, _)| in_arena(**address));
        (inside.len(), outside.len())
    }
}
