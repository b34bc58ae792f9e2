//! What decides when which objects are looked at.

mod generational;
mod manual;

pub use generational::{Choice, Generational, HeldBack};
pub use manual::{Manual, Never};

use cycles::Outcome;

use crate::counters::Counters;
use crate::generation::Generation;

/// Until when a policy need not be asked.
///
/// So an allocation costs a counter and a comparison, whatever the policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// It rings when an allocation has brought the [count](Counters::counts) of the youngest generation above this.
    pub young: u64,
    /// It rings when the heap has grown by more [bytes](Counters::bytes) than this.
    pub bytes: u64,
}

impl Alarm {
    /// It never rings.
    pub const NEVER: Self = Self { young: u64::MAX, bytes: u64::MAX };
}

/// Why a policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its alarm rang, now or before the safe point that has been reached now.
    Alarm,
    /// Somebody asked for this generation to be collected.
    Request(Generation),
    /// The program ends: everything is to be collected.
    Exit,
}

/// What is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The oldest generation of which something is looked at; those younger are, too. Statistics go by it.
    pub generation: Generation,
    /// How much of it.
    pub extent: Extent,
}

impl Plan {
    /// All of a generation, and of those younger.
    #[must_use]
    pub const fn whole(generation: Generation) -> Self {
        Self { generation, extent: Extent::Whole }
    }

    /// Whether everything that can be collected is looked at.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.generation == Generation::OLD && self.extent == Extent::Whole
    }
}

/// How much of a generation is looked at.
///
/// More will come: the incremental collectors (of 3.14.0 to 3.14.4, of PEP 848) look at the young ones and at some of the
/// old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extent {
    /// All of it.
    Whole,
}

/// Decides when which objects are looked at. How that is done is a collector's affair, and *whether* it may be done now (not
/// while disabled, not inside of another collection) is that of [`Generations`](crate::Generations).
///
/// ```
/// use generations::{Alarm, Counters, Generation, Plan, Policy, Why};
///
/// /// Collects everything whenever the heap has grown by a mebibyte.
/// struct Greedy;
///
/// impl Policy for Greedy {
///     fn alarm(&self) -> Alarm {
///         Alarm { bytes: 1 << 20, ..Alarm::NEVER }
///     }
///     fn plan(&mut self, _: &Counters, _: Why) -> Option<Plan> {
///         Some(Plan::whole(Generation::OLD))
///     }
/// }
/// ```
pub trait Policy {
    /// Until when it need not be asked. Read again after each of the other functions.
    fn alarm(&self) -> Alarm;

    /// What is to be looked at now; `None` if nothing.
    fn plan(&mut self, counters: &Counters, why: Why) -> Option<Plan>;

    /// The collection begins. Here counters change.
    fn begin(&mut self, plan: &Plan, counters: &mut Counters) {
        counters.begin(plan.generation);
    }

    /// It is known who is garbage: so many of the others are on the lists. Nothing of the program has run since
    /// [`begin`](Self::begin).
    fn found(&mut self, plan: &Plan, survivors: usize) {
        let _ = (plan, survivors);
    }

    /// The collection is over.
    fn finished(&mut self, plan: &Plan, outcome: &Outcome) {
        let _ = (plan, outcome);
    }
}

impl<P: Policy + ?Sized> Policy for &mut P {
    fn alarm(&self) -> Alarm {
        (**self).alarm()
    }

    fn plan(&mut self, counters: &Counters, why: Why) -> Option<Plan> {
        (**self).plan(counters, why)
    }

    fn begin(&mut self, plan: &Plan, counters: &mut Counters) {
        (**self).begin(plan, counters);
    }

    fn found(&mut self, plan: &Plan, survivors: usize) {
        (**self).found(plan, survivors);
    }

    fn finished(&mut self, plan: &Plan, outcome: &Outcome) {
        (**self).finished(plan, outcome);
    }
}

impl<P: Policy + ?Sized> Policy for alloc::boxed::Box<P> {
    fn alarm(&self) -> Alarm {
        (**self).alarm()
    }

    fn plan(&mut self, counters: &Counters, why: Why) -> Option<Plan> {
        (**self).plan(counters, why)
    }

    fn begin(&mut self, plan: &Plan, counters: &mut Counters) {
        (**self).begin(plan, counters);
    }

    fn found(&mut self, plan: &Plan, survivors: usize) {
        (**self).found(plan, survivors);
    }

    fn finished(&mut self, plan: &Plan, outcome: &Outcome) {
        (**self).finished(plan, outcome);
    }
}
