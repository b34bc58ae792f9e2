//! Size classes.

use core::fmt;

use crate::geometry::{Geometry, MAX_CLASSES};

/// A size class: which of the block sizes of a [`Geometry`] a request gets.
///
/// Classes are numbered from 0, the smallest. They are made by [`Geometry::class_of`] and
/// [`Geometry::class`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct SizeClass(u8);

impl SizeClass {
    /// `index` is below [`MAX_CLASSES`]; every other function relies on it.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "asserted to be below 64")]
    pub(crate) const fn new(index: usize) -> Self {
        assert!(index < MAX_CLASSES);
        Self(index as u8)
    }

    /// # Safety
    ///
    /// `index` is below [`MAX_CLASSES`].
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "below 64 by contract")]
    pub(crate) const unsafe fn new_unchecked(index: usize) -> Self {
        debug_assert!(index < MAX_CLASSES);
        Self(index as u8)
    }

    /// Its number, from 0 and below [`MAX_CLASSES`].
    #[inline]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for SizeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "class {}", self.0)
    }
}

/// The numbers of one class that slow paths want without a division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClassNumbers {
    /// Bytes of a block.
    pub(crate) size: u32,
    /// Blocks of a pool.
    pub(crate) capacity: u32,
    /// Offset in its pool behind the last whole block.
    pub(crate) end: u32,
}

/// The numbers of each class; classes that the geometry does not have are zero.
#[allow(clippy::cast_possible_truncation, reason = "a pool has at most 2^30 / 4 bytes")]
pub(crate) fn numbers(geometry: &Geometry) -> [ClassNumbers; MAX_CLASSES] {
    let mut all = [ClassNumbers { size: 0, capacity: 0, end: 0 }; MAX_CLASSES];
    for (index, numbers) in all.iter_mut().enumerate().take(geometry.classes()) {
        let class = SizeClass::new(index);
        let (size, capacity) = (geometry.block_size(class), geometry.blocks_per_pool(class));
        *numbers = ClassNumbers {
            size: size as u32,
            capacity: capacity as u32,
            end: (geometry.header_size() + size * capacity) as u32,
        };
    }
    all
}
