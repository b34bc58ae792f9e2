//! What is refused.

use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use super::{Is, Place, Rows, interpreters, words};
use crate::support::pythons::{Python, free_threaded};
use crate::support::{replay, stderr, stdout};

#[test]
fn refusals() {
    let mut rows = Rows::new("What is refused");
    for python in interpreters("refusals") {
        let place = Place::new(&python);
        allocators(&python, &place, &mut rows);
        let row = "a free-threaded build";
        if let Some(free) = free_threaded() {
            let command = words(&[free.to_str().unwrap(), "app.py"]);
            place.check(row, &command, None, Is::Refused("free-threaded build"));
            rows.made(row);
        } else {
            rows.skipped(row, "there is none here (cargo xtask interpreters --fetch)");
        }
        // These need no interpreter.
        if !rows.has("PyPy") {
            others(&place, &mut rows);
            unexecutable(&place, &mut rows);
        }
    }
    rows.are_those_documented();
}

/// Interpreters that do not use their pools.
fn allocators(python: &Python, place: &Place, rows: &mut Rows) {
    let p = place.python.as_str();
    let pools = Is::Refused("does not use its pools");
    for name in ["malloc", "debug", "malloc_debug", "pymalloc_debug", "mimalloc"] {
        let row = format!("PYTHONMALLOC={name}");
        if name == "mimalloc" && python.version < (3, 13, 0) {
            rows.skipped(&row, "it is there from 3.13 on");
            continue;
        }
        // 2.7 does not know the variable.
        let is = if python.version < (3, 6, 0) { Is::Recorded } else { pools };
        place.check(&row, &words(&["env", &row, p, "app.py"]), None, is);
        rows.made(&row);
    }
    // 3.6 takes any such option; 2.7 refuses them all.
    let is = match python.version {
        (2, ..) => Is::Refused("ended before it ran a program"),
        (3, 6, _) => Is::Recorded,
        _ => pools,
    };
    place.check("python -X dev", &words(&[p, "-X", "dev", "app.py"]), None, is);
    rows.made("python -X dev");
    let row = "python --version";
    // 3.6 takes the hooks out first, and would put them back when it starts.
    let why = if (3, 6) == (python.version.0, python.version.1) {
        "or never started"
    } else {
        "ended before it ran"
    };
    place.check(row, &words(&[p, "--version"]), None, Is::Refused(why));
    rows.made(row);
    linked_with_the_interpreter(python, place, rows);
}

/// An old interpreter in one piece, made of the library that came with the one at hand.
fn linked_with_the_interpreter(python: &Python, place: &Place, rows: &mut Rows) {
    let row = "CPython 2.7 without a shared libpython";
    if python.version >= (3, 7, 0) {
        rows.skipped(row, "this one has hooks that last");
        return;
    }
    let script = "import sys, sysconfig
for name in ('LIBPL', 'LIBRARY'): print(sysconfig.get_config_var(name))
print(sys.prefix)";
    let said = place.run(false, &words(&[&place.python, "-c", script]), None);
    let text = stdout(&said);
    let [folder, library, prefix] = text.lines().collect::<Vec<_>>()[..] else { panic!("{said:?}") };
    let linked = Command::new("cc")
        .args(["-o", "whole", "-Wl,-E"])
        .args([format!("{folder}/python.o"), format!("{folder}/{library}")])
        .args(["-lpthread", "-ldl", "-lutil", "-lm"])
        .current_dir(place.path())
        .output();
    if linked.is_ok_and(|output| output.status.success()) {
        let command = words(&["env", &format!("PYTHONHOME={prefix}"), "./whole", "app.py"]);
        // 3.6 can be recorded, though not by the same means as where the library is shared.
        let direct = Is::Refused("calls its allocators directly");
        place.check(row, &command, None, if python.version < (3, 0, 0) { direct } else { Is::Recorded });
        rows.made(row);
    } else {
        rows.skipped(row, "there is no C compiler, or no library to link with");
    }
}

/// Programs into which the recorder does not get, or in vain.
fn others(place: &Place, rows: &mut Rows) {
    let row = "a program that is no Python";
    place.check(row, &words(&["sh", "-c", "echo hello; exit 4"]), None, Is::Refused("sh is no CPython"));
    place.check(row, &words(&["env", "A=1", "ls", "/"]), None, Is::Refused("is no CPython"));
    rows.made(row);
    place.write(
        "plain.c",
        "#include <stdio.h>
        #include <unistd.h>
        int main(int count, char **words) { if (count > 1) sleep(1); puts(\"hello\"); return 5; }\n",
    );
    place.write("bare.c", "void _start(void) { __asm__(\"int $0x80\" : : \"a\"(1), \"b\"(5)); }\n");
    let made = |compiler: &str, arguments: &[&str]| {
        let output = Command::new(compiler).args(arguments).current_dir(place.path()).output();
        output.is_ok_and(|output| output.status.success())
    };
    let pypy = made("cc", &["-shared", "-o", "libpypy3.10-c.so", "plain.c"])
        && made(
            "cc",
            &["-o", "pypy3", "plain.c", "-Wl,--no-as-needed", "-L.", "-l:libpypy3.10-c.so", "-Wl,-rpath,."],
        );
    for (row, is_made, program, why) in [
        (
            "a program that is linked statically",
            made("cc", &["-static", "-o", "static", "plain.c"]),
            "./static",
            "linked statically",
        ),
        (
            "a program that is linked with musl, no Python",
            made("musl-gcc", &["-o", "musl", "plain.c"]),
            "./musl",
            "musl is no CPython",
        ),
        (
            "a 32-bit program",
            made("cc", &["-m32", "-nostdlib", "-static", "-o", "small", "bare.c", "-Wl,--build-id=none"]),
            "./small",
            "is a 32-bit program",
        ),
        ("PyPy", pypy, "./pypy3", "is PyPy"),
    ] {
        if is_made {
            place.check(row, &words(&[program]), None, Is::Refused(why));
            rows.made(row);
        } else {
            rows.skipped(row, "there is no compiler here that makes one");
        }
    }
    // What a launcher became, if it is there long enough to be seen.
    if rows.has("a program that is linked statically") && place.path().join("static").exists() {
        let command = words(&["sh", "-c", "exec ./static slowly"]);
        place.check("a launcher", &command, None, Is::Refused("linked statically"));
    }
    let row = "a program that is set-uid or set-gid";
    let path = place.path().join("other");
    // Nobody is somebody else for root, too.
    if rustix::process::geteuid().is_root() && made("cc", &["-o", "other", "plain.c"]) {
        chown(&path, Some(65534), Some(65534)).unwrap();
        for mode in [0o4755, 0o2755] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            place.check(row, &words(&["./other"]), None, Is::Refused("is set-uid or set-gid"));
        }
        rows.made(row);
    } else {
        rows.skipped(row, "that takes root's rights, and a C compiler");
    }
    let row = "a program with capabilities";
    if has_setpriv() && made("cc", &["-o", "able", "plain.c"]) && make_capable(&place.path().join("able")) {
        // The folder is root's, whose programs get all capabilities anyway: somebody else runs it.
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let output = Command::new("setpriv")
            .args(nobody)
            .args([env!("CARGO_BIN_EXE_replay"), "record", "-o", "able.viv", "./able"])
            .current_dir(place.path())
            .output()
            .unwrap();
        let words = stderr(&output);
        assert_eq!(output.status.code(), Some(125), "{row}: {words}");
        assert!(words.contains("has capabilities"), "{row}: {words}");
        assert_eq!(stdout(&output), "hello\n", "{row}: {words}");
        assert!(!place.path().join("able.viv").exists(), "{row}: half a trace");
        rows.made(row);
    } else {
        rows.skipped(
            row,
            "that takes root's rights, setpriv, a C compiler and a file system with attributes",
        );
    }
}

fn has_setpriv() -> bool {
    let output = Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "true"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Gives a program CAP_NET_RAW, as capabilities(7) says that a file has it: revision 2, effective.
fn make_capable(path: &std::path::Path) -> bool {
    let words = [0x0200_0001_u32, 1 << 13, 0, 0, 0];
    let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    rustix::fs::setxattr(path, c"security.capability", &value, rustix::fs::XattrFlags::empty()).is_ok()
}

/// What cannot even be started.
fn unexecutable(place: &Place, rows: &mut Rows) {
    let foreign = [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 9], &[2, 0, 243, 0, 1], &[0; 107]].concat();
    std::fs::write(place.path().join("foreign"), foreign).unwrap();
    std::fs::set_permissions(place.path().join("foreign"), std::fs::Permissions::from_mode(0o755)).unwrap();
    place.script("stray", "#!/no/such/python -u\nprint(1)\n");
    place.write("script.py", "print(1)\n");
    for (row, command, status, why) in [
        ("a command that does not exist", "./absent", 127, "./absent: "),
        (
            "a script whose interpreter does not exist",
            "./stray",
            126,
            "its interpreter /no/such/python does not exist",
        ),
        ("a script that is not executable", "./script.py", 126, "did you mean: python3 ./script.py?"),
        ("a program for another processor", "./foreign", 126, "for another kind of processor"),
    ] {
        let output =
            replay().current_dir(place.path()).args(["record", "-o", "none.viv", command]).output().unwrap();
        let words = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{row}: {words}");
        assert!(words.starts_with("replay: ") && words.contains(why), "{row}: {words}");
        assert_eq!(words.lines().count(), 1, "{row}: {words}");
        assert!(!place.path().join("none.viv").exists(), "{row}: half a trace");
        rows.made(row);
    }
}
