//! The check `placement`: the address of each block that pools serve.

use trace::{Allocator, Error, FOREIGN, Frame, Kind, Resolver};

use super::Tally;
use crate::engine::Predictions;

/// Compares addresses.
#[derive(Debug, Default)]
pub struct Placement {
    /// What became of the facts so far.
    pub tally: Tally,
    /// The first divergence.
    pub first: Option<PlacementDivergence>,
    /// Small requests of which the program got nothing: that there was none to be had is an input.
    pub given_failed: u64,
    /// The frame's observed addresses; kept for its memory.
    observed: Vec<u64>,
}

/// A block that was predicted to lie elsewhere than it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementDivergence {
    /// The event that asked for it.
    pub event: u64,
    /// Bytes asked for.
    pub size: u64,
    /// The predicted address, or [`trace::FOREIGN`].
    pub predicted: u64,
    /// The observed address, or [`trace::FOREIGN`].
    pub observed: u64,
}

impl Placement {
    /// Compares one frame; `resolver` has been given those before it.
    ///
    /// To resolve observed addresses takes knowledge of where released blocks lay. Up to the first divergence that is
    /// where they were predicted to lie, so nobody has to find out a second time.
    ///
    /// # Errors
    /// If the observed addresses contradict themselves.
    pub fn frame(
        &mut self,
        allocator: &Allocator,
        frame: &Frame,
        predictions: &Predictions,
        resolver: &mut Resolver,
    ) -> Result<(), Error> {
        self.given_failed += predictions.failed;
        let facts = frame.observations.placed;
        if self.tally.pass_over(facts) {
            return Ok(());
        }
        let observed = &mut self.observed;
        observed.clear();
        if let Err(error) = resolver.resolve(frame, &mut predictions.before().iter(), observed) {
            if predictions.addresses().starts_with(observed) {
                return Err(error);
            }
            // What was resolved after the divergence rests on wrong predictions, and is not looked at.
            observed.resize(usize::try_from(facts).unwrap_or(observed.len()), FOREIGN);
        }
        self.compare(allocator, frame, predictions.addresses());
        Ok(())
    }

    /// Compares the addresses of a frame as far as they are predicted: the replay could not go on.
    pub fn beginning(
        &mut self,
        allocator: &Allocator,
        frame: &Frame,
        predictions: &Predictions,
        resolver: &mut Resolver,
    ) {
        self.given_failed += predictions.failed;
        let facts = frame.observations.placed;
        if self.tally.pass_over(facts) {
            return;
        }
        self.observed.clear();
        // It ends where the predictions do, if not before: with an error, that says nothing.
        let _ = resolver.resolve(frame, &mut predictions.before().iter(), &mut self.observed);
        let known = self.observed.len().min(predictions.addresses().len());
        self.observed.truncate(known);
        self.compare(allocator, frame, &predictions.addresses()[..known]);
        self.tally.leave(facts - known as u64);
    }

    /// Where the blocks of the last frame were observed to lie, up to the first divergence.
    #[must_use]
    pub fn observed(&self) -> &[u64] {
        if self.first.is_none() { &self.observed } else { &[] }
    }

    /// What was compared so far counts elsewhere; only that something differed stands.
    pub fn leave_past(&mut self) {
        self.tally.leave_past();
        self.given_failed = 0;
    }

    fn compare(&mut self, allocator: &Allocator, frame: &Frame, predicted: &[u64]) {
        let Some(index) = self.tally.compare(predicted, &self.observed) else { return };
        // Which input the fact belongs to: facts are in the order of the requests that pools serve.
        let requests = frame.inputs.iter().enumerate().filter(|(_, input)| {
            matches!(input.kind(), Kind::Allocate | Kind::Resize) && allocator.serves(input.size())
        });
        let (offset, size) =
            requests.map(|(offset, input)| (offset, input.size())).nth(index).unwrap_or_default();
        self.first = Some(PlacementDivergence {
            event: frame.first_event + offset as u64,
            size,
            predicted: predicted.get(index).copied().unwrap_or_default(),
            observed: self.observed.get(index).copied().unwrap_or_default(),
        });
    }
}
