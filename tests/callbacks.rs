//! Collections that call functions of the program back (`gc.callbacks`), recorded live; and what follows upon one that was not seen.

use std::path::Path;

use serde_json::Value;

use crate::collections::{is_blind_and_sharp, record};
use crate::support::pythons::{Python, collectors, instrumented, tellers};
use crate::support::verify_json;

/// Functions that are called back make containers and garbage, keep what they are given, make more when a collection is over than
/// makes the next one due, set the collector otherwise, ask for collections in vain, raise, and come and go.
const CALLED_BACK: &str = r#"
import gc
class Node:
    def __init__(self): self.own, self.table = self, {}
class Last:
    def __init__(self): self.own = self
    def __del__(self): kept.append([self.own]); del kept[:-50]
kept, many, calls = [], [], [0]
def notes(phase, info):
    calls[0] += 1
    note = {"phase": phase, "info": info, "nodes": [Node() for n in range(3)]}
    note["own"] = note
    if calls[0] % 3: kept.append(note)
    del kept[:-50]
def makes(phase, info):
    many.extend([] for n in range(300)); del many[:-400]
def asks(phase, info):
    Node(); gc.collect(); gc.collect(0)
def sets(phase, info):
    if phase == "start": gc.set_threshold(90 + calls[0] % 40, 3, 2)
    elif calls[0] % 10 == 0: gc.freeze(); Node()
    elif calls[0] % 10 == 5: gc.unfreeze()
def goes(phase, info):
    gc.callbacks.remove(goes); Node()
    if phase == "stop": "%05d" % calls[0]
def work(rounds):
    for n in range(rounds):
        node = Node()
        node.peers = [Node(), (node, n)]
        if n % 5 == 0: kept.append(node)
        if n % 50 == 0: Last()
gc.set_threshold(300, 4, 3)
work(500)
gc.callbacks.append(notes)
work(2500)
gc.collect(0); gc.collect(1); gc.collect()
for other in makes, asks, sets:
    gc.callbacks.insert(0, other)
    work(900); gc.collect(1); work(100)
    gc.callbacks.remove(other)
gc.set_threshold(200, 3, 3)
for n in range(5):
    gc.callbacks.append(goes)
    gc.collect(n % 3); work(300)
gc.disable(); work(500); gc.collect(); gc.enable()
gc.unfreeze(); gc.callbacks.clear()
work(900); gc.collect()
gc.callbacks.append(notes)
"#;

/// Collections of which no object is of a type of the interpreter's own are noticed when what was made for the functions that are
/// called back is given up again. If they keep it, nothing is noticed.
const SLOTTED: &str = r#"
import gc
held = []
def called(phase, info): CALLED
class Slotted: __slots__ = "next",
def rings(many):
    for n in range(many):
        one, two = Slotted(), Slotted(); one.next = two; two.next = one
class Node:
    def __init__(self): self.own, self.table = self, {"n": (self,)}
kept = []
def work(rounds):
    for n in range(rounds):
        node = Node()
        if n % 3 == 0: kept.append((node, [n]))
        del kept[:-200]
    del node
gc.set_threshold(300, 4, 3); work(2000)
for generation in 0, 1, 0, 0, 2:
    gc.disable()
    gc.collect()
    gc.callbacks.append(called); rings(50); gc.collect(0); gc.callbacks.clear()
    gc.enable(); rings(700)
    work(1500)
    gc.callbacks.append(called); work(1500); gc.callbacks.clear()
    if generation == 1: gc.freeze()
    gc.collect(generation)
gc.unfreeze(); work(900)
"#;

/// Many modules make collections due while the interpreter ends, and so does what dies with one of them.
const ENDING: &str = r#"
import gc, sys, types
gc.callbacks.append(lambda phase, info: None)
class Ends:
    def __del__(self): self.kept = [[n] for n in range(9000)]
def module(name): sys.modules[name] = types.ModuleType(name); return sys.modules[name]
for n in range(600):
    own = module("m%d" % n); own.own = own
module("plain").ends = Ends()
"#;

/// What is called there, and does not keep what it is given, or does.
const KEEPS_NOTHING: &str = "pass";
const KEEPS_TEXTS: &str = "held[:] = [phase, *info]";
/// How many collections are not seen then.
const MANY_UNSEEN: u64 = 5;

fn number(report: &Value, name: &str, what: &str) -> u64 {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap();
    let number = what.split('.').fold(check, |value, key| &value[key]);
    number.as_u64().unwrap_or_else(|| panic!("{name}.{what}: {report}"))
}

/// Of the last collection of an interpreter from 3.15 on the numbers are gone before anybody looks; where births are told, the
/// tracer may end before the interpreter does.
fn lost_at_end(python: &Python, tier: &str) -> u64 {
    if tier == "objects" { 3 } else { u64::from(python.version >= (3, 15, 0)) }
}

/// Each interpreter, with each tier at which it tells of such collections.
fn all(test: &str) -> Vec<(Python, &'static str)> {
    let with = |tier| move |python| (python, tier);
    let all = collectors(test).into_iter().map(with("collections"));
    all.chain(tellers(test).into_iter().map(with("objects")))
        .chain(instrumented().into_iter().map(with("counts")))
        .collect()
}

fn recorded(python: &Python, tier: &str, program: &str) -> (tempfile::TempDir, std::path::PathBuf, Value) {
    let (folder, path) = record(python, tier, program);
    let (report, status) = verify_json(&path);
    assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{python:?} {tier} {report}");
    (folder, path, report)
}

#[test]
fn collections_that_call_back_are_predicted() {
    for (python, tier) in all("collections that call back") {
        for program in [CALLED_BACK, &SLOTTED.replace("CALLED", KEEPS_NOTHING)] {
            let (_folder, _, report) = recorded(&python, tier, program);
            for (name, least) in
                [("schedule", 60), ("partition", 30_000), ("survivors", 20_000), ("stats", 600)]
            {
                let verified = number(&report, name, "verified");
                assert!(verified >= least, "{python:?} {tier} {name}: {verified}");
            }
            let lost = number(&report, "schedule", "unverified");
            assert!(lost <= lost_at_end(&python, tier), "{python:?} {tier} {report}");
        }
    }
}

#[test]
fn an_interpreter_that_ends_collects_what_is_due_meanwhile() {
    for (python, tier) in all("collections while the interpreter ends") {
        let (_folder, _, report) = recorded(&python, tier, ENDING);
        let [verified, lost] = ["verified", "unverified"].map(|what| number(&report, "schedule", what));
        assert!(verified >= 9, "{python:?} {tier} {report}");
        assert!(lost <= lost_at_end(&python, tier), "{python:?} {tier} {report}");
    }
}

#[test]
fn a_collection_that_was_not_seen_costs_no_other() {
    for (python, tier) in all("unseen collections") {
        let (_folder, path, report) = recorded(&python, tier, &SLOTTED.replace("CALLED", KEEPS_TEXTS));
        // Who reports counts reports these, as well.
        let unseen = if tier == "counts" { 0 } else { MANY_UNSEEN };
        let lost = number(&report, "schedule", "unverified");
        let most = lost_at_end(&python, tier);
        assert!((unseen..=unseen + most).contains(&lost), "{python:?} {tier} {report}");
        assert!(number(&report, "schedule", "given.recovered") >= unseen, "{python:?} {tier} {report}");
        assert!(number(&report, "schedule", "verified") >= 60, "{python:?} {tier} {report}");
        // All that is told of the others is compared.
        for name in ["reachability", "survivors"] {
            assert_eq!(number(&report, name, "unverified"), 0, "{python:?} {tier} {report}");
        }
        is_told(&path, lost);
    }
}

/// What is explained of such a trace tells how many were not seen, and of all others.
fn is_told(path: &Path, unseen: u64) {
    use replay::explain::{Options, explain};
    let report = explain(path, &Options { top: 3, ..Options::default() }, |_| ()).unwrap();
    assert_eq!(report.unseen, unseen);
    assert_eq!(report.verified, Some(report.collections - unseen), "{report:?}");
}

#[test]
fn what_is_predicted_where_functions_are_called_back_is_blind_and_sharp() {
    let Some(python) = collectors("damaged collections that call back").pop() else { return };
    let (_folder, path, _) = recorded(&python, "collections", CALLED_BACK);
    is_blind_and_sharp(&path);
}
