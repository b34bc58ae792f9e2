//! Deaths that are going on, each inside of the one before, and how they end.

use std::io::Write;
use std::ops::Range;

use trace::{Block, Death, Fate, Object, Writer};

use super::super::census::{Census, Place};
use super::Objects;
use super::references::References;

/// So many deaths inside of each other are looked through one by one.
pub(super) const SHALLOW: usize = 64;

/// A death that is going on.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) address: u64,
    /// What is known of it, unless it dies again.
    pub(super) place: Option<Place>,
    pub(super) object: Object,
    pub(super) block: Option<Block>,
    /// Its type, as an object.
    pub(super) of: Option<Place>,
    /// What it referred to, as far as that is counted.
    pub(super) references: Range<usize>,
    /// Steps of the program inside of it, since anything else happened to it.
    pub(super) steps: u64,
    /// Its end was told, or will not be: it lasts until something happens that cannot be inside.
    pub(super) is_over: bool,
    /// It has memory that is released for sure: it lasts until then, whatever is told.
    pub(super) is_released: bool,
    /// Program code may have run inside.
    pub(super) is_stale: bool,
    /// It is known when it gives up which reference.
    pub(super) has_order: bool,
    /// It may be brought back to life.
    pub(super) revives: bool,
    /// It was put off: its object lives on.
    pub(super) is_put_off: bool,
}

impl Objects {
    /// Ends deaths of which it was told that they are over.
    pub(super) fn leave<W: Write>(&mut self, writer: &mut Writer<W>) {
        while self.open.last().is_some_and(|open| open.is_over && !open.is_released)
            && let Some(open) = self.pop()
        {
            self.finish(open, Fate::Kept, writer);
        }
    }

    /// Ends all deaths but so many, which are around them.
    pub(super) fn finish_down_to<W: Write>(&mut self, depth: usize, writer: &mut Writer<W>) {
        while self.open.len() > depth
            && let Some(open) = self.pop()
        {
            self.finish(open, Fate::Kept, writer);
        }
    }

    pub(super) fn finish<W: Write>(&mut self, open: Open, fate: Fate, writer: &mut Writer<W>) {
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
    pub(super) fn make_stale(&mut self) {
        for open in self.open.iter_mut().rev().take_while(|open| !open.is_stale) {
            open.is_stale = true;
        }
    }

    /// Takes the innermost death out.
    pub(super) fn pop(&mut self) -> Option<Open> {
        if self.open.len() > SHALLOW
            && let Some(block) = self.open.last().and_then(|open| open.block)
        {
            self.deep.remove(&block);
        }
        self.open.pop()
    }

    /// Whether the death of an object in this block is going on.
    pub(super) fn is_open(&self, block: Block) -> bool {
        let shallow = self.open.get(..SHALLOW).unwrap_or(&self.open);
        shallow.iter().rev().any(|open| open.block == Some(block)) || self.deep.contains(&block)
    }

    /// Is it going on, and may be brought back to life?
    pub(super) fn is_reviving(&self, address: u64) -> bool {
        !self.reviving.is_empty() && self.reviving.contains(&address)
    }

    /// The end of a death was told. (It may be known already, by the release of the object's block.) They end from the
    /// inside out.
    pub(super) fn ended(&mut self, address: u64) {
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
pub(super) fn explains(open: &Open, place: Place, references: &References, census: &mut Census) -> bool {
    if open.is_stale || open.is_put_off {
        return false;
    }
    let times = references.times(open.references.clone(), place, census);
    times > 0 && census.known(place).count().is_some_and(|count| count <= times)
}
