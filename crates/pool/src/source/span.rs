//! A span of addresses in which memory lies as recorded memory did, but for one constant distance.
//!
//! The arenas of a program mostly lie within a few gigabytes. If as many addresses are reserved here, each arena
//! can lie where it lay, moved by the same distance as all others: an address becomes a recorded one by an
//! addition, without a look at which arena it is in. Reserved addresses are not memory until they are touched.

#[cfg(feature = "os")]
pub(crate) use reserved::Span;

#[cfg(feature = "os")]
mod reserved {
    use core::ptr::NonNull;

    use memmap2::{MmapMut, MmapOptions, UncheckedAdvice};

    use crate::source::os::PAGE;

    /// How many bytes of addresses are asked for; where so many are not to be had, the next.
    const SIZES: [usize; 3] = [1 << 36, 1 << 33, 1 << 30];

    /// The distance is a multiple of this at least: of a huge page.
    const ALIGNMENT: usize = 2 << 20;

    #[derive(Debug)]
    pub(crate) struct Span {
        mapping: MmapMut,
        /// The first byte of the mapping whose address is a multiple of the alignment.
        start: NonNull<u8>,
        /// What its address was when recorded.
        recorded: u64,
        len: usize,
    }

    impl Span {
        /// A span around a recorded address, if one can be reserved. The distance is a multiple of `pool_size`, a power of
        /// two, which is a multiple of every alignment.
        pub(crate) fn around(recorded: u64, pool_size: usize) -> Option<Self> {
            let alignment = pool_size.max(ALIGNMENT);
            SIZES.into_iter().find_map(|len| {
                let mut mapping =
                    MmapOptions::new().len(len + alignment).no_reserve_swap().map_anon().ok()?;
                let first = mapping.as_mut_ptr();
                // SAFETY: the offset is below the alignment, and the mapping longer.
                let start = unsafe { first.add(first.addr().wrapping_neg() % alignment) };
                let middle = recorded - recorded % alignment as u64;
                let recorded = middle.saturating_sub(len as u64 / 2);
                Some(Self { mapping, start: NonNull::new(start)?, recorded, len })
            })
        }

        /// The address here of a recorded one, if from there on `size` bytes lie in the span.
        #[inline]
        pub(crate) fn here(&self, recorded: u64, size: usize) -> Option<NonNull<u8>> {
            let offset = usize::try_from(recorded.wrapping_sub(self.recorded)).ok()?;
            // SAFETY: the offset is below `len`, and so many bytes from `start` on lie in the mapping.
            (offset < self.len && size <= self.len - offset).then(|| unsafe { self.start.add(offset) })
        }

        /// The recorded address of one here, if it lies in the span.
        #[inline]
        pub(crate) fn recorded(&self, address: usize) -> Option<u64> {
            let offset = address.wrapping_sub(self.start.addr().get());
            (offset < self.len).then(|| self.recorded.wrapping_add(offset as u64))
        }

        /// Returns the memory behind some addresses to the system, as far as they are whole pages; the addresses stay
        /// reserved.
        ///
        /// # Safety
        ///
        /// The memory is no longer used.
        pub(crate) unsafe fn give_back(&self, recorded: u64, size: usize) {
            let Some(here) = self.here(recorded, size) else { return };
            let start = here.addr().get().next_multiple_of(PAGE);
            let end = (here.addr().get() + size) / PAGE * PAGE;
            if start < end {
                let offset = start - self.mapping.as_ptr().addr();
                // SAFETY: these are whole pages, of which nobody uses any: nobody sees them become zero. If that is
                // refused, they stay.
                let _ = unsafe {
                    self.mapping.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, end - start)
                };
            }
        }
    }
}

/// Without the operating system there is none.
#[cfg(not(feature = "os"))]
pub(crate) enum Span {}

#[cfg(not(feature = "os"))]
impl Span {
    pub(crate) fn around(_recorded: u64, _pool_size: usize) -> Option<Self> {
        None
    }

    pub(crate) fn here(&self, _recorded: u64, _size: usize) -> Option<core::ptr::NonNull<u8>> {
        match *self {}
    }

    pub(crate) fn recorded(&self, _address: usize) -> Option<u64> {
        match *self {}
    }

    pub(crate) unsafe fn give_back(&self, _recorded: u64, _size: usize) {
        match *self {}
    }
}
