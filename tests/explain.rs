//! What the collector did, explained of programs that are recorded here and now.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::pythons::{Python, collectors, instrumented, tellers};
use crate::support::{replay, root, smallest, stderr, stdout};

/// A program whose garbage can be counted by hand: all of it is found by the collections that are asked for.
const PROGRAM: &str = r"
import gc
gc.collect()
gc.disable()
class Node: __slots__ = ('peer',)
class Leaf: __slots__ = ('own',)
for _ in range(1000):
    one, two = Node(), Node(); one.peer, two.peer = two, one
for _ in range(500):
    own = [Leaf()]; own.append(own)
for _ in range(70):
    ring = [Node() for _ in range(9)]
    for at in range(9): ring[at].peer = ring[at - 1]
class Fails:
    __slots__ = ('error',)
    def run(self):
        try: raise KeyError
        except KeyError as error: self.error = error
for _ in range(30): Fails().run()
def generates():
    me = yield
    yield me
for _ in range(40):
    generator = generates(); next(generator); generator.send(generator)
class Last:
    __slots__ = ('own',)
    saved = []
    def __del__(self): Last.saved.append(self)
for _ in range(20):
    last = Last(); last.own = last
del one, two, own, ring, generator, last, at
gc.collect(0)
class Kept: __slots__ = ('value',)
class Held: __slots__ = ('own',)
kept = Kept(); kept.value = [Held() for _ in range(60)]
gc.collect()
gc.set_debug(gc.DEBUG_SAVEALL)
for _ in range(10):
    one = [{}]; one[0][1] = one
del one
gc.collect(1)
import os
os._exit(0)
";

fn record(python: &Python, tier: &str, program: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.viv");
    let mut command = replay();
    command.args(["record", "--tier", tier, "-o"]).arg(&path).arg(&python.path).args(["-S", "-c", program]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{python:?} {}", stderr(&output));
    (folder, path)
}

fn explained(path: &Path, options: &[&str]) -> serde_json::Value {
    let output = replay().args(["explain", "--json"]).args(options).arg(path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], 1);
    document["traces"][0]["explanation"].clone()
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn garbage_is_what_can_be_counted_by_hand() {
    for python in collectors("explain") {
        let (_folder, path) = record(&python, "collections", PROGRAM);
        let told = explained(&path, &["--why-alive", "Held"]);
        assert_eq!(told["verified"], told["collections"], "{python:?}");
        let list = told["list"].as_array().unwrap();
        let asked: Vec<_> = list
            .iter()
            .filter(|one| one["details"]["why"] == "asked")
            .map(|one| number(&one["generation"]))
            .collect();
        assert_eq!(asked, [2, 0, 2, 1], "{python:?}");
        // How long each took is measured, and is less than all of the run.
        let times: u64 = list.iter().map(|one| number(&one["nanoseconds"])).sum();
        let run = std::time::Duration::from_secs_f64(told["seconds"].as_f64().unwrap());
        assert!(times > 0 && u128::from(times) < run.as_nanos(), "{python:?}: {times} of {run:?}");
        let cycles = told["census"]["cycles"].as_array().unwrap();
        let of = |signature: &[&str]| {
            let is_it = |of: &&serde_json::Value| of["signature"] == serde_json::json!(signature);
            cycles.iter().filter(is_it).collect::<Vec<_>>()
        };
        let counts = |of: &serde_json::Value| {
            [&of["times"], &of["members"]["objects"], &of["hanging"]["objects"]].map(number)
        };
        let [pairs] = of(&["Node", "Node"])[..] else { panic!("{python:?} {cycles:?}") };
        if python.version < (3, 9, 0) {
            // A finalizer that saves one saves all that were found with it: they are found again.
            assert_eq!(counts(pairs), [2000, 4000, 0], "{python:?}");
            continue;
        }
        assert_eq!((counts(pairs), &pairs["form"]), ([1000, 2000, 0], &"whole".into()));
        assert_eq!(pairs["found_in"], serde_json::json!([1000, 0, 0]));
        // Not longer than since the collection before, which was asked for first.
        let [first, second] = [0, 1].map(|at| {
            let asked = list.iter().filter(|one| one["details"]["why"] == "asked").nth(at);
            number(&asked.unwrap()["event"])
        });
        let waited = number(&pairs["waited_most"]);
        assert!(waited > 0 && waited <= second - first, "{python:?}: {waited}");
        let [rings] = of(&["Node"])[..] else { panic!("{python:?} {cycles:?}") };
        assert_eq!((counts(rings), &rings["form"]), ([70, 630, 0], &"repeated".into()));
        assert_eq!(rings["lengths"], serde_json::json!([9, 9]));
        let [lists] = of(&["list"])[..] else { panic!("{python:?} {cycles:?}") };
        assert_eq!(counts(lists), [500, 500, 500], "{python:?}");
        let [lasts] = of(&["Last"])[..] else { panic!("{python:?} {cycles:?}") };
        assert_eq!(counts(lasts), [20, 20, 0]);
        // An error knows the frame in which it was caught, and that has what it is kept in.
        let has = |of: &serde_json::Value, names: &[&str]| {
            let signature = of["signature"].as_array().unwrap();
            names.iter().all(|name| signature.iter().any(|word| word == name))
        };
        let errors: u64 = cycles
            .iter()
            .filter(|of| has(of, &["KeyError", "traceback", "frame"]))
            .map(|of| number(&of["times"]))
            .sum();
        assert_eq!(errors, 30, "{python:?} {cycles:?}");
        let generators: u64 =
            cycles.iter().filter(|of| has(of, &["generator"])).map(|of| number(&of["times"])).sum();
        assert_eq!(generators, 40, "{python:?} {cycles:?}");
        let saved = told["saved"].as_array().unwrap();
        assert!(saved.iter().any(|of| of["type"] == "Last" && of["objects"] == 20), "{python:?} {saved:?}");
        let kept = told["kept"].as_array().unwrap();
        for name in ["list", "dict"] {
            let is_it =
                |of: &serde_json::Value| of["type"] == name && of["objects"] == 10 && of["why"] == "save-all";
            assert!(kept.iter().any(is_it), "{python:?} {kept:?}");
        }
        // The list that has them is the value of what a global variable holds.
        let picture = &told["why_alive"]["picture"];
        assert_eq!((&picture["examined"], &picture["unreachable"]), (&60.into(), &0.into()), "{python:?}");
        assert_eq!(picture["generation"], 2);
        let way = &picture["ways"][0];
        let path: Vec<_> =
            way["path"].as_array().unwrap().iter().map(|member| member["type"].as_str().unwrap()).collect();
        assert_eq!(path.last_chunk(), Some(&["dict", "Kept", "list", "Held"]), "{python:?} {way}");
        assert_eq!(way["holds"], 60);
        let alive = told["alive"].as_array().unwrap();
        let kept = alive.iter().find(|of| of["type"] == "Kept").unwrap();
        assert_eq!(number(&kept["at_end"]["objects"]), 1, "{python:?}");
    }
}

#[test]
fn it_is_told_in_each_form() {
    let Some(python) = collectors("explain").pop() else { return };
    let (_folder, path) = record(&python, "collections", PROGRAM);
    let output = replay().arg("explain").arg(&path).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let text = stdout(&output);
    for words in ["Node → Node → Node", "gc.collect(0)", "Garbage over time", " ⇒ ", "gc.DEBUG_SAVEALL"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours: {text}");
    let output = replay().args(["explain", "--dot"]).arg(&path).output().unwrap();
    let dot = stdout(&output);
    assert!(dot.starts_with("digraph \"") && dot.ends_with("}\n") && dot.contains("closes it"), "{dot}");
    let output = replay().args(["explain", "--dot", "--why-alive", "Kept"]).arg(&path).output().unwrap();
    let dot = stdout(&output);
    assert!(dot.contains("holds 1\"") && !dot.contains("closes it"), "{dot}");
    // A reader who leaves is no error.
    let mut command = replay();
    let mut child =
        command.arg("explain").arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

/// Traces of objects and of counts hold collections, too.
#[test]
fn what_holds_more_tells_no_less() {
    let program = "
import gc
gc.collect()
gc.disable()
class Node: pass
for _ in range(500):
    one, two = Node(), Node(); one.other, two.other = two, one
del one, two
gc.collect()
";
    let counters = instrumented().into_iter();
    let tellers = tellers("explain").pop().map(|python| (python, "objects"));
    for (python, tier) in tellers.into_iter().chain(counters.map(|python| (python, "counts"))) {
        let (_folder, path) = record(&python, tier, program);
        let told = explained(&path, &["--why-alive", "Node"]);
        assert_eq!(told["tier"], tier);
        let cycles = told["census"]["cycles"].as_array().unwrap();
        let nodes: u64 = cycles
            .iter()
            .filter(|of| of["signature"].as_array().unwrap().iter().any(|word| word == "Node"))
            .map(|of| number(&of["times"]))
            .sum();
        assert_eq!(nodes, 500, "{python:?} {cycles:?}");
        assert_eq!(told["why_alive"]["picture"]["unreachable"], 1000, "{python:?}");
    }
}

/// At exit everything is garbage in the end: what held it before is what is told.
#[test]
fn what_is_held_at_the_end_is_told_as_of_before_the_exit() {
    let program = "
import gc
class Session: pass
class Cache: pass
cache = Cache(); cache.entries = [Session() for _ in range(200)]
";
    for python in collectors("explain") {
        for (asks, taken) in [("", "first-at-exit"), ("gc.collect()", "last-full")] {
            let (_folder, path) = record(&python, "collections", &format!("{program}{asks}"));
            let told = explained(&path, &["--why-alive", "Session"]);
            let picture = &told["why_alive"]["picture"];
            assert_eq!(picture["taken"], taken, "{python:?} {picture}");
            assert_eq!([&picture["examined"], &picture["unreachable"]].map(number), [200, 0], "{python:?}");
            let way = picture["ways"][0]["path"].as_array().unwrap();
            let names: Vec<_> = way.iter().map(|member| member["type"].as_str().unwrap()).collect();
            assert!(
                names.contains(&"Cache") && names.ends_with(&["list", "Session"]),
                "{python:?} {names:?}"
            );
            // The first one at exit, by its number: the program's modules are whole then.
            let chosen = (number(&picture["collection"]) + u64::from(taken == "last-full")).to_string();
            let told = explained(&path, &["--why-alive", "Session", "--collection", &chosen]);
            let picture = &told["why_alive"]["picture"];
            assert_eq!(picture["taken"], "by-number", "{python:?} {picture}");
            assert_eq!([&picture["examined"], &picture["unreachable"]].map(number), [200, 0], "{python:?}");
        }
    }
}

/// Who asks for somebody who is not there is told at once, and who may have been meant.
#[test]
fn who_is_not_there_is_an_error() {
    let path = root().join("traces/sessions/sessions-3.13.5-collections.viv");
    for (options, words) in [
        (&["--why-alive", "visitr"][..], "names like it: \"Visitor\""),
        (&["--why-alive", "__main__.Visitor"], "names like it: \"Visitor\""),
        (&["--why-alive", "99999999"], "looked at object 99999999"),
        (&["--why-alive", "Visitor", "--collection", "99999"], "have the numbers 0 to "),
        (&["--collection", "3"], "--why-alive"),
    ] {
        let output = replay().arg("explain").args(options).arg(&path).output().unwrap();
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""), "{options:?}");
        assert!(stderr(&output).contains(words), "{options:?}: {}", stderr(&output));
    }
}

/// Where only counts are told, as they once were of CPython 3.11, collections are known by what they found, and by who died in them.
#[test]
fn of_counts_there_is_less_to_tell() {
    let path = root().join("traces/chains/chains-3.11.2-counts.viv");
    let told = explained(&path, &[]);
    assert!(told["census"].is_null() && told["verified"].is_null());
    assert!(number(&told["generations"][2]["unreachable"]) >= 800, "{}", told["generations"]);
    let garbage = told["garbage"].as_array().unwrap();
    assert!(garbage.iter().any(|of| of["type"] == "str" && of["objects"] == 132), "{garbage:?}");
    let output = replay().arg("explain").arg(&path).output().unwrap();
    assert!(stdout(&output).contains("Objects that died in collections, by type"), "{}", stdout(&output));
    let output = replay().args(["explain", "--why-alive", "str"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--tier collections"), "{}", stderr(&output));
}

#[test]
fn a_trace_without_collections_is_refused() {
    let output = replay().arg("explain").arg(smallest()).output().unwrap();
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("replay record --tier collections"), "{}", stderr(&output));
    let output = replay().args(["explain", "--json", "absent.viv"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["traces"][0]["error"], "there is no such file");
    assert!(document["traces"][0]["explanation"].is_null());
}
