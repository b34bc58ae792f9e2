//! [`Held`]: objects that are held together, cleared together, and let die together.

use core::cell::Cell;
use core::fmt;
use core::mem;

use alloc::vec::Vec;

use super::any::AnyRef;
use super::handle::PoolHeap;
use super::numbers::Number;
use super::object::Object;
use super::shared::NESTING;

/// How many objects are worked on between the time when one is fetched and its turn.
pub(super) const AHEAD: usize = 6;

/// How far a turn of [`Held::let_die`] has come.
#[derive(Default)]
pub(super) struct Progress {
    /// From here on they have still to be looked at.
    pub(super) at: Cell<usize>,
    /// Before this are those that live on; between both is nothing.
    pub(super) kept: Cell<usize>,
    /// How many have died, in all turns.
    pub(super) died: Cell<usize>,
}

/// Objects of which nobody can tell in which order they [die](crate::Trace::ORDERED), held by a reference each: see
/// [`Registry::hold`](crate::Registry::hold).
///
/// What is done with them can be interrupted by a panic, and goes on with the next of them when it is asked for again. Dropping
/// it gives the references up.
pub struct Held {
    /// Needed by all of them.
    heap: PoolHeap,
    /// Each is counted for this, but those between the places that `progress` tells.
    objects: Vec<Object>,
    /// How many have been cleared.
    cleared: usize,
    progress: Progress,
}

impl Held {
    /// None yet, with room for so many.
    pub(super) fn new(heap: &PoolHeap, room: usize) -> Self {
        let objects = Vec::with_capacity(room);
        Self { heap: heap.clone(), objects, cleared: 0, progress: Progress::default() }
    }

    /// Holds one more.
    ///
    /// # Safety
    ///
    /// It is there, counts a reference at least, and has a number in this heap.
    #[inline]
    pub(super) unsafe fn push(&mut self, object: Object) {
        // SAFETY: by contract.
        unsafe { object.increment() };
        self.objects.push(object);
    }

    /// Asks each to give up the references that it owns, in order.
    pub fn clear_refs(&mut self) {
        while let Some(&object) = self.objects.get(self.cleared) {
            // SAFETY: none has been let die yet, so all are held; this one is of the type that its header says.
            unsafe { (object.header().ty.as_ref().info.clear_all)(&self.objects, &mut self.cleared) };
        }
    }

    /// Lets those die that nobody else refers to, and then those that nobody refers to because of that: there and back, as long
    /// as that is worth it. Nobody is told that they are [gone](crate::Keeper::gone). The others are left, and held. Nothing
    /// happens as long as nothing [dies](crate::Registry::look) in this heap.
    ///
    /// What is not [cleared](Self::clear_refs) yet will not be.
    pub fn let_die(&mut self) {
        self.cleared = usize::MAX;
        // There and back, and again if a good part died of that: those whose turn is for nothing cost little.
        loop {
            let before = self.objects.len();
            for _ in 0..2 {
                self.turn();
                self.objects.reverse();
            }
            if before - self.objects.len() <= before / 4 {
                return;
            }
        }
    }

    fn turn(&mut self) {
        while self.progress.at.get() < self.objects.len() && self.heap.core().depth.get() < NESTING {
            let objects = Cell::from_mut(self.objects.as_mut_slice()).as_slice_of_cells();
            let Some(next) = objects.get(self.progress.at.get()) else { break };
            // SAFETY: the next one is there, since it is held, and of the type that its header says; the others are, too, but
            // those between both places; all have numbers. `self` is borrowed.
            unsafe { (next.get().header().ty.as_ref().info.let_die)(objects, &self.progress) };
        }
        self.close_up();
    }

    /// Those that are left stand one behind the other.
    fn close_up(&mut self) {
        let (kept, at) = (self.progress.kept.take(), self.progress.at.take());
        // What is between both is nobody's, and copied at most.
        drop(self.objects.drain(kept..at));
    }

    /// How many have died of [`let_die`](Self::let_die).
    #[must_use]
    pub fn died(&self) -> usize {
        self.progress.died.get()
    }

    /// The numbers of those that are left, in their order.
    pub fn numbers(&mut self) -> impl Iterator<Item = Number> + use<'_> {
        self.close_up();
        // SAFETY: they are held, and have numbers.
        self.objects.iter().filter_map(|object| unsafe { object.room() }.number)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.close_up();
        // If one of these panics the others are dropped while that unwinds.
        // SAFETY: each is counted for `self`, which has none of them from here on.
        let left =
            mem::take(&mut self.objects).into_iter().map(|object| unsafe { AnyRef::from_object(object) });
        drop(left.collect::<Vec<_>>());
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("objects", &self.objects.len()).finish_non_exhaustive()
    }
}
