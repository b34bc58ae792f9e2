//! Killing the program, the recorder, or both of its processes, at any moment.
//!
//! The program counts, in a file that it maps, what it has done; the trace must hold as much. How often each is killed
//! is set by `VIVARIUM_KILLS` (program,recorder), which `cargo xtask kills` does.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::processes::child_of;
use crate::support::pythons::{Python, recordable};
use crate::support::{replay, stderr, verify_json};

/// Each step asks for two blocks at least: a byte array and its buffer, of which no free lists are kept.
const PROGRAM: &str = r#"
import mmap, struct, sys
file = open("counter", "r+b")
memory = mmap.mmap(file.fileno(), 8)
kept = [None] * 64
for step in range(1, int(sys.argv[1]) + 1):
    kept[step % 64] = bytearray(600)
    struct.pack_into("<Q", memory, 0, step)
print("done", step)
sys.exit(7)
"#;
const STEPS: u64 = 300_000;
/// So many that a signal comes long before the end.
const NO_END: u64 = 100 * STEPS;
const BLOCKS_OF_A_STEP: u64 = 2;

/// What can be read but not written yet when both processes of the recorder are killed: the ring and a frame.
const LOST_WITH_BOTH: u64 = (2 << 20) / 8 + (1 << 16);

/// How often to kill the program and the recorder.
fn times() -> (u32, u32) {
    let named = std::env::var("VIVARIUM_KILLS").ok();
    let parsed = named.map(|times| {
        let (program, recorder) = times.split_once(',').expect("two numbers");
        (program.parse().expect("a number"), recorder.parse().expect("a number"))
    });
    parsed.unwrap_or((6, 4))
}

/// Moments, spread over the program's time; always the same ones.
struct Moments(u64);

impl Moments {
    fn next_number(&mut self) -> u64 {
        // xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn next(&mut self, below: Duration) -> Duration {
        Duration::from_micros(self.next_number() % u64::try_from(below.as_micros()).unwrap())
    }
}

/// A program that is being recorded.
struct Run {
    folder: tempfile::TempDir,
    front: Child,
}

/// What there is when everything has ended.
struct Ended {
    status: Option<i32>,
    printed: String,
    complaints: String,
    counted: u64,
    folder: tempfile::TempDir,
}

impl Run {
    fn begin(python: &Python, steps: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("counter"), [0; 8]).unwrap();
        std::fs::write(folder.path().join("program.py"), PROGRAM).unwrap();
        let front = replay()
            .args(["record", "-o", "a.viv"])
            .args([python.path.to_str().unwrap(), "program.py", &steps.to_string()])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { folder, front }
    }

    /// The process that records, once it is there.
    fn recorder(&mut self) -> Option<u32> {
        self.find(|run| child_of(run.front.id()))
    }

    /// The program, once it is there.
    fn program(&mut self) -> Option<u32> {
        self.find(|run| {
            let child = child_of(child_of(run.front.id())?)?;
            // Between its fork and its exec it is still a recorder.
            let runs = std::fs::read_link(format!("/proc/{child}/exe")).ok()?;
            (runs != std::fs::canonicalize(env!("CARGO_BIN_EXE_replay")).unwrap()).then_some(child)
        })
    }

    fn find(&mut self, find: impl Fn(&Self) -> Option<u32>) -> Option<u32> {
        loop {
            if let Some(pid) = find(self) {
                return Some(pid);
            }
            if self.front.try_wait().unwrap().is_some() {
                return None;
            }
            std::thread::yield_now();
        }
    }

    fn counted(&self) -> u64 {
        let bytes = std::fs::read(self.folder.path().join("counter")).unwrap();
        u64::from_le_bytes(bytes.try_into().unwrap())
    }

    /// Waits until the program has counted so far.
    fn wait_for(&self, steps: u64) {
        while self.counted() < steps {
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Waits until nobody can write any more: neither the program nor a recorder.
    fn end(mut self) -> Ended {
        let (mut printed, mut complaints) = (String::new(), String::new());
        self.front.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        self.front.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        let status = self.front.wait().unwrap().code();
        Ended { status, printed, complaints, counted: self.counted(), folder: self.folder }
    }
}

fn kill(pid: u32) {
    // It may just have ended.
    let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
}

/// What `replay info` says of a trace.
fn info(trace: &Path) -> serde_json::Value {
    let output = replay().args(["info", "--json"]).arg(trace).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)))
}

impl Ended {
    /// The trace, if there is one: it may not be missing if the program has counted.
    fn trace(&self) -> Option<std::path::PathBuf> {
        let trace = self.folder.path().join("a.viv");
        let exists = trace.exists();
        assert!(exists || self.counted == 0, "{} counted, but no trace: {}", self.counted, self.complaints);
        exists.then_some(trace)
    }

    /// A whole trace, with what was counted.
    fn whole(&self, trace: &Path) -> serde_json::Value {
        let (report, status) = verify_json(trace);
        assert_eq!((status, &report["verdict"]), (0, &"identical".into()), "{report} {}", self.complaints);
        let info = info(trace);
        let allocates = info["totals"]["allocates"].as_u64().unwrap();
        assert!(allocates >= self.counted * BLOCKS_OF_A_STEP, "{allocates} for {}", self.counted);
        info["trailer"]["ending"].clone()
    }
}

/// How long everything takes together that nobody kills, the recorder's completion of the trace included.
fn duration(python: &Python) -> Duration {
    let start = Instant::now();
    let ended = Run::begin(python, STEPS).end();
    assert_eq!((ended.status, ended.printed.as_str()), (Some(7), "done 300000\n"), "{}", ended.complaints);
    assert_eq!(ended.counted, STEPS);
    assert_eq!(ended.whole(&ended.trace().unwrap()), serde_json::json!({"exited": 7}));
    start.elapsed()
}

#[test]
fn kills_of_the_program() {
    let Some(python) = recordable("kills").pop() else { return };
    let (times, _) = times();
    let mut moments = Moments(88_172_645_463_325_252);
    for _ in 0..times {
        let mut run = Run::begin(&python, NO_END);
        let program = run.program().expect("the program starts");
        // By what it has done and not by the clock, which says little on a busy machine.
        let steps = 1 + moments.next_number() % STEPS;
        run.wait_for(steps);
        kill(program);
        let ended = run.end();
        assert_eq!((ended.status, ended.printed.as_str()), (Some(137), ""), "{}", ended.complaints);
        let trace = ended.trace().expect("the program has counted");
        assert_eq!(ended.whole(&trace), serde_json::json!({"signalled": 9}));
    }
    // Before it counts there is perhaps nothing to record yet.
    let (mut whole, mut early) = (0, 0);
    for _ in 0..times {
        let mut run = Run::begin(&python, NO_END);
        let program = run.program().expect("the program starts");
        std::thread::sleep(moments.next(Duration::from_millis(20)));
        kill(program);
        let ended = run.end();
        if let Some(trace) = ended.trace() {
            assert_eq!(ended.status, Some(137), "{}", ended.complaints);
            assert_eq!(ended.whole(&trace), serde_json::json!({"signalled": 9}));
            whole += 1;
        } else {
            assert_eq!(ended.status, Some(125), "{}", ended.complaints);
            early += 1;
        }
    }
    eprintln!(
        "{times} programs killed while they counted: every trace whole; {times} killed as they started: {whole} whole \
         traces, {early} not begun"
    );
}

#[test]
fn kills_of_the_recorder() {
    let Some(python) = recordable("kills").pop() else { return };
    let (_, times) = times();
    let (longest, mut moments) = (duration(&python), Moments(2_463_534_242));
    let (mut whole, mut early) = (0, 0);
    for time in 0..times {
        let run = Run::begin(&python, STEPS);
        if time == 0 {
            // One at least is killed with a program to record.
            run.wait_for(STEPS / 2);
        } else {
            std::thread::sleep(moments.next(longest));
        }
        kill(run.front.id());
        let ended = run.end();
        let Some(trace) = ended.trace() else {
            assert_eq!(ended.printed, "", "{}", ended.complaints);
            early += 1;
            continue;
        };
        assert_eq!((ended.printed.as_str(), ended.counted), ("done 300000\n", STEPS));
        assert_eq!(ended.whole(&trace), serde_json::json!({"exited": 7}));
        whole += 1;
    }
    eprintln!(
        "the recorder killed {times} times: {whole} whole traces of programs that went on to their end, {early} killed \
         before it had started the program"
    );
    assert!(whole > 0);
}

/// With the process that reads gone nobody records any more: what was written stays, and is good.
#[test]
fn kills_of_both_recorders() {
    let Some(python) = recordable("kills").pop() else { return };
    let (_, times) = times();
    let (longest, mut moments) = (duration(&python), Moments(123_456_789));
    let (mut cut, mut none) = (0, 0);
    for time in 0..times {
        let mut run = Run::begin(&python, STEPS);
        // So that there is a program that goes on.
        run.program().expect("the program starts");
        let recorder = run.recorder().expect("the recorder starts");
        if time == 0 {
            // One at least is killed with a trace begun.
            run.wait_for(STEPS / 2);
        } else {
            std::thread::sleep(moments.next(longest));
        }
        let counted = run.counted();
        kill(run.front.id());
        kill(recorder);
        let ended = run.end();
        assert_eq!((ended.printed.as_str(), ended.counted), ("done 300000\n", STEPS));
        let trace = ended.folder.path().join("a.viv");
        // Between its making and its first bytes it is empty.
        let (allocates, diverged) = if trace.metadata().is_ok_and(|file| file.len() > 0) {
            let (report, _) = verify_json(&trace);
            cut += 1;
            let allocates = info(&trace)["totals"]["allocates"].as_u64().unwrap();
            (allocates, report["checks"][0]["diverged"].as_u64().unwrap())
        } else {
            none += 1;
            (0, 0)
        };
        assert_eq!(diverged, 0);
        assert!(allocates + LOST_WITH_BOTH >= counted * BLOCKS_OF_A_STEP, "{allocates} for {counted}");
    }
    eprintln!(
        "both processes of the recorder killed {times} times: {cut} traces that are good up to where they were cut, \
         {none} not begun; the programs went on to their end"
    );
    assert!(cut > 0);
}
