//! How a death begins: what explains it, whether it is put off, and what the dying object refers to.

use std::io::Write;
use std::ops::Range;

use rc::Part;
use record::ReferentCount;
use trace::{Block, Death, Edge, Object, Step, Writer};

use super::super::census::Place;
use super::Objects;
use super::open::{Open, SHALLOW, explains};
use crate::kinds::{Finalizes, Order};

/// Of so many references it is looked whether they are all that there are to the same object.
const FEW: usize = 16;
/// From so many deaths inside of each other on, one in which nothing happens is taken for one that was put off.
const DEEP: usize = 4096;

/// A death of which it is being told what it refers to.
#[derive(Clone, Debug)]
pub(super) struct Dying {
    pub(super) address: u64,
    pub(super) place: Place,
    pub(super) object: Object,
    pub(super) block: Option<Block>,
    /// By the death on top.
    pub(super) is_explained: bool,
    /// That is complete.
    pub(super) is_told: bool,
}

impl Objects {
    pub(super) fn dies<W: Write>(
        &mut self,
        address: u64,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
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

    /// Nothing happened between the beginning and the end of a death: was it put off?
    pub(super) fn is_put_off(&mut self, dying: &Dying) -> bool {
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
    pub(super) fn go_on<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match self.dying.take_if(|dying| dying.is_told) {
            Some(dying) => self.begins(dying, false, writer),
            None => Ok(()),
        }
    }

    pub(super) fn begins<W: Write>(
        &mut self,
        dying: Dying,
        is_put_off: bool,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let Dying { address: own, place, object, block, is_explained, .. } = dying;
        let of = self.census.known(place).of();
        let kind = self.census.kind(of);
        let (keeps, revives, has_order, part) =
            (kind.keeps, kind.revives && !is_put_off, kind.order == Order::Same, kind.part);
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
        let of = self.given_up_last(self.census.place_of_type(of), part, references.clone());
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
            of,
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

    /// To which type the reference is that is given up last: of which the object was born, unless its class was changed. Then it
    /// is the last type to which it refers.
    fn given_up_last(&mut self, of: Option<Place>, part: Part, references: Range<usize>) -> Option<Place> {
        let born_of = of?;
        let refers_to = |of| self.references.all(references.clone()).rev().any(|to| to == of);
        if part != Part::Instance || refers_to(born_of) || !self.census.known(born_of).is_known_type() {
            return of;
        }
        let mut others = self.references.all(references).rev();
        others.find(|to| self.census.known(*to).is_known_type()).or(of)
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
            known.set_count(None);
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
}
