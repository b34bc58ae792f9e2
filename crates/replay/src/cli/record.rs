//! `replay record`.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use record::{Claim, Consumer, Refusal, Session, SessionOptions, State};
use trace::{Ending, Header, Interpreter, Machine, Program, Tier, Totals};

use super::{complain, numbers};
use crate::drain::{Drain, by_version};

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
    /// How much to record
    #[arg(long, value_enum, default_value_t = TierChoice::Auto)]
    tier: TierChoice,
    /// Leave the command line and the interpreter's place out of the trace
    #[arg(long)]
    redact: bool,
    /// The command, with its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TierChoice {
    /// As much as the interpreter lets be seen
    Auto,
    /// Blocks and arenas
    Blocks,
}

/// Exit statuses of commands that run commands, as shells and `env` have them.
const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(super) fn run(arguments: Arguments) -> ExitCode {
    if let Some(output) = arguments.output.as_deref().filter(|output| !arguments.force && output.exists()) {
        complain(format_args!("{} exists: choose another file, or overwrite it with -f", output.display()));
        return ExitCode::from(FAILED);
    }
    let session = match Session::new(&SessionOptions::default()) {
        Ok(session) => session,
        Err(error) => {
            complain(error);
            return ExitCode::from(FAILED);
        }
    };
    // An interrupt from the terminal goes to the program as well, and what it means is the program's business. (A
    // handler, unlike ignoring, is not inherited by the program.)
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGQUIT] {
        // Registering fails for forbidden signals only, and these are not.
        let _ = signal_hook::flag::register(signal, Arc::clone(&ignored));
    }
    let Some((program, rest)) = arguments.command.split_first() else { return ExitCode::from(FAILED) };
    let mut command = Command::new(program);
    command.args(rest);
    session.configure(&mut command);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            complain(format_args!("{}: {error}", program.display()));
            let not_found = error.kind() == io::ErrorKind::NotFound;
            return ExitCode::from(if not_found { NOT_FOUND } else { NOT_EXECUTABLE });
        }
    };
    let recorded = record(session.into_consumer(), &mut child, &arguments);
    let status = child.wait();
    match (recorded.and_then(|recorded| recorded.finish(&arguments, &status)), status) {
        (Ok(()), Ok(status)) => ExitCode::from(exit_code(status)),
        (Ok(()), Err(error)) => {
            complain(error);
            ExitCode::from(FAILED)
        }
        (Err(why), _) => {
            complain(why);
            ExitCode::from(FAILED)
        }
    }
}

fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(FAILED)
}

/// A recording whose program has ended.
struct Recorded {
    drain: Drain<BufWriter<File>>,
    path: PathBuf,
    duration: Duration,
}

/// Follows the program to its end. The error is a sentence for the person who gave the command; the program goes on
/// unrecorded.
fn record(mut consumer: Consumer, child: &mut Child, arguments: &Arguments) -> Result<Recorded, String> {
    let claim = wait_for_interpreter(&mut consumer, child)?;
    let start = Instant::now();
    let program = program_name(&arguments.command);
    let path = arguments.output.clone().unwrap_or_else(|| format!("{program}.{}.viv", claim.pid).into());
    let header = header(&claim, program, arguments)?;
    let shared_pools = minor_version(&header.interpreter.version) <= Some((3, 11));
    let (target, force) = (path.clone(), arguments.force);
    let mut drain = Drain::new(header, move || create(&target, force));
    let outcome = drain_all(&mut consumer, child, &mut drain);
    let duration = start.elapsed();
    let status = consumer.status();
    drop(consumer);
    // Up to 3.11 all interpreters of a process share one lock and one set of pools.
    let healthy = outcome.and_then(|()| match status {
        _ if status.concurrent || (status.several_interpreters && !shared_pools) => {
            Err("the program has more than one interpreter (sub-interpreters with a lock and pools of their \
                 own), and their calls have no common order: record a program with one"
                .to_owned())
        }
        _ if status.hooks_lost || !status.initialized => {
            Err("the interpreter does not use its pools, or never started: \
             record without PYTHONMALLOC and without -X dev, which replace the allocator"
                .to_owned())
        }
        _ => Ok(()),
    });
    match healthy {
        Ok(()) => Ok(Recorded { drain, path, duration }),
        Err(why) => {
            discard(drain, &path);
            Err(why)
        }
    }
}

/// Removes half a trace.
fn discard(drain: Drain<BufWriter<File>>, path: &Path) {
    let begun = drain.has_begun();
    drop(drain);
    if begun {
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

/// How long to sleep when there is nothing to read.
const NAP: Duration = Duration::from_millis(20);

/// Waits until an interpreter starts to be recorded.
fn wait_for_interpreter(consumer: &mut Consumer, child: &mut Child) -> Result<Claim, String> {
    const NO_PYTHON: &str = "nothing was recorded: the command ran no CPython whose allocator can be observed (a \
                             set-uid program, or one that is linked statically, ignores the recorder)";
    loop {
        match consumer.state() {
            State::Refused(why) => return Err(refusal(why).to_owned()),
            State::Unclaimed => {}
            _ => return consumer.claim().ok_or_else(|| NO_PYTHON.to_owned()),
        }
        let ended = child.try_wait().map_err(|error| error.to_string())?.is_some();
        // Whoever claimed did so before it ended.
        if ended && consumer.state() == State::Unclaimed {
            return Err(NO_PYTHON.to_owned());
        }
        consumer.wait(NAP);
    }
}

/// Why an interpreter cannot be recorded, and what to do.
fn refusal(why: Refusal) -> &'static str {
    match why {
        Refusal::FreeThreaded => {
            "this is a free-threaded build of CPython, whose allocations have no common order and come from no pools: \
             record with a build that has the interpreter lock"
        }
        Refusal::System => {
            "the program's process could not map the recorder's memory: raise its memory limit (ulimit -v)"
        }
        _ => "the interpreter cannot be recorded",
    }
}

/// Reads events until the program has ended.
fn drain_all(
    consumer: &mut Consumer,
    child: &mut Child,
    drain: &mut Drain<BufWriter<File>>,
) -> Result<(), String> {
    let mut failed = None;
    loop {
        let state = consumer.state();
        let mut sink = |event| {
            if failed.is_none() {
                failed = drain.push(event).err();
            }
        };
        let ended = !matches!(state, State::Recording);
        let drained = if ended { consumer.drain_rest(&mut sink) } else { consumer.drain(&mut sink) };
        let drained = drained.map_err(|error| error.to_string())?;
        if let Some(error) = failed {
            return Err(error.to_string());
        }
        if let State::Refused(why) = state {
            return Err(refusal(why).to_owned());
        }
        if ended {
            return Ok(());
        }
        if drained.slots == 0 {
            // A process in another pid namespace cannot be watched; then the end of the command is the end.
            if !matches!(child.try_wait(), Ok(None)) {
                consumer.child_has_ended();
            }
            consumer.wait(NAP);
        }
    }
}

/// The major and minor number of a version.
fn minor_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// A short name for the program: of a script or module that Python runs, else of the command.
fn program_name(command: &[OsString]) -> String {
    let stem = |path: &OsString| {
        let stem = Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        stem.unwrap_or_else(|| "program".to_owned())
    };
    let Some((first, rest)) = command.split_first() else { return "program".to_owned() };
    if !stem(first).starts_with("python") {
        return stem(first);
    }
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        match argument.to_str() {
            Some("-m") => {
                return rest.next().map_or_else(|| stem(first), |m| m.to_string_lossy().into_owned());
            }
            // Options with a value of their own.
            Some("-W" | "-X") => {
                rest.next();
            }
            Some("-c" | "-") => break,
            Some(option) if option.starts_with('-') => {}
            _ => return stem(argument),
        }
    }
    stem(first)
}

fn header(claim: &Claim, program: String, arguments: &Arguments) -> Result<Header, String> {
    // Older versions break the line before the compiler's name.
    let build = claim.version.split_whitespace().collect::<Vec<_>>().join(" ");
    let version = build.split_whitespace().next().unwrap_or_default().trim_end_matches('+').to_owned();
    let allocator = by_version(&version).ok_or_else(|| {
        format!("CPython {version} is not known here: its allocator may differ from all others")
    })?;
    let lossy = |text: &OsString| text.to_string_lossy().into_owned();
    let mut header = Header {
        recorder: concat!("vivarium ", env!("CARGO_PKG_VERSION")).to_owned(),
        started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        program: Program { name: program, command: Some(arguments.command.iter().map(lossy).collect()) },
        interpreter: Interpreter {
            implementation: "CPython".to_owned(),
            version,
            build,
            executable: Some(claim.executable.to_string_lossy().into_owned()),
        },
        machine: Machine {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            processors: std::thread::available_parallelism()
                .map_or(1, |processors| u32::try_from(processors.get()).unwrap_or(u32::MAX)),
        },
        allocator,
        tier: Tier::Blocks,
        tier_reason: match arguments.tier {
            TierChoice::Blocks => "no more was asked for",
            TierChoice::Auto => "this version records no more",
        }
        .to_owned(),
    };
    if arguments.redact {
        header.redact();
    }
    Ok(header)
}

impl Recorded {
    /// Completes the trace and tells where it is.
    fn finish(self, arguments: &Arguments, status: &io::Result<ExitStatus>) -> Result<(), String> {
        let ending = status.as_ref().map_or(Ending::Unknown, |status| {
            let exited = status.code().map(Ending::Exited);
            exited.or_else(|| status.signal().map(Ending::Signalled)).unwrap_or(Ending::Unknown)
        });
        let microseconds = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        let finished = self.drain.finish(ending, microseconds);
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
    fn programs_have_short_names() {
        for (command, name) in [
            (&["python3", "app.py", "-c"][..], "app"),
            (&["/usr/bin/python3.13", "-X", "utf8", "-O", "tools/run.py"], "run"),
            (&["python", "-m", "json.tool", "x"], "json.tool"),
            (&["python3", "-c", "pass"], "python3"),
            (&["./serve.py"], "serve"),
            (&["pytest", "tests"], "pytest"),
        ] {
            let command: Vec<OsString> = command.iter().map(OsString::from).collect();
            assert_eq!(program_name(&command), name);
        }
    }

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(shell_quoted(Path::new("app.12.viv")), "app.12.viv");
        assert_eq!(shell_quoted(Path::new("it's here")), r"'it'\''s here'");
    }
}
