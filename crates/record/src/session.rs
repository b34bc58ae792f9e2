//! Starting a program so that it is recorded.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::Command;

use crate::library::Library;
use crate::ring::Ring;
use crate::{Consumer, Error, PRELOAD, SessionOptions};

/// The variable of the dynamic loader.
const LD_PRELOAD: &str = "LD_PRELOAD";
/// Tells the library what that was before.
const EARLIER: &str = "VIVARIUM_LD_PRELOAD";
/// Tells the library where the ring is.
const RING: &str = "VIVARIUM_RING";

/// A recording to be: the library and an empty ring, before a program is started.
///
/// One session records one interpreter: the first that appears among the processes which it starts.
#[derive(Debug)]
pub struct Session {
    ring: Ring,
    library: Library,
}

impl Session {
    /// Prepares a recording. The descriptors that it opens are closed on `exec`; programs find what is behind them
    /// through `/proc`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where recording is not possible; [`Error::System`] if there is no memory or no place
    /// for the library; [`Error::Folder`] and [`Error::Ownership`] if that place will not do.
    pub fn new(options: &SessionOptions) -> Result<Self, Error> {
        if PRELOAD.is_empty() {
            return Err(Error::Unsupported);
        }
        let ring = Ring::new(options.ring_bytes.max(4096) / size_of::<u64>())?;
        let library = Library::provide(&options.library)?;
        Ok(Self { ring, library })
    }

    /// Sets the environment of a program that is about to be started. `LD_PRELOAD`, if the command or this process
    /// sets it, is kept and restored inside of the program. Variables of `command` must be set before.
    ///
    /// After [`Command::env_clear`] the `LD_PRELOAD` of this process counts nevertheless: a command does not tell
    /// that it was cleared.
    pub fn configure(&self, command: &mut Command) {
        let set = command.get_envs().find(|(name, _)| *name == OsStr::new(LD_PRELOAD));
        let earlier = set.map_or_else(|| env::var_os(LD_PRELOAD), |(_, value)| value.map(OsString::from));
        let mut preload = self.library.path().into_os_string();
        if let Some(earlier) = &earlier {
            preload.push(":");
            preload.push(earlier);
        }
        command.env(LD_PRELOAD, preload);
        match earlier {
            Some(earlier) => command.env(EARLIER, earlier),
            None => command.env_remove(EARLIER),
        };
        let ring = format!("/proc/{}/fd/{}", std::process::id(), self.ring.descriptor());
        command.env(RING, ring);
    }

    /// Begins to read. Do this after the program was started; what happened until then is in the ring.
    pub fn into_consumer(self) -> Consumer {
        Consumer::new(self.ring, Some(self.library))
    }
}
