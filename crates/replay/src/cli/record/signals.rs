//! Signals that reach the recorder and are meant for the program.
//!
//! Who stops, reloads or questions a program sends a signal to the process that was started, which is the recorder:
//! it passes them on. Interrupts from a terminal reach the program by themselves, and what they mean is its business.
//! Signals that are ignored (under `nohup`, or in the background of a script) stay ignored, here and in the program.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Handle;

const FORWARDED: [i32; 4] = [SIGTERM, SIGHUP, SIGUSR1, SIGUSR2];
/// Those that a terminal sends to all of its processes.
const SHARED: [i32; 2] = [SIGINT, SIGQUIT];

/// Takes signals from its making to its end. (Handlers, unlike ignoring, are not inherited by the program.)
pub(super) struct Signals {
    target: Arc<Mutex<Target>>,
    thread: Option<(Handle, JoinHandle<()>)>,
}

/// Whom signals go to.
enum Target {
    /// There is no process yet: they wait.
    Nobody(Vec<i32>),
    Process(Process),
    /// It has ended.
    Gone,
}

enum Process {
    Known(OwnedFd),
    /// The kernel has no process descriptors. The number is the process's own until it is waited for.
    Number(Pid),
}

impl Signals {
    pub(super) fn begin() -> Self {
        let target = Arc::new(Mutex::new(Target::Nobody(Vec::new())));
        let ignored = ignored();
        let wanted = FORWARDED.into_iter().chain(SHARED).filter(|signal| ignored & (1 << (signal - 1)) == 0);
        // Where that fails signals do what they do.
        let thread = signal_hook::iterator::Signals::new(wanted).ok().map(|mut signals| {
            let target = Arc::clone(&target);
            let handle = signals.handle();
            let thread = thread::spawn(move || {
                for signal in signals.forever().filter(|signal| FORWARDED.contains(signal)) {
                    target.lock().unwrap_or_else(PoisonError::into_inner).send(signal);
                }
            });
            (handle, thread)
        });
        Self { target, thread }
    }

    /// Passes on what has come and what will come.
    pub(super) fn forward_to(&self, child: &Child) {
        let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
        let process = pidfd_open(pid, PidfdFlags::empty()).map_or(Process::Number(pid), Process::Known);
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *target, Target::Process(process));
        if let Target::Nobody(waiting) = before {
            waiting.into_iter().for_each(|signal| target.send(signal));
        }
    }

    /// The program has ended; what still comes is for nobody.
    pub(super) fn end(self) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Target::Gone;
        if let Some((handle, thread)) = self.thread {
            handle.close();
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

impl Target {
    fn send(&mut self, signal: i32) {
        let Some(name) = Signal::from_named_raw(signal) else { return };
        // A process that has ended gets none.
        let _ = match self {
            Self::Nobody(waiting) => {
                waiting.push(signal);
                Ok(())
            }
            Self::Process(Process::Known(process)) => pidfd_send_signal(process, name),
            Self::Process(Process::Number(pid)) => kill_process(*pid, name),
            Self::Gone => Ok(()),
        };
    }
}

/// The signals that this process ignores, signal n as bit n − 1.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
