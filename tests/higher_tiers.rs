//! Collections beside births, deaths and counts: each trace of objects has the same checks of its collections as one of tier
//! `collections`.

use std::collections::HashMap;
use std::path::Path;

use trace::{Answer, Beginning, Begins, Death, Domain, Ending, Fate, Step, Tier, TypeInfo, Writer};

use crate::collections::{CLASSES, PROGRAM, died_reachable, is_blind_and_sharp, record, replayed};
use crate::support::pythons::{Python, collectors, instrumented, tellers};
use crate::support::{bundled, frames, replay, root, stderr, stdout, verify_json};

/// The interpreters that tell of objects, and of their counts, with the tier that they are recorded at.
fn all(test: &str) -> Vec<(Python, &'static str)> {
    let tellers = tellers(test).into_iter().map(|python| (python, "objects"));
    tellers.chain(instrumented().into_iter().map(|python| (python, "counts"))).collect()
}

/// Of each check: facts, verified, and unverified.
fn checks(path: &Path, python: &Python) -> HashMap<String, [u64; 3]> {
    let (report, status) = verify_json(path);
    assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{python:?} {report}");
    let number = |check: &serde_json::Value, what: &str| check[what].as_u64().unwrap();
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .map(|check| {
            let numbers = ["facts", "verified", "unverified"].map(|what| number(check, what));
            (check["name"].as_str().unwrap().to_owned(), numbers)
        })
        .collect()
}

#[test]
fn collections_are_predicted_beside_deaths() {
    for (python, tier) in all("collections beside deaths") {
        let (_folder, path) = record(&python, tier, PROGRAM);
        let checks = checks(&path, &python);
        for (name, least) in [
            ("schedule", 60),
            ("partition", 30_000),
            ("survivors", 20_000),
            ("stats", 600),
            ("deaths", 200_000),
            ("placement-from-deaths", 150_000),
        ] {
            assert!(checks[name][1] >= least, "{python:?} {name}: {checks:?}");
        }
        // Who reports counts also tells of the collections at the end of the interpreter.
        let unseen = if tier == "counts" { 0 } else { 3 };
        assert!(checks["schedule"][2] <= unseen, "{python:?} {checks:?}");
        assert_eq!(checks["deaths"][2], 0, "{python:?} {checks:?}");
        if tier == "counts" {
            // Nor is anything left open that finalizers and callbacks do: the collector says when they have run.
            let open = ["schedule", "reachability", "survivors", "stats"].map(|name| checks[name][2]);
            assert_eq!(open, [0; 4], "{python:?} {checks:?}");
            let (report, _) = verify_json(&path);
            let partition =
                report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "partition");
            assert_eq!(partition.unwrap()["given"]["saved"], 0, "{python:?} {report}");
        }
    }
}

/// Where deaths are told, nobody dies unseen.
#[test]
fn who_is_garbage_is_seen_of_everybody_where_deaths_are_told() {
    for (python, tier) in all("what dies with garbage, beside deaths") {
        let (_folder, path) = record(&python, tier, CLASSES);
        let (both, unverified) = died_reachable(&path);
        assert!(both > 700, "{python:?} {both}");
        assert_eq!(unverified, [0; 2], "{python:?}");
    }
}

#[test]
fn what_is_predicted_of_collections_beside_deaths_is_blind_and_sharp() {
    for (python, tier) in all("damaged collections beside deaths") {
        let (_folder, path) = record(&python, tier, PROGRAM);
        is_blind_and_sharp(&path);
    }
}

/// What is saved by finalizers follows from what the collector looks at when they have run, and from nothing else.
#[test]
fn who_is_saved_follows_from_counts_behind_the_finalizers() {
    for (python, tier) in all("what finalizers save").into_iter().filter(|(_, tier)| *tier == "counts") {
        let (_folder, path) = record(&python, tier, PROGRAM);
        let (all, firsts, _) = replayed(&path, |_| ());
        assert_eq!(firsts, [None; 4], "{python:?}");
        assert!(all.iter().any(|predicted| predicted.is_exact && predicted.saved > 0), "{python:?}");
        // Nobody is found to be held by more than the garbage.
        let mut changed = 0;
        let (_, firsts, _) = replayed(&path, |frame| {
            for graph in frame.collections.graphs.iter_mut().filter(|graph| graph.arrivals.is_empty()) {
                for told in graph.told.iter_mut().filter(|told| told.count.is_some()) {
                    changed += 1;
                    told.count = Some(0);
                }
            }
        });
        assert!(changed > 0, "{python:?}");
        assert!(firsts.iter().any(Option::is_some), "{python:?} {firsts:?}");
    }
}

/// A finalizer takes garbage away whose memory is kept for others: it holds nothing any more when the collector looks again.
#[test]
fn what_died_in_finalizers_saves_nobody() {
    const PROGRAM: &str = r"
import gc
gc.disable()
class Holder:
    def __del__(self): self.held = None
class Part: pass
for n in range(5):
    holder = Holder(); holder.itself = holder
    part = Part(); part.itself = part
    holder.held = [part, (part, holder)]
    del holder, part
    assert gc.collect() == 2
";
    for (python, tier) in all("what died in finalizers") {
        let (_folder, path) = record(&python, tier, PROGRAM);
        let checks = checks(&path, &python);
        assert!(checks["stats"][1] >= 50, "{python:?} {checks:?}");
    }
}

/// A container is what is born behind a collector's header: what the collector itself counts says the same.
#[test]
fn births_say_what_the_collector_counts() {
    for (python, tier) in all("containers by births") {
        let (_folder, path) = record(&python, tier, PROGRAM);
        let (header, frames) = frames(&path);
        assert!(header.collections && header.has_collections());
        let mut containers = 0_u64;
        let mut born = 0_u64;
        for frame in &frames {
            let births = frame.inputs.iter().filter(|input| input.is_birth_for_object()).count();
            born += births as u64;
            containers += (0..births).filter(|at| frame.collections.is_container(*at)).count() as u64;
        }
        assert!(containers > 10_000 && containers < born, "{python:?} {containers} of {born}");
        let checks = checks(&path, &python);
        // Six of the ten numbers of each collection are counts.
        assert_eq!(checks["stats"][2], 0, "{python:?} {checks:?}");
    }
}

/// A program may end before there is a collection: that says nothing against it.
#[test]
fn a_program_without_collections_is_verified_all_the_same() {
    let sample = root().join("traces/documents/documents-3.13.0.viv");
    let mut header = trace::Reader::new(std::fs::File::open(sample).unwrap()).unwrap().header().clone();
    (header.tier, header.collections) = (Tier::Objects, true);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.viv");
    let mut writer = Writer::new(std::fs::File::create(&path).unwrap(), &header).unwrap();
    let base = 0x7f00_0000_0000;
    // The first block of a pool lies behind its header.
    let at = base + 48;
    writer.arena_requested(Some(base));
    let live = writer.allocate(Domain::Obj, 48, false, Answer::At(at)).unwrap().unwrap();
    let of = writer
        .described(&TypeInfo {
            name: "float".to_owned(),
            flags: 0,
            family: "float".to_owned(),
            ..TypeInfo::default()
        })
        .unwrap();
    let object = writer.born(of, Begins::InBlock(live.block(), 0)).unwrap();
    writer.step(Step::Dies(object)).unwrap();
    writer.begins(object, &Beginning::default()).unwrap();
    writer.ends(Fate::Released);
    writer.observed(Death::Ends(object, Fate::Released));
    writer.release_by_death(live, at, Domain::Obj).unwrap();
    writer.finish(Ending::Exited(0), 0).unwrap();
    let (report, status) = verify_json(&path);
    assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{report}");
    // Asked for nothing but these, there is nothing to say.
    let output = replay().args(["verify", "--check", "schedule,stats"]).arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
}

/// Traces of objects from before collections were told beside them do not have these checks, and are what they were.
#[test]
fn older_traces_of_objects_have_no_such_checks() {
    let mut found = 0;
    for path in bundled() {
        let header = trace::Reader::new(std::fs::File::open(&path).unwrap()).unwrap().header().clone();
        if header.tier < Tier::Objects || header.collections {
            continue;
        }
        found += 1;
        let (report, _) = verify_json(&path);
        let names = report["checks"].as_array().unwrap();
        assert!(names.iter().all(|check| check["name"] != "schedule"), "{}: {report}", path.display());
    }
    eprintln!("{found} bundled traces of objects were recorded without collections");
}

/// What an interpreter does not tell is not recorded, which is said; what it tells of that is.
#[test]
fn less_than_was_asked_for_is_recorded_where_there_is_no_more() {
    let with = |tier: &'static str| move |python| (python, tier);
    let most = instrumented().into_iter().map(with("counts"));
    let most = most.chain(tellers("objects where counts are asked for").into_iter().map(with("objects")));
    let others = collectors("collections where objects are asked for").into_iter();
    let others = others.filter(|python| python.version < (3, 13, 0)).map(with("collections"));
    for (python, tier) in most.chain(others) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.viv");
        for asked in ["counts", "objects"] {
            let output = replay()
                .args(["record", "--force", "--tier", asked, "-o"])
                .arg(&path)
                .args([python.path.to_str().unwrap(), "-S", "-c", "[[one] for one in range(99)]"])
                .output()
                .unwrap();
            let header = frames(&path).0;
            assert_eq!(header.tier.name(), tier, "{python:?} {asked}: {}", header.tier_reason);
            // Where counts are reported they are all that was asked for, and more.
            let is_less = tier == "collections" || (tier, asked) == ("objects", "counts");
            let said = stderr(&output);
            assert_eq!(said.contains(&format!("tier {asked} was asked for")), is_less, "{python:?} {said}");
            assert_eq!(verify_json(&path).1, 0, "{python:?} {asked}");
        }
    }
}
