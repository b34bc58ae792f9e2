//! Interpreters without lasting hooks, linked in the ways in which linkers differ.

use std::path::Path;
use std::process::Command;

use record::{End, Refusal};

use crate::model::play;
use crate::pythons::{Python, each};
use crate::recorded::{command, plain, record};

/// Loads extension modules, which refer to the allocator by its name.
const PROGRAM: &str = "
import ctypes, datetime, json, math
x = [json.dumps({'n': n, 'day': str(datetime.date.fromordinal(n + 1))}) for n in range(3000)]
print(len(x))
";

/// The library of an interpreter, linked again: lazily bound, bound at the start and protected then, with symbols in the
/// segment of the code, and with calls that stay inside.
#[test]
fn however_the_library_is_linked() {
    each(|python| {
        if python.number > (3, 6) {
            return;
        }
        for (flags, passes) in [
            (&["-Wl,-z,relro", "-Wl,-z,lazy"][..], true),
            (&["-Wl,-z,norelro", "-Wl,-z,lazy", "-Wl,-z,noseparate-code"], true),
            (&["-Wl,-z,relro", "-Wl,-z,now"], true),
            (&["-Wl,-z,now", "-Wl,-z,noseparate-code", "-Wl,--hash-style=sysv"], true),
            (&["-Wl,-Bsymbolic"], false),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            if !link(python, flags, folder.path()) {
                eprintln!("skipped: {} has no library to link with, or there is no linker", python.version);
                return;
            }
            let run = || {
                let mut run = command(python, PROGRAM);
                run.env("LD_LIBRARY_PATH", folder.path());
                run
            };
            let recording = record(run());
            assert_eq!(recording.seen, plain(run()), "{python:?} {flags:?}");
            let library = recording.claim.expect("a claim").library;
            assert_eq!(library.parent(), Some(folder.path()), "{python:?} {flags:?}: another was used");
            // 3.6 only has to be caught when it sets its hooks, which calls of the C library give away.
            if passes || python.number == (3, 6) {
                assert_eq!(recording.end, End::Finished, "{python:?} {flags:?}");
                assert!(recording.status.initialized && !recording.status.hooks_lost, "{python:?} {flags:?}");
                assert!(!recording.status.hooks_wrapped, "{python:?} {flags:?}");
                assert!(play(&recording.events).allocated > 10_000, "{python:?} {flags:?}");
            } else {
                assert_eq!(recording.end, End::Refused(Refusal::DirectCalls), "{python:?} {flags:?}");
                assert_eq!(recording.events, [], "{python:?} {flags:?}");
            }
        }
    });
}

/// Makes a shared library of the archive that came with the interpreter.
fn link(python: &Python, flags: &[&str], folder: &Path) -> bool {
    let program = "
import sysconfig
for name in ('LIBPL', 'LIBRARY', 'INSTSONAME'): print(sysconfig.get_config_var(name))";
    let said = plain(command(python, program)).stdout;
    let [place, archive, name] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    let linked = Command::new("cc")
        .args(["-shared", "-o"])
        .arg(folder.join(name))
        .arg(format!("-Wl,-soname,{name}"))
        .args(flags)
        .args(["-Wl,--whole-archive", &format!("{place}/{archive}"), "-Wl,--no-whole-archive"])
        .args(["-lpthread", "-ldl", "-lutil", "-lm"])
        .output();
    linked.is_ok_and(|output| output.status.success())
}
