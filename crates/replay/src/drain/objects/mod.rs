//! From what the tracer tells of objects, which is addresses, to births and deaths of numbered objects.
//!
//! A death is *explained* if it happens inside of another one, and what that object referred to, with the counts that
//! these had, says that it must: a replay has to predict it. Any other is told as an input. Once program code may have
//! run inside of a death (a finalizer, or an object was born there), the counts that are known are those no more, and
//! what dies after that in any of the deaths that are going on is told.

mod deposits;
mod dying;
mod open;
mod references;

use std::io::Write;

use hashbrown::HashSet;
use record::{ObjectEvent, ReferentCount};
use trace::{Beginning, Block, Death, Fate, Object, Writer};

use super::addresses::Addresses;
use super::census::{Census, Place};
use crate::kinds::{Finalizes, Order, minor_version};
use dying::Dying;
use open::Open;
use references::References;

/// What is known of objects.
#[derive(Default)]
pub(super) struct Objects {
    census: Census,
    /// Each inside of the one before.
    open: Vec<Open>,
    /// From this one on, all are over.
    is_over_from: usize,
    /// The blocks of those that are behind the first [`SHALLOW`](open::SHALLOW) ones.
    deep: HashSet<Block>,
    references: References,
    dying: Option<Dying>,
    /// What that refers to: addresses and counts, or how many immortal ones.
    edges: Vec<(u64, Option<ReferentCount>)>,
    /// Which references to what dies are given up, the last first: kept for its room.
    given_up: Vec<u32>,
    /// What dies, as it is written.
    told: Beginning,
    /// An object that refers to nothing and has died with its block.
    plain: Option<(Object, Place)>,
    /// Objects that are being resized.
    moving: Vec<Place>,
    /// The type of the object whose memory was released just now, if that gave up the last reference to it.
    last: Option<Place>,
    is_unnested: bool,
    /// Objects whose death was put off, as it is told, the last one first.
    deposited: Vec<u64>,
    /// Whether that is told.
    tells_deposits: bool,
    /// Whose objects, of the deaths that are going on, may be brought back to life.
    reviving: HashSet<u64>,
    /// The tracer tells no more.
    pub(super) is_lost: bool,
}

impl Objects {
    /// Of an interpreter of this version.
    pub(super) fn new(version: &str) -> Self {
        let tells_deposits = minor_version(version) >= Some((3, 14));
        Self { census: Census::new(version), tells_deposits, ..Self::default() }
    }

    /// The program made a call of the memory manager, other than to release a block.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub(super) fn call<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.put_off(writer)?;
        self.go_on(writer)?;
        self.leave(writer);
        self.step();
        Ok(())
    }

    /// A block is about to be released, which lies at this address. Whether that is because the object in it has just
    /// died. One of whose death the tracer did not tell dies here, for no known reason.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub(super) fn release<W: Write>(
        &mut self,
        block: Block,
        address: u64,
        writer: &mut Writer<W>,
    ) -> Result<bool, trace::Error> {
        self.put_off(writer)?;
        if self.edges.is_empty() && self.dies_with(block, writer)? {
            return Ok(true);
        }
        self.go_on(writer)?;
        if self.is_open(block) {
            return Ok(true);
        }
        let Some(object) = self.census.in_block(block, address) else {
            self.step();
            return Ok(false);
        };
        self.dies(object, writer)?;
        if let Some(dying) = self.dying.take() {
            self.begins(dying, false, writer)?;
        }
        Ok(true)
    }

    /// Most deaths are of objects that refer to nothing, and in which nothing happens but that their block is released: if
    /// the one of which it was told is such, it begins, and is [told to end](Self::released) without being looked at
    /// in between.
    #[inline]
    fn dies_with<W: Write>(&mut self, block: Block, writer: &mut Writer<W>) -> Result<bool, trace::Error> {
        let Some(Dying { address, place, object, is_explained, .. }) =
            self.dying.take_if(|dying| dying.is_told && dying.block == Some(block))
        else {
            return Ok(false);
        };
        let of = self.census.known(place).of();
        let kind = self.census.kind(of);
        if kind.order != Order::Same || kind.revives || kind.finalizes != Finalizes::Never {
            let dying = Dying { address, place, object, block: Some(block), is_explained, is_told: true };
            self.begins(dying, false, writer)?;
            return Ok(true);
        }
        self.is_unnested = false;
        self.told.clear();
        writer.begins(object, &self.told)?;
        if is_explained {
            writer.observed(Death::Begins(object));
        }
        self.plain = Some((object, place));
        Ok(true)
    }

    /// The block of an object that has just died was released.
    pub(super) fn released<W: Write>(&mut self, block: Block, writer: &mut Writer<W>) {
        if let Some((object, place)) = self.plain.take() {
            writer.ends(Fate::Released);
            writer.observed(Death::Ends(object, Fate::Released));
            self.census.is_over(place);
            self.last = None;
            return;
        }
        while let Some(open) = self.pop() {
            let is_it = open.block == Some(block);
            self.finish(open, if is_it { Fate::Released } else { Fate::Kept }, writer);
            if is_it {
                break;
            }
        }
    }

    /// Something that the program did.
    fn step(&mut self) {
        self.last = None;
        if let Some(open) = self.open.last_mut() {
            open.steps += 1;
        }
    }

    /// There are no further events. Deaths that are not over then never end: the program did first.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub(super) fn end<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.put_off(writer)?;
        self.go_on(writer)?;
        self.leave(writer);
        if let Some(open) = self.open.last().filter(|open| open.steps > 0) {
            writer.steps(open.steps, None);
        }
        Ok(())
    }

    /// One that the dying object refers to.
    #[inline]
    pub(super) fn edge(&mut self, referent: u64, count: ReferentCount, is_last: bool) {
        self.edges.push((referent, Some(count)));
        self.is_told(is_last);
    }

    /// An object is born.
    pub(super) fn is_born<W: Write>(
        &mut self,
        object: u64,
        of: u16,
        addresses: &mut Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        self.put_off(writer)?;
        self.last = None;
        self.go_on(writer)?;
        self.born(object, of, addresses, writer)
    }

    /// The death of an object begins; that it refers to something is told by what follows, unless this is the last of it.
    pub(super) fn begins_to_die<W: Write>(
        &mut self,
        object: u64,
        is_last: bool,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        self.put_off(writer)?;
        self.go_on(writer)?;
        self.dies(object, writer)?;
        self.is_told(is_last);
        Ok(())
    }

    /// Takes what the tracer tells.
    pub(super) fn push<W: Write>(
        &mut self,
        event: ObjectEvent,
        addresses: &mut Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        if let ObjectEvent::Deposited(address) = event {
            self.deposited.push(address);
            return Ok(());
        }
        self.put_off(writer)?;
        if !matches!(event, ObjectEvent::Dies { .. } | ObjectEvent::Ended(_)) {
            self.last = None;
        }
        match event {
            ObjectEvent::Edge { .. } | ObjectEvent::Immortals { .. } => {}
            // Nothing happened inside.
            ObjectEvent::Ended(address) => {
                if let Some(dying) = self.dying.take_if(|dying| dying.is_told && dying.address == address) {
                    let is_put_off = self.is_put_off(&dying);
                    self.begins(dying, is_put_off, writer)?;
                }
            }
            _ => self.go_on(writer)?,
        }
        match event {
            ObjectEvent::Born { object, of } => self.born(object, of, addresses, writer)?,
            ObjectEvent::Edge { referent, count, is_last } => self.edge(referent, count, is_last),
            ObjectEvent::TypePlace { of, place } => self.census.put_in_place(of, place),
            ObjectEvent::Dies { object, is_last } => {
                self.dies(object, writer)?;
                self.is_told(is_last);
            }
            ObjectEvent::Immortals { times, is_last } => {
                self.edges.push((times.into(), None));
                self.is_told(is_last);
            }
            ObjectEvent::Ended(address) => self.ended(address),
            ObjectEvent::Moves(address) => self.moving.extend(self.census.leave(address)),
            ObjectEvent::Unnested => self.is_unnested = true,
            ObjectEvent::Lost => self.is_lost = true,
            event => {
                if let Some((address, info)) = self.census.describe(event) {
                    self.leave(writer);
                    self.step();
                    self.census.add(address, &info, writer)?;
                }
            }
        }
        Ok(())
    }

    /// What the object refers to that dies is told, if that was the last of it.
    #[inline]
    fn is_told(&mut self, is_last: bool) {
        if let Some(dying) = &mut self.dying {
            dying.is_told |= is_last;
        }
    }

    fn born<W: Write>(
        &mut self,
        address: u64,
        of: u16,
        addresses: &mut Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let found = Census::block_at(address, addresses);
        let block = found.map(|(block, _)| block);
        if let Some(moving) = self.moving.last().copied()
            && block.is_some()
            && self.census.known(moving).block() == block
        {
            self.moving.pop();
            self.census.settle_at(address, moving);
            return Ok(());
        }
        let Some(of) = self.census.in_place(of) else { return Ok(()) };
        // Whoever had this memory is dead, whatever is told. (Of whom no birth was seen it is not known in which block.)
        let is_open = block.is_some_and(|block| self.is_open(block)) || self.is_reviving(address);
        let had_it = |open: &Open| open.address == address || (open.block.is_some() && open.block == block);
        if is_open && let Some(owner) = self.open.iter().position(had_it) {
            self.finish_down_to(owner, writer);
        }
        self.leave(writer);
        // One whose death was put off is over, too, and its memory was kept.
        if self.census.live(address).is_some_and(|live| live.block == block) {
            self.dies(address, writer)?;
            if let Some(dying) = self.dying.take() {
                self.begins(dying, false, writer)?;
                self.finish_down_to(self.open.len().saturating_sub(1), writer);
            }
        }
        self.make_stale();
        self.step();
        self.census.born(address, of, found, None, writer)
    }
}
