//! The check `arenas`: acquired and released when predicted.

use trace::{ArenaChange, ArenaEvent, Frame};

use super::Tally;
use crate::engine::Predictions;

/// Compares what happens to arenas.
#[derive(Debug, Default)]
pub struct Arenas {
    /// What became of the facts so far.
    pub tally: Tally,
    /// The first divergence.
    pub first: Option<ArenaDivergence>,
    /// An arena that the last event so far gives back, and was not seen to.
    unseen: Option<ArenaEvent>,
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
        // There were further events, so the one before had its time.
        self.finish(false);
        let observed = &frame.observations.arenas;
        let mut predicted = &predictions.arenas[..];
        if let Some((last, before)) = predicted.split_last()
            && before.len() == observed.len()
            && last.event + 1 == frame.first_event + frame.inputs.len() as u64
            && matches!(last.change, ArenaChange::Released(_))
        {
            self.unseen = Some(*last);
            predicted = before;
        }
        self.compare(predicted, observed);
    }

    /// Compares what happened before an event of a frame, at which the replay could not go on.
    pub fn beginning(&mut self, frame: &Frame, predictions: &Predictions, before: u64) {
        self.finish(false);
        let observed = &frame.observations.arenas;
        let known = observed.partition_point(|change| change.event < before);
        let predicted = &predictions.arenas;
        let predicted = &predicted[..predicted.partition_point(|change| change.event < before)];
        self.compare(predicted, &observed[..known]);
        self.tally.leave((observed.len() - known) as u64);
    }

    /// What was compared so far counts elsewhere; only that something differed stands.
    pub fn leave_past(&mut self) {
        self.finish(false);
        self.tally.leave_past();
    }

    /// There are no further frames. If the recording was cut short, the program may have been inside of its last event,
    /// and nobody knows whether it would have given an arena back.
    pub fn finish(&mut self, cut_short: bool) {
        if let Some(unseen) = self.unseen.take()
            && !cut_short
        {
            self.compare(&[unseen], &[]);
        }
    }

    fn compare(&mut self, predicted: &[ArenaEvent], observed: &[ArenaEvent]) {
        if let Some(index) = self.tally.compare(predicted, observed) {
            let predicted = predicted.get(index).copied();
            self.first = Some(ArenaDivergence { predicted, observed: observed.get(index).copied() });
        }
    }
}
