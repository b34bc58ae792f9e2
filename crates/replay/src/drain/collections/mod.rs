//! The drain of tier `collections`: who is on the collector's lists, by number, and what has changed of them.
//!
//! It remembers what was told of each object that is on a list, and so tells of it only what is new; and it keeps the lists
//! as they were observed last, to tell who has left them.

mod known;

use std::io::Write;

use hashbrown::HashMap;
use record::{COUNT_IMMORTAL, COUNT_MANY, ObjectEvent, RUNS_INSIDE, TOGETHER};
use trace::{
    Arrival, Begins, Block, Collection, CollectorAction, CollectorSettings, Graph, IMMORTAL, Object,
    Permanent, Told, TypeNumber, UNTRACKED, Writer,
};

use super::addresses::Addresses;
use super::census::Census;
use super::pages::Pages;
use known::{Everybody, Known, NOWHERE, Who};

/// How far behind the beginning of its block a container lies: behind what the collector has there, and what some types
/// have in front of that.
const OFFSETS: [u64; 2] = [16, 32];

/// What the recorder tells of a reference: to a container that is on no list; one of those of the object that a dictionary belongs
/// to; not counted.
const IS_UNTRACKED: u16 = 1;
const IS_EMBEDDED: u16 = 2;
const IS_UNCOUNTED: u16 = 4;

/// On the list of those that are never collected.
const FROZEN: u8 = 3;

/// A type.
#[derive(Clone, Copy)]
struct Type {
    number: TypeNumber,
    /// Whether its objects may be taken off the lists.
    may_untrack: bool,
    finalizes: bool,
}

/// An object on a list, as the recorder tells it.
struct Member {
    address: u64,
    of: u64,
    list: u8,
    count: u64,
    is_finalized: bool,
    is_embedded: bool,
    /// Where its references end, and its weak references.
    edges: usize,
    weak: usize,
}

/// What is being told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    Nothing,
    /// What a collection would look at, of which it is told next whether it has begun.
    Foreseen,
    /// What a collection looks at.
    Graph,
    /// What it looks at again when it has run finalizers.
    Again,
    /// What is left behind it.
    Survivors,
}

/// Who is on the collector's lists.
pub(super) struct Collections {
    census: Census,
    /// By address of a type.
    types: HashMap<u64, Type>,
    everybody: Everybody,
    /// As they were observed last.
    lists: [Vec<Who>; 4],
    /// Those that were on a list when a collection began and on none when it was over, and did not die visibly: to be told with
    /// the next one.
    gone: Vec<Object>,
    settings: CollectorSettings,
    numbers: Vec<u64>,
    telling: Telling,
    list: u8,
    /// Whether the lists of younger generations were told as one with that.
    is_together: bool,
    members: Vec<Member>,
    /// To whom they refer, and what the recorder tells of the reference.
    edges: Vec<(u64, u16)>,
    weak: Vec<u64>,
    oldest: u8,
    /// Up to which generation it looks that may begin, and its numbers.
    foreseen: Option<(u64, Vec<u64>)>,
    /// The collection that is going on.
    epoch: u64,
    collection: Option<Collection>,
    /// Whether it may run code of the program: finalizers, callbacks.
    may_run_code: bool,
    /// Whether what that has done to its garbage was told.
    is_told_again: bool,
    /// The blocks of containers.
    containers: Pages<()>,
    /// The block that was allocated last for an object, how many bytes it has (none if it is known whether it is a container),
    /// and whether it is one if the next one is that is released.
    last_block: u64,
    last_size: u64,
    is_if: bool,
    /// Whether an exception is on its way if it is.
    has_exception_if: bool,
}

impl Collections {
    /// Of an interpreter of this version.
    pub(super) fn new(version: &str) -> Self {
        Self {
            census: Census::new(version),
            types: HashMap::new(),
            everybody: Everybody::new(),
            lists: Default::default(),
            gone: Vec::new(),
            settings: CollectorSettings::default(),
            numbers: Vec::new(),
            telling: Telling::Nothing,
            list: 0,
            is_together: false,
            members: Vec::new(),
            edges: Vec::new(),
            weak: Vec::new(),
            oldest: 0,
            foreseen: None,
            epoch: 0,
            collection: None,
            may_run_code: false,
            is_told_again: false,
            containers: Pages::new(4),
            last_block: 0,
            last_size: 0,
            is_if: false,
            has_exception_if: false,
        }
    }

    /// Whether what is told just now of objects is what a collection looks at, or what is left behind it.
    #[inline]
    pub(super) fn is_telling(&self) -> bool {
        self.telling != Telling::Nothing
    }

    /// Whether an event tells of the collector, where births and deaths are told, too.
    pub(super) fn is_its(&self, event: ObjectEvent) -> bool {
        use ObjectEvent::{
            Born, CollectionLost, Collects, Container, ContainerIf, DoesCollect, Edge, Exception,
            FinalizedBefore, FinalizersRun, GraphEnds, HasCollected, List, MayCollect, Number, OfType,
            Settings, Weak,
        };
        match event {
            Born { .. } | OfType(_) | Edge { .. } | Weak(_) => self.is_telling(),
            Container | ContainerIf | Number(_) | Settings | Collects(_) | HasCollected(_) | List(_)
            | FinalizedBefore | FinalizersRun | GraphEnds | CollectionLost | Exception | MayCollect(_)
            | DoesCollect(_) => true,
            _ => false,
        }
    }

    /// A block is allocated for an object.
    #[inline]
    pub(super) fn allocated(&mut self, address: u64, size: u64) {
        (self.last_block, self.last_size) = (address, size);
    }

    /// A block was resized, and may have moved.
    pub(super) fn resized(&mut self, old: u64, new: u64) {
        if old == new || self.containers.remove(old).is_none() {
            return;
        }
        self.containers.insert(new, ());
        OFFSETS.iter().for_each(|offset| {
            self.everybody.moves(old.wrapping_add(*offset), new.wrapping_add(*offset));
        });
    }

    /// An object is born at an address. What the collector has in front of it says that it is a container.
    #[inline]
    pub(super) fn is_born<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) {
        let offset = address.wrapping_sub(self.last_block);
        if offset < self.last_size && OFFSETS.contains(&offset) {
            self.is_container(writer);
            self.last_size = 0;
        }
    }

    fn is_container<W: Write>(&mut self, writer: &mut Writer<W>) {
        self.containers.insert(self.last_block, ());
        writer.container();
    }

    /// A block is released.
    pub(super) fn release<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) {
        let was_container = self.containers.remove(address).is_some();
        let has_exception = std::mem::take(&mut self.has_exception_if);
        if std::mem::take(&mut self.is_if) && was_container && address != self.last_block {
            self.is_container(writer);
            if has_exception {
                writer.collector(&CollectorAction::Exception);
            }
        }
        if address == self.last_block {
            self.last_size = 0;
        }
        if !was_container {
            return;
        }
        for offset in OFFSETS {
            let at = address.wrapping_add(offset);
            let Some(gone) = self.everybody.remove(at) else { continue };
            self.types.remove(&at);
            self.census.types.remove(&at);
            if let Some(collection) = &mut self.collection
                && gone.epoch == self.epoch
            {
                collection.dead.push(gone.object);
            }
            return;
        }
    }

    pub(super) fn push<W: Write>(
        &mut self,
        event: ObjectEvent,
        addresses: &mut Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        match event {
            ObjectEvent::Container => self.is_container(writer),
            ObjectEvent::ContainerIf => self.is_if = true,
            ObjectEvent::Number(number) => {
                self.numbers.push(number);
                return Ok(());
            }
            ObjectEvent::Settings => self.settings(writer),
            ObjectEvent::Collects(oldest) => {
                self.begins(oldest, writer);
                self.begin_telling(Telling::Graph);
            }
            ObjectEvent::MayCollect(oldest) => {
                self.foreseen = Some((oldest, std::mem::take(&mut self.numbers)));
                self.begin_telling(Telling::Foreseen);
            }
            ObjectEvent::DoesCollect(does) => {
                if let Some((oldest, numbers)) = self.foreseen.take().filter(|_| does) {
                    self.numbers = numbers;
                    self.begins(oldest, writer);
                    self.graph(addresses, writer);
                }
            }
            ObjectEvent::HasCollected(generation) => self.is_over(generation),
            ObjectEvent::FinalizersRun => self.begin_telling(Telling::Again),
            ObjectEvent::List(list) => {
                self.is_together = list >= TOGETHER;
                self.list = u8::try_from(list % TOGETHER).unwrap_or(NOWHERE).min(FROZEN);
            }
            ObjectEvent::Exception if self.is_if => self.has_exception_if = true,
            ObjectEvent::Exception => writer.collector(&CollectorAction::Exception),
            ObjectEvent::Born { object: address, of: count } => {
                let count = match count {
                    COUNT_MANY => self.numbers.pop().unwrap_or(COUNT_MANY.into()),
                    COUNT_IMMORTAL.. => IMMORTAL,
                    count => count.into(),
                };
                let (list, edges, weak) = (self.list, self.edges.len(), self.weak.len());
                let (is_finalized, is_embedded) = (false, false);
                self.members.push(Member {
                    address,
                    of: 0,
                    list,
                    count,
                    is_finalized,
                    is_embedded,
                    edges,
                    weak,
                });
            }
            ObjectEvent::OfType(of) => {
                if let Some(member) = self.members.last_mut() {
                    member.of = of;
                }
            }
            ObjectEvent::FinalizedBefore => {
                if let Some(member) = self.members.last_mut() {
                    member.is_finalized = true;
                }
            }
            ObjectEvent::Edge { referent, count, .. } => {
                let how = count.exactly().unwrap_or(0);
                self.edges.push((referent, how));
                if let Some(member) = self.members.last_mut() {
                    member.edges = self.edges.len();
                    member.is_embedded |= how & IS_EMBEDDED != 0;
                }
            }
            ObjectEvent::Weak(reference) => {
                self.weak.push(reference);
                if let Some(member) = self.members.last_mut() {
                    member.weak = self.weak.len();
                }
            }
            ObjectEvent::GraphEnds => match std::mem::replace(&mut self.telling, Telling::Nothing) {
                Telling::Graph => self.graph(addresses, writer),
                Telling::Again => self.look_again(writer),
                Telling::Survivors => self.survivors(writer),
                Telling::Foreseen | Telling::Nothing => {}
            },
            ObjectEvent::CollectionLost => {
                let collection = self.collection.take();
                let event = collection.map_or(writer.next_event(), |collection| collection.event);
                writer.collector(&CollectorAction::Lost);
                writer.collected(&Collection { event, ..Collection::default() });
            }
            event => {
                if let Some((address, info)) = self.census.describe(event) {
                    let may_untrack = matches!(info.name.as_str(), "tuple" | "dict");
                    let number = writer.collection_type(&info);
                    let finalizes = info.finalizes || info.finalizes_late;
                    self.types.insert(address, Type { number, may_untrack, finalizes });
                }
            }
        }
        self.numbers.clear();
        Ok(())
    }

    fn number<T: TryFrom<u64> + Default>(&self, at: usize) -> T {
        self.numbers.get(at).and_then(|number| T::try_from(*number).ok()).unwrap_or_default()
    }

    fn settings<W: Write>(&mut self, writer: &mut Writer<W>) {
        let permanent = match self.number::<u64>(5) {
            1 => Permanent::More,
            2 => Permanent::None,
            _ => Permanent::Unchanged,
        };
        let thresholds = [0, 1, 2].map(|at| self.number(at));
        self.settings = CollectorSettings {
            thresholds,
            enabled: self.number::<u64>(3) != 0,
            flags: self.number(4),
            permanent: Permanent::Unchanged,
        };
        writer.collector(&CollectorAction::Settings(CollectorSettings { permanent, ..self.settings }));
        let moves: &[(usize, u8)] = match permanent {
            Permanent::Unchanged => &[],
            Permanent::More => &[(0, FROZEN), (1, FROZEN), (2, FROZEN)],
            Permanent::None => &[(3, 2)],
        };
        for &(from, to) in moves {
            for who in std::mem::take(&mut self.lists[from]) {
                if let Some(known) = self.everybody.known(who)
                    && usize::from(known.list) == from
                {
                    known.list = to;
                    self.lists[usize::from(to)].push(who);
                }
            }
        }
    }

    fn begins<W: Write>(&mut self, oldest: u64, writer: &mut Writer<W>) {
        let thresholds = [3, 4, 5].map(|at| self.number(at));
        let flags = self.number(8);
        if (thresholds, flags) != (self.settings.thresholds, self.settings.flags) {
            self.settings = CollectorSettings { thresholds, flags, ..self.settings };
            writer.collector(&CollectorAction::Settings(self.settings));
        }
        match self.number::<u64>(9) {
            // The allocation says it.
            RUNS_INSIDE => {}
            0 => writer.collector(&CollectorAction::SafePoint),
            asked => {
                writer.collector(&CollectorAction::Asks(u8::try_from(asked - 1).unwrap_or(2).min(2)));
            }
        }
        self.epoch += 1;
        (self.may_run_code, self.is_told_again) = (false, false);
        self.collection = Some(Collection {
            event: writer.next_event(),
            counts_before: [0, 1, 2].map(|at| self.number(at)),
            ..Collection::default()
        });
        self.oldest = u8::try_from(oldest).unwrap_or(2).min(2);
    }

    fn begin_telling(&mut self, telling: Telling) {
        self.telling = telling;
        (self.list, self.is_together) = (NOWHERE, false);
        self.members.clear();
        self.edges.clear();
        self.weak.clear();
    }

    fn is_over(&mut self, generation: u64) {
        let generation = u8::try_from(generation).unwrap_or(2).min(2);
        let counts = [2, 3, 4].map(|at| self.number(at));
        let long_lived = [5, 6].map(|at| self.number(at));
        let (collected, uncollectable) = (self.number(0), self.number(1));
        let lasted = Some(self.number(7)).filter(|nanoseconds| *nanoseconds > 0);
        if let Some(collection) = &mut self.collection {
            // What it did cannot be told if it looked at more than was seen.
            collection.generation = Some(generation).filter(|generation| *generation <= self.oldest);
            collection.collected = collected;
            collection.uncollectable = uncollectable;
            (collection.counts, collection.long_lived) = (counts, long_lived);
            collection.nanoseconds = lasted;
        }
        self.begin_telling(Telling::Survivors);
    }

    /// What a collection looks at was told.
    fn graph<W: Write>(&mut self, addresses: &mut Addresses, writer: &mut Writer<W>) {
        let gone = std::mem::take(&mut self.gone);
        let mut graph = Graph { oldest: self.oldest, gone, ..Graph::default() };
        let first = writer.arrivals();
        let mut members = std::mem::take(&mut self.members);
        if self.is_together {
            self.take_apart(&mut members);
        }
        let mut all = Vec::with_capacity(members.len());
        // Those of the youngest generation have all come since; of the others, who is not known.
        for member in &members {
            let is_there = |known: &mut Known| member.list > 0 && known.list == member.list;
            let who = self.everybody.who(member.address);
            all.push(match who.filter(|who| self.everybody.known(*who).is_some_and(is_there)) {
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
    fn look_again<W: Write>(&mut self, writer: &mut Writer<W>) {
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
        let mut graph = Graph { oldest: self.oldest, ..Graph::default() };
        self.set_known(&members, &all, &mut graph);
        writer.graph(&graph);
        writer.collector(&CollectorAction::Finalized);
        self.is_told_again = true;
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
            (known.is_embedded, known.has_weak) = (member.is_embedded, has_weak);
        }
    }

    /// What is left behind a collection was told.
    fn survivors<W: Write>(&mut self, writer: &mut Writer<W>) {
        let Some(mut collection) = self.collection.take() else { return };
        let Some(generation) = collection.generation else {
            writer.collector(&CollectorAction::Lost);
            writer.collected(&Collection { event: collection.event, ..Collection::default() });
            return;
        };
        let to = (generation + 1).min(2);
        let is_full = generation == 2;
        collection.candidates = (0..=generation).map(|list| self.lists[usize::from(list)].len() as u64).sum();
        let mut on_list = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let Some(who) = self.everybody.who(member.address) else { continue };
            let Some(known) = self.everybody.known(who) else { continue };
            // The list is told from the beginning if what was its last one is gone.
            if known.list != to || is_full {
                collection.survivors.push(who.object);
            }
            known.list = FROZEN + 1;
            on_list.push(who);
        }
        let is_whole = collection.survivors.len() < on_list.len();
        for list in (0..=generation).chain(is_whole.then_some(to)).map(usize::from) {
            for who in std::mem::take(&mut self.lists[list]) {
                if self.everybody.leaves(who, list) {
                    self.gone.push(who.object);
                }
            }
        }
        for who in &on_list {
            if let Some(known) = self.everybody.known(*who) {
                known.list = to;
            }
        }
        self.lists[usize::from(to)].extend(on_list);
        let survivors = (self.may_run_code && !self.is_told_again).then(|| collection.survivors.clone());
        writer.collector(&CollectorAction::Over(survivors));
        writer.collected(&collection);
    }
}

#[cfg(test)]
mod tests;
