//! Where the lists of weak references begin, by number: most objects have none, so that none has to have
//! room for a pointer.
#![forbid(unsafe_code)]

use core::ptr::NonNull;

use alloc::vec::Vec;

use super::weak::Record;

/// The numbers from 1 on.
#[derive(Default)]
pub(super) struct Heads {
    /// By number less one: the head, or nothing if the number is free.
    heads: Vec<Option<NonNull<Record>>>,
    free: Vec<u32>,
}

/// A header has 30 bits for the number.
const MOST: usize = u32::MAX as usize >> 2;

impl Heads {
    /// A number for a new list.
    pub(super) fn add(&mut self, head: NonNull<Record>) -> u32 {
        if let Some(number) = self.free.pop() {
            self.set(number, head);
            return number;
        }
        assert!(self.heads.len() < MOST, "too many objects have weak references");
        self.heads.push(Some(head));
        #[allow(clippy::cast_possible_truncation, reason = "below 2^30")]
        let number = self.heads.len() as u32;
        number
    }

    /// Whether there is no list.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.heads.len() == self.free.len()
    }

    /// The first of a list; none if there is no list of that number.
    pub(super) fn get(&self, number: u32) -> Option<NonNull<Record>> {
        *self.heads.get((number as usize).checked_sub(1)?)?
    }

    /// Another one is the first.
    pub(super) fn set(&mut self, number: u32, head: NonNull<Record>) {
        self.heads[number as usize - 1] = Some(head);
    }

    /// The list is empty: its number is free.
    pub(super) fn remove(&mut self, number: u32) -> Option<NonNull<Record>> {
        let head = self.heads.get_mut((number as usize).checked_sub(1)?)?.take()?;
        self.free.push(number);
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again() {
        let head = NonNull::<Record>::dangling();
        let mut heads = Heads::default();
        assert_eq!((heads.get(0), heads.get(1), heads.remove(0)), (None, None, None));
        assert_eq!((heads.add(head), heads.add(head)), (1, 2));
        assert_eq!(heads.remove(1), Some(head));
        assert_eq!((heads.get(1), heads.remove(1), heads.get(2)), (None, None, Some(head)));
        assert_eq!((heads.add(head), heads.add(head)), (1, 3));
    }
}
