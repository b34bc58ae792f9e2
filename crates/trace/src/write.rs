//! Writing a trace.

use std::io::Write;

use crate::address::{ADDRESS_LIMIT, AddressRule, Seen};
use crate::error::Error;
use crate::event::{Answer, ArenaChange, Block, Domain, Input};
use crate::frame::{FrameHeader, FrameWriter, kind, stream};
use crate::header::{Allocator, Ending, Header, Parent, Tier, Totals, Trailer};
use crate::inputs::Encoder;
use crate::objects::{self, Beginning, Begins, Death, Fate, Object, Step, TypeInfo, TypeNumber};
use crate::varint;

/// A frame is closed after this many events: enough for the compressor to see the program's habits, few enough that
/// a decoded frame stays in the processor's cache.
const FRAME_EVENTS: u32 = 1 << 16;
/// Or when so much is told of objects.
const FRAME_OBJECTS: usize = 1 << 18;

/// What the writer has to be told again of a live block; whoever holds the addresses keeps it.
///
/// Eight bytes, and never zero inside: an `Option` of it is as small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveBlock(std::num::NonZeroU64);

/// The class of a block that lies outside the pools.
const OUTSIDE: u8 = 0x7f;

impl LiveBlock {
    fn new(block: Block, class: u8, domain: Domain) -> Self {
        let domain = u64::from(domain == Domain::Mem);
        Self(std::num::NonZeroU64::MIN | (block << 9 | domain << 8 | u64::from(class) << 1))
    }

    /// The block's number.
    #[must_use]
    pub fn block(self) -> Block {
        self.0.get() >> 9
    }

    /// The domain that it was allocated from.
    #[must_use]
    pub fn domain(self) -> Domain {
        if self.0.get() & 1 << 8 == 0 { Domain::Obj } else { Domain::Mem }
    }

    /// Whether it is known to be longer than so many bytes.
    #[inline]
    #[must_use]
    pub fn is_longer_than(self, bytes: u64) -> bool {
        let class = self.class();
        // Classes are at least eight bytes apart.
        class != OUTSIDE && u64::from(class) * 8 >= bytes
    }

    fn class(self) -> u8 {
        (self.0.get().to_le_bytes()[0]) >> 1
    }
}

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
            fetched: Vec::new(),
            addresses: Vec::new(),
            arenas: Vec::new(),
            pending: Vec::new(),
            last_base: 0,
            last_arena_event: 0,
            cut_short: false,
            is_frame_due: false,
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

    /// An arena was asked for inside the *next* event: its base, or that it was refused.
    ///
    /// Returns the arena's number, which is valid once that event is written.
    pub fn arena_requested(&mut self, base: Option<u64>) -> u64 {
        let waiting = self.pending.iter().filter(|(change, _)| matches!(change, ArenaChange::Acquired(_)));
        let arena = self.totals.arenas + waiting.count() as u64;
        self.pending.push(match base {
            Some(base) => (ArenaChange::Acquired(arena), base),
            None => (ArenaChange::Refused, 0),
        });
        arena
    }

    /// An arena was given back: inside the *next* event, which is a resize, or inside the last one.
    pub fn arena_released(&mut self, arena: u64, in_next_event: bool) {
        if in_next_event {
            self.pending.push((ArenaChange::Released(arena), 0));
        } else {
            self.push_arena(self.totals.events.saturating_sub(1), ArenaChange::Released(arena));
        }
    }

    fn push_arena(&mut self, event: u64, change: ArenaChange) {
        varint::write(&mut self.arenas, event - self.last_arena_event);
        self.last_arena_event = event;
        let code = match change {
            ArenaChange::Acquired(_) => 0,
            ArenaChange::Refused => 1,
            ArenaChange::Released(arena) => 1 + (self.totals.arenas - arena),
        };
        varint::write(&mut self.arenas, code);
        self.totals.arena_facts += 1;
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

    #[cold]
    fn put_pending(&mut self) {
        for (change, base) in std::mem::take(&mut self.pending) {
            match change {
                ArenaChange::Acquired(_) => {
                    let distance = base.cast_signed().wrapping_sub(self.last_base.cast_signed());
                    varint::write(&mut self.fetched, 1);
                    varint::write(&mut self.fetched, varint::fold(distance));
                    self.last_base = base;
                }
                ArenaChange::Refused => varint::write(&mut self.fetched, 0),
                ArenaChange::Released(_) => {}
            }
            self.push_arena(self.totals.events, change);
            self.totals.arenas += u64::from(matches!(change, ArenaChange::Acquired(_)));
        }
    }

    fn push(&mut self, input: &Input) {
        self.inputs.push(input, self.totals.blocks);
        self.frame.events += 1;
        self.totals.events += 1;
        self.objects.block();
    }

    fn observe(&mut self, size: u64, seen: Seen) -> u8 {
        let class = self.rule.class_of(size);
        self.rule.encode(class, seen, &mut self.addresses);
        self.totals.placement_facts += 1;
        class
    }

    fn seen(answer: Answer) -> Seen {
        match answer {
            Answer::At(address) if address != 0 && address < ADDRESS_LIMIT => Seen::At(address),
            _ => Seen::Foreign,
        }
    }

    /// A request for a new block. Returns the block, unless the request failed.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn allocate(
        &mut self,
        domain: Domain,
        size: u64,
        zeroed: bool,
        answer: Answer,
    ) -> Result<Option<LiveBlock>, Error> {
        self.begin_event()?;
        let failed = answer == Answer::Failed;
        self.push(&Input::Allocate { domain, size, zeroed, failed });
        self.totals.allocates += 1;
        if failed {
            if self.allocator.serves(size) {
                self.observe(size, Seen::Foreign);
            }
            return Ok(None);
        }
        let class = match Self::seen(answer) {
            _ if !self.allocator.serves(size) => OUTSIDE,
            seen @ Seen::At(_) => self.observe(size, seen),
            seen => {
                self.observe(size, seen);
                OUTSIDE
            }
        };
        let block = self.totals.blocks;
        self.totals.blocks += 1;
        Ok(Some(LiveBlock::new(block, class, domain)))
    }

    /// A request to change the size of `live`, which lies at `address`. Returns what it has become.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn resize(
        &mut self,
        live: LiveBlock,
        address: u64,
        domain: Domain,
        size: u64,
        answer: Answer,
    ) -> Result<LiveBlock, Error> {
        self.begin_event()?;
        let failed = answer == Answer::Failed;
        let foreign_domain = domain != live.domain();
        self.push(&Input::Resize { block: live.block(), size, foreign_domain, failed });
        self.totals.resizes += 1;
        if failed {
            if self.allocator.serves(size) {
                self.observe(size, Seen::Foreign);
            }
            return Ok(live);
        }
        let mut class = OUTSIDE;
        if self.allocator.serves(size) {
            let mut seen = Self::seen(answer);
            if live.class() != OUTSIDE && seen == Seen::At(address) {
                seen = Seen::Same;
            }
            let requested = self.observe(size, seen);
            class = match seen {
                Seen::Same => return Ok(live),
                Seen::At(_) => requested,
                Seen::Foreign => OUTSIDE,
            };
        }
        if live.class() != OUTSIDE {
            self.rule.released(live.class(), address);
        }
        Ok(LiveBlock::new(live.block(), class, live.domain()))
    }

    /// A block given back, which lay at `address`.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn release(&mut self, live: LiveBlock, address: u64, domain: Domain) -> Result<(), Error> {
        self.begin_event()?;
        self.push(&Input::Release { block: live.block(), foreign_domain: domain != live.domain() });
        self.totals.releases += 1;
        if live.class() != OUTSIDE {
            self.rule.released(live.class(), address);
        }
        Ok(())
    }

    /// The release of a block because the object in it has just died: an answer, which only whoever replays blocks alone
    /// is told of as an input.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn release_by_death(&mut self, live: LiveBlock, address: u64, domain: Domain) -> Result<(), Error> {
        self.release(live, address, domain)?;
        self.objects.released_by_death(u64::from(self.frame.events) - 1);
        Ok(())
    }

    /// Everything that comes before what is told of an object.
    fn begin_object(&mut self) -> Result<(), Error> {
        if self.objects.size >= FRAME_OBJECTS { self.end_frame() } else { Ok(()) }
    }

    /// A type is described, and gets a number.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn described(&mut self, info: &TypeInfo) -> Result<TypeNumber, Error> {
        self.begin_object()?;
        Ok(self.objects.described(info))
    }

    /// An object is born, and gets a number.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn born(&mut self, of: TypeNumber, begins: Begins) -> Result<Object, Error> {
        self.begin_object()?;
        self.totals.objects += 1;
        Ok(self.objects.born(of, begins, self.totals.blocks))
    }

    /// A number for an object whose birth was not seen.
    pub fn stranger(&mut self) -> Object {
        self.objects.stranger()
    }

    /// A step of the program that has no function of its own: none of a call, a description, a birth.
    ///
    /// # Errors
    /// If the sink refuses.
    #[inline]
    pub fn step(&mut self, step: Step) -> Result<(), Error> {
        self.begin_object()?;
        self.totals.changes += u64::from(matches!(step, Step::Up(_) | Step::Down(_) | Step::Set(..)));
        self.objects.step(step);
        Ok(())
    }

    /// What a replay is to know of a death when it has predicted that it begins. At tier `counts` the counts in there are
    /// answers, which it is not told.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn begins(&mut self, object: Object, beginning: &Beginning) -> Result<(), Error> {
        self.begin_object()?;
        self.totals.edges += beginning.edges.len() as u64;
        self.totals.count_facts += self.objects.begins(object, beginning);
        Ok(())
    }

    /// The same of the innermost death, in which a finalizer has run.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn goes_on(&mut self, beginning: &Beginning) -> Result<(), Error> {
        self.begin_object()?;
        self.totals.edges += beginning.edges.len() as u64;
        self.totals.count_facts += self.objects.goes_on(beginning);
        Ok(())
    }

    /// The program makes so many steps inside of the innermost death, when that has given up so many references since it
    /// began, or since the steps before; if it is not known how many, since anything else happened to it.
    pub fn steps(&mut self, steps: u64, after: Option<u64>) {
        self.objects.steps(steps, after);
    }

    /// Which of its references the innermost death gives up next, for who cannot know.
    pub fn gives(&mut self, at: u32) {
        self.objects.gives(at);
    }

    /// What becomes of the memory of the object whose death is the innermost one, and ends.
    pub fn ends(&mut self, fate: Fate) {
        self.objects.ends(fate);
    }

    /// The innermost death calls a finalizer or a callback.
    pub fn calls(&mut self) {
        self.objects.calls();
    }

    /// The death that is about to begin is put off; or such deaths are taken up. For who cannot know.
    pub fn trashcan(&mut self, is_taken_up: bool) {
        self.objects.trashcan(is_taken_up);
    }

    /// An answer: what happened to an object.
    pub fn observed(&mut self, death: Death) {
        self.totals.death_facts += 1;
        self.objects.observe(death);
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
        let streams: Vec<_> = blocks.into_iter().chain(self.objects.streams()).collect();
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
        if self.frame.events > 0 || self.objects.size > 0 {
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
