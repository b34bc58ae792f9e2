//! Reading a trace.

use std::collections::VecDeque;
use std::io::Read;
use std::num::NonZeroU64;

use crate::address::{AddressRule, BadCode, Seen};
use crate::blocks::BlockTable;
use crate::error::{Error, Malformed};
use crate::event::{ArenaChange, ArenaEvent, Block, Kind, PackedInput};
use crate::frame::{FrameHeader, FrameReader, Version, kind, stream};
use crate::header::{Allocator, Header, Totals, Trailer};
use crate::inputs::{self, Streams};
use crate::varint;

/// In an [`Observations`]' addresses: the block lies outside all arenas.
pub const FOREIGN: u64 = 0;

/// One frame's events, in three parts that travel apart.
///
/// Whoever predicts is given the inputs and may fetch; the observations are for whoever compares.
#[derive(Debug, Default)]
pub struct Frame {
    /// The number of its first event.
    pub first_event: u64,
    /// What the program did, in order.
    pub inputs: Vec<PackedInput>,
    /// What can be fetched, once it has been predicted that it is due.
    pub fetched: Fetched,
    /// What CPython answered.
    pub observations: Observations,
}

/// What a replay fetches: each item exists only because CPython gave an answer, so it may be had only in its turn
/// and only by who has predicted that its turn has come.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The bases of arenas, in the order of the requests for them; `None` where the request was refused.
    pub arena_bases: VecDeque<Option<u64>>,
}

/// What CPython's memory manager answered.
#[derive(Debug, Default)]
pub struct Observations {
    /// For each input that asks for a size that pools serve and did not fail: the block's address, or [`FOREIGN`].
    pub addresses: Vec<u64>,
    /// What happened to arenas.
    pub arenas: Vec<ArenaEvent>,
}

/// A live block as the observations know it: an address and a size class, or a place outside the pools.
#[derive(Clone, Copy)]
struct Place(NonZeroU64);

impl Place {
    const OUTSIDE: Self = Self(NonZeroU64::MAX);

    fn new(address: u64, class: u8) -> Self {
        Self(NonZeroU64::new(address << 8 | u64::from(class)).unwrap_or(NonZeroU64::MAX))
    }

    #[inline]
    fn pooled(self) -> Option<(u64, u8)> {
        (self.0 != NonZeroU64::MAX).then(|| (self.0.get() >> 8, self.0.get().to_le_bytes()[0]))
    }
}

/// Reads a trace, frame by frame.
///
/// Memory: a frame, and 16 to 32 bytes for each block that is live at the same time (to know the address of a
/// block that is given back, from which later addresses are guessed).
pub struct Reader<R> {
    frames: FrameReader<R>,
    header: Header,
    rule: AddressRule,
    places: BlockTable<Place>,
    counted: Totals,
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
        Ok(Self {
            frames,
            rule: AddressRule::new(header.allocator.alignment),
            header,
            places: BlockTable::new(),
            counted: Totals::default(),
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
        frame.inputs.clear();
        frame.fetched.arena_bases.clear();
        frame.observations.addresses.clear();
        frame.observations.arenas.clear();
        if self.trailer.is_some() {
            return Ok(false);
        }
        let header = self.frames.read()?;
        match header.kind {
            kind::EVENTS => self.read_events(header, frame)?,
            kind::TRAILER => {
                self.read_trailer(header)?;
                return Ok(false);
            }
            found => return Err(self.frames.malformed(None, Malformed::FrameKind { found })),
        }
        Ok(true)
    }

    fn check_numbering(&self, header: FrameHeader) -> Result<(), Error> {
        let expected = (self.counted.events, self.counted.blocks, self.counted.arenas);
        if (header.first_event, header.first_block, header.first_arena) == expected {
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
        self.frames.expect_streams(&stream::OF_EVENTS)?;
        self.check_numbering(header)?;
        let first = header.first_event;
        frame.first_event = first;
        let streams = Streams {
            codes: self.frames.stream(stream::INPUTS),
            sizes: self.frames.stream(stream::INPUT_SIZES),
            blocks: self.frames.stream(stream::INPUT_BLOCKS),
        };
        let born = inputs::decode(streams, header.events, header.first_block, &mut frame.inputs);
        let born = born.map_err(|(good, what)| self.frames.malformed(Some(first + good as u64), what))?;
        self.fetched(&mut frame.fetched)?;
        self.arenas(header, &mut frame.observations.arenas)?;
        self.addresses(first, &frame.inputs, &mut frame.observations.addresses)?;
        self.counted.events += u64::from(header.events);
        self.counted.blocks = born;
        self.counted.placement_facts += frame.observations.addresses.len() as u64;
        self.counted.arena_facts += frame.observations.arenas.len() as u64;
        let acquired = frame.observations.arenas.iter();
        self.counted.arenas +=
            acquired.filter(|event| matches!(event.change, ArenaChange::Acquired(_))).count() as u64;
        Ok(())
    }

    fn fetched(&self, fetched: &mut Fetched) -> Result<(), Error> {
        let bytes = self.frames.stream(stream::FETCHED);
        let bad = |what| self.frames.malformed(None, what);
        let (mut position, mut base) = (0, 0_u64);
        while position < bytes.len() {
            let mut number = || {
                let id = stream::FETCHED;
                varint::read(bytes, &mut position).ok_or_else(|| bad(Malformed::StreamEnds { id }))
            };
            fetched.arena_bases.push_back(match number()? {
                0 => None,
                1 => {
                    base = base.wrapping_add_signed(varint::unfold(number()?));
                    Some(base)
                }
                _ => return Err(bad(Malformed::OutOfRange { id: stream::FETCHED })),
            });
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
            out.push(ArenaEvent { event, change });
        }
        Ok(())
    }

    /// Rebuilds the observed addresses, and with them checks that the program only touched live blocks.
    fn addresses(&mut self, first: u64, inputs: &[PackedInput], out: &mut Vec<u64>) -> Result<(), Error> {
        let Self { frames, rule, places, header, counted, .. } = self;
        let bytes = frames.stream(stream::ADDRESSES);
        let mut decoder = Decoder { rule, bytes, position: 0, allocator: header.allocator, out };
        let mut failed = None;
        // Counted here and not in the totals, for the sake of the loop; what is none of these is an allocation.
        let (mut resizes, mut releases, mut marks) = (0, 0, 0);
        for (index, &input) in inputs.iter().enumerate() {
            let done = match input.kind() {
                Kind::Release => {
                    releases += 1;
                    decoder.release(places, input.block())
                }
                Kind::Allocate => decoder.allocate(places, input),
                Kind::Resize => {
                    resizes += 1;
                    decoder.resize(places, input)
                }
                Kind::Mark => {
                    marks += 1;
                    Ok(())
                }
            };
            if let Err(what) = done {
                failed = Some((first + index as u64, what));
                break;
            }
        }
        counted.resizes += resizes;
        counted.releases += releases;
        counted.marks += marks;
        counted.allocates += inputs.len() as u64 - resizes - releases - marks;
        if failed.is_none() && decoder.position != bytes.len() {
            return Err(frames.malformed(None, Malformed::StreamContinues { id: stream::ADDRESSES }));
        }
        failed.map_or(Ok(()), |(event, what)| Err(frames.malformed(Some(event), what)))
    }
}

/// The JSON document of a header or trailer frame.
fn document<R: Read, T: serde::de::DeserializeOwned>(frames: &FrameReader<R>) -> Result<T, Error> {
    frames.expect_streams(&[stream::DOCUMENT])?;
    serde_json::from_slice(frames.stream(stream::DOCUMENT))
        .map_err(|why| frames.malformed(None, Malformed::Json(why.to_string())))
}

/// Decodes a frame's address stream alongside its inputs.
struct Decoder<'a> {
    rule: &'a mut AddressRule,
    bytes: &'a [u8],
    position: usize,
    allocator: Allocator,
    out: &'a mut Vec<u64>,
}

impl Decoder<'_> {
    #[inline]
    fn next(&mut self, class: u8) -> Result<Seen, Malformed> {
        let id = stream::ADDRESSES;
        self.rule.decode(class, self.bytes, &mut self.position).map_err(|why| match why {
            BadCode::Ends => Malformed::StreamEnds { id },
            BadCode::Undefined(code) => Malformed::Code { id, code },
            BadCode::OutOfRange => Malformed::OutOfRange { id },
        })
    }

    #[inline]
    fn allocate(&mut self, places: &mut BlockTable<Place>, input: PackedInput) -> Result<(), Malformed> {
        if input.failed() {
            return Ok(());
        }
        let mut place = Place::OUTSIDE;
        if self.allocator.serves(input.size()) {
            let class = self.rule.class_of(input.size());
            let address = match self.next(class)? {
                Seen::At(address) => {
                    place = Place::new(address, class);
                    address
                }
                Seen::Foreign => FOREIGN,
                Seen::Same => return Err(Malformed::OutOfRange { id: stream::ADDRESSES }),
            };
            self.out.push(address);
        }
        places.push(place);
        Ok(())
    }

    fn resize(&mut self, places: &mut BlockTable<Place>, input: PackedInput) -> Result<(), Malformed> {
        let block = input.block();
        let old = places.get(block).ok_or(Malformed::BlockNotLive { block })?;
        if input.failed() {
            return Ok(());
        }
        let mut new = Place::OUTSIDE;
        if self.allocator.serves(input.size()) {
            let class = self.rule.class_of(input.size());
            match (self.next(class)?, old.pooled()) {
                (Seen::Same, Some((address, _))) => {
                    self.out.push(address);
                    return Ok(());
                }
                (Seen::Same, None) => return Err(Malformed::OutOfRange { id: stream::ADDRESSES }),
                (Seen::At(address), _) => {
                    self.out.push(address);
                    new = Place::new(address, class);
                }
                (Seen::Foreign, _) => self.out.push(FOREIGN),
            }
        }
        if let Some((address, class)) = old.pooled() {
            self.rule.released(class, address);
        }
        places.replace(block, new);
        Ok(())
    }

    #[inline]
    fn release(&mut self, places: &mut BlockTable<Place>, block: Block) -> Result<(), Malformed> {
        let place = places.remove(block).ok_or(Malformed::BlockNotLive { block })?;
        if let Some((address, class)) = place.pooled() {
            self.rule.released(class, address);
        }
        Ok(())
    }
}
