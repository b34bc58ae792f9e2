//! The graph of a collection as petgraph sees it.

use core::iter::{Copied, Enumerate};
use core::ops::Range;
use core::slice;

use bumpalo::Bump;
use petgraph::visit::{
    Data, Dfs, EdgeCount, EdgeRef, GraphBase, GraphProp, GraphRef, IntoEdgeReferences, IntoNeighbors,
    IntoNeighborsDirected, IntoNodeIdentifiers, NodeCompactIndexable, NodeCount, NodeIndexable, Visitable,
};
use petgraph::{Directed, Direction};

use crate::marks::Marks;
use crate::snapshot::Snapshot;

/// The objects of a [`Snapshot`], or some of them, and the references among these: for the algorithms of
/// [petgraph](petgraph::algo), and forwards and backwards.
///
/// Its nodes are the numbers from 0 on, in the order in which they were chosen; [`number`](Self::number) says which
/// object of the snapshot each is. An object that owns several references to another one has as many
/// edges to it.
///
/// ```
/// use bumpalo::Bump;
/// use cycles::Graph;
/// use petgraph::algo::{is_cyclic_directed, toposort};
///
/// let scratch = Bump::new();
/// let graph = Graph::from_edges(4, &[(0, 1), (1, 2), (2, 0), (2, 3)], &scratch);
/// assert!(is_cyclic_directed(graph));
///
/// let rest = Graph::from_edges(3, &[(2, 0), (0, 1)], &scratch);
/// assert_eq!(toposort(rest, None).unwrap(), [2, 0, 1]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Graph<'s> {
    numbers: &'s [u32],
    /// Where the references of each begin, and where all end.
    starts: &'s [u32],
    referents: &'s [u32],
    back_starts: &'s [u32],
    referrers: &'s [u32],
}

impl<'s> Graph<'s> {
    /// All objects of a snapshot.
    ///
    /// O(objects + references) time, of `scratch` three words by object and one by reference.
    #[must_use]
    pub fn of<I: Copy + Eq>(snapshot: &Snapshot<'s, I>, scratch: &'s Bump) -> Self {
        let (starts, referents) = snapshot.edges();
        let numbers = scratch.alloc_slice_fill_with(snapshot.objects().len(), |at| {
            #[allow(clippy::cast_possible_truncation, reason = "below the number of objects")]
            let at = at as u32;
            at
        });
        Self::with_backward(numbers, starts, referents, scratch)
    }

    /// Those objects of a snapshot that have these numbers, in this order; what is named again is left out.
    ///
    /// O(objects of the snapshot + references of those chosen).
    ///
    /// ```
    /// # use bumpalo::Bump;
    /// # use cycles::{Graph, Partition, Snapshot};
    /// /// The garbage that a collection has found.
    /// fn garbage<'s>(snapshot: &Snapshot<'s, usize>, partition: &Partition<'s>, scratch: &'s Bump) -> Graph<'s> {
    ///     Graph::among(snapshot, partition.unreachable(), scratch)
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the snapshot has no object of one of the numbers.
    #[must_use]
    pub fn among<I: Copy + Eq>(
        snapshot: &Snapshot<'s, I>,
        numbers: impl IntoIterator<Item = u32>,
        scratch: &'s Bump,
    ) -> Self {
        const NONE: u32 = u32::MAX;
        let nodes = scratch.alloc_slice_fill_copy(snapshot.objects().len(), NONE);
        let mut chosen = bumpalo::collections::Vec::new_in(scratch);
        for number in numbers {
            let node = &mut nodes[number as usize];
            if *node == NONE {
                *node = length(chosen.len());
                chosen.push(number);
            }
        }
        let mut starts = bumpalo::collections::Vec::with_capacity_in(chosen.len() + 1, scratch);
        let mut referents = bumpalo::collections::Vec::new_in(scratch);
        starts.push(0);
        for &number in &chosen {
            let all = snapshot.referents(number).iter().map(|&referent| nodes[referent as usize]);
            referents.extend(all.filter(|&node| node != NONE));
            starts.push(length(referents.len()));
        }
        Self::with_backward(
            chosen.into_bump_slice(),
            starts.into_bump_slice(),
            referents.into_bump_slice(),
            scratch,
        )
    }

    /// A graph of so many nodes with these edges; those of one node in this order.
    ///
    /// O(nodes + edges).
    ///
    /// # Panics
    ///
    /// If there is no node of one of the numbers, or 2³² edges or more.
    #[must_use]
    pub fn from_edges(nodes: u32, edges: &[(u32, u32)], scratch: &'s Bump) -> Self {
        let exist = edges.iter().all(|&(source, target)| source < nodes && target < nodes);
        assert!(exist, "an edge is between nodes that there are");
        let numbers = scratch.alloc_slice_fill_iter(0..nodes);
        let (starts, referents) = sorted(numbers.len(), edges.iter().copied(), scratch);
        Self::with_backward(numbers, starts, referents, scratch)
    }

    fn with_backward(numbers: &'s [u32], starts: &'s [u32], referents: &'s [u32], scratch: &'s Bump) -> Self {
        let forward = Self { numbers, starts, referents, back_starts: &[], referrers: &[] };
        let backward = forward.edge_references().map(|edge| (edge.target, edge.source));
        let (back_starts, referrers) = sorted(numbers.len(), backward, scratch);
        Self { back_starts, referrers, ..forward }
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(self) -> usize {
        self.numbers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.numbers.is_empty()
    }

    /// Which object of the snapshot a node is.
    ///
    /// # Panics
    ///
    /// If there is no such node; so do the others.
    #[must_use]
    pub fn number(self, node: u32) -> u32 {
        self.numbers[node as usize]
    }

    /// To which nodes a node refers, once by reference, as it was traversed.
    #[inline]
    #[must_use]
    pub fn referents(self, node: u32) -> &'s [u32] {
        part(self.starts, self.referents, node)
    }

    /// Which nodes refer to a node, once by reference, in the order of the nodes.
    #[inline]
    #[must_use]
    pub fn referrers(self, node: u32) -> &'s [u32] {
        part(self.back_starts, self.referrers, node)
    }

    /// All that can be reached from some nodes, these included, as petgraph's depth-first search finds it.
    ///
    /// O(nodes + edges).
    #[must_use]
    pub fn reachable(self, from: impl IntoIterator<Item = u32>) -> Marks {
        let mut search = Dfs::from_parts(from.into_iter().collect(), self.visit_map());
        while search.next(self).is_some() {}
        search.discovered
    }
}

/// A second opinion on who is reachable, by petgraph, from those referred to from outside: what it does not mark is
/// what [`Snapshot::partition`] has to call garbage.
///
/// O(objects + references).
#[must_use]
pub fn second_opinion<'s, I: Copy + Eq>(snapshot: &Snapshot<'s, I>, scratch: &'s Bump) -> Marks {
    let graph = Graph::of(snapshot, scratch);
    graph.reachable(graph.node_identifiers().filter(|&at| snapshot.outside(at) != Some(0)))
}

fn part<'s>(starts: &[u32], all: &'s [u32], node: u32) -> &'s [u32] {
    let node = node as usize;
    &all[starts[node] as usize..starts[node + 1] as usize]
}

fn length(length: usize) -> u32 {
    u32::try_from(length).expect("not more than 2³² of them")
}

/// Edges as compact arrays: sorted by source, else in the order given.
fn sorted(nodes: usize, edges: impl Iterator<Item = (u32, u32)> + Clone, scratch: &Bump) -> (&[u32], &[u32]) {
    let starts = scratch.alloc_slice_fill_copy(nodes + 1, 0_u32);
    let mut many = 0_usize;
    for (source, _) in edges.clone() {
        starts[source as usize] += 1;
        many += 1;
    }
    length(many);
    // Where those of the one before end; with each that is put in, one further: in the end, where its own do.
    let mut begin = 0;
    for start in starts.iter_mut() {
        begin += core::mem::replace(start, begin);
    }
    let targets = scratch.alloc_slice_fill_copy(many, 0_u32);
    for (source, target) in edges {
        let next = &mut starts[source as usize];
        targets[*next as usize] = target;
        *next += 1;
    }
    starts.rotate_right(1);
    starts[0] = 0;
    (starts, targets)
}

/// One reference: an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Whose it is.
    pub source: u32,
    /// To whom.
    pub target: u32,
    /// Its number.
    pub id: u32,
}

impl EdgeRef for Reference {
    type NodeId = u32;
    type EdgeId = u32;
    type Weight = ();

    fn source(&self) -> u32 {
        self.source
    }

    fn target(&self) -> u32 {
        self.target
    }

    fn weight(&self) -> &() {
        &()
    }

    fn id(&self) -> u32 {
        self.id
    }
}

/// All references of a graph, by source.
#[derive(Clone, Debug)]
pub struct References<'s> {
    starts: &'s [u32],
    source: u32,
    targets: Enumerate<Copied<slice::Iter<'s, u32>>>,
}

impl Iterator for References<'_> {
    type Item = Reference;

    fn next(&mut self) -> Option<Reference> {
        let (id, target) = self.targets.next()?;
        let id = length(id);
        while self.starts[self.source as usize + 1] <= id {
            self.source += 1;
        }
        Some(Reference { source: self.source, target, id })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.targets.size_hint()
    }
}

impl GraphBase for Graph<'_> {
    type NodeId = u32;
    type EdgeId = u32;
}

impl GraphRef for Graph<'_> {}

impl GraphProp for Graph<'_> {
    type EdgeType = Directed;
}

impl Data for Graph<'_> {
    type NodeWeight = ();
    type EdgeWeight = ();
}

impl NodeCount for Graph<'_> {
    fn node_count(&self) -> usize {
        self.len()
    }
}

impl EdgeCount for Graph<'_> {
    fn edge_count(&self) -> usize {
        self.referents.len()
    }
}

impl NodeIndexable for Graph<'_> {
    fn node_bound(&self) -> usize {
        self.len()
    }

    fn to_index(&self, node: u32) -> usize {
        node as usize
    }

    fn from_index(&self, index: usize) -> u32 {
        length(index)
    }
}

impl NodeCompactIndexable for Graph<'_> {}

impl Visitable for Graph<'_> {
    type Map = Marks;

    fn visit_map(&self) -> Marks {
        Marks::new(self.len())
    }

    fn reset_map(&self, map: &mut Marks) {
        *map = self.visit_map();
    }
}

impl IntoNodeIdentifiers for Graph<'_> {
    type NodeIdentifiers = Range<u32>;

    fn node_identifiers(self) -> Range<u32> {
        0..length(self.len())
    }
}

impl<'s> IntoNeighbors for Graph<'s> {
    type Neighbors = Copied<slice::Iter<'s, u32>>;

    fn neighbors(self, node: u32) -> Self::Neighbors {
        self.referents(node).iter().copied()
    }
}

impl<'s> IntoNeighborsDirected for Graph<'s> {
    type NeighborsDirected = Copied<slice::Iter<'s, u32>>;

    fn neighbors_directed(self, node: u32, direction: Direction) -> Self::NeighborsDirected {
        let all = match direction {
            Direction::Outgoing => self.referents(node),
            Direction::Incoming => self.referrers(node),
        };
        all.iter().copied()
    }
}

impl<'s> IntoEdgeReferences for Graph<'s> {
    type EdgeRef = Reference;
    type EdgeReferences = References<'s>;

    fn edge_references(self) -> References<'s> {
        References { starts: self.starts, source: 0, targets: self.referents.iter().copied().enumerate() }
    }
}
