//! What can go wrong on the reading side.

use std::path::PathBuf;
use std::{fmt, io};

/// Why a session could not be made, or its events not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// This is not Linux with glibc on x86-64 or AArch64.
    Unsupported,
    /// The operating system refused something.
    System {
        /// What was tried, to be put before the cause: "making the ring".
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The library can only be stored in a folder whose name the dynamic loader would take for several: with a
    /// space or a colon in it.
    Folder(PathBuf),
    /// The folder for the library belongs to another user or may be written by one.
    Ownership(PathBuf),
    /// From a slot of the ring on nothing can be read: something overwrote it, or several threads wrote at once (of
    /// which [`Status`](crate::Status) may tell more). The program was set free and goes on unrecorded.
    Corrupt {
        /// Number of the slot, counted from the beginning of the recording.
        at: u64,
    },
}

impl Error {
    #[cfg(target_os = "linux")]
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => {
                f.write_str("recording is possible on Linux only (glibc, x86-64 or AArch64)")
            }
            Self::System { what, source } => write!(f, "{what}: {source}"),
            Self::Folder(path) => {
                let path = path.display();
                write!(f, "a library in {path} cannot be preloaded: no space or colon may be in its path")
            }
            Self::Ownership(path) => {
                let path = path.display();
                write!(f, "{path} is not a folder that only this user may write to")
            }
            Self::Corrupt { at } => {
                write!(
                    f,
                    "the recording cannot be read from slot {at} on: something wrote over the ring, or several threads wrote at once"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}
