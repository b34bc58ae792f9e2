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
mod tests {
    use record::Domain::Obj;

    use super::*;

    /// A frame may end behind a release that gives an arena back, before it is known that it did.
    #[test]
    fn an_arena_is_given_back_in_the_frame_of_its_event() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../traces/life/life-3.13.5-counts.viv");
        let header = trace::Reader::new(std::fs::File::open(path).unwrap()).unwrap().header().clone();
        let size = header.allocator.arena_size;
        let base = 0x7f00_0000_0000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.viv");
        let file = std::fs::File::create(&path).unwrap();
        let mut drain = Drain::new(header, move || Ok(file));
        let allocate = |address| Event::Allocate { domain: Obj, zeroed: false, address, size: 48 };
        let object = Event::Object;
        let name = |name: &[u8; 6]| object(ObjectEvent::TypeName(*name));
        let mut events = vec![Event::ArenaAcquired { base, size }];
        // As many as show how the allocator was built.
        events
            .extend((0..EVIDENCE as u64).map(|at| allocate(base + ((at / 340) << 14) + 48 + at % 340 * 48)));
        events.extend([
            object(ObjectEvent::Type(16)),
            object(ObjectEvent::TypeFlags(0)),
            name(b"x\0\0\0\0\0"),
            name(b"x\0\0\0\0\0"),
            object(ObjectEvent::TypePlace { of: 16, place: 1 }),
            object(ObjectEvent::Born { object: base + 48, of: 1 }),
            Event::Release { domain: Obj, address: base + 96 },
            Event::ArenaReleased { base, size },
        ]);
        events.extend((0..400_000).map(|_| object(ObjectEvent::Up(base + 48))));
        // Behind the end of that frame it would be told of the event before, which is in no later one.
        events.push(object(ObjectEvent::Thread(1)));
        events.into_iter().try_for_each(|event| drain.push(event)).unwrap();
        let (totals, _) = drain.finish(Ending::Exited(0), 1, false).unwrap();
        assert_eq!((totals.changes, totals.arena_facts), (400_000, 2));
        let mut reader = trace::Reader::new(std::fs::File::open(&path).unwrap()).unwrap();
        let (mut frame, mut frames) = (trace::Frame::default(), 0);
        while reader.read(&mut frame).unwrap() {
            frames += 1;
        }
        assert!(frames > 1, "{frames}");
    }

    /// The one frame that comes of these events, of an interpreter that is recorded as that of a bundled trace was, without
    /// collections.
    fn frame_of(trace: &str, events: impl IntoIterator<Item = Event>) -> trace::Frame {
        let path = format!("{}/../../traces/{trace}", env!("CARGO_MANIFEST_DIR"));
        let mut header = trace::Reader::new(std::fs::File::open(path).unwrap()).unwrap().header().clone();
        header.collections = false;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.viv");
        let file = std::fs::File::create(&path).unwrap();
        let mut drain = Drain::new(header, move || Ok(file));
        events.into_iter().try_for_each(|event| drain.push(event)).unwrap();
        drain.finish(Ending::Exited(0), 1, false).unwrap();
        let mut reader = trace::Reader::new(std::fs::File::open(&path).unwrap()).unwrap();
        let mut frame = trace::Frame::default();
        assert!(reader.read(&mut frame).unwrap());
        frame
    }

    /// It is told in front of a death when the reference that was the last has been given up.
    #[test]
    fn another_interpreter_runs_before_what_dies_in_it() {
        let block = 0x7f00_0000_0000;
        let name = || ObjectEvent::TypeName(*b"x\0\0\0\0\0");
        let told = [
            ObjectEvent::Type(16),
            ObjectEvent::TypeFlags(0),
            name(),
            name(),
            ObjectEvent::TypePlace { of: 16, place: 1 },
            ObjectEvent::Born { object: block, of: 1 },
            ObjectEvent::Down(block),
            ObjectEvent::Interpreter(3),
            ObjectEvent::BeginsToDie(block),
            ObjectEvent::OfType(16),
            ObjectEvent::EdgesEnd,
        ];
        let allocate = Event::Allocate { domain: Obj, zeroed: false, address: block, size: 48 };
        let release = Event::Release { domain: Obj, address: block };
        let events = [allocate].into_iter().chain(told.map(Event::Object)).chain([release]);
        let frame = frame_of("life/life-3.13.5-counts.viv", events);
        let last = frame.objects.steps.last_chunk().unwrap();
        assert_eq!(last, &[trace::Step::Interpreter(3), trace::Step::Down(0)]);
        assert_eq!(frame.objects.deaths.len(), 2);
    }

    /// Whether an object lives on whose birth was not seen is not known when its death is over: it does not if another one is
    /// born where it was.
    #[test]
    fn who_is_born_where_a_stranger_died_is_another() {
        let (first, block) = (0x7f00_0000_0000, 0x7f00_0000_0100);
        let allocate = |address| Event::Allocate { domain: Obj, zeroed: false, address, size: 48 };
        let release = |address| Event::Release { domain: Obj, address };
        let name = || Event::Object(ObjectEvent::TypeName(*b"x\0\0\0\0\0"));
        let dies = |object, is_last| Event::Object(ObjectEvent::Dies { object, is_last });
        let count = record::ReferentCount::new(2);
        let events = [
            Event::Object(ObjectEvent::Type(16)),
            Event::Object(ObjectEvent::TypeFlags(0)),
            name(),
            name(),
            Event::Object(ObjectEvent::TypePlace { of: 16, place: 1 }),
            allocate(block),
            allocate(first),
            Event::Object(ObjectEvent::Born { object: first, of: 1 }),
            dies(first, false),
            Event::Object(ObjectEvent::Edge { referent: block, count, is_last: true }),
            release(first),
            dies(block, true),
            release(block),
            allocate(block),
            Event::Object(ObjectEvent::Born { object: block, of: 1 }),
            dies(block, true),
            release(block),
        ];
        let frame = frame_of("chains/chains-3.13.5-objects.viv", events);
        let died = |step: &trace::Step| match step {
            trace::Step::Dies(object) => Some(*object),
            _ => None,
        };
        let died: Vec<_> = frame.objects.steps.iter().filter_map(died).collect();
        assert_eq!(died, [0, trace::STRANGER, 1]);
        assert_eq!(frame.objects.deaths.last(), Some(&trace::Death::Ends(1, trace::Fate::Released)));
    }

    /// Where there are more references to an object than can be told, fewer that were told before say nothing any more.
    #[test]
    fn nobody_dies_of_whom_there_are_too_many_references_to_tell() {
        let [outer, inner, referent] = [0x7f00_0000_0000, 0x7f00_0000_0100, 0x7f00_0000_0200];
        let object = Event::Object;
        let allocate = |address| Event::Allocate { domain: Obj, zeroed: false, address, size: 48 };
        let release = |address| Event::Release { domain: Obj, address };
        let name = || object(ObjectEvent::TypeName(*b"x\0\0\0\0\0"));
        let dies = |object, is_last| Event::Object(ObjectEvent::Dies { object, is_last });
        let edge = |referent, count, is_last| {
            let count = record::ReferentCount::new(count);
            Event::Object(ObjectEvent::Edge { referent, count, is_last })
        };
        let described = [
            object(ObjectEvent::Type(16)),
            object(ObjectEvent::TypeFlags(0)),
            name(),
            name(),
            object(ObjectEvent::TypePlace { of: 16, place: 1 }),
        ];
        let born = [outer, inner, referent]
            .into_iter()
            .flat_map(|address| [allocate(address), object(ObjectEvent::Born { object: address, of: 1 })]);
        let die = [
            dies(outer, false),
            edge(inner, 1, false),
            edge(referent, 2, true),
            dies(inner, false),
            edge(referent, record::COUNT_MANY, true),
            release(inner),
            release(outer),
        ];
        let mut frame =
            frame_of("chains/chains-3.13.5-objects.viv", described.into_iter().chain(born).chain(die));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../traces/chains/chains-3.13.5-objects.viv");
        let header = trace::Reader::new(std::fs::File::open(path).unwrap()).unwrap().header().clone();
        let mut engine = crate::engine::DeathEngine::new(&header.allocator, "3.13.5", header.tier).unwrap();
        let mut predicted = crate::engine::DeathPredictions::default();
        engine.run(&mut frame.objects, &mut frame.fetched, &mut predicted).unwrap();
        assert_eq!(predicted.deaths, frame.objects.deaths);
        assert_eq!(predicted.deaths.len(), 3);
    }

    /// Half a trace can be told from none.
    #[test]
    fn a_trace_that_was_opened_has_begun_even_if_its_first_events_do_not_fit() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../traces/life/life-2.7.viv");
        let reader = trace::Reader::new(std::fs::File::open(path).unwrap()).unwrap();
        let mut drain = Drain::new(reader.header().clone(), || Ok(Vec::new()));
        drain.push(Event::Release { domain: Obj, address: 16 }).unwrap();
        assert!(!drain.has_begun());
        assert!(matches!(drain.begin(), Err(DrainError::Gap { event: 0, address: 16, .. })));
        assert!(drain.has_begun());
    }
}
