//! What `--follow` records: every interpreter, in a trace of its own.

use std::path::PathBuf;

use super::{Place, Rows, interpreters, words};
use crate::support::pythons::Python;
use crate::support::{replay, stderr, stdout, verify_json};

/// What a program does, in Python, and how many traces come of it.
const FAMILIES: [(&str, usize, &str); 15] = [
    (
        "os.fork",
        2,
        "pid = os.fork()
y = [[n] for n in range(9999)]
if not pid: sys.exit(7)
print(os.waitpid(pid, 0)[1] >> 8)",
    ),
    (
        "os.fork in a forked process",
        3,
        "def fork(depth):
    global x
    x = x[:2000] + [str(n) for n in range(999)]
    if depth:
        pid = os.fork()
        if not pid: os._exit(fork(depth - 1))
        return (os.waitpid(pid, 0)[1] >> 8) + 1
    return 5
print(fork(2))",
    ),
    (
        "os.fork in a thread",
        2,
        "import threading
def work():
    pid = os.fork()
    y = [[n] for n in range(9999)]
    if not pid: os._exit(3)
    print(os.waitpid(pid, 0)[1] >> 8)
def other():
    while thread.is_alive(): y = [[n] for n in range(999)]
thread = threading.Thread(target=work); thread.start()
threads = [threading.Thread(target=other) for _ in range(2)]
[t.start() for t in threads]; thread.join(); [t.join() for t in threads]",
    ),
    (
        "many forks, one after the other",
        41,
        "for n in range(40):
    pid = os.fork()
    if not pid: os._exit(len([[m] for m in range(n)]))
    print(os.waitpid(pid, 0)[1] >> 8)",
    ),
    (
        "many forks at once",
        13,
        "pids = []
for n in range(12):
    pid = os.fork()
    y = [[m] for m in range(n * 999)]
    if not pid: os._exit(n)
    pids.append(pid)
print([os.waitpid(pid, 0)[1] >> 8 for pid in pids])",
    ),
    (
        "multiprocessing, forked",
        3,
        "import multiprocessing
# Before 3.4 there is only this kind.
pool = getattr(multiprocessing, 'get_context', lambda kind: multiprocessing)('fork').Pool(2)
print(pool.map(str, range(999))[-1]); pool.close(); pool.join()",
    ),
    (
        "multiprocessing, spawned",
        // Python itself starts one to clean up.
        4,
        "if __name__ == '__main__':
    import multiprocessing
    pool = multiprocessing.get_context('spawn').Pool(2)
    print(pool.map(str, range(999))[-1]); pool.close(); pool.join()",
    ),
    (
        "multiprocessing, by a fork server",
        // The server and the one to clean up.
        5,
        "if __name__ == '__main__':
    import multiprocessing
    pool = multiprocessing.get_context('forkserver').Pool(2)
    print(pool.map(str, range(999))[-1]); pool.close(); pool.join()",
    ),
    (
        "subprocess",
        2,
        "import subprocess
print(subprocess.check_output([sys.executable, '-c', 'import os; print(sorted(os.environ))']))",
    ),
    (
        "subprocess with an environment of its own",
        2,
        "import subprocess
child = 'import os; print(sorted(os.environ.items()))'
print(subprocess.check_output([sys.executable, '-c', child], env={'LD_PRELOAD': 'libm.so.6', 'A': 'b'}))",
    ),
    (
        "subprocess through a shell",
        2,
        "import subprocess
line = 'env | grep -v ^PATH= | sort; \"%s\" -c \"print(3)\"; nice true' % sys.executable
print(subprocess.check_output(line, shell=True).decode().replace(sys.executable, ''))",
    ),
    (
        "os.system and os.popen",
        3,
        "print(os.system('env | grep -v ^PATH=; \"%s\" -c \"raise SystemExit(3)\"' % sys.executable))
print(os.popen('\"%s\" -c \"print(4)\"' % sys.executable).read())
print(sorted(os.environ))",
    ),
    (
        "os.execv",
        2,
        "sys.stdout.flush(); os.execv(sys.executable, [sys.executable, '-c', 'print(7); raise SystemExit(8)'])",
    ),
    (
        "programs that are no CPython",
        1,
        "import subprocess
for _ in range(9): print(subprocess.check_output(['sh', '-c', 'env | grep -v ^PATH= | sort']))
print(os.system('echo 0'), os.popen('echo 1; true').read())",
    ),
    (
        "a daemon that outlives the program",
        3,
        "import time
if not os.fork():
    os.setsid()
    y = [[n] for n in range(999)]
    if os.fork(): os._exit(0)
    y = [[n] for n in range(9999)]
    time.sleep(0.3)
    y = [[n] for n in range(9999)]
    os._exit(0)
os.wait()",
    ),
];

/// How many traces come of a row on this version; none if it cannot do what the row says.
fn expected(row: &str, count: usize, python: &Python) -> Option<usize> {
    match row {
        "multiprocessing, spawned" | "multiprocessing, by a fork server" if python.version < (3, 4, 0) => {
            None
        }
        // Before Python 3 what happens between fork and exec is written in Python, so that the children have events.
        "programs that are no CPython" if python.version < (3, 0, 0) => Some(count + 9),
        row if row.starts_with("subprocess") && python.version < (3, 0, 0) => Some(count + 1),
        _ => Some(count),
    }
}

/// The traces of a recording, that of the first process first.
fn traces(place: &Place) -> Vec<PathBuf> {
    let files = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut traces: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|extension| extension == "viv")).collect();
    let number = |file: &PathBuf| {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        stem.rsplit('-').next().and_then(|number| number.parse::<u32>().ok()).unwrap_or(0)
    };
    traces.sort_by_key(number);
    traces
}

/// Runs `program.py` here with `--follow`.
fn follow(place: &Place, options: &[&str]) -> std::process::Output {
    let mut command = replay();
    command.args(["record", "--follow", "-f", "-o", "recorded.viv"]).args(options);
    command.args(["--", &place.python, "program.py"]).current_dir(place.path());
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

#[test]
fn families() {
    let mut rows = Rows::new("What `--follow` records");
    for python in interpreters("families") {
        for (row, count, script) in FAMILIES {
            let Some(count) = expected(row, count, &python) else {
                rows.skipped(row, "there is no such thing yet");
                continue;
            };
            let place = Place::new(&python);
            place.write("program.py", &format!("import os, sys\nx = [[n] for n in range(3000)]\n{script}\n"));
            let bare = place.run(false, &words(&[&place.python, "program.py"]), None);
            let recorded = follow(&place, &[]);
            let what = format!("{row}: {python:?}: {}", stderr(&recorded));
            assert_eq!(stdout(&recorded), stdout(&bare), "{what}");
            assert_eq!(recorded.status.code(), bare.status.code(), "{what}");
            let traces = traces(&place);
            assert_eq!(traces.len(), count, "{what}");
            for trace in &traces {
                let (report, status) = verify_json(trace);
                assert_eq!((&report["verdict"], status), (&"identical".into(), 0), "{what}\n{report}");
            }
            // And as they were told: the first one's and those beside it.
            let told = stderr(&recorded).lines().last().unwrap().to_owned();
            assert_eq!(told.matches(".viv").count(), count, "{what}");
            rows.made(row);
        }
    }
    rows.are_those_documented();
}

#[test]
fn without_it_they_are_counted() {
    for python in interpreters("counts") {
        for (row, count, script) in FAMILIES {
            // What an interpreter that was started forks is not known.
            if row == "multiprocessing, by a fork server" {
                continue;
            }
            let Some(count) = expected(row, count, &python) else { continue };
            let place = Place::new(&python);
            place.write("program.py", &format!("import os, sys\nx = [[n] for n in range(3000)]\n{script}\n"));
            let recorded = place.run(true, &words(&[&place.python, "program.py"]), None);
            let last = stderr(&recorded).lines().last().unwrap().to_owned();
            let expected = match count - 1 {
                0 => "replay: to verify it: replay verify recorded.viv".to_owned(),
                1 => "replay: 1 more interpreter was not recorded: --follow records them all".to_owned(),
                more => {
                    format!("replay: {more} more interpreters were not recorded: --follow records them all")
                }
            };
            assert_eq!(last, expected, "{row}: {python:?}: {}", stderr(&recorded));
        }
    }
}

#[test]
fn limits_end_it_for_all() {
    for python in interpreters("limits of families") {
        let place = Place::new(&python);
        place.write(
            "program.py",
            "import os, time
pids = [os.fork() for _ in range(2)]
end = time.time() + 1.5
while time.time() < end: x = [[n] for n in range(9999)]
if all(pids): print([os.waitpid(pid, 0)[1] for pid in pids])
elif pids[0]: pass
else:
    if pids[1]: os.waitpid(pids[1], 0)
",
        );
        for limit in [["--for", "500ms"], ["--max-size", "20K"]] {
            let recorded = follow(&place, &limit);
            let what = format!("{python:?}: {limit:?}: {}", stderr(&recorded));
            assert_eq!((stdout(&recorded).as_str(), recorded.status.code()), ("[0, 0]\n", Some(0)), "{what}");
            let traces = traces(&place);
            // On a busy machine it may be over before the last one has begun.
            assert!((1..=4).contains(&traces.len()), "{what}");
            for trace in &traces {
                let (report, _) = verify_json(trace);
                assert_eq!(report["verdict"], "identical", "{what}\n{report}");
            }
            traces.iter().for_each(|trace| std::fs::remove_file(trace).unwrap());
            assert!(stderr(&recorded).contains("goes on unrecorded"), "{what}");
        }
    }
}

/// What is wrong with a past is said, with its file.
#[test]
fn a_past_that_is_missing_or_another_is_told() {
    let Some(python) = interpreters("pasts").pop() else { return };
    let place = Place::new(&python);
    place.write(
        "program.py",
        "import os, random
x = [str(random.random()) for n in range(random.randrange(9000, 9999))]
pid = os.fork()
y = [[n] for n in range(9999)]
if pid: os.wait()",
    );
    assert_eq!(follow(&place, &[]).status.code(), Some(0));
    let [parent, child] = &traces(&place)[..] else { panic!("two traces") };
    let verdict = || {
        let (report, status) = verify_json(child);
        (status, report["verdict"].clone(), report["error"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(verdict(), (0, "identical".into(), String::new()));
    let whole = std::fs::read(parent).unwrap();

    // Another recording's.
    std::fs::rename(parent, place.path().join("kept")).unwrap();
    std::fs::rename(child, place.path().join("kept.1")).unwrap();
    assert_eq!(follow(&place, &[]).status.code(), Some(0));
    std::fs::rename(place.path().join("kept.1"), child).unwrap();
    let (status, is, why) = verdict();
    assert_eq!((status, is), (2, "unreadable".into()));
    assert!(
        why.starts_with("recorded.viv, ") && why.contains("not the trace that this one was forked from"),
        "{why}"
    );

    // Half of it.
    std::fs::write(parent, &whole[..whole.len() / 2]).unwrap();
    let (status, _, why) = verdict();
    assert!(status == 2 && why.contains("recorded.viv") && why.contains("truncated"), "{why}");

    // None, and itself.
    std::fs::remove_file(parent).unwrap();
    let (status, _, why) = verdict();
    assert!(status == 2 && why.contains("in the same folder") && why.contains("No such file"), "{why}");
    std::fs::copy(child, parent).unwrap();
    let (status, _, why) = verdict();
    assert!(status == 2 && why.contains("ancestors"), "{why}");
}
