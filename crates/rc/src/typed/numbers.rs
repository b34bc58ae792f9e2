//! The numbers of objects: names that can be copied and kept, and do no harm when their object has died.
#![forbid(unsafe_code)]

use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::object::Object;

/// The number of an object in a [`Registry`](crate::Registry): from 1 to 2²⁷ − 1. When it has died, the number may be given
/// to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(NonZeroU32);

impl Number {
    /// A number; `None` for 0. Those from 2³¹ on are never given to objects: others may use them.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    #[inline]
    fn index(self) -> usize {
        self.get() as usize - 1
    }
}

/// Numbers are below this, so that whoever keeps objects on lists that are half empty at worst finds room for a place in a word.
const MOST: u32 = 1 << 27;

/// Which object has which number.
#[derive(Default)]
pub(super) struct Numbers {
    objects: Vec<Option<Object>>,
    free: Vec<Number>,
}

impl Numbers {
    /// A number for an object, if there is one left.
    #[inline]
    pub(super) fn add(&mut self, object: Object) -> Option<Number> {
        if let Some(number) = self.free.pop() {
            self.objects[number.index()] = Some(object);
            return Some(number);
        }
        let number = u32::try_from(self.objects.len() + 1).ok().filter(|&number| number < MOST)?;
        self.objects.push(Some(object));
        Number::new(number)
    }

    #[inline]
    pub(super) fn get(&self, number: Number) -> Option<Object> {
        self.all().get(number)
    }

    /// For who asks for many.
    #[inline]
    pub(super) fn all(&self) -> All<'_> {
        All(&self.objects)
    }

    /// The number is free.
    #[inline]
    pub(super) fn remove(&mut self, number: Number) {
        if self.objects.get_mut(number.index()).and_then(Option::take).is_some() {
            self.free.push(number);
        }
    }

    /// How many objects have one.
    pub(super) fn len(&self) -> usize {
        self.objects.len() - self.free.len()
    }
}

/// Which object has which number, as long as nothing changes.
#[derive(Clone, Copy)]
pub(super) struct All<'a>(&'a [Option<Object>]);

impl All<'_> {
    #[inline]
    pub(super) fn get(self, number: Number) -> Option<Object> {
        *self.0.get(number.index())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr::NonNull;

    #[test]
    fn numbers_are_used_again() {
        let object = Object(NonNull::dangling());
        let mut numbers = Numbers::default();
        let [one, two] = [(); 2].map(|()| numbers.add(object).unwrap());
        assert_eq!((one.get(), two.get(), numbers.len()), (1, 2, 2));
        numbers.remove(one);
        numbers.remove(one);
        assert!(numbers.get(one).is_none() && numbers.get(two).is_some());
        assert!(numbers.get(Number::new(u32::MAX).unwrap()).is_none());
        assert_eq!((numbers.add(object), numbers.len()), (Some(one), 2));
    }
}
