//! A table by address.
//!
//! Most addresses lie close together, in arenas, so each page of address space with a value in it has an array with a
//! place for each address that may have one. Whoever looks mostly looks where somebody just did: the pages that were
//! looked at last are found without a hash.

use hashbrown::HashMap;

/// How many places a page has, as a power of two.
const PLACES_SHIFT: u32 = 12;
const PLACES: usize = 1 << PLACES_SHIFT;
/// How many pages are remembered, each by the lowest bits of its number.
const NEAR: usize = 256;

#[derive(Clone)]
struct Page<V> {
    used: u32,
    values: Box<[Option<V>; PLACES]>,
}

/// Values by address. Pages that are empty are kept for others: as much memory as the most that was ever needed.
#[derive(Clone)]
pub(super) struct Pages<V> {
    /// Addresses are multiples of two to this power; any other goes to `odd`.
    shift: u32,
    /// Numbers of pages, and where these are in `pages`.
    near: Box<[(u64, u32); NEAR]>,
    places: HashMap<u64, u32>,
    pages: Vec<Page<V>>,
    empty: Vec<u32>,
    odd: HashMap<u64, V>,
}

/// The number of no page.
const NONE: u64 = u64::MAX;

fn near(number: u64) -> usize {
    let [low, ..] = number.to_le_bytes();
    usize::from(low) % NEAR
}

impl<V: Copy> Pages<V> {
    /// For addresses that are multiples of two to this power, 3 or 4; others may have values, too.
    pub(super) fn new(shift: u32) -> Self {
        Self {
            shift,
            near: Box::new([(NONE, 0); NEAR]),
            places: HashMap::new(),
            pages: Vec::new(),
            empty: Vec::new(),
            odd: HashMap::new(),
        }
    }

    /// The number of an address's page, and its place in there. `None` if it has none.
    #[inline]
    fn split(&self, address: u64) -> Option<(u64, usize)> {
        let unit = address >> self.shift;
        // (Lossless: the place has twelve bits.)
        let place = usize::try_from(unit & (PLACES as u64 - 1)).unwrap_or(0);
        (unit << self.shift == address).then_some((unit >> PLACES_SHIFT, place))
    }

    #[inline]
    fn page(&mut self, number: u64) -> Option<&mut Page<V>> {
        let (found, at) = self.near[near(number)];
        let at = if found == number { at } else { self.look(number)? };
        self.pages.get_mut(at as usize)
    }

    #[inline(never)]
    fn look(&mut self, number: u64) -> Option<u32> {
        let at = *self.places.get(&number)?;
        self.near[near(number)] = (number, at);
        Some(at)
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, number: u64) -> &mut Page<V> {
        let at = self.empty.pop().unwrap_or_else(|| {
            // By way of a vector, since an array of this size does not fit on every stack.
            let Ok(values) = vec![None; PLACES].into_boxed_slice().try_into() else {
                unreachable!("the vector has the array's length")
            };
            self.pages.push(Page { used: 0, values });
            // (Sixteen million pages are more address space than there is.)
            u32::try_from(self.pages.len() - 1).unwrap_or(u32::MAX)
        });
        self.places.insert(number, at);
        self.near[near(number)] = (number, at);
        &mut self.pages[at as usize]
    }

    /// Adds a value; returns the one that was there.
    #[inline]
    pub(super) fn insert(&mut self, address: u64, value: V) -> Option<V> {
        let Some((number, place)) = self.split(address) else { return self.odd.insert(address, value) };
        let page = match self.page(number) {
            Some(page) => page,
            None => self.add(number),
        };
        let before = page.values[place].replace(value);
        page.used += u32::from(before.is_none());
        before
    }

    /// The value at an address.
    #[inline]
    pub(super) fn get(&mut self, address: u64) -> Option<V> {
        match self.split(address) {
            Some((number, place)) => self.page(number)?.values[place],
            None => self.odd.get(&address).copied(),
        }
    }

    /// Takes a value out.
    #[inline]
    pub(super) fn remove(&mut self, address: u64) -> Option<V> {
        let Some((number, place)) = self.split(address) else { return self.odd.remove(&address) };
        let page = self.page(number)?;
        let value = page.values[place].take()?;
        page.used -= 1;
        if page.used == 0 {
            self.leave(number);
        }
        Some(value)
    }

    #[cold]
    #[inline(never)]
    fn leave(&mut self, number: u64) {
        self.empty.extend(self.places.remove(&number));
        self.near[near(number)] = (NONE, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_a_map(
            steps in prop::collection::vec((0_u8..3, 0_u64..4, 0_u64..3, 0_u64..9, any::<u32>()), 0..400)
        ) {
            let mut pages = Pages::new(4);
            let mut model = HashMap::new();
            for (what, far, near, place, value) in steps {
                // Pages that are close together, and others that have the same place among those that are remembered.
                let address = 0x7f00_0000_0000 + (far << 24) + (near << 16) + place * 8;
                match what {
                    0 => prop_assert_eq!(pages.insert(address, value), model.insert(address, value)),
                    1 => prop_assert_eq!(pages.remove(address), model.remove(&address)),
                    _ => prop_assert_eq!(pages.get(address), model.get(&address).copied()),
                }
            }
        }
    }
}
