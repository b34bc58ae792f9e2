//! From what the tracer tells of objects, which is addresses, to births and deaths of numbered objects.
//!
//! A death is *explained* if it happens inside of another one, and what that object referred to, with the counts that
//! these had, says that it must: a replay has to predict it. Any other is told as an input. Once program code may have
//! run inside of a death (a finalizer, or an object was born there), the counts that are known are those no more, and
//! what dies after that in any of the deaths that are going on is told.

use std::io::Write;

use hashbrown::HashMap;
use record::{ObjectEvent, ReferentCount};
use trace::{Beginning, Begins, Block, Death, Edge, Fate, Object, TypeInfo, TypeNumber, Writer};

use super::addresses::Addresses;
use crate::kinds::{Kind, Order, minor_version};

/// How far behind the beginning of its block an object may lie, in bytes: behind the collector's header, and what some
/// types have in front of that.
const OFFSETS: [u64; 3] = [0, 16, 32];
/// Up to so many references are looked through one by one.
const FEW: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Type {
    number: TypeNumber,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    object: Object,
    /// The address of its type.
    of: u64,
    block: Option<Block>,
}

/// A death that is going on.
#[derive(Clone, Debug)]
struct Open {
    address: u64,
    /// The address of its type.
    of: u64,
    object: Object,
    block: Option<Block>,
    /// Addresses of what it referred to, with how often, if those are many; else in order.
    referents: Referents,
    /// Steps of the program inside of it, since anything else happened to it.
    steps: u64,
    /// Its end was told, or will not be: it lasts until something happens that cannot be inside.
    is_over: bool,
    /// It has memory that is released for sure: it lasts until then, whatever is told.
    is_released: bool,
    /// Program code may have run inside.
    is_stale: bool,
    /// It is known when it gives up which reference.
    has_order: bool,
    /// It may be brought back to life.
    revives: bool,
}

#[derive(Clone, Debug)]
enum Referents {
    Few(Vec<u64>),
    Many(Vec<u64>, HashMap<u64, (u32, u32)>),
}

impl Referents {
    fn new(addresses: Vec<u64>) -> Self {
        if addresses.len() <= FEW {
            return Self::Few(addresses);
        }
        let mut places = HashMap::new();
        for (at, address) in (0..).zip(&addresses) {
            places.entry(*address).or_insert((at, 0)).1 += 1;
        }
        Self::Many(addresses, places)
    }

    fn all(&self) -> &[u64] {
        let (Self::Few(addresses) | Self::Many(addresses, _)) = self;
        addresses
    }

    /// Forgets up to so many references to an address; how many are left to be forgotten elsewhere.
    fn forget(&mut self, address: u64, mut times: u32) -> u32 {
        let (Self::Few(addresses) | Self::Many(addresses, _)) = self;
        let before = times;
        for one in addresses.iter_mut().filter(|one| **one == address) {
            if times == 0 {
                break;
            }
            *one = 0;
            times -= 1;
        }
        if let Self::Many(_, places) = self
            && let Some((_, left)) = places.get_mut(&address)
        {
            *left = left.saturating_sub(before - times);
        }
        times
    }

    /// Where an address comes first, and how often it comes.
    fn find(&self, address: u64) -> Option<(u32, u32)> {
        match self {
            Self::Few(addresses) => {
                let first = addresses.iter().position(|one| *one == address)?;
                let times = addresses.iter().filter(|one| **one == address).count();
                Some((u32::try_from(first).ok()?, u32::try_from(times).ok()?))
            }
            Self::Many(_, places) => places.get(&address).copied().filter(|(_, times)| *times > 0),
        }
    }
}

/// A type that is being described.
#[derive(Clone, Debug)]
struct Description {
    address: u64,
    flags: u64,
    name: Vec<u8>,
}

/// A death of which it is being told what it refers to.
#[derive(Clone, Debug)]
struct Dying {
    address: u64,
    live: Live,
    length: Option<u64>,
    edges: Vec<(u64, ReferentCount)>,
    /// Inside of the death on top, which gave up this reference.
    choice: Option<u32>,
}

/// What is known of objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    types: HashMap<u64, Type>,
    live: HashMap<u64, Live>,
    strangers: HashMap<u64, Object>,
    /// Each inside of the one before.
    open: Vec<Open>,
    /// Of what the deaths that are going on refer to: how many references there are, as far as can be known.
    counts: HashMap<u64, u32>,
    describing: Option<Description>,
    born: Option<u64>,
    dying: Option<Dying>,
    /// Objects that are being resized.
    moving: Vec<Live>,
    /// The type of the object whose memory was released just now, if that gave up the last reference to it.
    last: Option<u64>,
    is_unnested: bool,
    /// The tracer tells no more.
    pub(super) is_lost: bool,
    version: (u32, u32),
}

impl Objects {
    /// Of an interpreter of this version.
    pub(super) fn new(version: &str) -> Self {
        Self { version: minor_version(version).unwrap_or_default(), ..Self::default() }
    }

    /// The program made a call of the memory manager, other than to release a block.
    pub(super) fn call<W: Write>(&mut self, writer: &mut Writer<W>) {
        self.leave(writer);
        self.step();
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
        if self.open.iter().rev().any(|open| open.block == Some(block)) {
            return Ok(true);
        }
        let is_it = |address: &u64| self.live.get(address).is_some_and(|live| live.block == Some(block));
        let Some(object) = OFFSETS.map(|offset| address.wrapping_add(offset)).into_iter().find(is_it) else {
            self.step();
            return Ok(false);
        };
        self.dies(object, writer)?;
        if let Some(dying) = self.dying.take() {
            self.begins(dying, writer)?;
        }
        Ok(true)
    }

    /// The block of an object that has just died was released.
    pub(super) fn released<W: Write>(&mut self, block: Block, writer: &mut Writer<W>) {
        while let Some(open) = self.open.pop() {
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

    /// Ends deaths of which it was told that they are over.
    fn leave<W: Write>(&mut self, writer: &mut Writer<W>) {
        while let Some(open) = self.open.pop_if(|open| open.is_over && !open.is_released) {
            self.finish(open, Fate::Kept, writer);
        }
    }

    /// Ends all deaths but so many, which are around them.
    fn finish_down_to<W: Write>(&mut self, depth: usize, writer: &mut Writer<W>) {
        while self.open.len() > depth
            && let Some(open) = self.open.pop()
        {
            self.finish(open, Fate::Kept, writer);
        }
    }

    fn finish<W: Write>(&mut self, open: Open, fate: Fate, writer: &mut Writer<W>) {
        if open.steps > 0 {
            writer.steps(open.object, open.steps);
        }
        writer.ends(open.object, fate);
        writer.observed(Death::Ends(open.object, fate));
        // Whose memory is neither released nor kept for others lives on.
        if open.revives && fate == Fate::Kept {
            let Open { address, object, of, block, .. } = open;
            self.live.insert(address, Live { object, of, block });
        }
        if !open.has_order {
            for address in open.referents.all() {
                self.counts.remove(address);
            }
        } else if !open.is_stale {
            for address in open.referents.all() {
                if let Some(count) = self.counts.get_mut(address) {
                    *count = count.saturating_sub(1);
                }
            }
            let is_last = open.referents.find(open.of).is_some() && self.counts.get(&open.of) == Some(&0);
            self.last = is_last.then_some(open.of);
        }
    }

    /// Program code may have run: nothing is known of counts any more.
    fn make_stale(&mut self) {
        for open in self.open.iter_mut().rev().take_while(|open| !open.is_stale) {
            open.is_stale = true;
        }
    }

    /// There are no further events. Deaths that are not over then never end: the program did first.
    pub(super) fn end<W: Write>(&mut self, writer: &mut Writer<W>) {
        self.leave(writer);
        if let Some(open) = self.open.last().filter(|open| open.steps > 0) {
            writer.steps(open.object, open.steps);
        }
    }

    /// Takes what the tracer tells.
    pub(super) fn push<W: Write>(
        &mut self,
        event: ObjectEvent,
        addresses: &Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        if !matches!(event, ObjectEvent::Dies(_) | ObjectEvent::Ended(_)) {
            self.last = None;
        }
        match event {
            ObjectEvent::Born(address) => self.born = Some(address),
            ObjectEvent::OfType(of) => {
                if let Some(address) = self.born.take() {
                    self.born(address, of, addresses, writer)?;
                }
            }
            ObjectEvent::Dies(address) => self.dies(address, writer)?,
            ObjectEvent::Length(length) => {
                if let Some(dying) = &mut self.dying {
                    dying.length = Some(length);
                }
            }
            ObjectEvent::Edge { referent, count } => {
                if let Some(dying) = &mut self.dying {
                    dying.edges.push((referent, count));
                }
            }
            ObjectEvent::EdgesEnd => {
                if let Some(dying) = self.dying.take() {
                    self.begins(dying, writer)?;
                }
            }
            ObjectEvent::Ended(address) => self.ended(address),
            ObjectEvent::Moves(address) => self.moving.extend(self.live.remove(&address)),
            ObjectEvent::Unnested => self.is_unnested = true,
            ObjectEvent::Lost => self.is_lost = true,
            ObjectEvent::Type(address) => {
                self.describing = Some(Description { address, flags: 0, name: Vec::new() });
            }
            ObjectEvent::TypeFlags(flags) => {
                if let Some(describing) = &mut self.describing {
                    describing.flags = flags;
                }
            }
            ObjectEvent::TypeName(piece) => self.name(piece, writer)?,
        }
        Ok(())
    }

    fn name<W: Write>(&mut self, piece: [u8; 6], writer: &mut Writer<W>) -> Result<(), trace::Error> {
        let Some(describing) = &mut self.describing else { return Ok(()) };
        let end = piece.iter().position(|byte| *byte == 0);
        describing.name.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
        if end.is_none() {
            return Ok(());
        }
        let Some(Description { address, flags, name }) = self.describing.take() else { return Ok(()) };
        // Told again because the recorder forgot it.
        if self.types.contains_key(&address) {
            return Ok(());
        }
        let info = TypeInfo {
            name: String::from_utf8_lossy(&name).into_owned(),
            flags: u32::try_from(flags & u64::from(u32::MAX)).unwrap_or_default(),
            finalizes: flags & 1 << 32 != 0,
            weakly_referable: flags & 1 << 33 != 0,
            object: self.live.get(&address).map(|live| live.object),
        };
        self.leave(writer);
        self.step();
        let number = writer.described(&info)?;
        self.types.insert(address, Type { number, kind: Kind::of(&info, self.version) });
        Ok(())
    }

    fn born<W: Write>(
        &mut self,
        address: u64,
        of: u64,
        addresses: &Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let at =
            |offset: &u64| addresses.get(address.checked_sub(*offset)?).map(|live| (live.block(), *offset));
        let found = OFFSETS.iter().find_map(at);
        let block = found.map(|(block, _)| block);
        if let Some(moved) = self.moving.pop_if(|moving| block.is_some() && moving.block == block) {
            self.live.insert(address, moved);
            return Ok(());
        }
        let Some(kind) = self.types.get(&of) else { return Ok(()) };
        let number = kind.number;
        // Whoever had this memory is dead, whatever is told.
        if let Some(owner) = self.open.iter().position(|open| block.is_some() && open.block == block) {
            self.finish_down_to(owner, writer);
        }
        self.leave(writer);
        self.make_stale();
        self.step();
        let begins = found.map_or(Begins::Elsewhere, |(block, offset)| {
            Begins::InBlock(block, u32::try_from(offset).unwrap_or_default())
        });
        let object = writer.born(number, begins)?;
        self.strangers.remove(&address);
        self.live.insert(address, Live { object, of, block });
        Ok(())
    }

    fn dies<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.types.remove(&address);
        let live = self.live.remove(&address);
        let stranger = || self.strangers.remove(&address).map(|object| Live { object, of: 0, block: None });
        let Some(live) = live.or_else(stranger) else { return Ok(()) };
        // The innermost death that explains it, if everything inside of that is over.
        let mut inner = self.open.len();
        let mut choice = self.last.take_if(|last| *last == address).map(|_| 0);
        while let Some(open) =
            inner.checked_sub(1).and_then(|inner| self.open.get(inner)).filter(|_| choice.is_none())
        {
            choice = self.explains(open, address);
            if choice.is_some() || !open.is_over || open.is_released {
                break;
            }
            inner -= 1;
        }
        self.finish_down_to(inner, writer);
        if choice.is_none() {
            self.step();
            writer.dies(live.object)?;
        }
        if let Some(open) = self.open.last_mut().filter(|open| open.steps > 0) {
            writer.steps(open.object, std::mem::take(&mut open.steps));
        }
        self.dying = Some(Dying { address, live, length: None, edges: Vec::new(), choice });
        Ok(())
    }

    /// Whether a death says that what is at this address loses its last reference by it, and which that is.
    fn explains(&self, open: &Open, address: u64) -> Option<u32> {
        let (first, times) = open.referents.find(address).filter(|_| !open.is_stale)?;
        (*self.counts.get(&address)? <= times).then_some(first)
    }

    fn begins<W: Write>(&mut self, dying: Dying, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        let Dying { address: own, live, length, edges, choice } = dying;
        let kind = self.types.get(&live.of).map_or(Kind::UNKNOWN, |of| of.kind);
        let edges = if kind.borrows { Vec::new() } else { edges };
        if self.open.is_empty() {
            self.counts.clear();
        }
        let mut told = Vec::with_capacity(edges.len());
        for (address, count) in &edges {
            told.push(match count {
                ReferentCount::Immortal => Edge { referent: None, count: None },
                ReferentCount::Many => Edge { referent: Some(self.referent(*address, writer)), count: None },
                ReferentCount::Exactly(count) => {
                    let before = self.counts.insert(*address, u32::from(*count));
                    // Fewer than were known: the deaths around this one have given up as many already.
                    let mut gone = before.unwrap_or(0).saturating_sub(u32::from(*count));
                    for open in self.open.iter_mut().rev() {
                        if gone == 0 {
                            break;
                        }
                        gone = open.referents.forget(*address, gone);
                    }
                    Edge { referent: Some(self.referent(*address, writer)), count: Some(u32::from(*count)) }
                }
            });
        }
        writer.begins(live.object, &Beginning { choice, length, edges: told })?;
        if choice.is_some() {
            writer.observed(Death::Begins(live.object));
        }
        self.open.push(Open {
            address: own,
            of: live.of,
            object: live.object,
            block: live.block,
            referents: Referents::new(edges.into_iter().map(|(address, _)| address).collect()),
            steps: 0,
            is_over: std::mem::take(&mut self.is_unnested),
            is_released: live.block.is_some() && !kind.keeps && !kind.revives,
            is_stale: false,
            has_order: kind.order != Order::Given,
            revives: kind.revives,
        });
        if kind.finalizes {
            self.make_stale();
        }
        Ok(())
    }

    fn referent<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) -> Object {
        match self.live.get(&address) {
            Some(live) => live.object,
            None => *self.strangers.entry(address).or_insert_with(|| writer.stranger()),
        }
    }

    /// The end of a death was told. (It may be known already, by the release of the object's block.)
    fn ended(&mut self, address: u64) {
        if let Some(open) = self.open.iter_mut().rev().find(|open| open.address == address && !open.is_over) {
            open.is_over = true;
        }
    }
}
