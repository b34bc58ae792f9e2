//! Measuring processes from outside.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
#[cfg(feature = "peers")]
use std::process::Output;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "peers")]
use rustix::io::Errno;
#[cfg(feature = "peers")]
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
#[cfg(feature = "peers")]
use rustix::time::{ClockId, clock_gettime};

use crate::Result;

/// How long a process and those that it waited for took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// From before its start until after its end, in seconds.
    pub(crate) wall: f64,
    /// The processors' time of all of them, in user and system mode, in seconds.
    pub(crate) cpu: f64,
}

/// Runs something while this thread, and what it starts, may use one processor only.
pub(crate) fn on_one_processor<T>(what: impl FnOnce() -> Result<T>) -> Result<T> {
    let failed = |error| format!("processes cannot be bound to a processor: {error}");
    let all = sched_getaffinity(None).map_err(failed)?;
    // The last one: the first has more interrupts to serve.
    let last = (0..CpuSet::MAX_CPU).rev().find(|&cpu| all.is_set(cpu)).unwrap_or(0);
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one).map_err(failed)?;
    let result = what();
    sched_setaffinity(None, &all).map_err(failed)?;
    result
}

/// Runs a command to its end, without input or output, and says how long it took; it has to end well.
pub(crate) fn time(command: &mut Command) -> Result<Took> {
    match run(command)? {
        (took, status) if status.success() => Ok(took),
        _ => Err(format!("{} failed: run it by hand to see why", shown(command))),
    }
}

/// Runs a command to its end, without input or output, and says how long it took and how it ended.
pub(crate) fn run(command: &mut Command) -> Result<(Took, ExitStatus)> {
    let start = Instant::now();
    let child = quiet(command).spawn().map_err(|error| told(command, &error))?;
    let pid =
        libc::pid_t::try_from(child.id()).map_err(|_| "a process has an impossible number".to_owned())?;
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    let usage = loop {
        // SAFETY: the process is a child of ours that nobody else waits for (`child` is not touched any more, and
        // dropping it does not wait); both places are ours to write; a structure of numbers may be all zeroes.
        let (waited, usage) =
            unsafe { (libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()), usage.assume_init()) };
        if waited == pid {
            break usage;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(told(command, &error));
        }
    };
    let wall = start.elapsed().as_secs_f64();
    let seconds = |time: libc::timeval| {
        let whole = u64::try_from(time.tv_sec).unwrap_or(0);
        let micros = u64::try_from(time.tv_usec).unwrap_or(0);
        (Duration::from_secs(whole) + Duration::from_micros(micros)).as_secs_f64()
    };
    let took = Took { wall, cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime) };
    Ok((took, ExitStatus::from_raw(status)))
}

/// Nanoseconds that this thread has had a processor, so that what else runs on the machine counts little. (Of a process whose time is
/// limited the kernel knows it from one tick of its clock to the next.)
#[cfg(feature = "peers")]
pub(crate) fn processor_time() -> i64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Runs a command to its end and gives back what it said; `None` if it was ended because it had taken so much of a processor's
/// time.
#[cfg(feature = "peers")]
pub(crate) fn output_within(command: &mut Command, limit: Duration) -> Result<Option<Output>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| told(command, &error))?;
    let seconds = limit.as_secs().max(1);
    let limits = [
        (Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(seconds + 5) }),
        // It need not leave a memory image.
        (Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }),
    ];
    for (resource, limit) in limits {
        match prlimit(Some(Pid::from_child(&child)), resource, limit) {
            // It may have ended already.
            Ok(_) | Err(Errno::SRCH) => {}
            Err(error) => return Err(format!("a process cannot be given a limit: {error}")),
        }
    }
    let output = child.wait_with_output().map_err(|error| told(command, &error))?;
    Ok((output.status.signal() != Some(libc::SIGXCPU)).then_some(output))
}

/// Runs a command to its end and says how much of its memory was resident at most, in bytes.
///
/// Asked again and again while it runs: what the kernel tells afterwards (`ru_maxrss`) is at least what *this* process
/// had when it started the other.
pub(crate) fn peak_memory(command: &mut Command) -> Result<u64> {
    let mut child = quiet(command).spawn().map_err(|error| told(command, &error))?;
    let mut peak = 0;
    loop {
        peak = peak.max(high_water_mark(&child.id().to_string()).unwrap_or(0));
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_micros(500)),
            Ok(Some(status)) if status.success() => return Ok(peak),
            Ok(Some(status)) => return Err(format!("{} failed ({status})", shown(command))),
            Err(error) => return Err(told(command, &error)),
        }
    }
}

/// Touches so many bytes of new memory in small and in huge pages, and gives them back.
///
/// A virtual machine may have returned to its host what it does not use, and then waits for the host with each page: who
/// is measured first would pay for all. After this, the pages that a process gets are there.
#[cfg(feature = "peers")]
pub(crate) fn warm_up_memory(bytes: usize) -> Result<()> {
    const PAGE: usize = 4096;
    let failed = |error: io::Error| format!("there is no memory to warm up: {error}");
    for huge in [false, true] {
        let mut memory = memmap2::MmapMut::map_anon(bytes.max(PAGE)).map_err(failed)?;
        if huge {
            // Where there are none, nobody gets any.
            let _ = memory.advise(memmap2::Advice::HugePage);
        }
        memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        std::hint::black_box(&memory);
    }
    Ok(())
}

/// The most memory that was resident of a process (a number, or `self`), in bytes.
pub(crate) fn high_water_mark(process: &str) -> Option<u64> {
    memory(process, "VmHWM:")
}

/// A line of what the kernel says of a process' memory, in bytes.
pub(crate) fn memory(process: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(Path::new("/proc").join(process).join("status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn told(command: &Command, error: &io::Error) -> String {
    format!("{}: {error}", shown(command))
}

/// A command as one would type it, with short paths.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| crate::workspace::shown(Path::new(word))).collect::<Vec<_>>().join(" ")
}
