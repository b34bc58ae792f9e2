//! The check `arenas`: acquired and released when predicted.

use trace::{ArenaEvent, Frame};

use super::Tally;
use crate::engine::Predictions;

/// Compares what happens to arenas.
#[derive(Debug, Default)]
pub struct Arenas {
    /// What became of the facts so far.
    pub tally: Tally,
    /// The first divergence.
    pub first: Option<ArenaDivergence>,
}

/// Something was predicted of an arena that did not happen, or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArenaDivergence {
    /// What was predicted next, if anything in this frame.
    pub predicted: Option<ArenaEvent>,
    /// What was observed next, if anything in this frame.
    pub observed: Option<ArenaEvent>,
}

impl ArenaDivergence {
    /// The event at which it showed: the earlier of both.
    #[must_use]
    pub fn event(&self) -> u64 {
        let events = [self.predicted, self.observed];
        events.into_iter().flatten().map(|change| change.event).min().unwrap_or_default()
    }
}

impl Arenas {
    /// Compares one frame.
    pub fn frame(&mut self, frame: &Frame, predictions: &Predictions) {
        let observed = &frame.observations.arenas;
        if let Some(index) = self.tally.compare(&predictions.arenas, observed) {
            let predicted = predictions.arenas.get(index).copied();
            self.first = Some(ArenaDivergence { predicted, observed: observed.get(index).copied() });
        }
    }
}
