//! Writing a trace.

mod arenas;
mod blocks;
mod collector;
mod lives;

use std::io::Write;

use crate::address::AddressRule;
use crate::collections;
use crate::error::Error;
use crate::event::{ArenaChange, Input};
use crate::frame::{FrameHeader, FrameWriter, kind, stream};
use crate::header::{Allocator, Ending, Header, Parent, Tier, Totals, Trailer};
use crate::inputs::Encoder;
use crate::objects;
pub use blocks::LiveBlock;

/// A frame is closed after this many events: enough for the compressor to see the program's habits, few enough that
/// a decoded frame stays in the processor's cache.
const FRAME_EVENTS: u32 = 1 << 16;
/// Or when so much is told of objects.
const FRAME_OBJECTS: usize = 1 << 18;
/// Or when collections take so many bytes. (A graph is in one frame.)
const FRAME_COLLECTIONS: usize = 1 << 20;

/// A place in a trace, from which that of a forked process goes on: see [`Writer::branch`].
#[derive(Clone, Debug)]
pub struct Branch {
    rule: AddressRule,
    /// But for the name of the trace.
    parent: Parent,
}

/// Writes a trace, event by event, in the program's order.
///
/// The writer does not look for blocks: its caller, who knows which address is which block, keeps a [`LiveBlock`]
/// for each and hands it back.
pub struct Writer<W: Write> {
    frames: FrameWriter<W>,
    allocator: Allocator,
    rule: AddressRule,
    /// Events, blocks and arenas are counted on from the past, if there is one.
    totals: Totals,
    past: Totals,
    /// The frame under construction, and its streams.
    frame: FrameHeader,
    inputs: Encoder,
    objects: objects::Encoder,
    /// Where these are told.
    collections: Option<collections::Encoder>,
    fetched: Vec<u8>,
    addresses: Vec<u8>,
    arenas: Vec<u8>,
    /// Arena changes that belong to the event about to be written.
    pending: Vec<(ArenaChange, u64)>,
    /// The last base and the last arena record's event in this frame: distances are counted from them.
    last_base: u64,
    last_arena_event: u64,
    cut_short: bool,
    is_frame_due: bool,
    /// Whether only collections are told, and objects as far as they take part in these.
    has_no_births: bool,
}

impl<W: Write> Writer<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// If the sink refuses, or the header's allocator is impossible.
    pub fn new(sink: W, header: &Header) -> Result<Self, Error> {
        header.allocator.check().map_err(std::io::Error::other)?;
        let rule = AddressRule::new(header.allocator.alignment);
        Self::begin(sink, &Header { parent: None, ..header.clone() }, rule)
    }

    /// Begins the trace of a forked process, which goes on where its parent's was when `branch` was made; `trace` is the
    /// name of that file, which is in the same folder. Live blocks are then the parent's.
    ///
    /// # Errors
    /// As for [`Writer::new`].
    pub fn resume(sink: W, header: &Header, branch: Branch, trace: String) -> Result<Self, Error> {
        let parent = Parent { trace, ..branch.parent };
        Self::begin(sink, &Header { parent: Some(parent), ..header.clone() }, branch.rule)
    }

    fn begin(sink: W, header: &Header, rule: AddressRule) -> Result<Self, Error> {
        let mut frames = FrameWriter::new(sink, header.tier == Tier::Objects)?;
        let document = serde_json::to_vec(header).map_err(std::io::Error::other)?;
        let frame = FrameHeader { kind: kind::HEADER, ..FrameHeader::default() };
        frames.write(frame, &[(stream::DOCUMENT, &document)])?;
        frames.flush()?;
        let past = header.parent.as_ref().map_or_else(Totals::default, Parent::totals);
        let mut writer = Self {
            frames,
            allocator: header.allocator,
            rule,
            totals: past,
            past,
            frame: FrameHeader::default(),
            inputs: Encoder::default(),
            objects: objects::Encoder::new(header.tier >= Tier::Counts),
            collections: header.has_collections().then(collections::Encoder::default),
            fetched: Vec::new(),
            addresses: Vec::new(),
            arenas: Vec::new(),
            pending: Vec::new(),
            last_base: 0,
            last_arena_event: 0,
            cut_short: false,
            is_frame_due: false,
            has_no_births: header.tier < Tier::Objects,
        };
        writer.begin_frame();
        Ok(writer)
    }

    /// The number of the next event.
    #[must_use]
    pub fn next_event(&self) -> u64 {
        self.totals.events
    }

    /// The place where the trace is now, for the trace of a process that was forked here. Ends the frame; takes time
    /// and half a megabyte of memory whatever the program has done.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn branch(&mut self) -> Result<Branch, Error> {
        if self.frame.events > 0 {
            self.end_frame()?;
        }
        let (frames, digest) = self.frames.frames();
        let Totals { events, blocks, arenas, .. } = self.totals;
        let parent = Parent { trace: String::new(), frames, digest, events, blocks, arenas };
        Ok(Branch { rule: self.rule.clone(), parent })
    }

    /// Bytes written so far; the frame under construction is not among them.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.frames.written()
    }

    /// Everything that comes before an event's own record.
    #[inline]
    fn begin_event(&mut self) -> Result<(), Error> {
        if self.frame.events >= FRAME_EVENTS || (self.is_frame_due && self.frame.events > 0) {
            self.end_frame()?;
        }
        if !self.pending.is_empty() {
            self.put_pending();
        }
        Ok(())
    }

    fn push(&mut self, input: &Input) {
        self.inputs.push(input, self.totals.blocks);
        self.frame.events += 1;
        self.totals.events += 1;
        self.objects.block();
        if let Some(collections) = &mut self.collections {
            collections.passed();
        }
    }

    /// A mark.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn mark(&mut self, code: u64) -> Result<(), Error> {
        self.begin_event()?;
        self.push(&Input::Mark { code });
        self.totals.marks += 1;
        Ok(())
    }

    /// Has the frame under construction written when the next event comes: not before, since an arena that the last
    /// event gives back may still be told.
    pub fn end_frame_soon(&mut self) {
        self.is_frame_due = true;
    }

    fn end_frame(&mut self) -> Result<(), Error> {
        let blocks = [
            (stream::INPUTS, &self.inputs.codes[..]),
            (stream::INPUT_SIZES, &self.inputs.sizes),
            (stream::INPUT_BLOCKS, &self.inputs.blocks),
            (stream::FETCHED, &self.fetched),
            (stream::ADDRESSES, &self.addresses),
            (stream::ARENAS, &self.arenas),
        ];
        let collections = self.collections.iter().flat_map(collections::Encoder::streams);
        let streams: Vec<_> = blocks.into_iter().chain(self.objects.streams()).chain(collections).collect();
        self.frames.write(self.frame, &streams)?;
        // Whoever writes may be killed.
        self.frames.flush()?;
        self.is_frame_due = false;
        self.begin_frame();
        Ok(())
    }

    fn begin_frame(&mut self) {
        self.inputs.begin_frame(self.totals.blocks);
        self.objects.begin_frame();
        if let Some(collections) = &mut self.collections {
            collections.begin_frame(self.totals.events);
        }
        for stream in [&mut self.fetched, &mut self.addresses, &mut self.arenas] {
            stream.clear();
        }
        self.frame = FrameHeader {
            kind: kind::EVENTS,
            number: 0,
            first_event: self.totals.events,
            first_block: self.totals.blocks,
            first_arena: self.totals.arenas,
            events: 0,
        };
        self.last_base = 0;
        self.last_arena_event = self.totals.events;
    }

    /// Notes that what follows the last event was not seen: see [`Trailer::cut_short`].
    pub fn cut_short(&mut self) {
        self.cut_short = true;
    }

    /// Ends the trace: an arena requested inside an event that never came is left out. Returns the totals, the
    /// size of the trace in bytes, and the sink.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn finish(mut self, ending: Ending, microseconds: u64) -> Result<(Totals, u64), Error> {
        let collected = self.collections.as_ref().map_or(0, collections::Encoder::size);
        if self.frame.events > 0 || self.objects.size > 0 || collected > 0 {
            self.end_frame()?;
        }
        let totals = Totals {
            events: self.totals.events - self.past.events,
            blocks: self.totals.blocks - self.past.blocks,
            arenas: self.totals.arenas - self.past.arenas,
            ..self.totals
        };
        let trailer = Trailer { totals, ending, microseconds, cut_short: self.cut_short };
        let document = serde_json::to_vec(&trailer).map_err(std::io::Error::other)?;
        self.frame.kind = kind::TRAILER;
        self.frames.write(self.frame, &[(stream::DOCUMENT, &document)])?;
        self.frames.flush()?;
        Ok((totals, self.frames.written()))
    }
}
