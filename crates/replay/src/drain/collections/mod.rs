//! The drain of tier `collections`: who is on the collector's lists, by number, and what has changed of them.
//!
//! It remembers what was told of each object that is on a list, and so tells of it only what is new; and it keeps the lists
//! as they were observed last, to tell who has left them.

mod known;
mod lists;
mod survivors;

use std::io::Write;

use hashbrown::HashMap;
use record::{AT_END, COUNT_IMMORTAL, COUNT_MANY, ObjectEvent, RUNS_INSIDE, TOGETHER};
use trace::{
    Behind, Collection, CollectorAction, CollectorSettings, IMMORTAL, Object, Permanent, TypeNumber, Writer,
};

use super::addresses::Addresses;
use super::census::Census;
use super::pages::Pages;
use known::{Everybody, NOWHERE, Who};

/// How far behind the beginning of its block a container lies: behind what the collector has there, and what some types
/// have in front of that.
const OFFSETS: [u64; 2] = [16, 32];

/// What the recorder tells of a reference: it is one of those of the object that a dictionary belongs to.
const IS_EMBEDDED: u16 = 2;

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
    /// Who is left when it has told its garbage from the others.
    Parted,
    /// What is left behind it.
    Survivors,
}

fn generation(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(2).min(2)
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
    /// Up to which generation it looks that may begin, and its numbers; none if it has begun, and calls back before it looks.
    foreseen: Option<(u64, Vec<u64>)>,
    /// The collection that is going on.
    epoch: u64,
    collection: Option<Collection>,
    /// The generation of which it has told the garbage from these, in order.
    parted: Option<(u64, Vec<Object>)>,
    /// Whether it may run code of the program: finalizers, callbacks.
    may_run_code: bool,
    /// Whether what that has done to its garbage was told.
    is_told_again: bool,
    /// The blocks of containers.
    containers: Pages<()>,
    /// Those of other interpreters.
    others: Pages<()>,
    /// The block that was allocated last for an object, how many bytes it has (none if it is known whether it is a container),
    /// and whether it is one if the next one is that is released.
    last_block: u64,
    last_size: u64,
    is_if: bool,
    /// Whether an exception is on its way if it is.
    has_exception_if: bool,
    /// Whether another interpreter runs, which has a collector of its own.
    is_anothers: bool,
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
            parted: None,
            may_run_code: false,
            is_told_again: false,
            containers: Pages::new(4),
            others: Pages::new(4),
            last_block: 0,
            last_size: 0,
            is_if: false,
            has_exception_if: false,
            is_anothers: false,
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
            AnotherRuns, Born, CallsBack, CollectionLost, Collects, Container, ContainerIf, DiesUntracked,
            DoesCollect, Edge, Exception, FinalizedBefore, FinalizersRun, GraphEnds, HasCalledBack,
            HasCollected, HasParted, List, Looks, MayCollect, MayLook, Number, OfType, Settings, Weak,
        };
        match event {
            Born { .. } | OfType(_) | Edge { .. } | Weak(_) => self.is_telling(),
            Container | ContainerIf | Number(_) | Settings | Collects(_) | HasCollected(_) | List(_)
            | FinalizedBefore | FinalizersRun | HasParted(_) | DiesUntracked(_) | GraphEnds
            | CollectionLost | Exception | MayCollect(_) | DoesCollect(_) | CallsBack(_) | Looks(_)
            | MayLook(_) | HasCalledBack | AnotherRuns(_) => true,
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
        if old == new {
            return;
        }
        if self.others.remove(old).is_some() {
            self.others.insert(new, ());
        }
        if self.containers.remove(old).is_none() {
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

    /// The last block is a container, of the interpreter that runs.
    fn is_container<W: Write>(&mut self, writer: &mut Writer<W>) {
        if self.is_anothers {
            self.others.insert(self.last_block, ());
        } else {
            self.containers.insert(self.last_block, ());
            writer.container();
        }
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
            if self.others.remove(address).is_some() && !self.is_anothers {
                writer.collector(&CollectorAction::Here);
            }
            return;
        }
        if self.is_anothers {
            writer.collector(&CollectorAction::Elsewhere);
        }
        for offset in OFFSETS {
            let at = address.wrapping_add(offset);
            let Some(gone) = self.everybody.remove(at) else { continue };
            self.types.remove(&at);
            self.census.types.remove(&at);
            if let Some(collection) = &mut self.collection
                && gone.epoch == self.epoch
                && !gone.is_dying
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
            ObjectEvent::AnotherRuns(is_another) => self.is_anothers = is_another,
            ObjectEvent::Settings => self.settings(writer),
            ObjectEvent::Collects(oldest) => {
                self.begins(oldest, writer);
                self.begin_telling(Telling::Graph);
            }
            ObjectEvent::CallsBack(oldest) => self.begins(oldest, writer),
            ObjectEvent::Looks(oldest) => {
                self.looks(oldest, writer);
                self.begin_telling(Telling::Graph);
            }
            ObjectEvent::MayLook(oldest) => {
                self.foreseen = Some((oldest, Vec::new()));
                self.begin_telling(Telling::Foreseen);
            }
            ObjectEvent::HasCalledBack => writer.collector(&CollectorAction::CalledBack),
            ObjectEvent::MayCollect(oldest) => {
                self.foreseen = Some((oldest, std::mem::take(&mut self.numbers)));
                self.begin_telling(Telling::Foreseen);
            }
            ObjectEvent::DoesCollect(does) => {
                if let Some((oldest, numbers)) = self.foreseen.take().filter(|_| does) {
                    if numbers.is_empty() {
                        self.looks(oldest, writer);
                    } else {
                        self.numbers = numbers;
                        self.begins(oldest, writer);
                    }
                    self.graph(addresses, writer);
                }
            }
            ObjectEvent::HasCollected(generation) => self.is_over(generation, writer),
            ObjectEvent::FinalizersRun => self.begin_telling(Telling::Again),
            ObjectEvent::DiesUntracked(address) => self.is_no_garbage(address),
            ObjectEvent::HasParted(generation) => {
                self.parted = Some((generation, Vec::new()));
                self.begin_telling(Telling::Parted);
            }
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
                Telling::Parted => self.has_parted(),
                Telling::Survivors => self.survivors(writer),
                Telling::Foreseen | Telling::Nothing => {}
            },
            ObjectEvent::CollectionLost => {
                let is_known = !self.numbers.is_empty();
                let counts = [0, 1, 2].map(|at| self.number(at));
                let long_lived = [3, 4].map(|at| self.number(at));
                let behind = Behind { counts, long_lived, graphs: writer.graphs() };
                self.is_lost(is_known.then_some(behind), writer);
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
            calls_back: self.number::<u64>(6) != 0,
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

    /// The settings have become these since they were told, if they have.
    fn set<W: Write>(&mut self, settings: CollectorSettings, writer: &mut Writer<W>) {
        if self.settings != settings {
            self.settings = settings;
            writer.collector(&CollectorAction::Settings(settings));
        }
    }

    fn begins<W: Write>(&mut self, oldest: u64, writer: &mut Writer<W>) {
        let thresholds = [3, 4, 5].map(|at| self.number(at));
        let (flags, calls_back) = (self.number(8), self.number::<u64>(10) != 0);
        self.set(CollectorSettings { thresholds, flags, calls_back, ..self.settings }, writer);
        match self.number::<u64>(9) {
            // The allocation says it.
            RUNS_INSIDE => {}
            AT_END => writer.collector(&CollectorAction::Ends),
            0 => writer.collector(&CollectorAction::SafePoint),
            asked => writer.collector(&CollectorAction::Asks(generation(asked - 1))),
        }
        self.epoch += 1;
        self.parted = None;
        (self.may_run_code, self.is_told_again) = (false, false);
        self.collection = Some(Collection {
            event: writer.next_event(),
            counts_before: [0, 1, 2].map(|at| self.number(at)),
            ..Collection::default()
        });
        self.oldest = generation(oldest);
    }

    /// Those have returned that were called back, and it looks.
    fn looks<W: Write>(&mut self, oldest: u64, writer: &mut Writer<W>) {
        writer.collector(&CollectorAction::CalledBack);
        self.oldest = generation(oldest);
    }

    fn begin_telling(&mut self, telling: Telling) {
        self.telling = telling;
        (self.list, self.is_together) = (NOWHERE, false);
        self.members.clear();
        self.edges.clear();
        self.weak.clear();
    }

    fn is_over<W: Write>(&mut self, of: u64, writer: &mut Writer<W>) {
        let counts = [2, 3, 4].map(|at| self.number(at));
        let long_lived = [5, 6].map(|at| self.number(at));
        let (collected, uncollectable) = (self.number(0), self.number(1));
        let lasted = Some(self.number(7)).filter(|nanoseconds| *nanoseconds > 0);
        let calls_back = self.number::<u64>(8) != 0;
        self.set(CollectorSettings { calls_back, ..self.settings }, writer);
        if let Some(collection) = &mut self.collection {
            collection.generation = Some(generation(of));
            collection.collected = collected;
            collection.uncollectable = uncollectable;
            (collection.counts, collection.long_lived) = (counts, long_lived);
            collection.nanoseconds = lasted;
        }
        self.begin_telling(Telling::Survivors);
    }
}

#[cfg(test)]
mod tests;
