//! Interpreters that report changes of reference counts: their reports are checked by `cargo xtask python`, here is only
//! that they are found, and that they are interpreters like any other.

use std::process::Command;

use crate::support::pythons::{Python, discover, instrumented, recordable_from};
use crate::support::{replay, stderr, stdout, verify_json};

/// The hook is there, and nobody listens.
const HOOK: &str = "
import ctypes
library = ctypes.PyDLL(None)
hook = ctypes.c_void_p.in_dll(library, '_Vivarium_Hook')
version = ctypes.c_uint32.in_dll(library, '_Vivarium_Version')
print(hook.value, version.value)
";

fn found(test: &str) -> Vec<Python> {
    let found = instrumented();
    if found.is_empty() {
        eprintln!("skipped: {test}: no instrumented CPython is here (cargo xtask python 3.13.5 builds one)");
    }
    found
}

#[test]
fn the_hook_is_there_and_silent() {
    for Python { path, version, .. } in found("the hook") {
        let output = Command::new(&path).args(["-c", HOOK]).output().unwrap();
        assert_eq!(stdout(&output), "None 1\n", "{version:?}: {}", stderr(&output));
    }
}

#[test]
fn it_is_no_ordinary_interpreter() {
    let ordinary = discover();
    for Python { path, version, .. } in found("ordinary interpreters") {
        assert!(ordinary.iter().all(|one| one.path != path), "{version:?}");
    }
}

#[test]
fn it_is_recorded_like_any_other() {
    for Python { path, version, .. } in found("recording an instrumented one") {
        let folder = tempfile::tempdir().unwrap();
        let program = "import json; json.loads(json.dumps([list(range(50))] * 50))";
        let mut record = replay();
        record.args(["record", "-o", "a.viv", "--"]).arg(&path).args(["-c", program]);
        let output = record.current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{version:?}: {}", stderr(&output));
        let (report, status) = verify_json(&folder.path().join("a.viv"));
        assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{version:?}: {report}");
        // With all that it tells, unless that is not wanted.
        assert_eq!(report["tier"], "counts", "{version:?}");
        let facts = |report: &serde_json::Value, name: &str| {
            let checks = report["checks"].as_array().unwrap();
            checks.iter().find(|check| check["name"] == name).map(|check| check["facts"].as_u64().unwrap())
        };
        for check in ["counts", "deaths", "placement-from-deaths"] {
            assert!(facts(&report, check) > Some(10_000), "{version:?} {check}: {report}");
        }
        let mut record = replay();
        record.args(["record", "--tier", "blocks", "-o", "b.viv", "--"]).arg(&path).args(["-c", program]);
        let output = record.current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{version:?}: {}", stderr(&output));
        let (report, _) = verify_json(&folder.path().join("b.viv"));
        assert_eq!((&report["tier"], facts(&report, "counts")), (&"blocks".into(), None), "{version:?}");
    }
}

/// What an interpreter does not tell cannot be asked for; the program runs, and the trace says why it holds no more.
#[test]
fn an_ordinary_one_has_no_counts_to_tell() {
    for Python { path, version, .. } in recordable_from((3, 11, 0), "no counts").into_iter().take(2) {
        let folder = tempfile::tempdir().unwrap();
        let mut record = replay();
        record.args(["record", "--tier", "counts", "-o", "a.viv", "--"]).arg(&path).args(["-c", "print(7)"]);
        let output = record.current_dir(folder.path()).output().unwrap();
        assert_eq!(
            (stdout(&output).as_str(), output.status.code()),
            ("7\n", Some(0)),
            "{version:?}: {}",
            stderr(&output)
        );
        let info = replay().args(["info", "a.viv"]).current_dir(folder.path()).output().unwrap();
        let told = stdout(&info);
        let tiers =
            ["collections: changes of counts are told by", "objects: changes of counts are not told by"];
        assert!(tiers.into_iter().any(|tier| told.contains(tier)), "{told}");
    }
}
