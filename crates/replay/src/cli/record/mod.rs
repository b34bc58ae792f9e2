//! `replay record`.

mod family;
mod follow;
mod front;
mod header;
mod limits;
mod process;
mod program;
mod signals;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use record::{Objects, Session, SessionOptions};
use trace::{Ending, Tier};

use super::{complain, numbers};
use crate::nearest::nearest;
use family::Family;
use follow::{End, NAP};
use header::is_program;
use process::{Recorded, shell_quoted};
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
    /// How much of what happens to record, or less if the interpreter does not tell as much: what a trace holds decides which
    /// checks `verify` can make [default: blocks; counts of interpreters that report them]
    #[arg(long, value_enum)]
    tier: Option<TierChoice>,
    /// Leave the command line and the interpreter's place out of the trace
    #[arg(long)]
    redact: bool,
    /// Record no longer than this (90s, 5m, 1h30m); the program goes on
    #[arg(long = "for", value_name = "TIME", value_parser = limits::time)]
    time: Option<Duration>,
    /// Record until the traces have about this size (500K, 20M, 1G); the program goes on. (What is under way is still
    /// written: some 100K at most)
    #[arg(long, value_name = "SIZE", value_parser = limits::size)]
    max_size: Option<ByteSize>,
    /// Record the interpreters that it forks and starts, too, each in a trace of its own (FILE-1, FILE-2, … or
    /// PROGRAM.PID.viv); that of a forked one goes on from its parent's, which has to stay beside it
    #[arg(long)]
    follow: bool,
    /// Where the process in front of this one passes signals on
    #[arg(long, hide = true)]
    behind: Option<PathBuf>,
    /// The command, with its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TierChoice {
    /// Every call of the allocators and every arena: checks `placement` and `arenas`
    Blocks,
    /// Collections as well, with what the collector looked at and what was left (CPython 3.8 and later, but for 3.14.0 to
    /// 3.14.4): checks `schedule`, `partition`, `survivors` and `stats`, too
    Collections,
    /// Births and deaths of objects as well, with what they refer to when they die, where that can be seen (CPython 3.13.3
    /// and later, but for 3.14.0 to 3.14.4, on x86-64; counts of interpreters that report them): checks `deaths` and
    /// `placement-from-deaths`, too
    Objects,
    /// Every change of a reference count as well, of interpreters that were built to report these: check `counts`, too
    Counts,
}

impl TierChoice {
    fn tier(self) -> Tier {
        match self {
            Self::Blocks => Tier::Blocks,
            Self::Collections => Tier::Collections,
            Self::Objects => Tier::Objects,
            Self::Counts => Tier::Counts,
        }
    }
}

/// Exit statuses of commands that run commands, as shells and `env` have them.
pub(super) const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// How long to wait for interpreters that may be on their way when everything else has ended.
const LATECOMERS: Duration = Duration::from_millis(100);

pub(super) fn run(arguments: Arguments) -> ExitCode {
    if let Some(why) = arguments.command.first().and_then(|command| no_option(command)) {
        complain(why);
        return ExitCode::from(FAILED);
    }
    if arguments.behind.is_none()
        && let Some(status) = front::stand()
    {
        return status;
    }
    if let Some(why) = arguments.output.as_deref().and_then(|output| unusable(output, &arguments)) {
        complain(why);
        return ExitCode::from(FAILED);
    }
    let options = SessionOptions {
        children: arguments.follow,
        objects: match arguments.tier {
            None => Objects::CountsIfReported,
            Some(TierChoice::Blocks) => Objects::Nothing,
            Some(TierChoice::Collections) => Objects::Collections,
            Some(TierChoice::Objects) => Objects::Deaths,
            Some(TierChoice::Counts) => Objects::Counts,
        },
        ..SessionOptions::default()
    };
    let signals = Signals::begin(arguments.behind.as_deref());
    let session = Session::new(&options)
        .map_err(|error| complain(format_args!("{error}: the program runs unrecorded")))
        .ok();
    let Some((program, rest)) = arguments.command.split_first() else { return ExitCode::from(FAILED) };
    let mut command = Command::new(program);
    command.args(rest);
    if let Some(session) = &session {
        session.configure(&mut command);
    }
    let seen = Program::of(program);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let (why, status) = why_not_started(program, &error, seen);
            complain(why);
            return ExitCode::from(status);
        }
    };
    signals.forward_to(&child);
    let (is_good, status) = match session {
        Some(session) => record(session, child, seen, &signals, &arguments),
        None => (false, child.wait()),
    };
    signals.end();
    match status {
        Ok(status) if is_good => ExitCode::from(exit_code(status)),
        Ok(_) => ExitCode::from(FAILED),
        Err(error) => {
            complain(error);
            ExitCode::from(FAILED)
        }
    }
}

/// Why this is no command, if it looks like an option: what is none of ours is taken for the command's first word.
fn no_option(command: &OsStr) -> Option<String> {
    let word = command.to_str().filter(|word| word.starts_with('-'))?;
    // One letter may have been meant for anything.
    let name = word.strip_prefix("--").unwrap_or_default().split('=').next().unwrap_or_default();
    let ours = <Arguments as clap::Args>::augment_args(clap::Command::new("record"));
    let options =
        ours.get_arguments().filter(|argument| !argument.is_hide_set()).filter_map(clap::Arg::get_long);
    let hint = match &nearest(name, options)[..] {
        [option, ..] => format!(" (did you mean --{option}?)"),
        [] => String::new(),
    };
    Some(format!(
        "{word} is no option of `record`{hint}: options stand before the command, as in `replay record --tier objects -- \
         python3 app.py`; a command whose own name begins with - needs its path, as in ./{word}"
    ))
}

/// Why the command cannot be executed, and the status that says so.
fn why_not_started(program: &OsStr, error: &io::Error, seen: Option<Program>) -> (String, u8) {
    let not_found = error.kind() == io::ErrorKind::NotFound;
    let why = if not_found {
        missing_interpreter(program)
    } else {
        seen.and_then(|program| program.why_unreachable())
    };
    if let Some(why) = why {
        return (why, NOT_EXECUTABLE);
    }
    let is_script = Path::new(program).extension().is_some_and(|extension| extension == "py");
    let hint =
        if is_script { format!(" (did you mean: python3 {}?)", program.display()) } else { String::new() };
    let status = if not_found { NOT_FOUND } else { NOT_EXECUTABLE };
    (format!("{}: {error}{hint}", program.display()), status)
}

/// Records what the command does until it, and all that is recorded, has ended. Answers whether that went well, and with
/// the command's status.
fn record(
    mut session: Session,
    child: Child,
    seen: Option<Program>,
    signals: &Signals,
    arguments: &Arguments,
) -> (bool, io::Result<ExitStatus>) {
    let family = Family::new(arguments, signals, child);
    // What is over already is told at once: the program may go on for long.
    let (first, let_go) = accept_all(&mut session, seen, &family);
    let first = first.and_then(|recorded| {
        if recorded.end == End::Limit { Err(recorded.finish(&family, Ending::Stopped)) } else { Ok(recorded) }
    });
    if first.is_err() {
        session.close();
    }
    let told = first.map_err(|result| match result {
        Ok(()) => {
            complain("the program goes on unrecorded");
            true
        }
        Err(why) => {
            complain(why);
            false
        }
    });
    let status = family.wait();
    let is_good = told.map_or_else(
        |is_good| is_good,
        |recorded| recorded.finish(&family, ending(&status)).map_err(complain).is_ok(),
    );
    let traces = family.traces();
    if !traces.is_empty() {
        let traces: Vec<_> = traces.iter().map(|trace| shell_quoted(trace)).collect();
        complain(format_args!(
            "to verify {}: replay verify {}",
            if traces.len() == 1 { "it" } else { "them" },
            traces.join(" ")
        ));
    }
    tell_unrecorded(session.unrecorded() + let_go, arguments.follow);
    (is_good && !family.has_failed(), status)
}

/// The recording of the program, in a thread of its own.
struct First<'scope> {
    /// Whether it was told from other interpreters by its command line.
    is_program: bool,
    thread: ScopedJoinHandle<'scope, Result<Recorded, String>>,
}

impl First<'_> {
    fn join(self) -> Result<Recorded, String> {
        let panicked = "the recorder stopped unexpectedly; please report this program";
        self.thread.join().unwrap_or_else(|_| Err(panicked.to_owned()))
    }
}

/// Has interpreters recorded as they take rings, each by a thread of its own, until there will be no more. Returns the
/// recording of the program, of which it may be known later how it ended, and how many interpreters were let go; the
/// error is an answer already.
///
/// The program is the first interpreter, unless a launcher starts another one that is it by its command line.
fn accept_all(
    session: &mut Session,
    mut seen: Option<Program>,
    family: &Family<'_>,
) -> (Result<Recorded, Result<(), String>>, u32) {
    thread::scope(|scope| {
        let mut first: Option<First<'_>> = None;
        let mut others = Vec::new();
        let mut over_since = None;
        let mut let_go = 0;
        loop {
            // Whoever takes a ring does so before the command ends, or is started by somebody who does.
            let has_ended = family.command_has_ended();
            if !has_ended {
                Program::look_again(&mut seen, family.command_pid());
            }
            match session.accept(NAP) {
                Ok(Some(consumer)) if family.arguments.follow && first.is_some() => {
                    others.push(scope.spawn(move || process::record_child(consumer, family)));
                }
                Ok(Some(consumer)) => {
                    let pid = consumer.pid();
                    let is_command = pid == family.command_pid();
                    let is_program = is_command || is_program(pid, &family.arguments.command);
                    if first.as_ref().is_some_and(|first| first.is_program || !is_program) {
                        let_go += 1;
                        continue;
                    }
                    family.lead(consumer.number());
                    if let Some(other) = first.take() {
                        let_go += 1;
                        // If it has failed, that is no matter any more.
                        other.join().map_or_else(drop, Recorded::discard);
                    }
                    let thread = scope.spawn(move || process::record(consumer, family));
                    first = Some(First { is_program, thread });
                    // No launcher is there to start another one.
                    if is_command && !family.arguments.follow {
                        break;
                    }
                }
                Ok(None) => {
                    others.retain(|other: &ScopedJoinHandle<'_, ()>| !other.is_finished());
                    let is_over =
                        first.as_ref().is_none_or(|first| first.thread.is_finished()) && others.is_empty();
                    if !is_over || !(has_ended || family.is_enough(0)) {
                        over_since = None;
                        continue;
                    }
                    // The last process may have started or forked an interpreter right before its end.
                    let patience = match first {
                        Some(_) if !family.arguments.follow => Duration::ZERO,
                        None if session.has_processes() => LATECOMERS * 10,
                        _ => LATECOMERS,
                    };
                    if over_since.get_or_insert_with(Instant::now).elapsed() >= patience {
                        break;
                    }
                }
                Err(error) => {
                    session.close();
                    complain(format_args!("{error}: no further interpreters are recorded"));
                    family.fail();
                }
            }
        }
        let nothing = || {
            let why =
                seen.map_or_else(|| "the command ran no CPython".to_owned(), |seen| seen.why_unrecorded());
            Err(format!("nothing was recorded: {why}"))
        };
        (first.map_or_else(nothing, First::join).map_err(Err), let_go)
    })
}

/// Says how many interpreters there are no traces of.
fn tell_unrecorded(count: u32, follow: bool) {
    let (interpreters, were) = if count == 1 { ("interpreter", "was") } else { ("interpreters", "were") };
    let shown = numbers::count(count.into());
    match (count, follow) {
        (0, _) => {}
        (_, false) => {
            complain(format_args!(
                "{shown} more {interpreters} {were} not recorded: --follow records them all"
            ));
        }
        (_, true) => complain(format_args!(
            "{shown} more {interpreters} could not reach the recorder, and {were} not recorded"
        )),
    }
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

/// Why a trace cannot be written to this file, as far as that can be told before the program is started.
fn unusable(output: &Path, arguments: &Arguments) -> Option<String> {
    let shown = output.display();
    if output.is_dir() {
        return Some(format!("{shown} is a folder: name a file in it"));
    }
    if output.exists() && !arguments.force {
        return Some(format!("{shown} exists: choose another file, or overwrite it with -f"));
    }
    if arguments.follow && output.exists() && !output.is_file() {
        return Some(format!("{shown} is no file: --follow writes several traces, each beside the others"));
    }
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    (!folder.is_dir()).then(|| format!("{shown} cannot be written: there is no folder {}", folder.display()))
}
