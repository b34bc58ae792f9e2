//! Where a program runs: containers, limits, filters.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use super::{APP, Is, Place, Rows, words};
use crate::support::pythons::recordable;
use crate::support::{stderr, stdout, verify_json};

/// Refuses system calls, as containers do: the first argument is the error, the second one how many of the calls, the
/// rest the command.
const FILTER: &str = r#"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **words) {
    static const int calls[] = {
        SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_perf_event_open, SYS_userfaultfd, SYS_bpf,
        SYS_kcmp, 424 /* pidfd_send_signal */, 434 /* pidfd_open */, 425 /* io_uring_setup */, SYS_membarrier,
        SYS_madvise, SYS_memfd_create,
    };
    int error = atoi(words[1]), many = atoi(words[2]), size = 0;
    struct sock_filter filter[64];
    filter[size++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < many && i < (int)(sizeof calls / sizeof *calls); i++) {
        filter[size++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
        filter[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
    }
    filter[size++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = { size, filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) return 77;
    execvp(words[3], words + 3);
    return 77;
}
"#;

/// All calls of the filter's list but the last one, or all of them.
const ORDINARY: &str = "12";
const NO_MEMORY_FILES: &str = "13";

#[test]
fn containers() {
    let mut rows = Rows::new("Where a program runs");
    // The programs are in Python 3.
    let mut pythons = recordable("containers");
    pythons.retain(|python| python.version >= (3, 7, 0));
    for python in pythons.first().into_iter().chain(pythons.last()) {
        let place = Place::new(python);
        mounts(&place, &mut rows);
        first_process(&place, &mut rows);
        filters(&place, &mut rows);
        limits(&place, &mut rows);
    }
    rows.are_those_documented();
}

/// Runs a shell script in a mount namespace of its own, in which `replay` and this folder stay what they are.
fn in_namespace(place: &Place, options: &[&str], script: &str) -> Output {
    let replay = Path::new(env!("CARGO_BIN_EXE_replay"));
    let (here, bin) = (place.path().display(), replay.parent().unwrap().display());
    let script = format!(
        "mount --bind /tmp /tmp && mount --bind '{here}' '{here}' && mount --bind '{bin}' '{bin}' && cd '{here}' || exit 77
        {script}"
    );
    Command::new("unshare")
        .args(options)
        .args(["--mount", "sh", "-c", &script])
        .env("REPLAY", replay)
        .env("PYTHON", &place.python)
        .env("XDG_CACHE_HOME", place.path().join("cache"))
        .output()
        .unwrap_or_else(|error| panic!("unshare: {error}"))
}

/// What a container has, or has not, of files.
fn mounts(place: &Place, rows: &mut Rows) {
    let ro = "mount -t tmpfs -o ro none";
    for (row, preparation, is) in [
        ("no /dev/shm", format!("{ro} /dev/shm"), Is::Recorded),
        ("a read-only /tmp", "mount -o remount,bind,ro /tmp".to_owned(), Is::Recorded),
        ("a /tmp where nothing is executable", "mount -o remount,bind,noexec /tmp".to_owned(), Is::Recorded),
        ("no cache folder", "export XDG_CACHE_HOME=/proc/none HOME=/proc/none".to_owned(), Is::Recorded),
        ("no /proc", format!("{ro} /proc"), Is::Refused("/proc")),
    ] {
        let script =
            format!("{preparation} || exit 77; \"$REPLAY\" record -f -o a.viv -- \"$PYTHON\" app.py");
        let output = in_namespace(place, &[], &script);
        let what = format!("{row}: {}: {}", place.python, stderr(&output));
        if matches!(output.status.code(), Some(1 | 77)) {
            rows.skipped(row, "this user may mount nothing");
            continue;
        }
        assert_eq!(stdout(&output), "4498500\n", "{what}");
        expect(place, &what, &output, is, 3);
        rows.made(row);
    }
}

/// What the recorder says, its exit status (that of the program, unless nothing was recorded), and what it leaves.
fn expect(place: &Place, what: &str, output: &Output, is: Is, status: i32) {
    let trace = place.path().join("a.viv");
    let words = stderr(output);
    assert!(!words.contains("ld.so"), "{what}");
    match is {
        Is::Recorded => {
            assert_eq!(output.status.code(), Some(status), "{what}");
            assert_eq!(verify_json(&trace).1, 0, "{what}");
            std::fs::remove_file(trace).unwrap();
        }
        Is::Refused(why) => {
            assert_eq!(output.status.code(), Some(125), "{what}");
            assert!(words.lines().last().unwrap_or_default().contains(why), "{what}");
            assert!(!trace.exists(), "{what}: half a trace");
        }
    }
}

/// The recorder as the first process of a container: it takes the place of `init`.
fn first_process(place: &Place, rows: &mut Rows) {
    let row = "as a container's first process (PID 1)";
    // Makes an orphan that ends, and looks for what nobody has waited for.
    place.write(
        "orphans.py",
        "
import os, time
if not os.fork():
    if not os.fork():
        os._exit(0)
    os._exit(0)
os.wait()
def state(pid):
    try:
        return open('/proc/%s/stat' % pid).read().rsplit(')')[1].split()[0]
    except OSError:
        return ''
for wait in range(1000):
    zombies = [pid for pid in os.listdir('/proc') if pid.isdigit() and state(pid) == 'Z']
    if not zombies:
        break
    time.sleep(0.01)
print('%s %s %s' % (zombies, os.getpid() > 1, [str(n) for n in range(9999)][-1]))
raise SystemExit(6)
",
    );
    let script = "exec \"$REPLAY\" record -f -o a.viv -- \"$PYTHON\" orphans.py";
    let output = in_namespace(place, &["--pid", "--fork", "--mount-proc"], script);
    let what = format!("{row}: {}: {}", place.python, stderr(&output));
    if matches!(output.status.code(), Some(1 | 77)) {
        return rows.skipped(row, "this user may make no process namespace");
    }
    assert_eq!(stdout(&output), "[] True 9998\n", "{what}");
    expect(place, &what, &output, Is::Recorded, 6);
    // The first process gets no signal that it has no handler for.
    let script = format!("{script} & sleep 1; kill -TERM $!; wait $!");
    let script = script.replace("exec ", "").replace("orphans.py", "term.py");
    place.write(
        "term.py",
        "
import signal, sys, time
def end(number, frame):
    print('asked to end %s' % [str(n) for n in range(9999)][-1])
    sys.exit(8)
signal.signal(signal.SIGTERM, end)
time.sleep(60)
",
    );
    let output = in_namespace(place, &["--pid", "--fork", "--mount-proc"], &script);
    let what = format!("{row}: {}: {}", place.python, stderr(&output));
    assert_eq!(stdout(&output), "asked to end 9998\n", "{what}");
    expect(place, &what, &output, Is::Recorded, 8);
    rows.made(row);
}

/// Filters of system calls.
fn filters(place: &Place, rows: &mut Rows) {
    let (program, both, bare) = (
        "a filter of system calls (seccomp) around the program",
        "a filter of system calls around the recorder, too",
        "a filter that allows no memory files (memfd_create)",
    );
    place.write("filter.c", FILTER);
    let compiled = Command::new("cc").args(["-o", "filter", "filter.c"]).current_dir(place.path()).output();
    if !compiled.is_ok_and(|output| output.status.success()) {
        for row in [program, both, bare] {
            rows.skipped(row, "there is no C compiler");
        }
        return;
    }
    let p = place.python.as_str();
    // EPERM, as of a container's list; ENOSYS, as of an old kernel.
    for error in ["1", "38"] {
        place.check(program, &words(&["./filter", error, NO_MEMORY_FILES, p, "app.py"]), None, Is::Recorded);
        rows.made(program);
        for (row, many, is) in
            [(both, ORDINARY, Is::Recorded), (bare, NO_MEMORY_FILES, Is::Refused("memory file"))]
        {
            let output = Command::new(place.path().join("filter"))
                .args([error, many, env!("CARGO_BIN_EXE_replay"), "record", "-f", "-o", "a.viv", p, "app.py"])
                .current_dir(place.path())
                .output()
                .unwrap();
            let what = format!("{row}, error {error}: {p}: {}", stderr(&output));
            assert_eq!(stdout(&output), "4498500\n", "{what}");
            expect(place, &what, &output, is, 3);
            rows.made(row);
        }
    }
}

/// Limits that are set before the recorder starts.
fn limits(place: &Place, rows: &mut Rows) {
    let p = place.python.as_str();
    place.write("more.py", &format!("x = [[n] for n in range(99999)]\n{APP}"));
    for (row, limit, is) in [
        ("few descriptors (ulimit -n 24)", "-n 24", Is::Recorded),
        ("little memory (ulimit -v 400000)", "-v 400000", Is::Recorded),
        ("small files (ulimit -f 100)", "-f 100", Is::Refused("ring")),
    ] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit {limit} && exec \"$@\""), "sh"]);
        command.args([env!("CARGO_BIN_EXE_replay"), "record", "-f", "-o", "a.viv", p, "more.py"]);
        let output = command.current_dir(place.path()).process_group(0).output().unwrap();
        let what = format!("{row}: {p}: {}", stderr(&output));
        assert_eq!(stdout(&output), "4498500\n", "{what}");
        expect(place, &what, &output, is, 3);
        rows.made(row);
    }
}
