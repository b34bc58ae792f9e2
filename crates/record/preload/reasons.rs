//! Why a collection begins, and which generations it looks at, by what the collector goes by and by what is seen of how it begins.

use super::asked;
use super::attend;
use super::collector::{self, Collector};
use super::objects;
use super::producer::Producer;
use super::slot;

/// Why a collection begins, and what it looks at.
pub struct Beginning {
    /// The counts of the generations before it.
    pub counts: [i32; 3],
    /// Up to which generation it looks.
    pub oldest: usize,
    /// Whether the lists of the younger ones are behind that of the oldest one already.
    pub is_together: bool,
    /// See [`slot::AT_SAFE_POINT`].
    pub why: usize,
}

/// Whether a collection is due when the count of the youngest generation is this one.
fn is_due(collector: Collector, count: i32) -> bool {
    let threshold = collector.threshold(0);
    collector.enabled() != 0 && threshold != 0 && count > threshold
}

/// Whether an allocation that has made the count of the youngest generation this one has a collection run inside of it.
pub fn runs_inside(collector: Collector, count: i32) -> bool {
    is_due(collector, count) && collector::runs_inside() && asked::generation() == 0
}

/// How a collection begins, as far as that is seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Begins {
    /// Inside of an allocation that has made it due.
    Inside,
    /// In the way that it does elsewhere.
    Noticed,
    /// Without anything that would be seen before it looks at its objects.
    Unnoticed,
}

impl Begins {
    /// Inside of an allocation that has made the count of the youngest generation this one, or otherwise.
    pub fn inside_or(otherwise: Self, collector: Collector, count: i32) -> Self {
        if runs_inside(collector, count) { Self::Inside } else { otherwise }
    }
}

/// Why a collection begins.
pub fn why(producer: &Producer, begins: Begins) -> usize {
    if objects::ask_for_the_end(producer) {
        attend::set_ending();
    }
    match asked::generation() {
        0 if begins == Begins::Inside => slot::INSIDE,
        // Nobody is called back, as it would be at a safe point; where there are none, nothing else is left.
        0 if attend::is_ending() && (begins == Begins::Unnoticed || collector::runs_inside()) => slot::AT_END,
        // Who asks for it goes by another way than the program.
        0 if collector::runs_inside() => 3,
        asked => asked,
    }
}

/// Which generations are looked at, by what the collector says: up to this one. (If it turns out to be another, that is
/// known when the collection is over.)
pub fn oldest(collector: Collector, counts: [i32; 3]) -> usize {
    let asked = asked::generation();
    if asked > 0 {
        return asked - 1;
    }
    // An interpreter that ends collects all; meanwhile it collects what is due, as ever.
    if attend::is_ending() && !is_due(collector, counts[0]) {
        return 2;
    }
    let is_due = |generation: &usize| counts[*generation] > collector.threshold(*generation);
    let [total, pending] = collector.long_lived();
    let is_held_back = |generation: usize| generation == 2 && pending < total / 4;
    // Who collects though none is due collects all.
    (0..3).rev().filter(is_due).find(|generation| !is_held_back(*generation)).unwrap_or(2)
}
