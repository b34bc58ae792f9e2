//! From what the tracer tells of objects, which is addresses, to births and deaths of numbered objects.
//!
//! A death is *explained* if it happens inside of another one, and what that object referred to, with the counts that
//! these had, says that it must: a replay has to predict it. Any other is told as an input. Once program code may have
//! run inside of a death (a finalizer, or an object was born there), the counts that are known are those no more, and
//! what dies after that in any of the deaths that are going on is told.

use std::io::Write;

use hashbrown::HashMap;
use rc::Part;
use record::{ObjectEvent, ReferentCount};
use trace::{Beginning, Block, Death, Edge, Fate, Object, Step, Writer};

use super::addresses::Addresses;
use super::census::{Census, Live};
use crate::kinds::{Finalizes, Order};

/// Up to so many references are looked through one by one.
const FEW: usize = 16;
/// From so many deaths inside of each other on, one in which nothing happens is taken for one that was put off.
const DEEP: usize = 4096;

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
    /// It was put off: its object lives on.
    is_put_off: bool,
}

#[derive(Clone, Debug)]
struct Referents {
    addresses: Vec<u64>,
    /// How often each comes, if they are not few.
    times: HashMap<u64, u32>,
}

impl Referents {
    fn new(addresses: Vec<u64>) -> Self {
        let mut times = HashMap::new();
        if addresses.len() > FEW {
            for address in &addresses {
                *times.entry(*address).or_insert(0) += 1;
            }
        }
        Self { addresses, times }
    }

    fn all(&self) -> &[u64] {
        &self.addresses
    }

    /// Forgets up to so many references to an address; how many are left to be forgotten elsewhere.
    fn forget(&mut self, address: u64, times: u32) -> u32 {
        let before = times.min(self.times(address));
        let mut left = before;
        for one in self.addresses.iter_mut().filter(|one| **one == address) {
            if left == 0 {
                break;
            }
            *one = 0;
            left -= 1;
        }
        if let Some(known) = self.times.get_mut(&address) {
            *known -= before.min(*known);
        }
        times - before
    }

    /// How often an address comes.
    fn times(&self, address: u64) -> u32 {
        if self.addresses.len() <= FEW {
            let times = self.addresses.iter().filter(|one| **one == address).count();
            return u32::try_from(times).unwrap_or(u32::MAX);
        }
        self.times.get(&address).copied().unwrap_or(0)
    }
}

/// A death of which it is being told what it refers to.
#[derive(Clone, Debug)]
struct Dying {
    address: u64,
    live: Live,
    edges: Vec<(u64, ReferentCount)>,
    /// By the death on top.
    is_explained: bool,
    /// That is complete.
    is_told: bool,
}

/// What is known of objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    census: Census,
    /// Each inside of the one before.
    open: Vec<Open>,
    /// Of what the deaths that are going on refer to: how many references there are, as far as can be known.
    counts: HashMap<u64, u32>,
    born: Option<u64>,
    dying: Option<Dying>,
    /// Objects that are being resized.
    moving: Vec<Live>,
    /// The type of the object whose memory was released just now, if that gave up the last reference to it.
    last: Option<u64>,
    is_unnested: bool,
    /// How many of the deaths that are going on may bring their objects back to life.
    reviving: usize,
    /// The tracer tells no more.
    pub(super) is_lost: bool,
}

impl Objects {
    /// Of an interpreter of this version.
    pub(super) fn new(version: &str) -> Self {
        Self { census: Census::new(version), ..Self::default() }
    }

    /// The program made a call of the memory manager, other than to release a block.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub(super) fn call<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
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
        self.go_on(writer)?;
        if self.open.iter().rev().any(|open| open.block == Some(block)) {
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
            writer.steps(open.steps, None);
        }
        // Its memory is not released yet, and something around it goes on: another thread does, and so program code has run.
        let is_left = open.is_released && fate == Fate::Kept;
        if is_left {
            writer.calls();
            self.make_stale();
        }
        let open = Open { is_stale: open.is_stale || is_left, ..open };
        self.reviving -= usize::from(open.revives);
        writer.ends(fate);
        writer.observed(Death::Ends(open.object, fate));
        // Whose memory is neither released nor kept for others lives on.
        if (open.revives || open.is_put_off) && fate == Fate::Kept {
            let Open { address, object, of, block, .. } = open;
            self.census.live.insert(address, Live { object, of, block });
        }
        if open.is_put_off {
            return;
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
            let is_last = open.referents.times(open.of) > 0 && self.counts.get(&open.of) == Some(&0);
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
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub(super) fn end<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.go_on(writer)?;
        self.leave(writer);
        if let Some(open) = self.open.last().filter(|open| open.steps > 0) {
            writer.steps(open.steps, None);
        }
        Ok(())
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
            ObjectEvent::Edge { .. } => {}
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
            ObjectEvent::Born(address) => self.born = Some(address),
            ObjectEvent::OfType(of) => {
                if let Some(address) = self.born.take() {
                    self.born(address, of, addresses, writer)?;
                }
            }
            ObjectEvent::Dies(address) => self.dies(address, writer)?,
            ObjectEvent::Edge { referent, count } => {
                if let Some(dying) = &mut self.dying {
                    dying.edges.push((referent, count));
                }
            }
            ObjectEvent::EdgesEnd => {
                if let Some(dying) = &mut self.dying {
                    dying.is_told = true;
                }
            }
            ObjectEvent::Ended(address) => self.ended(address),
            ObjectEvent::Moves(address) => self.moving.extend(self.census.live.remove(&address)),
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

    fn born<W: Write>(
        &mut self,
        address: u64,
        of: u64,
        addresses: &Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let found = Census::block_at(address, addresses);
        let block = found.map(|(block, _)| block);
        if let Some(moved) = self.moving.pop_if(|moving| block.is_some() && moving.block == block) {
            self.census.live.insert(address, moved);
            return Ok(());
        }
        if !self.census.types.contains_key(&of) {
            return Ok(());
        }
        // Whoever had this memory is dead, whatever is told.
        if let Some(owner) = self.open.iter().position(|open| block.is_some() && open.block == block) {
            self.finish_down_to(owner, writer);
        }
        self.leave(writer);
        // One whose death was put off is over, too, and its memory was kept.
        if self.census.live.get(&address).is_some_and(|live| live.block == block) {
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

    fn dies<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        let again = self.dies_again(address);
        let is_again = again.is_some();
        let Some(live) = again.or_else(|| self.census.dies(address)) else { return Ok(()) };
        // The innermost death that explains it, if everything inside of that is over.
        let mut inner = self.open.len();
        let is_last = self.last.take_if(|last| *last == address).is_some();
        let mut is_explained = is_last;
        while let Some(open) =
            inner.checked_sub(1).and_then(|inner| self.open.get(inner)).filter(|_| !is_explained)
        {
            is_explained = !is_again && self.explains(open, address);
            if is_explained || !open.is_over || open.is_released {
                break;
            }
            inner -= 1;
        }
        self.finish_down_to(inner, writer);
        if !is_explained {
            self.step();
            writer.step(Step::Dies(live.object))?;
        }
        if let Some(open) = self.open.last_mut().filter(|open| open.steps > 0) {
            writer.steps(std::mem::take(&mut open.steps), None);
        }
        // All references to it are given up here.
        if let Some(open) = self.open.last().filter(|open| is_explained && !is_last && !open.has_order) {
            for (at, _) in (0..).zip(open.referents.all()).filter(|(_, one)| **one == address) {
                writer.gives(at);
            }
        }
        self.dying = Some(Dying { address, live, edges: Vec::new(), is_explained, is_told: false });
        Ok(())
    }

    /// If a death of what is at this address is going on: it was brought back to life in that, and now dies for good, inside
    /// of something that died inside.
    fn dies_again(&mut self, address: u64) -> Option<Live> {
        if self.reviving == 0 {
            return None;
        }
        let open = self.open.iter_mut().rev().find(|open| open.address == address && open.revives)?;
        open.revives = false;
        open.is_over = true;
        open.is_released = false;
        self.reviving -= 1;
        Some(Live { object: open.object, of: open.of, block: open.block.take() })
    }

    /// Is it going on, and may be brought back to life?
    fn is_reviving(&self, address: u64) -> bool {
        self.reviving > 0 && self.open.iter().any(|open| open.address == address && open.revives)
    }

    /// Nothing happened between the beginning and the end of a death: was it put off?
    fn is_put_off(&self, dying: &Dying) -> bool {
        let kind = self.census.kind_of(dying.live.of);
        if kind.part == Part::None || kind.order == Order::Given {
            return false;
        }
        let times = |address: u64| dying.edges.iter().filter(|edge| edge.0 == address).count();
        // Somebody should have died.
        let loses = |edge: &(u64, ReferentCount)| match edge.1 {
            ReferentCount::Exactly(1) => true,
            ReferentCount::Exactly(count) if dying.edges.len() <= FEW => times(edge.0) >= usize::from(count),
            _ => false,
        };
        self.open.len() >= DEEP || dying.edges.iter().any(loses)
    }

    /// The death of which it was told begins.
    fn go_on<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match self.dying.take_if(|dying| dying.is_told) {
            Some(dying) => self.begins(dying, false, writer),
            None => Ok(()),
        }
    }

    /// Whether a death says that what is at this address loses its last reference by it.
    fn explains(&self, open: &Open, address: u64) -> bool {
        let times = if open.is_stale || open.is_put_off { 0 } else { open.referents.times(address) };
        times > 0 && self.counts.get(&address).is_some_and(|count| *count <= times)
    }

    fn begins<W: Write>(
        &mut self,
        dying: Dying,
        is_put_off: bool,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let Dying { address: own, live, edges, is_explained, .. } = dying;
        let kind = self.census.kind_of(live.of);
        let edges = if kind.borrows { Vec::new() } else { edges };
        if self.open.is_empty() {
            self.counts.clear();
        }
        let mut told = Vec::with_capacity(edges.len());
        for (address, count) in &edges {
            told.push(match count {
                ReferentCount::Immortal => Edge { referent: None, count: None },
                _ if self.is_reviving(*address) => Edge { referent: None, count: None },
                ReferentCount::Many => {
                    Edge { referent: Some(self.census.referent(*address, writer)), count: None }
                }
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
                    Edge {
                        referent: Some(self.census.referent(*address, writer)),
                        count: Some(u32::from(*count)),
                    }
                }
            });
        }
        if is_put_off {
            writer.trashcan(false);
        }
        writer.begins(live.object, &Beginning { edges: told, weak: Vec::new() })?;
        if is_explained {
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
            is_released: live.block.is_some() && !kind.keeps && !kind.revives && !is_put_off,
            is_stale: false,
            has_order: kind.order == Order::Same,
            revives: kind.revives && !is_put_off,
            is_put_off,
        });
        self.reviving += usize::from(kind.revives && !is_put_off);
        if kind.finalizes != Finalizes::Never && !is_put_off {
            self.make_stale();
        }
        Ok(())
    }

    /// The end of a death was told. (It may be known already, by the release of the object's block.)
    fn ended(&mut self, address: u64) {
        if let Some(open) = self.open.iter_mut().rev().find(|open| open.address == address && !open.is_over) {
            open.is_over = true;
        }
    }
}
