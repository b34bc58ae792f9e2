//! What a stored count means, and how it changes.
#![forbid(unsafe_code)]

use core::fmt;

/// A count as [`Counting::read`] understands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many references; at 0 the object dies.
    Mortal(u64),
    /// The object never dies.
    Immortal,
}

/// The arithmetic of counts, as data.
///
/// A count is stored as a word. In some versions of CPython a range of words means *immortal*, and
/// what an increment does to them depends on the word (in 3.14 an immortal may drift upwards). So a
/// heap stores words, and only this type knows what they mean.
///
/// No operation wraps: what CPython would silently let overflow is a [`CountError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    /// The bits of a word that count. The others are left alone.
    pub mask: u64,
    /// From here on a count means immortal, and is not decremented.
    pub immortal_from: u64,
    /// From here on a count is not incremented: saturated if it is immortal, else an overflow.
    pub stop: u64,
    /// The count of an object that is immortal from its birth.
    pub immortal: u64,
}

impl Counting {
    /// To CPython 3.11: a signed word, nobody is immortal.
    pub const PLAIN: Self =
        Self { mask: u64::MAX, immortal_from: u64::MAX, stop: i64::MAX.unsigned_abs(), immortal: u64::MAX };
    /// CPython 3.12 and 3.13: 32 bits count; those that are negative as a signed number are immortal.
    pub const SIGN_BIT: Self = Self {
        mask: u32::MAX as u64,
        immortal_from: 1 << 31,
        stop: u32::MAX as u64,
        immortal: u32::MAX as u64,
    };
    /// CPython 3.14 and later: as before, but increments stop half way between.
    pub const SATURATING: Self =
        Self { mask: u32::MAX as u64, immortal_from: 1 << 31, stop: 3 << 30, immortal: 3 << 30 };

    /// What a word means.
    #[inline]
    #[must_use]
    pub const fn read(&self, word: u64) -> Count {
        let n = word & self.mask;
        if n >= self.immortal_from { Count::Immortal } else { Count::Mortal(n) }
    }

    /// The word for `n` references, with the other bits of `word`.
    #[inline]
    #[must_use]
    pub const fn with(&self, word: u64, n: u64) -> u64 {
        (word & !self.mask) | (n & self.mask)
    }

    /// The word after one more reference.
    ///
    /// # Errors
    ///
    /// [`Overflow`](Miscount::Overflow) if there is no larger count and this one is not immortal.
    #[inline]
    pub const fn increment(&self, word: u64) -> Result<u64, Miscount> {
        let n = word & self.mask;
        if n < self.stop {
            Ok(word + 1)
        } else if n >= self.immortal_from {
            Ok(word)
        } else {
            Err(Miscount::Overflow)
        }
    }

    /// The word after one reference less. If it reads as `Mortal(0)`, the object dies.
    ///
    /// # Errors
    ///
    /// [`Underflow`](Miscount::Underflow) if there was none.
    #[inline]
    pub const fn decrement(&self, word: u64) -> Result<u64, Miscount> {
        let n = word & self.mask;
        if n >= self.immortal_from {
            Ok(word)
        } else if n > 0 {
            Ok(word - 1)
        } else {
            Err(Miscount::Underflow)
        }
    }
}

/// What is wrong with a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miscount {
    /// A reference more than can be counted.
    Overflow,
    /// A reference less than none.
    Underflow,
}

/// A count that cannot change as it should. It was left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountError<I> {
    /// Whose count.
    pub object: I,
    /// What is wrong.
    pub what: Miscount,
}

impl<I: fmt::Debug> fmt::Display for CountError<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = &self.object;
        match self.what {
            Miscount::Overflow => write!(f, "{object:?} has more references than can be counted"),
            Miscount::Underflow => {
                write!(f, "a reference to {object:?} is given up, but none is left: a count is wrong")
            }
        }
    }
}

impl<I: fmt::Debug> core::error::Error for CountError<I> {}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Counting; 3] = [Counting::PLAIN, Counting::SIGN_BIT, Counting::SATURATING];

    #[test]
    fn up_and_down() {
        for counting in ALL {
            assert_eq!(counting.increment(1), Ok(2));
            assert_eq!(counting.decrement(2), Ok(1));
            assert_eq!(counting.read(counting.decrement(1).unwrap()), Count::Mortal(0));
            assert_eq!(counting.decrement(0), Err(Miscount::Underflow));
        }
    }

    #[test]
    fn plain_counts_overflow() {
        let most = i64::MAX.unsigned_abs();
        assert_eq!(Counting::PLAIN.increment(most - 1), Ok(most));
        assert_eq!(Counting::PLAIN.increment(most), Err(Miscount::Overflow));
        assert_eq!(Counting::PLAIN.read(most), Count::Mortal(most));
    }

    #[test]
    fn the_last_mortal_becomes_immortal_and_stays_so() {
        for counting in [Counting::SIGN_BIT, Counting::SATURATING] {
            let last = (1 << 31) - 1;
            assert_eq!(counting.read(last), Count::Mortal(last));
            let first = counting.increment(last).unwrap();
            assert_eq!(counting.read(first), Count::Immortal);
            assert_eq!(counting.decrement(first), Ok(first));
            // Drifting upwards, but not beyond the stop.
            assert_eq!(counting.increment(first), Ok(first + 1));
            assert_eq!(counting.increment(counting.stop), Ok(counting.stop));
            assert_eq!(counting.read(counting.immortal), Count::Immortal);
        }
        assert_eq!(Counting::SATURATING.stop, 3 << 30);
    }

    #[test]
    fn other_bits_are_left_alone() {
        let flags = 5 << 32;
        for counting in [Counting::SIGN_BIT, Counting::SATURATING] {
            assert_eq!(counting.increment(flags | 7), Ok(flags | 8));
            assert_eq!(counting.decrement(flags | 1), Ok(flags));
            assert_eq!(counting.decrement(flags), Err(Miscount::Underflow));
            assert_eq!(counting.increment(flags | counting.stop), Ok(flags | counting.stop));
            assert_eq!(counting.with(flags | 3, 1), flags | 1);
        }
    }
}
