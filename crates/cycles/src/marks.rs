//! Which nodes of a graph a search has visited.

use alloc::vec;
use alloc::vec::Vec;

use petgraph::visit::VisitMap;

/// Nodes of a graph that are marked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    words: Vec<u64>,
}

impl Marks {
    /// For nodes below `nodes`: none is marked.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self { words: vec![0; nodes.div_ceil(64)] }
    }

    /// Whether a node is marked. One that there is not is not.
    #[inline]
    #[must_use]
    pub fn is_marked(&self, node: u32) -> bool {
        self.words.get(node as usize / 64).is_some_and(|word| word >> (node % 64) & 1 == 1)
    }

    /// How many are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// Sets a mark, or takes it away. Whether that was news.
    fn set(&mut self, node: u32, mark: bool) -> bool {
        let bit = 1 << (node % 64);
        let word = &mut self.words[node as usize / 64];
        let was = *word & bit != 0;
        *word = if mark { *word | bit } else { *word & !bit };
        was != mark
    }
}

impl VisitMap<u32> for Marks {
    fn visit(&mut self, node: u32) -> bool {
        self.set(node, true)
    }

    fn is_visited(&self, node: &u32) -> bool {
        self.is_marked(*node)
    }

    fn unvisit(&mut self, node: u32) -> bool {
        self.set(node, false)
    }
}
