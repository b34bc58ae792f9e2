//! What `sys._debugmallocstats()` prints of the pools, rebuilt by a replay.

use std::fs::File;
use std::io::BufReader;

use replay::engine::{Engine, Predictions};
use trace::{Frame, Input, MARK_DEBUGMALLOCSTATS, Reader};

use crate::support::pythons::{Python, recordable_from};
use crate::support::{replay, stderr};

const PROGRAM: &str = "
import sys
keep = [[str(n) * (n % 40), (n, n)] for n in range(60000)]
del keep[1000:40000]
sys._debugmallocstats()
";

/// A real interpreter prints its statistics in the middle of a program; a replay up to that point prints the same.
#[test]
fn a_replay_prints_what_the_interpreter_printed() {
    for Python { path, version, .. } in recordable_from((3, 6, 0), "statistics") {
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("a.viv");
        let mut command = replay();
        command.args(["record", "-o"]).arg(&trace).arg(&path).args(["-c", PROGRAM]);
        let output = command.output().unwrap();
        let printed = stderr(&output);
        assert!(output.status.success(), "{version:?}: {printed}");

        let mut reader = Reader::new(BufReader::new(File::open(&trace).unwrap())).unwrap();
        let mut engine = Engine::new(&reader.header().allocator).unwrap();
        let (mut frame, mut predictions) = (Frame::default(), Predictions::default());
        let mut found = false;
        while !found && reader.read(&mut frame).unwrap() {
            let mark =
                |input: &trace::PackedInput| input.unpack() == Input::Mark { code: MARK_DEBUGMALLOCSTATS };
            let position = frame.inputs.iter().position(mark);
            let inputs = &frame.inputs[..position.unwrap_or(frame.inputs.len())];
            engine.run(frame.first_event, inputs, &mut frame.fetched, &mut predictions).unwrap();
            found = position.is_some();
        }
        assert!(found, "{version:?}: the call was not marked in the trace");
        let format = pool::Format::for_cpython(version.0, version.1).expect("a known version");
        let ours =
            pool::debugmallocstats(format, &engine.pool().stats(), engine.recorded_bases().iter().copied());
        assert!(ours.lines().count() > 20, "{ours}");
        assert!(printed.contains(&ours), "{version:?}: printed\n{printed}\nreplayed\n{ours}");
    }
}
