//! Memory that is kept for other objects: the free lists. Each interpreter has its own.

use hashbrown::HashMap;
use trace::{Block, Kind, PackedInput};

use crate::free_lists::FREE_LISTS;

/// A list, and of how many items.
type Key = (usize, u64);

/// The blocks in each list, the last one that was kept last.
type Lists = HashMap<Key, Vec<Block>>;

/// A block that is kept.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The interpreter that keeps it, and in which list.
    interpreter: u64,
    key: Key,
    bytes: u64,
}

/// What the free lists hold.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// The interpreter that runs, and its lists.
    running: u64,
    lists: Lists,
    /// Those of others, as far as they hold anything: one that ends releases all that it has kept.
    others: HashMap<u64, Lists>,
    /// Where each block is that is in a list.
    blocks: HashMap<Block, Place>,
    /// The block that was asked for last, and how many bytes of it.
    last: Option<(Block, u64)>,
    /// Up to 3.11 collections run between the request for a block and the birth in it, with all that they call: how many bytes
    /// were asked for of blocks in which nobody was born before another one was asked for. None where that is not so.
    unborn: Option<HashMap<Block, u64>>,
    /// The same of blocks that were resized since.
    resized: HashMap<Block, u64>,
}

impl Kept {
    /// Nothing yet, by the rules of this version.
    pub(super) fn new((major, minor): (u32, u32)) -> Self {
        Self { unborn: ((major, minor) < (3, 12)).then(HashMap::new), ..Self::default() }
    }

    /// A call of the memory manager is made.
    pub(super) fn called(&mut self, input: PackedInput) {
        match input.kind() {
            Kind::Allocate if !input.failed() => self.asked(input.block(), input.size()),
            Kind::Resize if !input.failed() => {
                self.resized.insert(input.block(), input.size());
            }
            // Lists are emptied by full collections.
            Kind::Release => {
                self.resized.remove(&input.block());
                self.unborn.as_mut().map(|unborn| unborn.remove(&input.block()));
                self.take(input.block());
            }
            _ => {}
        }
    }

    /// So many bytes were asked for.
    fn asked(&mut self, block: Block, bytes: u64) {
        let before = self.last.replace((block, bytes));
        if let Some(unborn) = &mut self.unborn {
            unborn.extend(before);
        }
    }

    /// This interpreter runs.
    pub(super) fn runs(&mut self, interpreter: u64) {
        if interpreter == self.running {
            return;
        }
        let next = self.others.remove(&interpreter).unwrap_or_default();
        let last = std::mem::replace(&mut self.lists, next);
        if last.values().any(|blocks| !blocks.is_empty()) {
            self.others.insert(self.running, last);
        }
        self.running = interpreter;
    }

    /// An object is born in a block: how many bytes were asked for for that, or 0 if that is not known.
    pub(super) fn bytes_of(&mut self, block: Block) -> u64 {
        match self.last.take_if(|(last, _)| *last == block) {
            Some((_, bytes)) => bytes,
            None => {
                let unborn = self.unborn.as_mut().and_then(|unborn| unborn.remove(&block));
                unborn.or_else(|| self.take(block)).unwrap_or(0)
            }
        }
    }

    /// Takes a block out of its list, if it is in one. Its size.
    fn take(&mut self, block: Block) -> Option<u64> {
        let Place { interpreter, key, bytes } = self.blocks.remove(&block)?;
        let lists = if interpreter == self.running {
            Some(&mut self.lists)
        } else {
            self.others.get_mut(&interpreter)
        };
        if let Some(list) = lists.and_then(|lists| lists.get_mut(&key))
            && let Some(at) = list.iter().rposition(|one| *one == block)
        {
            list.remove(at);
        }
        Some(bytes)
    }

    /// An object of so many items is born in memory that this list of the running interpreter kept. The block, and its size.
    pub(super) fn reuse(&mut self, list: usize, items: u64) -> Option<(Block, u64)> {
        let block = self.lists.get_mut(&(list, items))?.pop()?;
        let Place { bytes, .. } = self.blocks.remove(&block)?;
        Some((block, bytes))
    }

    /// An object dies in a block: whether that is kept in this list of the running interpreter. `bytes` were asked for for it when the object was born.
    pub(super) fn keep(&mut self, list: usize, block: Block, bytes: u64) -> bool {
        let Some(rule) = FREE_LISTS.get(list) else { return false };
        let bytes = if self.resized.is_empty() { None } else { self.resized.remove(&block) }.unwrap_or(bytes);
        let items = match &rule.sizes {
            None => 0,
            Some(sizes) => match sizes.items_of(bytes) {
                Some(items) => items,
                None => return false,
            },
        };
        let kept = self.lists.entry((list, items)).or_default();
        if kept.len() >= rule.most as usize {
            return false;
        }
        kept.push(block);
        let place = Place { interpreter: self.running, key: (list, items), bytes };
        self.blocks.insert(block, place);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::free_lists::of_type;

    fn slices() -> usize {
        of_type("slice", (3, 13)).expect("it has one")
    }

    #[test]
    fn each_interpreter_has_lists_of_its_own() {
        let (mut kept, slice) = (Kept::new((3, 13)), slices());
        assert!(kept.keep(slice, 1, 56) && !kept.keep(slice, 2, 56));
        kept.runs(7);
        assert_eq!(kept.reuse(slice, 0), None);
        assert!(kept.keep(slice, 3, 64) && !kept.keep(slice, 4, 64));
        kept.runs(0);
        assert_eq!((kept.reuse(slice, 0), kept.reuse(slice, 0)), (Some((1, 56)), None));
        kept.runs(7);
        assert_eq!((kept.reuse(slice, 0), kept.reuse(slice, 0)), (Some((3, 64)), None));
    }

    #[test]
    fn what_is_released_is_in_no_list_whoever_kept_it() {
        let (mut kept, slice) = (Kept::new((3, 13)), slices());
        assert!(kept.keep(slice, 1, 56));
        kept.runs(u64::MAX);
        kept.called(PackedInput::release(1));
        kept.runs(0);
        assert_eq!(kept.reuse(slice, 0), None);
    }

    #[test]
    fn who_is_asked_for_is_born_behind_others_where_collections_run_in_between() {
        for (version, expected) in [((3, 11), 56), ((3, 12), 0)] {
            let mut kept = Kept::new(version);
            for block in 0..3 {
                kept.asked(block, 56 + block);
            }
            kept.called(PackedInput::release(1));
            assert_eq!([2, 1, 0].map(|block| kept.bytes_of(block)), [58, 0, expected]);
        }
    }

    /// One that ends has released everything.
    #[test]
    fn an_interpreter_that_keeps_nothing_takes_no_memory() {
        let (mut kept, slice) = (Kept::new((3, 13)), slices());
        for number in 1..1000 {
            kept.runs(number);
            assert!(kept.keep(slice, number, 56));
            kept.called(PackedInput::release(number));
        }
        kept.runs(0);
        assert!(kept.others.is_empty() && kept.blocks.is_empty());
    }
}
