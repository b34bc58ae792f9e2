//! Statistics of objects, of programs that are recorded here and now.

use std::path::Path;
use std::process::Stdio;

use crate::support::pythons::{instrumented, tellers};
use crate::support::{replay, smallest, stderr, stdout};

/// A program whose objects can be counted by hand: cascades of 1000 objects, and such as stay until the end.
const PROGRAM: &str = "
class Node:
    __slots__ = ('next',)
class Kept:
    pass
kept = [Kept() for _ in range(300)]
for _ in range(7):
    nodes = []
    for _ in range(1000):
        node = Node(); node.next = None; nodes.append(node)
    del node
    del nodes
hidden = [memoryview(bytes(1000 + n)) for n in range(50)]
del hidden
import os
os._exit(0)
";

fn record(python: &Path, folder: &tempfile::TempDir) -> std::path::PathBuf {
    let path = folder.path().join("a.viv");
    let mut command = replay();
    command.args(["record", "--tier", "objects", "-o"]).arg(&path).arg(python).args(["-c", PROGRAM]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    path
}

#[test]
fn a_program_is_counted_as_it_can_be_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let Some(python) = tellers("stats").pop() else { return };
    let path = record(&python.path, &folder);
    let output = replay().args(["stats", "--json", "--top", "7"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], 1);
    let told = &document["traces"][0]["statistics"];
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or_else(|| panic!("{value}"));
    let all = |of: &serde_json::Value| {
        let died = of["died"].as_object().unwrap().values();
        died.flat_map(|ways| ways.as_object().unwrap().values()).map(number).sum::<u64>()
    };
    let types = told["types"].as_array().unwrap();
    let of = |name: &str| types.iter().find(|of| of["name"] == name).unwrap();
    let node = of("Node");
    assert_eq!((number(&node["born"]), number(&node["died"]["running"]["explained"])), (7000, 7000));
    assert_eq!(number(&of("Kept")["outlived"]), 300);
    assert!(of("Kept")["lifetime"]["bytes"]["p50"].is_null());
    assert!(number(&node["lifetime"]["bytes"]["p50"]) < number(&told["bytes_allocated"]) / 7);
    for cascade in told["cascades"]["longest"].as_array().unwrap() {
        assert_eq!((cascade["root"].as_str(), number(&cascade["inside"])), (Some("list"), 1000), "{cascade}");
    }
    let hidden = told["hidden"].as_array().unwrap();
    let hidden = hidden.iter().filter(|pair| pair["died"] == "bytes" && pair["inside"] != "code");
    assert!(hidden.map(|pair| number(&pair["deaths"])).sum::<u64>() >= 50, "{}", told["hidden"]);
    // What is counted by type, and in all, is the same, and what the trace says of itself.
    for what in ["born", "recycled", "without_block", "bytes", "outlived", "revived"] {
        let sum: u64 = types.iter().map(|of| number(&of[what])).sum();
        assert_eq!(sum, number(&told["objects"][what]), "{what}");
    }
    let objects = &told["objects"];
    assert_eq!(number(&objects["born"]), all(objects) + number(&objects["outlived"]));
    assert_eq!(types.iter().map(all).sum::<u64>(), all(objects));
    let info = replay().args(["info", "--json"]).arg(&path).output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["totals"]["objects"], objects["born"]);
    assert_eq!(info["totals"]["events"], told["events"]);

    let output = replay().args(["stats", "--csv"]).arg(&path).arg(&path).output().unwrap();
    let csv = stdout(&output);
    assert_eq!(csv.lines().count(), 1 + 2 * types.len());
    assert!(csv.lines().any(|line| line.contains(",Node,7000,")), "{csv}");
    let output = replay().args(["stats", "--top", "3"]).arg(&path).output().unwrap();
    let text = stdout(&output);
    for words in ["Survival", "Longest cascades", "outlived the program", "Node", "100 % ┤"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours: {text}");
}

/// Where every change of a count is told, what collections free is told apart from what the program does.
#[test]
fn collections_and_the_exit_are_told_apart() {
    let Some(python) = instrumented().into_iter().rfind(|python| python.version >= (3, 13, 0)) else {
        return eprintln!("skipped: stats: there is no instrumented CPython 3.13 (cargo xtask python)");
    };
    let program = "
import gc
gc.disable()
class Node: pass
for _ in range(500):
    one, two = Node(), Node(); one.other, two.other = two, one
class Kept: pass
kept = [Kept() for _ in range(300)]
gc.collect()
";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.viv");
    let mut command = replay();
    command.args(["record", "--tier", "counts", "-o"]).arg(&path).arg(&python.path).args(["-c", program]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let output = replay().args(["stats", "--json"]).arg(&path).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = &document["traces"][0]["statistics"];
    assert_eq!((&told["tells_collections"], &told["tells_exit"]), (&true.into(), &true.into()), "{document}");
    let types = told["types"].as_array().unwrap();
    let died = |name: &str, when: &str| {
        let of = types.iter().find(|of| of["name"] == name).unwrap();
        of["died"][when].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum::<u64>()
    };
    // The last two are still named.
    assert_eq!((died("Node", "in_collections"), died("Node", "running")), (998, 0));
    assert_eq!((died("Node", "at_exit"), died("Kept", "at_exit")), (2, 300));
    assert_eq!(told["objects"]["died"]["running"]["after_code"], 0);
}

#[test]
fn a_trace_without_objects_is_refused() {
    let output = replay().arg("stats").arg(smallest()).output().unwrap();
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("replay record --tier objects"), "{}", stderr(&output));
    let output = replay().args(["stats", "--json", "absent.viv"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["traces"][0]["error"], "there is no such file");
    assert!(document["traces"][0]["statistics"].is_null());
}

#[test]
fn a_closed_pipe_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let Some(python) = tellers("stats").pop() else { return };
    let path = record(&python.path, &folder);
    let mut command = replay();
    command.arg("stats").arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}
