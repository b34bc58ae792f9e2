//! What is refused.

use std::process::Command;

use super::{Is, Place, Rows, interpreters, words};

#[test]
fn refusals() {
    let mut rows = Rows::new("What is refused");
    for python in interpreters("refusals") {
        let place = Place::new(&python);
        let p = place.python.as_str();
        let pools = "does not use its pools";
        for (row, command, why) in [
            ("PYTHONMALLOC=malloc", words(&["env", "PYTHONMALLOC=malloc", p, "app.py"]), pools),
            ("PYTHONMALLOC=debug", words(&["env", "PYTHONMALLOC=debug", p, "app.py"]), pools),
            ("python -X dev", words(&[p, "-X", "dev", "app.py"]), pools),
            (
                "a program that is no Python",
                words(&["sh", "-c", "echo hello; exit 4"]),
                "nothing was recorded",
            ),
        ] {
            place.check(row, &command, None, Is::Refused(why));
            rows.made(row);
        }
        place.write("static.c", "int main(void) { return 5; }\n");
        let compiled = Command::new("cc")
            .args(["-static", "-o", "static", "static.c"])
            .current_dir(place.path())
            .output();
        let row = "a program that is linked statically";
        if compiled.is_ok_and(|output| output.status.success()) {
            place.check(row, &words(&["./static"]), None, Is::Refused("nothing was recorded"));
            rows.made(row);
        } else {
            rows.skipped(row, "there is no C compiler, or no static C library");
        }
    }
    rows.are_those_documented();
}
