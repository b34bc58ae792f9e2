//! What is told of a recording before its events.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use record::Claim;
use trace::{Header, Interpreter, Machine, Program, Tier};

use super::{Arguments, TierChoice};
use crate::drain::by_version;

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

/// Seconds since 1970 began.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The command line of a process, if it can be seen.
pub(super) fn command_of(pid: u32) -> Option<Vec<OsString>> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words: Vec<_> =
        line.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect();
    // Each word ends with a zero.
    words.pop();
    (!words.is_empty()).then_some(words)
}

/// Whether the interpreter in this process runs what the command names last. Launchers may start other interpreters
/// before, to ask what they are.
pub(super) fn is_program(pid: u32, command: &[OsString]) -> bool {
    let name =
        |words: &[OsString]| words.last().and_then(|word| Path::new(word).file_name().map(OsStr::to_owned));
    let found = command_of(pid).filter(|found| found.len() > 1).and_then(|found| name(&found));
    command.len() > 1 && found.is_some() && found == name(command)
}

/// The header of the trace of an interpreter that was started by `command`.
pub(super) fn header(
    claim: &Claim,
    command: &[OsString],
    arguments: &Arguments,
    tier: Tier,
) -> Result<Header, String> {
    // Older versions break the line before the compiler's name.
    let build = claim.version.split_whitespace().collect::<Vec<_>>().join(" ");
    let version = build.split_whitespace().next().unwrap_or_default().trim_end_matches('+').to_owned();
    let allocator = by_version(&version).ok_or_else(|| {
        format!("CPython {version} is not known here: its allocator may differ from all others")
    })?;
    let lossy = |text: &OsString| text.to_string_lossy().into_owned();
    let mut header = Header {
        recorder: concat!("vivarium ", env!("CARGO_PKG_VERSION")).to_owned(),
        started: now(),
        program: Program { name: program_name(command), command: Some(command.iter().map(lossy).collect()) },
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
        tier,
        collections: false,
        tier_reason: match (tier, arguments.tier) {
            (Tier::Counts, _) => "nothing further can be recorded",
            (Tier::Objects, _) => "changes of counts are not told by this interpreter",
            (_, None | Some(TierChoice::Blocks)) | (Tier::Collections, Some(TierChoice::Collections)) => {
                "births and deaths of objects were not asked for (--tier objects)"
            }
            (_, Some(TierChoice::Collections)) => {
                "collections are recorded of CPython 3.8 and later, but for 3.14.0 to 3.14.4"
            }
            (_, Some(TierChoice::Objects)) => {
                "births and deaths of objects are recorded of CPython 3.13.3 and later, but for 3.14.0 to 3.14.4, on \
                 x86-64: older ones do not tell of all deaths, and those have a collector of their own"
            }
            (_, Some(TierChoice::Counts)) => {
                "changes of counts are told by interpreters that were built to do so"
            }
        }
        .to_owned(),
        parent: None,
    };
    if arguments.redact {
        header.redact();
    }
    Ok(header)
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
}
