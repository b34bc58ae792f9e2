//! Signals that reach the recorder and are meant for the program.
//!
//! Who stops, reloads or questions a program sends a signal to the process that was started, which is the recorder:
//! it passes them on. Interrupts from a terminal reach the program by themselves, and what they mean is its business.
//! Signals that are ignored (under `nohup`, or in the background of a script) stay ignored, here and in the program.
//!
//! The recorder itself is never stopped, so that a program which is continued does not wait for it. The process in
//! front of it (see `front.rs`) is, when the program is: that is what a shell looks at.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use record::Claim;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getppid, kill_process, pidfd_open, pidfd_send_signal,
    waitid,
};
use signal_hook::consts::{
    SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGXFSZ,
};
use signal_hook::iterator::Handle;

pub(super) const PASSED_ON: [i32; 4] = [SIGTERM, SIGHUP, SIGUSR1, SIGUSR2];
/// Those that a terminal sends to all of its processes.
pub(super) const TERMINAL: [i32; 2] = [SIGINT, SIGQUIT];
/// Those that stop processes, or let them go on.
pub(super) const JOB_CONTROL: [i32; 4] = [SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT];

/// After so long a process to which a stop was sent is stopped.
const SETTLED: Duration = Duration::from_millis(20);

/// Takes signals from its making to its end. (Handlers, unlike ignoring, are not inherited by the program.)
pub(super) struct Signals {
    program: Arc<Mutex<Program>>,
    thread: Option<(Handle, JoinHandle<()>)>,
}

/// Whom signals go to.
struct Program {
    target: Target,
    /// The interpreter, if that is another process: it may outlive the one that was started.
    interpreter: Option<Process>,
    /// The process in front of this one.
    front: Option<Pid>,
    is_stopped: bool,
}

enum Target {
    /// There is no process yet, or none that is known: they wait.
    Nobody(Vec<i32>),
    Process(Process),
    /// It has ended.
    Gone,
}

enum Process {
    Known(Pid, OwnedFd),
    /// The kernel has no process descriptors. The number is the process's own until it is waited for.
    Number(Pid),
}

impl Signals {
    /// `front` is where the process in front passes signals on.
    pub(super) fn begin(front: Option<&Path>) -> Self {
        let program = Arc::new(Mutex::new(Program {
            target: Target::Nobody(Vec::new()),
            interpreter: None,
            front: front.and_then(|_| getppid()),
            is_stopped: false,
        }));
        // What comes to the process in front comes here, too, if it was sent to both. Alone, this one is meant.
        let is_alone = Arc::new(AtomicBool::new(front.is_none()));
        let mut wanted = [PASSED_ON.as_slice(), &TERMINAL].concat();
        if let Some(front) = front {
            listen(front, &program, &is_alone);
            wanted.extend([SIGTSTP, SIGTTIN, SIGTTOU]);
        }
        // A file that has become too large is an error of a write.
        let wanted = not_ignored(wanted).into_iter().chain([SIGCHLD, SIGXFSZ]);
        // Where that fails signals do what they do.
        let thread = signal_hook::iterator::Signals::new(wanted).ok().map(|mut signals| {
            let program = Arc::clone(&program);
            let handle = signals.handle();
            let thread = thread::spawn(move || {
                for signal in signals.forever() {
                    if signal == SIGCHLD {
                        lock(&program).watch();
                    } else if PASSED_ON.contains(&signal) && is_alone.load(Relaxed) {
                        lock(&program).send(signal);
                    }
                }
            });
            (handle, thread)
        });
        Self { program, thread }
    }

    /// Passes on what has come and what will come.
    pub(super) fn forward_to(&self, child: &Child) {
        if let Some(process) = Process::of(child.id()) {
            lock(&self.program).begin(process);
        }
    }

    /// Who is to get signals once the process that was started has ended.
    pub(super) fn recorded(&self, claim: &Claim) {
        // The number may be one of another process namespace.
        let is_it =
            fs::read_link(format!("/proc/{}/exe", claim.pid)).is_ok_and(|path| path == claim.executable);
        let mut program = lock(&self.program);
        let is_target = matches!(&program.target, Target::Process(child) if child.is(claim.pid));
        let interpreter = if is_it && !is_target { Process::of(claim.pid) } else { None };
        match (interpreter, &program.target) {
            (Some(interpreter), Target::Nobody(_)) => program.begin(interpreter),
            (Some(interpreter), _) => program.interpreter = Some(interpreter),
            (None, _) => {}
        }
    }

    /// The program has ended; what still comes is for nobody.
    pub(super) fn end(self) {
        let mut program = lock(&self.program);
        program.target = Target::Gone;
        program.interpreter = None;
        if program.is_stopped {
            program.tell_front(Signal::CONT);
        }
        drop(program);
        if let Some((handle, thread)) = self.thread {
            handle.close();
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

/// Takes what the process in front passes on, until that has ended.
fn listen(front: &Path, program: &Arc<Mutex<Program>>, is_alone: &Arc<AtomicBool>) {
    let (path, program, is_alone) = (front.to_owned(), Arc::clone(program), Arc::clone(is_alone));
    thread::spawn(move || {
        if let Ok(mut front) = File::open(path) {
            let mut signal = [0];
            while front.read_exact(&mut signal).is_ok() {
                lock(&program).send(signal[0].into());
            }
        }
        is_alone.store(true, Relaxed);
    });
}

fn lock(program: &Mutex<Program>) -> std::sync::MutexGuard<'_, Program> {
    program.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Program {
    /// This is the one that signals go to, first those that have waited.
    fn begin(&mut self, process: Process) {
        if let Target::Nobody(waiting) = std::mem::replace(&mut self.target, Target::Process(process)) {
            waiting.into_iter().for_each(|signal| self.send(signal));
        }
    }

    fn send(&mut self, signal: i32) {
        // It may have been continued by whoever continued us.
        self.watch();
        let Some(name) = Signal::from_named_raw(signal) else { return };
        if JOB_CONTROL.contains(&signal) && !(signal == SIGCONT && self.only_front_was_continued()) {
            return;
        }
        match &mut self.target {
            Target::Nobody(waiting) => waiting.push(signal),
            // A process that has ended takes them and does nothing, until it is waited for.
            Target::Process(process) if process.has_ended() || process.send(name) == Err(Errno::SRCH) => {
                match &self.interpreter {
                    Some(interpreter) => drop(interpreter.send(name)),
                    // Whoever left it behind was faster than we are: it may be about to introduce itself.
                    None => self.target = Target::Nobody(vec![signal]),
                }
            }
            Target::Process(_) | Target::Gone => {}
        }
    }

    /// Stops and continues the process in front as the program is.
    fn watch(&mut self) {
        let Target::Process(Process::Known(pid, _) | Process::Number(pid)) = self.target else { return };
        let changes = WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED | WaitIdOptions::NOHANG;
        while let Ok(Some(status)) = waitid(WaitId::Pid(pid), changes) {
            self.is_stopped = status.stopped();
            self.tell_front(if self.is_stopped { Signal::STOP } else { Signal::CONT });
        }
    }

    /// Whether somebody let the process in front go on, though the program is stopped. The one in front speaks of each
    /// time that it goes on, also of those that we caused: if the program was stopped again since, so is it, or will be
    /// in a moment.
    fn only_front_was_continued(&self) -> bool {
        let Some(front) = self.front.filter(|_| self.is_stopped) else { return false };
        thread::sleep(SETTLED);
        let stat = fs::read_to_string(format!("/proc/{}/stat", front.as_raw_nonzero())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('T'))
    }

    fn tell_front(&self, signal: Signal) {
        if let Some(front) = self.front.filter(|front| getppid() == Some(*front)) {
            let _ = kill_process(front, signal);
        }
    }
}

impl Process {
    fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        let known = pidfd_open(pid, PidfdFlags::empty()).map(|descriptor| Self::Known(pid, descriptor));
        Some(known.unwrap_or(Self::Number(pid)))
    }

    fn is(&self, number: u32) -> bool {
        let (Self::Known(pid, _) | Self::Number(pid)) = self;
        pid.as_raw_nonzero().get().cast_unsigned() == number
    }

    /// Whether it is a child that has ended and was not waited for.
    fn has_ended(&self) -> bool {
        let (Self::Known(pid, _) | Self::Number(pid)) = self;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(*pid), options), Ok(Some(_)))
    }

    fn send(&self, signal: Signal) -> Result<(), Errno> {
        match self {
            Self::Known(_, descriptor) => pidfd_send_signal(descriptor, signal),
            Self::Number(pid) => kill_process(*pid, signal),
        }
    }
}

/// Those that this process does not ignore.
pub(super) fn not_ignored(mut signals: Vec<i32>) -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Signal n is bit n − 1.
    let ignored = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    signals.retain(|signal| ignored & (1 << (signal - 1)) == 0);
    signals
}
