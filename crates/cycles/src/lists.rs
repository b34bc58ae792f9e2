//! The lists on which a collector keeps the objects that may be part of cycles.
//!
//! CPython links them to each other, by two pointers in front of each. Here a list is a vector in which the
//! place of an object that has gone stays empty, and the object knows where it stands. That is as good for
//! all that is asked of a list (to the tail in O(1), off it in O(1), order kept), and
//! better for the collector: to walk it is no chase of pointers, and where an object stands *is* its number
//! in the collection.

use alloc::vec::Vec;
use core::fmt;

use bumpalo::Bump;

use crate::containers::Containers;

/// The number of a list.
///
/// Those that a collection uses for itself are given out from [`ListId::USERS`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListId(u8);

impl ListId {
    /// How many lists are free to be used: 0 to 7.
    pub const USERS: u8 = 8;

    /// List number `n`, below [`USERS`](Self::USERS).
    ///
    /// # Panics
    ///
    /// If it is not below that; at compile time in a constant.
    #[must_use]
    pub const fn new(n: u8) -> Self {
        assert!(n < Self::USERS, "lists from there on are the collector's own");
        Self(n)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Where an object stands: on which list, and at which place of it. A word, for the heap to store; 0 is
/// [`UNTRACKED`](Self::UNTRACKED).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// On no list.
    pub const UNTRACKED: Self = Self(0);

    /// Where the bits begin that tell the list: above those of any place of it.
    const LIST: u32 = 56;
    /// The same in a word of 31 bits.
    const SHORT: u32 = 28;

    pub(crate) const fn new(list: ListId, index: usize) -> Self {
        Self((list.0 as u64 + 1) << Self::LIST | index as u64)
    }

    /// On which list; `None` if on none.
    #[inline]
    #[must_use]
    pub const fn list(self) -> Option<ListId> {
        match self.0 >> Self::LIST {
            0 => None,
            #[allow(clippy::cast_possible_truncation, reason = "eight bits")]
            list => Some(ListId((list - 1) as u8)),
        }
    }

    /// At which place, empty ones counted.
    #[inline]
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "it was made from a usize")]
    pub const fn index(self) -> usize {
        (self.0 & ((1 << Self::LIST) - 1)) as usize
    }

    /// Whether it stands on any list.
    #[inline]
    #[must_use]
    pub const fn is_tracked(self) -> bool {
        self.0 != 0
    }

    /// The place so many behind this one on its list.
    #[inline]
    #[must_use]
    pub const fn behind(self, many: usize) -> Self {
        Self(self.0.wrapping_add(many as u64))
    }

    /// As a word.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        self.0
    }

    /// From a word that [`to_word`](Self::to_word) gave. Any other does no harm: whoever looks
    /// there finds another object, or none.
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline]
    pub(crate) const fn is_on(self, list: ListId) -> bool {
        self.0 >> Self::LIST == list.0 as u64 + 1
    }

    /// How many places behind another one on its list; of one that is not, a number that is too large for that.
    #[inline]
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "where it is, no list has as many places")]
    pub const fn after(self, first: Self) -> usize {
        let index = self.0.wrapping_sub(first.0);
        if index > usize::MAX as u64 { usize::MAX } else { index as usize }
    }

    /// As a word of 31 bits, if it is below 2²⁸ on one of the lists 0 to 3, or of those that a collection uses for itself while no
    /// other one is going on. Places behind each other are words behind each other; 0 is [`UNTRACKED`](Self::UNTRACKED).
    #[inline]
    #[must_use]
    #[allow(clippy::cast_possible_truncation, reason = "looked at before")]
    pub const fn to_short(self) -> Option<u32> {
        let (list, index) = (self.0 >> Self::LIST, self.0 & ((1 << Self::LIST) - 1));
        let list = match list {
            0..=4 => list,
            9..=11 => list - 4,
            _ => return None,
        };
        if index >> Self::SHORT == 0 { Some((list << Self::SHORT | index) as u32) } else { None }
    }

    /// From such a word; the highest bit is nothing.
    #[inline]
    #[must_use]
    pub const fn from_short(word: u32) -> Self {
        let (list, index) = (word >> Self::SHORT & 7, word & ((1 << Self::SHORT) - 1));
        let list = if list > 4 { list + 4 } else { list };
        Self((list as u64) << Self::LIST | index as u64)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list() {
            Some(list) => write!(f, "{} on list {}", self.index(), list.0),
            None => f.write_str("untracked"),
        }
    }
}

/// One list: objects in order, with empty places where some have gone.
#[derive(Clone, Debug)]
pub(crate) struct List<I> {
    pub(crate) entries: Vec<Option<I>>,
    pub(crate) live: usize,
}

impl<I> List<I> {
    const EMPTY: Self = Self { entries: Vec::new(), live: 0 };
}

/// The lists of a heap.
#[derive(Clone, Debug)]
pub struct Lists<I> {
    lists: Vec<List<I>>,
    /// Of those that collections use: not in use now.
    spare: Vec<ListId>,
}

impl<I> Default for Lists<I> {
    fn default() -> Self {
        let mut lists = Vec::new();
        lists.resize_with(ListId::USERS.into(), || List::EMPTY);
        Self { lists, spare: Vec::new() }
    }
}

impl<I: Copy + Eq> Lists<I> {
    /// Nobody stands on a list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many objects stand on a list.
    #[must_use]
    pub fn len(&self, list: ListId) -> usize {
        self.get(list).map_or(0, |list| list.live)
    }

    /// Whether none does.
    #[must_use]
    pub fn is_empty(&self, list: ListId) -> bool {
        self.len(list) == 0
    }

    /// The objects on a list, from its head to its tail.
    pub fn iter(&self, list: ListId) -> impl DoubleEndedIterator<Item = I> + '_ {
        self.entries(list).iter().copied().flatten()
    }

    /// Bytes that the lists take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lists.iter().map(|list| list.entries.capacity() * size_of::<Option<I>>()).sum()
    }

    /// Takes an object that is going for ever off its place: what [`untrack`] does for one that has to remember that it stands
    /// nowhere now. Whether it stood there. O(1), amortised.
    #[inline]
    pub fn remove(&mut self, object: I, place: Place) -> bool {
        let Some(list) = place.list().and_then(|list| self.get_mut(list)) else { return false };
        match list.entries.get_mut(place.index()) {
            // A heap that stores places wrongly loses no object of others.
            Some(entry) if *entry == Some(object) => *entry = None,
            _ => return false,
        }
        list.live -= 1;
        while let Some(None) = list.entries.last() {
            list.entries.pop();
        }
        true
    }

    #[inline]
    fn get(&self, list: ListId) -> Option<&List<I>> {
        self.lists.get(usize::from(list.0))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, list: ListId) -> Option<&mut List<I>> {
        self.lists.get_mut(usize::from(list.0))
    }

    /// The objects on a list that has no empty places.
    pub(crate) fn copy<'s>(&self, list: ListId, scratch: &'s Bump) -> &'s [I] {
        let entries = self.entries(list);
        let Some(&Some(first)) = entries.first() else { return &[] };
        let copy = scratch.alloc_slice_fill_copy(entries.len(), first);
        for (copy, entry) in copy.iter_mut().zip(entries) {
            *copy = entry.unwrap_or(first);
        }
        copy
    }

    /// The object at a place of a list, if there is one.
    #[inline]
    pub(crate) fn at(&self, list: ListId, index: usize) -> Option<I> {
        self.get(list)?.entries.get(index).copied().flatten()
    }

    /// The places of a list, from its head to its tail: empty where objects have gone.
    #[inline]
    #[must_use]
    pub fn entries(&self, list: ListId) -> &[Option<I>] {
        self.get(list).map_or(&[], |list| &list.entries)
    }

    /// How many places a list has, the empty ones counted.
    pub(crate) fn places(&self, list: ListId) -> usize {
        self.get(list).map_or(0, |list| list.entries.len())
    }

    /// A list that nobody uses; `None` if there are too many.
    pub(crate) fn open(&mut self) -> Option<ListId> {
        if let Some(list) = self.spare.pop() {
            return Some(list);
        }
        // One number means no list.
        let list = u8::try_from(self.lists.len()).ok().filter(|&list| list < u8::MAX)?;
        self.lists.push(List::EMPTY);
        Some(ListId(list))
    }

    /// Nobody uses this list any more.
    pub(crate) fn close(&mut self, list: ListId) {
        if let Some(list) = self.get_mut(list) {
            // Empty, but if the heap stores places wrongly.
            list.entries.clear();
            list.live = 0;
        }
        self.spare.push(list);
    }
}

/// Puts an object that stands nowhere at the tail of a list. Whether it stood nowhere: if not, nothing happens.
///
/// O(1), amortised: a list that is mostly empty places closes up.
#[inline]
pub fn track<H: Containers>(heap: &mut H, object: H::Id, list: ListId) -> bool {
    if heap.place(object).is_tracked() {
        return false;
    }
    push(heap, object, list);
    true
}

/// Takes an object off the list that it stands on, if it stands on one. O(1), amortised.
///
/// For one that dies, this comes before anything else of it is gone: one that is left is garbage once more.
#[inline]
pub fn untrack<H: Containers>(heap: &mut H, object: H::Id) -> bool {
    let place = heap.place(object);
    if !place.is_tracked() {
        return false;
    }
    heap.set_place(object, Place::UNTRACKED);
    heap.lists_mut().remove(object, place)
}

/// Moves all objects of a list, in order, behind those of another. O(objects that are moved).
pub fn append<H: Containers>(heap: &mut H, from: ListId, to: ListId) {
    if from == to {
        return;
    }
    let mut entries = take(heap, from);
    extend(heap, entries.drain(..).flatten(), to);
    give_back(heap, from, entries);
}

/// Puts an object at the tail of a list, on which it stands from here on.
#[inline]
pub(crate) fn push<H: Containers>(heap: &mut H, object: H::Id, id: ListId) {
    match heap.lists_mut().get_mut(id) {
        Some(list) if list.entries.len() < list.entries.capacity() => {
            let place = Place::new(id, list.entries.len());
            list.entries.push(Some(object));
            list.live += 1;
            heap.set_place(object, place);
        }
        _ => push_slowly(heap, object, id),
    }
}

#[cold]
#[inline(never)]
fn push_slowly<H: Containers>(heap: &mut H, object: H::Id, id: ListId) {
    let Some(list) = heap.lists_mut().get_mut(id) else {
        // The number is from another heap's lists.
        return heap.set_place(object, Place::UNTRACKED);
    };
    // Amortised: at least half of what is looked at goes. Those of a collection never close up, it looks at
    // places of theirs.
    if list.live < list.entries.len() / 2 && id.0 < ListId::USERS {
        close_up(heap, id);
    }
    if let Some(list) = heap.lists_mut().get_mut(id) {
        list.entries.reserve(1);
    }
    push(heap, object, id);
}

/// Puts objects that stand nowhere at the tail of a list, in their order. O(objects), amortised.
pub(crate) fn extend<H: Containers>(heap: &mut H, objects: impl Iterator<Item = H::Id>, id: ListId) {
    if id.0 < ListId::USERS && heap.lists().len(id) < heap.lists().places(id) / 2 {
        close_up(heap, id);
    }
    let Some(list) = heap.lists_mut().get_mut(id) else {
        return objects.for_each(|object| heap.set_place(object, Place::UNTRACKED));
    };
    let mut entries = core::mem::take(&mut list.entries);
    let before = entries.len();
    entries.reserve(objects.size_hint().0);
    objects.for_each(|object| entries.push(Some(object)));
    heap.set_places(entries.get(before..).unwrap_or_default(), Place::new(id, before));
    if let Some(list) = heap.lists_mut().get_mut(id) {
        list.live += entries.len() - before;
        list.entries = entries;
    }
}

/// Moves an object to the tail of a list, from wherever it stands.
#[inline]
pub(crate) fn move_to<H: Containers>(heap: &mut H, object: H::Id, list: ListId) {
    let place = heap.place(object);
    heap.lists_mut().remove(object, place);
    push(heap, object, list);
}

/// Removes the empty places of a list, so that objects stand one behind the other from place 0 on.
pub(crate) fn close_up<H: Containers>(heap: &mut H, id: ListId) {
    if heap.lists().len(id) == heap.lists().places(id) {
        return;
    }
    let mut entries = take(heap, id);
    let mut filled = 0;
    for at in 0..entries.len() {
        if let Some(object) = entries[at] {
            if at != filled {
                heap.set_place(object, Place::new(id, filled));
                entries[filled] = Some(object);
            }
            filled += 1;
        }
    }
    entries.truncate(filled);
    give_back(heap, id, entries);
}

/// The entries of a list, which is left empty: objects say still that they stand on it.
pub(crate) fn take<H: Containers>(heap: &mut H, id: ListId) -> Vec<Option<H::Id>> {
    heap.lists_mut().get_mut(id).map_or_else(Vec::new, |list| {
        list.live = 0;
        core::mem::take(&mut list.entries)
    })
}

/// Makes these the entries of an empty list, where they say already that they stand.
pub(crate) fn give_back<H: Containers>(heap: &mut H, id: ListId, entries: Vec<Option<H::Id>>) {
    if let Some(list) = heap.lists_mut().get_mut(id) {
        list.live = entries.len();
        list.entries = entries;
    }
}
