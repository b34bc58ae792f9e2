//! Follows a replay of collections, and counts.

use hashbrown::{HashMap, HashSet};
use trace::{Block, BlockTable, Kind, MARK_FINALIZING, Object, PackedInput};

use super::Options;
use super::census::{Census, Fact, Found};
use super::held::{Wanted, picture};
use super::names::{Name, Names};
use super::report::{Alive, Collection, Count, Details, Kept, OfType, Picture, Taken, Totals, Why, WhyKept};
use super::timeline::{Step, Timeline};
use crate::engine::{Over, Seen, Watch};

/// As many collections are told of one by one.
const LISTED: usize = 10_000;
/// No object.
const NOBODY: Object = Object::MAX;

/// A live block.
#[derive(Clone, Copy)]
struct Held {
    size: u64,
    /// The last event before which the program is known to have reached what is in it: at first, its birth.
    since: u64,
    /// The object in it that a collection looked at last, and that one's type.
    object: Object,
    name: Name,
    is_container: bool,
}

/// What is known of an object of the garbage that a collection has found, until that is over.
#[derive(Clone, Copy)]
struct Waste {
    name: Name,
    size: u64,
    block: Option<Block>,
    /// It has a finalizer that no collector runs.
    has_late: bool,
    /// It has, or something has that refers to it.
    is_aside: bool,
}

/// A collection that is going on.
struct Going {
    step: Step,
    collection: Collection,
    details: Details,
    saves_all: bool,
    garbage: HashMap<Object, Waste>,
}

/// Follows the collections of one trace.
pub(super) struct Follower<'a> {
    pub(super) names: Names,
    pub(super) census: Census,
    pub(super) generations: [Totals; 3],
    pub(super) timeline: Timeline,
    pub(super) list: Vec<Collection>,
    pub(super) largest: Vec<Collection>,
    pub(super) picture: Option<Picture>,
    pub(super) events: u64,
    pub(super) over: u64,
    pub(super) unseen: u64,
    pub(super) unseen_from: Option<u64>,
    pub(super) tells_exit: bool,
    wanted: Option<&'a Wanted>,
    /// The number of the only collection of which is to be told what it saw.
    as_of: Option<u64>,
    top: usize,
    blocks: BlockTable<Held>,
    at_exit: HashMap<Option<Name>, Count>,
    saved: HashMap<Name, Count>,
    kept: HashMap<(Name, WhyKept), Count>,
    armed: Option<u64>,
    /// When the last collection began.
    last: u64,
    /// Since when all objects have been told of anew, whenever they came.
    told_anew: u64,
    going: Option<Going>,
}

impl<'a> Follower<'a> {
    /// Nothing happened yet.
    pub(super) fn new(options: &'a Options) -> Self {
        let Options { top, why_alive, as_of } = options;
        Self {
            names: Names::default(),
            census: Census::default(),
            generations: Default::default(),
            timeline: Timeline::default(),
            list: Vec::new(),
            largest: Vec::new(),
            picture: None,
            events: 0,
            over: 0,
            unseen: 0,
            unseen_from: None,
            tells_exit: false,
            wanted: why_alive.as_ref(),
            as_of: *as_of,
            top: *top,
            blocks: BlockTable::new(),
            at_exit: HashMap::new(),
            saved: HashMap::new(),
            kept: HashMap::new(),
            armed: None,
            last: 0,
            told_anew: 0,
            going: None,
        }
    }

    /// Containers that are alive now, by name.
    fn alive(&self) -> HashMap<Option<Name>, Count> {
        let mut all: HashMap<_, Count> = HashMap::new();
        for (_, held) in self.blocks.iter().filter(|(_, held)| held.is_container) {
            let name = (held.object != NOBODY).then_some(held.name);
            all.entry(name).or_default().add(held.size);
        }
        all
    }

    /// Who was alive when the program ended, and when the recording did: those that a collection looked at, by type, and the
    /// others.
    pub(super) fn report_alive(&self) -> (Vec<Alive>, Alive) {
        let at_end = self.alive();
        let mut names: Vec<Option<Name>> = self.at_exit.keys().chain(at_end.keys()).copied().collect();
        names.sort_unstable();
        names.dedup();
        let of = |counts: &HashMap<_, Count>, name| counts.get(&name).copied().unwrap_or_default();
        let all = names.into_iter().map(|name| Alive {
            name: name.map(|name| self.names.text(name).to_owned()),
            at_exit: of(&self.at_exit, name),
            at_end: of(&at_end, name),
        });
        let (mut known, unknown): (Vec<_>, Vec<_>) = all.partition(|alive| alive.name.is_some());
        known.sort_by(|one, other| {
            let most = |of: &Alive| (of.at_exit.objects, of.at_end.objects);
            most(other).cmp(&most(one)).then_with(|| one.name.cmp(&other.name))
        });
        (known, unknown.into_iter().next().unwrap_or_default())
    }

    /// Garbage that finalizers saved, and what has come to `gc.garbage`: by type.
    pub(super) fn report_kept(&self) -> (Vec<OfType>, Vec<Kept>) {
        let saved = self.saved.iter().map(|(name, count)| (self.names.text(*name), *count));
        let mut kept: Vec<_> = self
            .kept
            .iter()
            .map(|((name, why), count)| Kept {
                name: self.names.text(*name).to_owned(),
                why: *why,
                count: *count,
            })
            .collect();
        kept.sort_by(|one, other| {
            other
                .count
                .objects
                .cmp(&one.count.objects)
                .then_with(|| (&one.name, one.why).cmp(&(&other.name, other.why)))
        });
        (OfType::all(saved), kept)
    }

    /// Notes who is looked at: those that have come are in their blocks from here on, and those that a full collection finds
    /// alive are known to be.
    fn note(&mut self, seen: &Seen<'_>) {
        let is_full = seen.generation == 2;
        for at in 0..seen.objects() {
            let Some(held) = seen.block(at).and_then(|block| self.blocks.get_mut(block)) else { continue };
            let object = seen.object(at);
            if held.object != object {
                // It came to the list after the last collection: the program had it in its hands then. (Unless it had been there
                // before, and is told of anew.)
                if held.since >= self.told_anew {
                    held.since = held.since.max(self.last);
                }
                (held.object, held.name) = (object, self.names.of(seen.of(at)));
            }
            // What a younger collection finds alive may be held by old garbage only.
            if is_full && !seen.is_unreachable(at) {
                held.since = held.since.max(seen.event);
            }
        }
    }

    fn size(&self, block: Option<Block>) -> u64 {
        block.and_then(|block| self.blocks.get(block)).map_or(0, |held| held.size)
    }

    /// The garbage that a collection has found.
    fn waste(&self, seen: &Seen<'_>) -> HashMap<Object, Waste> {
        let mut garbage = HashMap::new();
        let mut aside: Vec<u32> = Vec::new();
        for at in seen.unreachable() {
            let block = seen.block(at);
            let (name, size) = (self.names.of(seen.of(at)), self.size(block));
            let has_late = seen.is_uncollectable(at);
            garbage.insert(seen.object(at), Waste { name, size, block, has_late, is_aside: has_late });
            if has_late {
                aside.push(at);
            }
        }
        while let Some(at) = aside.pop() {
            for &referent in seen.referents(at) {
                if let Some(waste) = garbage.get_mut(&seen.object(referent))
                    && !std::mem::replace(&mut waste.is_aside, true)
                {
                    aside.push(referent);
                }
            }
        }
        garbage
    }

    fn look_for(&mut self, seen: &Seen<'_>) {
        let Some(wanted) = self.wanted else { return };
        let is_at_exit = self.tells_exit || seen.why == generations::Why::Exit;
        let taken = match (self.as_of, seen.generation) {
            (Some(number), _) if number != self.over => return,
            (Some(_), _) => Taken::ByNumber,
            (None, 2) if is_at_exit => Taken::FirstAtExit,
            (None, 2) => Taken::LastFull,
            (None, _) => Taken::NoneFull,
        };
        if self.picture.as_ref().is_some_and(|last| !shows_more(taken, seen.generation, last)) {
            return;
        }
        let name = |at| self.names.of(seen.of(at));
        let size = |at| self.size(seen.block(at));
        if let Some(picture) = picture(seen, (self.over, taken), wanted, &self.names, name, size) {
            self.picture = Some(picture);
        }
    }
}

/// Whether a later collection, of this generation, takes the place of the one that has been looked at.
fn shows_more(taken: Taken, generation: u8, last: &Picture) -> bool {
    match (last.taken, taken) {
        // What the interpreter takes to pieces as it ends is held by nobody any more.
        (Taken::LastFull, taken) => taken == Taken::LastFull,
        (Taken::FirstAtExit, _) => false,
        (Taken::NoneFull, Taken::NoneFull) => generation >= last.generation,
        (Taken::NoneFull | Taken::ByNumber, _) => true,
    }
}

impl Watch for Follower<'_> {
    #[inline]
    fn input(&mut self, event: u64, input: PackedInput, is_container: bool) {
        self.events = event.saturating_add(1);
        if input.is_birth() {
            let (size, since, object, name) = (input.size(), event, NOBODY, Name::MAX);
            self.blocks.push(Held { size, since, object, name, is_container });
        } else if input.is_release() {
            self.blocks.remove(input.block());
        } else if input.kind() == Kind::Resize && !input.failed() {
            if let Some(held) = self.blocks.get_mut(input.block()) {
                held.size = input.size();
            }
        } else if input.kind() == Kind::Mark && input.block() == MARK_FINALIZING && !self.tells_exit {
            self.tells_exit = true;
            self.at_exit = self.alive();
        }
    }

    fn armed(&mut self, event: u64) {
        self.armed = Some(event);
    }

    fn looks(&mut self, seen: &Seen<'_>) {
        self.note(seen);
        self.look_for(seen);
        let garbage = self.waste(seen);
        if !garbage.is_empty() {
            let Self { blocks, census, names, over, .. } = self;
            let found = Found { seen, collection: *over, names };
            census.add(&found, |at| {
                let held = seen.block(at).and_then(|block| blocks.get(block));
                let (size, since) = held.map_or((0, 0), |held| (held.size, held.since));
                Fact { name: names.of(seen.of(at)), size, since }
            });
        }
        let why = match seen.why {
            generations::Why::Alarm => Why::Due,
            generations::Why::Request(_) => Why::Asked,
            generations::Why::Exit => Why::AtExit,
        };
        let unreachable = garbage.len() as u64;
        let mut step = Step { examined: seen.outcome.candidates as u64, unreachable, ..Step::default() };
        step.collections[usize::from(seen.generation.min(2))] = 1;
        self.going = Some(Going {
            step,
            collection: Collection {
                number: self.over,
                event: seen.event,
                generation: seen.generation,
                unreachable,
                nanoseconds: None,
                details: None,
            },
            details: Details {
                why,
                counts: seen.counts,
                thresholds: seen.thresholds,
                armed: self.armed.take().filter(|_| why == Why::Due),
                held_back: seen.held_back.map(|held| [held.pending as u64, held.enough as u64]),
                examined: seen.outcome.candidates as u64,
                saved: 0,
                uncollectable: 0,
                finalizers: 0,
                callbacks: 0,
                verified: false,
            },
            saves_all: seen.saves_all,
            garbage,
        });
        self.last = seen.event;
    }

    fn over(&mut self, over: &Over<'_>) {
        let Some(Going { step, collection, mut details, saves_all, garbage }) = self.going.take() else {
            return;
        };
        let kept: HashSet<Object> = over.kept.iter().copied().collect();
        // What is kept, and what nobody dares to collect, is there without anybody having saved it.
        let saved = over.saved.iter().filter(|object| !kept.contains(*object));
        for waste in saved.filter_map(|object| garbage.get(object)).filter(|waste| !waste.is_aside) {
            details.saved += 1;
            self.saved.entry(waste.name).or_default().add(waste.size);
            // It is in somebody's hands again.
            if let Some(held) = waste.block.and_then(|block| self.blocks.get_mut(block)) {
                held.since = collection.event;
            }
        }
        for waste in over.kept.iter().filter_map(|object| garbage.get(object)) {
            let why = if saves_all && !waste.has_late { WhyKept::SaveAll } else { WhyKept::LegacyFinalizer };
            self.kept.entry((waste.name, why)).or_default().add(waste.size);
        }
        details.uncollectable = over.outcome.uncollectable as u64;
        details.finalizers = over.outcome.finalized as u64;
        details.callbacks = over.outcome.callbacks as u64;
        let totals = &mut self.generations[usize::from(collection.generation.min(2))];
        totals.collections += 1;
        match details.why {
            Why::Due => totals.due += 1,
            Why::Asked => totals.asked += 1,
            Why::AtExit => totals.at_exit += 1,
        }
        totals.held_back += u64::from(details.held_back.is_some());
        let armed = details.armed.map_or(0, |armed| collection.event.saturating_sub(armed + 1));
        totals.armed += armed;
        totals.armed_most = totals.armed_most.max(armed);
        totals.examined += details.examined;
        totals.unreachable += collection.unreachable;
        totals.saved += details.saved;
        totals.uncollectable += details.uncollectable;
        totals.finalizers += details.finalizers;
        totals.callbacks += details.callbacks;
        self.timeline.add(collection.event, &step);
        self.over += 1;
        keep(
            &mut self.list,
            &mut self.largest,
            self.top,
            Collection { details: Some(details), ..collection },
        );
    }

    fn unseen(&mut self, event: u64, is_known_behind: bool) {
        self.unseen += 1;
        if is_known_behind {
            self.unseen_from = None;
        } else {
            self.unseen_from.get_or_insert(event);
        }
        self.told_anew = event;
        self.going = None;
    }
}

impl Follower<'_> {
    /// It was observed how long the collection of this number took, which is over.
    pub(super) fn lasted(&mut self, number: u64, generation: u8, nanoseconds: u64) {
        let totals = &mut self.generations[usize::from(generation.min(2))];
        totals.measured += 1;
        totals.nanoseconds = totals.nanoseconds.saturating_add(nanoseconds);
        totals.nanoseconds_most = totals.nanoseconds_most.max(nanoseconds);
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        let largest = self.largest.iter_mut().find(|collection| collection.number == number);
        for collection in self.list.get_mut(at).into_iter().chain(largest) {
            collection.nanoseconds = Some(nanoseconds);
        }
    }
}

/// Puts a collection on the list, if there is room, and among the `top` that found most.
pub(super) fn keep(
    list: &mut Vec<Collection>,
    largest: &mut Vec<Collection>,
    top: usize,
    collection: Collection,
) {
    let at = largest.partition_point(|other| other.unreachable >= collection.unreachable);
    if at < top && collection.unreachable > 0 {
        largest.insert(at, collection.clone());
        largest.truncate(top);
    }
    if list.len() < LISTED {
        list.push(collection);
    }
}
