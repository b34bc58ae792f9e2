//! What a program does, and how it ends.

use super::{Is, Place, Rows, interpreters, words};

/// What the programs of the second table do, in Python.
const PROGRAMS: [(&str, &str); 19] = [
    ("exits", "raise SystemExit(9)"),
    ("ends with an exception", "1 / 0"),
    ("calls os._exit", "import os; os._exit(5)"),
    (
        "calls os._exit in a thread",
        "import os, threading, time; threading.Thread(target=os._exit, args=(6,)).start(); time.sleep(9)",
    ),
    ("calls os.abort", "import os, resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"),
    ("is ended by a signal", "import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)"),
    ("is killed (SIGKILL)", "import os, time; os.kill(os.getpid(), 9); time.sleep(9)"),
    (
        "replaces itself (os.execv)",
        "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'print(7)'])",
    ),
    (
        "closes all descriptors",
        "import os, sys; print(1); sys.stdout.flush(); os.closerange(0, 4096); x = [[n] for n in range(9999)]",
    ),
    (
        "lists its descriptors",
        "import os; print([(n, os.readlink('/proc/self/fd/' + n)) for n in os.listdir('/proc/self/fd') if n > '2' and os.path.exists('/proc/self/fd/' + n)])",
    ),
    (
        "changes its folder, its root or its user",
        "import os; os.chdir('/')
if os.getuid() == 0:
    os.chroot('/tmp'); os.setgroups([]); os.setgid(65534); os.setuid(65534)
x = [[n] for n in range(9999)]",
    ),
    (
        "clears its environment",
        "import os; os.environ.clear(); x = [[n] for n in range(9999)]; print(dict(os.environ))",
    ),
    (
        "forks",
        "import os
pid = os.fork()
x = [[n] for n in range(9999)]
if not pid: os._exit(0)
print(os.waitpid(pid, 0)[1])",
    ),
    (
        "starts other interpreters (subprocess)",
        "import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', 'print(1)']))",
    ),
    (
        "uses multiprocessing",
        "import multiprocessing
def square(n): return n * n
# Before 3.4 there is only this kind.
pool = getattr(multiprocessing, 'get_context', lambda kind: multiprocessing)('fork').Pool(2)
print(pool.map(square, range(99))); pool.close(); pool.join()",
    ),
    (
        "runs threads",
        "import threading
def work(): [str(n) for n in range(20000)]
threads = [threading.Thread(target=work) for _ in range(5)]
[t.start() for t in threads]; [t.join() for t in threads]",
    ),
    (
        "leaves daemon threads behind",
        "import threading, time
def work():
    while True: x = [str(n) for n in range(100)]
thread = threading.Thread(target=work)
thread.daemon = True
thread.start(); time.sleep(0.1)",
    ),
    (
        "limits its memory",
        "import resource
size = 4 << 30
resource.setrlimit(resource.RLIMIT_AS, (size, size))
x = [[n] for n in range(99999)]",
    ),
    (
        "uses tracemalloc",
        "import tracemalloc; tracemalloc.start(); x = [[n] for n in range(9999)]; tracemalloc.stop()",
    ),
];

#[test]
fn programs() {
    let mut rows = Rows::new("What a program does, and how it ends");
    for python in interpreters("programs") {
        let place = Place::new(&python);
        for (row, script) in PROGRAMS {
            if row == "uses tracemalloc" && python.version < (3, 4, 0) {
                rows.skipped(row, "there is no such module yet");
                continue;
            }
            // From a file, as programs are.
            place.write("program.py", &format!("x = [[n] for n in range(3000)]\n{script}\n"));
            place.check(row, &words(&[&place.python, "program.py"]), None, Is::Recorded);
            rows.made(row);
        }
    }
    rows.are_those_documented();
}
