//! Building an interpreter that no package has, from Debian's source package, unpatched: without the interpreter lock.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use super::fetch::perform;
use crate::Result;

/// The folder's name, the suite, the source package, and the executable.
const NAME: &str = "trixie-free-threaded";
const SUITE: &str = "trixie";
const PACKAGE: &str = "python3.13";
const EXECUTABLE: &str = "python3.13t";

/// Builds it below `cache`, unless it is there.
pub(super) fn run(cache: &Path) -> Result<()> {
    let folder = cache.join(NAME);
    if folder.exists() {
        eprintln!("{} is there", folder.display());
        return Ok(());
    }
    let partial = cache.join(format!("{NAME}.partial"));
    let failed = |error: io::Error| format!("{}: {error}", partial.display());
    match fs::remove_dir_all(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => fs::create_dir_all(partial.join("lists/partial")).map_err(failed)?,
    }
    eprintln!("building {EXECUTABLE} from the source of {PACKAGE} in Debian's {SUITE} (some minutes)");
    let list = partial.join("sources.list");
    fs::write(&list, format!("deb-src http://deb.debian.org/debian {SUITE} main\n")).map_err(failed)?;
    let apt = || {
        let mut command = Command::new("apt-get");
        // With lists of its own; whether they are of today does not matter.
        command.arg("-o").arg(format!("Dir::Etc::sourcelist={}", list.display()));
        command.arg("-o").arg(format!("Dir::State::lists={}", partial.join("lists").display()));
        command.arg("-o").arg(format!("Dir::Cache={}", partial.display()));
        command.args(["-o", "Dir::Etc::sourceparts=-", "-o", "Acquire::Check-Valid-Until=false"]);
        command.current_dir(&partial);
        command
    };
    perform(apt().arg("update"))?;
    perform(apt().args(["source", "--download-only", PACKAGE]))?;
    let here = |name: &str| {
        let mut command = Command::new(name);
        command.current_dir(&partial);
        command
    };
    perform(
        here("sh").args(["-c", "mkdir source build && tar xf *.orig.tar.xz -C source --strip-components=1"]),
    )?;
    let build = |name: &str| {
        let mut command = Command::new(name);
        command.current_dir(partial.join("build"));
        command
    };
    let prefix = partial.join("usr");
    perform(
        build("../source/configure")
            .args(["--quiet", "--disable-gil", "--disable-test-modules", "--without-ensurepip"])
            .arg(format!("--prefix={}", prefix.display())),
    )?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    perform(build("make").args(["--quiet", &format!("--jobs={jobs}")]))?;
    perform(build("make").args(["--quiet", "install"]))?;
    // Under its own name only: under the others it would be taken for a build with the lock.
    for name in ["python3", "python3.13"] {
        fs::remove_file(prefix.join("bin").join(name)).map_err(failed)?;
    }
    for unneeded in ["source", "build", "lists", "archives"] {
        // Only to save room.
        let _ = fs::remove_dir_all(partial.join(unneeded));
    }
    fs::rename(&partial, &folder).map_err(failed)?;
    eprintln!("{}", folder.join("usr/bin").join(EXECUTABLE).display());
    Ok(())
}
