//! A table of the live blocks, by number.

use hashbrown::HashMap;

/// How many of the youngest blocks stand in the ring: 2¹⁸. Most blocks die before that many more are born, and the part
/// of the ring that is used all the time, its newest end, stays in the processor's cache.
const YOUNG: usize = 1 << 18;

/// What is known of each live block, by its number.
///
/// Numbers are given by birth and most blocks die young, so the youngest 262,144 stand in a ring, found by their
/// number alone; a block that outlives that moves to a hash table. Memory is proportional to the live blocks
/// (and the ring's fixed two MiB for values of eight bytes), however long the trace; every operation takes
/// constant time.
///
/// ```
/// let mut table = trace::BlockTable::new();
/// let first = table.push('a');
/// let second = table.push('b');
/// assert_eq!((first, second), (0, 1));
/// assert_eq!(table.remove(first), Some('a'));
/// assert_eq!(table.remove(first), None);
/// assert_eq!(table.get(second), Some('b'));
/// ```
#[derive(Debug)]
pub struct BlockTable<V> {
    young: Box<[Option<V>; YOUNG]>,
    old: HashMap<u64, V>,
    births: u64,
}

impl<V: Copy> Default for BlockTable<V> {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "only the lowest eighteen bits of a number matter")]
fn slot(block: u64) -> usize {
    block as usize & (YOUNG - 1)
}

impl<V: Copy> BlockTable<V> {
    /// An empty table: the next block is number 0.
    #[must_use]
    pub fn new() -> Self {
        // By way of a vector, since an array of this size does not fit on every stack.
        let Ok(young) = vec![None; YOUNG].into_boxed_slice().try_into() else {
            unreachable!("the vector has the array's length")
        };
        Self { young, old: HashMap::new(), births: 0 }
    }

    /// How many blocks were ever pushed: the number of the next one.
    #[must_use]
    pub fn births(&self) -> u64 {
        self.births
    }

    /// Adds the next block and returns its number.
    #[inline]
    pub fn push(&mut self, value: V) -> u64 {
        let block = self.births;
        if let Some(survivor) = self.young[slot(block)].replace(value) {
            self.outlives(block, survivor);
        }
        self.births += 1;
        block
    }

    /// Moves the last owner of a slot, which was born exactly one lap before `block`.
    #[cold]
    #[inline(never)]
    fn outlives(&mut self, block: u64, survivor: V) {
        self.old.insert(block - YOUNG as u64, survivor);
    }

    #[inline]
    fn is_young(&self, block: u64) -> bool {
        // For a block that is not born yet the difference wraps to a large number: not young, and not old either.
        self.births.wrapping_sub(block).wrapping_sub(1) < YOUNG as u64
    }

    /// What is known of a block, if it is live.
    #[inline]
    #[must_use]
    pub fn get(&self, block: u64) -> Option<V> {
        if self.is_young(block) { self.young[slot(block)] } else { self.old.get(&block).copied() }
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, block: u64) -> Option<&mut V> {
        if self.is_young(block) { self.young[slot(block)].as_mut() } else { self.old.get_mut(&block) }
    }

    /// Takes a block out; `None` if it is not live.
    #[inline]
    pub fn remove(&mut self, block: u64) -> Option<V> {
        if self.is_young(block) { self.young[slot(block)].take() } else { self.old.remove(&block) }
    }

    /// Changes what is known of a block; `None`, and no change, if it is not live.
    #[inline]
    pub fn replace(&mut self, block: u64, value: V) -> Option<V> {
        self.get_mut(block).map(|old| core::mem::replace(old, value))
    }

    /// The live blocks with what is known of each, in no particular order. Takes time proportional to the
    /// live blocks and the ring.
    pub fn iter(&self) -> impl Iterator<Item = (u64, V)> + '_ {
        let first_young = self.births.saturating_sub(YOUNG as u64);
        let young = (first_young..self.births)
            .filter_map(|block| self.young[slot(block)].map(|value| (block, value)));
        young.chain(self.old.iter().map(|(&block, &value)| (block, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn agrees_with_a_map(
            steps in prop::collection::vec((any::<u8>(), any::<u64>()), 200),
            bursts in prop::collection::vec(1_u64..100_000, 8),
        ) {
            let mut table = BlockTable::new();
            let mut model = BTreeMap::new();
            for (index, &(what, random)) in steps.iter().enumerate() {
                if index % 25 == 0 {
                    // Enough births to lap the ring, a tenth of which survive.
                    for _ in 0..bursts[index / 25] {
                        let block = table.push(random);
                        if block % 10 == 0 {
                            model.insert(block, random);
                        } else {
                            prop_assert_eq!(table.remove(block), Some(random));
                        }
                    }
                }
                let block = random % (table.births() + 2);
                match what % 3 {
                    0 => prop_assert_eq!(table.get(block), model.get(&block).copied()),
                    1 => prop_assert_eq!(table.remove(block), model.remove(&block)),
                    _ => {
                        let before = model.get(&block).copied();
                        if before.is_some() {
                            model.insert(block, random ^ 1);
                        }
                        prop_assert_eq!(table.replace(block, random ^ 1), before);
                    }
                }
            }
            let live: BTreeMap<_, _> = table.iter().collect();
            prop_assert_eq!(live, model);
        }
    }
}
