//! What garbage is made of: knots of cycles, and what hangs off them.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

use bumpalo::Bump;
use petgraph::algo::{dominators, kosaraju_scc};

use crate::shortest::{Search, least_rotation};
use crate::view::Graph;

/// How much an [`anatomy`] may cost beyond what is linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many references may be looked at to find cycles that are shorter than the first one of a knot, in all
    /// knots together. (To be sure takes up to nodes × references of a knot.)
    pub references: u64,
    /// Of how many knots and other objects dominators are computed at most. (That takes up to the square of it.)
    pub dominated: usize,
}

impl Default for Limits {
    /// Both within a second or so: 20 million references; 20,000 knots and other objects.
    fn default() -> Self {
        Self { references: 20_000_000, dominated: 20_000 }
    }
}

/// What garbage is made of. All numbers are those of the nodes of a [`Graph`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anatomy<K> {
    /// By their first members.
    pub knots: Vec<Knot<K>>,
    /// Nodes in no cycle that cannot be reached from any. Among garbage there are none, if its objects tell of the
    /// references that they own, no more and no less.
    pub strays: Vec<u32>,
    /// Whether it is known what is retained: if not, there were more knots and other objects than the
    /// [limit](Limits::dominated).
    pub is_dominated: bool,
}

/// Objects each of which can be reached from each other: a strongly connected component with a cycle in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knot<K> {
    /// Its objects, in order.
    pub members: Vec<u32>,
    /// A shortest cycle in it: each refers to the next one, and the last to the first. Where it begins is told by
    /// the signature.
    pub cycle: Vec<u32>,
    /// What the caller says of each object of the cycle, turned so that it is the least of all turns: cycles that are the same
    /// but for where one begins to read have the same signature.
    pub signature: Vec<K>,
    /// Whether it is known that no cycle in it is shorter: if not, the [limit](Limits::references) was reached.
    pub is_shortest: bool,
    /// The reference of the cycle that closed it, as far as the order of the nodes tells who is how old: the one to
    /// its last object, without which there was no cycle, whenever the others were made.
    pub closing: (u32, u32),
    /// The objects in no cycle that hang off this knot, in the order of how far. One that can be reached from several knots
    /// hangs off the nearest, and of these off the first.
    pub hanging: Vec<u32>,
    /// What the caller says of the sizes of its members, in sum.
    pub size: u64,
    /// Their size and that of all that is reached through them only, other knots included: had all this leaked, so much
    /// less would have without this knot. `None` if there was too much to look at.
    pub retained: Option<u64>,
}

/// Takes garbage to pieces: who is in a cycle with whom, by which reference, and what hangs off that.
///
/// `kind` says what is the same in cycles that are of the same kind, the type of an object for example; it is asked
/// about the objects of one cycle by knot. `size` is asked once about each.
///
/// O(nodes × log nodes + edges) time, without recursion, and what the limits allow for.
///
/// ```
/// use bumpalo::Bump;
/// use cycles::{Graph, Limits, anatomy};
///
/// // A tree whose nodes know their parents, a cache off it, and a list that is in itself.
/// let types = ["Node", "Node", "dict", "Node", "list"];
/// let scratch = Bump::new();
/// let graph = Graph::from_edges(5, &[(0, 1), (1, 0), (1, 2), (0, 3), (3, 0), (4, 4)], &scratch);
/// let anatomy = anatomy(graph, |at| types[at as usize], |_| 64, Limits::default(), &scratch);
///
/// let [tree, list] = &anatomy.knots[..] else { panic!("there are two knots") };
/// assert_eq!(tree.members, [0, 1, 3]);
/// assert_eq!(tree.signature, ["Node", "Node"]);
/// assert_eq!(tree.closing, (0, 1));
/// assert_eq!(tree.hanging, [2]);
/// assert_eq!(tree.retained, Some(4 * 64));
/// assert_eq!(list.signature, ["list"]);
/// ```
pub fn anatomy<K: Ord>(
    graph: Graph<'_>,
    mut kind: impl FnMut(u32) -> K,
    mut size: impl FnMut(u32) -> u64,
    limits: Limits,
    scratch: &Bump,
) -> Anatomy<K> {
    let parts = Parts::new(graph);
    let mut search = Search::new(graph, &parts.part, limits.references);
    let mut knots: Vec<_> = parts
        .knots
        .iter()
        .map(|&part| {
            let members = parts.members[part as usize].clone();
            let (mut cycle, is_shortest) = search.shortest(&members);
            let closing = closing(&cycle);
            let mut signature: Vec<_> = cycle.iter().map(|&node| kind(node)).collect();
            let turn = least_rotation(&signature);
            signature.rotate_left(turn);
            cycle.rotate_left(turn);
            let (hanging, size, retained) = (Vec::new(), 0, None);
            Knot { members, cycle, signature, is_shortest, closing, hanging, size, retained }
        })
        .collect();
    let strays = hang(graph, &parts, &mut knots);
    let mut sizes = vec![0; parts.members.len()];
    for (size_of, members) in sizes.iter_mut().zip(&parts.members) {
        *size_of = members.iter().map(|&member| size(member)).sum();
    }
    for (knot, &part) in knots.iter_mut().zip(&parts.knots) {
        knot.size = sizes[part as usize];
    }
    let is_dominated = parts.members.len() <= limits.dominated;
    if is_dominated {
        retain(graph, &parts, &mut sizes, scratch);
        for (knot, &part) in knots.iter_mut().zip(&parts.knots) {
            knot.retained = Some(sizes[part as usize]);
        }
    }
    Anatomy { knots, strays, is_dominated }
}

/// Strongly connected components, with or without cycles.
struct Parts {
    /// By part: its nodes, in order. A part comes before those that refer to it.
    members: Vec<Vec<u32>>,
    /// By node: its part.
    part: Vec<u32>,
    /// The parts with cycles, by their first members.
    knots: Vec<u32>,
}

impl Parts {
    fn new(graph: Graph<'_>) -> Self {
        let mut members = kosaraju_scc(graph);
        let mut part = vec![0; graph.len()];
        let mut knots = Vec::new();
        for (at, members) in (0_u32..).zip(&mut members) {
            members.sort_unstable();
            for &member in &*members {
                part[member as usize] = at;
            }
            if members.len() > 1 || graph.referents(members[0]).contains(&members[0]) {
                knots.push(at);
            }
        }
        knots.sort_unstable_by_key(|&knot| members[knot as usize][0]);
        Self { members, part, knots }
    }
}

/// The reference to the last object of a cycle.
fn closing(cycle: &[u32]) -> (u32, u32) {
    let (at, &last) = cycle.iter().enumerate().max_by_key(|&(_, &node)| node).expect("a cycle has an object");
    let before = if at == 0 { cycle.len() - 1 } else { at - 1 };
    (cycle[before], last)
}

/// Hangs all that is in no cycle off the knots, nearest first; who cannot be reached from any.
fn hang<K>(graph: Graph<'_>, parts: &Parts, knots: &mut [Knot<K>]) -> Vec<u32> {
    const NOBODY: u32 = u32::MAX;
    let mut knot_of = vec![NOBODY; graph.len()];
    let mut queue = VecDeque::new();
    for (at, &part) in (0_u32..).zip(&parts.knots) {
        for &member in &parts.members[part as usize] {
            knot_of[member as usize] = at;
            queue.push_back(member);
        }
    }
    while let Some(node) = queue.pop_front() {
        let knot = knot_of[node as usize];
        for &referent in graph.referents(node) {
            if knot_of[referent as usize] == NOBODY {
                knot_of[referent as usize] = knot;
                knots[knot as usize].hanging.push(referent);
                queue.push_back(referent);
            }
        }
    }
    (0_u32..).zip(&knot_of).filter(|&(_, &knot)| knot == NOBODY).map(|(node, _)| node).collect()
}

/// Adds to the size of each part that of all that can be reached through it only.
fn retain(graph: Graph<'_>, parts: &Parts, sizes: &mut [u64], scratch: &Bump) {
    let many = u32::try_from(sizes.len()).expect("not more than there are nodes");
    let mut edges = Vec::new();
    for (part, members) in (0_u32..).zip(&parts.members) {
        let all = members.iter().flat_map(|&member| graph.referrers(member));
        let before = edges.len();
        edges.extend(
            all.map(|&referrer| (parts.part[referrer as usize], part)).filter(|&(from, to)| from != to),
        );
        if edges.len() == before {
            // Nobody else holds it: the root of all does.
            edges.push((many, part));
        }
    }
    let condensed = Graph::from_edges(many + 1, &edges, scratch);
    let dominators = dominators::simple_fast(condensed, many);
    // Those come first that others hold.
    for part in 0..many {
        if let Some(holder) = dominators.immediate_dominator(part).filter(|&holder| holder != many) {
            sizes[holder as usize] += sizes[part as usize];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nodes: u32, edges: &[(u32, u32)], limits: Limits) -> Anatomy<u32> {
        let scratch = Bump::new();
        let graph = Graph::from_edges(nodes, edges, &scratch);
        anatomy(graph, |node| node % 10, |node| 1 << node, limits, &scratch)
    }

    #[test]
    fn a_cycle_reads_the_same_from_wherever() {
        let one = of(3, &[(0, 1), (1, 2), (2, 0)], Limits::default());
        assert_eq!(one.knots[0].cycle, [0, 1, 2]);
        assert_eq!(one.knots[0].signature, [0, 1, 2]);
        // 11 is of kind 1, 10 of kind 0, 12 of kind 2.
        let edges = [(11, 12), (12, 10), (10, 11)];
        let other = of(13, &edges, Limits::default());
        assert_eq!(other.knots[0].cycle, [10, 11, 12]);
        assert_eq!(other.knots[0].signature, one.knots[0].signature);
        assert_eq!(other.knots[0].closing, (11, 12));
        assert_eq!(other.strays, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn what_hangs_off_two_knots_hangs_off_the_nearer_and_is_retained_by_neither() {
        let edges = [(0, 0), (1, 1), (0, 2), (2, 3), (1, 3), (3, 4), (0, 5), (1, 5)];
        let anatomy = of(6, &edges, Limits::default());
        assert_eq!(anatomy.knots[0].hanging, [2, 5]);
        assert_eq!(anatomy.knots[1].hanging, [3, 4]);
        assert_eq!(anatomy.knots[0].retained, Some(0b101));
        assert_eq!(anatomy.knots[1].retained, Some(0b10));
        assert!(anatomy.strays.is_empty());
    }

    #[test]
    fn what_limits_cut_off_is_told() {
        // Of eight in a circle, the last two refer to each other.
        let mut edges: Vec<_> = (0..8).map(|node| (node, (node + 1) % 8)).collect();
        edges.push((7, 6));
        let all = of(8, &edges, Limits::default());
        assert_eq!((&all.knots[0].cycle[..], all.knots[0].is_shortest), (&[6, 7][..], true));
        assert_eq!(all.knots[0].retained, Some(255));
        let less = of(8, &edges, Limits { references: 0, dominated: 0 });
        assert_eq!(less.knots[0].cycle.len(), 8);
        assert!(!less.knots[0].is_shortest && !less.is_dominated);
        assert_eq!((less.knots[0].size, less.knots[0].retained), (255, None));
    }

    #[test]
    fn no_garbage() {
        let none = of(0, &[], Limits::default());
        assert_eq!(none, Anatomy { knots: Vec::new(), strays: Vec::new(), is_dominated: true });
    }
}
