//! The process that was started stands in front of the one that records.
//!
//! A recorder that is killed takes with it what it has read and not yet written. So the process that people see, stop
//! and kill does nothing but wait and pass signals on; the one that records is its child, and if the one in front is
//! killed it goes on until the program has ended. Where a second process is not to be had, the first one records.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, wait};
use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::Signals;

use super::signals::{JOB_CONTROL, PASSED_ON, TERMINAL, not_ignored};
use super::{FAILED, complain};

/// The option that tells the recorder where signals come from.
const OPTION: &str = "--behind";

/// Stands in front of a recorder until that has ended. None: there is none, and this process has to record.
pub(super) fn stand() -> Option<ExitCode> {
    let mut arguments = env::args_os();
    let name = arguments.next()?;
    if arguments.next().as_deref() != Some(OsStr::new("record")) {
        return None;
    }
    let (from, to) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    // Before there is a process whose end could be missed.
    let taken = not_ignored([PASSED_ON.as_slice(), &TERMINAL, &JOB_CONTROL].concat());
    let mut signals = Signals::new(taken.into_iter().chain([SIGCHLD])).ok()?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(name)
        .arg("record")
        .arg(OPTION)
        .arg(format!("/proc/{}/fd/{}", std::process::id(), from.as_raw_fd()))
        .args(arguments);
    let recorder = Pid::from_raw(command.spawn().ok()?.id().cast_signed())?;
    let mut to = File::from(to);
    for signal in signals.forever() {
        if signal == SIGCHLD {
            if let Some(status) = reap(recorder) {
                return Some(status);
            }
        } else if PASSED_ON.contains(&signal) || JOB_CONTROL.contains(&signal) {
            // A recorder that is gone takes no signals.
            let _ = to.write_all(&[signal.to_le_bytes()[0]]);
        }
    }
    None
}

/// Takes note of children that have ended: the recorder, and in the place of `init` those that nobody else has.
fn reap(recorder: Pid) -> Option<ExitCode> {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == recorder {
            let code = status.exit_status().and_then(|status| u8::try_from(status).ok());
            return Some(ExitCode::from(code.unwrap_or_else(|| {
                complain(
                    "the recorder was killed; the program goes on unrecorded, and what was written until then stays",
                );
                FAILED
            })));
        }
    }
    None
}
