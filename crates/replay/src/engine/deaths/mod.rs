//! The engine of deaths: drives `rc`, and a `pool` behind it, with what a program did to its objects.
//!
//! It is given births and the deaths that nothing in the trace explains. At each death it may fetch what the dying object
//! refers to, with the counts that these have, and then says who dies by that, in which order, and whose memory is
//! released when. The pool is driven by the releases that are predicted: a wrong death moves blocks.
//!
//! A frame may end in the middle of a death, which is then taken up with the next one.

mod heap;

use std::collections::VecDeque;
use std::fmt;

use rc::{Death as Dying, Deaths, Heap, Rules};
use trace::{
    Allocator, Death, Fate, Fetched, FetchedDeaths, Object, ObjectFrame, PackedInput, Step, TypeInfo,
};

use super::{Engine, EngineError, Predictions};
use crate::kinds::minor_version;
use heap::Objects;

/// What the engine of deaths says of a frame, and what it had to be told.
#[derive(Debug, Default)]
pub struct DeathPredictions {
    /// What happens to objects, in order.
    pub deaths: Vec<Death>,
    /// Where the blocks come to lie that the program asks for, as in [`Predictions::addresses`].
    pub addresses: Vec<u64>,
    /// What was given.
    pub given: Given,
}

/// Answers that had to be inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Deaths outside of others.
    pub outermost: u64,
    /// Deaths inside of others that no reference explains.
    pub unexplained: u64,
    /// Deaths inside of others in which program code may have run.
    pub after_code: u64,
    /// Which reference was given up next, where the order is not known.
    pub order: u64,
    /// Whether memory was kept for another object.
    pub kept: u64,
    /// References that are not counted.
    pub uncounted: u64,
}

impl Given {
    /// Adds those of another frame.
    pub fn add(&mut self, other: &Self) {
        self.outermost += other.outermost;
        self.unexplained += other.unexplained;
        self.after_code += other.after_code;
        self.order += other.order;
        self.kept += other.kept;
        self.uncounted += other.uncounted;
    }
}

/// Why the engine of deaths cannot go on. All but the last say that a prediction was wrong, or the trace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The death of this object was predicted, and does not begin.
    NoBeginning(Object),
    /// The end of this object's death was predicted, and does not come.
    NoEnd(Object),
    /// This object is not alive, and is said to die.
    NotAlive(Object),
    /// The blocks cannot be replayed.
    Blocks(EngineError),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBeginning(object) => write!(f, "object {object} was predicted to die, and does not"),
            Self::NoEnd(object) => {
                write!(f, "the death of object {object} was predicted to end, and does not")
            }
            Self::NotAlive(object) => write!(f, "object {object} dies, which is not alive"),
            Self::Blocks(error) => error.fmt(f),
        }
    }
}

/// Replays the objects of one trace, frame after frame.
pub struct DeathEngine {
    blocks: Engine,
    predictions: Predictions,
    objects: Objects,
    deaths: Deaths<Object>,
    /// Steps that the program makes now, inside of the innermost death. The last one may be a death that is given.
    left: u64,
    /// The death that was given just now.
    given: Option<Object>,
    /// A death that begins as soon as it is told what is to be known of it.
    begins: Option<Object>,
    /// Steps and types that are still to come.
    steps: VecDeque<Step>,
    types: VecDeque<TypeInfo>,
    fetched: FetchedDeaths,
    stopped: Option<Stopped>,
    calls: u64,
}

/// How many steps wait for something to be fetched at most.
const MOST_STEPS: usize = 1 << 22;

impl DeathEngine {
    /// An engine for an interpreter with this allocator, of this version.
    ///
    /// # Errors
    /// If no such allocator can be built, or the version is not known.
    pub fn new(allocator: &Allocator, version: &str) -> Result<Self, EngineError> {
        let (major, minor) = minor_version(version).unwrap_or_default();
        let rules =
            Rules::for_cpython(major, minor).ok_or_else(|| EngineError::Version(version.to_owned()))?;
        Ok(Self {
            blocks: Engine::new(allocator)?,
            predictions: Predictions::default(),
            objects: Objects::new(rules.counting, (major, minor)),
            deaths: Deaths::new(rules),
            left: 0,
            given: None,
            begins: None,
            steps: VecDeque::new(),
            types: VecDeque::new(),
            fetched: FetchedDeaths::default(),
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
        out.addresses.clear();
        out.given = Given::default();
        self.fetched.append(&mut frame.fetched);
        if let Some(stopped) = &self.stopped {
            return Err(stopped.clone());
        }
        self.types.extend(frame.types.drain(..));
        self.steps.extend(frame.steps.iter().copied());
        let result = loop {
            match self.go_on(bases, out) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(stopped) => break Err(stopped),
            }
        };
        // Nothing comes of what was predicted.
        let waits = if self.steps.len() > MOST_STEPS { self.objects.innermost() } else { None };
        let result = result.and(waits.map_or(Ok(()), |object| Err(Stopped::NoEnd(object))));
        self.stopped = result.clone().err();
        result
    }

    /// Does the next thing. False if that is not in this frame.
    fn go_on(&mut self, bases: &mut Fetched, out: &mut DeathPredictions) -> Result<bool, Stopped> {
        if self.left == 0 && !self.deaths.is_idle() {
            // Whether the program does something inside of the innermost death, before that goes on.
            let waits = self.begins.is_some() || self.given.is_some() || self.objects.innermost().is_some();
            if waits && self.fetched.is_empty() {
                return Ok(false);
            }
            self.left = self.objects.innermost().map_or(0, |object| self.fetched.steps(object));
            if self.left == 0 {
                return self.die(bases, out).map(|()| true);
            }
        }
        let Some(step) = self.steps.pop_front() else { return Ok(false) };
        self.left = self.left.saturating_sub(1);
        self.step(step, bases, out)?;
        Ok(true)
    }

    /// The deaths that are going on go on.
    fn die(&mut self, bases: &mut Fetched, out: &mut DeathPredictions) -> Result<(), Stopped> {
        if let Some(object) = self.begins.take() {
            return self.begin(object, out);
        }
        self.objects.next_choice =
            if self.objects.needs_choice() { self.fetched.next_choice() } else { None };
        // An object may tell of a reference that is not counted; it is then ignored.
        let Ok(said) = self.deaths.next(&mut self.objects) else {
            out.given.uncounted += 1;
            return Ok(());
        };
        out.given.order += std::mem::take(&mut self.objects.orders_given);
        match said {
            Some(Dying::Begin(object)) if self.fetched.is_empty() => {
                self.begins = Some(object);
                Ok(())
            }
            Some(Dying::Begin(object)) => self.begin(object, out),
            Some(Dying::Free(object)) => self.end(object, bases, out),
            // This heap has none of these.
            Some(Dying::Finalize(_) | Dying::Callback(_)) | None => Ok(()),
        }
    }

    fn begin(&mut self, object: Object, out: &mut DeathPredictions) -> Result<(), Stopped> {
        let beginning = self.fetched.begins(object).ok_or(Stopped::NoBeginning(object))?;
        if self.given.take_if(|given| *given == object).is_none() {
            out.deaths.push(Death::Begins(object));
        }
        self.objects.begin(object, beginning);
        Ok(())
    }

    fn end(
        &mut self,
        object: Object,
        bases: &mut Fetched,
        out: &mut DeathPredictions,
    ) -> Result<(), Stopped> {
        let told = self.fetched.ends(object).ok_or(Stopped::NoEnd(object))?;
        let fate = self.objects.fate(object, told, &mut out.given.kept);
        out.deaths.push(Death::Ends(object, fate));
        let (block, last) = self.objects.end(object, fate);
        if let (Fate::Released, Some(block)) = (fate, block) {
            self.call(PackedInput::release(block), bases, out)?;
        }
        // At once, and not when the death inside of which this one was goes on: who knows what comes before that.
        if let Some(last) = last
            && self.deaths.decrement(&mut self.objects, last).is_err()
        {
            out.given.uncounted += 1;
        }
        Ok(())
    }

    fn step(&mut self, step: Step, bases: &mut Fetched, out: &mut DeathPredictions) -> Result<(), Stopped> {
        match step {
            Step::Block(input) => self.call(input, bases, out)?,
            Step::Described => self.objects.described(self.types.pop_front()),
            Step::Born { of, begins } => self.objects.born(of, begins),
            Step::Dies(object) => {
                match self.objects.is_stale() {
                    None => out.given.outermost += 1,
                    Some(true) => out.given.after_code += 1,
                    Some(false) => out.given.unexplained += 1,
                }
                if !self.objects.is_alive(object) {
                    return Err(Stopped::NotAlive(object));
                }
                self.objects.set_count(object, 1);
                // It counts one, so this cannot fail.
                let _ = self.deaths.decrement(&mut self.objects, object);
                self.given = Some(object);
            }
        }
        Ok(())
    }

    /// A call of the memory manager.
    fn call(
        &mut self,
        input: PackedInput,
        bases: &mut Fetched,
        out: &mut DeathPredictions,
    ) -> Result<(), Stopped> {
        let done = self.blocks.run(self.calls, &[input], bases, &mut self.predictions);
        self.calls += 1;
        out.addresses.extend_from_slice(self.predictions.addresses());
        done.map_err(Stopped::Blocks)
    }
}
