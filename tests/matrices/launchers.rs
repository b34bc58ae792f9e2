//! How a program is started.

use super::{APP, Is, Place, Rows, interpreters, words};
use crate::support::{stderr, verify_json};

#[test]
fn launchers() {
    let mut rows = Rows::new("How a program is started");
    for python in interpreters("launchers") {
        let place = Place::new(&python);
        let p = place.python.as_str();
        std::fs::create_dir(place.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(p, place.path().join("bin/python3")).unwrap();
        place.script("tool", &format!("#!/usr/bin/env python3\n{APP}"));
        place.script("launcher", &format!("#!/bin/sh\nx=$(date | sort)\nexec '{p}' app.py \"$@\"\n"));
        // What comes behind runs in the same environment: it may not notice either.
        let sh =
            format!("ls; '{p}' app.py; s=$?; sleep 0.1; ls 2>&1; '{p}' -c 'print(1)'; ls | cat; exit $s");
        for (row, command, input, is) in [
            ("python app.py", words(&[p, "app.py"]), None, Is::Recorded),
            ("python -m app", words(&[p, "-m", "app"]), None, Is::Recorded),
            ("python -c …", words(&[p, "-c", APP]), None, Is::Recorded),
            ("a program on standard input", words(&[p, "-"]), Some(APP), Is::Recorded),
            ("#!/usr/bin/env python3", words(&["./tool"]), None, Is::Recorded),
            ("a shell script that ends in exec", words(&["./launcher"]), None, Is::Recorded),
            ("sh -c with commands before and behind", words(&["sh", "-c", &sh]), None, Is::Recorded),
            (
                "sh -c that leaves commands running behind it",
                words(&[
                    "sh",
                    "-c",
                    &format!("'{p}' app.py; s=$?; (sleep 1; ls; '{p}' -c 'print(2)') & exit $s"),
                ]),
                None,
                Is::Recorded,
            ),
            ("env with variables", words(&["env", "A=1", p, "app.py"]), None, Is::Recorded),
            ("env -i", words(&["env", "-i", p, "app.py"]), None, Is::Refused("nothing was recorded")),
            ("nice", words(&["nice", p, "app.py"]), None, Is::Recorded),
            ("timeout", words(&["timeout", "60", p, "app.py"]), None, Is::Recorded),
            ("xargs", words(&["xargs", p]), Some("app.py"), Is::Recorded),
        ] {
            place.check(row, &command, input, is);
            rows.made(row);
        }
        let row = "a launcher that is linked statically";
        let launcher = "#include <unistd.h>\nint main(int count, char **words) { return execvp(words[1], words + 1); }\n";
        place.write("static.c", launcher);
        if place.run(false, &words(&["cc", "-static", "-o", "static", "static.c"]), None).status.success() {
            place.check(row, &words(&["./static", p, "app.py"]), None, Is::Recorded);
            rows.made(row);
        } else {
            rows.skipped(row, "there is no static C library");
        }
        let packed = place.run(false, &words(&[p, "-m", "zipfile", "-c", "app.pyz", "__main__.py"]), None);
        assert!(packed.status.success(), "{}", stderr(&packed));
        place.check("a zipped application", &words(&[p, "app.pyz"]), None, Is::Recorded);
        rows.made("a zipped application");
        asking(&place, &mut rows);
        environments(&place, &mut rows);
    }
    rows.are_those_documented();
}

/// A launcher that has two interpreters say what they are, one of them still running, before it starts the program.
fn asking(place: &Place, rows: &mut Rows) {
    let row = "a launcher that asks other interpreters first (uv)";
    let p = place.python.as_str();
    let ask = "import sys; sys.stdout.write(sys.version)";
    let slowly = "import sys, time; x = [[n] for n in range(99999)]; time.sleep(0.5)";
    place.script(
        "asking",
        &format!("#!/bin/sh\n'{p}' -c '{ask}'\n'{p}' -c '{slowly}' &\nsleep 0.2\n'{p}' \"$1\"\ns=$?; wait; exit $s\n"),
    );
    place.check(row, &words(&["./asking", "app.py"]), None, Is::Recorded);
    let events = || verify_json(&place.path().join("recorded.viv")).0["events"].as_u64().unwrap();
    let launched = events();
    place.check(row, &words(&[p, "app.py"]), None, Is::Recorded);
    assert!(launched.abs_diff(events()) < events() / 50, "{launched} events, of the program {}", events());
    rows.made(row);
}

/// Virtual environments, and what is started through them.
fn environments(place: &Place, rows: &mut Rows) {
    let p = place.python.as_str();
    let made = place.run(false, &words(&[p, "-m", "venv", "--without-pip", "v"]), None);
    if made.status.success() {
        place.check("a virtual environment", &words(&["v/bin/python", "app.py"]), None, Is::Recorded);
        place.script("v/bin/tool", &format!("#!{}\n{APP}", place.path().join("v/bin/python").display()));
        place.check("a console script of a virtual environment", &words(&["v/bin/tool"]), None, Is::Recorded);
        rows.made("a virtual environment");
        rows.made("a console script of a virtual environment");
    } else {
        rows.skipped("a virtual environment", "this interpreter comes without venv");
        rows.skipped("a console script of a virtual environment", "this interpreter comes without venv");
    }
    place.write("test_app.py", "def test_it():\n    assert sorted(str(n) for n in range(5000))\n");
    let has = |module: &str| {
        place.run(false, &words(&[p, "-c", &format!("import {module}")]), None).status.success()
    };
    if has("pytest") {
        let command =
            words(&[p, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "--durations=0"]);
        let recorded = place.run(true, &command, None);
        assert_eq!(recorded.status.code(), Some(0), "{}", stderr(&recorded));
        assert_eq!(verify_json(&place.path().join("recorded.viv")).1, 0);
        rows.made("pytest");
    } else {
        rows.skipped("pytest", "it is not installed");
    }
    if has("gunicorn") {
        place.check("gunicorn", &words(&[p, "-m", "gunicorn", "--version"]), None, Is::Recorded);
        rows.made("gunicorn");
    } else {
        rows.skipped("gunicorn", "it is not installed");
    }
}
