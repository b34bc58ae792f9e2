//! What stands in front of each value, and what is known of its type.
//!
//! ```text
//! block ──► [ room, if the value is aligned to more than 16 bytes, or the object has a number ]
//! object ─► count: u32 │ word: u32 │ type: pointer      16 bytes, as in CPython
//!           value                                       always 16 bytes behind the object
//! ```
//!
//! A collector knows an object by its number, which is at the end of the *room*, as CPython's 16 bytes in front of the object
//! are: pointers point to the count, so nothing else moves. The room's size is a constant of the type
//! ([`Of::ROOM`], [`Of::NUMBERED_ROOM`]); only objects of a [`Registry`](crate::Registry) whose types [can
//! refer](crate::Trace::REFERS) have numbers, and a bit says so.
//!
//! The collector's own word is what it reads of all that others refer to. So it is where the count is, and what an object
//! without a number has there is in the room of one that has a number.
#![allow(clippy::inline_always, reason = "a count is changed by a handful of instructions, or not at all")]

use core::alloc::Layout;
use core::any::TypeId;
use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use pool::SizeClass;

use super::free_list::FreeList;
use super::held::{AHEAD, Progress};
use super::numbers::Number;
use super::pointer::Ref;
use super::shared::Core;
use super::trace::{Trace, Visitor};

/// The 16 bytes in front of a value.
#[repr(C)]
pub(super) struct Header {
    /// As [`Counting::SATURATING`](crate::Counting::SATURATING) has it: negative as a signed number means
    /// immortal.
    pub(super) count: Cell<u32>,
    /// With the highest bit, which says that there is a [`Room`] with a number: the collector's. Without: the object's bits, as
    /// in [`Room::bits`].
    pub(super) word: Cell<u32>,
    pub(super) ty: NonNull<Type>,
}

pub(super) const HEADER: usize = size_of::<Header>();
const _: () = assert!(HEADER == 16);

/// Of a word.
pub(super) const NUMBERED: u32 = 1 << 31;

/// Of bits.
pub(super) const FINALIZED: u32 = 1;

/// Directly in front of the header of an object that has a number.
#[repr(C)]
pub(super) struct Room {
    pub(super) spare: u64,
    /// Fixed; `None` when there was none left to give.
    pub(super) number: Option<Number>,
    /// Bit 0: the finalizer has run, and the object lived on. The others but the highest, which is clear: the number of its list
    /// of weak references, 0 if there is none.
    pub(super) bits: Cell<u32>,
}

const _: () = assert!(size_of::<Room>() == HEADER && align_of::<Room>() == align_of::<Header>());

/// Where increments stop.
pub(super) const IMMORTAL: u32 = 3 << 30;

/// A pointer to the header of an object, which may access the whole block.
///
/// Whoever has one knows that the block is allocated, which is what functions here ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Object(pub(super) NonNull<Header>);

impl Object {
    /// No object: nothing may be asked of it.
    pub(super) const NONE: Self = Self(NonNull::dangling());

    /// # Safety
    ///
    /// The object is not freed while the result is in use.
    #[inline(always)]
    pub(super) unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: by contract the object is there; a header is written when it is born, and afterwards
        // changed only through its cells.
        unsafe { self.0.as_ref() }
    }

    /// Says that what is in front of the value will be read soon.
    #[inline(always)]
    #[allow(clippy::unused_self, reason = "on other processors")]
    pub(super) fn prefetch(self) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let header = self.0.as_ptr().cast::<i8>();
            // SAFETY: a prefetch of any address is no access.
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(header.wrapping_sub(size_of::<Room>()));
                _mm_prefetch::<_MM_HINT_T0>(header.wrapping_add(HEADER - 1));
            }
        }
    }

    /// Says that the header will be read soon.
    #[inline(always)]
    #[allow(clippy::unused_self, reason = "on other processors")]
    pub(super) fn prefetch_header(self) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch of any address is no access.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.0.as_ptr().cast()) };
        }
    }

    /// The value's place, for an object of type `T`.
    #[inline(always)]
    pub(super) fn value<T>(self) -> NonNull<T> {
        // SAFETY: a value begins behind its header, in (or, if it has no size, at the end of) one block.
        unsafe { self.0.add(1).cast() }
    }

    /// # Safety
    ///
    /// The object is [`NUMBERED`], and not freed while the result is in use.
    #[inline(always)]
    pub(super) unsafe fn room<'a>(self) -> &'a Room {
        // SAFETY: by contract there is one, in the same block: it is written when the object is born, and afterwards
        // changed only through its cell.
        unsafe { self.0.cast::<Room>().sub(1).as_ref() }
    }

    /// Whether it has a number.
    ///
    /// # Safety
    ///
    /// The object is not freed.
    #[inline(always)]
    pub(super) unsafe fn is_numbered(self) -> bool {
        // SAFETY: by contract.
        unsafe { self.header() }.word.get() & NUMBERED != 0
    }

    /// The collector's word, of one that has a number.
    ///
    /// # Safety
    ///
    /// The object is not freed.
    #[inline(always)]
    pub(super) unsafe fn word(self) -> u32 {
        // SAFETY: by contract.
        unsafe { self.header() }.word.get() & !NUMBERED
    }

    /// Sets it, as far as there are bits for it.
    ///
    /// # Safety
    ///
    /// The object has a number, and is not freed.
    #[inline(always)]
    pub(super) unsafe fn set_word(self, word: u32) {
        // SAFETY: by contract.
        unsafe { self.header() }.word.set(NUMBERED | word);
    }

    /// Its bits.
    ///
    /// # Safety
    ///
    /// The object is not freed while the result is in use.
    #[inline(always)]
    pub(super) unsafe fn bits<'a>(self) -> &'a Cell<u32> {
        // SAFETY: by contract; what has a number has a room.
        unsafe { if self.is_numbered() { &self.room().bits } else { &self.header().word } }
    }

    /// The number of its list of weak references.
    ///
    /// # Safety
    ///
    /// The object is not freed.
    #[inline(always)]
    pub(super) unsafe fn weak(self) -> u32 {
        // SAFETY: by contract.
        unsafe { self.bits() }.get() >> 1
    }

    /// Sets it.
    ///
    /// # Safety
    ///
    /// The object is not freed.
    pub(super) unsafe fn set_weak(self, number: u32) {
        // SAFETY: by contract.
        let bits = unsafe { self.bits() };
        bits.set((number << 1) | (bits.get() & FINALIZED));
    }

    /// # Safety
    ///
    /// The object is not freed.
    #[inline(always)]
    pub(super) unsafe fn core(self) -> NonNull<Core> {
        // SAFETY: the object is there by contract; its type lives as long as the core, and the core as
        // long as an object.
        unsafe { self.header().ty.as_ref().core }
    }

    /// Shows what it refers to.
    ///
    /// # Safety
    ///
    /// The object does not die meanwhile.
    pub(super) unsafe fn traverse(self, visitor: &mut Visitor<'_>) {
        // SAFETY: by contract; it is of the type that its header says.
        unsafe { (self.header().ty.as_ref().info.traverse_all)(&[self], visitor, &mut [0]) };
    }

    /// One more reference; saturates.
    ///
    /// # Safety
    ///
    /// The object is not freed.
    #[inline(always)]
    pub(super) unsafe fn increment(self) {
        // SAFETY: by contract.
        let count = unsafe { &self.header().count };
        let more = count.get().wrapping_add(1);
        // Two instructions: stored first, put right if it is immortal, or from now on.
        count.set(more);
        if more.cast_signed() < 0 {
            count.set(IMMORTAL);
        }
    }

    /// One reference less. Whether it was the last one: then the object has to die.
    ///
    /// # Safety
    ///
    /// The object is not freed, and the reference that is given up was counted.
    #[inline(always)]
    #[must_use]
    pub(super) unsafe fn decrement(self) -> bool {
        // SAFETY: by contract.
        let count = unsafe { &self.header().count };
        let less = count.get().wrapping_sub(1);
        count.set(less);
        if less.cast_signed() > 0 {
            return false;
        }
        if less != 0 {
            count.set(IMMORTAL);
        }
        less == 0
    }
}

/// A type in a heap.
pub(super) struct Type {
    pub(super) core: NonNull<Core>,
    pub(super) info: &'static Info,
    /// Of the block; `None` if the global allocator serves it.
    pub(super) class: Option<SizeClass>,
    /// Blocks of the class; without room if there is none.
    pub(super) free: FreeList,
}

/// A type.
pub(super) struct Info {
    pub(super) id: TypeId,
    pub(super) name: fn() -> &'static str,
    /// Of the block.
    pub(super) layout: Layout,
    /// Whether its objects have numbers.
    pub(super) numbered: bool,
    pub(super) refers: bool,
    pub(super) finalizes: bool,
    pub(super) ordered: bool,
    /// # Safety
    ///
    /// As for [`die`](super::life::die); for objects of this type, as in the others.
    pub(super) die: unsafe fn(Object),
    /// Shows what they refer to, one object after the other, as far as they are of this type; writes down how many references were
    /// gathered after each. How many these were.
    ///
    /// # Safety
    ///
    /// The first is of this type. None of the objects dies meanwhile.
    pub(super) traverse_all: unsafe fn(&[Object], &mut Visitor<'_>, &mut [u32]) -> usize,
    /// Has them give up what they refer to, one object after the other, from that of this index on: that of the next one, as soon
    /// as it is one's turn. Ends before one of another type.
    ///
    /// # Safety
    ///
    /// The one whose turn it is first is of this type. Somebody holds a reference to each object for so long.
    pub(super) clear_all: unsafe fn(&[Object], &mut usize),
    /// # Safety
    ///
    /// Somebody holds a reference to the object for so long.
    pub(super) finalize: unsafe fn(Object),
    /// Lets those die that nobody else refers to.
    ///
    /// # Safety
    ///
    /// As for [`let_die`](super::life::let_die).
    pub(super) let_die: unsafe fn(&[Cell<Object>], &Progress),
}

/// The [`Info`] of a type.
pub(super) struct Of<T>(core::marker::PhantomData<T>);

impl<T: Trace> Of<T> {
    pub(super) const INFO: &'static Info = &Self::info(Self::LAYOUT, false);

    /// For objects with numbers.
    pub(super) const NUMBERED: &'static Info = &Self::info(Self::NUMBERED_LAYOUT, true);

    const fn info(layout: Layout, numbered: bool) -> Info {
        Info {
            id: TypeId::of::<T>(),
            name: core::any::type_name::<T>,
            layout,
            numbered,
            refers: T::REFERS,
            finalizes: T::FINALIZES,
            ordered: T::ORDERED,
            die: super::life::die::<T>,
            traverse_all: |objects, visitor, ends| {
                let Some(first) = objects.first() else { return 0 };
                // SAFETY: by the contract of the field they are alive.
                let ty = unsafe { first.header() }.ty;
                // A second time if there may be another heap all of a sudden.
                loop {
                    let before = visitor.gathered();
                    let mut own = visitor.lent();
                    let mut many = 0;
                    for (object, end) in objects.iter().zip(&mut *ends) {
                        // SAFETY: as above, and it is a `T` if it is of the first one's type.
                        unsafe {
                            if object.header().ty != ty {
                                break;
                            }
                            object.value::<T>().as_ref().traverse(&mut own);
                        }
                        #[allow(
                            clippy::cast_possible_truncation,
                            reason = "who is told looks at how many there are"
                        )]
                        let gathered = own.gathered() as u32;
                        *end = gathered;
                        many += 1;
                    }
                    let state = own.state();
                    visitor.come_to(state);
                    if !visitor.has_to_forget(before) {
                        return many;
                    }
                }
            },
            clear_all: |objects, turn| {
                let Some(first) = objects.get(*turn) else { return };
                // SAFETY: by the contract of the field they are alive.
                let ty = unsafe { first.header() }.ty;
                while let Some(&object) = objects.get(*turn) {
                    if let Some(later) = objects.get(*turn + AHEAD) {
                        later.prefetch_header();
                    }
                    // SAFETY: as above, and it is a `T` if it is of the first one's type.
                    unsafe {
                        if object.header().ty != ty {
                            return;
                        }
                        *turn += 1;
                        object.value::<T>().as_ref().clear_refs();
                    }
                }
            },
            // SAFETY: by the contract of the field it is a `T`, and alive; the reference is lent.
            finalize: |object| T::finalize(&ManuallyDrop::new(unsafe { Ref::<T>::from_object(object) })),
            let_die: super::life::let_die::<T>,
        }
    }

    /// Bytes of the block in front of the header.
    pub(super) const ROOM: usize = if align_of::<T>() > HEADER { align_of::<T>() - HEADER } else { 0 };

    /// The same for objects with numbers.
    pub(super) const NUMBERED_ROOM: usize = if Self::ROOM == 0 { size_of::<Room>() } else { Self::ROOM };

    pub(super) const LAYOUT: Layout = Self::layout(Self::ROOM);

    const NUMBERED_LAYOUT: Layout = Self::layout(Self::NUMBERED_ROOM);

    const fn layout(room: usize) -> Layout {
        let align =
            if align_of::<T>() > align_of::<Header>() { align_of::<T>() } else { align_of::<Header>() };
        match Layout::from_size_align(room + HEADER + size_of::<T>(), align) {
            Ok(layout) => layout,
            Err(_) => panic!("a type is too large"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_aligned_behind_the_header() {
        #[repr(align(128))]
        struct Wide(#[allow(dead_code)] [u8; 128]);
        impl Trace for Wide {
            const REFERS: bool = false;
            fn traverse(&self, _: &mut Visitor<'_>) {}
        }
        assert_eq!((Of::<u64>::ROOM, Of::<u64>::LAYOUT), (0, Layout::from_size_align(24, 8).unwrap()));
        assert_eq!((Of::<()>::ROOM, Of::<()>::LAYOUT), (0, Layout::from_size_align(16, 8).unwrap()));
        assert_eq!((Of::<u128>::ROOM, Of::<u128>::LAYOUT), (0, Layout::from_size_align(32, 16).unwrap()));
        assert_eq!((Of::<Wide>::ROOM, Of::<Wide>::LAYOUT), (112, Layout::from_size_align(256, 128).unwrap()));
    }

    #[test]
    fn numbers_have_room_in_front_of_the_header() {
        #[repr(align(32))]
        struct Wide;
        impl Trace for Wide {
            fn traverse(&self, _: &mut Visitor<'_>) {}
        }
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        assert_eq!((Of::<u64>::NUMBERED_ROOM, Of::<u64>::NUMBERED_LAYOUT), (16, layout(40, 8)));
        assert_eq!((Of::<u128>::NUMBERED_ROOM, Of::<u128>::NUMBERED_LAYOUT), (16, layout(48, 16)));
        assert_eq!((Of::<Wide>::NUMBERED_ROOM, Of::<Wide>::NUMBERED_LAYOUT), (16, layout(32, 32)));
    }
}
