//! What the engine says of a frame.

use std::slice::IterMut;

use trace::{ArenaEvent, FOREIGN, Placed};

/// What the engine says of one frame.
#[derive(Debug, Default)]
pub struct Predictions {
    /// As long as the longest frame so far; what is said are the first `said` entries of each.
    addresses: Vec<u64>,
    before: Vec<Placed>,
    said: (usize, usize),
    /// What happens to arenas.
    pub arenas: Vec<ArenaEvent>,
    /// Requests of a size that pools serve which failed: that there was no memory behind the pools is an input.
    pub failed: u64,
}

impl Predictions {
    /// For each input that asks for a size that pools serve: the block's address, or [`trace::FOREIGN`] if no pool
    /// serves it.
    #[must_use]
    pub fn addresses(&self) -> &[u64] {
        &self.addresses[..self.said.0]
    }

    /// For each resize and each release, where the block lay before.
    #[must_use]
    pub fn before(&self) -> &[Placed] {
        &self.before[..self.said.1]
    }

    /// Makes room for a frame of so many inputs, of which each has one entry at most in each list.
    pub(super) fn begin(&mut self, inputs: usize) -> (Lists<'_>, &mut Vec<ArenaEvent>, &mut u64) {
        self.arenas.clear();
        self.failed = 0;
        self.said = (0, 0);
        if self.addresses.len() < inputs {
            self.addresses.resize(inputs, FOREIGN);
            self.before.resize(inputs, Placed::OUTSIDE);
        }
        let lists = Lists { addresses: self.addresses.iter_mut(), before: self.before.iter_mut() };
        (lists, &mut self.arenas, &mut self.failed)
    }

    /// Notes how much room is left.
    pub(super) fn end(&mut self, (addresses, before): (usize, usize)) {
        self.said = (self.addresses.len() - addresses, self.before.len() - before);
    }
}

/// The lists while they are filled: an entry is a write and a step.
pub(super) struct Lists<'a> {
    addresses: IterMut<'a, u64>,
    before: IterMut<'a, Placed>,
}

impl Lists<'_> {
    #[inline]
    pub(super) fn lies(&mut self, address: u64) {
        if let Some(entry) = self.addresses.next() {
            *entry = address;
        }
    }

    #[inline]
    pub(super) fn lay(&mut self, placed: Placed) {
        if let Some(entry) = self.before.next() {
            *entry = placed;
        }
    }

    pub(super) fn left(&self) -> (usize, usize) {
        (self.addresses.len(), self.before.len())
    }
}

/// What there is to say of one input.
pub(super) struct Said {
    pub(super) address: Option<u64>,
    pub(super) before: Option<Placed>,
}
