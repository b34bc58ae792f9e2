//! [`PoolHeap`]: where typed objects are born.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use alloc::boxed::Box;
use alloc::rc::Rc;

use pool::{ArenaSource, DefaultSource, Geometry, Retain, Stats};

use super::any::AnyRef;
use super::numbers::Number;
use super::object::{Header, IMMORTAL, Info, NUMBERED, Object, Of, Room, Type};
use super::pointer::Ref;
use super::registry::Keeper;
use super::shared::{Core, release};
use super::trace::Trace;

/// Bytes of empty arenas that a heap retains: as many as the C library of most Linux systems does at most.
const RETAINED: usize = 64 << 20;

/// A heap of typed objects in a [`pool::Pool`].
///
/// A handle: clones are the same heap. The objects do not need it, the pool's memory stays until the last of
/// them (and of their weak references) is gone.
///
/// Of each type, up to 16 blocks whose objects have died are kept at hand for the next ones.
///
/// Objects that a pool does not serve (in CPython's geometries above 512 bytes with their header, or aligned to
/// more than 16) live in the global allocator.
///
/// ```compile_fail,E0277
/// std::thread::spawn({
///     let heap = rc::PoolHeap::default();
///     move || drop(heap)
/// });
/// ```
pub struct PoolHeap {
    /// Needed by `self`.
    core: NonNull<Core>,
}

impl PoolHeap {
    /// A heap with pools of this geometry and the default source of arenas, of which it retains up to 64 MiB while
    /// they are empty.
    #[must_use]
    pub fn new(geometry: Geometry) -> Self {
        Self::keeping(geometry, Self::default_source(), None)
    }

    pub(super) fn default_source() -> Box<dyn ArenaSource> {
        Box::new(Retain::new(DefaultSource::default(), RETAINED))
    }

    /// A heap with pools of this geometry, whose arenas come from this source.
    #[must_use]
    pub fn with_source(geometry: Geometry, source: impl ArenaSource + 'static) -> Self {
        Self::keeping(geometry, Box::new(source), None)
    }

    pub(super) fn keeping(
        geometry: Geometry,
        source: Box<dyn ArenaSource>,
        keeper: Option<Rc<dyn Keeper>>,
    ) -> Self {
        Self { core: Core::new(geometry, source, keeper) }
    }

    /// The heap of an object.
    pub(super) fn of(object: &AnyRef) -> Self {
        // SAFETY: the object is alive, and needs the core.
        let core = unsafe { object.object().core() };
        // SAFETY: as above.
        unsafe { core.as_ref() }.retain();
        Self { core }
    }

    #[inline]
    pub(super) fn core(&self) -> &Core {
        // SAFETY: it is there while `self` needs it.
        unsafe { self.core.as_ref() }
    }

    #[inline]
    pub(super) fn core_pointer(&self) -> NonNull<Core> {
        self.core
    }

    /// A new object.
    ///
    /// Without memory this ends as all of Rust's collections do, by `handle_alloc_error`. The value is leaked if that, or
    /// the source of arenas, panics.
    #[inline]
    pub fn alloc<T: Trace>(&self, value: T) -> Ref<T> {
        // What may have to be dropped has an address; what has an address is written to the stack, and copied from there in
        // larger pieces, which processors have to wait for. So it is written where it is to live, field by field.
        let value = ManuallyDrop::new(value);
        let info = Of::<T>::INFO;
        let place =
            self.place(info).unwrap_or_else(|| self.find_place(info).unwrap_or_else(|| exhausted(info)));
        place.fill(ManuallyDrop::into_inner(value))
    }

    /// A new object, or the value again if there is no memory for it.
    ///
    /// # Errors
    ///
    /// The value, if the source refuses an arena or the global allocator memory.
    #[inline]
    pub fn try_alloc<T: Trace>(&self, value: T) -> Result<Ref<T>, T> {
        let info = Of::<T>::INFO;
        match self.place(info).or_else(|| self.find_place(info)) {
            Some(place) => Ok(place.fill(value)),
            None => Err(value),
        }
    }

    /// A new object with a number, in a heap that has somebody who looks after these.
    #[inline]
    pub(super) fn alloc_numbered<T: Trace>(&self, value: T) -> (Ref<T>, Option<Number>) {
        let value = ManuallyDrop::new(value);
        let info = Of::<T>::NUMBERED;
        let place =
            self.place(info).unwrap_or_else(|| self.find_place(info).unwrap_or_else(|| exhausted(info)));
        place.fill_numbered(ManuallyDrop::into_inner(value))
    }

    /// The same, or the value again.
    #[inline]
    pub(super) fn try_alloc_numbered<T: Trace>(&self, value: T) -> Result<(Ref<T>, Option<Number>), T> {
        let info = Of::<T>::NUMBERED;
        match self.place(info).or_else(|| self.find_place(info)) {
            Some(place) => Ok(place.fill_numbered(value)),
            None => Err(value),
        }
    }

    /// A place for a `T`, whose information this is, if there is one at hand: nothing is called.
    #[inline]
    fn place<T: Trace>(&self, info: &'static Info) -> Option<Place<'_, T>> {
        let (ty, block) = self.core().allocate_at_hand(info)?;
        Some(Place { core: self.core(), ty, block, of: PhantomData })
    }

    /// The same, if there is memory.
    #[inline]
    fn find_place<T: Trace>(&self, info: &'static Info) -> Option<Place<'_, T>> {
        let (ty, block) = Core::allocate(self.core, info)?;
        Some(Place { core: self.core(), ty, block, of: PhantomData })
    }

    /// A new object that never dies.
    pub fn immortal<T: Trace>(&self, value: T) -> Ref<T> {
        let reference = self.alloc(value);
        // SAFETY: it is alive while `reference` is.
        unsafe { Ref::object(&reference).header().count.set(IMMORTAL) };
        reference
    }

    /// The numbers of its pools, in which objects are blocks. (What is kept at hand goes back to the pools before.)
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core().stats()
    }

    /// How many objects, weak references and handles there are.
    #[must_use]
    pub fn live(&self) -> usize {
        self.core().live()
    }

    /// Whether both are handles of one heap.
    #[must_use]
    pub fn ptr_eq(one: &Self, other: &Self) -> bool {
        one.core == other.core
    }
}

/// Where an object is to be born.
struct Place<'a, T: Trace> {
    core: &'a Core,
    /// `T`, in that core, with or without numbers.
    ty: NonNull<Type>,
    /// From that core for the type's class and layout, and nobody else's.
    block: NonNull<u8>,
    of: PhantomData<T>,
}

impl<T: Trace> Place<'_, T> {
    #[inline]
    fn fill(self, value: T) -> Ref<T> {
        // SAFETY:
        // 1. the block is as large as the layout, in which the header is behind the room, and the value
        //    behind that; both are aligned, by the layout's construction;
        // 2. nobody else has the block; the reference that the count says is handed out.
        unsafe {
            let object = Object(self.block.add(Of::<T>::ROOM).cast());
            object.0.write(Header { count: 1.into(), word: 0.into(), ty: self.ty });
            object.value::<T>().write(value);
            self.core.retain();
            Ref::from_object(object)
        }
    }

    /// The same for [`Of::NUMBERED`].
    #[inline]
    fn fill_numbered(self, value: T) -> (Ref<T>, Option<Number>) {
        // SAFETY: as above; the room ends where the header begins. The number names a whole object when this returns, and
        // nothing is called in between.
        unsafe {
            let object = Object(self.block.add(Of::<T>::NUMBERED_ROOM).cast());
            let number = self.core.numbers.borrow_mut().add(object);
            object.0.cast::<Room>().sub(1).write(Room { spare: 0, number, bits: 0.into() });
            object.0.write(Header { count: 1.into(), word: NUMBERED.into(), ty: self.ty });
            object.value::<T>().write(value);
            self.core.retain();
            (Ref::from_object(object), number)
        }
    }
}

#[cold]
#[inline(never)]
fn exhausted(info: &'static Info) -> ! {
    alloc::alloc::handle_alloc_error(info.layout)
}

impl Default for PoolHeap {
    /// With the geometry of CPython 3.10 and later.
    fn default() -> Self {
        let preset = pool::preset("cpython-3.10").or(pool::PRESETS.last());
        match preset {
            Some(preset) => Self::new(preset.geometry),
            None => unreachable!("there are presets"),
        }
    }
}

impl Clone for PoolHeap {
    fn clone(&self) -> Self {
        self.core().retain();
        Self { core: self.core }
    }
}

impl Drop for PoolHeap {
    fn drop(&mut self) {
        // SAFETY: `self` was counted, and is no more.
        unsafe { release(self.core) };
    }
}

impl fmt::Debug for PoolHeap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHeap").field("live", &self.live()).finish_non_exhaustive()
    }
}
