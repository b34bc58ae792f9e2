//! The engine: drives `pool` with what a program did and says where each block comes to lie.
//!
//! It is given inputs, and may fetch the base of an arena at the moment at which its own pool asks for one. It never
//! holds an observation: neither this module nor anything that it uses imports that type.

mod error;
mod source;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::rc::Rc;

use pool::{Pool, Unbacked};
use trace::{Allocator, ArenaChange, ArenaEvent, BlockTable, FOREIGN, Fetched, Kind, PackedInput};

pub use error::EngineError;
pub use source::geometry;

/// What the recording says of arenas and has not been asked for yet.
type Bases = Rc<RefCell<VecDeque<Option<u64>>>>;
type Source = pool::Replay<Box<dyn FnMut() -> Option<u64>>>;

/// What the engine says of one frame.
#[derive(Debug, Default)]
pub struct Predictions {
    /// For each input that asks for a size that pools serve and did not fail: the block's address, or
    /// [`trace::FOREIGN`] if it lies outside all arenas.
    pub addresses: Vec<u64>,
    /// What happens to arenas.
    pub arenas: Vec<ArenaEvent>,
    /// Requests of a size that pools serve which failed: that there was no memory behind the pools is an input.
    pub failed: u64,
}

/// Replays the inputs of one trace, frame after frame.
pub struct Engine {
    pool: Pool<Source, Unbacked>,
    allocator: Allocator,
    blocks: BlockTable<NonNull<u8>>,
    bases: Bases,
    /// The recorded bases of the arenas acquired so far, by number.
    recorded: Vec<u64>,
    /// How many requests for an arena were made.
    fetched: u64,
}

impl Engine {
    /// An engine for an interpreter whose allocator was built like this.
    ///
    /// # Errors
    /// If no such allocator can be built.
    pub fn new(allocator: &Allocator) -> Result<Self, EngineError> {
        let geometry = geometry(allocator)?;
        let bases = Bases::default();
        let queue = Rc::clone(&bases);
        let source: Source =
            pool::Replay::new(&geometry, Box::new(move || queue.borrow_mut().pop_front().flatten()));
        Ok(Self {
            pool: Pool::with_parts(geometry, source, Unbacked::new()),
            allocator: *allocator,
            blocks: BlockTable::new(),
            bases,
            recorded: Vec::new(),
            fetched: 0,
        })
    }

    /// The allocator as it stands after the inputs so far.
    #[must_use]
    pub fn pool(&self) -> &Pool<impl pool::ArenaSource + use<>, Unbacked> {
        &self.pool
    }

    /// The bases that the arenas acquired so far had when they were recorded.
    #[must_use]
    pub fn recorded_bases(&self) -> &[u64] {
        &self.recorded
    }

    /// How many bases of arenas were fetched so far.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched
    }

    /// Replays one frame, whose first input is event number `first_event`, and leaves in `out` what it predicts.
    ///
    /// Takes the frame's fetched records: what is not asked for now may be asked for later.
    ///
    /// # Errors
    /// If the inputs touch a block that is not live, or if an arena cannot be had here.
    pub fn run(
        &mut self,
        first_event: u64,
        inputs: &[PackedInput],
        fetched: &mut Fetched,
        out: &mut Predictions,
    ) -> Result<(), EngineError> {
        out.addresses.clear();
        out.arenas.clear();
        out.failed = 0;
        self.bases.borrow_mut().append(&mut fetched.arena_bases);
        for (event, &input) in (first_event..).zip(inputs) {
            self.step(event, input, out)?;
        }
        Ok(())
    }

    /// Notes what the last call of the pool did to arenas.
    #[inline]
    fn note_arenas(&mut self, event: u64, out: &mut Predictions) -> Result<(), EngineError> {
        if self.pool.source().has_events() { self.note_arenas_of(event, out) } else { Ok(()) }
    }

    #[cold]
    fn note_arenas_of(&mut self, event: u64, out: &mut Predictions) -> Result<(), EngineError> {
        while let Some(change) = self.pool.source().next_event() {
            let change = match change {
                pool::ArenaEvent::Acquired { arena, recorded } => {
                    self.recorded.push(recorded);
                    ArenaChange::Acquired(arena.ordinal())
                }
                pool::ArenaEvent::Released { arena, .. } => ArenaChange::Released(arena.ordinal()),
                pool::ArenaEvent::Refused(pool::Refusal::Recorded) => ArenaChange::Refused,
                pool::ArenaEvent::Refused(why) => return Err(EngineError::NoArena { event, why }),
            };
            self.fetched += u64::from(!matches!(change, ArenaChange::Released(_)));
            out.arenas.push(ArenaEvent { event, change });
        }
        Ok(())
    }

    #[inline]
    fn step(&mut self, event: u64, input: PackedInput, out: &mut Predictions) -> Result<(), EngineError> {
        let size = usize::try_from(input.size()).map_err(|_| EngineError::TooLarge { event })?;
        match input.kind() {
            Kind::Allocate => {
                let block = self.request(event, size, input.zeroed())?;
                self.note_arenas(event, out)?;
                if input.failed() {
                    self.release(block);
                    self.note_arenas(event, out)?;
                    out.failed += u64::from(self.allocator.serves(input.size()));
                } else {
                    self.predict(input.size(), block, out);
                    self.blocks.push(block);
                }
            }
            Kind::Resize => {
                let number = input.block();
                let old = self.blocks.get(number).ok_or(EngineError::NotLive { event, block: number })?;
                if input.failed() {
                    // The program kept the old block; a new one was only tried for.
                    let block = self.request(event, size, false)?;
                    self.release(block);
                    self.note_arenas(event, out)?;
                    out.failed += u64::from(self.allocator.serves(input.size()));
                } else {
                    // SAFETY: the table holds what this pool returned last for this number, until it is released.
                    let block = unsafe { self.pool.realloc(Some(old), size) };
                    let block = block.ok_or(EngineError::TooLarge { event })?;
                    self.note_arenas(event, out)?;
                    self.predict(input.size(), block, out);
                    self.blocks.replace(number, block);
                }
            }
            Kind::Release => {
                let number = input.block();
                let block =
                    self.blocks.remove(number).ok_or(EngineError::NotLive { event, block: number })?;
                self.release(block);
                self.note_arenas(event, out)?;
            }
            Kind::Mark => {}
        }
        Ok(())
    }

    fn request(&self, event: u64, size: usize, zeroed: bool) -> Result<NonNull<u8>, EngineError> {
        let block = if zeroed { self.pool.calloc(1, size) } else { self.pool.malloc(size) };
        block.ok_or(EngineError::TooLarge { event })
    }

    fn release(&self, block: NonNull<u8>) {
        // SAFETY: the caller took the block out of the table, or got it from the pool just now and told nobody: it is
        // this pool's, live, and nothing refers to it any more.
        unsafe { self.pool.free(Some(block)) };
    }

    #[inline]
    fn predict(&self, size: u64, block: NonNull<u8>, out: &mut Predictions) {
        if self.allocator.serves(size) {
            let address = self.pool.locate(block.as_ptr()).and_then(|place| {
                let base = self.recorded.get(usize::try_from(place.arena.ordinal()).ok()?)?;
                Some(base + place.offset as u64)
            });
            out.addresses.push(address.unwrap_or(FOREIGN));
        }
    }
}
