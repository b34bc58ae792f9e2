//! Which types keep the memory of objects that died for others, and how much of it.
//!
//! Rules as data, by version: see `Modules/gcmodule.c` and what replaced it for when they are emptied. An object's memory is
//! kept if its type is exactly this one and there is room; what is kept is used again, the last first.

/// The memory that a type keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FreeList {
    /// The type.
    name: &'static str,
    /// How many blocks are kept at most, of each size.
    pub(crate) most: u32,
    /// Of a type whose objects differ in size: which are kept.
    pub(crate) sizes: Option<Sizes>,
    /// The first and the last version that has it.
    versions: [(u32, u32); 2],
}

/// Sizes of blocks, by the number of items of the objects in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Bytes of an object without items, with all that stands in front of it.
    pub(crate) without_items: u64,
    /// Bytes of an item.
    pub(crate) item: u64,
    /// How many items there are at least, and at most.
    pub(crate) items: [u64; 2],
}

impl Sizes {
    /// How many items an object has whose block has so many bytes, if such blocks are kept.
    pub(crate) fn items_of(&self, bytes: u64) -> Option<u64> {
        let items = bytes.checked_sub(self.without_items)? / self.item;
        (self.items[0]..=self.items[1]).contains(&items).then_some(items)
    }
}

const fn of(name: &'static str, most: u32, from: (u32, u32), to: (u32, u32)) -> FreeList {
    FreeList { name, most, sizes: None, versions: [from, to] }
}

const fn tuples(items: u64, without_items: u64, from: (u32, u32), to: (u32, u32)) -> FreeList {
    let sizes = Some(Sizes { without_items, item: 8, items: [1, items] });
    FreeList { name: "tuple", most: 2000, sizes, versions: [from, to] }
}

/// The last version that is known.
const NOW: (u32, u32) = (3, 15);

/// All of them. Versions in which counts cannot be followed are left out.
pub(crate) const FREE_LISTS: &[FreeList] = &[
    // Those of 20 are kept, and never used again, to 3.12.
    tuples(20, 40, (3, 11), (3, 13)),
    tuples(20, 48, (3, 14), NOW),
    of("list", 80, (3, 11), NOW),
    of("dict", 80, (3, 11), NOW),
    of("float", 100, (3, 11), NOW),
    of("slice", 1, (3, 11), NOW),
    of("_contextvars.Context", 255, (3, 11), NOW),
    of("async_generator_wrapped_value", 80, (3, 11), NOW),
    of("async_generator_asend", 80, (3, 11), NOW),
    of("MemoryError", 16, (3, 11), NOW),
];

/// The list of a type, by its place in [`FREE_LISTS`].
pub(crate) fn of_type(name: &str, version: (u32, u32)) -> Option<usize> {
    FREE_LISTS
        .iter()
        .position(|list| list.name == name && (list.versions[0]..=list.versions[1]).contains(&version))
}

/// Whether a list keeps blocks of different sizes.
pub(crate) fn has_sizes(list: usize) -> bool {
    FREE_LISTS.get(list).is_some_and(|list| list.sizes.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_one_list_in_a_version() {
        for version in (11..=15).map(|minor| (3, minor)) {
            let known = FREE_LISTS.iter().filter(|list| of_type(list.name, version).is_some());
            let mut names: Vec<_> = known.map(|list| list.name).collect();
            names.sort_unstable();
            names.dedup();
            let found: Vec<_> = names.iter().filter_map(|name| of_type(name, version)).collect();
            assert_eq!(found.len(), names.len());
            assert!(found.iter().all(|one| FREE_LISTS[*one].most > 0));
        }
        assert_eq!((of_type("list", (3, 10)), of_type("str", (3, 13))), (None, None));
    }

    #[test]
    fn tuples_are_kept_by_their_number_of_items() {
        let list = FREE_LISTS[of_type("tuple", (3, 13)).unwrap()];
        let items = |bytes| list.sizes.unwrap().items_of(bytes);
        assert_eq!([40, 48, 56, 200, 208, 8].map(items), [None, Some(1), Some(2), Some(20), None, None]);
    }
}
