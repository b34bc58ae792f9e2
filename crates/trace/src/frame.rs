//! Frames: the checksummed, numbered, compressed pieces that a trace is made of.

use std::fmt;
use std::io::{self, Read, Write};

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::error::{Corruption, Error, Malformed};

/// A version of the format. Readers take every minor version of their own major version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Changes when older readers could misunderstand.
    pub major: u16,
    /// Changes when something is added that older readers may skip.
    pub minor: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The version that this build writes, and the newest it reads.
pub const VERSION: Version = Version { major: 1, minor: 0 };
/// The oldest version that this build reads.
pub const OLDEST: Version = Version { major: 1, minor: 0 };

/// The first bytes of each trace. Text conversions and seven-bit channels break them, so that a damaged file is
/// not taken for a trace.
const MAGIC: [u8; 8] = *b"\x93VIV\r\n\x1a\n";
const MARKER: [u8; 4] = *b"VIVF";
/// Bytes of a frame before its body.
const FRAME_HEADER: usize = 56;
/// Bytes of an entry of the stream table.
const STREAM_ENTRY: usize = 12;
/// No frame's body is longer: a bound on the memory that a hostile file can ask for.
const MAX_BODY: u32 = 1 << 26;
/// The streams of a frame are together no longer once decompressed.
const MAX_STREAMS: u32 = 1 << 26;
/// No frame holds more events.
pub(crate) const MAX_EVENTS: u32 = 1 << 20;
/// Streams from here on may be skipped by a reader that does not know them.
const OPTIONAL: u8 = 0x80;

const STORED: u8 = 0;
const ZSTD: u8 = 1;
/// zstd's own default: on event streams, levels above cost four times the time for a twentieth less.
const LEVEL: i32 = 3;
/// Where births and deaths are recorded the program waits for whoever writes them down: these streams, which take the most
/// time, are compressed in half of it, for a twentieth more.
const FAST_LEVEL: i32 = 1;
const FAST: [u8; 3] = [stream::FETCHED_DEATHS, stream::FETCHED_EDGES, stream::ADDRESSES];

/// Kinds of frames.
pub(crate) mod kind {
    pub(crate) const HEADER: u8 = 1;
    pub(crate) const EVENTS: u8 = 2;
    pub(crate) const TRAILER: u8 = 3;
}

/// Identifiers of streams.
pub(crate) mod stream {
    /// Of headers and trailers: a JSON document.
    pub(crate) const DOCUMENT: u8 = 0x00;
    /// What the program did: the events' codes, then the numbers that belong to them.
    pub(crate) const INPUTS: u8 = 0x01;
    pub(crate) const INPUT_SIZES: u8 = 0x02;
    pub(crate) const INPUT_BLOCKS: u8 = 0x03;
    /// Objects: what the program did to them, among the calls of the memory manager, and the numbers that belong to births,
    /// to objects that are named, to types, others, and the blocks in which objects are born.
    pub(crate) const OBJECTS: u8 = 0x04;
    pub(crate) const OBJECT_BIRTHS: u8 = 0x05;
    pub(crate) const OBJECT_NAMES: u8 = 0x06;
    pub(crate) const OBJECT_TYPES: u8 = 0x07;
    pub(crate) const OBJECT_VALUES: u8 = 0x08;
    pub(crate) const OBJECT_BLOCKS: u8 = 0x09;
    /// What is done to the collector; which blocks are containers; types.
    pub(crate) const COLLECTOR: u8 = 0x0c;
    pub(crate) const CONTAINERS: u8 = 0x0d;
    pub(crate) const COLLECTION_TYPES: u8 = 0x0e;
    /// What the replay fetches after it has itself predicted that it is due: bases of arenas.
    pub(crate) const FETCHED: u8 = 0x10;
    /// Of deaths that it has predicted: what lies between, edges, and counts of what these lead to.
    pub(crate) const FETCHED_DEATHS: u8 = 0x11;
    pub(crate) const FETCHED_EDGES: u8 = 0x12;
    pub(crate) const FETCHED_COUNTS: u8 = 0x13;
    /// Of collections: what the collector looks at.
    pub(crate) const FETCHED_GRAPHS: u8 = 0x14;
    /// Which of the references in these are not counted.
    pub(crate) const FETCHED_UNCOUNTED: u8 = 0x15;
    /// What was observed: addresses.
    pub(crate) const ADDRESSES: u8 = 0x20;
    /// What was observed: arenas.
    pub(crate) const ARENAS: u8 = 0x21;
    /// What was observed: deaths, and which releases were theirs.
    pub(crate) const DEATHS: u8 = 0x22;
    pub(crate) const RELEASES_BY_DEATH: u8 = 0x23;
    /// What was observed: counts of what dying objects referred to.
    pub(crate) const COUNTS: u8 = 0x24;
    /// What was observed: collections.
    pub(crate) const COLLECTIONS: u8 = 0x25;
    /// What was observed: how long they took.
    pub(crate) const COLLECTIONS_CLOCK: u8 = 0x26;
    /// All that a frame of events may have.
    pub(crate) const OF_EVENTS: [u8; 25] = [
        COLLECTOR,
        CONTAINERS,
        COLLECTION_TYPES,
        FETCHED_GRAPHS,
        FETCHED_UNCOUNTED,
        COLLECTIONS,
        COLLECTIONS_CLOCK,
        INPUTS,
        INPUT_SIZES,
        INPUT_BLOCKS,
        FETCHED,
        ADDRESSES,
        ARENAS,
        OBJECTS,
        OBJECT_BIRTHS,
        OBJECT_NAMES,
        OBJECT_TYPES,
        OBJECT_VALUES,
        OBJECT_BLOCKS,
        FETCHED_DEATHS,
        FETCHED_EDGES,
        FETCHED_COUNTS,
        DEATHS,
        RELEASES_BY_DEATH,
        COUNTS,
    ];
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) kind: u8,
    pub(crate) number: u64,
    pub(crate) first_event: u64,
    pub(crate) first_block: u64,
    pub(crate) first_arena: u64,
    pub(crate) events: u32,
}

/// Writes frames, reusing its buffers.
pub(crate) struct FrameWriter<W> {
    sink: W,
    is_urgent: bool,
    compressor: zstd::bulk::Compressor<'static>,
    body: Vec<u8>,
    scratch: Vec<u8>,
    next_number: u64,
    written: u64,
    digest: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Begins a trace; `is_urgent` says that the program waits for it.
    pub(crate) fn new(mut sink: W, is_urgent: bool) -> Result<Self, Error> {
        sink.write_all(&MAGIC)?;
        sink.write_all(&VERSION.major.to_le_bytes())?;
        sink.write_all(&VERSION.minor.to_le_bytes())?;
        sink.write_all(&[0; 4])?;
        let compressor = zstd::bulk::Compressor::new(LEVEL)?;
        let (body, scratch) = (Vec::new(), Vec::new());
        Ok(Self { sink, is_urgent, compressor, body, scratch, next_number: 0, written: 16, digest: 0 })
    }

    /// Writes one frame; its number is the next one, whatever `header` says. Empty streams are left out, but for
    /// the first.
    pub(crate) fn write(&mut self, header: FrameHeader, streams: &[(u8, &[u8])]) -> Result<(), Error> {
        let kept =
            || streams.iter().enumerate().filter(|(index, (_, bytes))| *index == 0 || !bytes.is_empty());
        let count = kept().count();
        self.body.clear();
        self.body.resize(count * STREAM_ENTRY, 0);
        for (entry, (_, (id, bytes))) in kept().enumerate() {
            let too_long =
                || io::Error::new(io::ErrorKind::InvalidInput, "a stream is too long for its frame");
            let raw_len =
                u32::try_from(bytes.len()).ok().filter(|&len| len <= MAX_STREAMS).ok_or_else(too_long)?;
            self.scratch.resize(zstd::zstd_safe::compress_bound(bytes.len()), 0);
            let level = if self.is_urgent && FAST.contains(id) { FAST_LEVEL } else { LEVEL };
            self.compressor.set_compression_level(level)?;
            let compressed = self.compressor.compress_to_buffer(bytes, &mut self.scratch[..])?;
            let (codec, stored) =
                if compressed < bytes.len() { (ZSTD, &self.scratch[..compressed]) } else { (STORED, *bytes) };
            let stored_len = u32::try_from(stored.len()).map_err(|_| too_long())?;
            let table = &mut self.body[entry * STREAM_ENTRY..][..STREAM_ENTRY];
            table[0] = *id;
            table[1] = codec;
            table[4..8].copy_from_slice(&stored_len.to_le_bytes());
            table[8..12].copy_from_slice(&raw_len.to_le_bytes());
            self.body.extend_from_slice(stored);
        }
        let body_len = u32::try_from(self.body.len()).ok().filter(|&len| len <= MAX_BODY);
        let body_len =
            body_len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a frame is too long"))?;
        let mut bytes = [0; FRAME_HEADER];
        bytes[..4].copy_from_slice(&MARKER);
        bytes[4] = header.kind;
        bytes[5] = count.to_le_bytes()[0];
        bytes[8..16].copy_from_slice(&self.next_number.to_le_bytes());
        bytes[16..24].copy_from_slice(&header.first_event.to_le_bytes());
        bytes[24..32].copy_from_slice(&header.first_block.to_le_bytes());
        bytes[32..40].copy_from_slice(&header.first_arena.to_le_bytes());
        bytes[40..44].copy_from_slice(&header.events.to_le_bytes());
        bytes[44..48].copy_from_slice(&body_len.to_le_bytes());
        let checksum = checksum(&bytes[..48], &self.body);
        bytes[48..56].copy_from_slice(&checksum.to_le_bytes());
        self.sink.write_all(&bytes)?;
        self.sink.write_all(&self.body)?;
        self.next_number += 1;
        self.digest = chained(self.digest, checksum);
        self.written += FRAME_HEADER as u64 + u64::from(body_len);
        Ok(())
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// How many frames were written, and the digest of them all.
    pub(crate) fn frames(&self) -> (u64, u64) {
        (self.next_number, self.digest)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        Ok(self.sink.flush()?)
    }
}

fn checksum(header: &[u8], body: &[u8]) -> u64 {
    let mut hash = Xxh3Default::new();
    hash.update(header);
    hash.update(body);
    hash.digest()
}

/// The digest of some frames and one more, given by its checksum.
fn chained(digest: u64, checksum: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&digest.to_le_bytes());
    bytes[8..].copy_from_slice(&checksum.to_le_bytes());
    xxh3_64(&bytes)
}

/// Reads frames, reusing its buffers.
pub(crate) struct FrameReader<R> {
    source: R,
    version: Version,
    decompressor: zstd::bulk::Decompressor<'static>,
    body: Vec<u8>,
    streams: Vec<(u8, Vec<u8>)>,
    used: usize,
    next_number: u64,
    read: u64,
    /// Events in the whole frames so far: what an error says was recovered.
    events: u64,
    digest: u64,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Reads until the buffer is full or the source ends; how much was read.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match source.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

impl<R: Read> FrameReader<R> {
    /// Checks that the source is a trace that can be read here.
    pub(crate) fn new(mut source: R) -> Result<Self, Error> {
        let mut start = [0; 16];
        let read = read_up_to(&mut source, &mut start)?;
        let magic = read.min(MAGIC.len());
        if start[..magic] != MAGIC[..magic] {
            return Err(Error::NotATrace);
        }
        if read < start.len() {
            return Err(Error::Truncated { frame: 0, events: 0 });
        }
        let version = Version {
            major: u16::from_le_bytes([start[8], start[9]]),
            minor: u16::from_le_bytes([start[10], start[11]]),
        };
        if version < OLDEST {
            return Err(Error::TooOld { found: version, oldest: OLDEST });
        }
        if version.major > VERSION.major {
            return Err(Error::TooNew { found: version, newest: VERSION });
        }
        // Of another major version they may mean something.
        if start[12..] != [0; 4] {
            return Err(Error::NotZero);
        }
        Ok(Self {
            source,
            version,
            decompressor: zstd::bulk::Decompressor::new()?,
            body: Vec::new(),
            streams: Vec::new(),
            used: 0,
            next_number: 0,
            read: 16,
            events: 0,
            digest: 0,
        })
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Bytes read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// How many frames were read, and the digest of them all.
    pub(crate) fn frames(&self) -> (u64, u64) {
        (self.next_number, self.digest)
    }

    /// The number of the frame that was read last, for errors.
    pub(crate) fn number(&self) -> u64 {
        self.next_number.saturating_sub(1)
    }

    pub(crate) fn corrupt(&self, what: Corruption) -> Error {
        Error::Corrupt { frame: self.next_number, what, events: self.events }
    }

    pub(crate) fn malformed(&self, event: Option<u64>, what: Malformed) -> Error {
        Error::Malformed { frame: self.number(), event, what }
    }

    /// Whether the source is at its end.
    pub(crate) fn at_end(&mut self) -> Result<bool, Error> {
        Ok(read_up_to(&mut self.source, &mut [0])? == 0)
    }

    /// Reads the next frame. Its streams are then to be had from [`FrameReader::stream`].
    pub(crate) fn read(&mut self) -> Result<FrameHeader, Error> {
        let truncated = Error::Truncated { frame: self.next_number, events: self.events };
        let mut bytes = [0; FRAME_HEADER];
        if read_up_to(&mut self.source, &mut bytes)? < bytes.len() {
            return Err(truncated);
        }
        if bytes[..4] != MARKER {
            return Err(self.corrupt(Corruption::Marker));
        }
        let body_len = u32_at(&bytes, 44);
        if body_len > MAX_BODY {
            return Err(self.corrupt(Corruption::Length));
        }
        self.body.clear();
        // Grows with what arrives, not with what a damaged length promises.
        let arrived = (&mut self.source).take(body_len.into()).read_to_end(&mut self.body)?;
        if arrived < body_len as usize {
            return Err(truncated);
        }
        // A fuzzer cannot guess checksums, and what lies behind them is what it is to try.
        let declared = u64_at(&bytes, 48);
        if checksum(&bytes[..48], &self.body) != declared && !cfg!(fuzzing) {
            return Err(self.corrupt(Corruption::Checksum));
        }
        let header = FrameHeader {
            kind: bytes[4],
            number: u64_at(&bytes, 8),
            first_event: u64_at(&bytes, 16),
            first_block: u64_at(&bytes, 24),
            first_arena: u64_at(&bytes, 32),
            events: u32_at(&bytes, 40),
        };
        if header.number != self.next_number {
            return Err(self.corrupt(Corruption::Number { found: header.number }));
        }
        if header.events > MAX_EVENTS {
            return Err(self.corrupt(Corruption::Length));
        }
        let known = if header.kind == kind::EVENTS { &stream::OF_EVENTS[..] } else { &[stream::DOCUMENT] };
        self.split(usize::from(bytes[5]), known)?;
        self.next_number += 1;
        self.digest = chained(self.digest, declared);
        self.read += FRAME_HEADER as u64 + u64::from(body_len);
        self.events += u64::from(header.events);
        Ok(header)
    }

    /// Decompresses the streams of `self.body` that are known here, after checking that each is there once and that no
    /// other is there which may not be skipped.
    fn split(&mut self, count: usize, known: &[u8]) -> Result<(), Error> {
        self.used = 0;
        let length =
            Error::Corrupt { frame: self.next_number, what: Corruption::Length, events: self.events };
        let mut at = count * STREAM_ENTRY;
        if self.body.len() < at {
            return Err(length);
        }
        let mut room = MAX_STREAMS;
        for entry in 0..count {
            let entry = &self.body[entry * STREAM_ENTRY..][..STREAM_ENTRY];
            let (id, codec) = (entry[0], entry[1]);
            let (stored_len, raw_len) = (u32_at(entry, 4) as usize, u32_at(entry, 8));
            let Some(stored) = self.body.get(at..at + stored_len) else { return Err(length) };
            at += stored_len;
            if !known.contains(&id) && id >= OPTIONAL {
                continue;
            }
            if !known.contains(&id) || self.streams[..self.used].iter().any(|&(earlier, _)| earlier == id) {
                let what = Malformed::Stream { id };
                return Err(Error::Malformed { frame: self.next_number, event: None, what });
            }
            let Some(left) = room.checked_sub(raw_len) else { return Err(length) };
            room = left;
            if self.used == self.streams.len() {
                self.streams.push((0, Vec::new()));
            }
            let (slot_id, slot) = &mut self.streams[self.used];
            *slot_id = id;
            slot.clear();
            let whole = match codec {
                STORED => {
                    slot.extend_from_slice(stored);
                    stored_len == raw_len as usize
                }
                ZSTD => {
                    slot.reserve_exact(raw_len as usize);
                    self.decompressor.decompress_to_buffer(stored, slot).ok() == Some(raw_len as usize)
                }
                _ => false,
            };
            if !whole {
                return Err(self.corrupt(Corruption::Compression));
            }
            self.used += 1;
        }
        if at == self.body.len() { Ok(()) } else { Err(length) }
    }

    /// A stream of the frame read last; one that was left out is empty.
    pub(crate) fn stream(&self, id: u8) -> &[u8] {
        self.streams[..self.used].iter().find(|(found, _)| *found == id).map_or(&[], |(_, bytes)| bytes)
    }
}
