//! A trace's objects, as counting sees them.

use std::collections::VecDeque;

use crate::kinds::{Kind, Order};
use hashbrown::HashMap;
use rc::{Counting, Heap, Part};
use trace::{Beginning, Begins, Block, BlockTable, Edge, Fate, Object, STRANGER, TypeInfo, TypeNumber};

#[derive(Clone, Copy, Debug)]
struct Live {
    of: TypeNumber,
    block: Option<Block>,
}

/// A death that is going on.
#[derive(Debug)]
struct Dying {
    object: Object,
    edges: VecDeque<Edge>,
    /// The reference to its type, if it has one: that is given up last.
    last: Option<Object>,
    order: Order,
    /// Program code may have run inside.
    is_stale: bool,
}

#[derive(Debug)]
pub(super) struct Objects {
    counting: Counting,
    version: (u32, u32),
    /// What is known of each type, and which object it is.
    types: Vec<(Kind, Option<Object>)>,
    live: BlockTable<Live>,
    /// Of what the deaths that are going on refer to: how many references there are.
    counts: HashMap<Object, u64>,
    dying: Vec<Dying>,
    /// Which reference of the innermost death is the next by which something dies, if one is.
    pub(super) next_choice: Option<u32>,
    /// How often that was looked at.
    pub(super) orders_given: u64,
}

impl Objects {
    pub(super) fn new(counting: Counting, version: (u32, u32)) -> Self {
        Self {
            counting,
            version,
            types: Vec::new(),
            live: BlockTable::new(),
            counts: HashMap::new(),
            dying: Vec::new(),
            next_choice: None,
            orders_given: 0,
        }
    }

    pub(super) fn described(&mut self, info: Option<TypeInfo>) {
        self.types.extend(info.map(|info| (Kind::of(&info, self.version), info.object)));
    }

    pub(super) fn born(&mut self, of: TypeNumber, begins: Begins) {
        let block = match begins {
            Begins::InBlock(block, _) => Some(block),
            Begins::Elsewhere => None,
        };
        self.live.push(Live { of, block });
        self.make_stale();
    }

    pub(super) fn is_alive(&self, object: Object) -> bool {
        object & STRANGER != 0 || self.live.get(object).is_some()
    }

    /// Whether there is a death that is going on, and program code may have run inside the innermost one.
    pub(super) fn is_stale(&self) -> Option<bool> {
        self.dying.last().map(|dying| dying.is_stale)
    }

    /// The object whose death is the innermost one.
    pub(super) fn innermost(&self) -> Option<Object> {
        self.dying.last().map(|dying| dying.object)
    }

    fn make_stale(&mut self) {
        for dying in self.dying.iter_mut().rev().take_while(|dying| !dying.is_stale) {
            dying.is_stale = true;
        }
    }

    /// What is known of an object's type, and which object that is. (Strangers are in no table.)
    fn type_of(&self, object: Object) -> (Kind, Option<Object>) {
        let of = self.live.get(object).and_then(|live| usize::try_from(live.of).ok());
        of.and_then(|of| self.types.get(of).copied()).unwrap_or((Kind::UNKNOWN, None))
    }

    /// Whether it is not known which reference is given up next.
    pub(super) fn needs_choice(&self) -> bool {
        self.dying.last().is_some_and(|dying| dying.order == Order::Given && !dying.is_stale)
    }

    /// A death begins.
    pub(super) fn begin(&mut self, object: Object, mut beginning: Beginning) {
        if self.dying.is_empty() {
            self.counts.clear();
        }
        let (kind, of) = self.type_of(object);
        let tells_keys = beginning.length.is_some_and(|length| beginning.edges.len() as u64 == 2 * length);
        if tells_keys && kind.order == Order::Pairs {
            beginning.edges.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        }
        for edge in &beginning.edges {
            if let Edge { referent: Some(referent), count: Some(count) } = *edge {
                let before = self.counts.insert(referent, count.into());
                // Fewer than were known: the deaths around this one have given up as many already.
                let gone = before.unwrap_or(0).saturating_sub(count.into());
                // Hardly ever; and there may be many edges to look through.
                if gone > 0 {
                    let around = self.dying.iter_mut().rev().flat_map(|dying| dying.edges.iter_mut());
                    let same = around.filter(|edge| edge.referent == Some(referent));
                    same.take(usize::try_from(gone).unwrap_or(usize::MAX))
                        .for_each(|edge| edge.referent = None);
                }
            }
        }
        let last = beginning.edges.iter_mut().rev().find(|edge| of.is_some() && edge.referent == of);
        let last = last.and_then(|edge| edge.referent.take());
        self.dying.push(Dying {
            object,
            edges: beginning.edges.into(),
            last,
            order: kind.order,
            is_stale: false,
        });
        if kind.finalizes {
            self.make_stale();
        }
    }

    /// Whether an object's memory is released. What the trace tells of that counts only where it is not known.
    pub(super) fn fate(&self, object: Object, told: Fate, given: &mut u64) -> Fate {
        if self.live.get(object).is_none_or(|live| live.block.is_none()) {
            return Fate::Kept;
        }
        let (kind, _) = self.type_of(object);
        if kind.keeps || kind.revives {
            *given += 1;
            return told;
        }
        Fate::Released
    }

    /// A death is over. The object's block, if it had one, and its type, if it now gives up a reference to that.
    /// One that was brought back to life stays.
    pub(super) fn end(&mut self, object: Object, fate: Fate) -> (Option<Block>, Option<Object>) {
        let revived = fate == Fate::Kept && self.type_of(object).0.revives;
        let dying = self.dying.pop();
        let last = dying.as_ref().filter(|dying| !dying.is_stale && dying.order != Order::Given && !revived);
        let last = last.and_then(|dying| dying.last);
        if let Some(dying) = dying.filter(|dying| dying.order == Order::Given) {
            // When it gave up what is left, and which counts of that were seen before, is not known.
            for referent in dying.edges.iter().filter_map(|edge| edge.referent) {
                self.counts.remove(&referent);
            }
        }
        let live = if revived { None } else { self.live.remove(object) };
        (live.and_then(|live| live.block), last)
    }
}

impl Heap for Objects {
    type Id = Object;

    fn count(&self, object: Object) -> u64 {
        // One of which nothing is known has other references.
        self.counts.get(&object).copied().unwrap_or(self.counting.immortal)
    }

    fn set_count(&mut self, object: Object, word: u64) {
        self.counts.insert(object, word);
    }

    fn release_next(&mut self, _object: Object) -> Option<Object> {
        let Self { dying, live, next_choice, orders_given, counts, .. } = self;
        let dying = dying.last_mut()?;
        if dying.is_stale {
            return None;
        }
        if dying.order == Order::Given {
            let choice = next_choice.take()?;
            *orders_given += 1;
            let referent = dying.edges.get(choice as usize)?.referent?;
            // All that it has of these.
            let mut times = 0;
            for edge in dying.edges.iter_mut().filter(|edge| edge.referent == Some(referent)) {
                edge.referent = None;
                times += 1;
            }
            if let Some(count) = counts.get_mut(&referent) {
                *count = count.saturating_sub(times - 1);
            }
            return Some(referent);
        }
        loop {
            let edge = dying.edges.pop_front()?;
            // What died already, by a reference that the trace does not hold, has no count any more.
            if let Some(referent) = edge.referent
                && (referent & STRANGER != 0 || live.get(referent).is_some())
            {
                return Some(referent);
            }
        }
    }

    fn part(&self, _object: Object) -> Part {
        Part::None
    }

    fn announces(&self) -> bool {
        true
    }
}
