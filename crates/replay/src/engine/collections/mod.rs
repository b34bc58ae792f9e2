//! The engine of collections: drives `generations` and `cycles` with what a program allocated and did to its collector.
//!
//! It counts containers, and says which collection is due when, of which generation. When it has, it may fetch what the
//! collector looks at: who has come to the youngest generation's list, and what has changed of the others, which it has
//! carried forward itself. From that it says who is garbage, and who stands where on the lists afterwards.
//!
//! What finalizers and callbacks do cannot be seen here: of a collection that runs some, the engine is told who is left. Behind a
//! collection that was not seen, it is told how things are, and goes on from there.

mod counts;
mod going;
mod heap;
mod lost;
mod predictions;
mod watch;

use std::collections::VecDeque;

use bumpalo::Bump;
use cycles::{Containers, Outcome};
use generations::{
    Answer, Because, Counters, Generation, Generational, Generations, HeldBack, Policy, Request, Run, Runs,
    Started, Thread, Why,
};
use trace::{
    BlockTable, CollectionFrame, CollectorAction, CollectorSettings, CollectorStep, Graph, MARK_FINALIZING,
    Object, PackedInput, Permanent,
};

use super::EngineError;
use crate::kinds::full_version;
pub use counts::CollectionCounts;
use heap::{Id, Kind, Members};
pub use predictions::{CollectionPredictions, GivenOfCollections, Look, PredictedCollection, Unseen};
pub use watch::{Over, Seen, Watch};

/// The flag that has garbage kept.
const SAVES_ALL: u32 = 32;

/// The interpreter's lock makes them one.
const THREAD: Thread = Thread(0);

/// A collection has begun, and has not looked at anything yet.
struct Begun {
    /// The first event behind that.
    event: u64,
    started: Started,
    /// The counts of the generations then, and their thresholds.
    counts: [u64; 3],
    thresholds: [i32; 3],
    held_back: Option<HeldBack>,
}

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

    /// They are so many from here on.
    fn set_long_lived(&mut self, long_lived: [u64; 2]);

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

    fn set_long_lived(&mut self, [total, pending]: [u64; 2]) {
        let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
        self.set_long_lived(number(total), number(pending));
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
    /// How many of those were fetched, and how many objects have come with them.
    fetched: u64,
    objects: u64,
    /// Whether functions are called back when a collection begins, and when it is over.
    calls_back: bool,
    /// They are, of this one that has begun.
    begun: Option<Begun>,
    going: Option<Going>,
    /// They are, of this one that is over.
    ending: Option<Run<Id>>,
    scratch: Bump,
    is_finalizing: bool,
    /// How many collections it has asked for since.
    exits: usize,
    /// How many steps of the frame have been done.
    steps: usize,
    /// Whether one is armed, and not due any more.
    has_fallen: bool,
    /// Whether what is released next counts otherwise than as it did when it was allocated: for another collector, or for this one.
    is_moved: bool,
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
            fetched: 0,
            objects: 0,
            calls_back: false,
            begun: None,
            going: None,
            ending: None,
            scratch: Bump::new(),
            is_finalizing: false,
            exits: 0,
            steps: 0,
            has_fallen: false,
            is_moved: false,
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
                let is_moved = std::mem::take(&mut self.is_moved);
                let is_container = self.blocks.remove(input.block()) == Some(true);
                if is_container {
                    self.members.released(input.block());
                }
                if is_container != is_moved {
                    self.generations.freed();
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
                // The first thing that an interpreter does that ends is to collect, whatever is armed.
                let ends = self.is_finalizing && self.exits == 0 && self.generations.is_enabled();
                let answer = if ends {
                    self.collect_at_exit()
                } else {
                    match self.generations.service(THREAD) {
                        // Also if something was armed that is not due any more.
                        Answer::Nothing(_) if self.is_finalizing => self.collect_at_exit(),
                        answer => answer,
                    }
                };
                self.begin_if(event, answer, out, watch);
            }
            CollectorAction::Ends => {
                out.given.moments += 1;
                let answer = self.collect_at_exit();
                self.begin_if(event, answer, out, watch);
            }
            CollectorAction::Finalized => self.look_again(event, out),
            CollectorAction::Over(survivors) => self.end(survivors.as_deref(), out, watch),
            CollectorAction::CalledBack => {
                if let Some(begun) = self.begun.take() {
                    self.look(event, begun, out, watch);
                } else if let Some(run) = self.ending.take() {
                    self.finish(run);
                }
            }
            CollectorAction::Lost(behind) => self.lose(event, behind.as_ref(), out, watch),
            CollectorAction::Elsewhere | CollectorAction::Here => self.is_moved = true,
            // Where nothing is due it changes nothing.
            CollectorAction::Exception => {}
        }
    }

    /// Asks for what an interpreter asks for next that ends.
    fn collect_at_exit(&mut self) -> Answer {
        let mut rest = self.generations.rules().at_exit.iter().skip(self.exits);
        let is_possible = |request: &&Request| **request != Request::Exit || self.generations.is_enabled();
        let before = rest.len();
        let request = rest.find(is_possible).copied();
        self.exits += before - rest.len();
        // It asks for no more than these.
        self.generations.request(request.unwrap_or(Request::Exit))
    }

    fn set(&mut self, settings: &CollectorSettings) {
        let thresholds = settings.thresholds.map(|threshold| i32::try_from(threshold).unwrap_or(i32::MAX));
        self.generations.change(|policy| policy.set_thresholds(thresholds));
        self.generations.set_enabled(settings.enabled);
        self.generations.set_saves_all(settings.flags & SAVES_ALL != 0);
        self.calls_back = settings.calls_back;
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
        if self.is_lost {
            return;
        }
        let (counters, policy) = (self.generations.counters(), self.generations.policy());
        let held_back = policy.holds_back(counters).filter(|_| started.why() == Why::Alarm);
        out.counts.held_back += u64::from(held_back.is_some());
        let (counts, thresholds) = (counters.counts, policy.thresholds());
        let begun = Begun { event, started, counts, thresholds, held_back };
        if self.calls_back && begun.started.calls_back() {
            self.begun = Some(begun);
        } else {
            self.look(event, begun, out, watch);
        }
    }

    /// A collection that has begun looks at its objects now.
    fn look(&mut self, now: u64, begun: Begun, out: &mut CollectionPredictions, watch: &mut impl Watch) {
        let Begun { event, started, counts: before, thresholds, held_back } = begun;
        let (generation, why) = (started.plan().generation, started.why());
        let number = u8::try_from(generation.number()).unwrap_or_default();
        let mut predicted = PredictedCollection { event, generation: Some(number), ..Default::default() };
        let Some(graph) = self.graphs.pop_front_if(|graph| graph.oldest >= number) else {
            // The interpreter did not look at that: what is predicted is wrong.
            self.is_lost = true;
            out.collections.push(predicted);
            return;
        };
        // From 3.12 on the end shows, but when the interpreter ends.
        let is_quiet = !started.calls_back() || self.generations.rules().runs == Runs::Inside;
        predicted.numbers[2..5].copy_from_slice(&before);
        let first = self.objects;
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
            event: now,
            steps: self.steps,
            generation: number,
            first,
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
}

fn generation(number: u8) -> Generation {
    Generation::new(number.into()).unwrap_or(Generation::OLD)
}

#[cfg(test)]
mod tests;
