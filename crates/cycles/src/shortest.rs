//! Shortest cycles, and how to read them.

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::view::Graph;

/// Searches for shortest cycles, of knot after knot, with a limit for all.
pub(crate) struct Search<'a> {
    graph: Graph<'a>,
    /// By node: its strongly connected component.
    part: &'a [u32],
    nodes: Vec<Node>,
    /// How many references may be looked at yet, beyond what each knot takes anyway.
    left: u64,
    round: u64,
    /// In the order in which they were reached, and how long a cycle is that is closed from there.
    queue: Vec<(u32, usize)>,
    /// To be taken out.
    out: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct Node {
    /// From where it was reached, and in which round.
    from: u32,
    round: u64,
    /// How many references to it and from it there are, in its component as far as it is there.
    to_it: u32,
    from_it: u32,
    /// Whether all cycles through it are known, or there are none.
    is_out: bool,
}

impl<'a> Search<'a> {
    pub(crate) fn new(graph: Graph<'a>, part: &'a [u32], limit: u64) -> Self {
        let nodes = vec![Node::default(); graph.len()];
        Self { graph, part, nodes, left: limit, round: 0, queue: Vec::new(), out: Vec::new() }
    }

    /// A shortest cycle among these nodes, which are all of a strongly connected component. If the limit is reached it is
    /// the shortest of those seen so far, and `false` is said of it.
    pub(crate) fn shortest(&mut self, members: &[u32]) -> (Vec<u32>, bool) {
        let to_itself = members.iter().find(|&member| self.graph.referents(*member).contains(member));
        if let Some(&member) = to_itself {
            return (vec![member], true);
        }
        for &member in members {
            for &referent in self.graph.referents(member) {
                if self.part[referent as usize] == self.part[member as usize] {
                    self.nodes[member as usize].from_it += 1;
                    self.nodes[referent as usize].to_it += 1;
                }
            }
        }
        let mut best = Vec::new();
        for (at, &first) in members.iter().enumerate() {
            // None is shorter than two.
            if best.len() == 2 {
                break;
            }
            if self.nodes[first as usize].is_out {
                continue;
            }
            // The first round finds one for certain.
            match self.through(first, if at == 0 { usize::MAX } else { best.len() }, at > 0) {
                Some(cycle) if !cycle.is_empty() => best = cycle,
                Some(_) => {}
                None => return (best, false),
            }
            self.take_out(first);
        }
        (best, true)
    }

    /// A shortest cycle through a node that is shorter than `below`; empty if there is none, `None` if the limit is
    /// reached.
    fn through(&mut self, first: u32, below: usize, counts: bool) -> Option<Vec<u32>> {
        self.round += 1;
        self.queue.clear();
        self.queue.push((first, 1));
        let mut next = 0;
        while let Some(&(node, length)) = self.queue.get(next) {
            next += 1;
            if length >= below {
                break;
            }
            for &referent in self.graph.referents(node) {
                if counts {
                    self.left = self.left.checked_sub(1)?;
                }
                if referent == first {
                    return Some(self.back(node, length));
                }
                let there = &mut self.nodes[referent as usize];
                if self.part[referent as usize] == self.part[first as usize]
                    && !there.is_out
                    && there.round != self.round
                {
                    (there.from, there.round) = (node, self.round);
                    self.queue.push((referent, length + 1));
                }
            }
        }
        Some(Vec::new())
    }

    /// Takes a node out of its component, and all that are in no cycle after that. Linear in the references of those, of which
    /// none is taken out twice.
    fn take_out(&mut self, node: u32) {
        self.nodes[node as usize].is_out = true;
        self.out.push(node);
        while let Some(node) = self.out.pop() {
            let part = self.part[node as usize];
            for (all, is_referent) in
                [(self.graph.referents(node), true), (self.graph.referrers(node), false)]
            {
                for &other in all.iter().filter(|&&other| self.part[other as usize] == part) {
                    let there = &mut self.nodes[other as usize];
                    let left = if is_referent { &mut there.to_it } else { &mut there.from_it };
                    *left -= 1;
                    if *left == 0 && !there.is_out {
                        there.is_out = true;
                        self.out.push(other);
                    }
                }
            }
        }
    }

    /// The way to a node.
    fn back(&self, mut node: u32, length: usize) -> Vec<u32> {
        let mut cycle = Vec::with_capacity(length);
        for _ in 0..length {
            cycle.push(node);
            node = self.nodes[node as usize].from;
        }
        cycle.reverse();
        cycle
    }
}

/// By how much a sequence is to be turned to the left to become the least of all its turns. O(length).
pub(crate) fn least_rotation<K: Ord>(of: &[K]) -> usize {
    let many = of.len();
    // Two that may be it, and how far they are the same. Where they differ the greater one is not it, and none is
    // that begins inside of what was the same of it.
    let (mut one, mut other, mut same) = (0, 1, 0);
    while one < many && other < many && same < many {
        let order = of[(one + same) % many].cmp(&of[(other + same) % many]);
        match order {
            Ordering::Equal => {
                same += 1;
                continue;
            }
            Ordering::Less => other += same + 1,
            Ordering::Greater => one += same + 1,
        }
        if one == other {
            other += 1;
        }
        same = 0;
    }
    one.min(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_all_turns() {
        // All sequences of up to 6 of 3 letters.
        for length in 0..=6_u32 {
            for code in 0..3_u32.pow(length) {
                let of: Vec<_> = (0..length).map(|at| code / 3_u32.pow(at) % 3).collect();
                let turned = |turn: usize| {
                    let mut of = of.clone();
                    of.rotate_left(turn);
                    of
                };
                let least = (0..of.len()).map(turned).min().unwrap_or_default();
                assert_eq!(turned(least_rotation(&of)), least, "{of:?}");
            }
        }
    }
}
