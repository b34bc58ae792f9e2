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
    /// How many references may be looked at yet, beyond what each knot takes anyway.
    left: u64,
    /// By node: from where it was reached, and in which round.
    from: Vec<(u32, u64)>,
    round: u64,
    /// In the order in which they were reached, and how far away.
    queue: Vec<(u32, usize)>,
}

impl<'a> Search<'a> {
    pub(crate) fn new(graph: Graph<'a>, part: &'a [u32], limit: u64) -> Self {
        let from = vec![(0, 0); graph.len()];
        Self { graph, part, left: limit, from, round: 0, queue: Vec::new() }
    }

    /// A shortest cycle among these nodes, each of which can be reached from each, and which are sorted. If the limit is
    /// reached it is the shortest of those seen so far, and `false` is said of it.
    pub(crate) fn shortest(&mut self, members: &[u32]) -> (Vec<u32>, bool) {
        let to_itself = members.iter().find(|&member| self.graph.referents(*member).contains(member));
        if let Some(&member) = to_itself {
            return (vec![member], true);
        }
        let mut best = Vec::new();
        for (at, &first) in members.iter().enumerate() {
            // None is shorter than two.
            if best.len() == 2 {
                break;
            }
            // The first round finds one for certain. Cycles through earlier nodes are not looked for again.
            match self.through(first, if at == 0 { usize::MAX } else { best.len() }, at > 0) {
                Some(cycle) if !cycle.is_empty() => best = cycle,
                Some(_) => {}
                None => return (best, false),
            }
        }
        (best, true)
    }

    /// A shortest cycle through a node and others behind it that is shorter than `below`; empty if there is none, `None`
    /// if the limit is reached.
    fn through(&mut self, first: u32, below: usize, counts: bool) -> Option<Vec<u32>> {
        self.round += 1;
        self.queue.clear();
        self.queue.push((first, 1));
        let mut next = 0;
        while let Some(&(node, length)) = self.queue.get(next) {
            next += 1;
            // Whoever closes a cycle from here closes one of this length.
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
                let from = &mut self.from[referent as usize];
                if referent > first
                    && self.part[referent as usize] == self.part[first as usize]
                    && from.1 != self.round
                {
                    *from = (node, self.round);
                    self.queue.push((referent, length + 1));
                }
            }
        }
        Some(Vec::new())
    }

    /// The way to a node.
    fn back(&self, mut node: u32, length: usize) -> Vec<u32> {
        let mut cycle = Vec::with_capacity(length);
        for _ in 0..length {
            cycle.push(node);
            node = self.from[node as usize].0;
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
