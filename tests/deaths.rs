//! Births and deaths of objects, recorded live: every death that another one explains is predicted, and what is wrong is
//! found where it is.

use std::path::{Path, PathBuf};

use replay::compare::Deaths;
use replay::engine::{DeathEngine, DeathPredictions};
use trace::{Death, Fetched, Frame, Step};

use crate::support::pythons::{Python, tellers};
use crate::support::{frames, replay, stderr, verify_json};

/// Cascades of all kinds: containers in each other, instances with and without slots, finalizers that revive, weak
/// references that call back, generators, closures, tracebacks, chains, threads.
const PROGRAM: &str = r#"
import json, re, threading, weakref
class Plain: pass
class Slotted:
    __slots__ = ("one", "two", "__weakref__")
class Last:
    kept = []
    def __del__(self):
        if len(Last.kept) < 5: Last.kept.append(self)
def chain(length):
    link = None
    for n in range(length): link = [link, str(n) * 2]
    return link
def numbers(n):
    for i in range(n): yield [i + 1000]
def fails():
    try: {}["no"]
    except KeyError as error: return error.__traceback__
called = []
def work(rounds):
    for n in range(rounds):
        plain = Plain(); plain.a = [n + 1000]; plain.b = {"k" + str(n): (n + 2000, [n + 3000])}
        slotted = Slotted(); slotted.one = plain; slotted.two = {(n, "x"): [str(n) * 3]}
        weak = weakref.ref(slotted, called.append)
        last = Last(); last.things = [Plain() for _ in range(3)]
        function = lambda x=[n + 1000], *, y={n: slotted}: (x, y, plain)
        json.loads(json.dumps([{"a": [n, str(n)]} for n in range(20)]))
        re.compile("a{%d}b|c(d+)" % (n % 50 + 1)).match("aab")
        list(numbers(5)); next(numbers(5)); fails(); chain(200)
work(60)
thread = threading.Thread(target=work, args=(20,)); thread.start(); thread.join()
print(len(called), len(Last.kept))
"#;

/// Records a program with its objects, and expects it to exit with this status. Answers what was said of that, too.
fn record(python: &Python, program: &str, status: i32) -> (tempfile::TempDir, PathBuf, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.viv");
    let output = replay()
        .args(["record", "--tier", "objects", "-o"])
        .arg(&path)
        .args([python.path.to_str().unwrap(), "-c", program])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(status), "{python:?} {}", stderr(&output));
    (folder, path, stderr(&output))
}

#[test]
fn deaths_are_predicted_and_place_blocks() {
    for python in tellers("deaths") {
        let (_folder, path, _) = record(&python, PROGRAM, 0);
        let (report, status) = verify_json(&path);
        assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{python:?} {report}");
        assert_eq!(report["tier"], "objects");
        let checks = report["checks"].as_array().unwrap();
        let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
        let number = |check: &serde_json::Value, name: &str| check[name].as_u64().unwrap();
        let deaths = check("deaths");
        assert_eq!(number(deaths, "facts"), number(deaths, "verified"), "{python:?} {deaths}");
        assert!(number(deaths, "facts") > 50_000, "{python:?} {deaths}");
        // A death has an end; those that are not given are predicted.
        let given = &deaths["given"];
        let told = ["outermost", "unexplained", "after program code"].map(|kind| number(given, kind));
        let ends = (number(deaths, "facts") + told.iter().sum::<u64>()) / 2;
        let predicted = ends - told.iter().sum::<u64>();
        assert!(predicted > 15_000 && told.iter().all(|told| *told > 0), "{python:?} {predicted} {given}");
        assert_eq!(number(check("placement-from-deaths"), "facts"), number(check("placement"), "facts"));
    }
}

/// Where there is little of the stack, deaths are put off: from 3.14 on that is told, and all else is predicted.
#[test]
fn what_is_deeper_than_the_stack_is_predicted_but_for_what_is_put_off() {
    let chain = "link = None
for n in range(200_000): link = [str(n) * 2, link, n + 1000]
del link";
    let threads = "import threading
class Plain: pass
def work():
    link = [[[n + 1000]] for n in range(3000)]
    for n in range(4000): link = (link, [str(n) * 2])
    link = None
    for n in range(4000):
        plain = Plain(); plain.before = [n + 1000]; plain.link = [str(n) * 2, link, (n + 1000,)]
        plain.behind = {n: [n + 1000]}; link = plain
    del plain; link = None
    for n in range(4000): link = (link,)
threading.stack_size(256 * 1024)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()";
    for python in tellers("deaths").into_iter().filter(|python| python.version >= (3, 14, 0)) {
        for program in [chain, threads] {
            let (_folder, path, _) = record(&python, program, 0);
            let (report, status) = verify_json(&path);
            let wrong = format!("{python:?} {program} {report}");
            assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{wrong}");
            let checks = report["checks"].as_array().unwrap();
            let deaths = checks.iter().find(|check| check["name"] == "deaths").unwrap();
            assert!(deaths["unverified"] == 0 && deaths["given"]["put off"].as_u64() > Some(0), "{wrong}");
        }
    }
}

/// Replays a trace after `change` has been at each frame, which it is given with the number of the first fact in it.
/// Answers where the deaths differ first, and all that was predicted.
fn replayed(path: &Path, mut change: impl FnMut(u64, &mut Frame)) -> (Option<u64>, Vec<Death>) {
    let (header, frames) = frames(path);
    let mut engine = DeathEngine::new(&header.allocator, &header.interpreter.version, header.tier).unwrap();
    let (mut bases, mut predictions) = (Fetched::default(), DeathPredictions::default());
    let (mut compared, mut all, mut at, mut stopped) = (Deaths::default(), Vec::new(), 0, None);
    for mut frame in frames {
        let facts = frame.objects.deaths.len() as u64;
        change(at, &mut frame);
        at += facts;
        bases.append(&mut frame.fetched);
        let said = engine.run(&mut frame.objects, &mut bases, &mut predictions);
        compared.frame(&frame.objects, &predictions, &[]);
        all.extend_from_slice(&predictions.deaths);
        stopped = said.err();
    }
    compared.finish(stopped.as_ref());
    let (tally, first) = compared.deaths();
    assert!(tally.is_conserved());
    (first.map(|first| first.at), all)
}

#[test]
fn what_is_predicted_does_not_depend_on_what_was_observed_and_what_is_wrong_is_found() {
    let Some(python) = tellers("deaths").pop() else { return };
    let (_folder, path, _) = record(&python, PROGRAM, 0);
    let (first, predicted) = replayed(&path, |_, _| {});
    assert_eq!(first, None);
    // Blanked, and turned around.
    let (first, blind) = replayed(&path, |_, frame| frame.objects.deaths.clear());
    assert!(first.is_none() && blind == predicted);
    let (first, blind) = replayed(&path, |_, frame| frame.objects.deaths.reverse());
    assert!(first.is_some() && blind == predicted);
    // Two that follow each other change places; one's memory has another fate.
    for wanted in [100, predicted.len() as u64 / 2, predicted.len() as u64 - 10] {
        let swapped = replayed(&path, |at, frame| {
            let index = wanted.checked_sub(at).and_then(|index| usize::try_from(index).ok());
            if let Some(index) = index.filter(|index| index + 1 < frame.objects.deaths.len()) {
                frame.objects.deaths.swap(index, index + 1);
            }
        });
        assert_eq!(swapped.0, Some(wanted));
    }
    // A death that is given no longer is: what it would have released and killed is missing at once.
    let mut forgotten = 0;
    let (first, _) = replayed(&path, |_, frame| {
        let steps = &mut frame.objects.steps;
        if let Some(at) =
            steps.iter().rposition(|step| matches!(step, Step::Dies(_))).filter(|_| forgotten == 0)
        {
            steps.remove(at);
            forgotten += 1;
        }
    });
    assert!(first.is_some() && forgotten == 1);
}

/// From then on nobody tells of births, and deaths show when memory is released.
#[test]
fn a_program_that_takes_the_tracer_away_is_recorded_and_told() {
    let Some(python) = tellers("deaths").pop() else { return };
    let program = "import tracemalloc
kept = [[n + 1000, str(n)] for n in range(3000)]
tracemalloc.start()
more = [[n + 1000, str(n)] for n in range(3000)]
del kept
tracemalloc.stop()
print(len(more))";
    let (_folder, path, said) = record(&python, program, 0);
    assert!(said.contains("tracer away"), "{said}");
    let (report, status) = verify_json(&path);
    assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{report}");
}

/// What was begun is predicted to begin, and nobody expects that it ends.
#[test]
fn a_program_may_end_in_the_middle_of_a_death() {
    let Some(python) = tellers("deaths").pop() else { return };
    let program = "import os
class Last:
    def __del__(self):
        more = [[n + 1000, str(n)] for n in range(300)]
        del more
        os._exit(3)
things = [[n + 1000, str(n)] for n in range(300)]
things[150] = [Last()]
del things";
    let (_folder, path, _) = record(&python, program, 3);
    let (report, status) = verify_json(&path);
    assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{report}");
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["unverified"], 0, "{check}");
    }
}

/// What once was predicted wrongly: iterators that give up what they refer to in another order than they tell it; objects
/// whose attributes are in a dictionary as well; chains that are longer than the machine's stack may be deep; generators that
/// what they raise at their end brings back to life; other threads that go on inside of a death; objects whose class is changed, of
/// which the last is gone with them.
#[test]
fn what_was_predicted_wrongly_once() {
    let programs = [
        "from itertools import chain, takewhile, dropwhile, starmap, accumulate, filterfalse
for n in range(50):
    for make in filter, filterfalse, takewhile, dropwhile, starmap, accumulate:
        iterator = iter([n + 1000])
        function = lambda *x: n
        thing = make(iterator, function) if make is accumulate else make(function, iterator)
        del iterator, function, thing
    thing = chain([n + 1000], (n + 2000,)); next(thing); del thing",
        "class Plain: pass
for n in range(50):
    plain = Plain(); plain.a = [n + 1000]; plain.b = str(n) * 3; taken = plain.__dict__; del taken
    kept = Plain(); kept.a = [n + 2000]; taken = kept.__dict__; del kept; del taken",
        "link = None
for n in range(60000): link = [link]
link = None
for n in range(60000): link = {0: (link,)}
del link
print('done')",
        "import sys
caught = []
sys.unraisablehook = caught.append
def fails(n):
    try: yield [n + 1000]
    finally: raise ValueError([n + 2000])
for n in range(50):
    generator = fails(n); next(generator); del generator
    if n % 3: caught.clear()
caught.clear()",
        "import sys, threading, weakref
sys.setswitchinterval(1e-6)
class Plain: pass
def work():
    for n in range(300):
        plain = Plain(); plain.a = [n + 1000]
        weak = weakref.ref(plain, lambda _: sum(range(200)))
        del plain
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()",
        "import gc
gc.disable()
class Plain: pass
class Third: pass
class Slotted: __slots__ = 'one', 'two'
def make(of):
    class Other: pass
    class OtherSlotted: __slots__ = 'one', 'two'
    Other(); OtherSlotted(); Third()
    thing = of(); thing.one = Third; thing.two = Third()
    thing.__class__ = Other if of is Plain else OtherSlotted
    ring = [thing]; ring.append(ring)
for n in range(50): make(Plain); make(Slotted)
gc.collect()",
    ];
    for python in tellers("deaths") {
        for program in programs {
            let (_folder, path, _) = record(&python, program, 0);
            let (report, status) = verify_json(&path);
            let wrong = format!("{python:?} {program} {report}");
            assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{wrong}");
        }
    }
}
