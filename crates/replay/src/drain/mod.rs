//! The drain: turns the recorder's raw events, which speak of addresses, into a trace, which speaks of blocks.
//!
//! It knows which block lies at which address and which addresses are arenas', and nothing of how an allocator
//! works.

mod addresses;
mod allocator;
mod census;
mod collections;
mod counts;
mod objects;
mod pages;
mod told;

use std::fmt;
use std::io::Write;

use record::{Event, ObjectEvent};
use trace::{
    Allocator, Answer, Branch, Domain, Ending, Header, LiveBlock, MARK_DEBUGMALLOCSTATS, MARK_FINALIZING,
    Totals, Writer,
};

use addresses::{Addresses, Arenas};
pub use allocator::UnknownAllocator;
pub(crate) use allocator::by_version;
use told::{Teller, Told};

/// Raw events are held back until this many small blocks tell how the allocator was built.
const EVIDENCE: usize = 4096;

/// Why a recording cannot go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum DrainError {
    /// The trace cannot be written.
    Write(trace::Error),
    /// The interpreter's allocator is none that is known.
    Allocator(UnknownAllocator),
    /// The program's calls do not fit together: some went past the recorder.
    Gap {
        /// The event.
        event: u64,
        /// The address.
        address: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl fmt::Display for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => write!(f, "the trace cannot be written: {error}"),
            Self::Allocator(error) => error.fmt(f),
            Self::Gap { event, address, what } => write!(
                f,
                "event {event} {what} at {address:#x}: some of the program's calls went past the recorder, so the \
                 recording has a gap"
            ),
        }
    }
}

impl std::error::Error for DrainError {}

impl From<trace::Error> for DrainError {
    fn from(error: trace::Error) -> Self {
        Self::Write(error)
    }
}

/// Opens what the trace is written to.
type Open<W> = Box<dyn FnOnce() -> Result<W, trace::Error> + Send>;

/// Writes a trace from raw events.
pub struct Drain<W: Write> {
    /// The header but for the allocator, and where to write, until the allocator is known.
    waiting: Option<(Header, Open<W>)>,
    held_back: Vec<Event>,
    small: usize,
    recording: Option<Recording<W>>,
}

/// What a process had in its pools when another one was forked from it. As much memory as a [`Drain`] takes.
#[derive(Clone)]
pub struct Fork {
    branch: Branch,
    allocator: Allocator,
    addresses: Addresses,
    arenas: Arenas,
}

/// A trace being written.
struct Recording<W: Write> {
    writer: Writer<W>,
    allocator: Allocator,
    addresses: Addresses,
    arenas: Arenas,
    objects: Told,
    /// Arenas given back inside the call that is under way; it is known only later whether that is a resize.
    released: Vec<u64>,
}

impl<W: Write> Drain<W> {
    /// A drain that writes to what `open` yields, once it is known how the allocator was built: what `header` says of
    /// that is a first guess from the version.
    pub fn new(header: Header, open: impl FnOnce() -> Result<W, trace::Error> + Send + 'static) -> Self {
        Self { waiting: Some((header, Box::new(open))), held_back: Vec::new(), small: 0, recording: None }
    }

    /// A drain for a process that was forked from another: it goes on where `fork` was made, in a trace of its own.
    /// `parent` is the name of the parent's trace, which is in the same folder.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub fn resume(
        mut header: Header,
        fork: Fork,
        parent: String,
        open: impl FnOnce() -> Result<W, trace::Error>,
    ) -> Result<Self, DrainError> {
        let Fork { branch, allocator, addresses, arenas } = fork;
        header.allocator = allocator;
        let writer = Writer::resume(open()?, &header, branch, parent)?;
        let recording = Recording {
            writer,
            allocator,
            addresses,
            arenas,
            objects: Told::nothing(),
            released: Vec::new(),
        };
        Ok(Self { waiting: None, held_back: Vec::new(), small: 0, recording: Some(recording) })
    }

    /// What the process has in its pools now, for the trace of one that is forked from it here. `None` if it has no
    /// trace yet, nor will.
    ///
    /// # Errors
    /// As for [`Drain::push`].
    pub fn fork(&mut self) -> Result<Option<Fork>, DrainError> {
        self.begin()?;
        let Some(recording) = &mut self.recording else { return Ok(None) };
        recording.settle_released(None);
        Ok(Some(Fork {
            branch: recording.writer.branch()?,
            allocator: recording.allocator,
            addresses: recording.addresses.clone(),
            arenas: recording.arenas.clone(),
        }))
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// If the trace cannot be written, or the events do not fit together. The drain is then of no further use.
    #[inline(always)]
    pub fn push(&mut self, event: Event) -> Result<(), DrainError> {
        if let Some(recording) = &mut self.recording {
            return recording.push(event);
        }
        self.hold_back(event)
    }

    #[cold]
    fn hold_back(&mut self, event: Event) -> Result<(), DrainError> {
        self.held_back.push(event);
        if let Event::Allocate { size: 1..=512, .. } = event {
            self.small += 1;
        }
        if self.small < EVIDENCE { Ok(()) } else { self.begin() }
    }

    /// Opens the trace and writes what was held back, if that has not happened yet.
    ///
    /// # Errors
    /// As for [`Drain::push`].
    pub fn begin(&mut self) -> Result<(), DrainError> {
        let Some((mut header, open)) = self.waiting.take() else { return Ok(()) };
        header.allocator =
            allocator::recognise(header.allocator, &header.interpreter.version, &self.held_back)
                .map_err(DrainError::Allocator)?;
        // Kept also if an event does not fit: the trace is open from here on.
        let recording = self.recording.insert(Recording {
            allocator: header.allocator,
            addresses: Addresses::new(header.allocator.alignment),
            arenas: Arenas::default(),
            objects: Told::of(&header),
            released: Vec::new(),
            writer: Writer::new(open()?, &header)?,
        });
        std::mem::take(&mut self.held_back).into_iter().try_for_each(|event| recording.push(event))
    }

    /// Whether the trace was opened: the file, if it is one, then exists.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.recording.is_some()
    }

    /// Whether births and deaths of objects were recorded to some point only: the program took the tracer away.
    #[must_use]
    pub fn lost_objects(&self) -> bool {
        self.recording.as_ref().is_some_and(|recording| recording.objects.is_lost())
    }

    /// Bytes written so far; the last frame is not among them.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.recording.as_ref().map_or(0, |recording| recording.writer.bytes_written())
    }

    /// Has what was taken so far written when the next event comes, however little it is.
    pub fn write_soon(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.writer.end_frame_soon();
        }
    }

    /// Ends the trace, which may have been cut short: see [`Writer::cut_short`]. Returns its totals and its size in
    /// bytes.
    ///
    /// # Errors
    /// If the trace cannot be written.
    pub fn finish(
        mut self,
        ending: Ending,
        microseconds: u64,
        cut_short: bool,
    ) -> Result<(Totals, u64), DrainError> {
        self.begin()?;
        let Some(mut recording) = self.recording else { return Ok((Totals::default(), 0)) };
        recording.settle_released(None);
        recording.objects.end(&mut recording.writer)?;
        if cut_short {
            recording.writer.cut_short();
        }
        Ok(recording.writer.finish(ending, microseconds)?)
    }
}

fn domain(domain: record::Domain) -> Domain {
    match domain {
        record::Domain::Mem => Domain::Mem,
        record::Domain::Obj => Domain::Obj,
    }
}

impl<W: Write> Recording<W> {
    fn gap(&self, address: u64, what: &'static str) -> DrainError {
        DrainError::Gap { event: self.writer.next_event(), address, what }
    }

    fn answer(&mut self, size: u64, address: u64) -> Answer {
        match address {
            0 => Answer::Failed,
            _ if self.allocator.serves(size) && self.arenas.contains(address) => Answer::At(address),
            _ => Answer::Foreign,
        }
    }

    fn place(&mut self, address: u64, live: LiveBlock) -> Result<(), DrainError> {
        match self.addresses.insert(address, live) {
            None => Ok(()),
            Some(_) => Err(self.gap(address, "allocates a block where a live one lies,")),
        }
    }

    /// What comes most often is told apart here, where the event was just made, and goes on in pieces.
    #[inline(always)]
    fn push(&mut self, event: Event) -> Result<(), DrainError> {
        match event {
            Event::Allocate { domain, zeroed, address, size } => self.allocate(domain, zeroed, address, size),
            Event::Release { domain, address } => self.release(domain, address),
            Event::Object(ObjectEvent::Edge { referent, count, is_last }) => {
                if let Some(objects) = self.objects.of_deaths() {
                    objects.edge(referent, count, is_last);
                    return Ok(());
                }
                self.push_rarer(event)
            }
            Event::Object(ObjectEvent::Born { object, of }) if self.objects.of_deaths().is_some() => {
                self.born(object, of)
            }
            Event::Object(ObjectEvent::Dies { object, is_last }) => self.dies(object, is_last),
            event => self.push_rarer(event),
        }
    }

    fn born(&mut self, object: u64, of: u16) -> Result<(), DrainError> {
        self.settle_released(None);
        self.objects.is_born(object, &mut self.writer);
        if let Teller::Tracer(objects) = &mut self.objects.teller {
            objects.is_born(object, of, &mut self.addresses, &mut self.writer)?;
        }
        Ok(())
    }

    fn dies(&mut self, object: u64, is_last: bool) -> Result<(), DrainError> {
        self.settle_released(None);
        self.objects.begins_to_die(object);
        if let Teller::Tracer(objects) = &mut self.objects.teller {
            objects.begins_to_die(object, is_last, &mut self.writer)?;
        }
        Ok(())
    }

    fn allocate(
        &mut self,
        through: record::Domain,
        zeroed: bool,
        address: u64,
        size: u64,
    ) -> Result<(), DrainError> {
        let answer = self.answer(size, address);
        self.settle_released(None);
        self.objects.call(&mut self.writer)?;
        if let Some(live) = self.writer.allocate(domain(through), size, zeroed, answer)? {
            self.place(address, live)?;
            if through == record::Domain::Obj {
                self.objects.allocated(address, size);
            }
        }
        Ok(())
    }

    fn release(&mut self, through: record::Domain, address: u64) -> Result<(), DrainError> {
        self.settle_released(None);
        let Some(live) = self.addresses.remove(address) else {
            return Err(self.gap(address, "releases a block that is not live,"));
        };
        if self.objects.release(live.block(), address, &mut self.writer)? {
            self.writer.release_by_death(live, address, domain(through))?;
            self.objects.released(live.block(), &mut self.writer);
        } else {
            self.writer.release(live, address, domain(through))?;
        }
        Ok(())
    }

    #[inline(never)]
    fn push_rarer(&mut self, event: Event) -> Result<(), DrainError> {
        match event {
            Event::Allocate { domain, zeroed, address, size } => {
                self.allocate(domain, zeroed, address, size)?;
            }
            Event::Release { domain, address } => self.release(domain, address)?,
            Event::Resize { domain: through, old, new, size } => {
                let answer = self.answer(size, new);
                self.settle_released(Some(old));
                self.objects.call(&mut self.writer)?;
                let Some(live) = self.addresses.remove(old) else {
                    return Err(self.gap(old, "resizes a block that is not live,"));
                };
                let resized = self.writer.resize(live, old, domain(through), size, answer)?;
                if answer != Answer::Failed {
                    self.objects.resized(old, new);
                }
                self.place(if answer == Answer::Failed { old } else { new }, resized)?;
            }
            Event::ArenaAcquired { base: 0, .. } => {
                self.settle_released(None);
                self.writer.arena_requested(None);
            }
            Event::ArenaAcquired { base, size } => {
                self.settle_released(None);
                if size != self.allocator.arena_size {
                    return Err(self.gap(base, "acquires an arena of another size"));
                }
                let arena = self.writer.arena_requested(Some(base));
                self.arenas.insert(base, size, arena);
            }
            Event::ArenaReleased { base, .. } => {
                if !self.arenas.is_live(base) {
                    return Err(self.gap(base, "gives an arena back that is not live,"));
                }
                self.released.push(base);
            }
            // Whoever follows the child asks for what it takes over: see `Drain::fork`.
            Event::Forked { .. } => self.settle_released(None),
            Event::Object(ObjectEvent::Finalizing) => {
                self.settle_released(None);
                self.objects.mark(&mut self.writer)?;
                self.writer.mark(MARK_FINALIZING)?;
            }
            Event::Object(event) => {
                // What is told of objects may end a frame, and nothing of them happens inside of a call that gives an
                // arena back.
                self.settle_released(None);
                self.objects.push(event, &mut self.addresses, &mut self.writer)?;
            }
            Event::Mark { code } => {
                self.settle_released(None);
                self.objects.call(&mut self.writer)?;
                self.writer.mark(match code {
                    record::MARK_DEBUG_MALLOC_STATS => MARK_DEBUGMALLOCSTATS,
                    code => code.into(),
                })?;
            }
        }
        Ok(())
    }

    /// Decides to which event the arenas belong that were given back since the last one.
    ///
    /// The recorder writes a release before it is carried out and a resize afterwards, so an arena that is given back
    /// belongs to the release before it or to the resize behind it. It is the resize's if the old block lay in it: until
    /// the resize it was in use. (It cannot be if an arena was acquired since: a resize takes before it gives.)
    #[inline]
    fn settle_released(&mut self, resized: Option<u64>) {
        if !self.released.is_empty() {
            self.settle_all_released(resized);
        }
    }

    #[cold]
    fn settle_all_released(&mut self, resized: Option<u64>) {
        for base in std::mem::take(&mut self.released) {
            let in_resize = resized.is_some_and(|old| old.wrapping_sub(base) < self.allocator.arena_size);
            if let Some(arena) = self.arenas.remove(base) {
                self.writer.arena_released(arena, in_resize);
            }
        }
    }
}

#[cfg(test)]
mod tests;
