//! What all objects of a heap share: the pool, the types, the deaths that wait.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::any::TypeId;
use core::cell::{Cell, RefCell};
use core::ptr::{self, NonNull};

use allocator_api2::alloc::{Allocator, Global};
use pool::{ArenaSource, Geometry, Pool, Refuse, SizeClass};

use super::heads::Heads;
use super::object::{Info, Object, Of, Type};
use super::trace::Trace;

/// How many deaths of what owns something may be inside each other, as in CPython.
pub(super) const NESTING: usize = 50;

/// The same for what owns nothing: beyond what they reach as members. (Only finalizers nest them.)
pub(super) const LEAF_NESTING: usize = NESTING + 2;

/// What each traversal that is going on adds to the depth: more than deaths ever do.
pub(super) const TRAVERSING: usize = 1 << 32;

/// Types found without asking the map: as many as fit, by the address of their [`Info`].
const CACHED: usize = 64;

pub(super) struct Core {
    /// How many deaths are inside each other now, plus [`TRAVERSING`] for each traversal.
    pub(super) depth: Cell<usize>,
    /// Who needs the core: objects, weak references, handles, and whoever is at work on it. Who takes it
    /// to zero frees the core: see [`release`].
    live: Cell<usize>,
    pool: Pool<Box<dyn ArenaSource>, Refuse>,
    cache: [Cell<*const Type>; CACHED],
    types: RefCell<BTreeMap<TypeId, NonNull<Type>>>,
    /// The trashcan.
    later: RefCell<Vec<Object>>,
    pub(super) heads: RefCell<Heads>,
}

impl Core {
    /// A new core, needed by one.
    pub(super) fn new(geometry: Geometry, source: Box<dyn ArenaSource>) -> NonNull<Self> {
        NonNull::from(Box::leak(Box::new(Self {
            depth: Cell::new(0),
            live: Cell::new(1),
            pool: Pool::with_parts(geometry, source, Refuse),
            cache: [const { Cell::new(ptr::null()) }; CACHED],
            types: RefCell::default(),
            later: RefCell::default(),
            heads: RefCell::default(),
        })))
    }

    /// One more needs the core.
    #[inline]
    pub(super) fn retain(&self) {
        self.live.set(self.live.get() + 1);
    }

    pub(super) fn live(&self) -> usize {
        self.live.get()
    }

    pub(super) fn pool(&self) -> &Pool<Box<dyn ArenaSource>, Refuse> {
        &self.pool
    }

    /// The type `T` in this heap, whose core is `this`.
    #[inline]
    pub(super) fn type_of<T: Trace>(this: NonNull<Self>) -> NonNull<Type> {
        let info: &'static Info = Of::<T>::INFO;
        // SAFETY: cores live as long as they are needed, which the caller does.
        let core = unsafe { this.as_ref() };
        let slot = &core.cache[(ptr::from_ref(info).addr() / 16) % CACHED];
        // SAFETY: what is in the cache is a type of this core, which lives as long.
        match unsafe { slot.get().as_ref() } {
            Some(cached) if ptr::eq(cached.info, info) => NonNull::from(cached),
            _ => core.find_type(this, info, slot),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_type(&self, this: NonNull<Self>, info: &'static Info, slot: &Cell<*const Type>) -> NonNull<Type> {
        // Information of one type may be there twice, so the id decides.
        let found = *self.types.borrow_mut().entry(info.id).or_insert_with(|| {
            let class = self.pool.class_of_layout(info.layout);
            NonNull::from(Box::leak(Box::new(Type { core: this, info, class })))
        });
        slot.set(found.as_ptr());
        found
    }

    /// Memory for an object of this type.
    #[inline]
    pub(super) fn allocate(&self, class: Option<SizeClass>, layout: Layout) -> Option<NonNull<u8>> {
        match class {
            Some(class) => self.pool.allocate_class(class),
            None => Global.allocate(layout).ok().map(NonNull::cast),
        }
    }

    /// Takes memory back.
    ///
    /// # Safety
    ///
    /// The block is from [`allocate`](Self::allocate) for the same class and layout, was not taken back
    /// yet, and is not used any more.
    #[inline]
    pub(super) unsafe fn free(&self, block: NonNull<u8>, class: Option<SizeClass>, layout: Layout) {
        // SAFETY: by contract, and the class says who had served it.
        unsafe {
            match class {
                Some(_) => self.pool.free_class(block),
                None => Global.deallocate(block, layout),
            }
        }
    }

    /// Puts a death off until the outermost one, or the traversal, is over.
    #[cold]
    #[inline(never)]
    pub(super) fn deposit(&self, object: Object) {
        self.later.borrow_mut().push(object);
    }

    /// Whether deaths have been put off.
    #[inline]
    pub(super) fn has_deposits(&self) -> bool {
        // SAFETY: mutable borrows end inside of `deposit` and `take_deposit`, which do not call here.
        unsafe { !(*self.later.as_ptr()).is_empty() }
    }

    fn take_deposit(&self) -> Option<Object> {
        self.later.borrow_mut().pop()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        for &ty in self.types.get_mut().values() {
            // SAFETY: leaked in `find_type`, freed only here; no object is left that has this type.
            drop(unsafe { Box::from_raw(ty.as_ptr()) });
        }
    }
}

/// One less needs the core; the last one frees it.
///
/// # Safety
///
/// The caller was counted, and does not use the core afterwards.
#[inline]
pub(super) unsafe fn release(core: NonNull<Core>) {
    // SAFETY: the caller is still counted, so the core is there; the reference ends with the statement.
    let left = unsafe {
        let live = &core.as_ref().live;
        live.set(live.get() - 1);
        live.get()
    };
    if left == 0 {
        destroy(core);
    }
}

#[cold]
#[inline(never)]
fn destroy(core: NonNull<Core>) {
    // SAFETY: leaked in `new`; nobody is left who needs it, so nobody will come here again.
    drop(unsafe { Box::from_raw(core.as_ptr()) });
}

/// Takes up the deaths that were put off, the last one first.
///
/// If one panics, the others follow while that panic unwinds.
#[cold]
#[inline(never)]
pub(super) fn drain(core: NonNull<Core>) {
    /// Ends the draining, whether it was interrupted or not.
    struct Draining(NonNull<Core>);

    impl Draining {
        fn run(&self) {
            // SAFETY: `drain` has retained the core; references to it end with each statement.
            while let Some(object) = unsafe { self.0.as_ref() }.take_deposit() {
                // SAFETY: its count came to zero when it was deposited, and it is taken once; it is of
                // the type that its header says.
                unsafe { (object.header().ty.as_ref().info.die)(object) };
            }
        }
    }

    impl Drop for Draining {
        fn drop(&mut self) {
            self.run();
            // SAFETY: retained by `drain`, released once.
            unsafe {
                self.0.as_ref().depth.set(0);
                release(self.0);
            }
        }
    }

    // SAFETY: whoever calls needs the core still.
    let shared = unsafe { core.as_ref() };
    shared.retain();
    // So that no death inside drains again.
    shared.depth.set(1);
    Draining(core).run();
}
