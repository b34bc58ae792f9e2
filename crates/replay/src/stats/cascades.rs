//! What dies inside of one death.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::accounts::Period;
use super::ages::Spread;

/// What one outermost death took along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cascade {
    /// Objects that died inside of it.
    pub inside: u64,
    /// How many deaths were inside of each other at most, not counting the outermost one.
    pub levels: u64,
    /// Of those inside: how many no known reference explains.
    pub hidden: u64,
    /// Of those inside: how many died when program code may have run.
    pub after_code: u64,
    /// Bytes of the blocks of all of them, the outermost one's among them.
    pub bytes: u64,
    /// When it began, in events.
    pub event: Reverse<u64>,
    /// What the program was at then.
    pub when: Period,
    /// The outermost object's type: its place in the accounts. `None`: it was born before the recording.
    pub root: Option<usize>,
}

/// All of them.
#[derive(Debug)]
pub struct Cascades {
    /// How many died inside of each outermost death, those in which none did among them.
    pub inside: Spread,
    /// Those with the most, the smallest on top.
    longest: BinaryHeap<Reverse<Cascade>>,
    top: usize,
}

impl Cascades {
    /// None yet; as many as `top` are kept.
    pub fn new(top: usize) -> Self {
        Self { inside: Spread::default(), longest: BinaryHeap::new(), top }
    }

    /// One is over.
    pub fn add(&mut self, cascade: Cascade) {
        self.inside.add(cascade.inside);
        if cascade.inside == 0 || self.top == 0 {
            return;
        }
        if self.longest.len() < self.top {
            self.longest.push(Reverse(cascade));
        } else if let Some(mut smallest) = self.longest.peek_mut()
            && smallest.0 < cascade
        {
            *smallest = Reverse(cascade);
        }
    }

    /// The longest ones, the longest first; of those that are as long the deeper, then the earlier one.
    pub fn longest(&self) -> Vec<Cascade> {
        let mut longest: Vec<_> = self.longest.iter().map(|cascade| cascade.0).collect();
        longest.sort_unstable_by_key(|cascade| Reverse(*cascade));
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_are_kept() {
        let mut cascades = Cascades::new(2);
        for (event, inside) in (0..).zip([3, 0, 7, 5, 7]) {
            cascades.add(Cascade { inside, event: Reverse(event), ..Cascade::default() });
        }
        let kept: Vec<_> = cascades.longest().iter().map(|one| (one.inside, one.event.0)).collect();
        assert_eq!(kept, [(7, 2), (7, 4)]);
        assert_eq!((cascades.inside.len(), cascades.inside.largest()), (5, Some(7)));
    }
}
