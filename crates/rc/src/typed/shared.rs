//! What all objects of a heap share: the pool, the types, the deaths that wait.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::any::TypeId;
use core::cell::{Cell, RefCell};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use allocator_api2::alloc::{Allocator, Global};
use pool::{ArenaSource, Geometry, Pool, Refuse, Stats};

use super::free_list::{FreeList, ROOM};
use super::heads::Heads;
use super::numbers::Numbers;
use super::object::{Info, Object, Type};
use super::registry::Keeper;

/// How many deaths of what owns something may be inside each other, as in CPython.
pub(super) const NESTING: usize = 50;

/// The same for what owns nothing: beyond what they reach as members. (Only finalizers nest them.)
pub(super) const LEAF_NESTING: usize = NESTING + 2;

/// What each traversal that is going on adds to the depth: more than deaths ever do.
pub(super) const TRAVERSING: usize = 1 << 32;

/// Types found without asking the map: as many as fit, by the address of their [`Info`]. (Of one type the compiler may
/// have put several into the program: each is remembered with the type that all of them mean.)
const CACHED: usize = 64;

/// How many cores there are in the process. While there is one, all objects are in its heap.
static CORES: AtomicUsize = AtomicUsize::new(0);

/// How many there have ever been.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A type, by which information it was found.
type Known = (&'static Info, NonNull<Type>);

pub(super) struct Core {
    /// How many deaths are inside each other now, plus [`TRAVERSING`] for each traversal: these may end in any order, so each
    /// takes off what it has added.
    pub(super) depth: Cell<usize>,
    /// Who needs the core: objects, weak references, handles, and whoever is at work on it. Who takes it
    /// to zero frees the core: see [`release`].
    live: Cell<usize>,
    pool: Pool<Box<dyn ArenaSource>, Refuse>,
    cache: [Cell<Option<Known>>; CACHED],
    /// By id, and whether their objects have numbers.
    types: RefCell<BTreeMap<(TypeId, bool), NonNull<Type>>>,
    /// The trashcan.
    later: RefCell<Vec<Object>>,
    pub(super) heads: RefCell<Heads>,
    /// Who looks after the objects that have numbers.
    pub(super) keeper: Option<Rc<dyn Keeper>>,
    pub(super) numbers: RefCell<Numbers>,
    /// Whether any type whose objects have numbers has a finalizer.
    pub(super) finalizes: Cell<bool>,
}

impl Core {
    /// A new core, needed by one.
    pub(super) fn new(
        geometry: Geometry,
        source: Box<dyn ArenaSource>,
        keeper: Option<Rc<dyn Keeper>>,
    ) -> NonNull<Self> {
        CORES.fetch_add(1, Ordering::Relaxed);
        MADE.fetch_add(1, Ordering::Relaxed);
        NonNull::from(Box::leak(Box::new(Self {
            depth: Cell::new(0),
            live: Cell::new(1),
            pool: Pool::with_parts(geometry, source, Refuse),
            cache: [const { Cell::new(None) }; CACHED],
            types: RefCell::default(),
            later: RefCell::default(),
            heads: RefCell::default(),
            keeper,
            numbers: RefCell::default(),
            finalizes: Cell::new(false),
        })))
    }

    /// One more needs the core.
    #[inline]
    pub(super) fn retain(&self) {
        self.live.set(self.live.get() + 1);
    }

    /// One less needs the core, but not the last one.
    ///
    /// # Safety
    ///
    /// Who is counted does not use the core afterwards, and somebody else is counted.
    #[inline]
    pub(super) unsafe fn forget_one(&self) {
        self.live.set(self.live.get() - 1);
    }

    /// Whether an object, which is there, is known at once to be one of this heap's, because it is in the pools of this core.
    #[inline]
    pub(super) fn owns(&self, object: Object) -> bool {
        self.pool.owns(object.0.as_ptr().cast())
    }

    /// Whether there is one heap, so that all objects are in it. (They stay on their thread, and so do heaps: this thread's are
    /// all counted whatever others do.)
    #[inline]
    pub(super) fn is_alone() -> bool {
        CORES.load(Ordering::Relaxed) == 1
    }

    /// How many have ever been made: as long as that is the same, there are not more than there were.
    #[inline]
    pub(super) fn made() -> usize {
        MADE.load(Ordering::Relaxed)
    }

    pub(super) fn live(&self) -> usize {
        self.live.get()
    }

    /// The numbers of the pools, in which objects are the only live blocks.
    pub(super) fn stats(&self) -> Stats {
        self.give_back();
        self.pool.stats()
    }

    #[inline]
    fn remembered(&self, info: &'static Info) -> &Cell<Option<Known>> {
        &self.cache[(ptr::from_ref(info).addr() / 16) % CACHED]
    }

    /// The type of this information in the heap whose core is `this`; it is known from now on.
    fn type_of(this: NonNull<Self>, info: &'static Info) -> NonNull<Type> {
        // SAFETY: cores live as long as they are needed, which the caller does.
        let core = unsafe { this.as_ref() };
        // Of one type there may be several in memory, so the id decides.
        let ty = *core.types.borrow_mut().entry((info.id, info.numbered)).or_insert_with(|| {
            let class = core.pool.class_of_layout(info.layout);
            let free = FreeList::new(if class.is_some() { ROOM } else { 0 });
            NonNull::from(Box::leak(Box::new(Type { core: this, info, class, free })))
        });
        core.remembered(info).set(Some((info, ty)));
        core.finalizes.set(core.finalizes.get() || (info.numbered && info.finalizes));
        ty
    }

    /// Memory for an object of the type of this information, and the type.
    #[cold]
    #[inline(never)]
    pub(super) fn allocate(this: NonNull<Self>, info: &'static Info) -> Option<(NonNull<Type>, NonNull<u8>)> {
        let ty = Self::type_of(this, info);
        // SAFETY: as in `type_of`; types live as long as their core.
        let (core, known) = unsafe { (this.as_ref(), ty.as_ref()) };
        let block = match known.class {
            Some(class) => core.pool.allocate_class(class).or_else(|| {
                // What others have at hand may make a whole pool.
                core.give_back();
                core.pool.allocate_class(class)
            }),
            None => Global.allocate(info.layout).ok().map(NonNull::cast),
        };
        Some((ty, block?))
    }

    /// The same for a known type, if there is some at hand.
    #[inline]
    pub(super) fn allocate_at_hand(&self, info: &'static Info) -> Option<(NonNull<Type>, NonNull<u8>)> {
        let (known, ty) = self.remembered(info).get()?;
        if !ptr::eq(known, info) {
            return None;
        }
        // SAFETY: types live as long as the core.
        let known = unsafe { ty.as_ref() };
        let block = match known.free.pop() {
            None => self.pool.allocate_at_hand(known.class?)?,
            Some(block) => block,
        };
        Some((ty, block))
    }

    /// Takes memory back.
    ///
    /// # Safety
    ///
    /// 1. The type is one of this core, and the block was allocated for it: the pointer is the one that
    ///    was returned then, or was computed from it without a reference in between;
    /// 2. it was not taken back yet, and is not used any more.
    #[inline]
    pub(super) unsafe fn free(&self, ty: &Type, block: NonNull<u8>) {
        // SAFETY: by contract. A block is large enough for a header; the class is that which it was allocated with, and
        // without one it is the global allocator's.
        unsafe {
            if !ty.free.push(block) {
                match ty.class {
                    Some(class) => self.pool.free_original(block, class),
                    None => Global.deallocate(block, ty.info.layout),
                }
            }
        }
    }

    /// Gives the blocks on the types' lists back to the pool.
    #[cold]
    fn give_back(&self) {
        for ty in self.types.borrow().values() {
            // SAFETY: types live as long as the core.
            let ty = unsafe { ty.as_ref() };
            while let (Some(class), Some(block)) = (ty.class, ty.free.pop()) {
                // SAFETY: what is on the list was taken back for this type, so that it has this class; nobody uses it.
                unsafe { self.pool.free_original(block, class) };
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
        // SAFETY: mutable borrows end inside of `deposit` and `next_deposit`, which do not call here.
        unsafe { !(*self.later.as_ptr()).is_empty() }
    }

    /// A death that is going on, or a traversal, takes off the depth what it has added. Whether deaths are to be taken up.
    #[inline]
    pub(super) fn leave(&self, added: usize) -> bool {
        let depth = self.depth.get() - added;
        self.depth.set(depth);
        depth == 0 && self.has_deposits()
    }

    /// The next death that is to be taken up by who drains: none while one looks that was made in a death and has been kept.
    fn next_deposit(&self) -> Option<Object> {
        if self.depth.get() != 1 {
            return None;
        }
        self.later.borrow_mut().pop()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        CORES.fetch_sub(1, Ordering::Relaxed);
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

/// Takes up the deaths that were put off, the last one first. No death and no traversal is going on.
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
            while let Some(object) = unsafe { self.0.as_ref() }.next_deposit() {
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
                // What is left is taken up at the end of the look that it waits for.
                self.0.as_ref().leave(1);
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
