//! The heap's objects, as a collection sees them.

use core::cell::{Cell, OnceCell};

use alloc::vec::Vec;

use cycles::{Cleared, Concerns, Containers, Lists, Place, Surveyor, Which};
use rc::{Held, Look, Number, Registry};

/// What is kept of objects outside of them.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) lists: Lists<Number>,
    /// Callbacks of weak references that a collection has cleared. They stand on lists, too, by numbers that no
    /// object has.
    pub(super) calls: Vec<Call>,
    /// Garbage that a collection has found and that is to be cleared together.
    pub(super) held: Option<Held>,
}

pub(super) struct Call {
    place: Place,
    pub(super) cleared: Option<rc::Cleared>,
}

const CALLS: u32 = 1 << 31;

/// Which callback a number means, if it does not mean an object.
pub(super) fn as_call(number: Number) -> Option<usize> {
    number.get().checked_sub(CALLS).map(|call| call as usize)
}

/// The number of a callback; `None` if there are too many.
pub(super) fn call(at: usize) -> Option<Number> {
    u32::try_from(at).ok().filter(|&at| at < CALLS).and_then(|at| Number::new(CALLS | at))
}

pub(super) struct View<'v, 'r> {
    pub(super) registry: &'r Registry,
    pub(super) kept: &'v mut Kept,
    /// From the first traversal on, until what is here borrowed is not any more, nothing dies.
    pub(super) look: &'v OnceCell<Look<'r>>,
    /// Whether a traversal is going on, or has panicked.
    pub(super) traverses: &'v Cell<bool>,
}

impl View<'_, '_> {
    #[inline]
    fn look_at(&self, traverse: impl FnOnce(&Look<'_>)) {
        // After a panic nothing is told of any object, so that all seem to be in use.
        if !self.traverses.replace(true) {
            traverse(self.look.get_or_init(|| self.registry.look()));
            self.traverses.set(false);
        }
    }
}

/// Tells who looks at a graph what the heap tells.
struct Told<'a, S> {
    surveyor: &'a mut S,
    any: bool,
}

impl<S: Surveyor> rc::Surveyor for Told<'_, S> {
    #[inline]
    fn counted(&mut self, at: usize, word: u64) -> bool {
        self.surveyor.counted(at, word)
    }

    #[inline]
    fn all_counted(&mut self, at: usize, counts: &[u32]) {
        self.surveyor.all_counted(at, counts);
    }

    #[inline]
    fn outside(&mut self) -> &mut [u32] {
        self.surveyor.outside()
    }

    #[inline]
    fn refer(&mut self, referents: &[u32], ends: &[u32]) {
        self.surveyor.refer(referents, ends);
    }
}

/// A place in the word of an object. One that has no room there, as there are places for all numbers, is none.
fn word(place: Place) -> u32 {
    place.to_short().unwrap_or_default()
}

/// The collector counts no references: the driver holds what it works on by references of its own. So nothing that is
/// wrong here can free an object.
impl rc::Heap for View<'_, '_> {
    type Id = Number;

    #[inline]
    fn count(&self, object: Number) -> u64 {
        // One whose death is put off owns still what it owns, until then.
        self.registry.count(object).map_or(1, |count| count.max(1))
    }

    fn set_count(&mut self, _object: Number, _word: u64) {}

    fn release_next(&mut self, _object: Number) -> Option<Number> {
        None
    }

    #[inline]
    fn take_finalizer(&mut self, object: Number) -> bool {
        self.registry.take_finalizer(object)
    }
}

impl Containers for View<'_, '_> {
    fn traverse(&self, object: Number, visit: &mut impl FnMut(Number)) {
        self.look_at(|look| look.numbers(object, visit));
    }

    #[inline]
    fn survey(&self, objects: &[Number], first: Place, surveyor: &mut impl Surveyor) {
        let mut told = Told { surveyor, any: false };
        if let Some(first) = first.to_short() {
            self.look_at(|look| {
                told.any = true;
                look.survey(objects, first, &mut told);
            });
        }
        if !told.any {
            for (at, &object) in objects.iter().enumerate() {
                told.surveyor.counted(at, rc::Heap::count(self, object));
                told.surveyor.refer(&[], &[0]);
            }
        }
    }

    #[inline]
    fn place(&self, object: Number) -> Place {
        match as_call(object) {
            None => Place::from_short(self.registry.word(object)),
            Some(call) => self.kept.calls.get(call).map_or(Place::UNTRACKED, |call| call.place),
        }
    }

    #[inline]
    fn fetch(&self, object: Number) {
        self.registry.fetch(object);
    }

    #[inline]
    fn set_place(&mut self, object: Number, place: Place) {
        match as_call(object) {
            None => self.registry.set_word(object, word(place)),
            Some(call) => {
                if let Some(call) = self.kept.calls.get_mut(call) {
                    call.place = place;
                }
            }
        }
    }

    #[inline]
    fn set_places(&mut self, objects: &[Option<Number>], first: Place) {
        self.registry.set_words(objects, word(first));
        if !self.kept.calls.is_empty() {
            for (at, object) in objects.iter().enumerate() {
                if let Some(call) = object.and_then(as_call) {
                    self.kept.calls.get_mut(call).into_iter().for_each(|call| call.place = first.behind(at));
                }
            }
        }
    }

    fn lists(&self) -> &Lists<Number> {
        &self.kept.lists
    }

    fn lists_mut(&mut self) -> &mut Lists<Number> {
        &mut self.kept.lists
    }

    fn concerns(&self) -> Concerns {
        Concerns {
            weak_references: self.registry.has_weak_references(),
            finalizers: self.registry.has_finalizers(),
            uncollectable: false,
        }
    }

    fn take_over(&mut self, garbage: impl Iterator<Item = Number>) -> bool {
        // From a look on nothing dies, so that all of it is there.
        self.kept.held = self.registry.hold(garbage);
        self.kept.held.is_some()
    }

    fn clear_weak(&mut self, object: Number, which: Which) -> Option<Cleared<Number>> {
        let cleared = self.registry.clear_weak(object, which == Which::Calling)?;
        let reference = call(self.kept.calls.len()).filter(|_| cleared.is_some());
        if reference.is_some() {
            self.kept.calls.push(Call { place: Place::UNTRACKED, cleared });
        }
        Some(Cleared { reference: reference.unwrap_or(object), calls: reference.is_some() })
    }
}
