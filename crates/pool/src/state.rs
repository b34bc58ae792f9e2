//! Blocks in and out of pools: the two fast paths, and what lies behind them.
//!
//! # What is indistinguishable from CPython although it is done differently
//!
//! CPython's rules, seen from outside: a pool hands out the block released last; if none is
//! released, its lowest untouched ("virgin") block; and a pool whose last block goes out leaves
//! the list of its class at once, to return to its *front* when a block comes back.
//!
//! 1. **Virgin blocks are linked several at a time**, in ascending order, when the list of free
//!    blocks is empty. Released blocks are pushed on top of them, virgin blocks are only ever
//!    added at the bottom (when nothing is on top). So at any time the list is: released blocks,
//!    latest first, then virgin blocks, lowest first; and whether "lowest virgin" is linked or
//!    still to be carved makes no difference to which block is next.
//! 2. **A pool that becomes full is noticed by the request after**, not by the one that fills it,
//!    which saves a test on the fast path. Only the front pool of a class can be full unnoticed,
//!    since only the front one hands out blocks. Before anything is put in front of it, it is
//!    parked ([`State::park_front`]). If one of its own blocks comes back first, it should move to
//!    the front, and is there. The list without its unnoticed full front is CPython's list at
//!    all times.
//! 3. **A full pool counts one live block**, see [`Header::live`], so that a release has a single
//!    test for "was full" and "is now empty".
//! 4. **A pool that becomes empty may be kept** on the list of its class, if giving it back and
//!    asking for one would be to get the same one again ([`Arenas::returns_first`]): a program that allocates and
//!    frees one block of a class again and again does not open a pool each time. There is at most one,
//!    the only one of its class; it counts one live block too many, so that nothing is noticed while blocks
//!    come and go. Before anything is asked of the arenas or done to the list ([`State::resolve`]) it is given
//!    back if it is empty. Until then nothing has happened that could tell when.

mod settle;

use core::cell::{Cell, UnsafeCell};
use core::ptr::{self, NonNull};

use crate::address_map::AddressMap;
use crate::arena::{ArenaId, Arenas};
use crate::class::{ClassNumbers, SizeClass, numbers};
use crate::geometry::{Geometry, MAX_CLASSES};
use crate::header::{Header, Link, Status, is_nothing, nothing};

/// How many virgin blocks are linked at once, and how many bytes at most (but at least one).
const CARVE_BLOCKS: u32 = 32;
const CARVE_BYTES: u32 = 1024;

/// Everything about a [`Pool`](crate::Pool) but where arenas and large blocks come from.
///
/// None of its functions calls foreign code, so the borrows of `arenas` inside them never meet.
pub(crate) struct State {
    /// By class: the front pool of its list, or [`nothing`].
    used: [Cell<*mut Header>; MAX_CLASSES],
    /// The pool that is kept, or null: alone on the list of its class, it counts a live block too many.
    kept: Cell<*mut Header>,
    small_limit: usize,
    class_shift: u32,
    /// The bits of an address that tell its pool.
    pool_bits: usize,
    pub(crate) map: AddressMap,
    classes: [ClassNumbers; MAX_CLASSES],
    header_size: u32,
    arenas: UnsafeCell<Arenas>,
    pub(crate) geometry: Geometry,
}

impl State {
    #[allow(clippy::cast_possible_truncation, reason = "a header takes 48 or 64 bytes")]
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self {
            used: [const { Cell::new(nothing()) }; MAX_CLASSES],
            kept: Cell::new(ptr::null_mut()),
            small_limit: geometry.small_limit(),
            class_shift: geometry.alignment().trailing_zeros(),
            pool_bits: !(geometry.pool_size() - 1),
            map: AddressMap::new(&geometry),
            classes: numbers(&geometry),
            header_size: geometry.header_size() as u32,
            arenas: UnsafeCell::new(Arenas::new(&geometry)),
            geometry,
        }
    }

    /// [`Geometry::class_of`], without a division.
    #[inline]
    pub(crate) fn class_of(&self, size: usize) -> Option<SizeClass> {
        let last = size.wrapping_sub(1);
        if last < self.small_limit {
            // SAFETY: `small_limit` makes at most `MAX_CLASSES` classes of `1 << class_shift`.
            Some(unsafe { SizeClass::new_unchecked(last >> self.class_shift) })
        } else {
            None
        }
    }

    /// Reads the arenas; `read` does not call back into `self`.
    pub(crate) fn arenas<R>(&self, read: impl FnOnce(&Arenas) -> R) -> R {
        self.resolve();
        // SAFETY: mutable borrows end inside the functions of this file that take them, none of
        // which calls this one or anything foreign while it has one.
        read(unsafe { &*self.arenas.get() })
    }

    #[inline]
    fn front(&self, class: SizeClass) -> &Cell<*mut Header> {
        // SAFETY: the index of any class is below `MAX_CLASSES`, the length of the array.
        unsafe { self.used.get_unchecked(class.index()) }
    }

    /// The next block of the class, if its front pool has one at hand.
    #[inline]
    pub(crate) fn pop(&self, class: SizeClass) -> Option<NonNull<u8>> {
        let front = self.front(class).get();
        // SAFETY:
        // 1. `front` is the header of a pool in a live arena, or `nothing()`, which may be read;
        // 2. if `free` is not null it is a free block of that pool, whose first word is a link;
        // 3. `nothing()` has no free block, so it is not written;
        // 4. there is no reference to a header or a free block anywhere, only pointers, and
        //    `State` is not `Sync`.
        unsafe {
            let block = NonNull::new((*front).free)?;
            (*front).free = (*block.as_ptr()).next;
            (*front).live += 1;
            Some(block.cast())
        }
    }

    /// Takes a block back. Returns its pool if it was full or is empty now: more has to be done, by
    /// [`reopen`](Self::reopen), and by [`settle`](Self::settle) if that denies.
    ///
    /// # Safety
    ///
    /// 1. `block` was handed out by [`pop`](Self::pop), or the functions that do what it cannot,
    ///    and has not been taken back since;
    /// 2. `arena` points into the arena it lies in, and may access all of it;
    /// 3. no one uses its memory any more.
    #[inline]
    pub(crate) unsafe fn push(&self, arena: NonNull<u8>, block: NonNull<u8>) -> Option<NonNull<Header>> {
        let address = block.addr().get();
        let header = arena.as_ptr().with_addr(address & self.pool_bits).cast::<Header>();
        // From the header, which no earlier comparison with `arena` has to be waited for (the next
        // block handed out is this one: what it waits for, the program waits for).
        let link = header.with_addr(address).cast::<Link>();
        // SAFETY:
        // 1. a live block lies in a pool that has a header, at the pool's first byte, since pools
        //    are aligned to their size; both lie in the arena, all of which `arena` may access;
        // 2. the block is at least a link large, aligned to at least 8 bytes, and free from now;
        // 3. there is no reference to the header, only pointers, and `State` is not `Sync`.
        unsafe {
            (*link).next = (*header).free;
            (*header).free = link;
            let live = (*header).live - 1;
            (*header).live = live;
            if live == 0 { Some(NonNull::new_unchecked(header)) } else { None }
        }
    }

    /// The pool and the size of a live block.
    ///
    /// # Safety
    ///
    /// As for the first two items of [`push`](Self::push).
    #[inline]
    pub(crate) unsafe fn size_of_block(&self, arena: NonNull<u8>, block: NonNull<u8>) -> usize {
        let header = arena.as_ptr().with_addr(block.addr().get() & self.pool_bits);
        // SAFETY: as in `push`; a pool with a live block has a class.
        let class = unsafe { (*header.cast::<Header>()).class };
        (class as usize + 1) << self.class_shift
    }

    /// What [`pop`](Self::pop) does not do: carve blocks, or go on to the next pool.
    ///
    /// `None` if a new arena is needed, or if the geometry does not have the class.
    #[cold]
    #[inline(never)]
    pub(crate) fn refill(&self, class: SizeClass) -> Option<NonNull<u8>> {
        self.resolve();
        let numbers = self.classes[class.index()];
        loop {
            let front = self.front(class).get();
            if is_nothing(front) {
                break;
            }
            // SAFETY: `front` is a pool on the list of the class.
            if unsafe { (*front).free.is_null() && !self.carve(front, &numbers) } {
                self.park_front(class);
                continue;
            }
            return self.pop(class);
        }
        if numbers.capacity == 0 {
            return None;
        }
        // SAFETY: nothing in `take_pool` calls back; the borrow ends with the statement.
        let pool = unsafe { &mut *self.arenas.get() }.take_pool()?.as_ptr();
        // SAFETY:
        // 1. the pool was just taken: its header is initialised and on no list;
        // 2. one for another class has no live block, so its blocks are nobody's and can be
        //    carved anew; one for the same class keeps its list.
        unsafe {
            if (*pool).class as usize != class.index() {
                #[allow(clippy::cast_possible_truncation, reason = "below 64")]
                let index = class.index() as u32;
                (*pool).class = index;
                (*pool).capacity = numbers.capacity;
                (*pool).virgin = self.header_size;
                (*pool).free = ptr::null_mut();
            }
            if (*pool).free.is_null() {
                self.carve(pool, &numbers);
            }
            self.push_front(class, pool);
        }
        self.pop(class)
    }

    /// Links some virgin blocks of a pool, lowest first; `false` if there are none.
    ///
    /// # Safety
    ///
    /// `pool` is the header of a pool of the class with these numbers, with an empty list of free
    /// blocks.
    unsafe fn carve(&self, pool: *mut Header, numbers: &ClassNumbers) -> bool {
        // SAFETY:
        // 1. the header is valid by contract;
        // 2. the blocks from `virgin` to `end` lie in the pool, were never handed out since it got
        //    this class, and are aligned for a link;
        // 3. `pool` may access its whole arena, for it was made from the arena's pointer.
        unsafe {
            let ClassNumbers { size, end, .. } = *numbers;
            let start = (*pool).virgin;
            let count = ((end - start) / size).min((CARVE_BYTES / size).clamp(1, CARVE_BLOCKS));
            if count == 0 {
                return false;
            }
            let first = pool.cast::<Link>().byte_add(start as usize);
            let mut block = first;
            for _ in 1..count {
                let next = block.byte_add(size as usize);
                (*block).next = next;
                block = next;
            }
            (*block).next = ptr::null_mut();
            (*pool).free = first;
            (*pool).virgin = start + count * size;
            true
        }
    }

    /// Takes the front pool, which is full, off the list of the class.
    fn park_front(&self, class: SizeClass) {
        let front = self.front(class).get();
        // SAFETY: called for the front of a list that has one; headers are only pointed to.
        unsafe {
            self.unlink(class, front);
            (*front).status = Status::Full;
            (*front).live = 1;
        }
    }

    /// # Safety
    ///
    /// It is the header of a pool that has, or had until now, a live block.
    #[inline]
    pub(crate) unsafe fn class_of_pool(pool: NonNull<Header>) -> SizeClass {
        // SAFETY: by contract the header is valid, and its class one that `refill` has written, an index of a class.
        unsafe { SizeClass::new_unchecked((*pool.as_ptr()).class as usize) }
    }

    /// # Safety
    ///
    /// `pool` is a valid header on no list.
    unsafe fn push_front(&self, class: SizeClass, pool: *mut Header) {
        let front = self.front(class).get();
        // SAFETY: by contract; the front is the first pool of the list unless it is `nothing()`.
        unsafe { self.replace_front(class, pool, if is_nothing(front) { ptr::null_mut() } else { front }) };
    }

    /// Puts a pool in front of the second one, or what will be that: null if there is none.
    ///
    /// # Safety
    ///
    /// `pool` is a valid header on no list; `second` is null or one on the list of the class.
    #[inline]
    unsafe fn replace_front(&self, class: SizeClass, pool: *mut Header, second: *mut Header) {
        // SAFETY: by contract.
        unsafe {
            (*pool).status = Status::Listed;
            (*pool).prev = ptr::null_mut();
            (*pool).next = second;
            if !second.is_null() {
                (*second).prev = pool;
            }
        }
        self.front(class).set(pool);
    }

    /// # Safety
    ///
    /// `pool` is on the list of the class.
    unsafe fn unlink(&self, class: SizeClass, pool: *mut Header) {
        // SAFETY: the header is on a list, so it and its neighbours are valid or null.
        unsafe {
            let (next, prev) = ((*pool).next, (*pool).prev);
            if !next.is_null() {
                (*next).prev = prev;
            }
            if prev.is_null() {
                self.front(class).set(if next.is_null() { nothing() } else { next });
            } else {
                (*prev).next = next;
            }
        }
    }

    /// Counts an arena that its source has granted; the number of those before it.
    pub(crate) fn next_arena(&self) -> ArenaId {
        // SAFETY: the borrow ends inside this function, which calls nothing foreign.
        let arenas = unsafe { &mut *self.arenas.get() };
        let id = ArenaId::new(arenas.acquired);
        arenas.acquired += 1;
        id
    }

    /// Puts an arena to use; `false` if its address cannot be handled.
    ///
    /// # Safety
    ///
    /// `base` points to memory of an arena's size, aligned to the alignment of blocks, that may
    /// be read and written through it and belongs to `self` until [`settle`](Self::settle) or
    /// [`clear`](Self::clear) returns it.
    pub(crate) unsafe fn add_arena(&self, base: NonNull<u8>, id: ArenaId) -> bool {
        self.resolve();
        // SAFETY: the borrow ends inside this function, which calls nothing foreign.
        let arenas = unsafe { &mut *self.arenas.get() };
        if !arenas.has_room() || self.map.insert(base, id, arenas.next_slot()).is_err() {
            return false;
        }
        arenas.add(base, id);
        true
    }

    /// Forgets every arena, live blocks or not, and returns them in order of acquisition.
    ///
    /// # Safety
    ///
    /// No block is used afterwards.
    pub(crate) unsafe fn clear(&mut self) -> impl Iterator<Item = NonNull<u8>> + use<> {
        self.kept.set(ptr::null_mut());
        for front in &self.used {
            front.set(nothing());
        }
        let mut bases = self.arenas.get_mut().clear();
        bases.sort_unstable_by_key(|&(id, _)| id);
        for &(_, base) in &bases {
            self.map.remove(base);
        }
        bases.into_iter().map(|(_, base)| base)
    }
}
