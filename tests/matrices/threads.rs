//! Threads, greenlets, interpreters: what runs beside what.

use std::process::Command;

use super::{Is, Place, Rows, words};
use crate::support::pythons::{Python, recordable_from};

/// Switches to another greenlet inside of finalizers: of objects that die alone, in cascades and in collections.
const GREENLETS: &str = "
import gc
from greenlet import getcurrent, greenlet
switches = 0
def other(value):
    while True:
        garbage = [[str(n)] for n in range(50)]
        value = getcurrent().parent.switch(value + len(garbage))
class Switching:
    def __init__(self, other):
        self.other, self.load = other, [str(n) for n in range(20)]
    def __del__(self):
        global switches
        switches += self.other.switch(1) > 0
for _ in range(200):
    worker = greenlet(other)
    worker.switch(0)
    Switching(worker)
    cascade = [Switching(worker), [Switching(worker)]]
    del cascade
    cycle = [Switching(worker)]
    cycle.append(cycle)
    del cycle
    gc.collect()
print(switches)
";

const SHARED: &str = "
import _xxsubinterpreters as interpreters
other = interpreters.create()
interpreters.run_string(other, 'import json; x = [[n] for n in range(9999)]; print(len(x), flush=True)')
x = [[n] for n in range(99999)]
interpreters.destroy(other)
print(len(x))
";

/// Made `isolated` and `legacy`: with a lock and pools of its own, and without.
const MADE: &str = "
import sys
try:
    import _interpreters as interpreters
    other = interpreters.create(KIND)
except ImportError:
    import _xxsubinterpreters as interpreters
    other = interpreters.create(isolated=KIND == 'isolated')
run = getattr(interpreters, 'exec', interpreters.run_string)
run(other, 'import json; x = [[n] for n in range(9999)]; print(len(x), flush=True)')
x = [[n] for n in range(99999)]
interpreters.destroy(other)
print(len(x))
";

#[test]
fn threads() {
    let mut rows = Rows::new("Threads, greenlets, interpreters");
    // What some of it is written with is not there before.
    let pythons = recordable_from((3, 7, 0), "threads");
    let (Some(oldest), Some(newest)) = (pythons.first(), pythons.last()) else { return };
    for python in [oldest, newest] {
        let place = Place::new(python);
        place.write(
            "mixed.py",
            "
import asyncio, concurrent.futures
def work(n): return len([[m] for m in range(n)])
async def main():
    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        print(sum(await asyncio.gather(*(loop.run_in_executor(pool, work, n) for n in range(500)))))
asyncio.run(main())
",
        );
        let row = "asyncio with a pool of threads";
        place.check(row, &words(&[&place.python, "mixed.py"]), None, Is::Recorded);
        rows.made(row);
    }
    greenlets(&pythons, &mut rows);
    let row = "sub-interpreters, to CPython 3.11";
    let is_old = |python: &&Python| ((3, 8, 0)..(3, 12, 0)).contains(&python.version);
    match pythons.iter().rev().find(is_old) {
        Some(python) => {
            let place = Place::new(python);
            place.check(row, &words(&[&place.python, "-c", SHARED]), None, Is::Recorded);
            rows.made(row);
        }
        None => rows.skipped(row, "there is no CPython 3.8 to 3.11"),
    }
    for (row, kind) in [
        ("sub-interpreters with locks of their own, from 3.12 on", "isolated"),
        ("sub-interpreters that share the lock, from 3.12 on", "legacy"),
    ] {
        if newest.version < (3, 12, 0) {
            rows.skipped(row, "there is no CPython 3.12");
            continue;
        }
        let place = Place::new(newest);
        let script = format!("KIND = '{kind}'{MADE}");
        let is = Is::Refused("more than one interpreter");
        place.check(row, &words(&[&place.python, "-c", &script]), None, is);
        rows.made(row);
    }
    rows.are_those_documented();
}

/// With the newest interpreter that greenlets can be had for.
fn greenlets(pythons: &[Python], rows: &mut Rows) {
    let row = "greenlets that switch inside of finalizers";
    for python in pythons.iter().rev() {
        let (major, minor, patch) = python.version;
        let folder = format!("{}/greenlet-{major}.{minor}.{patch}", env!("CARGO_TARGET_TMPDIR"));
        let run = |arguments: &[&str]| {
            let mut command = Command::new(&python.path);
            command.args(arguments).env("PYTHONPATH", &folder);
            command.output().is_ok_and(|output| output.status.success())
        };
        let install = ["-m", "pip", "install", "-q", "--only-binary=:all:", "--target", &folder, "greenlet"];
        if run(&["-c", "import greenlet"]) || (run(&install) && run(&["-c", "import greenlet"])) {
            let place = Place::new(python);
            let script = format!("import sys; sys.path.insert(0, {folder:?})\n{GREENLETS}");
            place.check(row, &words(&[&place.python, "-c", &script]), None, Is::Recorded);
            return rows.made(row);
        }
    }
    rows.skipped(row, "the package greenlet is not here and cannot be installed");
}
