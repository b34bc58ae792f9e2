//! Objects that were named lately: most changes of counts are of one of them.

use super::Object;

/// How many are remembered.
pub(super) const RECENT: u8 = 96;
const LENGTH: usize = RECENT as usize;

/// The objects that were named last, the newest first.
#[derive(Debug)]
pub(super) struct Recent {
    objects: [Object; LENGTH],
    used: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self { objects: [0; LENGTH], used: 0 }
    }
}

impl Recent {
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// The place of an object, which is the first from then on.
    #[inline]
    pub(super) fn find(&mut self, object: Object) -> Option<u8> {
        let at = self.objects[..self.used].iter().position(|one| *one == object)?;
        self.raise(at);
        u8::try_from(at).ok()
    }

    /// The object at a place, which is the first from then on.
    #[inline]
    pub(super) fn get(&mut self, at: usize) -> Option<Object> {
        let object = *self.objects[..self.used].get(at)?;
        self.raise(at);
        Some(object)
    }

    #[inline]
    fn raise(&mut self, at: usize) {
        let object = self.objects[at];
        self.objects.copy_within(..at, 1);
        self.objects[0] = object;
    }

    /// Adds one that is not there; the last one is forgotten if there is no room.
    #[inline]
    pub(super) fn push(&mut self, object: Object) {
        self.used = (self.used + 1).min(LENGTH);
        self.objects.copy_within(..self.used - 1, 1);
        self.objects[0] = object;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_named_is_the_first() {
        let mut recent = Recent::default();
        assert_eq!((recent.find(0), recent.get(0)), (None, None));
        (0..u64::from(RECENT) + 2).for_each(|object| recent.push(object));
        assert_eq!((recent.find(0), recent.find(1), recent.find(2)), (None, None, Some(95)));
        assert_eq!((recent.find(2), recent.find(97), recent.get(1)), (Some(0), Some(1), Some(2)));
        assert_eq!((recent.get(95), recent.get(95)), (Some(3), Some(4)));
    }
}
