//! What is written of blocks: requests for them, and where the answers lie.

use std::io::Write;

use super::Writer;
use crate::address::{ADDRESS_LIMIT, Seen};
use crate::error::Error;
use crate::event::{Answer, Block, Domain, Input};

/// What the writer has to be told again of a live block; whoever holds the addresses keeps it.
///
/// Eight bytes, and never zero inside: an `Option` of it is as small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveBlock(std::num::NonZeroU64);

/// The class of a block that lies outside the pools.
const OUTSIDE: u8 = 0x7f;

impl LiveBlock {
    fn new(block: Block, class: u8, domain: Domain) -> Self {
        let domain = u64::from(domain == Domain::Mem);
        Self(std::num::NonZeroU64::MIN | (block << 9 | domain << 8 | u64::from(class) << 1))
    }

    /// The block's number.
    #[must_use]
    pub fn block(self) -> Block {
        self.0.get() >> 9
    }

    /// The domain that it was allocated from.
    #[must_use]
    pub fn domain(self) -> Domain {
        if self.0.get() & 1 << 8 == 0 { Domain::Obj } else { Domain::Mem }
    }

    /// Whether it is known to be longer than so many bytes.
    #[inline]
    #[must_use]
    pub fn is_longer_than(self, bytes: u64) -> bool {
        let class = self.class();
        // Classes are at least eight bytes apart.
        class != OUTSIDE && u64::from(class) * 8 >= bytes
    }

    fn class(self) -> u8 {
        (self.0.get().to_le_bytes()[0]) >> 1
    }
}

impl<W: Write> Writer<W> {
    /// A request for a new block. Returns the block, unless the request failed.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn allocate(
        &mut self,
        domain: Domain,
        size: u64,
        zeroed: bool,
        answer: Answer,
    ) -> Result<Option<LiveBlock>, Error> {
        self.begin_event()?;
        let failed = answer == Answer::Failed;
        self.push(&Input::Allocate { domain, size, zeroed, failed });
        self.totals.allocates += 1;
        if failed {
            if self.allocator.serves(size) {
                self.observe(size, Seen::Foreign);
            }
            return Ok(None);
        }
        let class = match Self::seen(answer) {
            _ if !self.allocator.serves(size) => OUTSIDE,
            seen @ Seen::At(_) => self.observe(size, seen),
            seen => {
                self.observe(size, seen);
                OUTSIDE
            }
        };
        let block = self.totals.blocks;
        self.totals.blocks += 1;
        if let (Some(collections), Domain::Obj) = (&mut self.collections, domain) {
            collections.allocated();
        }
        Ok(Some(LiveBlock::new(block, class, domain)))
    }

    /// A request to change the size of `live`, which lies at `address`. Returns what it has become.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn resize(
        &mut self,
        live: LiveBlock,
        address: u64,
        domain: Domain,
        size: u64,
        answer: Answer,
    ) -> Result<LiveBlock, Error> {
        self.begin_event()?;
        let failed = answer == Answer::Failed;
        let foreign_domain = domain != live.domain();
        self.push(&Input::Resize { block: live.block(), size, foreign_domain, failed });
        self.totals.resizes += 1;
        if failed {
            if self.allocator.serves(size) {
                self.observe(size, Seen::Foreign);
            }
            return Ok(live);
        }
        let mut class = OUTSIDE;
        if self.allocator.serves(size) {
            let mut seen = Self::seen(answer);
            if live.class() != OUTSIDE && seen == Seen::At(address) {
                seen = Seen::Same;
            }
            let requested = self.observe(size, seen);
            class = match seen {
                Seen::Same => return Ok(live),
                Seen::At(_) => requested,
                Seen::Foreign => OUTSIDE,
            };
        }
        if live.class() != OUTSIDE {
            self.rule.released(live.class(), address);
        }
        Ok(LiveBlock::new(live.block(), class, live.domain()))
    }

    /// A block given back, which lay at `address`.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn release(&mut self, live: LiveBlock, address: u64, domain: Domain) -> Result<(), Error> {
        self.begin_event()?;
        self.push(&Input::Release { block: live.block(), foreign_domain: domain != live.domain() });
        self.totals.releases += 1;
        if live.class() != OUTSIDE {
            self.rule.released(live.class(), address);
        }
        Ok(())
    }

    /// The release of a block because the object in it has just died: an answer, which only whoever replays blocks alone
    /// is told of as an input.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn release_by_death(&mut self, live: LiveBlock, address: u64, domain: Domain) -> Result<(), Error> {
        self.release(live, address, domain)?;
        self.objects.released_by_death(u64::from(self.frame.events) - 1);
        Ok(())
    }

    fn observe(&mut self, size: u64, seen: Seen) -> u8 {
        let class = self.rule.class_of(size);
        self.rule.encode(class, seen, &mut self.addresses);
        self.totals.placement_facts += 1;
        class
    }

    fn seen(answer: Answer) -> Seen {
        match answer {
            Answer::At(address) if address != 0 && address < ADDRESS_LIMIT => Seen::At(address),
            _ => Seen::Foreign,
        }
    }
}
