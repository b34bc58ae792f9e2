//! The generations, by number, and the lists on which they stand.

use cycles::ListId;

/// A generation: the youngest is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(u8);

impl Generation {
    /// How many there are.
    pub const MANY: usize = 3;
    /// Where objects begin.
    pub const YOUNG: Self = Self(0);
    /// What has survived once.
    pub const MIDDLE: Self = Self(1);
    /// What has survived that, too. To collect this one is to collect all.
    pub const OLD: Self = Self(2);
    /// All of them, youngest first.
    pub const ALL: [Self; Self::MANY] = [Self::YOUNG, Self::MIDDLE, Self::OLD];

    /// Generation number `n`, if there is one.
    #[must_use]
    pub const fn new(n: usize) -> Option<Self> {
        match n {
            0 => Some(Self::YOUNG),
            1 => Some(Self::MIDDLE),
            2 => Some(Self::OLD),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0 as usize
    }

    /// Those that are younger, youngest first.
    pub fn younger(self) -> impl DoubleEndedIterator<Item = Self> {
        (0..self.0).map(Self)
    }

    /// Where its survivors go: to the next older one; the oldest has none.
    #[must_use]
    pub const fn older(self) -> Option<Self> {
        Self::new(self.number() + 1)
    }

    /// The list on which its objects stand: that of the same number. New ones are put on that of
    /// [`YOUNG`](Self::YOUNG).
    #[must_use]
    pub const fn list(self) -> ListId {
        ListId::new(self.0)
    }
}

/// The list of those that are never collected: frozen ones, and in some versions immortal ones.
pub const PERMANENT: ListId = ListId::new(3);
