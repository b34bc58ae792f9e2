//! Who is on the collector's lists, by address, and what was told of each.

use std::num::NonZeroU32;

use trace::Object;

use super::super::pages::Pages;

/// On no list.
pub(super) const NOWHERE: u8 = u8::MAX;
/// The number of nobody.
const NOBODY: Object = Object::MAX;

/// What was told of an object.
#[derive(Default)]
pub(super) struct Known {
    /// Whose it is: [`NOBODY`] if it is free for another one, or nobody knows who is there.
    object: Object,
    /// On which list it is.
    pub(super) list: u8,
    /// The collection that looked at it last.
    pub(super) epoch: u64,
    /// How many references there were, once that was told.
    pub(super) count: Option<u64>,
    pub(super) is_embedded: bool,
    pub(super) referents: Box<[Object]>,
    pub(super) uncounted: Box<[u32]>,
    pub(super) has_weak: bool,
    /// Whether that collection goes on, and it was told that the object dies.
    pub(super) is_dying: bool,
}

/// An object, and where what is known of it stands: nowhere any more if the object has gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) object: Object,
    place: NonZeroU32,
}

/// Who is known.
pub(super) struct Everybody {
    places: Pages<NonZeroU32>,
    known: Vec<Known>,
    free: Vec<NonZeroU32>,
}

impl Everybody {
    pub(super) fn new() -> Self {
        // Containers are aligned so from 3.8 on; others are found as well, but not as fast.
        Self { places: Pages::new(4), known: Vec::new(), free: Vec::new() }
    }

    fn at(&mut self, place: NonZeroU32) -> &mut Known {
        &mut self.known[place.get() as usize - 1]
    }

    /// Who is at an address.
    #[inline]
    pub(super) fn who(&mut self, address: u64) -> Option<Who> {
        let place = self.places.get(address)?;
        Some(Who { object: self.at(place).object, place }).filter(|who| who.object != NOBODY)
    }

    /// What is known of an object that has not gone.
    #[inline]
    pub(super) fn known(&mut self, who: Who) -> Option<&mut Known> {
        Some(self.at(who.place)).filter(|known| known.object == who.object)
    }

    /// Takes an object off a list, if it is still there. Whether it was.
    pub(super) fn leaves(&mut self, who: Who, list: usize) -> bool {
        match self.known(who) {
            Some(known) if usize::from(known.list) == list => {
                known.list = NOWHERE;
                true
            }
            _ => false,
        }
    }

    /// An object of which nothing was told is at an address, in the place of who was there, if anybody was.
    pub(super) fn add(&mut self, address: u64, object: Object) -> (Who, Option<Object>) {
        let before = self.remove(address).map(|known| known.object);
        let place = self.free.pop().unwrap_or_else(|| {
            self.known.push(Known::default());
            // Two hundred gigabytes of such records are full before their numbers are.
            u32::try_from(self.known.len()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX)
        });
        *self.at(place) = Known { object, list: NOWHERE, ..Known::default() };
        self.places.insert(address, place);
        (Who { object, place }, before)
    }

    /// Who is at an address goes, and its number with it.
    pub(super) fn remove(&mut self, address: u64) -> Option<Gone> {
        let place = self.places.remove(address)?;
        self.free.push(place);
        let known = self.at(place);
        let gone = Gone { object: known.object, epoch: known.epoch, is_dying: known.is_dying };
        *known = Known { object: NOBODY, ..Known::default() };
        Some(gone).filter(|gone| gone.object != NOBODY)
    }

    /// Nobody is known any more but those on this list.
    pub(super) fn forget_but(&mut self, list: u8) {
        for known in self.known.iter_mut().filter(|known| known.list != list) {
            *known = Known { object: NOBODY, ..Known::default() };
        }
    }

    /// Who is at an address is at another one from here on.
    pub(super) fn moves(&mut self, old: u64, new: u64) {
        if let Some(place) = self.places.remove(old)
            && let Some(before) = self.places.insert(new, place)
        {
            *self.at(before) = Known { object: NOBODY, ..Known::default() };
            self.free.push(before);
        }
    }
}

/// One that has gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub(super) object: Object,
    /// The collection that looked at it last.
    pub(super) epoch: u64,
    /// Whether that goes on, and it was told that the object dies.
    pub(super) is_dying: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_gone_is_not_taken_for_who_came_to_its_place() {
        let mut everybody = Everybody::new();
        let (first, before) = everybody.add(0x1000, 7);
        assert_eq!((first.object, before), (7, None));
        everybody.known(first).unwrap().list = 1;
        assert_eq!(everybody.remove(0x1000).unwrap().object, 7);
        let (second, _) = everybody.add(0x2000, 8);
        assert_eq!(second.place, first.place);
        assert!(everybody.known(first).is_none() && !everybody.leaves(first, 1));
        let (third, before) = everybody.add(0x2000, 9);
        assert_eq!((third.object, before), (9, Some(8)));
        everybody.known(third).unwrap().list = 2;
        everybody.moves(0x2000, 0x3000);
        assert!(everybody.who(0x2000).is_none());
        assert_eq!(everybody.who(0x3000).unwrap().object, 9);
        assert!(!everybody.leaves(third, 1) && everybody.leaves(third, 2) && !everybody.leaves(third, 2));
    }

    #[test]
    fn who_was_forgotten_is_not_there() {
        let mut everybody = Everybody::new();
        let all = [(0x1000, 1), (0x2000, 2), (0x3000, 3)].map(|(address, list)| {
            let (who, _) = everybody.add(address, u64::from(list));
            everybody.known(who).unwrap().list = list;
            who
        });
        everybody.forget_but(3);
        assert!(all.map(|who| everybody.known(who).is_some()) == [false, false, true]);
        assert!(everybody.who(0x1000).is_none() && everybody.remove(0x1000).is_none());
        // Nor is it told to go where another one comes.
        let (new, before) = everybody.add(0x2000, 4);
        assert_eq!((new.object, before), (4, None));
        assert_eq!(everybody.who(0x2000).unwrap().object, 4);
        assert_eq!(everybody.who(0x3000).unwrap().object, 3);
    }
}
