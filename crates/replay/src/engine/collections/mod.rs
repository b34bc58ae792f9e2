//! The engine of collections: drives `generations` and `cycles` with what a program allocated and did to its collector.
//!
//! It counts containers, and says which collection is due when, of which generation. When it has, it may fetch what the
//! collector looks at: who has come to the youngest generation's list, and what has changed of the others, which it has
//! carried forward itself. From that it says who is garbage, and who stands where on the lists afterwards.
//!
//! What finalizers and callbacks do cannot be seen here: of a collection that runs some, the engine is told who is left.

mod counts;
mod heap;
mod predictions;
mod watch;

use std::collections::VecDeque;

use bumpalo::Bump;
use cycles::{Containers, Outcome, track, untrack};
use generations::{
    Answer, Because, Counters, Generation, Generational, Generations, HeldBack, Policy, Request, Run, Runs,
    Started, Thread, Why,
};
use hashbrown::HashSet;
use rc::Heap;
use trace::{
    BlockTable, CollectionFrame, CollectorAction, CollectorSettings, CollectorStep, Graph, MARK_FINALIZING,
    Object, PackedInput, Permanent,
};

use super::EngineError;
use crate::kinds::full_version;
pub use counts::CollectionCounts;
use heap::{Id, Kind, Members};
pub use predictions::{CollectionPredictions, GivenOfCollections, Look, PredictedCollection};
pub use watch::{Over, Seen, Watch};

/// The flag that has garbage kept.
const SAVES_ALL: u32 = 32;

/// A count of more references than there are objects, and no immortal one's.
const HELD: u64 = 1 << 28;

/// The interpreter's lock makes them one.
const THREAD: Thread = Thread(0);

/// A collection that is going on.
struct Going {
    run: Run<Id>,
    predicted: PredictedCollection,
    outcome: Outcome,
    /// Who has come to `gc.garbage`.
    kept: Vec<Object>,
}

/// A policy that is told what CPython's is told, and answers what that answers.
pub trait Comparable: Policy {
    /// The thresholds are these from here on.
    fn set_thresholds(&mut self, thresholds: [i32; Generation::MANY]);

    /// These.
    fn thresholds(&self) -> [i32; Generation::MANY];

    /// How many objects had survived the last full collection, and how many have come to the oldest generation since.
    fn long_lived(&self) -> [u64; 2];

    /// Why a full collection is held back that would be due now, if one is.
    fn holds_back(&self, counters: &Counters) -> Option<HeldBack>;
}

impl Comparable for Generational {
    fn set_thresholds(&mut self, thresholds: [i32; Generation::MANY]) {
        self.set_thresholds(thresholds);
    }

    fn thresholds(&self) -> [i32; Generation::MANY] {
        self.thresholds()
    }

    fn long_lived(&self) -> [u64; 2] {
        [self.total() as u64, self.pending() as u64]
    }

    fn holds_back(&self, counters: &Counters) -> Option<HeldBack> {
        self.choose(counters).held_back
    }
}

/// Replays the collections of one trace, frame after frame.
pub struct CollectionEngine<P = Generational> {
    generations: Generations<P>,
    members: Members,
    /// Which live blocks are containers.
    blocks: BlockTable<bool>,
    kinds: Vec<Kind>,
    version: (u32, u32),
    graphs: VecDeque<Graph>,
    objects: u64,
    going: Option<Going>,
    scratch: Bump,
    is_finalizing: bool,
    /// How many collections it has asked for since.
    exits: usize,
    /// How many steps of the frame have been done.
    steps: usize,
    /// Whether one is armed, and not due any more.
    has_fallen: bool,
    /// Nothing is known any more: a collection was not seen, or not told of whole.
    is_lost: bool,
}

impl CollectionEngine {
    /// An engine for an interpreter of this version.
    ///
    /// # Errors
    /// If the version is none whose collector is known.
    pub fn new(version: &str) -> Result<Self, EngineError> {
        let (major, minor, patch) = full_version(version).unwrap_or_default();
        let generations = Generations::for_cpython(major, minor, patch)
            .ok_or_else(|| EngineError::Version(version.to_owned()))?;
        Ok(Self::with(generations, (major, minor)))
    }
}

impl<P: Comparable> CollectionEngine<P> {
    /// An engine that collects as these do; types are those of an interpreter of this version, major and minor.
    #[must_use]
    pub fn with(generations: Generations<P>, version: (u32, u32)) -> Self {
        let immortal = generations.collector().counting.immortal;
        Self {
            generations,
            members: Members::new(immortal),
            blocks: BlockTable::new(),
            kinds: Vec::new(),
            version,
            graphs: VecDeque::new(),
            objects: 0,
            going: None,
            scratch: Bump::new(),
            is_finalizing: false,
            exits: 0,
            steps: 0,
            has_fallen: false,
            is_lost: false,
        }
    }

    /// Replays one frame, whose first input is event number `first_event`, and leaves in `out` what it predicts.
    pub fn run(
        &mut self,
        first_event: u64,
        inputs: &[PackedInput],
        frame: &mut CollectionFrame,
        out: &mut CollectionPredictions,
    ) {
        self.run_watched(first_event, inputs, frame, out, &mut ());
    }

    /// The same, before the eyes of somebody.
    pub fn run_watched(
        &mut self,
        first_event: u64,
        inputs: &[PackedInput],
        frame: &mut CollectionFrame,
        out: &mut CollectionPredictions,
        watch: &mut impl Watch,
    ) {
        out.collections.clear();
        out.looks.clear();
        (out.given, out.counts) = (GivenOfCollections::default(), CollectionCounts::default());
        self.kinds.extend(frame.types.iter().map(|info| Kind::of(info, self.version)));
        self.graphs.append(&mut frame.graphs);
        let mut steps = frame.steps.iter().peekable();
        self.steps = 0;
        let mut for_objects = 0;
        for (event, &input) in (first_event..).zip(inputs) {
            while let Some(step) = steps.next_if(|step| step.event <= event) {
                self.step(event, &step.what, out, watch);
            }
            if input.is_birth() {
                let mut is_container = false;
                if input.is_birth_for_object() {
                    is_container = frame.is_container(for_objects);
                    for_objects += 1;
                }
                watch.input(event, input, is_container);
                self.blocks.push(is_container);
                if is_container && self.generations.allocated() {
                    let is_it = |step: &&CollectorStep| {
                        step.event == event + 1 && step.what == CollectorAction::Exception
                    };
                    let has_exception = steps.next_if(is_it).is_some();
                    self.steps += usize::from(has_exception);
                    self.triggered(event, has_exception, out, watch);
                }
                continue;
            }
            watch.input(event, input, false);
            if input.is_release() {
                if self.blocks.remove(input.block()) == Some(true) {
                    self.generations.freed();
                    self.members.released(input.block());
                    if self.generations.is_armed(THREAD) {
                        self.fallen(out);
                    }
                }
            } else if input.kind() == trace::Kind::Mark && input.block() == MARK_FINALIZING {
                self.is_finalizing = true;
            }
        }
        let end = first_event + inputs.len() as u64;
        for step in steps {
            self.step(end, &step.what, out, watch);
        }
    }

    /// A collection is armed, and there is one container less.
    #[cold]
    fn fallen(&mut self, out: &mut CollectionPredictions) {
        let is_due = self.generations.counters().counts[0] > self.generations.policy().alarm().young;
        out.counts.not_due_any_more += u64::from(!is_due && !self.has_fallen);
        self.has_fallen = !is_due;
    }

    /// More containers were allocated than the threshold says.
    #[cold]
    fn triggered(
        &mut self,
        event: u64,
        has_exception: bool,
        out: &mut CollectionPredictions,
        watch: &mut impl Watch,
    ) {
        self.has_fallen = false;
        let was_armed = self.generations.is_armed(THREAD);
        match self.generations.trigger(THREAD, has_exception) {
            Answer::Collect(started) => self.begin(event + 1, started, out, watch),
            Answer::Armed if !was_armed => watch.armed(event),
            Answer::Nothing(Because::Exception) => out.given.exceptions += 1,
            Answer::Armed | Answer::Nothing(_) => {}
        }
    }

    fn step(
        &mut self,
        event: u64,
        what: &CollectorAction,
        out: &mut CollectionPredictions,
        watch: &mut impl Watch,
    ) {
        self.steps += 1;
        match what {
            CollectorAction::Settings(settings) => self.set(settings),
            CollectorAction::Asks(generation) => {
                out.counts.asked += 1;
                let generation = Generation::new((*generation).into()).unwrap_or(Generation::OLD);
                let answer = self.generations.request(Request::Program(generation));
                self.begin_if(event, answer, out, watch);
            }
            CollectorAction::SafePoint => {
                out.given.moments += 1;
                let answer = match self.generations.service(THREAD) {
                    // Also if something was armed that is not due any more.
                    Answer::Nothing(_) if self.is_finalizing => {
                        let request = self.request_at_exit();
                        self.generations.request(request)
                    }
                    answer => answer,
                };
                self.begin_if(event, answer, out, watch);
            }
            CollectorAction::Finalized => self.look_again(event, out),
            CollectorAction::Over(survivors) => self.end(survivors.as_deref(), out, watch),
            CollectorAction::Lost => {
                self.is_lost = true;
                self.going = None;
                watch.unseen(event);
            }
            // Where nothing is due it changes nothing.
            CollectorAction::Exception => {}
        }
    }

    /// What an interpreter asks for next that ends.
    fn request_at_exit(&mut self) -> Request {
        let mut rest = self.generations.rules().at_exit.iter().skip(self.exits);
        let is_possible = |request: &&Request| **request != Request::Exit || self.generations.is_enabled();
        let before = rest.len();
        let request = rest.find(is_possible).copied();
        self.exits += before - rest.len();
        // It asks for no more than these.
        request.unwrap_or(Request::Exit)
    }

    fn set(&mut self, settings: &CollectorSettings) {
        let thresholds = settings.thresholds.map(|threshold| i32::try_from(threshold).unwrap_or(i32::MAX));
        self.generations.change(|policy| policy.set_thresholds(thresholds));
        self.generations.set_enabled(settings.enabled);
        self.generations.set_saves_all(settings.flags & SAVES_ALL != 0);
        match settings.permanent {
            Permanent::Unchanged => {}
            Permanent::More => self.generations.freeze(&mut self.members),
            Permanent::None => self.generations.unfreeze(&mut self.members),
        }
    }

    /// Begins what is due; if nothing is, that is the prediction.
    fn begin_if(
        &mut self,
        event: u64,
        answer: Answer,
        out: &mut CollectionPredictions,
        watch: &mut impl Watch,
    ) {
        match answer {
            Answer::Collect(started) => self.begin(event, started, out, watch),
            Answer::Armed | Answer::Nothing(_) if !self.is_lost => {
                out.collections.push(PredictedCollection { event, ..PredictedCollection::default() });
            }
            Answer::Armed | Answer::Nothing(_) => {}
        }
    }

    fn begin(
        &mut self,
        event: u64,
        started: Started,
        out: &mut CollectionPredictions,
        watch: &mut impl Watch,
    ) {
        let (generation, why) = (started.plan().generation, started.why());
        let number = u8::try_from(generation.number()).unwrap_or_default();
        let mut predicted = PredictedCollection { event, generation: Some(number), ..Default::default() };
        if self.is_lost {
            return;
        }
        let graph = self.graphs.pop_front().filter(|graph| graph.oldest >= number);
        let Some(graph) = graph else {
            // The interpreter did not look at that: what is predicted is wrong.
            self.is_lost = true;
            out.collections.push(predicted);
            return;
        };
        // From 3.12 on the end shows, but when the interpreter ends.
        let is_quiet = !started.calls_back() || self.generations.rules().runs == Runs::Inside;
        let before = self.generations.counters().counts;
        let held_back = self.generations.policy().holds_back(self.generations.counters());
        let held_back = held_back.filter(|_| why == Why::Alarm);
        out.counts.held_back += u64::from(held_back.is_some());
        predicted.numbers[2..5].copy_from_slice(&before);
        let thresholds = self.generations.policy().thresholds();
        self.look_at(&graph, out);
        self.scratch.reset();
        self.members.runs_code = false;
        self.members.called.clear();
        let Ok(look) = started.look(&mut self.generations, &mut self.members, &self.scratch) else {
            self.is_lost = true;
            return;
        };
        let objects = look.snapshot.objects();
        for at in look.partition.unreachable() {
            let id = objects[at as usize];
            let runs_code = self.members.would_run_code(id);
            predicted.runs_code |= runs_code;
            out.counts.finalized += u64::from(runs_code);
            predicted.unreachable.push(self.members.object(id));
        }
        predicted.runs_code |= self.members.runs_code;
        // All weak references to garbage are taken off it: those that are garbage themselves are not called.
        out.counts.callbacks +=
            (self.members.called.len() - look.run.collection().outcome().suppressed) as u64;
        out.looks.push(Look {
            event,
            steps: self.steps,
            generation: number,
            graph,
            unreachable: predicted.unreachable.clone(),
            is_again: false,
        });
        // Not what is on no list any more, nor weak references that are called: these come behind the others.
        let old = look.run.collection().plan().old;
        let mut called = Vec::new();
        for id in look.partition.reachable().map(|at| objects[at as usize]) {
            let object = self.members.object(id);
            let list = self.members.place(id).list();
            if list != Some(old) {
                called.extend(list.map(|_| object));
                continue;
            }
            predicted.survivors.push(object);
            if is_quiet || (self.members.keeps(id) && !predicted.unreachable.is_empty()) {
                predicted.kept.push(object);
            }
        }
        watch.looks(&Seen {
            event,
            generation: number,
            why,
            counts: before,
            thresholds,
            held_back,
            saves_all: look.run.collection().plan().saves_all,
            outcome: *look.run.collection().outcome(),
            members: &self.members,
            snapshot: look.snapshot,
            partition: look.partition,
        });
        let (outcome, kept) = (Outcome::default(), Vec::new());
        self.going = Some(Going { run: look.run, predicted, outcome, kept });
        if let Some(going) = self.going.take_if(|going| !going.predicted.runs_code) {
            self.going = Some(self.go_on(going));
        }
    }

    /// Does what is left to do up to where the collection is over: what is cleared dies, which the program then shows.
    fn go_on(&mut self, mut going: Going) -> Going {
        loop {
            let outcome = match going.run.next(&mut self.generations, &mut self.members, &self.scratch) {
                Ok(generations::Step::Collector(cycles::Step::Clear(id))) => {
                    untrack(&mut self.members, id);
                    continue;
                }
                // What the collector had counted while it ran a finalizer or a callback.
                Ok(generations::Step::Collector(cycles::Step::Release(id))) => {
                    let counting = self.generations.collector().counting;
                    if let Ok(word) = counting.decrement(self.members.count(id)) {
                        self.members.set_count(id, word);
                    }
                    continue;
                }
                Ok(generations::Step::Collector(cycles::Step::Garbage(id))) => {
                    going.kept.push(self.members.object(id));
                    // Where code has run, who is left is told.
                    if !going.predicted.runs_code {
                        going.predicted.survivors.push(self.members.object(id));
                        going.predicted.saved += 1;
                    }
                    continue;
                }
                Ok(generations::Step::Callbacks(outcome) | generations::Step::Done(outcome)) => outcome,
                // A count that is full is no reason to stop.
                Ok(_) | Err(_) => continue,
            };
            going.predicted.numbers[0] = outcome.collected as u64;
            going.predicted.numbers[1] = outcome.uncollectable as u64;
            going.outcome = outcome;
            return going;
        }
    }

    /// Finalizers have run, and the collector looks again.
    fn look_again(&mut self, event: u64, out: &mut CollectionPredictions) {
        let (Some(graph), Some(mut going)) = (self.graphs.pop_front(), self.going.take()) else { return };
        if going.predicted.runs_code && !going.predicted.is_exact {
            let unreachable: HashSet<Object> = going.predicted.unreachable.iter().copied().collect();
            let called: Vec<Object> =
                self.members.called.iter().copied().filter(|object| !unreachable.contains(object)).collect();
            // Those that died when they had been called are not called now; the collector counts them.
            let dead = called.iter().filter(|object| self.members.id(**object).is_none()).count();
            self.look_at(&graph, out);
            going.predicted.is_exact = true;
            going = self.go_on(going);
            going.predicted.numbers[0] += dead as u64;
            let called: HashSet<Object> = called.into_iter().collect();
            let old = going.run.collection().plan().old;
            for id in self.members.lists().iter(old) {
                let object = self.members.object(id);
                let is_saved = unreachable.contains(&object);
                going.predicted.saved += usize::from(is_saved);
                if is_saved || called.contains(&object) {
                    going.predicted.survivors.push(object);
                }
            }
        }
        let generation = going.predicted.generation.unwrap_or_default();
        let (steps, unreachable) = (self.steps, Vec::new());
        out.looks.push(Look { event, steps, generation, graph, unreachable, is_again: true });
        self.going = Some(going);
    }

    /// Takes in what the collector looks at.
    fn look_at(&mut self, graph: &Graph, out: &mut CollectionPredictions) {
        let first = self.objects;
        self.objects += graph.arrivals.len() as u64;
        let mut came = graph.came.iter().copied().peekable();
        for (object, arrival) in (first..).zip(&graph.arrivals) {
            let kind = self.kinds.get(arrival.of as usize).copied();
            let Some(id) = self.members.arrive(object, *arrival, kind) else { continue };
            let list = came.next_if(|came| came.1 == object).map_or(0, |came| came.0);
            out.given.came += u64::from(list > 0);
            track(&mut self.members, id, generation(list).list());
        }
        for &object in &graph.gone {
            if let Some(id) = self.members.id(object) {
                out.given.gone += u64::from(untrack(&mut self.members, id));
            }
        }
        for told in &graph.told {
            let Some(id) = self.members.id(told.object) else { continue };
            if let Some(count) = told.count {
                self.members.tell_count(id, count);
            }
            if let Some(referents) = &told.referents {
                self.members.set_referents(id, referents, &told.uncounted, told.is_embedded);
            }
            self.members.set_weak(id, &told.weak);
            self.members.tell_finalized(id, told.is_finalized);
        }
    }

    /// Code of the program has run: of the garbage these are left, to which somebody refers then. The others have died of it.
    /// Answers with what their counts were.
    fn tell_left(&mut self, garbage: &[Object], left: &HashSet<Object>) -> Vec<(Id, u64)> {
        let mut counts = Vec::new();
        for object in garbage {
            let Some(id) = self.members.id(*object) else { continue };
            if left.contains(object) {
                counts.push((id, self.members.count(id)));
                self.members.set_count(id, HELD);
            } else {
                untrack(&mut self.members, id);
            }
        }
        counts
    }

    /// The collection that goes on is over; these are left of it, if code of the program may have run.
    fn end(&mut self, survivors: Option<&[Object]>, out: &mut CollectionPredictions, watch: &mut impl Watch) {
        let Some(mut going) = self.going.take() else { return };
        let left: HashSet<Object> = survivors.unwrap_or_default().iter().copied().collect();
        let mut counts = Vec::new();
        let is_told = going.predicted.runs_code && !going.predicted.is_exact;
        if is_told {
            counts = self.tell_left(&going.predicted.unreachable, &left);
            going = self.go_on(going);
        }
        let Going { mut run, mut predicted, outcome, kept } = going;
        let mut saved = Vec::new();
        let Self { generations, members, scratch, .. } = self;
        while !matches!(run.next(generations, members, scratch), Ok(generations::Step::Done(_))) {}
        out.counts.collected(run.plan().generation, run.collection().outcome());
        if predicted.is_exact {
            let is_saved = |object: &&Object| !kept.contains(*object);
            saved.extend(predicted.survivors.iter().rev().take(predicted.saved).filter(is_saved));
            out.counts.resurrected += saved.len() as u64;
            out.counts.kept += kept.len() as u64;
        } else {
            out.counts.kept += predicted.saved as u64;
        }
        for (id, count) in counts {
            members.set_count(id, count);
        }
        if is_told {
            let old = generation(predicted.generation.map_or(2, |number| (number + 1).min(2))).list();
            let is_there = |members: &Members, object: &Object| {
                members.id(*object).filter(|id| members.place(*id).list() == Some(old))
            };
            let there = |object: &Object| is_there(members, object).is_some();
            predicted.revived = predicted.unreachable.iter().copied().filter(there).collect();
            let revived: HashSet<Object> = predicted.revived.iter().copied().collect();
            // They come before those that were saved, whom the second look finds when all are called.
            let place = |object: &Object| members.id(*object).map(|id| members.place(id).index());
            let saved_from = predicted.revived.iter().filter_map(place).min().unwrap_or(usize::MAX);
            let before = |object: &Object| place(object).is_some_and(|place| place < saved_from);
            let called = members.called.iter().copied().filter(|object| there(object) && before(object));
            predicted.called = called.filter(|object| !revived.contains(object)).collect();
            // In which order they were saved is not known: they are where they were seen.
            let list = survivors.unwrap_or_default();
            for id in list.iter().filter_map(|object| is_there(members, object)).collect::<Vec<_>>() {
                untrack(members, id);
                track(members, id, old);
            }
            saved.clone_from(&predicted.revived);
            out.given.saved += saved.len() as u64;
            out.counts.resurrected += saved.len() as u64;
            predicted.numbers[0] = (predicted.unreachable.len() as u64).saturating_sub(saved.len() as u64);
        }
        let policy = generations.policy();
        let [a, b, c] = generations.counters().counts;
        let [total, pending] = policy.long_lived();
        predicted.numbers[5..].copy_from_slice(&[a, b, c, total, pending]);
        watch.over(&Over { predicted: &predicted, outcome, saved: &saved, kept: &kept });
        out.collections.push(predicted);
    }
}

fn generation(number: u8) -> Generation {
    Generation::new(number.into()).unwrap_or(Generation::OLD)
}
