//! The bundled traces.

use crate::support::{bundled, replay, root, stderr, stdout};

/// The main job, as the README shows it: every bundled trace is identical, by facts.
#[test]
fn every_bundled_trace_is_identical() {
    let output = replay().args(["verify", "--json"]).arg(root().join("traces")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let traces = document["traces"].as_array().unwrap();
    assert_eq!(traces.len(), bundled().len());
    let mut versions = std::collections::BTreeSet::new();
    let mut released = false;
    for trace in traces {
        assert_eq!(trace["verdict"], "identical", "{trace}");
        let minor: String =
            trace["python"].as_str().unwrap().split('.').take(2).collect::<Vec<_>>().join(".");
        versions.insert(minor);
        for check in trace["checks"].as_array().unwrap() {
            let facts = check["facts"].as_u64().unwrap();
            // A forked process may do with the arenas that it was forked with.
            let path = trace["path"].as_str().unwrap();
            assert!(facts > 0 || (path.contains("store-") && check["name"] == "arenas"), "{trace}");
            let unverified = check["unverified"].as_u64().unwrap();
            assert_eq!(check["verified"].as_u64(), Some(facts - unverified), "{trace}");
            // Of collections, those are not that nobody saw, nor what code of the program did in them.
            let is_of_collections = ["schedule", "partition", "reachability", "survivors", "stats"]
                .contains(&check["name"].as_str().unwrap());
            assert!(unverified == 0 || is_of_collections && unverified < facts / 2, "{trace}");
            released |= check["name"] == "arenas" && facts > check["given"]["bases"].as_u64().unwrap();
        }
    }
    assert!(versions.len() >= 3, "{versions:?}");
    assert!(released, "no bundled trace gives an arena back");
}

/// Whatever a collector may do is done in some bundled trace.
#[test]
fn collections_do_all_their_tricks() {
    let mut counts = replay::engine::CollectionCounts::default();
    for path in bundled() {
        let report = replay::verify::verify(&path, &replay::compare::Check::ALL, |_| {});
        report.collections.iter().for_each(|more| counts.add(more));
    }
    for (name, count) in counts.named() {
        assert!(count > 0, "{name}: {counts:?}");
    }
    assert!(counts.collections.iter().all(|count| *count > 0), "{counts:?}");
}

/// The number of facts is what the recorder counted, who knows nothing of the engine.
#[test]
fn facts_are_those_that_were_recorded() {
    for trace in bundled() {
        let info = replay().args(["info", "--json"]).arg(&trace).output().unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
        let (report, _) = crate::support::verify_json(&trace);
        let totals = &info["trailer"]["totals"];
        assert_eq!(report["checks"][0]["facts"], totals["placement_facts"]);
        assert_eq!(report["checks"][1]["facts"], totals["arena_facts"]);
        assert_eq!(report["events"], totals["events"]);
    }
}

/// Shared traces disclose neither command lines nor paths.
#[test]
fn bundled_traces_are_redacted() {
    for trace in bundled() {
        let info = replay().args(["info", "--json"]).arg(&trace).output().unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
        assert!(info["header"]["program"].get("command").is_none(), "{}", trace.display());
        assert!(info["header"]["interpreter"].get("executable").is_none(), "{}", trace.display());
    }
}
