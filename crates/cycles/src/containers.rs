//! What a collection asks of an object model, on top of what counting does.

use alloc::vec::Vec;

use rc::Heap;

use crate::lists::{Lists, Place};

/// A weak reference that was cleared because its object is garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleared<I> {
    /// The weak reference, an object itself.
    pub reference: I,
    /// Whether it has something to call. It keeps that: unlike in a death, nobody takes it over.
    pub calls: bool,
}

/// Which weak references are to be cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that there are.
    All,
    /// Those that have something to call.
    Calling,
}

/// When an object may be taken off the lists because it cannot be part of a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untracks {
    /// Never.
    Never,
    /// In each collection: what it refers to is fixed. In CPython, a `tuple`.
    Fixed,
    /// In full collections: what it refers to changes, and whoever changes that tracks it again. In CPython, a
    /// `dict`.
    Changing,
}

/// What there is in a heap for a collection to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concerns {
    /// Whether any object has weak references, or is one.
    pub weak_references: bool,
    /// Whether any object may have a finalizer that has not run.
    pub finalizers: bool,
    /// Whether any object has a finalizer that no collector dares to run.
    pub uncollectable: bool,
}

impl Concerns {
    /// Whatever there may be.
    pub const ALL: Self = Self { weak_references: true, finalizers: true, uncollectable: true };
    /// Nothing at all.
    pub const NONE: Self = Self { weak_references: false, finalizers: false, uncollectable: false };
}

/// Who is told of objects in a [survey](Containers::survey).
pub trait Surveyor {
    /// The object of this index among those that are surveyed has this [count](Heap::count). Whether it is to be told what
    /// that refers to.
    fn counted(&mut self, at: usize, word: u64) -> bool;

    /// Those from this index on count so many references each, and none of them is immortal. It is to be told what they refer to.
    fn all_counted(&mut self, at: usize, counts: &[u32]);

    /// By index: what is counted of each object. For each reference to one of them that is found, one has to be taken off,
    /// wrapping around.
    fn outside(&mut self) -> &mut [u32];

    /// The next ones refer to the objects of these indices, for which one has been taken off each. After how many of them those
    /// of each one end.
    fn refer(&mut self, referents: &[u32], ends: &[u32]);
}

/// An object model, as a collection sees it.
///
/// All functions are safe, and the collector frees nothing: who forgets a reference in
/// [`traverse`](Self::traverse), or makes one up, lets the collector clear what is in use, or leave
/// what is not, and no more.
///
/// None of them runs foreign code, so a heap of cells can lend its lists for each call of the collector: implement
/// it for what has borrowed them, and give that back before doing what a step says.
pub trait Containers: Heap {
    /// Calls `visit` with each object that this one refers to, once for each reference that it owns. Also with
    /// objects that are no containers, if that is easier. With one that it does not own, which is not counted, only if
    /// [`traverse_uncounted`](Self::traverse_uncounted) says so.
    fn traverse(&self, object: Self::Id, visit: &mut impl FnMut(Self::Id));

    /// Calls `visit` with the [place](Self::place) of each object that this one refers to, as
    /// [`traverse`](Self::traverse) would come to them. For heaps that have less to look up for a place than for an id.
    fn traverse_places(&self, object: Self::Id, visit: &mut impl FnMut(Place)) {
        self.traverse(object, &mut |referent| visit(self.place(referent)));
    }

    /// Tells the surveyor of several objects that are behind each other, the first at this place, in their order: how each is
    /// [counted](Surveyor::counted), and then, also for those of which that is not asked, to which of them it
    /// [refers](Surveyor::refer): to none. Counts may be told of ahead of that. For heaps that know a quick way from a reference
    /// to an index.
    fn survey(&self, objects: &[Self::Id], first: Place, surveyor: &mut impl Surveyor) {
        let (mut referents, mut ends) = (Vec::new(), Vec::new());
        for (at, &object) in objects.iter().enumerate() {
            if surveyor.counted(at, self.count(object)) {
                let outside = surveyor.outside();
                self.traverse_places(object, &mut |place| {
                    let index = place.after(first);
                    if let Some(outside) = outside.get_mut(index) {
                        *outside = outside.wrapping_sub(1);
                        #[allow(clippy::cast_possible_truncation, reason = "below the number of objects")]
                        referents.push(index as u32);
                    }
                });
            }
            #[allow(clippy::cast_possible_truncation, reason = "whoever is told looks at that")]
            ends.push(referents.len() as u32);
            if ends.len() >= TOGETHER || referents.len() >= TOGETHER {
                surveyor.refer(&referents, &ends);
                referents.clear();
                ends.clear();
            }
        }
        surveyor.refer(&referents, &ends);
    }

    /// Calls `visit` with those of the objects that [`traverse`](Self::traverse) tells of to which the reference is not
    /// counted, once for each such reference: it is not taken off the object's count, but leads from what is reachable to
    /// what is reachable, too. With none, unless a heap says something else. (In CPython from 3.14 on, the evaluation stack
    /// of a frame may have such references to what local variables own.)
    ///
    /// An object of which more of these are told than of references seems to be held from outside, and lives on.
    fn traverse_uncounted(&self, object: Self::Id, visit: &mut impl FnMut(Self::Id)) {
        let _ = (object, visit);
    }

    /// Where the object stands, as it was last [stored](Self::set_place); [`Place::UNTRACKED`] from its
    /// birth on.
    fn place(&self, object: Self::Id) -> Place;

    /// Says that something will be done with the object soon. For heaps that can fetch it ahead of time.
    fn fetch(&self, object: Self::Id) {
        let _ = object;
    }

    /// Stores where it stands.
    fn set_place(&mut self, object: Self::Id, place: Place);

    /// Stores where several stand that are behind each other: the first at this place. (There may be places where none stands.)
    /// For heaps that need not look up each by itself.
    fn set_places(&mut self, objects: &[Option<Self::Id>], first: Place) {
        for (at, object) in objects.iter().enumerate() {
            if let Some(object) = *object {
                self.set_place(object, first.behind(at));
            }
        }
    }

    /// The lists on which its objects stand.
    fn lists(&self) -> &Lists<Self::Id>;

    /// The same, to change them.
    fn lists_mut(&mut self) -> &mut Lists<Self::Id>;

    /// Whether an object can ever stand on a list. (In CPython: whether its type has `Py_TPFLAGS_HAVE_GC`.)
    fn is_container(&self, object: Self::Id) -> bool {
        let _ = object;
        true
    }

    /// Calls `visit` with each object that matters when this one is about to be taken off the lists: those that it refers to,
    /// counted or not. (In CPython from 3.13 on, a dictionary's values may be in the object that it belongs to, which then owns
    /// these references.)
    fn traverse_to_untrack(&self, object: Self::Id, visit: &mut impl FnMut(Self::Id)) {
        self.traverse(object, visit);
    }

    /// When the object may be taken off the lists: if nothing that it refers to can be part of a cycle. (Of what is
    /// [`Untracks::Fixed`] and on no list, nothing can.) [`Untracks::Never`] as long as a part of it is missing. Asked of
    /// candidates, and of what those refer to that survive.
    fn untracks(&self, object: Self::Id) -> Untracks {
        let _ = object;
        Untracks::Never
    }

    /// What there is now for a collection to look for. What there is not, objects are not asked for one by one. (The collection
    /// asks again whenever foreign code has run.)
    fn concerns(&self) -> Concerns {
        Concerns::ALL
    }

    /// Offers the garbage of a collection, in its order, if it is to be cleared at once: nothing else [concerns](Self::concerns) it.
    /// Whether the heap's driver takes it over: holds it, has all of it cleared, gives it up, and says who has
    /// [outlived](crate::Collection::outlived) that. If so it stands on no list from here on, though it says that it does.
    ///
    /// The heap is not to change meanwhile.
    fn take_over(&mut self, garbage: impl Iterator<Item = Self::Id>) -> bool {
        let _ = garbage;
        false
    }

    /// Clears one of the weak references to the object, and takes it off: `None` when there is none left of
    /// these. A weak reference that is to be called is put on lists while it waits for that, and afterwards. In CPython the ones without callbacks that are shared come first, then the newest first.
    fn clear_weak(&mut self, object: Self::Id, which: Which) -> Option<Cleared<Self::Id>> {
        let _ = (object, which);
        None
    }

    /// If this object is a weak reference, clears it.
    fn clear_own(&mut self, object: Self::Id) {
        let _ = object;
    }

    /// Whether the object has a finalizer that no collector dares to run. (In CPython: `tp_del`; in 2.7, `__del__`
    /// and what a suspended generator still has to do.)
    fn is_uncollectable(&self, object: Self::Id) -> bool {
        let _ = object;
        false
    }
}

/// Of how many objects, or references, it is told at once.
const TOGETHER: usize = 256;

impl<H: Containers + ?Sized> Containers for &mut H {
    fn traverse(&self, object: Self::Id, visit: &mut impl FnMut(Self::Id)) {
        (**self).traverse(object, visit);
    }

    fn traverse_places(&self, object: Self::Id, visit: &mut impl FnMut(Place)) {
        (**self).traverse_places(object, visit);
    }

    fn survey(&self, objects: &[Self::Id], first: Place, surveyor: &mut impl Surveyor) {
        (**self).survey(objects, first, surveyor);
    }

    fn traverse_uncounted(&self, object: Self::Id, visit: &mut impl FnMut(Self::Id)) {
        (**self).traverse_uncounted(object, visit);
    }

    fn place(&self, object: Self::Id) -> Place {
        (**self).place(object)
    }

    fn fetch(&self, object: Self::Id) {
        (**self).fetch(object);
    }

    fn set_place(&mut self, object: Self::Id, place: Place) {
        (**self).set_place(object, place);
    }

    fn set_places(&mut self, objects: &[Option<Self::Id>], first: Place) {
        (**self).set_places(objects, first);
    }

    fn lists(&self) -> &Lists<Self::Id> {
        (**self).lists()
    }

    fn lists_mut(&mut self) -> &mut Lists<Self::Id> {
        (**self).lists_mut()
    }

    fn traverse_to_untrack(&self, object: Self::Id, visit: &mut impl FnMut(Self::Id)) {
        (**self).traverse_to_untrack(object, visit);
    }

    fn is_container(&self, object: Self::Id) -> bool {
        (**self).is_container(object)
    }

    fn untracks(&self, object: Self::Id) -> Untracks {
        (**self).untracks(object)
    }

    fn concerns(&self) -> Concerns {
        (**self).concerns()
    }

    fn take_over(&mut self, garbage: impl Iterator<Item = Self::Id>) -> bool {
        (**self).take_over(garbage)
    }

    fn clear_weak(&mut self, object: Self::Id, which: Which) -> Option<Cleared<Self::Id>> {
        (**self).clear_weak(object, which)
    }

    fn clear_own(&mut self, object: Self::Id) {
        (**self).clear_own(object);
    }

    fn is_uncollectable(&self, object: Self::Id) -> bool {
        (**self).is_uncollectable(object)
    }
}
