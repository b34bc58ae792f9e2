//! What serves the requests that no pool does: of 0 bytes, above the limit, or when no arena can
//! be had. In CPython this is the RAW domain, the C library.

use core::cell::Cell;
use core::ptr::NonNull;

/// A general allocator behind the pools.
///
/// # Safety
///
/// Implementers promise:
///
/// 1. if [`BACKED`](Self::BACKED), a returned block has at least `size` bytes (1 if `size` is 0)
///    that may be read (if `zeroed` or resized: as far as initialised) and written, aligned for any
///    primitive type, until it is released or resized; if not, it is an address that is never in
///    memory: null is excluded, and so is everything below 2<sup>48</sup>;
/// 2. `zeroed` blocks of a backed fallback hold zeroes;
/// 3. a block moved by [`resize`](Self::resize) keeps its contents up to the smaller size;
/// 4. no block overlaps an arena of the pool;
/// 5. no method calls back into the pool.
pub unsafe trait Fallback {
    /// Whether blocks are memory. If not, the pool never copies to or from them.
    const BACKED: bool;

    /// A block of `size` bytes, where 0 counts as 1; `None` if there is none.
    fn allocate(&self, size: usize, zeroed: bool) -> Option<NonNull<u8>>;

    /// Changes the size of a block, and perhaps its place. If the result is `None` it is as before.
    ///
    /// # Safety
    ///
    /// `block` was returned by `self` and not released.
    unsafe fn resize(&self, block: NonNull<u8>, size: usize) -> Option<NonNull<u8>>;

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// `block` was returned by `self`, has not been released and is no longer used.
    unsafe fn release(&self, block: NonNull<u8>);
}

/// The fallback of [`Pool::new`](crate::Pool::new): the C library if the feature `libc` is on,
/// else nothing.
#[cfg(feature = "libc")]
pub type DefaultFallback = Malloc;
/// The fallback of [`Pool::new`](crate::Pool::new): the C library if the feature `libc` is on,
/// else nothing.
#[cfg(not(feature = "libc"))]
pub type DefaultFallback = Refuse;

/// The C library's `malloc`, `calloc`, `realloc` and `free`.
#[cfg(feature = "libc")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Malloc;

// SAFETY:
// 1. to 3. are promised by the C standard; 4. arenas that are not from `malloc` are disjoint from
// its blocks, and those that are from it are blocks themselves; 5. the C library knows no pool.
#[cfg(feature = "libc")]
unsafe impl Fallback for Malloc {
    const BACKED: bool = true;

    fn allocate(&self, size: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let size = size.max(1);
        // SAFETY: any size may be asked for.
        let block = unsafe { if zeroed { libc::calloc(1, size) } else { libc::malloc(size) } };
        NonNull::new(block.cast())
    }

    unsafe fn resize(&self, block: NonNull<u8>, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: by contract the block is one of malloc's; the size is not 0, which might free.
        NonNull::new(unsafe { libc::realloc(block.as_ptr().cast(), size.max(1)) }.cast())
    }

    unsafe fn release(&self, block: NonNull<u8>) {
        // SAFETY: by contract the block is one of malloc's and not yet freed.
        unsafe { libc::free(block.as_ptr().cast()) };
    }
}

/// Refuses every request: the pool serves small blocks or none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refuse;

// SAFETY: it returns no block, of which everything is true.
unsafe impl Fallback for Refuse {
    const BACKED: bool = true;

    fn allocate(&self, _size: usize, _zeroed: bool) -> Option<NonNull<u8>> {
        None
    }

    unsafe fn resize(&self, _block: NonNull<u8>, _size: usize) -> Option<NonNull<u8>> {
        None
    }

    unsafe fn release(&self, _block: NonNull<u8>) {}
}

/// Answers every request with an address that no other live block has and that is no memory, for
/// replaying programs of which only the small blocks matter.
///
/// Addresses are at or above 2<sup>62</sup>, multiples of 16, and never used again. A resized block
/// keeps its address.
#[derive(Debug, Default)]
pub struct Unbacked {
    granted: Cell<usize>,
    refusing: Cell<bool>,
}

const UNBACKED_BASE: usize = 1 << 62;

impl Unbacked {
    /// Nothing granted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { granted: Cell::new(0), refusing: Cell::new(false) }
    }

    /// From now on (or no longer) refuses every request: the program that is replayed got nothing
    /// either.
    pub fn refuse(&self, refuse: bool) {
        self.refusing.set(refuse);
    }

    /// The number of a block, counting from 0 those granted; `None` for what is no address of such a block.
    #[inline]
    #[must_use]
    pub fn number(block: NonNull<u8>) -> Option<usize> {
        let offset = block.addr().get().checked_sub(UNBACKED_BASE)?;
        (offset < UNBACKED_BASE && offset.is_multiple_of(16)).then_some(offset / 16)
    }

    /// The block with a number: the inverse of [`number`](Self::number).
    #[inline]
    #[must_use]
    pub fn block(number: usize) -> Option<NonNull<u8>> {
        let offset = number.checked_mul(16).filter(|&offset| offset < UNBACKED_BASE)?;
        Some(NonNull::without_provenance((UNBACKED_BASE + offset).try_into().ok()?))
    }

    /// Blocks granted so far.
    #[must_use]
    pub fn granted(&self) -> usize {
        self.granted.get()
    }
}

// SAFETY: blocks are not backed. 1. their addresses are from 2^62 to below 2^63; 2. and 3. do not
// apply; 4. arenas are refused beyond 48 bits; 5. a counter calls nobody.
unsafe impl Fallback for Unbacked {
    const BACKED: bool = false;

    fn allocate(&self, _size: usize, _zeroed: bool) -> Option<NonNull<u8>> {
        if self.refusing.get() {
            return None;
        }
        let block = Self::block(self.granted.get())?;
        self.granted.set(self.granted.get() + 1);
        Some(block)
    }

    unsafe fn resize(&self, block: NonNull<u8>, _size: usize) -> Option<NonNull<u8>> {
        if self.refusing.get() { None } else { Some(block) }
    }

    unsafe fn release(&self, _block: NonNull<u8>) {}
}
