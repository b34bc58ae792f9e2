//! Interpreters that report changes of reference counts: their reports are checked by `cargo xtask python`, here is only
//! that they are found, and that they are interpreters like any other.

use std::process::Command;

use crate::support::pythons::{Python, discover, instrumented};
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
    }
}
