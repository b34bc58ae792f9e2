//! What is going on in a thread: deaths inside of each other, and what these call.

use record::ReferentCount;

use super::super::census::Live;
use crate::kinds::Order;

/// A death that is going on.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) address: u64,
    pub(super) live: Live,
    pub(super) order: Order,
    /// What it refers to, in the order in which that is given up if that is known; 0 where nothing is counted, or what was
    /// given up.
    pub(super) referents: Vec<u64>,
    /// The first that was not given up.
    pub(super) next: usize,
    /// Whether it refers to its type, and has not given that up.
    pub(super) has_type: bool,
    /// How many were given up since the last steps.
    pub(super) given_up: u64,
    /// Steps of the program inside of it, which are not told yet.
    pub(super) steps: u64,
    /// Nothing happens to it any more but that it gives up its type.
    pub(super) is_over: bool,
    /// Its finalizer has brought it back to life.
    pub(super) is_revived: bool,
    /// Deaths that were put off are taken up at its end.
    pub(super) takes_up: bool,
}

/// What is going on in a thread.
#[derive(Clone, Debug)]
pub(super) enum Context {
    Death(Open),
    /// A death that has just been put off: until its dealloc returns.
    Deposited(u64),
    /// A finalizer or a callback, called by a death.
    Code,
    /// What the collector does, or calls.
    Collector,
}

/// A death, or what follows its finalizer, of which it is being told what the object refers to.
#[derive(Clone, Debug)]
pub(super) struct Dying {
    pub(super) address: u64,
    /// A death begins; else its finalizer has run.
    pub(super) begins: bool,
    /// What was known of it, if its death begins.
    pub(super) live: Option<Live>,
    pub(super) of: u64,
    pub(super) edges: Vec<(u64, Option<ReferentCount>)>,
    pub(super) weak: Vec<u64>,
}

/// What a dealloc does when it gives up a reference.
pub(super) enum GivenUp {
    /// It is none that its object told of.
    Not,
    /// It is the one to its type.
    Type,
    /// It is the one that comes next.
    InOrder,
    /// It is this one.
    Chosen(u32),
}

impl Open {
    pub(super) fn new(address: u64, live: Live) -> Self {
        Self {
            address,
            live,
            order: Order::Same,
            referents: Vec::new(),
            next: 0,
            has_type: false,
            given_up: 0,
            steps: 0,
            is_over: false,
            is_revived: false,
            takes_up: false,
        }
    }

    /// Says what it refers to, as its type tells it.
    pub(super) fn refers_to(&mut self, mut referents: Vec<u64>, of: u64, order: Order) {
        // That is given up last.
        let of = referents.iter().rposition(|one| of != 0 && *one == of);
        self.has_type = of.map(|of| referents[of] = 0).is_some();
        self.order = if order.arrange(&mut referents, of) { Order::Same } else { Order::Given };
        (self.referents, self.next) = (referents, 0);
    }

    pub(super) fn gives_up(&mut self, address: u64) -> GivenUp {
        let is_type = address == self.live.of && self.has_type;
        if is_type && (self.is_over || !self.referents[self.next..].contains(&address)) {
            self.has_type = false;
            return GivenUp::Type;
        }
        if self.is_over {
            return GivenUp::Not;
        }
        while self.referents.get(self.next) == Some(&0) {
            self.next += 1;
        }
        // Where the order is known, another reference to the same object is no matter: this is something else.
        let rest = self.referents.get(self.next..).unwrap_or_default();
        let looked_at = if self.order == Order::Given { rest.len() } else { rest.len().min(1) };
        let Some(found) = rest[..looked_at].iter().position(|one| *one == address) else {
            return GivenUp::Not;
        };
        let found = self.next + found;
        self.referents[found] = 0;
        if self.order == Order::Given {
            return GivenUp::Chosen(u32::try_from(found).unwrap_or(u32::MAX));
        }
        GivenUp::InOrder
    }
}

impl Dying {
    pub(super) fn new(address: u64, begins: bool) -> Self {
        Self { address, begins, live: None, of: 0, edges: Vec::new(), weak: Vec::new() }
    }
}
