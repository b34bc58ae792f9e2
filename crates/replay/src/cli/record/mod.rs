//! `replay record`.

mod follow;
mod header;
mod limits;
mod program;
mod signals;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use record::{Consumer, Session, SessionOptions};
use trace::{Ending, Totals};

use super::{complain, numbers};
use crate::drain::Drain;
use follow::{End, Failure, drain_all, wait_for_interpreter};
use header::{header, minor_version, program_name};
use limits::Limits;
use program::{Program, missing_interpreter};
use signals::Signals;

/// Run a Python program and record what it does to its memory manager.
///
/// Standard input, output and error are the program's own. Exit status: the program's own (128 + n if signal n ended
/// it), 125 if the recording failed, 126 if the command cannot be executed, 127 if it was not found.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to write the trace [default: PROGRAM.PID.viv in this folder]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the file if it exists
    #[arg(short, long)]
    force: bool,
    /// How much of what happens to record: what a trace holds decides which checks `verify` can make
    #[arg(long, value_enum, default_value_t = TierChoice::Auto)]
    tier: TierChoice,
    /// Leave the command line and the interpreter's place out of the trace
    #[arg(long)]
    redact: bool,
    /// Record no longer than this (90s, 5m, 1h30m); the program goes on
    #[arg(long = "for", value_name = "TIME", value_parser = limits::time)]
    time: Option<Duration>,
    /// Record until the trace has about this size (500K, 20M, 1G); the program goes on
    #[arg(long, value_name = "SIZE", value_parser = limits::size)]
    max_size: Option<ByteSize>,
    /// The command, with its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TierChoice {
    /// As much as the interpreter lets be seen (for now, blocks)
    Auto,
    /// Every call of the allocators and every arena: checks `placement` and `arenas`
    Blocks,
}

/// Exit statuses of commands that run commands, as shells and `env` have them.
const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(super) fn run(arguments: Arguments) -> ExitCode {
    if let Some(why) = arguments.output.as_deref().and_then(|output| unusable(output, arguments.force)) {
        complain(why);
        return ExitCode::from(FAILED);
    }
    let session = match Session::new(&SessionOptions::default()) {
        Ok(session) => session,
        Err(error) => {
            complain(error);
            return ExitCode::from(FAILED);
        }
    };
    let signals = Signals::begin();
    let Some((program, rest)) = arguments.command.split_first() else { return ExitCode::from(FAILED) };
    let mut command = Command::new(program);
    command.args(rest);
    session.configure(&mut command);
    let seen = Program::of(program);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let not_found = error.kind() == io::ErrorKind::NotFound;
            let why = if not_found {
                missing_interpreter(program)
            } else {
                seen.and_then(|program| program.why_unreachable())
            };
            if let Some(why) = why {
                complain(why);
                return ExitCode::from(NOT_EXECUTABLE);
            }
            let is_script = Path::new(program).extension().is_some_and(|extension| extension == "py");
            let hint = if is_script {
                format!(" (did you mean: python3 {}?)", program.display())
            } else {
                String::new()
            };
            complain(format_args!("{}: {error}{hint}", program.display()));
            return ExitCode::from(if not_found { NOT_FOUND } else { NOT_EXECUTABLE });
        }
    };
    signals.forward_to(&child);
    let mut consumer = session.into_consumer();
    let recorded = record(&mut consumer, &mut child, seen, &arguments);
    let remains = consumer.end();
    // What is over already is told at once: the program may go on for long.
    let waiting = match recorded {
        Ok(recorded) if recorded.end == End::Limit => Err(recorded.finish(&arguments, Ending::Stopped)),
        Ok(recorded) => Ok(recorded),
        Err(why) => Err(Err(why)),
    };
    let told = waiting.map_err(|result| tell(result.map(|()| Some("the program goes on unrecorded"))));
    let status = child.wait();
    drop(remains);
    signals.end();
    let is_good = match told {
        Ok(recorded) => tell(recorded.finish(&arguments, ending(&status)).map(|()| None)),
        Err(is_good) => is_good,
    };
    match status {
        Ok(status) if is_good => ExitCode::from(exit_code(status)),
        Ok(_) => ExitCode::from(FAILED),
        Err(error) => {
            complain(error);
            ExitCode::from(FAILED)
        }
    }
}

/// Says what there is to say; whether that is good news.
fn tell(result: Result<Option<&str>, String>) -> bool {
    match &result {
        Ok(None) => {}
        Ok(Some(news)) => complain(news),
        Err(why) => complain(why),
    }
    result.is_ok()
}

fn ending(status: &io::Result<ExitStatus>) -> Ending {
    status.as_ref().map_or(Ending::Unknown, |status| {
        let exited = status.code().map(Ending::Exited);
        exited.or_else(|| status.signal().map(Ending::Signalled)).unwrap_or(Ending::Unknown)
    })
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(FAILED)
}

/// A recording that is over.
struct Recorded {
    drain: Drain<BufWriter<File>>,
    path: PathBuf,
    duration: Duration,
    end: End,
}

/// Why a trace cannot be written to this file, as far as that can be told before the program is started.
fn unusable(output: &Path, force: bool) -> Option<String> {
    let shown = output.display();
    if output.is_dir() {
        return Some(format!("{shown} is a folder: name a file in it"));
    }
    if output.exists() && !force {
        return Some(format!("{shown} exists: choose another file, or overwrite it with -f"));
    }
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    (!folder.is_dir()).then(|| format!("{shown} cannot be written: there is no folder {}", folder.display()))
}

/// Follows the program to its end, or that of the recording. The error is a sentence for the person who gave the
/// command; the program goes on unrecorded.
fn record(
    consumer: &mut Consumer,
    child: &mut Child,
    seen: Option<Program>,
    arguments: &Arguments,
) -> Result<Recorded, String> {
    let claim = wait_for_interpreter(consumer, child, seen)?;
    let start = Instant::now();
    let program = program_name(&arguments.command);
    let path = arguments.output.clone().unwrap_or_else(|| format!("{program}.{}.viv", claim.pid).into());
    let header = header(&claim, program, arguments)?;
    let shared_pools = minor_version(&header.interpreter.version) <= Some((3, 11));
    let (target, force) = (path.clone(), arguments.force);
    let mut drain = Drain::new(header, move || create(&target, force));
    let limits = Limits { time: arguments.time, size: arguments.max_size.map(|size| size.as_u64()) };
    let outcome = drain_all(consumer, child, &mut drain, limits);
    let duration = start.elapsed();
    let status = consumer.status();
    // Up to 3.11 all interpreters of a process share one lock and one set of pools.
    let healthy = outcome.and_then(|end| match status {
        _ if status.concurrent || (status.several_interpreters && !shared_pools) => Err(Failure::Worthless(
            "the program has more than one interpreter (sub-interpreters with a lock and pools of their own), and \
             their calls have no common order: record a program with one"
                .to_owned(),
        )),
        _ if status.hooks_lost || !status.initialized => Err(Failure::Worthless(
            "the interpreter does not use its pools, or never started: record without PYTHONMALLOC and without -X \
             dev, which replace the allocator"
                .to_owned(),
        )),
        _ => Ok(end),
    });
    match healthy {
        Ok(end) => Ok(Recorded { drain, path, duration, end }),
        Err(Failure::Worthless(why)) => {
            discard(drain, &path);
            Err(why)
        }
        Err(Failure::Cut(error)) if drain.has_begun() => Err(format!(
            "{error}; what was recorded until then is in {} (the program goes on unrecorded)",
            path.display()
        )),
        Err(Failure::Cut(error)) => Err(error.to_string()),
    }
}

/// Removes half a trace.
fn discard(drain: Drain<BufWriter<File>>, path: &Path) {
    let begun = drain.has_begun();
    drop(drain);
    // A device, or whatever else was named, is not ours to remove.
    if begun && path.symlink_metadata().is_ok_and(|file| file.is_file()) {
        // If it cannot be removed it stays, and says itself that it is not whole.
        let _ = std::fs::remove_file(path);
    }
}

fn create(path: &Path, force: bool) -> Result<BufWriter<File>, trace::Error> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    Ok(BufWriter::new(options.open(path).map_err(named)?))
}

impl Recorded {
    /// Completes the trace and tells where it is.
    fn finish(self, arguments: &Arguments, ending: Ending) -> Result<(), String> {
        let microseconds = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        let finished = self.drain.finish(ending, microseconds, self.end != End::Finished);
        let (Totals { events, .. }, bytes) = finished.map_err(|error| {
            if arguments.output.is_none() || arguments.force {
                format!("{error}; what was written is in {}", self.path.display())
            } else {
                error.to_string()
            }
        })?;
        let path = self.path.display();
        complain(format_args!(
            "recorded {} events in {path}, {} ({:.2} bytes per event)",
            numbers::count(events),
            numbers::bytes(bytes),
            numbers::ratio(bytes, events),
        ));
        complain(format_args!("to verify them: replay verify {}", shell_quoted(&self.path)));
        Ok(())
    }
}

/// A path as a shell takes it.
fn shell_quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(shell_quoted(Path::new("app.12.viv")), "app.12.viv");
        assert_eq!(shell_quoted(Path::new("it's here")), r"'it'\''s here'");
    }
}
