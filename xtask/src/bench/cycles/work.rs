//! The graphs, and what is measured of them: the same for all.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};

use super::peers::Peer;
use crate::Result;

/// How the objects refer to each other. From the first all can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shape {
    /// A doubly linked ring.
    Ring,
    /// A binary tree whose nodes know their parents.
    Tree,
    /// A ring in which each knows two others, at random.
    Random,
}

impl Shape {
    pub(super) const ALL: [Self; 3] = [Self::Ring, Self::Tree, Self::Random];

    /// What object `at` of `many` refers to. (`work.py` says the same.)
    pub(super) fn links(self, at: usize, many: usize) -> [Option<usize>; 3] {
        let random = |salt: usize| {
            let mixed = (at.wrapping_mul(3) + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (mixed >> 20) % many
        };
        match self {
            Self::Ring => [Some((at + 1) % many), Some((at + many - 1) % many), None],
            Self::Tree => {
                let child = |which| Some(2 * at + which).filter(|&child| child < many);
                [child(1), child(2), at.checked_sub(1).map(|before| before / 2)]
            }
            Self::Random => [Some((at + 1) % many), Some(random(1)), Some(random(2))],
        }
    }
}

/// In which order the objects were made: as they refer to each other, or in any other one.
pub(super) fn order(many: usize, shuffled: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..many).collect();
    if shuffled {
        let mut state = 88_172_645_463_325_252_u64;
        for at in (1..many).rev() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            #[allow(clippy::cast_possible_truncation, reason = "a random number")]
            order.swap(at, state as usize % (at + 1));
        }
    }
    order
}

/// Nanoseconds that this process has had a processor.
fn processor_time() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Nanoseconds by object: of a second collection, in which all live, and of one in which all is garbage.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub(super) fn measure<P: Peer>(shape: Shape, many: usize, shuffled: bool) -> Result<[f64; 2]> {
    let heap = P::heap()?;
    let order = order(many, shuffled);
    let objects: Vec<P::Pointer> = (0..many as u64).map(|value| P::node(&heap, value)).collect();
    for at in 0..many {
        for (slot, link) in shape.links(at, many).into_iter().enumerate() {
            if let Some(link) = link {
                P::set(&objects[order[at]], slot, objects[order[link]].clone());
            }
        }
    }
    let root = objects[order[0]].clone();
    let some: Vec<_> = objects.iter().step_by(16).cloned().collect();
    drop((objects, order));
    P::collect(&heap);
    // What some collectors look at: objects that a reference was given up to.
    drop(some);
    let took = |what: &mut dyn FnMut()| {
        let start = processor_time();
        what();
        (processor_time() - start) as f64 / many as f64
    };
    let live = took(&mut || P::collect(&heap));
    let mut root = Some(black_box(root));
    let dead = took(&mut || {
        drop(root.take());
        P::collect(&heap);
    });
    Ok([live, dead])
}
