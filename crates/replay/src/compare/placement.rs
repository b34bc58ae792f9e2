//! The check `placement`: the address of each block that pools serve.

use trace::{Allocator, Frame, Kind};

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
    /// Compares one frame.
    pub fn frame(&mut self, allocator: &Allocator, frame: &Frame, predictions: &Predictions) {
        let observed = &frame.observations.addresses;
        self.given_failed += predictions.failed;
        let Some(index) = self.tally.compare(&predictions.addresses, observed) else { return };
        // Which input the fact belongs to: facts are in the order of the requests that pools serve.
        let requests = frame.inputs.iter().enumerate().filter(|(_, input)| {
            matches!(input.kind(), Kind::Allocate | Kind::Resize) && allocator.serves(input.size())
        });
        let (offset, size) =
            requests.map(|(offset, input)| (offset, input.size())).nth(index).unwrap_or_default();
        self.first = Some(PlacementDivergence {
            event: frame.first_event + offset as u64,
            size,
            predicted: predictions.addresses.get(index).copied().unwrap_or_default(),
            observed: observed.get(index).copied().unwrap_or_default(),
        });
    }
}
