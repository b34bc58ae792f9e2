//! Runs one sequence of requests through the allocator and the model, and compares every answer.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::rc::Rc;

use pool::{ArenaEvent, Fallback, Geometry, Pool, Refusal, Replay};

use crate::model::{Event, Model};

type Bases = Box<dyn FnMut() -> Option<u64>>;

struct Block {
    pointer: NonNull<u8>,
    /// The model's address; `None` for a block of the fallback.
    address: Option<u64>,
    size: usize,
    pattern: u8,
}

pub(crate) struct Driver<F: Fallback> {
    pub(crate) pool: Pool<Replay<Bases>, F>,
    pub(crate) model: Model,
    blocks: Vec<Block>,
    /// Whether each byte of a block is written and compared, or only those at its ends.
    every_byte: bool,
    patterns: u8,
    pub(crate) operations: u64,
    /// Small requests that were not served by a pool.
    pub(crate) refused: u64,
    /// Arenas that went back to the source.
    pub(crate) released: u64,
}

impl<F: Fallback> Driver<F> {
    pub(crate) fn new(geometry: Geometry, fallback: F, bases: &[Option<u64>], every_byte: bool) -> Self {
        let answers = Rc::new(RefCell::new(bases.iter().copied().collect::<VecDeque<_>>()));
        let next: Bases = Box::new(move || answers.borrow_mut().pop_front().flatten());
        Self {
            pool: Pool::with_parts(geometry, Replay::new(&geometry, next), fallback),
            model: Model::new(&geometry, bases.iter().copied()),
            blocks: Vec::new(),
            every_byte,
            patterns: 0,
            operations: 0,
            refused: 0,
            released: 0,
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn malloc(&mut self, size: usize) {
        let pointer = self.pool.malloc(size).expect("the fallback never fails here");
        let address = self.model.malloc(size as u64);
        self.take_in(pointer, address, size);
    }

    pub(crate) fn calloc(&mut self, count: usize, size: usize) {
        let pointer = self.pool.calloc(count, size).expect("the fallback never fails here");
        let address = self.model.malloc((count * size) as u64);
        if F::BACKED || address.is_some() {
            // SAFETY: a live block of this size, all of which calloc has written.
            let bytes = unsafe { std::slice::from_raw_parts(pointer.as_ptr(), count * size) };
            assert!(bytes.iter().all(|&byte| byte == 0));
        }
        self.take_in(pointer, address, count * size);
    }

    pub(crate) fn realloc(&mut self, pick: usize, size: usize) {
        let Some(at) = pick.checked_rem(self.blocks.len()) else {
            return;
        };
        let old = self.blocks.swap_remove(at);
        self.check_contents(&old, old.size);
        // SAFETY: a live block, which is not in the list any more.
        let pointer = unsafe { self.pool.realloc(Some(old.pointer), size) };
        let pointer = pointer.expect("the fallback never fails here");
        let address = match old.address {
            // A block of the fallback stays with it.
            None => None,
            Some(address) if self.model.stays(address, size as u64) => Some(address),
            Some(address) => {
                let new = self.model.malloc(size as u64);
                self.model.free(address);
                new
            }
        };
        let moved_to_memory = F::BACKED || (old.address.is_some() && address.is_some());
        if moved_to_memory {
            let kept = old.size.min(size);
            self.check_contents(&Block { pointer, address, ..old }, kept);
        }
        self.take_in(pointer, address, size);
        // A block the fallback keeps is small too, but was not refused.
        if old.address.is_none() && self.is_small(size) {
            self.refused -= 1;
        }
    }

    pub(crate) fn free(&mut self, pick: usize) {
        let Some(at) = pick.checked_rem(self.blocks.len()) else {
            return;
        };
        let block = self.blocks.swap_remove(at);
        self.check_contents(&block, block.size);
        // SAFETY: a live block, which is not in the list any more.
        unsafe { self.pool.free(Some(block.pointer)) };
        if let Some(address) = block.address {
            self.model.free(address);
        }
        self.operations += 1;
        self.compare_events();
    }

    pub(crate) fn free_all(&mut self) {
        while !self.blocks.is_empty() {
            self.free(self.operations as usize);
        }
    }

    fn is_small(&self, size: usize) -> bool {
        self.pool.class_of(size).is_some()
    }

    fn take_in(&mut self, pointer: NonNull<u8>, address: Option<u64>, size: usize) {
        let place = self.pool.locate(pointer.as_ptr());
        let ours = place.and_then(|place| self.pool.source().recorded_address(place));
        assert_eq!(ours, address, "request {} of {size} bytes", self.operations);
        if address.is_none() && self.is_small(size) {
            self.refused += 1;
        }
        self.patterns = self.patterns.wrapping_add(1);
        let block = Block { pointer, address, size, pattern: self.patterns };
        if F::BACKED || address.is_some() {
            for at in self.checked_bytes(size) {
                // SAFETY: `at` is below the size of a live block.
                unsafe { pointer.add(at).write(block.pattern.wrapping_add(at as u8)) };
            }
        }
        self.blocks.push(block);
        self.operations += 1;
        self.compare_events();
    }

    /// Offsets of the bytes that are written and compared.
    fn checked_bytes(&self, size: usize) -> impl Iterator<Item = usize> + use<F> {
        let ends = if self.every_byte { size } else { 8 };
        (0..size.min(ends)).chain(size.saturating_sub(ends).max(size.min(ends))..size)
    }

    fn check_contents(&self, block: &Block, size: usize) {
        if !F::BACKED && block.address.is_none() {
            return;
        }
        for at in self.checked_bytes(block.size).filter(|&at| at < size) {
            // SAFETY: `at` is below the size of a live block, and was written in `take_in`.
            let byte = unsafe { block.pointer.add(at).read() };
            assert_eq!(byte, block.pattern.wrapping_add(at as u8), "byte {at} of {size}");
        }
    }

    /// Arenas come and go in the same order, during the same requests.
    fn compare_events(&mut self) {
        while let Some(event) = self.pool.source().next_event() {
            let same = match event {
                ArenaEvent::Acquired { arena, recorded } => {
                    Event::Acquired { arena: arena.ordinal(), base: recorded }
                }
                ArenaEvent::Released { arena, recorded } => {
                    Event::Released { arena: arena.ordinal(), base: recorded }
                }
                ArenaEvent::Refused(Refusal::Recorded) => Event::Refused,
                ArenaEvent::Refused(other) => panic!("{other:?}"),
            };
            assert!(!self.model.events.is_empty(), "the model does not have {same:?}");
            assert_eq!(self.model.events.remove(0), same);
            self.released += u64::from(matches!(same, Event::Released { .. }));
        }
        assert_eq!(self.model.events, []);
    }

    /// Compares the totals too.
    pub(crate) fn compare_statistics(&self) {
        let stats = self.pool.stats();
        assert!(stats.is_consistent(), "{stats:?}");
        assert_eq!(stats.arenas.unused_pools, self.model.unused_pools());
        let ours = stats.classes.iter().filter(|class| class.pools > 0);
        let ours: Vec<_> = ours.map(|c| (c.class as u64, (c.blocks_in_use, c.pools))).collect();
        assert_eq!(ours, self.model.in_use().into_iter().collect::<Vec<_>>());
    }
}
