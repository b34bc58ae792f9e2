//! What the chores need to know of a trace.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use trace::{Frame, Header, Kind, Reader, Totals};

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

/// Opens a trace.
pub(crate) fn open(path: &Path) -> Result<Reader<BufReader<File>>> {
    let opened = File::open(path).map_err(trace::Error::from);
    opened
        .and_then(|file| Reader::new(BufReader::new(file)))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads a trace to its end.
pub(crate) fn summary(path: &Path) -> Result<Summary> {
    let mut reader = open(path)?;
    let mut frame = Frame::default();
    let (mut live, mut most_live) = (0_u64, 0);
    while reader.read(&mut frame).map_err(|error| format!("{}: {error}", path.display()))? {
        for input in &frame.inputs {
            match input.kind() {
                Kind::Allocate if !input.failed() => live += 1,
                // A release of what is not live would have been an error.
                Kind::Release => live -= 1,
                _ => {}
            }
            most_live = most_live.max(live);
        }
    }
    Ok(Summary {
        header: reader.header().clone(),
        totals: *reader.totals(),
        bytes: reader.bytes_read(),
        most_live,
    })
}
