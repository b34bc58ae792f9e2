//! The engine: drives `pool` with what a program did and says where each block comes to lie.
//!
//! It is given inputs, and may fetch the base of an arena at the moment at which its own pool asks for one. It never
//! holds an observation: neither this module nor anything that it uses imports that type.

mod collections;
mod deaths;
mod error;
mod geometry;
mod live;
mod predictions;

use std::cell::RefCell;
use std::ptr::NonNull;
use std::rc::Rc;

use pool::{Pool, Refusal, SizeClass, Unbacked};
use trace::{Allocator, ArenaChange, ArenaEvent, BlockTable, Fetched, FetchedArena, Kind, PackedInput};

pub use collections::{
    CollectionCounts, CollectionEngine, CollectionPredictions, Comparable, GivenOfCollections, Look, Over,
    PredictedCollection, Seen, Unseen, Watch,
};
pub use deaths::{Cause, DeathEngine, DeathPredictions, Given, Happening, Stopped};
pub use error::EngineError;
use geometry::geometry;
use live::Live;
pub use predictions::Predictions;
use predictions::{Lists, Said};

/// How many records wait to be fetched at most: as many as a frame may have events.
const MOST_DUE: usize = 1 << 20;

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

/// Replays the inputs of one trace, frame after frame.
pub struct Engine {
    pool: Pool<Source, Unbacked>,
    allocator: Allocator,
    blocks: BlockTable<Live>,
    fetching: Rc<RefCell<Fetching>>,
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
    pub fn recorded_bases(&self) -> Vec<u64> {
        self.pool.source().recorded_bases()
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
        {
            let due = &mut self.fetching.borrow_mut().due;
            due.append(fetched);
            // What was not asked for in its frame was not predicted: the replay is wrong, and need not remember it all.
            due.keep_last(MOST_DUE);
        }
        let (mut lists, arenas, failed) = out.begin(inputs.len());
        if let Some(error) = &self.stopped {
            return Err(error.clone());
        }
        let mut result = Ok(());
        for (event, &input) in (first_event..).zip(inputs) {
            let done = self.step(input, &mut lists, failed);
            // A glance, after each event.
            if self.pool.source().has_events() {
                result = self.note_arenas(event, arenas);
            }
            if let Err(stop) = done {
                result = result.and(Err(self.why(stop, event, input)));
            }
            if result.is_err() {
                break;
            }
        }
        let left = lists.left();
        out.end(left);
        self.stopped = result.clone().err();
        result
    }

    /// Notes what the last call of the pool did to arenas.
    #[cold]
    fn note_arenas(&mut self, event: u64, out: &mut Vec<ArenaEvent>) -> Result<(), EngineError> {
        while let Some(change) = self.pool.source().next_event() {
            let change = match change {
                pool::ArenaEvent::Acquired { arena, .. } => ArenaChange::Acquired(arena.ordinal()),
                pool::ArenaEvent::Released { arena, .. } => ArenaChange::Released(arena.ordinal()),
                pool::ArenaEvent::Refused(Refusal::Recorded) => ArenaChange::Refused,
                pool::ArenaEvent::Refused(why) => return Err(EngineError::NoArena { event, why }),
            };
            out.push(ArenaEvent { event, change });
        }
        Ok(())
    }

    #[inline]
    fn step(&mut self, input: PackedInput, lists: &mut Lists<'_>, failed: &mut u64) -> Result<(), Stop> {
        if input.is_release() {
            let old = self.blocks.remove(input.block());
            let (old, block) = self.here(old)?;
            lists.lay(old.placed());
            self.release(block);
        } else if input.is_plain_birth() {
            let size = size_of(input)?;
            let class = self.pool.class_of(size);
            let block = self.pool.malloc(size).ok_or(Stop::Unanswered)?;
            let live = Live::new(block, class, self.pool.source()).ok_or(Stop::Unanswered)?;
            self.blocks.push(live);
            if class.is_some() {
                lists.lies(live.address());
            }
        } else {
            let said = self.step_rarely(input)?;
            if let Some(placed) = said.before {
                lists.lay(placed);
            }
            if let Some(address) = said.address {
                lists.lies(address);
                *failed += u64::from(input.failed());
            }
        }
        Ok(())
    }

    /// What is not common: resizes, zeroed memory, what failed, and marks.
    #[inline(never)]
    fn step_rarely(&mut self, input: PackedInput) -> Result<Said, Stop> {
        let size = size_of(input)?;
        let class = self.pool.class_of(size);
        match input.kind() {
            Kind::Allocate => {
                let block =
                    self.call(
                        input,
                        |pool| {
                            if input.zeroed() { pool.calloc(1, size) } else { pool.malloc(size) }
                        },
                    );
                let live = self.answer(input, class, block)?;
                if !input.failed() {
                    self.blocks.push(live);
                } else if let Some(block) = block {
                    // The program has no block, so if the pool has one for it, nobody will give that back.
                    self.release(block);
                }
                Ok(Said { address: class.map(|_| live.address()), before: None })
            }
            Kind::Resize => {
                let (old, block) = self.here(self.blocks.get(input.block()))?;
                // SAFETY: the table holds what this pool returned last for this number, until it is released; what
                // becomes of the block is entered at once.
                let moved = self.call(input, |pool| unsafe { pool.realloc(Some(block), size) });
                // A block that stays keeps the class that it was placed in.
                let live = if moved == Some(block) { old } else { self.answer(input, class, moved)? };
                if moved.is_some() {
                    self.blocks.replace(input.block(), live);
                }
                Ok(Said { address: class.map(|_| live.address()), before: Some(old.placed()) })
            }
            Kind::Release | Kind::Mark => Ok(Said { address: None, before: None }),
        }
    }

    /// A block of the table, and where it is here.
    #[inline]
    fn here(&self, live: Option<Live>) -> Result<(Live, NonNull<u8>), Stop> {
        let live = live.ok_or(Stop::NotLive)?;
        live.block(self.pool.source()).map(|block| (live, block)).ok_or(Stop::NotLive)
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

    #[inline]
    fn release(&self, block: NonNull<u8>) {
        // SAFETY: the caller took the block out of the table, or got it from the pool just now and told nobody: it is
        // this pool's, live, and nothing refers to it any more.
        unsafe { self.pool.free(Some(block)) };
    }

    /// What there is to keep of a request's new block. Only a request that failed may go unanswered.
    fn answer(
        &self,
        input: PackedInput,
        class: Option<SizeClass>,
        block: Option<NonNull<u8>>,
    ) -> Result<Live, Stop> {
        let live = match block {
            Some(block) => Live::new(block, class, self.pool.source()),
            None if input.failed() => Some(Live::NOWHERE),
            None => None,
        };
        live.ok_or(Stop::Unanswered)
    }

    #[cold]
    fn why(&self, stop: Stop, event: u64, input: PackedInput) -> EngineError {
        let base = self.pool.source().recorded_bases().last().copied();
        match (stop, base.filter(|&base| !Live::can_lie_in(base, &self.allocator))) {
            (Stop::NotLive, _) => EngineError::NotLive { event, block: input.block() },
            (Stop::Unanswered, Some(base)) => {
                EngineError::NoArena { event, why: Refusal::ImpossibleBase(base) }
            }
            (Stop::Unanswered | Stop::TooLarge, _) => EngineError::TooLarge { event },
        }
    }
}

/// Why an input cannot be replayed, small enough to travel in a register.
#[derive(Clone, Copy)]
enum Stop {
    NotLive,
    /// There is no block, or none that can be kept: its arena cannot be one, or there are no numbers left.
    Unanswered,
    TooLarge,
}

#[inline]
fn size_of(input: PackedInput) -> Result<usize, Stop> {
    usize::try_from(input.size()).map_err(|_| Stop::TooLarge)
}
