//! What a heap keeps beside its objects. These outlive handles of the heap, and find it when they die.

use core::cell::{Cell, OnceCell, RefCell};

use alloc::vec::Vec;

use bumpalo::Bump;
use cycles::{Place, track};
use rc::{Keeper, Number, Registry};

use super::view::{Kept, View};
use crate::generation::Generation;
use crate::policy::Policy;
use crate::schedule::Generations;

/// Cells are borrowed while no foreign code runs, but for a policy's and `traverse`: whatever these ask of the heap is put
/// off, or refused.
pub(super) struct State<P> {
    pub(super) generations: RefCell<Generations<P>>,
    pub(super) kept: RefCell<Kept>,
    /// Born inside of a traversal.
    late: RefCell<Vec<Number>>,
    /// Whether a traversal is going on, or has panicked.
    pub(super) traverses: Cell<bool>,
    pub(super) handles: Cell<usize>,
    pub(super) scratch: Cell<Option<Bump>>,
}

/// What scratch memory is kept for the next collection.
const SCRATCH: usize = 64 << 20;

impl<P: Policy> State<P> {
    pub(super) fn new(generations: Generations<P>) -> Self {
        Self {
            generations: RefCell::new(generations),
            kept: RefCell::default(),
            late: RefCell::default(),
            traverses: Cell::new(false),
            handles: Cell::new(1),
            scratch: Cell::new(None),
        }
    }

    /// An object is about to be allocated. Whether the alarm rings.
    #[inline]
    pub(super) fn allocated(&self) -> bool {
        self.generations.try_borrow_mut().is_ok_and(|mut generations| generations.allocated())
    }

    /// An object is born.
    #[inline]
    pub(super) fn born(&self, registry: &Registry, object: Number) {
        match self.kept.try_borrow_mut() {
            Ok(mut kept) => self.put(registry, &mut kept, object),
            Err(_) => self.late.borrow_mut().push(object),
        }
    }

    #[inline]
    fn put(&self, registry: &Registry, kept: &mut Kept, object: Number) {
        let (look, traverses) = (&OnceCell::new(), &self.traverses);
        track(&mut View { registry, kept, look, traverses }, object, Generation::YOUNG.list());
    }

    /// Puts objects on their list that were born when that could not be done.
    pub(super) fn catch_up(&self, registry: &Registry) {
        let late = self.late.take();
        for object in late {
            if registry.get(object).is_some() {
                self.born(registry, object);
            }
        }
    }

    pub(super) fn give_back(&self, mut scratch: Bump) {
        scratch.reset();
        if scratch.allocated_bytes() <= SCRATCH {
            self.scratch.set(Some(scratch));
        }
    }

    /// So many objects have gone that stood on no list.
    pub(super) fn gone(&self, many: usize) {
        if let Ok(mut generations) = self.generations.try_borrow_mut() {
            (0..many).for_each(|_| generations.freed());
        }
    }

    /// Does something with lists; `None` if that cannot be now.
    #[inline]
    pub(super) fn with_lists<R>(
        &self,
        registry: &Registry,
        run: impl FnOnce(&mut View<'_, '_>) -> R,
    ) -> Option<R> {
        // What dies in the end finds the lists free again.
        let look = OnceCell::new();
        let mut kept = self.kept.try_borrow_mut().ok()?;
        Some(run(&mut View { registry, kept: &mut kept, look: &look, traverses: &self.traverses }))
    }

    /// Does something with lists and counters; `None` if that cannot be now.
    #[inline]
    pub(super) fn with<R>(
        &self,
        registry: &Registry,
        run: impl FnOnce(&mut Generations<P>, &mut View<'_, '_>) -> R,
    ) -> Option<R> {
        let mut generations = self.generations.try_borrow_mut().ok()?;
        self.with_lists(registry, |view| run(&mut generations, view))
    }
}

impl<P: Policy + 'static> Keeper for State<P> {
    fn gone(&self, object: Number, word: u32) {
        let place = Place::from_short(word);
        if place.is_tracked()
            && let Ok(mut kept) = self.kept.try_borrow_mut()
        {
            kept.lists.remove(object, place);
        }
        if let Ok(mut generations) = self.generations.try_borrow_mut() {
            generations.freed();
        }
    }
}
