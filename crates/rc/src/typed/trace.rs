//! [`Trace`]: what a value says about the references that it owns.
#![forbid(unsafe_code)]

use core::cell::{Cell, OnceCell, RefCell};

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap, LinkedList, VecDeque};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use std::collections::{HashMap, HashSet};

use super::any::AnyRef;
use super::object::Object;
use super::pointer::Ref;
use super::referents::{Gather, Room, Show, Slow};
use super::shared::Core;
use super::weak::Weak;

/// What can live in a [`PoolHeap`](crate::PoolHeap).
///
/// Write `traverse` by calling it on each field; for a type without references write it empty, and set
/// [`REFERS`](Self::REFERS) to `false`.
///
/// ```
/// use rc::{Ref, Slot, Trace, Visitor};
///
/// struct Node {
///     value: u64,
///     next: Slot<Node>,
///     others: Vec<Ref<Node>>,
/// }
///
/// impl Trace for Node {
///     fn traverse(&self, visitor: &mut Visitor<'_>) {
///         self.next.traverse(visitor);
///         self.others.traverse(visitor);
///     }
///     fn clear_refs(&self) {
///         self.next.clear_refs();
///     }
/// }
/// ```
///
/// The trait is safe: counts alone free memory. Who forgets a reference here, or visits one that it does not
/// own, misleads a collector (it will not find a cycle, or clear an object that is in use), and no more.
///
/// There is no `derive`: it would be another crate with a parser of Rust to build, for a line by field.
pub trait Trace: 'static {
    /// Whether values of this type can refer to objects at all. Those that cannot are never traversed.
    const REFERS: bool = true;

    /// Whether values of this type have a finalizer. Without one, say `false`: a collector that has run none need not look
    /// again whom they may have brought back to life.
    const FINALIZES: bool = true;

    /// Whether anybody can tell in which order values of this type die that are garbage together, because of what happens when
    /// they are dropped, or what dies with them. If not, say `false`: a collector that finds nothing but such garbage has all of
    /// it give up its references before any of it dies, which takes half as long.
    const ORDERED: bool = true;

    /// Visits each reference that this value owns, once for each time that it owns it.
    fn traverse(&self, visitor: &mut Visitor<'_>);

    /// Gives up the references that this value owns, as far as that can be done through a shared reference:
    /// [`Slot`](crate::Slot) and `RefCell` do. A collector breaks cycles by it. (Not `clear`: that would be found
    /// before the `clear` of a `Vec`.)
    fn clear_refs(&self) {}

    /// Runs when the object dies, before anything of it is gone: once in its life. If there are more
    /// references afterwards (clones of `this`, or from weak references), it lives on.
    ///
    /// Called for the value that is the object, not for those inside of it; and not if it does not say that it
    /// [finalizes](Self::FINALIZES).
    fn finalize(this: &Ref<Self>)
    where
        Self: Sized,
    {
        let _ = this;
    }
}

/// Is shown the references of a value.
pub struct Visitor<'a> {
    /// Where they are gathered, as far as there is room. There is none if something else is to be done.
    room: &'a Room,
    len: usize,
    /// How many have been gathered before.
    before: usize,
    /// How many heaps had ever been made when it was looked whether there is one: only then there is room.
    made: usize,
    shows: bool,
    /// Nothing else is out of line, so that what is here can be in registers.
    slow: &'a mut (dyn Slow + 'a),
}

impl<'a> Visitor<'a> {
    /// Shows references, one after the other.
    pub(super) fn showing(show: &'a mut Show<'_>) -> Self {
        Self { room: &[], len: 0, before: 0, made: Core::made(), shows: true, slow: show }
    }

    /// Has all gathered.
    #[inline]
    pub(super) fn gathering(room: &'a Room, gather: &'a mut Gather<'_>) -> Self {
        let made = Core::made();
        let room = if Core::is_alone() { room } else { &[] };
        Self { room, len: 0, before: 0, made, shows: false, slow: gather }
    }

    /// The same visitor: where nobody else knows it, it can be in registers. It has to be given [back](Self::come_to).
    #[inline]
    pub(super) fn lent(&mut self) -> Visitor<'_> {
        Visitor { slow: &mut *self.slow, ..*self }
    }

    /// What it has come to be.
    #[inline]
    pub(super) fn state(&self) -> VisitorState {
        VisitorState { has_room: !self.room.is_empty(), len: self.len, before: self.before, made: self.made }
    }

    /// It was lent, and has come to be that.
    #[inline]
    pub(super) fn come_to(&mut self, state: VisitorState) {
        (self.len, self.before, self.made) = (state.len, state.before, state.made);
        if !state.has_room {
            self.room = &[];
        }
    }

    /// How many of those that it was shown have been gathered.
    #[inline]
    pub(super) fn gathered(&self) -> usize {
        self.before + self.len
    }

    /// How many of them are in the room that was given for them.
    #[inline]
    pub(super) fn last(&self) -> usize {
        self.len
    }

    /// Whether there may have come to be another heap since this was made, so that what was gathered behind so many may be there no
    /// more: it is forgotten, and to be gathered once more, which takes care of that.
    #[inline]
    pub(super) fn has_to_forget(&mut self, gathered: usize) -> bool {
        if self.made == Core::made() {
            return false;
        }
        self.made = Core::made();
        if self.room.is_empty() {
            return false;
        }
        self.before = self.slow.take_back(gathered, self.len);
        (self.room, self.len) = (&[], 0);
        true
    }

    /// Shows it one.
    #[inline]
    pub fn visit(&mut self, reference: &AnyRef) {
        if !self.gather(reference.object()) {
            if !self.shows {
                self.meet(reference.object());
            } else if let Some(visit) = self.slow.shows() {
                visit(reference);
            }
        }
    }

    /// Shows it what is in a cell, if nothing has to be lent for that: whoever is told of all calls nobody. If so, to whom it is to
    /// be lent.
    #[inline]
    pub(super) fn visit_cell<T: Trace>(
        &mut self,
        cell: &Cell<Option<Ref<T>>>,
    ) -> Option<&mut dyn FnMut(&AnyRef)> {
        let object = Ref::object_in(cell)?;
        if !self.gather(object) {
            if self.shows {
                return self.slow.shows();
            }
            self.meet(object);
        }
        None
    }

    /// Gathers one, if there is room for that.
    #[inline]
    fn gather(&mut self, object: Object) -> bool {
        let Some(place) = self.room.get(self.len) else { return false };
        object.prefetch_header();
        place.set(object);
        self.len += 1;
        true
    }

    #[inline]
    fn meet(&mut self, object: Object) {
        (self.before, self.len) = self.slow.meet(object, self.len);
    }
}

/// What changes of a [`Visitor`].
pub(super) struct VisitorState {
    has_room: bool,
    len: usize,
    before: usize,
    made: usize,
}

impl<T: Trace> Trace for Ref<T> {
    const FINALIZES: bool = false;

    #[inline]
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        visitor.visit(Ref::as_any(self));
    }
}

impl Trace for AnyRef {
    const FINALIZES: bool = false;

    #[inline]
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        visitor.visit(self);
    }
}

/// What refers to nothing.
macro_rules! leaf {
    ($($type:ty),* $(,)?) => {$(
        impl Trace for $type {
            const REFERS: bool = false;
            const FINALIZES: bool = false;

            #[inline]
            fn traverse(&self, _visitor: &mut Visitor<'_>) {}
        }
    )*};
}

leaf!((), bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);
leaf!(String, &'static str, Box<str>, Rc<str>, Cow<'static, str>);

impl<T: Copy + 'static> Trace for Cell<T> {
    const REFERS: bool = false;
    const FINALIZES: bool = false;

    fn traverse(&self, _visitor: &mut Visitor<'_>) {}
}

impl<T: Trace> Trace for Weak<T> {
    const REFERS: bool = false;
    const FINALIZES: bool = false;

    fn traverse(&self, _visitor: &mut Visitor<'_>) {}
}

impl<T: 'static> Trace for Leaf<T> {
    const REFERS: bool = false;
    const FINALIZES: bool = false;

    fn traverse(&self, _visitor: &mut Visitor<'_>) {}
}

/// What is empty or holds one.
macro_rules! at_most_one {
    ($($type:ty),*) => {$(
        impl<T: Trace> Trace for $type {
            const REFERS: bool = T::REFERS;
            const FINALIZES: bool = false;

            #[inline]
            fn traverse(&self, visitor: &mut Visitor<'_>) {
                if let Some(inner) = self.as_ref_() {
                    inner.traverse(visitor);
                }
            }

            #[inline]
            fn clear_refs(&self) {
                if let Some(inner) = self.as_ref_() {
                    inner.clear_refs();
                }
            }
        }
    )*};
}

/// One name for the ways to look into what holds at most one.
trait AsRef_<T> {
    fn as_ref_(&self) -> Option<&T>;
}

impl<T> AsRef_<T> for Option<T> {
    fn as_ref_(&self) -> Option<&T> {
        self.as_ref()
    }
}

impl<T> AsRef_<T> for OnceCell<T> {
    fn as_ref_(&self) -> Option<&T> {
        self.get()
    }
}

impl<T> AsRef_<T> for Box<T> {
    fn as_ref_(&self) -> Option<&T> {
        Some(self)
    }
}

at_most_one!(Option<T>, OnceCell<T>, Box<T>);

/// What holds several.
macro_rules! several {
    ($([$($parameter:tt)*] $type:ty),* $(,)?) => {$(
        impl<T: Trace, $($parameter)*> Trace for $type {
            const REFERS: bool = T::REFERS;
            const FINALIZES: bool = false;

            #[inline]
            fn traverse(&self, visitor: &mut Visitor<'_>) {
                if T::REFERS {
                    self.iter().for_each(|inner| inner.traverse(visitor));
                }
            }

            #[inline]
            fn clear_refs(&self) {
                if T::REFERS {
                    self.iter().for_each(Trace::clear_refs);
                }
            }
        }
    )*};
}

several!([] Vec<T>, [] VecDeque<T>, [] Box<[T]>, [const N: usize] [T; N]);
several!([] BTreeSet<T>, [] BinaryHeap<T>, [] LinkedList<T>, [S: 'static] HashSet<T, S>);

/// What holds pairs.
macro_rules! pairs {
    ($([$($parameter:tt)*] $type:ty),* $(,)?) => {$(
        impl<K: Trace, V: Trace, $($parameter)*> Trace for $type {
            const REFERS: bool = K::REFERS || V::REFERS;
            const FINALIZES: bool = false;

            fn traverse(&self, visitor: &mut Visitor<'_>) {
                for (key, value) in self {
                    key.traverse(visitor);
                    value.traverse(visitor);
                }
            }

            fn clear_refs(&self) {
                for (key, value) in self {
                    key.clear_refs();
                    value.clear_refs();
                }
            }
        }
    )*};
}

pairs!([] BTreeMap<K, V>, [S: 'static] HashMap<K, V, S>);

/// While it is borrowed mutably its references cannot be seen: a collector then takes what they refer to for
/// referred to from outside, and lets it live. Clearing takes the value out before it drops it.
impl<T: Trace + Default> Trace for RefCell<T> {
    const REFERS: bool = T::REFERS;
    const FINALIZES: bool = false;

    fn traverse(&self, visitor: &mut Visitor<'_>) {
        if let Ok(inner) = self.try_borrow() {
            inner.traverse(visitor);
        }
    }

    fn clear_refs(&self) {
        let inner = self.try_borrow_mut().map(|mut inner| core::mem::take(&mut *inner));
        drop(inner);
    }
}

macro_rules! tuple {
    ($($name:ident $at:tt),*) => {
        impl<$($name: Trace),*> Trace for ($($name,)*) {
            const REFERS: bool = $($name::REFERS)||*;
            const FINALIZES: bool = false;

            #[inline]
            fn traverse(&self, visitor: &mut Visitor<'_>) {
                $(self.$at.traverse(visitor);)*
            }

            #[inline]
            fn clear_refs(&self) {
                $(self.$at.clear_refs();)*
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

/// A value of any type that refers to nothing, such as one from another crate. If it does refer to objects
/// after all, cycles through it are never found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf<T>(pub T);
