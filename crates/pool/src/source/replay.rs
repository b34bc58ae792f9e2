//! Arenas that lie, modulo the pool size, where recorded ones did.
//!
//! Where the operating system puts an arena cannot be computed, but everything inside can. So a
//! replay asks the recording for the base of each arena at the moment at which it needs one, and
//! takes real memory whose address leaves the same remainder: the same pools are lost, every
//! offset is the same, and a recorded address is the recorded base plus the offset. With the
//! feature `os` the arenas mostly lie as they lay, moved by one distance for all.

use alloc::alloc::{alloc, dealloc};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use core::ptr::NonNull;

use super::ArenaSource;
use super::span::Span;
use crate::arena::ArenaId;
use crate::geometry::Geometry;

/// What happened between a pool and its [`Replay`] source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum ArenaEvent {
    /// The pool acquired an arena.
    Acquired {
        /// Its number.
        arena: ArenaId,
        /// The base it had when recorded.
        recorded: u64,
    },
    /// The pool asked for an arena and got none.
    Refused(Refusal),
    /// The pool released an arena.
    Released {
        /// Its number.
        arena: ArenaId,
        /// The base it had when recorded.
        recorded: u64,
    },
}

/// Why [`Replay`] refused an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Refusal {
    /// The recording says that there was none (or it has no more).
    Recorded,
    /// The recorded base cannot be that of an arena: null, not aligned, or reaching beyond
    /// 2<sup>64</sup>.
    ImpossibleBase(u64),
    /// The recorded arena would overlap one that is live: no two arenas do.
    Overlap(u64),
    /// There is no memory here and now.
    OutOfMemory,
    /// The pool has another geometry than this source.
    Geometry,
    /// The recording was being asked already: its closure called the pool.
    Reentered,
}

/// A source of real memory, congruent to the recorded bases modulo the pool size.
///
/// `B` is asked for the recorded base whenever the pool acquires an arena; `None` means that the
/// recorded machine had refused one. Memory comes from the operating system if the feature `os` is
/// on and from the global allocator otherwise, and is not touched before the pool does. Every event is queued until [`take_events`](Self::take_events).
///
/// ```
/// use pool::{ArenaEvent, ArenaId, Geometry, Pool, Replay, Unbacked};
///
/// let geometry = Geometry::for_cpython(3, 12, 1).unwrap();
/// let mut recorded = [0x7f12_3450_1000].into_iter();
/// let pool = Pool::with_parts(
///     geometry,
///     Replay::new(&geometry, move || recorded.next()),
///     Unbacked::new(),
/// );
/// let block = pool.malloc(100).unwrap();
/// let place = pool.locate(block.as_ptr()).unwrap();
/// // The first whole pool, behind its header.
/// assert_eq!(pool.source().recorded_address(place), Some(0x7f12_3450_4030));
/// let acquired = ArenaEvent::Acquired { arena: ArenaId::new(0), recorded: 0x7f12_3450_1000 };
/// assert_eq!(pool.source().take_events().collect::<Vec<_>>(), [acquired]);
/// ```
pub struct Replay<B> {
    pool_size: usize,
    /// Of every arena: others are refused.
    layout: Layout,
    bases: RefCell<B>,
    /// Recorded bases of all arenas ever acquired, by number.
    recorded: RefCell<Vec<u64>>,
    /// Where the arenas around the first one lie, once there has been one; none if that cannot be had.
    span: OnceCell<Option<Span>>,
    /// Whether there was an arena that was recorded partly within the span, and so lies elsewhere.
    straddled: Cell<bool>,
    /// Live arenas by the address of their base.
    live: RefCell<BTreeMap<usize, Live>>,
    /// The addresses of live arenas by their recorded bases.
    occupied: RefCell<BTreeMap<u64, NonNull<u8>>>,
    events: RefCell<VecDeque<ArenaEvent>>,
    /// Whether `events` is not empty.
    waiting: Cell<bool>,
    /// Memory of released arenas, for the next ones: what was touched before costs no page fault.
    spare: RefCell<VecDeque<Memory>>,
}

/// How much memory of released arenas is kept at most.
const SPARES: usize = 16;

struct Live {
    arena: ArenaId,
    memory: Memory,
}

/// The memory of an arena.
enum Memory {
    /// In the span, at the address that corresponds to this recorded one.
    Span(u64),
    /// From the global allocator, with room to begin anywhere in a pool.
    Global(NonNull<u8>, Layout),
}

impl<B: FnMut() -> Option<u64>> Replay<B> {
    /// A source for pools of this geometry that asks `bases` for one recorded base at a time.
    pub fn new(geometry: &Geometry, bases: B) -> Self {
        Self {
            pool_size: geometry.pool_size(),
            layout: geometry.arena_layout(),
            bases: RefCell::new(bases),
            recorded: RefCell::new(Vec::new()),
            span: OnceCell::new(),
            straddled: Cell::new(false),
            live: RefCell::new(BTreeMap::new()),
            occupied: RefCell::new(BTreeMap::new()),
            events: RefCell::new(VecDeque::new()),
            waiting: Cell::new(false),
            spare: RefCell::new(VecDeque::new()),
        }
    }

    fn try_acquire(&self, layout: Layout) -> Result<(NonNull<u8>, ArenaId, u64), Refusal> {
        if layout != self.layout {
            return Err(Refusal::Geometry);
        }
        let recorded = {
            let mut bases = self.bases.try_borrow_mut().map_err(|_| Refusal::Reentered)?;
            bases().ok_or(Refusal::Recorded)?
        };
        let impossible = Refusal::ImpossibleBase(recorded);
        let base = usize::try_from(recorded).map_err(|_| impossible)?;
        if base == 0
            || layout.size() == 0
            || !base.is_multiple_of(layout.align())
            || base.checked_add(layout.size()).is_none()
        {
            return Err(impossible);
        }
        let size = layout.size() as u64;
        let around = recorded.saturating_sub(size - 1)..=recorded.saturating_add(size - 1);
        if self.occupied.borrow().range(around).next().is_some() {
            return Err(Refusal::Overlap(recorded));
        }
        let (start, memory) = match self.in_span(recorded, layout) {
            Some(found) => found,
            None => self.anywhere(base % self.pool_size, layout).ok_or(Refusal::OutOfMemory)?,
        };
        let mut recorded_bases = self.recorded.borrow_mut();
        let arena = ArenaId::new(recorded_bases.len() as u64);
        recorded_bases.push(recorded);
        self.occupied.borrow_mut().insert(recorded, start);
        self.live.borrow_mut().insert(start.addr().get(), Live { arena, memory });
        Ok((start, arena, recorded))
    }

    fn in_span(&self, recorded: u64, layout: Layout) -> Option<(NonNull<u8>, Memory)> {
        let span = self.span.get_or_init(|| Span::around(recorded, self.pool_size)).as_ref()?;
        let Some(start) = span.here(recorded, layout.size()) else {
            let last = recorded + (layout.size() as u64 - 1);
            if span.here(recorded, 1).is_some() || span.here(last, 1).is_some() {
                self.straddled.set(true);
            }
            return None;
        };
        // What is in use again is no spare, not even a part of it.
        let apart = |spare: &Memory| match spare {
            Memory::Span(spare) => spare.abs_diff(recorded) >= layout.size() as u64,
            Memory::Global(..) => true,
        };
        self.spare.borrow_mut().retain(apart);
        Some((start, Memory::Span(recorded)))
    }

    /// Memory whose address leaves the remainder `offset`.
    fn anywhere(&self, offset: usize, layout: Layout) -> Option<(NonNull<u8>, Memory)> {
        // As much for any offset, so that the memory can serve any arena.
        let room = self.pool_size.checked_add(layout.size())?;
        let room = Layout::from_size_align(room, self.pool_size).ok()?.align_to(layout.align()).ok()?;
        let mut spare = self.spare.borrow_mut();
        let fits = |memory: &Memory| matches!(memory, Memory::Global(_, layout) if *layout == room);
        let memory = match spare.iter().rposition(fits).and_then(|index| spare.remove(index)) {
            Some(Memory::Global(memory, _)) => memory,
            // SAFETY: the layout is not empty.
            _ => NonNull::new(unsafe { alloc(room) })?,
        };
        // SAFETY: `offset` is below the pool size, and so within the allocation.
        let start = unsafe { memory.add(offset) };
        Some((start, Memory::Global(memory, room)))
    }
}

impl<B> Replay<B> {
    /// What happened since the last call, oldest first.
    pub fn take_events(&self) -> impl Iterator<Item = ArenaEvent> + use<B> {
        self.waiting.set(false);
        self.events.take().into_iter()
    }

    /// Whether something happened that was not taken yet.
    #[inline]
    #[must_use]
    pub fn has_events(&self) -> bool {
        // Asked after each request of a replay: a glance, no borrow that has to be given back.
        self.waiting.get()
    }

    /// The next event that was not taken yet.
    pub fn next_event(&self) -> Option<ArenaEvent> {
        let mut events = self.events.borrow_mut();
        let event = events.pop_front();
        self.waiting.set(!events.is_empty());
        event
    }

    fn log(&self, event: ArenaEvent) {
        self.events.borrow_mut().push_back(event);
        self.waiting.set(true);
    }

    /// The recorded base of an arena, live or not; `None` if it was never acquired.
    #[inline]
    #[must_use]
    pub fn recorded_base(&self, arena: ArenaId) -> Option<u64> {
        let ordinal = usize::try_from(arena.ordinal()).ok()?;
        self.recorded.borrow().get(ordinal).copied()
    }

    /// The recorded bases of all arenas ever acquired, oldest first.
    #[must_use]
    pub fn recorded_bases(&self) -> Vec<u64> {
        self.recorded.borrow().clone()
    }

    /// The address that a block here had when recorded: of memory in a live arena. `None` for
    /// memory elsewhere (which may not be noticed near an arena). Constant time, for most arenas an addition.
    #[inline]
    #[must_use]
    pub fn recorded_of(&self, block: NonNull<u8>) -> Option<u64> {
        if let Some(Some(span)) = self.span.get()
            && let Some(recorded) = span.recorded(block.addr().get())
        {
            return Some(recorded);
        }
        self.search_recorded(block.addr().get())
    }

    #[cold]
    fn search_recorded(&self, address: usize) -> Option<u64> {
        let live = self.live.borrow();
        let (&base, live) = live.range(..=address).next_back()?;
        let offset = address - base;
        (offset < self.layout.size()).then(|| self.recorded_base(live.arena)?.checked_add(offset as u64))?
    }

    /// The block here that had this address when recorded: the inverse of [`recorded_of`](Self::recorded_of).
    #[inline]
    #[must_use]
    pub fn block_at(&self, recorded: u64) -> Option<NonNull<u8>> {
        if let Some(Some(span)) = self.span.get()
            && !self.straddled.get()
            && let Some(block) = span.here(recorded, 1)
        {
            return Some(block);
        }
        self.search_block(recorded)
    }

    #[cold]
    fn search_block(&self, recorded: u64) -> Option<NonNull<u8>> {
        let occupied = self.occupied.borrow();
        let (base, start) = occupied.range(..=recorded).next_back()?;
        let offset = usize::try_from(recorded - base).ok()?;
        // SAFETY: the arena that begins at `start` is as long.
        (offset < self.layout.size()).then(|| unsafe { start.add(offset) })
    }

    /// The address that a place has in the recording.
    #[inline]
    #[must_use]
    pub fn recorded_address(&self, place: crate::Place) -> Option<u64> {
        self.recorded_base(place.arena)?.checked_add(place.offset as u64)
    }
}

impl<B> fmt::Debug for Replay<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("acquired", &self.recorded.borrow().len())
            .field("live", &self.live.borrow().len())
            .finish_non_exhaustive()
    }
}

// SAFETY: the pointers lead to allocations that only this source owns, and the global allocator
// takes them back on any thread; a span is a mapping, which is no thread's.
unsafe impl<B: Send> Send for Replay<B> {}

// SAFETY:
// 1. in a span there is room for the whole arena, and all of it is moved by a multiple of the layout's alignment (the
//    recorded base is one, which has been checked). Otherwise the allocation has room
//    for `offset`, which is below the pool size, and the arena. It is aligned to the pool size and to the layout;
//    `offset` is a multiple of the layout's alignment, or 0 if that is above the pool size, since the recorded base is
//    a multiple of it (checked) and both are powers of two;
// 2. it is given back or used again after `release`, or given back in `drop`, and does not move; 3. by the promise of the
//    system and of the global allocator; in a span, arenas overlap as little as their recorded bases do (checked);
// 4. the source does not; a closure that does is refused, and the pool stays memory-safe even then.
unsafe impl<B: FnMut() -> Option<u64>> ArenaSource for Replay<B> {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let (event, base) = match self.try_acquire(layout) {
            Ok((base, arena, recorded)) => (ArenaEvent::Acquired { arena, recorded }, Some(base)),
            Err(why) => (ArenaEvent::Refused(why), None),
        };
        self.log(event);
        base
    }

    unsafe fn release(&self, base: NonNull<u8>, _layout: Layout) {
        let Some(Live { arena, memory }) = self.live.borrow_mut().remove(&base.addr().get()) else {
            return;
        };
        let recorded = self.recorded_base(arena).unwrap_or_default();
        self.occupied.borrow_mut().remove(&recorded);
        self.log(ArenaEvent::Released { arena, recorded });
        let mut spare = self.spare.borrow_mut();
        spare.push_back(memory);
        if spare.len() > SPARES
            && let Some(oldest) = spare.pop_front()
        {
            // SAFETY: it was released, taken out of the books, and by contract is not in use.
            unsafe { self.give_back(oldest) };
        }
    }
}

impl<B> Replay<B> {
    /// # Safety
    ///
    /// The memory is that of an arena that was released, and in no book any more.
    unsafe fn give_back(&self, memory: Memory) {
        match memory {
            Memory::Span(recorded) => {
                if let Some(Some(span)) = self.span.get() {
                    // SAFETY: by contract nobody uses it.
                    unsafe { span.give_back(recorded, self.layout.size()) };
                }
            }
            // SAFETY: allocated with this layout, and by contract not in use nor freed.
            Memory::Global(memory, layout) => unsafe { dealloc(memory.as_ptr(), layout) },
        }
    }
}

impl<B> Drop for Replay<B> {
    fn drop(&mut self) {
        let live = core::mem::take(self.live.get_mut()).into_values().map(|live| live.memory);
        for memory in live.chain(self.spare.get_mut().drain(..)) {
            if let Memory::Global(memory, layout) = memory {
                // SAFETY: allocated with this layout and not freed; by contract arenas are not used
                // after their source is dropped. (A span goes as a whole.)
                unsafe { dealloc(memory.as_ptr(), layout) };
            }
        }
    }
}
