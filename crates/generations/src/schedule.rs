//! [`Generations`]: when a collection may begin, and of what.

use alloc::vec::Vec;

use cycles::{Containers, Outcome, append};

use crate::counters::{Counters, Stats};
use crate::generation::{Generation, PERMANENT};
use crate::policy::{Alarm, Generational, Plan, Policy, Why};
use crate::rules::{Arms, Request, Rules, Runs};
use crate::run::Started;

/// A thread of the program, by whichever number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thread(pub u64);

/// A collection is due, and waits for a safe point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// Whose safe point; `None`: anybody's.
    pub thread: Option<Thread>,
    /// Which allocation has armed it: the first is number 1.
    pub since: u64,
}

/// What follows from an allocation, a safe point, or a request.
#[derive(Debug)]
#[must_use]
pub enum Answer {
    /// A collection has begun.
    Collect(Started),
    /// A collection is due at the next safe point. (Maybe it was before: [`Generations::armed`] says since when.)
    Armed,
    /// Nothing.
    Nothing(Because),
}

/// Why there is no collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The alarm did not ring, or no safe point was waited for.
    NotDue,
    /// Collections are disabled.
    Disabled,
    /// One is going on.
    Running,
    /// An exception is on its way through the thread.
    Exception,
    /// The policy has nothing to collect: not, or not any more.
    NoPlan,
}

/// When to collect what: CPython's triggers, counters and switches around a [`Policy`].
///
/// It stores no objects; those stand on the heap's lists, one for each [`Generation`] and the
/// [`PERMANENT`] one. The driver
///
/// * says [`allocated`](Self::allocated) for each container, and [`freed`](Self::freed); if the first answers that the
///   alarm rang, it asks [`trigger`](Self::trigger);
/// * puts each new object on the list of [`Generation::YOUNG`], by [`cycles::track`], when it is complete;
/// * at safe points, if one [is armed](Self::is_armed), says [`service`](Self::service);
/// * passes on what is asked for: [`request`](Self::request), [`set_enabled`](Self::set_enabled),
///   [`freeze`](Self::freeze) and the like;
/// * takes each [`Answer::Collect`] through its steps: see [`Started`].
#[derive(Clone, Debug)]
pub struct Generations<P = Generational> {
    policy: P,
    rules: Rules,
    collector: cycles::Rules,
    counters: Counters,
    /// Of the policy; none while no collection may begin.
    alarm: Alarm,
    enabled: bool,
    running: bool,
    saves_all: bool,
    armed: Vec<Armed>,
    allocations: u64,
    stats: [Stats; Generation::MANY],
}

impl Generations {
    /// What a stock release does; `None` for one that is not known, or collects in another way (3.14.0 to 3.14.4).
    ///
    /// ```
    /// use generations::{Answer, Generations, Thread};
    ///
    /// let mut old = Generations::for_cpython(3, 11, 2).unwrap();
    /// let mut new = Generations::for_cpython(3, 12, 0).unwrap();
    /// for _ in 0..700 {
    ///     assert!(!old.allocated() && !new.allocated());
    /// }
    /// assert!(old.allocated() && new.allocated());
    /// assert!(matches!(old.trigger(Thread(0), false), Answer::Collect(_)));
    /// assert!(matches!(new.trigger(Thread(0), false), Answer::Armed));
    /// ```
    #[must_use]
    pub fn for_cpython(major: u32, minor: u32, patch: u32) -> Option<Self> {
        let rules = Rules::for_cpython(major, minor, patch)?;
        Some(Self::new(rules, cycles::Rules::for_cpython(major, minor, patch)?))
    }

    /// CPython's policy, as these rules have it.
    #[must_use]
    pub fn new(rules: Rules, collector: cycles::Rules) -> Self {
        Self::with_policy(Generational::with_part(rules.thresholds, rules.part), rules, collector)
    }
}

impl<P: Policy> Generations<P> {
    /// Another policy, in CPython's surroundings.
    #[must_use]
    pub fn with_policy(policy: P, rules: Rules, collector: cycles::Rules) -> Self {
        Self {
            alarm: policy.alarm(),
            policy,
            rules,
            collector,
            counters: Counters::default(),
            enabled: true,
            running: false,
            saves_all: false,
            armed: Vec::new(),
            allocations: 0,
            stats: [Stats::default(); Generation::MANY],
        }
    }

    /// A container is allocated (its memory is there; it is not complete yet). Whether the alarm rings: then ask
    /// [`trigger`](Self::trigger).
    ///
    /// Not for one that a free list of its type serves, nor for one that grows.
    #[inline]
    pub fn allocated(&mut self) -> bool {
        self.allocations += 1;
        let young = &mut self.counters.counts[0];
        *young += 1;
        *young > self.alarm.young
    }

    /// A container's memory is given back (not: kept by a free list of its type).
    #[inline]
    pub fn freed(&mut self) {
        let young = &mut self.counters.counts[0];
        *young = young.saturating_sub(1);
    }

    /// The heap has grown by so many bytes. Whether the alarm rings: then ask [`trigger`](Self::trigger). Need not be told if
    /// the policy does not go by bytes; CPython's does not.
    #[inline]
    pub fn grew(&mut self, bytes: u64) -> bool {
        self.counters.bytes = self.counters.bytes.saturating_add(bytes);
        self.counters.bytes > self.alarm.bytes
    }

    /// What follows from an alarm, in the allocation that made it ring: nothing if an exception is on its way through the
    /// thread.
    pub fn trigger(&mut self, thread: Thread, exception: bool) -> Answer {
        let alarm = self.policy.alarm();
        if self.counters.of(Generation::YOUNG) <= alarm.young && self.counters.bytes <= alarm.bytes {
            return Answer::Nothing(Because::NotDue);
        }
        if !self.enabled {
            return Answer::Nothing(Because::Disabled);
        }
        if self.running {
            return Answer::Nothing(Because::Running);
        }
        if exception {
            return Answer::Nothing(Because::Exception);
        }
        match self.rules.runs {
            Runs::Inside => self.start(Why::Alarm, true),
            Runs::AtSafePoint { arms, .. } => {
                let thread = (arms == Arms::Thread).then_some(thread);
                if !self.armed.iter().any(|armed| armed.thread == thread) {
                    self.armed.push(Armed { thread, since: self.allocations });
                }
                Answer::Armed
            }
        }
    }

    /// A safe point of a thread: what was armed is not any more, and runs, if it is due still.
    pub fn service(&mut self, thread: Thread) -> Answer {
        let Some(at) = self.armed.iter().position(|armed| armed.is_for(thread)) else {
            return Answer::Nothing(Because::NotDue);
        };
        self.armed.swap_remove(at);
        let (minds_disabled, minds_running) = match self.rules.runs {
            Runs::Inside => (true, true),
            Runs::AtSafePoint { minds_disabled, minds_running, .. } => (minds_disabled, minds_running),
        };
        if minds_disabled && !self.enabled {
            return Answer::Nothing(Because::Disabled);
        }
        if minds_running && self.running {
            return Answer::Nothing(Because::Running);
        }
        self.start(Why::Alarm, true)
    }

    /// Somebody asks for a collection. (Where that is in vain, CPython answers 0.)
    pub fn request(&mut self, request: Request) -> Answer {
        let minds_disabled = match request {
            Request::Program(_) | Request::NoFail => false,
            Request::Api => self.rules.api_minds_disabled,
            Request::Exit => true,
        };
        if minds_disabled && !self.enabled {
            return Answer::Nothing(Because::Disabled);
        }
        if self.running {
            return Answer::Nothing(Because::Running);
        }
        let why = match request {
            Request::Program(generation) => Why::Request(generation),
            Request::Api | Request::Exit | Request::NoFail => Why::Exit,
        };
        let why = if request == Request::Api { Why::Request(Generation::OLD) } else { why };
        self.start(why, request != Request::NoFail)
    }

    fn start(&mut self, why: Why, calls_back: bool) -> Answer {
        let plan = self.policy.plan(&self.counters, why);
        let answer = match plan {
            Some(plan) => {
                self.running = true;
                Answer::Collect(Started { plan, why, calls_back: calls_back && self.rules.calls_back })
            }
            None => {
                // As CPython 3.12 has it where it is inside of another one.
                self.running = false;
                Answer::Nothing(Because::NoPlan)
            }
        };
        self.set_alarm();
        answer
    }

    /// The counters change: callbacks have run. How the collector is to do it.
    pub(crate) fn begin(&mut self, plan: &Plan) -> (cycles::Plan, cycles::Rules) {
        self.policy.begin(plan, &mut self.counters);
        self.set_alarm();
        let young = plan.generation.list();
        let older = plan.generation.older().filter(|_| self.rules.promotes);
        let old = older.map_or(young, Generation::list);
        (cycles::Plan { young, old, permanent: PERMANENT, saves_all: self.saves_all }, self.collector)
    }

    pub(crate) fn found(&mut self, plan: &Plan, survivors: usize) {
        self.policy.found(plan, survivors);
        self.set_alarm();
    }

    /// All is collected; callbacks are called before it is [over](Self::over).
    pub(crate) fn finish(&mut self, plan: &Plan, outcome: &Outcome) {
        self.stats[plan.generation.number()].add(outcome);
        self.policy.finished(plan, outcome);
        self.set_alarm();
    }

    pub(crate) fn over(&mut self) {
        self.running = false;
        self.set_alarm();
    }

    fn set_alarm(&mut self) {
        self.alarm = if self.enabled && !self.running { self.policy.alarm() } else { Alarm::NEVER };
    }

    /// Puts all objects on the permanent list, youngest generation first; counts begin anew. (`gc.freeze`, from 3.7 on.)
    pub fn freeze<H: Containers>(&mut self, heap: &mut H) {
        for generation in Generation::ALL {
            append(heap, generation.list(), PERMANENT);
        }
        self.counters.counts = [0; Generation::MANY];
    }

    /// Puts what is on the permanent list into the oldest generation. (`gc.unfreeze`.)
    pub fn unfreeze<H: Containers>(&mut self, heap: &mut H) {
        append(heap, PERMANENT, Generation::OLD.list());
    }

    /// Goes on from a state that is told: with these counts, and no collection going on, whatever was before. What is armed stays
    /// so. (Objects are the driver's affair.)
    pub fn resume(&mut self, counts: [u64; Generation::MANY]) {
        self.counters = Counters { counts, bytes: 0 };
        self.running = false;
        self.set_alarm();
    }

    /// Whether collections may begin by themselves (`gc.enable`, `gc.disable`).
    pub fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
        self.set_alarm();
    }

    /// Whether garbage is kept for somebody to look at (`gc.DEBUG_SAVEALL`), in collections that begin from here on.
    pub fn set_saves_all(&mut self, saves_all: bool) {
        self.saves_all = saves_all;
    }

    /// Changes the policy.
    pub fn change<R>(&mut self, change: impl FnOnce(&mut P) -> R) -> R {
        let result = change(&mut self.policy);
        self.set_alarm();
        result
    }

    /// A thread has ended: what it was armed with runs at no safe point any more.
    pub fn forget(&mut self, thread: Thread) {
        self.armed.retain(|armed| armed.thread != Some(thread));
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// The rules by which collections begin.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The rules by which they collect.
    #[must_use]
    pub fn collector(&self) -> &cycles::Rules {
        &self.collector
    }

    /// What the policy decides by (`gc.get_count`).
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// By generation: what its collections have come to (`gc.get_stats`).
    #[must_use]
    pub fn stats(&self) -> &[Stats; Generation::MANY] {
        &self.stats
    }

    /// Whether collections may begin by themselves.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether a collection is going on, as CPython has it: in 3.12 also no more when one inside of it is over.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether collections keep garbage for somebody to look at.
    #[must_use]
    pub fn saves_all(&self) -> bool {
        self.saves_all
    }

    /// How many containers have been allocated.
    #[must_use]
    pub fn allocations(&self) -> u64 {
        self.allocations
    }

    /// What waits for safe points.
    #[must_use]
    pub fn armed(&self) -> &[Armed] {
        &self.armed
    }

    /// Whether something waits for a safe point of this thread.
    #[inline]
    #[must_use]
    pub fn is_armed(&self, thread: Thread) -> bool {
        self.armed.iter().any(|armed| armed.is_for(thread))
    }
}

impl Armed {
    fn is_for(&self, thread: Thread) -> bool {
        self.thread.is_none_or(|armed| armed == thread)
    }
}
