//! The engine of deaths: drives `rc`, and a `pool` behind it, with what a program did to its objects.
//!
//! Where a trace tells of every change of a count, it is given these, other than those that deallocations make: it says who
//! dies by them. Else it is given the deaths that nothing in the trace explains. At each death it may fetch what the dying
//! object refers to, and then says who dies by that, in which order, whose finalizers and callbacks run, and whose memory is
//! released when. The pool is driven by the releases that are predicted: a wrong death moves blocks.
//!
//! A frame may end in the middle of a death, which is then taken up with the next one.

mod given;
mod happening;
mod heap;
mod kept;
mod stopped;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use rc::{Count, Death as Dying, Deaths, Heap, Holds, Rules};
use trace::{
    Allocator, Begins, Death, Fate, Fetched, Object, ObjectFrame, PackedInput, STRANGER, Step, Tier, TypeInfo,
};

use super::{Engine, EngineError, Predictions};
use crate::kinds::minor_version;
pub use given::Given;
pub use happening::{Cause, Happening};
use heap::Objects;
pub use stopped::Stopped;

/// What the engine of deaths says of a frame, and what it had to be told.
#[derive(Debug, Default)]
pub struct DeathPredictions {
    /// What happens to objects, in order.
    pub deaths: Vec<Death>,
    /// How many references there are to what dying objects refer to, as in [`ObjectFrame::counts`].
    pub counts: Vec<u32>,
    /// Where the blocks come to lie that the program asks for, as in [`Predictions::addresses`].
    pub addresses: Vec<u64>,
    /// What was given.
    pub given: Given,
    /// All that happens, in one order, if that was asked for.
    pub happenings: Option<Vec<Happening>>,
}

/// Replays the objects of one trace, frame after frame.
pub struct DeathEngine {
    blocks: Engine,
    predictions: Predictions,
    objects: Objects,
    rules: Rules,
    /// The thread that runs; what dies in it is with the objects.
    thread: Thread,
    number: u32,
    /// All threads; nothing in the place of the one that runs.
    threads: Vec<Thread>,
    /// Steps and types that are still to come; of the steps, those from this place on.
    steps: Vec<Step>,
    next: usize,
    types: VecDeque<TypeInfo>,
    stopped: Option<Stopped>,
    calls: u64,
}

/// What is going on in a thread.
struct Thread {
    deaths: Deaths<Object>,
    /// The deaths that are going on, while another thread runs.
    dying: Vec<heap::Dying>,
    /// Steps that the program makes now, inside of the innermost death. The last one may begin a death.
    left: u64,
    /// The death that was given just now, or that the program's last step is the cause of, and why it begins.
    given: Option<(Object, Cause)>,
    /// A finalizer or a callback has returned.
    has_returned: bool,
    /// How many collections are going on.
    collections: u32,
}

impl Thread {
    fn new(rules: Rules) -> Self {
        Self {
            deaths: Deaths::new(rules),
            dying: Vec::new(),
            left: 0,
            given: None,
            has_returned: false,
            collections: 0,
        }
    }
}

/// How many steps wait for something to be fetched at most.
const MOST_STEPS: usize = 1 << 22;

impl DeathEngine {
    /// An engine for a trace of this tier, of an interpreter with this allocator, of this version.
    ///
    /// # Errors
    /// If no such allocator can be built, or the version is not known.
    pub fn new(allocator: &Allocator, version: &str, tier: Tier) -> Result<Self, EngineError> {
        let (major, minor) = minor_version(version).unwrap_or_default();
        let rules =
            Rules::for_cpython(major, minor).ok_or_else(|| EngineError::Version(version.to_owned()))?;
        // What is done to hold weak references is among the program's steps.
        let rules = Rules { holds: Holds::None, ..rules };
        Ok(Self {
            blocks: Engine::new(allocator)?,
            predictions: Predictions::default(),
            objects: Objects::new(&rules, (major, minor), tier >= Tier::Counts),
            rules,
            thread: Thread::new(rules),
            number: 0,
            threads: vec![Thread::new(rules)],
            steps: Vec::new(),
            next: 0,
            types: VecDeque::new(),
            stopped: None,
            calls: 0,
        })
    }

    /// Replays one frame, and leaves in `out` what it predicts. Takes the frame's fetched records; `bases` are those of
    /// arenas.
    ///
    /// # Errors
    /// If the replay cannot go on.
    pub fn run(
        &mut self,
        frame: &mut ObjectFrame,
        bases: &mut Fetched,
        out: &mut DeathPredictions,
    ) -> Result<(), Stopped> {
        out.deaths.clear();
        out.counts.clear();
        out.addresses.clear();
        out.happenings.iter_mut().for_each(Vec::clear);
        self.objects.given = Given::default();
        self.objects.fetched.append(&mut frame.fetched);
        if let Some(stopped) = &self.stopped {
            out.given = Given::default();
            return Err(stopped.clone());
        }
        self.types.extend(frame.types.drain(..));
        if self.next == self.steps.len() {
            self.steps.clear();
            std::mem::swap(&mut self.steps, &mut frame.steps);
        } else {
            self.steps.drain(..self.next);
            self.steps.append(&mut frame.steps);
        }
        self.next = 0;
        let result = loop {
            match self.go_on(bases, out) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(stopped) => break Err(stopped),
            }
        };
        out.given = self.objects.given;
        // Nothing comes of what was predicted.
        let waits = if self.steps.len() - self.next > MOST_STEPS { self.objects.innermost() } else { None };
        let result = result.and(waits.map_or(Ok(()), |object| Err(Stopped::NoEnd(object))));
        self.stopped = result.clone().err();
        result
    }

    /// Does the next thing. False if that is not in this frame.
    fn go_on(&mut self, bases: &mut Fetched, out: &mut DeathPredictions) -> Result<bool, Stopped> {
        let Thread { deaths, left, has_returned, .. } = &self.thread;
        if *has_returned {
            if self.objects.fetched.is_empty() {
                return Ok(false);
            }
            return self.return_to(out).map(|()| true);
        }
        if *left == 0 && !deaths.is_idle() && !deaths.is_waiting() {
            let current = deaths.current();
            // What is told may come with the next frame.
            if (current.is_some() || deaths.deposited() > 0) && self.objects.waits() {
                return Ok(false);
            }
            // Whether the program does something inside of the innermost death, before that goes on; or between deaths that
            // were put off, when one of them is over and the next is taken up.
            if (current.is_some() && current == self.objects.innermost()) || deaths.is_taking_up() {
                self.thread.left = self.objects.steps();
            }
            if self.thread.left == 0 {
                return self.die(bases, out).map(|()| true);
            }
        }
        let Some(&step) = self.steps.get(self.next) else { return Ok(false) };
        self.next += 1;
        self.thread.left = self.thread.left.saturating_sub(1);
        self.step(step, bases, out)?;
        Ok(true)
    }

    /// The deaths that are going on go on.
    fn die(&mut self, bases: &mut Fetched, out: &mut DeathPredictions) -> Result<(), Stopped> {
        let said = self.thread.deaths.next(&mut self.objects);
        out.deaths.append(&mut self.objects.noted);
        // An object may tell of a reference that is not counted; it is then ignored.
        let Ok(said) = said else {
            self.objects.given.uncounted += 1;
            return Ok(());
        };
        match said {
            Some(Dying::Begin(object)) => self.begin(object, out),
            Some(Dying::Free(object)) => self.end(object, bases, out),
            Some(Dying::Finalize(object)) => self.call_code(Death::Finalizer(object), out),
            Some(Dying::Callback(reference)) => self.call_code(Death::Callback(reference), out),
            Some(Dying::Pause) | None => Ok(()),
        }
    }

    fn begin(&mut self, object: Object, out: &mut DeathPredictions) -> Result<(), Stopped> {
        if !self.objects.begin(object, &mut out.counts) {
            return Err(Stopped::NoBeginning(object));
        }
        // Where deaths are told, those that are given are no answers.
        let given = self.thread.given.take_if(|(given, _)| *given == object);
        if given.is_none() || self.objects.follows() {
            out.deaths.push(Death::Begins(object));
        }
        out.note(Happening::Begins(object, given.map_or(Cause::Explained, |(_, cause)| cause)));
        Ok(())
    }

    /// A finalizer or a callback is called: what it does are the program's next steps.
    fn call_code(&mut self, what: Death, out: &mut DeathPredictions) -> Result<(), Stopped> {
        if !self.objects.fetched.calls() {
            return Err(Stopped::NoCall(what.object()));
        }
        out.deaths.push(what);
        Ok(())
    }

    fn end(
        &mut self,
        object: Object,
        bases: &mut Fetched,
        out: &mut DeathPredictions,
    ) -> Result<(), Stopped> {
        let told = self.objects.ends().ok_or(Stopped::NoEnd(object))?;
        let fate = self.objects.fate(object, told);
        out.deaths.push(Death::Ends(object, fate));
        let (block, last) = self.objects.end(object, fate);
        let lives_on = object & STRANGER == 0 && self.objects.is_alive(object);
        out.note(Happening::Ends { object, fate, lives_on });
        if let (Fate::Released, Some(block)) = (fate, block) {
            self.call(PackedInput::release(block), bases, out)?;
        }
        // At once, and not when the death inside of which this one was goes on: who knows what comes before that.
        if let Some(last) = last {
            self.decrement(last);
        }
        Ok(())
    }

    /// A reference is given up. Whether there was one is of no interest to who does so. Answers whether it was the last.
    fn decrement(&mut self, object: Object) -> bool {
        self.thread.deaths.decrement(&mut self.objects, object).unwrap_or_else(|_| {
            self.objects.given.uncounted += 1;
            false
        })
    }

    /// The program gives up a reference, or what is going on does and does not tell of it.
    fn give_up(&mut self, object: Object) {
        // What a finalizer or a callback does, whatever it runs in, the program does.
        let is_inside = self.objects.innermost().is_some() && !self.thread.deaths.is_waiting();
        let cause = if is_inside { Cause::Unexplained } else { Cause::Outermost };
        if self.decrement(object) {
            self.thread.given = Some((object, cause));
        }
    }

    /// A finalizer or a callback has returned.
    fn return_to(&mut self, out: &mut DeathPredictions) -> Result<(), Stopped> {
        self.thread.has_returned = false;
        self.objects.go_on(&mut out.counts);
        if self.thread.deaths.finished(&mut self.objects).is_err() {
            self.objects.given.uncounted += 1;
        }
        if let Some(object) = self.objects.revived.take() {
            self.objects.fetched.ends().ok_or(Stopped::NoEnd(object))?;
            out.deaths.push(Death::Ends(object, Fate::Kept));
            out.note(Happening::Ends { object, fate: Fate::Kept, lives_on: true });
            self.objects.leave();
        }
        Ok(())
    }

    fn step(&mut self, step: Step, bases: &mut Fetched, out: &mut DeathPredictions) -> Result<(), Stopped> {
        match step {
            Step::Up(object) => {
                // Most steps are of this kind and the next: one look at the object has to do.
                let counting = self.rules.counting;
                match self.objects.count_mut(object) {
                    Some(count) => match counting.increment(*count) {
                        Ok(more) => *count = more,
                        Err(_) => self.objects.given.uncounted += 1,
                    },
                    None => self.alive(object)?,
                }
            }
            Step::Down(object) => {
                let counting = self.rules.counting;
                match self.objects.count_mut(object) {
                    None => self.alive(object)?,
                    Some(count) if self.thread.deaths.is_idle() => {
                        if let Ok(less) = counting.decrement(*count)
                            && counting.read(less) != Count::Mortal(0)
                        {
                            *count = less;
                            self.objects.given.collector += u64::from(self.thread.collections > 0);
                            return Ok(());
                        }
                    }
                    Some(_) => {}
                }
                if self.thread.collections > 0 {
                    self.objects.given.collector += 1;
                } else if let Some(of) = self.objects.innermost()
                    && !self.thread.deaths.is_waiting()
                {
                    self.objects.given.hidden += 1;
                    out.note(Happening::Hidden { of, to: object });
                }
                self.give_up(object);
            }
            Step::Block(input) => self.call(input, bases, out)?,
            Step::Described => self.objects.described(self.types.pop_front()),
            Step::Born { of, begins } => {
                let mut begins = begins;
                if let Some((object, block)) = self.objects.born(of, begins).ok_or(Stopped::NothingKept)? {
                    out.deaths.push(Death::Reuses(object, block));
                    begins = Begins::InBlock(block, 0);
                }
                out.note(Happening::Born { of, begins });
            }
            Step::Dies(object) => {
                let is_stale = self.objects.is_stale();
                let given = &mut self.objects.given;
                let (given, cause) = match is_stale {
                    None => (&mut given.outermost, Cause::Outermost),
                    Some(true) => (&mut given.after_code, Cause::AfterCode),
                    Some(false) => (&mut given.unexplained, Cause::Unexplained),
                };
                *given += 1;
                self.alive(object)?;
                self.objects.set_count(object, 1);
                self.decrement(object);
                self.thread.given = Some((object, cause));
            }
            Step::Set(object, word) => {
                self.alive(object)?;
                // Written as 0, it dies.
                let dies =
                    self.rules.counting.read(word) == Count::Mortal(0) && !self.objects.is_dying(object);
                self.objects.set_count(object, if dies { self.rules.counting.with(word, 1) } else { word });
                if dies {
                    self.give_up(object);
                }
            }
            Step::Retyped(object, of) => self.objects.retyped(object, of),
            Step::Finalized(object) => self.objects.finalized(object),
            Step::Returned if self.thread.deaths.is_waiting() => self.thread.has_returned = true,
            Step::Returned => return Err(Stopped::NotCalled),
            Step::Interpreter(number) => self.objects.kept.runs(number),
            Step::Collection(generation) => {
                self.thread.collections += 1;
                out.note(Happening::CollectionBegins(generation));
            }
            Step::Collected(found) => {
                self.thread.collections = self.thread.collections.saturating_sub(1);
                out.note(Happening::CollectionEnds(found));
            }
            Step::Thread(thread) => {
                self.switch(thread)?;
                out.note(Happening::Thread(thread));
            }
        }
        Ok(())
    }

    fn alive(&self, object: Object) -> Result<(), Stopped> {
        if self.objects.is_alive(object) { Ok(()) } else { Err(Stopped::NotAlive(object)) }
    }

    /// Another thread goes on.
    fn switch(&mut self, number: u32) -> Result<(), Stopped> {
        let (Ok(from), Ok(to)) = (usize::try_from(self.number), usize::try_from(number)) else {
            return Err(Stopped::NoThread(number));
        };
        if to == from {
            return Ok(());
        }
        if to == self.threads.len() {
            self.threads.push(Thread::new(self.rules));
        }
        let next = self.threads.get_mut(to).ok_or(Stopped::NoThread(number))?;
        std::mem::swap(&mut self.objects.dying, &mut self.thread.dying);
        std::mem::swap(&mut self.thread, next);
        // What was in the new one's place goes to the old one's.
        self.threads.swap(from, to);
        std::mem::swap(&mut self.objects.dying, &mut self.thread.dying);
        self.number = number;
        Ok(())
    }

    /// A call of the memory manager, by the program or by a death that is over.
    fn call(
        &mut self,
        input: PackedInput,
        bases: &mut Fetched,
        out: &mut DeathPredictions,
    ) -> Result<(), Stopped> {
        self.objects.kept.called(input);
        let done = self.blocks.run(self.calls, &[input], bases, &mut self.predictions);
        self.calls += 1;
        out.note(Happening::Call(input));
        out.addresses.extend_from_slice(self.predictions.addresses());
        done.map_err(Stopped::Blocks)
    }
}
