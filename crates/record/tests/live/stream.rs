//! What is recorded is consistent from the first event on.

use record::{End, Event, LibraryPlace, Session, SessionOptions};

use crate::model::play;
use crate::pythons::{each, each_from};
use crate::recorded::{command, plain, record, record_by, record_with};

/// Allocates, keeps, resizes and drops; two megabytes at the peak, so that arenas come and go.
const BUSY: &str = "
import sys
def work(n):
    kept = []
    for i in range(n):
        kept.append((i, str(i), [i], {'key': i}))
        if len(kept) > 4000: del kept[:3000]
        b'%d' % i * 300
    return len(kept)
sys.stderr.write('%d\\n' % work(30000))
";

#[test]
fn everything_is_there_from_the_beginning() {
    each(|python| {
        let recording = record(command(python, BUSY));
        assert_eq!(recording.seen, plain(command(python, BUSY)));
        assert_eq!(recording.end, End::Finished, "{python:?}");
        let claim = recording.claim.expect("a claim");
        let (short, rest) = python.version.split_once(' ').expect("a version");
        assert!(claim.version.starts_with(&format!("{short} ")), "{claim:?} {rest}");
        assert!(claim.executable.is_absolute() && claim.library.is_absolute(), "{claim:?}");
        let status = recording.status;
        assert!(status.initialized, "{python:?} {status:?}");
        assert_eq!(status.statistics, python.number > (2, 7), "{python:?}");
        assert!(!status.hooks_lost && !status.hooks_wrapped && !status.concurrent, "{status:?}");
        let model = play(&recording.events);
        assert!(model.allocated > 150_000, "{python:?}: {}", model.allocated);
        assert!(model.released > 150_000 && model.resized > 100, "{python:?}");
        assert!(model.arenas_acquired >= 2, "{python:?}");
        let (inside, outside) = model.small_blocks();
        assert!(outside <= inside / 50, "{python:?}: {inside} in arenas, {outside} not");
        // The pool was empty: the first thing that needs one asks for an arena, before any small block.
        let first = recording.events.iter().find(|event| {
            matches!(event, Event::ArenaAcquired { .. } | Event::Allocate { size: 1..=512, .. })
        });
        assert!(matches!(first, Some(Event::ArenaAcquired { .. })), "{python:?} {first:?}");
    });
}

#[test]
fn the_same_program_makes_the_same_calls() {
    each(|python| {
        let calls = || {
            let shape = |event| match event {
                Event::Allocate { domain, size, .. } => (domain as u8, size),
                Event::Resize { domain, size, .. } => (2 + domain as u8, size),
                Event::Release { domain, .. } => (4 + domain as u8, 0),
                Event::ArenaAcquired { size, .. } => (7, size),
                Event::ArenaReleased { size, .. } => (8, size),
                Event::Mark { code } => (9, code.into()),
                Event::Forked { fork } => (10, fork),
                Event::Object(_) => (11, 0),
            };
            let events = record(command(python, "print(1)")).events;
            events.into_iter().map(shape).collect::<Vec<_>>()
        };
        // Addresses, which differ, order some sets; a few calls may differ with them. And a module that another test
        // has just compiled is not compiled again.
        let mut runs = [calls(), calls(), calls()].map(|calls| calls.len());
        runs.sort_unstable();
        assert!(runs.windows(2).any(|pair| pair[0].abs_diff(pair[1]) < 50), "{python:?}: {runs:?}");
    });
}

#[test]
fn threads_do_not_disturb_the_order() {
    let program = "
import threading
def work():
    for i in range(20000): [str(i), {i: i}]
threads = [threading.Thread(target=work) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print('done')
";
    each(|python| {
        let recording = record(command(python, program));
        assert_eq!(recording.seen.stdout, "done\n", "{python:?} {:?}", recording.seen);
        assert!(!recording.status.concurrent);
        // Each turn makes a list and a string, and a dictionary, of which 2.7 keeps those that died, and takes none of
        // their tables from the pools.
        let allocated = play(&recording.events).allocated;
        assert!(
            allocated > if python.number > (2, 7) { 300_000 } else { 150_000 },
            "{python:?}: {allocated}"
        );
    });
}

#[test]
fn tracing_python_memory_goes_on() {
    let program = "
import tracemalloc
tracemalloc.start()
x = [str(i) for i in range(50000)]
print(len(x), len(tracemalloc.take_snapshot().traces) > 40000)
";
    each_from((3, 6), |python| {
        let recording = record(command(python, program));
        assert_eq!(recording.seen.stdout, "50000 True\n", "{python:?} {:?}", recording.seen);
        assert!(!recording.status.hooks_lost, "{python:?}");
        play(&recording.events);
    });
}

#[test]
fn tracing_that_never_stops_is_no_loss() {
    // Ends without giving the interpreter a chance to take its tracer out.
    let program = "
import tracemalloc, os, ctypes
tracemalloc.start()
x = [str(i) for i in range(200000)]
ctypes.CDLL(None).exit(0)
";
    each_from((3, 6), |python| {
        if !plain(command(python, "import ctypes")).status.success() {
            return;
        }
        let recording = record(command(python, program));
        assert_eq!(recording.end, End::Finished, "{python:?} {:?}", recording.seen);
        assert!(recording.status.hooks_wrapped && !recording.status.hooks_lost, "{python:?}");
        play(&recording.events);
    });
}

#[test]
fn other_allocators_are_noticed() {
    each_from((3, 6), |python| {
        let mut others = vec![("PYTHONMALLOC", "debug"), ("PYTHONMALLOC", "malloc")];
        if python.number >= (3, 7) {
            others.push(("PYTHONDEVMODE", "1"));
        }
        for (name, value) in others {
            let mut run = command(python, BUSY);
            run.env(name, value);
            let recording = record(run);
            assert!(recording.seen.status.success(), "{:?}", recording.seen);
            let status = recording.status;
            assert!(status.hooks_lost && !status.initialized, "{python:?} {name}={value}: {status:?}");
        }
    });
}

#[test]
fn other_allocators_are_noticed_before_the_end() {
    // Killed, so that the destructor has no say: the arenas give it away.
    let program = format!("{BUSY}\nimport os; os.kill(os.getpid(), 9)");
    each_from((3, 6), |python| {
        let mut run = command(python, &program);
        run.env("PYTHONMALLOC", "pymalloc_debug");
        let recording = record(run);
        assert_eq!(recording.end, End::Died);
        assert!(recording.status.hooks_lost, "{python:?} {:?}", recording.status);
    });
}

#[test]
fn several_interpreters_are_noticed() {
    // Those with a lock each (3.12 on) allocate at the same time, which has no order that could be recorded.
    let program = "
import sys, threading
try: import _xxsubinterpreters as interpreters
except ImportError: import _interpreters as interpreters
ids = [interpreters.create() for _ in range(2)]
code = 'x = [str(i) for i in range(200000)]\\n' * 3
run = lambda id: interpreters.run_string(id, code)
threads = [threading.Thread(target=run, args=(id,)) for id in ids]
for t in threads: t.start()
for t in threads: t.join()
print(sys.version_info >= (3, 12))
";
    each_from((3, 6), |python| {
        if !plain(command(python, program)).status.success() {
            eprintln!("skipped: {} has no interpreters module", python.version);
            return;
        }
        let mut lost_count = false;
        let session = Session::new(&SessionOptions { ring_bytes: 64 << 10, ..SessionOptions::default() });
        let recording =
            record_by(session.expect("a session"), command(python, program), |consumer, events, ended| {
                let end = consumer.follow(&mut |event| events.push(event), ended);
                lost_count = end.is_err();
                end.unwrap_or(End::Finished)
            });
        let status = recording.status;
        assert!(status.several_interpreters, "{python:?} {status:?}");
        let own_lock = recording.seen.stdout == "True\n";
        assert!(own_lock || recording.seen.stdout == "False\n", "{:?}", recording.seen);
        if own_lock {
            // On one core they may happen never to meet.
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            assert!(status.concurrent || lost_count || cores == 1, "{python:?} {status:?}");
        } else {
            assert!(!status.concurrent && !lost_count);
            play(&recording.events);
        }
    });
}

#[test]
fn a_stored_library_and_a_large_ring_do_as_well() {
    let folder = std::env::temp_dir().join(format!("vivarium-test-{}", std::process::id()));
    let options = SessionOptions {
        ring_bytes: 8 << 20,
        library: LibraryPlace::Folder(folder.clone()),
        ..SessionOptions::default()
    };
    each(|python| {
        let recording = record_with(command(python, "print(1)"), &options);
        assert_eq!(recording.seen.stdout, "1\n");
        assert_eq!(recording.end, End::Finished);
        play(&recording.events);
    });
    let _ = std::fs::remove_dir_all(folder);
}
