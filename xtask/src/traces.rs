//! What the chores need to know of a trace.

use std::path::Path;

use trace::{Frame, Header, Kind, Lineage, Totals};

use crate::Result;

/// A trace from outside.
pub(crate) struct Summary {
    /// Its header.
    pub(crate) header: Header,
    /// How much of what it holds.
    pub(crate) totals: Totals,
    /// The size of the file.
    pub(crate) bytes: u64,
    /// The most blocks that were live at the same time.
    pub(crate) most_live: u64,
}

/// Reads a trace to its end, and its past before.
pub(crate) fn summary(path: &Path) -> Result<Summary> {
    let failed = |error: trace::Error| format!("{}: {error}", path.display());
    let mut trace = Lineage::open(path).map_err(failed)?;
    let mut frame = Frame::default();
    let (mut live, mut most_live) = (0_u64, 0);
    while trace.read(&mut frame).map_err(failed)? {
        for input in &frame.inputs {
            match input.kind() {
                Kind::Allocate if !input.failed() => live += 1,
                // What is not live is not released: whoever replays the trace finds out.
                Kind::Release => live = live.saturating_sub(1),
                _ => {}
            }
            if !trace.in_past() {
                most_live = most_live.max(live);
            }
        }
    }
    Ok(Summary {
        header: trace.header().clone(),
        totals: trace.trailer().map_or_else(Totals::default, |trailer| trailer.totals),
        bytes: trace.bytes_read(),
        most_live,
    })
}
