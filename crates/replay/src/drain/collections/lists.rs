//! Who is on which list, as a collection finds and leaves them: what is new of that is told.

use std::io::Write;

use hashbrown::HashSet;
use trace::{
    Arrival, Begins, Behind, Block, Collection, CollectorAction, Graph, Object, Told, UNTRACKED, Writer,
};

use super::known::{Known, NOWHERE, Who};
use super::{Collections, FROZEN, Member, Telling};
use crate::drain::addresses::Addresses;
use crate::drain::census::Census;

/// What the recorder tells of a reference: to a container that is on no list; not counted.
const IS_UNTRACKED: u16 = 1;
const IS_UNCOUNTED: u16 = 4;

impl Collections {
    /// What a collection looks at was told.
    pub(super) fn graph<W: Write>(&mut self, addresses: &mut Addresses, writer: &mut Writer<W>) {
        let gone = std::mem::take(&mut self.gone);
        let mut graph = Graph { oldest: self.oldest, gone, ..Graph::default() };
        let first = writer.arrivals();
        let mut members = std::mem::take(&mut self.members);
        if self.is_together {
            self.take_apart(&mut members);
        }
        let mut all = Vec::with_capacity(members.len());
        // Those of the youngest generation have all come since; of the others, who is not known, and who stands behind one of these:
        // so all are told in their order.
        let mut are_known = [false, true, true, true];
        for member in &members {
            let are_known = &mut are_known[usize::from(member.list.min(FROZEN))];
            let is_there = |known: &mut Known| *are_known && known.list == member.list;
            let who = self.everybody.who(member.address);
            let who = who.filter(|who| self.everybody.known(*who).is_some_and(is_there));
            *are_known = who.is_some();
            all.push(match who {
                Some(who) => who,
                None => self.arrives(member, first, &mut graph, addresses),
            });
        }
        self.set_known(&members, &all, &mut graph);
        for list in 1..=usize::from(self.oldest) {
            for who in std::mem::take(&mut self.lists[list]) {
                let has_left = self.everybody.known(who).is_some_and(|known| known.epoch != self.epoch);
                if has_left && self.everybody.leaves(who, list) {
                    graph.gone.push(who.object);
                }
            }
        }
        self.lists[0].clear();
        for (member, &who) in members.iter().zip(&all) {
            if member.list <= self.oldest {
                self.lists[usize::from(member.list)].push(who);
            }
        }
        self.members = members;
        writer.graph(&graph);
    }

    /// One that has come to a list since that was told last.
    fn arrives(
        &mut self,
        member: &Member,
        first: Object,
        graph: &mut Graph,
        addresses: &mut Addresses,
    ) -> Who {
        let object = first + graph.arrivals.len() as u64;
        let of = self.types.get(&member.of).map_or(0, |of| of.number);
        let begins = Census::block_at(member.address, addresses)
            .map_or(Begins::Elsewhere, |(block, offset)| Self::begins_at(block, offset));
        graph.arrivals.push(Arrival { of, begins });
        if member.list > 0 {
            graph.came.push((member.list, object));
        }
        // What is in no block is not replaced by what comes to that.
        let (who, before) = self.everybody.add(member.address, object);
        graph.gone.extend(before);
        who
    }

    /// What is left of the garbage when finalizers have run was told.
    pub(super) fn look_again<W: Write>(&mut self, writer: &mut Writer<W>) {
        let mut members = std::mem::take(&mut self.members);
        let mut all = Vec::with_capacity(members.len());
        for member in &mut members {
            // Nothing new is among garbage.
            let Some(who) = self.everybody.who(member.address) else { return };
            let Some(known) = self.everybody.known(who) else { return };
            member.list = known.list;
            // Who replays has run the finalizer, too.
            member.is_finalized = false;
            all.push(who);
        }
        if !self.may_run_code {
            return;
        }
        let mut graph = Graph { oldest: self.oldest, gone: self.garbage_that_died(&all), ..Graph::default() };
        self.set_known(&members, &all, &mut graph);
        writer.graph(&graph);
        writer.collector(&CollectorAction::Finalized);
        self.is_told_again = true;
    }

    /// Which of the garbage has died while finalizers ran, and is on no list any more, though its memory may be kept: these are
    /// left of it.
    fn garbage_that_died(&mut self, left: &[Who]) -> Vec<Object> {
        let Some((_, parted)) = &self.parted else { return Vec::new() };
        let alive: HashSet<Object> =
            left.iter().map(|who| who.object).chain(parted.iter().copied()).collect();
        let (everybody, epoch) = (&mut self.everybody, self.epoch);
        let looked_at = self.lists[..=usize::from(self.oldest.min(2))].iter().flatten();
        let has_died = |who: &&Who| match everybody.known(**who) {
            Some(known) if known.epoch == epoch && known.is_dying && !alive.contains(&who.object) => {
                known.list = NOWHERE;
                true
            }
            _ => false,
        };
        looked_at.filter(has_died).map(|who| who.object).collect()
    }

    /// Says on which list each was before the lists were put together: that of the oldest generation first, then that of the youngest,
    /// then what is between. What was on an older one is still in its order; all others are new.
    fn take_apart(&mut self, members: &mut [Member]) {
        members.iter_mut().for_each(|member| member.list = 0);
        let (everybody, lists, oldest) = (&mut self.everybody, &self.lists, self.oldest);
        let mut was_on = |member: &Member, list: u8, mut order: &mut dyn Iterator<Item = &Who>| {
            everybody.who(member.address).is_some_and(|who| {
                let is_known = everybody.known(who).is_some_and(|known| known.list == list);
                is_known && (&mut order).any(|other| other.object == who.object)
            })
        };
        let mut order = lists[usize::from(oldest)].iter();
        for member in members.iter_mut().take_while(|member| was_on(member, oldest, &mut order)) {
            member.list = oldest;
        }
        let mut order = lists[1].iter().rev();
        let rest = members.iter_mut().rev().take_while(|member| oldest == 2 && member.list == 0);
        for member in rest.take_while(|member| was_on(member, 1, &mut order)) {
            member.list = 1;
        }
    }

    fn begins_at(block: Block, offset: u64) -> Begins {
        Begins::InBlock(block, u32::try_from(offset).unwrap_or_default())
    }

    /// Notes, and tells, what is new of the members.
    fn set_known(&mut self, members: &[Member], all: &[Who], graph: &mut Graph) {
        let (mut edges, mut weak) = (0, 0);
        // Kept for their room: mostly nothing is new.
        let (mut referents, mut uncounted) = (Vec::new(), Vec::new());
        for (member, &who) in members.iter().zip(all) {
            let of = self.types.get(&member.of).copied();
            let may_untrack = of.is_none_or(|of| of.may_untrack);
            referents.clear();
            uncounted.clear();
            for &(address, how) in &self.edges[edges..member.edges.max(edges)] {
                let known = if how & IS_UNTRACKED == 0 { self.everybody.who(address) } else { None };
                let known = known.map(|who| who.object);
                let Some(referent) = known.or(may_untrack.then_some(UNTRACKED)) else { continue };
                if how & IS_UNCOUNTED != 0 {
                    uncounted.extend(u32::try_from(referents.len()));
                }
                referents.push(referent);
            }
            let weak_references = self.weak[weak..member.weak.max(weak)].iter();
            let weak_references: Vec<_> = weak_references
                .filter_map(|address| self.everybody.who(*address).map(|who| who.object))
                .collect();
            let has_weak = !weak_references.is_empty();
            self.may_run_code |= of.is_some_and(|of| of.finalizes) || member.weak > weak;
            (edges, weak) = (member.edges.max(edges), member.weak.max(weak));
            let Some(known) = self.everybody.known(who) else { continue };
            let is_first = known.count.is_none();
            let count = (known.count != Some(member.count)).then_some(member.count);
            let is_new = is_first
                || (&*known.referents, &*known.uncounted, known.is_embedded)
                    != (&referents[..], &uncounted[..], member.is_embedded);
            let changed = count.is_some() || is_new || has_weak || known.has_weak || member.is_finalized;
            if changed {
                graph.told.push(Told {
                    object: who.object,
                    count,
                    referents: is_new.then(|| referents.clone()),
                    uncounted: if is_new { uncounted.clone() } else { Vec::new() },
                    weak: weak_references,
                    is_finalized: member.is_finalized,
                    is_embedded: member.is_embedded,
                });
            }
            if is_new {
                known.referents = referents.as_slice().into();
                known.uncounted = uncounted.as_slice().into();
            }
            (known.list, known.epoch, known.count) = (member.list, self.epoch, Some(member.count));
            (known.is_embedded, known.has_weak, known.is_dying) = (member.is_embedded, has_weak, false);
        }
    }

    /// A collection was not seen. Who is on which list then is not known, but for those that are never collected.
    pub(super) fn is_lost<W: Write>(&mut self, behind: Option<Behind>, writer: &mut Writer<W>) {
        let event = self.collection.take().map_or(writer.next_event(), |collection| collection.event);
        (self.foreseen, self.parted) = (None, None);
        self.begin_telling(Telling::Nothing);
        self.lists[..usize::from(FROZEN)].iter_mut().for_each(Vec::clear);
        self.gone.clear();
        self.everybody.forget_but(FROZEN);
        writer.collector(&CollectorAction::Lost(behind));
        writer.collected(&Collection { event, ..Collection::default() });
    }
}
