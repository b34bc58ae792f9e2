//! What can be wrong with a trace, and where.

use std::fmt;
use std::io;

use crate::frame::Version;

/// Why a trace could not be read (or written) any further.
///
/// Frames are counted from 0, the header's; events from 0, the first call that the program made. Whatever was
/// read before the error stands: a reader hands out every whole frame before it reports what follows it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused a read or a write.
    Io(io::Error),
    /// The file does not begin with a trace's first eight bytes.
    NotATrace,
    /// The bytes between the version and the first frame, which no checksum covers, are not the zeroes that were written.
    NotZero,
    /// The trace was written in a format that this build no longer reads.
    TooOld {
        /// The version in the file.
        found: Version,
        /// The oldest version that this build reads.
        oldest: Version,
    },
    /// The trace was written in a format that this build does not know yet.
    TooNew {
        /// The version in the file.
        found: Version,
        /// The newest version that this build reads.
        newest: Version,
    },
    /// The file ends before its trailer: the recording was cut off, or the copy was.
    Truncated {
        /// The frame that is missing or incomplete.
        frame: u64,
        /// Events in the whole frames before it.
        events: u64,
    },
    /// A frame's bytes are not the ones that were written.
    Corrupt {
        /// The frame.
        frame: u64,
        /// What gave it away.
        what: Corruption,
        /// Events in the whole frames before it.
        events: u64,
    },
    /// A frame arrived as it was written, yet what it says contradicts itself or what came before.
    Malformed {
        /// The frame.
        frame: u64,
        /// The event, where the contradiction has a place.
        event: Option<u64>,
        /// The contradiction.
        what: Malformed,
    },
    /// The trace is of a forked process, and its past cannot be had: its parent's trace, or that of an earlier
    /// ancestor, up to the fork.
    Past {
        /// The ancestor's trace.
        trace: String,
        /// What is wrong with it.
        why: String,
    },
}

/// How the bytes of a frame show that they were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// The frame does not begin with its marker.
    Marker,
    /// The checksum of the frame does not match its bytes.
    Checksum,
    /// The frame carries another number than its place in the file.
    Number {
        /// The number it carries.
        found: u64,
    },
    /// A length in the frame is larger than the format allows.
    Length,
    /// A stream does not decompress to the length it declares.
    Compression,
}

/// What a well-transported frame says that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// The frame is not of the kind that belongs in this place.
    FrameKind {
        /// The kind found.
        found: u8,
    },
    /// A stream that this kind of frame must have is not there, or is there twice.
    Stream {
        /// The stream's identifier.
        id: u8,
    },
    /// The header or trailer is not the JSON document it should be.
    Json(String),
    /// The frame's first event or block number does not follow from the frames before.
    Numbering,
    /// A stream ends inside a record.
    StreamEnds {
        /// The stream's identifier.
        id: u8,
    },
    /// A stream goes on after its last record.
    StreamContinues {
        /// The stream's identifier.
        id: u8,
    },
    /// A code that the format does not define.
    Code {
        /// The stream's identifier.
        id: u8,
        /// The code.
        code: u8,
    },
    /// A number does not fit where it stands.
    OutOfRange {
        /// The stream's identifier.
        id: u8,
    },
    /// What came before the first frame that was given was not: the trace is of a forked process, and begins with what its
    /// [`Lineage`](crate::Lineage) holds before its own.
    PastNotRead {
        /// How many events came before it.
        events: u64,
    },
    /// An event names a block that is not live: a gap in the recording.
    BlockNotLive {
        /// The block's number.
        block: u64,
    },
    /// The trailer's totals are not those of the frames.
    Totals {
        /// The name of the total.
        name: &'static str,
        /// What the trailer says.
        declared: u64,
        /// What the frames hold.
        counted: u64,
    },
    /// Bytes follow the trailer.
    AfterTrailer,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // As the system says it; other words have been chosen by somebody.
            Self::Io(error) if error.raw_os_error().is_some() && error.kind() == io::ErrorKind::NotFound => {
                f.write_str("there is no such file")
            }
            Self::Io(error) => write!(f, "{error}"),
            Self::NotATrace => f.write_str("not a Vivarium trace: its first eight bytes are not a trace's"),
            Self::NotZero => f.write_str(
                "corrupt before its first frame: bytes 12 to 15 of the file are not zero, as those of every trace are; copy \
                 the trace again, or record again",
            ),
            Self::TooOld { found, oldest } => write!(
                f,
                "too old: the trace is in format {found}, and the oldest that can be read here is {oldest}; \
                 record the program again, or read it with the version that wrote it"
            ),
            Self::TooNew { found, newest } => write!(
                f,
                "too new: the trace is in format {found}, and the newest that can be read here is {newest}; \
                 update Vivarium"
            ),
            Self::Truncated { frame: 0, .. } => {
                f.write_str("truncated in its header, no event recovered: the file is empty or only begun")
            }
            Self::Truncated { frame, events } => write!(
                f,
                "truncated at frame {frame}, {events} events recovered: the recording was cut off before its end, or \
                 this copy was"
            ),
            Self::Corrupt { frame, what, events } => write!(
                f,
                "corrupt frame {frame}: {what}; {events} events before it recovered; copy the trace again, or record \
                 again"
            ),
            Self::Malformed { frame, event: Some(event), what } => {
                write!(f, "frame {frame}, event {event}: {what}")
            }
            Self::Malformed { frame, event: None, what } => write!(f, "frame {frame}: {what}"),
            Self::Past { trace, why } => write!(
                f,
                "{trace}, which has to be in the same folder, holds what happened before this process was forked: {why}"
            ),
        }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Marker => f.write_str("it does not begin with a frame's marker"),
            Self::Checksum => f.write_str("its checksum does not match its bytes"),
            Self::Number { found } => write!(f, "it carries the number {found}"),
            Self::Length => f.write_str("it declares a length beyond the format's limits"),
            Self::Compression => f.write_str("a stream does not decompress to its declared length"),
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameKind { found } => write!(f, "a frame of kind {found} does not belong here"),
            Self::Stream { id } => write!(f, "stream {id:#04x} is missing or there twice"),
            Self::Json(why) => write!(f, "its JSON document cannot be read: {why}"),
            Self::Numbering => f.write_str("its numbers do not follow from the frames before"),
            Self::StreamEnds { id } => write!(f, "stream {id:#04x} ends inside a record"),
            Self::StreamContinues { id } => write!(f, "stream {id:#04x} goes on after its last record"),
            Self::Code { id, code } => write!(f, "stream {id:#04x} has the undefined code {code:#04x}"),
            Self::OutOfRange { id } => write!(f, "stream {id:#04x} has a number that is out of range"),
            Self::PastNotRead { events } => write!(
                f,
                "{events} events come before it and were not read: a forked process' trace is read behind those of its \
                 ancestors (`Lineage::open`)"
            ),
            Self::BlockNotLive { block } => {
                write!(f, "block {block} is not live: the recording has a gap")
            }
            Self::Totals { name, declared, counted } => {
                write!(f, "the trailer declares {declared} {name}, the frames hold {counted}")
            }
            Self::AfterTrailer => f.write_str("bytes follow the trailer"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
