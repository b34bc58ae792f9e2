//! What can keep the engine from going on.

use std::fmt;

/// Why a trace cannot be replayed any further; none of these says anything about who is right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineError {
    /// The trace's allocator cannot be built.
    Allocator(pool::GeometryError),
    /// The interpreter's version is not known here.
    Version(String),
    /// An input touches a block that is not live.
    NotLive {
        /// The event.
        event: u64,
        /// The block's number.
        block: u64,
    },
    /// A size is beyond what this machine can count.
    TooLarge {
        /// The event.
        event: u64,
    },
    /// An arena that was recorded cannot be had here.
    NoArena {
        /// The event.
        event: u64,
        /// Why.
        why: pool::Refusal,
    },
}

impl EngineError {
    /// The event at which it showed, if it was one.
    #[must_use]
    pub fn event(&self) -> Option<u64> {
        match *self {
            Self::Allocator(_) | Self::Version(_) => None,
            Self::NotLive { event, .. } | Self::TooLarge { event } | Self::NoArena { event, .. } => {
                Some(event)
            }
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allocator(why) => write!(f, "the trace's allocator cannot be built: {why}"),
            Self::Version(version) => write!(f, "it is not known how CPython {version} counts references"),
            Self::NotLive { event, block } => {
                write!(f, "event {event} touches block {block}, which is not live: the recording has a gap")
            }
            Self::TooLarge { event } => write!(f, "event {event} asks for more than this machine can count"),
            Self::NoArena { event, why: pool::Refusal::ImpossibleBase(base) } => {
                write!(f, "event {event} needs an arena whose recorded base, {base:#x}, cannot be one")
            }
            Self::NoArena { event, why: pool::Refusal::Overlap(base) } => {
                write!(
                    f,
                    "event {event} needs an arena whose recorded base, {base:#x}, lies in one that is live"
                )
            }
            Self::NoArena { event, .. } => {
                write!(
                    f,
                    "event {event} needs an arena, and there is no memory for it here: free some and try again"
                )
            }
        }
    }
}

impl std::error::Error for EngineError {}
