//! What is measured: the same for all pointers.

use std::hint::black_box;

use super::peers::Peer;
use crate::Result;
use crate::bench::measure::processor_time;

/// How often a work is done in one process. The first pass has the page faults.
pub(super) const PASSES: usize = 5;

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Work {
    /// Clone a pointer out of a node of a graph, drop the one that led there.
    Walk,
    /// Allocate a node and drop it.
    Pair,
    /// Allocate a million nodes, then drop them.
    Batch,
    /// Put new nodes in random places of a table with 4096, dropping what was there.
    Mixed,
    /// Build binary trees of 131,071 nodes and drop them.
    Trees,
    /// Build a list of ten million nodes and drop it.
    List,
}

impl Work {
    pub(super) const ALL: [Self; 6] =
        [Self::Walk, Self::Pair, Self::Batch, Self::Mixed, Self::Trees, Self::List];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::Pair => "pair",
            Self::Batch => "batch",
            Self::Mixed => "mixed",
            Self::Trees => "trees",
            Self::List => "list",
        }
    }

    /// Does it. Nanoseconds by operation (a step; an allocation and its drop) in each pass. What it allocates it frees.
    ///
    /// In the end, while there still is a heap, `then` is called.
    pub(super) fn measure<P: Peer, R>(self, then: impl FnOnce() -> R) -> Result<([f64; PASSES], R)> {
        let heap = P::heap()?;
        let times = match self {
            Self::Walk => walk::<P>(&heap),
            Self::Pair => passes(PAIRS, || pair::<P>(&heap)),
            Self::Batch => batch::<P>(&heap),
            Self::Mixed => mixed::<P>(&heap),
            Self::Trees => passes(4 << 17, || {
                for _ in 0..4 {
                    drop(black_box(tree::<P>(&heap, 16)));
                }
                P::collect();
            }),
            Self::List => passes(10_000_000, || list::<P>(&heap)),
        };
        Ok((times, then()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
fn passes(operations: u64, mut pass: impl FnMut()) -> [f64; PASSES] {
    std::array::from_fn(|_| {
        let start = processor_time();
        pass();
        (processor_time() - start) as f64 / operations as f64
    })
}

const PAIRS: u64 = 2_000_000;

/// Marsaglia's xorshift: the same numbers for all.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        #[allow(clippy::cast_possible_truncation, reason = "the remainder is below `end`")]
        let below = (self.next() % end as u64) as usize;
        below
    }
}

const SEED: Random = Random(0x9E37_79B9_7F4A_7C15);

#[inline(never)]
fn walk<P: Peer>(heap: &P::Heap) -> [f64; PASSES] {
    const NODES: usize = 8192;
    const STEPS: u64 = 4_000_000;
    let mut random = SEED;
    let mut nodes: Vec<P::Pointer> = Vec::with_capacity(NODES);
    for value in 0..NODES {
        let child = (value > 0).then(|| nodes[random.below(value)].clone());
        let other = (value > 0).then(|| nodes[random.below(value)].clone());
        nodes.push(P::node(heap, value as u64, child, other));
    }
    let start = nodes[NODES - 1].clone();
    let result = passes(STEPS, || {
        let mut random = SEED;
        let mut at = start.clone();
        let mut sum = 0_u64;
        let mut bits = 0;
        for step in 0..STEPS {
            if step % 64 == 0 {
                bits = random.next();
            }
            let (value, left, right) = P::parts(&at);
            sum = sum.wrapping_add(value);
            let next = if bits & 1 == 0 { left } else { right };
            bits >>= 1;
            let next = next.unwrap_or(&start).clone();
            at = black_box(next);
        }
        black_box(sum);
        drop(at);
        P::collect();
    });
    drop((start, nodes));
    P::collect();
    result
}

#[inline(never)]
fn pair<P: Peer>(heap: &P::Heap) {
    for value in 0..PAIRS {
        drop(black_box(P::node(heap, value, None, None)));
    }
    P::collect();
}

#[inline(never)]
fn batch<P: Peer>(heap: &P::Heap) -> [f64; PASSES] {
    let mut nodes: Vec<P::Pointer> = Vec::with_capacity(1_000_000);
    passes(1_000_000, || {
        for value in 0..1_000_000 {
            nodes.push(P::node(heap, value, None, None));
        }
        black_box(&nodes);
        nodes.clear();
        P::collect();
    })
}

#[inline(never)]
fn mixed<P: Peer>(heap: &P::Heap) -> [f64; PASSES] {
    const SLOTS: usize = 4096;
    let mut random = SEED;
    let mut slots: Vec<P::Pointer> =
        (0..SLOTS).map(|value| P::node(heap, value as u64, None, None)).collect();
    let result = passes(2_000_000, || {
        for value in 0..2_000_000 {
            slots[random.below(SLOTS)] = P::node(heap, value, None, None);
        }
        P::collect();
    });
    drop(slots);
    P::collect();
    result
}

fn tree<P: Peer>(heap: &P::Heap, depth: u64) -> P::Pointer {
    if depth == 0 {
        return P::node(heap, 0, None, None);
    }
    let (left, right) = (tree::<P>(heap, depth - 1), tree::<P>(heap, depth - 1));
    P::node(heap, depth, Some(left), Some(right))
}

#[inline(never)]
fn list<P: Peer>(heap: &P::Heap) {
    let mut head = None;
    for value in 0..10_000_000 {
        head = Some(P::node(heap, value, head, None));
    }
    drop(black_box(head));
    P::collect();
}
