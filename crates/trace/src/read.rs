//! Reading a trace.

use std::collections::VecDeque;
use std::io::Read;

use crate::collections::{self, Collection, CollectionFrame};
use crate::error::{Error, Malformed};
use crate::event::{ArenaChange, ArenaEvent, PackedInput};
use crate::frame::{FrameHeader, FrameReader, Version, kind, stream};
use crate::header::{Header, Parent, Tier, Totals, Trailer};
use crate::inputs::{self, Streams};
use crate::objects::{self, Known, ObjectFrame};
use crate::varint;

/// In an [`Observations`]' addresses: the block lies outside all arenas.
pub const FOREIGN: u64 = 0;

/// One frame's events, in three parts that travel apart.
///
/// Whoever predicts is given the inputs and may fetch; the observations are for whoever compares.
#[derive(Debug, Default)]
pub struct Frame {
    /// Which frame of the file it is: the header's is number 0.
    pub number: u64,
    /// The number of its first event.
    pub first_event: u64,
    /// What the program did, in order.
    pub inputs: Vec<PackedInput>,
    /// What can be fetched, once it has been predicted that it is due.
    pub fetched: Fetched,
    /// What CPython answered.
    pub observations: Observations,
    /// What there is of objects, from tier `objects` on.
    pub objects: ObjectFrame,
    /// What there is of collections, where these are told.
    pub collections: CollectionFrame,
}

/// What a replay fetches: each item exists only because CPython gave an answer, so it may be had only in its turn
/// and only by who has predicted that its turn has come. How many there are shows only when they run out.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    arenas: VecDeque<Option<u64>>,
}

/// What there is to fetch when an arena is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchedArena {
    /// The arena's base.
    Base(u64),
    /// CPython asked as well, and the operating system refused.
    Refused,
    /// CPython did not ask, as far as is known up to this frame's end.
    Nothing,
}

impl Fetched {
    /// Fetches the arena that is due.
    pub fn next_arena(&mut self) -> FetchedArena {
        match self.arenas.pop_front() {
            Some(Some(base)) => FetchedArena::Base(base),
            Some(None) => FetchedArena::Refused,
            None => FetchedArena::Nothing,
        }
    }

    /// Forgets what has waited longest, but for so many.
    pub fn keep_last(&mut self, count: usize) {
        let forgotten = self.arenas.len().saturating_sub(count);
        self.arenas.drain(..forgotten);
    }

    /// Takes over what another frame has to fetch, behind what is left of the frames before.
    pub fn append(&mut self, next: &mut Self) {
        self.arenas.append(&mut next.arenas);
    }
}

/// What CPython's memory manager answered.
#[derive(Debug, Default)]
pub struct Observations {
    /// The codes of addresses: a [`Resolver`](crate::Resolver) knows what they mean.
    pub(crate) codes: Vec<u8>,
    /// How many inputs ask for a size that pools serve, and so have an address.
    pub placed: u64,
    /// What happened to arenas.
    pub arenas: Vec<ArenaEvent>,
    /// What collections did, in the order in which they were over.
    pub collections: Vec<Collection>,
}

/// Reads a trace, frame by frame.
///
/// Memory: a frame. What a frame's observed addresses are, and whether the program only touched live blocks, takes
/// knowledge of the live blocks: a [`Resolver`](crate::Resolver) tells.
///
/// A trace whose header has a [parent](Header::parent) is of a forked process, and begins in the middle: this reads its own
/// part, a [`Lineage`](crate::Lineage) all of it.
pub struct Reader<R> {
    frames: FrameReader<R>,
    header: Header,
    /// Of the parent's trace, up to where this one goes on.
    past: Totals,
    counted: Totals,
    known: Known,
    collections: collections::Known,
    trailer: Option<Trailer>,
}

impl<R: Read> Reader<R> {
    /// Opens a trace and reads its header.
    ///
    /// # Errors
    /// If it is no trace, of another version, or damaged.
    pub fn new(source: R) -> Result<Self, Error> {
        let mut frames = FrameReader::new(source)?;
        let frame = frames.read()?;
        if frame.kind != kind::HEADER {
            return Err(frames.malformed(None, Malformed::FrameKind { found: frame.kind }));
        }
        let header: Header = document(&frames)?;
        if let Err(why) = header.allocator.check() {
            return Err(frames.malformed(None, Malformed::Json(why.to_string())));
        }
        let past = header.parent.as_ref().map_or_else(Totals::default, Parent::totals);
        // No trace is as long; and nothing that counts on from here may overflow.
        if [past.events, past.blocks, past.arenas].into_iter().any(|count| count >> 48 != 0) {
            return Err(frames.malformed(None, Malformed::Numbering));
        }
        let known = Known { follows: header.tier >= Tier::Counts, ..Known::default() };
        Ok(Self {
            frames,
            header,
            past,
            counted: Totals::default(),
            known,
            collections: collections::Known::default(),
            trailer: None,
        })
    }

    /// The trace's header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The version of the format that the trace is in.
    #[must_use]
    pub fn version(&self) -> Version {
        self.frames.version()
    }

    /// Bytes read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.frames.bytes_read()
    }

    /// How many frames were read, the header among them, and their digest: see [`Parent::digest`].
    #[must_use]
    pub fn frames_read(&self) -> (u64, u64) {
        self.frames.frames()
    }

    /// What the frames read so far hold.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.counted
    }

    /// The trailer, once [`Reader::read`] has answered that there is no further frame.
    #[must_use]
    pub fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }

    /// Reads the next frame of events into `frame`, whose memory is used again. Answers whether there was one;
    /// if not, the trailer was read and its totals are those of the frames.
    ///
    /// Takes time proportional to the frame's events.
    ///
    /// # Errors
    /// If the trace is damaged, contradicts itself, or ends without a trailer. Frames before the error stand.
    pub fn read(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        frame.fetched.arenas.clear();
        frame.observations.codes.clear();
        frame.observations.placed = 0;
        frame.observations.arenas.clear();
        frame.observations.collections.clear();
        frame.objects.clear();
        frame.collections.clear();
        let read = self.read_next(frame);
        if !matches!(read, Ok(true)) {
            frame.inputs.clear();
        }
        read
    }

    fn read_next(&mut self, frame: &mut Frame) -> Result<bool, Error> {
        if self.trailer.is_some() {
            return Ok(false);
        }
        let header = self.frames.read()?;
        match header.kind {
            kind::EVENTS => self.read_events(header, frame).map(|()| true),
            kind::TRAILER => self.read_trailer(header).map(|()| false),
            found => Err(self.frames.malformed(None, Malformed::FrameKind { found })),
        }
    }

    /// The numbers of the next event, block and arena.
    pub(crate) fn position(&self) -> Totals {
        Totals {
            events: self.past.events + self.counted.events,
            blocks: self.past.blocks + self.counted.blocks,
            arenas: self.past.arenas + self.counted.arenas,
            ..Totals::default()
        }
    }

    fn check_numbering(&self, header: FrameHeader) -> Result<(), Error> {
        let expected = self.position();
        if (header.first_event, header.first_block, header.first_arena)
            == (expected.events, expected.blocks, expected.arenas)
        {
            Ok(())
        } else {
            Err(self.frames.malformed(None, Malformed::Numbering))
        }
    }

    fn read_trailer(&mut self, header: FrameHeader) -> Result<(), Error> {
        self.check_numbering(header)?;
        let trailer: Trailer = document(&self.frames)?;
        let totals = trailer.totals;
        let counted = self.counted;
        for (name, declared, counted) in [
            ("events", totals.events, counted.events),
            ("requests for blocks", totals.allocates, counted.allocates),
            ("resizes", totals.resizes, counted.resizes),
            ("releases", totals.releases, counted.releases),
            ("marks", totals.marks, counted.marks),
            ("blocks", totals.blocks, counted.blocks),
            ("arenas", totals.arenas, counted.arenas),
            ("placement facts", totals.placement_facts, counted.placement_facts),
            ("arena facts", totals.arena_facts, counted.arena_facts),
            ("objects", totals.objects, counted.objects),
            ("arrivals", totals.arrivals, counted.arrivals),
            ("changes of counts", totals.changes, counted.changes),
            ("references of dying objects", totals.edges, counted.edges),
            ("death facts", totals.death_facts, counted.death_facts),
            ("count facts", totals.count_facts, counted.count_facts),
            ("references of objects in collections", totals.references, counted.references),
            ("schedule facts", totals.schedule_facts, counted.schedule_facts),
            ("partition facts", totals.partition_facts, counted.partition_facts),
            ("survivor facts", totals.survivor_facts, counted.survivor_facts),
            ("stats facts", totals.stats_facts, counted.stats_facts),
        ] {
            if declared != counted {
                return Err(self.frames.malformed(None, Malformed::Totals { name, declared, counted }));
            }
        }
        if !self.frames.at_end()? {
            return Err(self.frames.malformed(None, Malformed::AfterTrailer));
        }
        self.trailer = Some(trailer);
        Ok(())
    }

    fn read_events(&mut self, header: FrameHeader, frame: &mut Frame) -> Result<(), Error> {
        self.check_numbering(header)?;
        let first = header.first_event;
        frame.first_event = first;
        let streams = Streams {
            codes: self.frames.stream(stream::INPUTS),
            sizes: self.frames.stream(stream::INPUT_SIZES),
            blocks: self.frames.stream(stream::INPUT_BLOCKS),
        };
        let small_limit = self.header.allocator.small_limit.into();
        let counts =
            inputs::decode(streams, header.events, header.first_block, small_limit, &mut frame.inputs);
        let counts = counts.map_err(|(good, what)| self.frames.malformed(Some(first + good as u64), what))?;
        self.arenas(header, &mut frame.observations.arenas)?;
        let requests = frame
            .observations
            .arenas
            .iter()
            .filter(|event| !matches!(event.change, ArenaChange::Released(_)));
        self.fetched(requests.count(), &mut frame.fetched)?;
        frame.observations.codes.extend_from_slice(self.frames.stream(stream::ADDRESSES));
        if self.header.tier >= Tier::Objects {
            let frames = &self.frames;
            objects::decode(
                |id| frames.stream(id),
                &frame.inputs,
                header.first_block,
                &mut self.known,
                &mut frame.objects,
            )
            .map_err(|what| frames.malformed(None, what))?;
            self.counted.objects = self.known.objects;
            self.counted.changes = self.known.changes;
            self.counted.edges = self.known.edges;
            self.counted.death_facts = self.known.deaths;
            self.counted.count_facts = self.known.counts;
        }
        if self.header.has_collections() {
            let frames = &self.frames;
            collections::decode(
                |id| frames.stream(id),
                first,
                &frame.inputs,
                header.first_block + counts.births,
                &mut self.collections,
                &mut frame.collections,
                &mut frame.observations.collections,
            )
            .map_err(|what| frames.malformed(None, what))?;
            let collections::Known { objects, references, facts, .. } = self.collections;
            self.counted.references = references;
            if self.header.tier < Tier::Objects {
                self.counted.objects = objects;
            } else {
                self.counted.arrivals = objects;
            }
            [
                self.counted.schedule_facts,
                self.counted.partition_facts,
                self.counted.survivor_facts,
                self.counted.stats_facts,
            ] = facts;
        }
        if self.header.tier == Tier::Blocks && header.events == 0 {
            return Err(self.frames.malformed(None, Malformed::Numbering));
        }
        frame.number = self.frames.number();
        frame.observations.placed = counts.placed;
        let events = u64::from(header.events);
        self.counted.events += events;
        self.counted.allocates += events - counts.resizes - counts.releases - counts.marks;
        self.counted.resizes += counts.resizes;
        self.counted.releases += counts.releases;
        self.counted.marks += counts.marks;
        self.counted.blocks += counts.births;
        self.counted.placement_facts += counts.placed;
        self.counted.arena_facts += frame.observations.arenas.len() as u64;
        let acquired = frame.observations.arenas.iter();
        self.counted.arenas +=
            acquired.filter(|event| matches!(event.change, ArenaChange::Acquired(_))).count() as u64;
        Ok(())
    }

    /// There is one record for each request for an arena.
    fn fetched(&self, requests: usize, fetched: &mut Fetched) -> Result<(), Error> {
        let bytes = self.frames.stream(stream::FETCHED);
        let bad = |what| self.frames.malformed(None, what);
        let (mut position, mut base) = (0, 0_u64);
        for _ in 0..requests {
            let mut number = || {
                let id = stream::FETCHED;
                varint::read(bytes, &mut position).ok_or_else(|| bad(Malformed::StreamEnds { id }))
            };
            fetched.arenas.push_back(match number()? {
                0 => None,
                1 => {
                    base = base.wrapping_add_signed(varint::unfold(number()?));
                    Some(base)
                }
                _ => return Err(bad(Malformed::OutOfRange { id: stream::FETCHED })),
            });
        }
        if position < bytes.len() {
            return Err(bad(Malformed::StreamContinues { id: stream::FETCHED }));
        }
        Ok(())
    }

    fn arenas(&self, header: FrameHeader, out: &mut Vec<ArenaEvent>) -> Result<(), Error> {
        let id = stream::ARENAS;
        let bytes = self.frames.stream(id);
        let bad = |what| self.frames.malformed(None, what);
        let (mut position, mut event, mut acquired) = (0, header.first_event, header.first_arena);
        while position < bytes.len() {
            let mut number =
                || varint::read(bytes, &mut position).ok_or_else(|| bad(Malformed::StreamEnds { id }));
            let distance = number()?;
            event = event.checked_add(distance).ok_or_else(|| bad(Malformed::OutOfRange { id }))?;
            if event - header.first_event >= u64::from(header.events) {
                return Err(bad(Malformed::OutOfRange { id }));
            }
            let change = match number()? {
                0 => {
                    acquired += 1;
                    ArenaChange::Acquired(acquired - 1)
                }
                1 => ArenaChange::Refused,
                back => {
                    let arena = acquired.checked_sub(back - 1);
                    ArenaChange::Released(arena.ok_or_else(|| bad(Malformed::OutOfRange { id }))?)
                }
            };
            // One call asks for an arena once at most, and gives one back at most, after that.
            if let Some(earlier @ ArenaEvent { event: same, .. }) = out.last()
                && *same == event
                && (!matches!(change, ArenaChange::Released(_))
                    || matches!(earlier.change, ArenaChange::Released(_)))
            {
                return Err(bad(Malformed::OutOfRange { id }));
            }
            out.push(ArenaEvent { event, change });
        }
        Ok(())
    }
}

/// The JSON document of a header or trailer frame.
fn document<R: Read, T: serde::de::DeserializeOwned>(frames: &FrameReader<R>) -> Result<T, Error> {
    serde_json::from_slice(frames.stream(stream::DOCUMENT))
        .map_err(|why| frames.malformed(None, Malformed::Json(why.to_string())))
}
