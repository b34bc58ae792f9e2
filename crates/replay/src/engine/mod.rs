//! The engine: drives `pool` with what a program did and says where each block comes to lie.
//!
//! It is given inputs, and may fetch the base of an arena at the moment at which its own pool asks for one. It never
//! holds an observation: neither this module nor anything that it uses imports that type.

mod error;
mod geometry;

use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;

use pool::{Pool, Unbacked};
use trace::{
    Allocator, ArenaChange, ArenaEvent, BlockTable, FOREIGN, Fetched, FetchedArena, Kind, PackedInput,
};

pub use error::EngineError;
use geometry::geometry;

/// What can be fetched, and how much was.
#[derive(Default)]
struct Fetching {
    due: Fetched,
    fetched: u64,
}

impl Fetching {
    /// The base of the arena that the pool is asking for now. Where the recording has nothing to fetch, CPython did not
    /// ask, and the replay is wrong; it goes on as if there were no memory.
    fn base(&mut self) -> Option<u64> {
        let arena = self.due.next_arena();
        self.fetched += u64::from(arena != FetchedArena::Nothing);
        match arena {
            FetchedArena::Base(base) => Some(base),
            FetchedArena::Refused | FetchedArena::Nothing => None,
        }
    }
}

type Source = pool::Replay<Box<dyn FnMut() -> Option<u64>>>;

/// What the engine says of one frame.
#[derive(Debug, Default)]
pub struct Predictions {
    /// For each input that asks for a size that pools serve: the block's address, or [`trace::FOREIGN`] if no pool
    /// serves it.
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
    fetching: Rc<RefCell<Fetching>>,
    /// The recorded bases of the arenas acquired so far, by number.
    recorded: Vec<u64>,
    /// Why the engine cannot go on, if it cannot.
    stopped: Option<EngineError>,
}

impl Engine {
    /// An engine for an interpreter whose allocator was built like this.
    ///
    /// # Errors
    /// If no such allocator can be built.
    pub fn new(allocator: &Allocator) -> Result<Self, EngineError> {
        let geometry = geometry(allocator)?;
        let fetching = Rc::<RefCell<Fetching>>::default();
        let asked = Rc::clone(&fetching);
        let source: Source = pool::Replay::new(&geometry, Box::new(move || asked.borrow_mut().base()));
        Ok(Self {
            pool: Pool::with_parts(geometry, source, Unbacked::new()),
            allocator: *allocator,
            blocks: BlockTable::new(),
            fetching,
            recorded: Vec::new(),
            stopped: None,
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
        self.fetching.borrow().fetched
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
        self.fetching.borrow_mut().due.append(fetched);
        if let Some(error) = &self.stopped {
            return Err(error.clone());
        }
        let result = (first_event..).zip(inputs).try_for_each(|(event, &input)| self.step(event, input, out));
        self.stopped = result.clone().err();
        result
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
            out.arenas.push(ArenaEvent { event, change });
        }
        Ok(())
    }

    #[inline]
    fn step(&mut self, event: u64, input: PackedInput, out: &mut Predictions) -> Result<(), EngineError> {
        let size = usize::try_from(input.size()).map_err(|_| EngineError::TooLarge { event })?;
        match input.kind() {
            Kind::Allocate => {
                let block =
                    self.call(
                        input,
                        |pool| {
                            if input.zeroed() { pool.calloc(1, size) } else { pool.malloc(size) }
                        },
                    );
                let block = self.check(event, input, block)?;
                if input.failed() {
                    // The program has no block, so if the pool has one for it, nobody will give that back.
                    self.predict(event, input, block, out)?;
                    block.into_iter().for_each(|block| self.release(block));
                } else {
                    self.blocks.push(block.ok_or(EngineError::TooLarge { event })?);
                    self.predict(event, input, block, out)?;
                }
            }
            Kind::Resize => {
                let number = input.block();
                let old = self.blocks.get(number).ok_or(EngineError::NotLive { event, block: number })?;
                // SAFETY: the table holds what this pool returned last for this number, until it is released; what
                // becomes of the block is entered at once.
                let block = self.call(input, |pool| unsafe { pool.realloc(Some(old), size) });
                if let Some(block) = block {
                    self.blocks.replace(number, block);
                }
                let block = self.check(event, input, block)?;
                self.predict(event, input, block, out)?;
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

    /// Calls the pool, with memory behind it or, for a request that failed, without.
    #[inline]
    fn call(
        &self,
        input: PackedInput,
        request: impl FnOnce(&Pool<Source, Unbacked>) -> Option<NonNull<u8>>,
    ) -> Option<NonNull<u8>> {
        if !input.failed() {
            return request(&self.pool);
        }
        self.pool.fallback().refuse(true);
        let block = request(&self.pool);
        self.pool.fallback().refuse(false);
        block
    }

    /// Only a request that failed may go unanswered.
    #[inline]
    fn check(
        &self,
        event: u64,
        input: PackedInput,
        block: Option<NonNull<u8>>,
    ) -> Result<Option<NonNull<u8>>, EngineError> {
        if block.is_none() && !input.failed() { Err(EngineError::TooLarge { event }) } else { Ok(block) }
    }

    fn release(&self, block: NonNull<u8>) {
        // SAFETY: the caller took the block out of the table, or got it from the pool just now and told nobody: it is
        // this pool's, live, and nothing refers to it any more.
        unsafe { self.pool.free(Some(block)) };
    }

    /// Notes what a request came to.
    #[inline]
    fn predict(
        &mut self,
        event: u64,
        input: PackedInput,
        block: Option<NonNull<u8>>,
        out: &mut Predictions,
    ) -> Result<(), EngineError> {
        self.note_arenas(event, out)?;
        if self.allocator.serves(input.size()) {
            out.failed += u64::from(input.failed());
            let address = block.and_then(|block| {
                let place = self.pool.locate(block.as_ptr())?;
                let base = self.recorded.get(usize::try_from(place.arena.ordinal()).ok()?)?;
                Some(base + place.offset as u64)
            });
            out.addresses.push(address.unwrap_or(FOREIGN));
        }
        Ok(())
    }
}
