//! The graphs, and what is measured of them: the same for all.

use crate::Result;
use crate::bench::measure::{high_water_mark, memory, processor_time};

/// What the objects are, and how they refer to each other. From the first all can be reached. (`work.py` says the same.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shape {
    /// A ring of lists, each with the next one and one at random in it.
    Lists,
    /// Tuples of two earlier ones each; the first two of them of a list, which closes all circles.
    Tuples,
    /// A ring of instances that know one other at random.
    Instances,
    /// A doubly linked ring of instances.
    Linked,
    /// A binary tree of instances that know their parents.
    Tree,
    /// A ring of instances that know two others at random.
    Random,
}

impl Shape {
    pub(super) const ALL: [Self; 6] =
        [Self::Lists, Self::Tuples, Self::Instances, Self::Linked, Self::Tree, Self::Random];

    /// What object `at` of `many` refers to; of tuples, those above 0, with no order of their own if they are shuffled.
    pub(super) fn links(self, at: usize, many: usize, shuffled: bool) -> [Option<usize>; 3] {
        let random = |salt: usize, below: usize| {
            let mixed = (at.wrapping_mul(3) + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            (mixed >> 20) % below
        };
        let next = Some((at + 1) % many);
        match self {
            Self::Lists | Self::Instances => [next, Some(random(1, many)), None],
            Self::Tuples if shuffled => [Some(random(1, at)), Some(random(2, at)), None],
            Self::Tuples => [Some(at - 1), Some(at / 2), None],
            Self::Linked => [next, Some((at + many - 1) % many), None],
            Self::Tree => {
                let child = |which| Some(2 * at + which).filter(|&child| child < many);
                [child(1), child(2), at.checked_sub(1).map(|before| before / 2)]
            }
            Self::Random => [next, Some(random(1, many)), Some(random(2, many))],
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

/// Each how manieth object a reference is held to, and changed between the two collections.
pub(super) const SOME: usize = 16;

/// A graph in somebody's heap.
pub(super) trait Graph {
    /// Collects everything.
    fn collect(&mut self);

    /// Changes one reference of some objects, and gives up others to them: some collectors look at nothing else.
    fn change(&mut self);

    /// Gives up the only reference to it from outside.
    fn give_up(&mut self);

    /// How many objects are there still, if the heap knows.
    fn left(&self) -> Option<usize> {
        None
    }
}

/// What was measured of a graph.
pub(super) struct Timed {
    /// Nanoseconds by object of a second collection, in which all live.
    pub(super) live: f64,
    /// The same of one in which all is garbage, and freed.
    pub(super) dead: f64,
    /// How much memory was resident before, and at most meanwhile.
    pub(super) live_bytes: u64,
    pub(super) peak_bytes: u64,
}

/// Measures a graph that is made here.
///
/// # Errors
///
/// If part of it is there afterwards.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub(super) fn measure<G: Graph>(many: usize, make: impl Fn() -> Result<G>) -> Result<Timed> {
    let unknown = || "the kernel does not tell how much memory a process has".to_owned();
    let mut graph = make()?;
    graph.collect();
    graph.change();
    let live_bytes = memory("self", "VmRSS:").ok_or_else(unknown)?;
    // The high water mark begins anew.
    std::fs::write("/proc/self/clear_refs", "5").map_err(|error| error.to_string())?;
    let live = processor_time_of(|| graph.collect());
    let dead = processor_time_of(|| {
        graph.give_up();
        graph.collect();
    });
    let peak_bytes = high_water_mark("self").ok_or_else(unknown)?;
    let left = match graph.left() {
        Some(left) => left,
        None => left_of_another(&make)?,
    };
    if left > many / SOME {
        return Err(format!("{left} of {many} objects were left"));
    }
    Ok(Timed { live: live as f64 / many as f64, dead: dead as f64 / many as f64, live_bytes, peak_bytes })
}

/// About how many objects of another such graph are left: tables that have grown may be kept, but have grown already.
fn left_of_another<G: Graph>(make: impl Fn() -> Result<G>) -> Result<usize> {
    let before = allocated();
    let mut graph = make()?;
    graph.collect();
    graph.change();
    graph.give_up();
    graph.collect();
    Ok(allocated().saturating_sub(before) / OBJECT)
}

/// Bytes of an object at least.
const OBJECT: usize = 48;

/// Nanoseconds that something has taken.
fn processor_time_of(what: impl FnOnce()) -> i64 {
    let start = processor_time();
    what();
    processor_time() - start
}

/// How many bytes the C library's allocator has handed out.
fn allocated() -> usize {
    // SAFETY: it only tells of the allocator.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}
