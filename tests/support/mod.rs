//! What the tests share.

pub(crate) mod edit;
pub(crate) mod processes;
pub(crate) mod pythons;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The command under test.
pub(crate) fn replay() -> Command {
    Command::new(env!("CARGO_BIN_EXE_replay"))
}

/// What the command wrote to standard output.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the command wrote to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The bundled traces, in order of name.
pub(crate) fn bundled() -> Vec<PathBuf> {
    let traces = replay::verify::find_traces(&[root().join("traces")]).expect("bundled traces");
    assert!(traces.len() >= 4, "only {} bundled traces", traces.len());
    traces
}

/// The smallest bundled trace of those that begin with an interpreter.
pub(crate) fn smallest() -> PathBuf {
    let size = |path: &PathBuf| path.metadata().map_or(u64::MAX, |metadata| metadata.len());
    let began = |path: &PathBuf| {
        let file = std::fs::File::open(path).expect("a file");
        trace::Reader::new(file).expect("a trace").header().parent.is_none()
    };
    bundled().into_iter().filter(began).min_by_key(size).expect("a bundled trace")
}

/// The JSON that `replay verify --json` prints of one trace, and its exit status.
pub(crate) fn verify_json(path: &Path) -> (serde_json::Value, i32) {
    let output = replay().args(["verify", "--json"]).arg(path).output().expect("replay runs");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {}", path.display(), stderr(&output)));
    assert_eq!(document["schema"], 1);
    (document["traces"][0].clone(), output.status.code().expect("an exit status"))
}

/// Writes a test's own trace file.
pub(crate) fn write_trace(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("a file in a temporary folder");
    path
}

/// What there is of a trace, frame by frame.
pub(crate) fn frames(path: &Path) -> (trace::Header, Vec<trace::Frame>) {
    let bytes = std::fs::read(path).expect("a trace file");
    let mut reader = trace::Reader::new(&bytes[..]).expect("a trace");
    let mut frames = Vec::new();
    loop {
        let mut frame = trace::Frame::default();
        if !reader.read(&mut frame).expect("a whole trace") {
            return (reader.header().clone(), frames);
        }
        frames.push(frame);
    }
}
