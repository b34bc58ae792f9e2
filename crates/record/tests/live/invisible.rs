//! A program cannot tell that it is recorded.

use record::End;

use crate::model::play;
use crate::pythons::{each, each_from};
use crate::recorded::{command, plain, record};

#[test]
fn output_and_status_are_the_same() {
    let programs = [
        "print('out'); import sys; sys.stderr.write('err\\n'); sys.exit(3)",
        "raise KeyError('x')",
        "import os; os._exit(7)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os; os.abort()",
        "import gc, sys; print(getattr(gc, 'callbacks', 0), gc.get_count()[1:], sys.gettrace(), sys.getprofile())",
        "print(bytearray(1 << 50))",
    ];
    each(|python| {
        for program in programs {
            let recording = record(command(python, program));
            assert_eq!(recording.seen, plain(command(python, program)), "{python:?} {program}");
            play(&recording.events);
        }
    });
}

/// Prints the whole environment, in order; `_` differs in what a shell starts.
const ENVIRONMENT: &str = "
import os
print([item for item in os.environ.items() if item[0] != '_'])
print(os.popen('env | grep -c -e VIVARIUM_BOARD -e VIVARIUM_LD_PRELOAD -e vivarium-').read())
";

#[test]
fn the_environment_is_as_before() {
    each(|python| {
        let run = || {
            let mut command = command(python, ENVIRONMENT);
            command.env("VIVARIUM_OF_SOMEBODY", "kept");
            command
        };
        let seen = record(run()).seen;
        assert!(!seen.stdout.contains("LD_PRELOAD") && !seen.stdout.contains("VIVARIUM_BOARD"), "{seen:?}");
        assert!(seen.stdout.contains("('VIVARIUM_OF_SOMEBODY', 'kept')"), "{seen:?}");
        assert_eq!(seen, plain(run()), "{python:?}");
    });
}

#[test]
fn an_earlier_preload_is_kept() {
    // A library that is there on every glibc; a separator of each kind.
    for earlier in ["libm.so.6", "libm.so.6 libdl.so.2", "libm.so.6:libdl.so.2", ""] {
        each(|python| {
            let run = || {
                let mut command = command(python, ENVIRONMENT);
                command.env("LD_PRELOAD", earlier);
                command
            };
            let recording = record(run());
            let expected = format!("('LD_PRELOAD', '{earlier}')");
            assert!(recording.seen.stdout.contains(&expected), "{:?}", recording.seen);
            assert_eq!(recording.seen, plain(run()), "{python:?}");
            assert_eq!(recording.end, End::Finished);
        });
    }
}

#[test]
fn no_descriptor_is_open() {
    let program = "
import os
fds = []
for fd in sorted(map(int, os.listdir('/proc/self/fd'))):
    try: fds.append((fd, os.readlink('/proc/self/fd/%d' % fd).split(':')[0]))
    except OSError: pass
print(fds, os.open('/dev/null', os.O_RDONLY))
";
    each(|python| {
        assert_eq!(record(command(python, program)).seen, plain(command(python, program)), "{python:?}");
    });
}

#[test]
fn allocator_statistics_are_printed_in_full() {
    let program = "
import sys
print(callable(sys._debugmallocstats), repr(sys._debugmallocstats))
for _ in range(3): sys._debugmallocstats()
x = [str(i) for i in range(10000)]
print(len(x))
";
    each_from((3, 6), |python| {
        let recording = record(command(python, program));
        let expected = plain(command(python, program));
        assert_eq!(recording.seen.stdout, expected.stdout);
        let shape = |text: &str| {
            let lines = text.lines().map(|line| line.trim_start_matches(|c: char| !c.is_alphabetic()));
            let known = |line: &&str| {
                ["Small block threshold", "class   size", "bytes in allocated blocks", "Total"]
                    .iter()
                    .any(|known| line.starts_with(known))
            };
            lines.filter(known).map(|line| line.get(..10).unwrap_or(line).to_owned()).collect::<Vec<_>>()
        };
        let shape_of = shape(&expected.stderr);
        assert!(shape_of.len() >= 9, "{python:?}: {}", expected.stderr);
        assert_eq!(shape(&recording.seen.stderr), shape_of, "{python:?}");
        let model = play(&recording.events);
        assert_eq!(model.marks, [record::MARK_DEBUG_MALLOC_STATS; 3]);
        assert!(model.allocated > 10_000 + 10_000, "recording goes on afterwards");
    });
}
