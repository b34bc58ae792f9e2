//! From what the tracer tells of objects, which is addresses, to births and deaths of numbered objects.
//!
//! A death is *explained* if it happens inside of another one, and what that object referred to, with the counts that
//! these had, says that it must: a replay has to predict it. Any other is told as an input. Once program code may have
//! run inside of a death (a finalizer, or an object was born there), the counts that are known are those no more, and
//! what dies after that in any of the deaths that are going on is told.

mod deposits;
mod references;

use std::io::Write;
use std::ops::Range;

use hashbrown::HashSet;
use rc::Part;
use record::{ObjectEvent, ReferentCount};
use trace::{Beginning, Block, Death, Edge, Fate, Object, Step, Writer};

use super::addresses::Addresses;
use super::census::{Census, Place};
use crate::kinds::{Finalizes, Order, minor_version};
use references::References;

/// Of so many references it is looked whether they are all that there are to the same object.
const FEW: usize = 16;
/// From so many deaths inside of each other on, one in which nothing happens is taken for one that was put off.
const DEEP: usize = 4096;
/// So many deaths inside of each other are looked through one by one.
const SHALLOW: usize = 64;

/// A death that is going on.
#[derive(Clone, Debug)]
struct Open {
    address: u64,
    /// What is known of it, unless it dies again.
    place: Option<Place>,
    object: Object,
    block: Option<Block>,
    /// Its type, as an object.
    of: Option<Place>,
    /// What it referred to, as far as that is counted.
    references: Range<usize>,
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

/// A death of which it is being told what it refers to.
#[derive(Clone, Debug)]
struct Dying {
    address: u64,
    place: Place,
    object: Object,
    block: Option<Block>,
    /// By the death on top.
    is_explained: bool,
    /// That is complete.
    is_told: bool,
}

/// What is known of objects.
#[derive(Default)]
pub(super) struct Objects {
    census: Census,
    /// Each inside of the one before.
    open: Vec<Open>,
    /// From this one on, all are over.
    is_over_from: usize,
    /// The blocks of those that are behind the first [`SHALLOW`] ones.
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

    /// Ends deaths of which it was told that they are over.
    fn leave<W: Write>(&mut self, writer: &mut Writer<W>) {
        while self.open.last().is_some_and(|open| open.is_over && !open.is_released)
            && let Some(open) = self.pop()
        {
            self.finish(open, Fate::Kept, writer);
        }
    }

    /// Ends all deaths but so many, which are around them.
    fn finish_down_to<W: Write>(&mut self, depth: usize, writer: &mut Writer<W>) {
        while self.open.len() > depth
            && let Some(open) = self.pop()
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
        if open.revives {
            self.reviving.remove(&open.address);
        }
        writer.ends(fate);
        writer.observed(Death::Ends(open.object, fate));
        // Whose memory is neither released nor kept for others lives on.
        let lives_on = (open.revives || open.is_put_off) && fate == Fate::Kept;
        match open.place {
            Some(place) if lives_on => self.census.settle_at(open.address, place),
            Some(place) => self.census.is_over(place),
            None => {}
        }
        let start = open.references.start;
        if open.is_put_off || (open.has_order && open.is_stale) {
            self.references.end_at(start, &mut self.census, |_, _| {});
        } else if open.has_order {
            let mut left = None;
            self.references.end_at(start, &mut self.census, |to, known| {
                let count = known.count().map(|count| count.saturating_sub(1));
                known.set_count(count);
                if open.of == Some(to) {
                    left = count;
                }
            });
            self.last = open.of.filter(|_| left == Some(0));
        } else {
            self.references.end_at(start, &mut self.census, |_, known| known.set_count(None));
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
        // Whoever had this memory is dead, whatever is told.
        if let Some(block) = block.filter(|block| self.is_open(*block))
            && let Some(owner) = self.open.iter().position(|open| open.block == Some(block))
        {
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

    fn dies<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.edges.clear();
        let again = self.dies_again(address);
        let is_again = again.is_some();
        let Some(place) = again.or_else(|| self.census.dies(address)) else { return Ok(()) };
        let known = self.census.known(place);
        let (object, block) = (known.object, known.block());
        // The innermost death that explains it, if everything inside of that is over.
        let mut inner = self.open.len();
        let is_last = self.last.take_if(|last| *last == place).is_some();
        let mut is_explained = is_last;
        while let Some(open) =
            inner.checked_sub(1).and_then(|inner| self.open.get(inner)).filter(|_| !is_explained)
        {
            is_explained = !is_again && explains(open, place, &self.references, &mut self.census);
            if is_explained || !open.is_over || open.is_released {
                break;
            }
            inner -= 1;
        }
        self.finish_down_to(inner, writer);
        if !is_explained {
            self.step();
            writer.step(Step::Dies(object))?;
        }
        if let Some(open) = self.open.last_mut().filter(|open| open.steps > 0) {
            writer.steps(std::mem::take(&mut open.steps), None);
        }
        // All references to it are given up here.
        if let Some(open) = self.open.last().filter(|open| is_explained && !is_last && !open.has_order) {
            let range = open.references.clone();
            self.given_up.clear();
            self.given_up.extend(self.references.places(range, place, &mut self.census));
            self.given_up.iter().rev().for_each(|at| writer.gives(*at));
        }
        self.dying = Some(Dying { address, place, object, block, is_explained, is_told: false });
        Ok(())
    }

    /// If a death of what is at this address is going on: it was brought back to life in that, and now dies for good, inside
    /// of something that died inside.
    fn dies_again(&mut self, address: u64) -> Option<Place> {
        if !self.is_reviving(address) {
            return None;
        }
        let open = self.open.iter_mut().rev().find(|open| open.address == address && open.revives)?;
        let place = open.place.take()?;
        open.revives = false;
        open.is_over = true;
        open.is_released = false;
        self.reviving.remove(&address);
        let block = open.block.take();
        self.census.known(place).set_block(block);
        Some(place)
    }

    /// Is it going on, and may be brought back to life?
    fn is_reviving(&self, address: u64) -> bool {
        !self.reviving.is_empty() && self.reviving.contains(&address)
    }

    /// Nothing happened between the beginning and the end of a death: was it put off?
    fn is_put_off(&mut self, dying: &Dying) -> bool {
        if self.tells_deposits {
            return false;
        }
        let of = self.census.known(dying.place).of();
        let kind = self.census.kind(of);
        if kind.part == Part::None || kind.order == Order::Given {
            return false;
        }
        let edges = &self.edges;
        let times = |address: u64| edges.iter().filter(|edge| edge.0 == address).count();
        // Somebody should have died.
        let loses = |edge: &(u64, Option<ReferentCount>)| match edge.1.and_then(ReferentCount::exactly) {
            Some(1) => true,
            Some(count) if edges.len() <= FEW && usize::from(count) <= edges.len() => {
                times(edge.0) >= usize::from(count)
            }
            _ => false,
        };
        self.open.len() >= DEEP || edges.iter().any(loses)
    }

    /// The death of which it was told begins.
    fn go_on<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match self.dying.take_if(|dying| dying.is_told) {
            Some(dying) => self.begins(dying, false, writer),
            None => Ok(()),
        }
    }

    fn begins<W: Write>(
        &mut self,
        dying: Dying,
        is_put_off: bool,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let Dying { address: own, place, object, block, is_explained, .. } = dying;
        let of = self.census.known(place).of();
        let kind = self.census.kind(of);
        let (keeps, revives, has_order) =
            (kind.keeps, kind.revives && !is_put_off, kind.order == Order::Same);
        let finalizes = kind.finalizes != Finalizes::Never;
        if kind.borrows {
            self.edges.clear();
        }
        self.told.clear();
        let start = self.references.end();
        for at in 0..self.edges.len() {
            match self.edges[at] {
                (times, None) => {
                    for _ in 0..times {
                        self.told.edges.push(Edge { referent: None, count: None });
                        self.references.push(None, &mut self.census);
                    }
                }
                (address, Some(count)) => {
                    let edge = self.refers_to(address, count, writer);
                    self.told.edges.push(edge);
                }
            }
        }
        let references = start..self.references.end();
        if is_put_off {
            writer.trashcan(false);
        }
        writer.begins(object, &self.told)?;
        if is_explained {
            writer.observed(Death::Begins(object));
        }
        self.open.push(Open {
            address: own,
            place: Some(place),
            object,
            block,
            of: self.census.place_of_type(of),
            references,
            steps: 0,
            is_over: std::mem::take(&mut self.is_unnested),
            is_released: block.is_some() && !keeps && !revives && !is_put_off,
            is_stale: false,
            has_order,
            revives,
            is_put_off,
        });
        if let Some(block) = block.filter(|_| self.open.len() > SHALLOW) {
            self.deep.insert(block);
        }
        self.is_over_from = self.open.len();
        if revives {
            self.reviving.insert(own);
        }
        if finalizes && !is_put_off {
            self.make_stale();
        }
        Ok(())
    }

    /// One more reference of the death that begins.
    #[inline]
    fn refers_to<W: Write>(&mut self, address: u64, count: ReferentCount, writer: &mut Writer<W>) -> Edge {
        if self.is_reviving(address) {
            self.references.push(None, &mut self.census);
            return Edge { referent: None, count: None };
        }
        let place = self.census.referent(address, writer);
        let known = self.census.known(place);
        let referent = Some(known.object);
        let Some(count) = count.exactly() else {
            self.references.push(Some(place), &mut self.census);
            return Edge { referent, count: None };
        };
        let count = u32::from(count);
        let before = known.count().unwrap_or(0);
        known.set_count(Some(count));
        if before > count {
            self.forget(place, before - count);
        }
        self.references.push(Some(place), &mut self.census);
        Edge { referent, count: Some(count) }
    }

    /// Fewer references than were known: the deaths that are going on have given up as many already.
    fn forget(&mut self, place: Place, mut gone: u32) {
        for open in self.open.iter().rev() {
            if gone == 0 {
                break;
            }
            gone = self.references.forget(open.references.clone(), place, gone, &mut self.census);
        }
    }

    /// Takes the innermost death out.
    fn pop(&mut self) -> Option<Open> {
        if self.open.len() > SHALLOW
            && let Some(block) = self.open.last().and_then(|open| open.block)
        {
            self.deep.remove(&block);
        }
        self.open.pop()
    }

    /// Whether the death of an object in this block is going on.
    fn is_open(&self, block: Block) -> bool {
        let shallow = self.open.get(..SHALLOW).unwrap_or(&self.open);
        shallow.iter().rev().any(|open| open.block == Some(block)) || self.deep.contains(&block)
    }

    /// The end of a death was told. (It may be known already, by the release of the object's block.) They end from the
    /// inside out.
    fn ended(&mut self, address: u64) {
        let mut from = self.is_over_from.min(self.open.len());
        while let Some(open) = from.checked_sub(1).and_then(|at| self.open.get_mut(at)) {
            if !open.is_over && open.address != address {
                let mut near = self.open.iter_mut().rev().take(SHALLOW);
                if let Some(open) = near.find(|open| open.address == address && !open.is_over) {
                    open.is_over = true;
                }
                break;
            }
            from -= 1;
            if !std::mem::replace(&mut open.is_over, true) {
                break;
            }
        }
        self.is_over_from = from;
    }
}

/// Whether a death says that something loses its last reference by it.
fn explains(open: &Open, place: Place, references: &References, census: &mut Census) -> bool {
    if open.is_stale || open.is_put_off {
        return false;
    }
    let times = references.times(open.references.clone(), place, census);
    times > 0 && census.known(place).count().is_some_and(|count| count <= times)
}
