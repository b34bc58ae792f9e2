//! Building interpreters that no package has, from the sources that Debian ships, without what Debian changes in them.
//!
//! Debian's own build of the same version is optimised and linked in another way, and has its patches: what is recorded of
//! one must be true of the other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Interpreter;
use super::fetch::{begin, perform};
use crate::Result;

/// Sources that Debian ships.
pub(crate) struct Package {
    pub(crate) suite: &'static str,
    pub(crate) name: &'static str,
}

const PACKAGE: Package = Package { suite: "trixie", name: "python3.13" };

/// What is built.
struct Build {
    /// The folder's name.
    name: &'static str,
    executable: &'static str,
    options: &'static [&'static str],
    /// Names of the executable under which it would be taken for another build.
    misleading: &'static [&'static str],
}

const BUILDS: [Build; 2] = [
    // As pyenv builds: optimised by the compiler's options alone, the interpreter proper in a library.
    Build {
        name: "stock-trixie",
        executable: "python3.13",
        options: &["--enable-shared", "--without-static-libpython"],
        misleading: &[],
    },
    Build {
        name: "trixie-free-threaded",
        executable: "python3.13t",
        options: &["--disable-gil", "--disable-test-modules"],
        misleading: &["python3", "python3.13"],
    },
];

/// Builds what is not there yet.
pub(super) fn run(cache: &Path) -> Result<()> {
    BUILDS.iter().try_for_each(|build| build.run(cache))
}

impl Build {
    fn run(&self, cache: &Path) -> Result<()> {
        let folder = cache.join(self.name);
        let Some(partial) = begin(&folder)? else { return Ok(()) };
        let failed = |error: std::io::Error| format!("{}: {error}", partial.display());
        eprintln!(
            "building {} from the source of {} in Debian's {} (some minutes)",
            self.executable, PACKAGE.name, PACKAGE.suite
        );
        let sources = unpack(&PACKAGE.download(&partial)?, &partial)?;
        let prefix = folder.join("usr");
        let installed = make(&sources, &prefix, self.options)?;
        for name in self.misleading {
            fs::remove_file(installed.join("bin").join(name)).map_err(failed)?;
        }
        fs::rename(installed.parent().unwrap_or(&installed), &folder).map_err(failed)?;
        fs::remove_dir_all(&partial).map_err(failed)?;
        let executable = prefix.join("bin").join(self.executable);
        let version = Interpreter::ask(&executable)
            .ok_or_else(|| format!("{} does not run here", executable.display()))?;
        eprintln!("{}: {version}", executable.display());
        Ok(())
    }
}

/// Unpacks an archive of sources into a folder of its own.
pub(crate) fn unpack(archive: &Path, partial: &Path) -> Result<PathBuf> {
    let sources = partial.join("sources");
    fs::create_dir(&sources).map_err(|error| format!("{}: {error}", sources.display()))?;
    let mut unpack = Command::new("tar");
    unpack.arg("--extract").arg("--strip-components=1").arg("-C").arg(&sources).arg("-f").arg(archive);
    perform(&mut unpack)?;
    Ok(sources)
}

/// Builds sources that will be at `prefix`, and says where the tree lies that belongs there.
pub(crate) fn make(sources: &Path, prefix: &Path, options: &[&str]) -> Result<PathBuf> {
    let mut configure = Command::new("./configure");
    configure.args(["--quiet", "--without-ensurepip"]).args(options);
    configure.arg(format!("--prefix={}", prefix.display()));
    configure.arg(format!("LDFLAGS=-Wl,-rpath,{}", prefix.join("lib").display()));
    perform(configure.current_dir(sources))?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    perform(Command::new("make").args(["--quiet", &format!("--jobs={jobs}")]).current_dir(sources))?;
    let staged = sources.with_file_name("installed");
    let mut install = Command::new("make");
    install.args(["--quiet", "install", &format!("DESTDIR={}", staged.display())]);
    perform(install.current_dir(sources))?;
    // Below the place where it was put lies the whole way to the place where it is to be.
    Ok(staged.join(prefix.strip_prefix("/").unwrap_or(prefix)))
}

impl Package {
    /// Downloads it with an apt that looks at nothing but its suite, and says where the sources proper are.
    pub(crate) fn download(&self, folder: &Path) -> Result<PathBuf> {
        let Self { suite, name: package } = *self;
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(folder.join("lists/partial")).map_err(failed)?;
        let list = folder.join("sources.list");
        let keys = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg";
        fs::write(&list, format!("deb-src [{keys}] http://deb.debian.org/debian {suite} main\n"))
            .map_err(failed)?;
        let options = [
            format!("Dir::Etc::SourceList={}", list.display()),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State={}", folder.display()),
            "Dir::State::status=/dev/null".to_owned(),
            format!("Dir::Cache={}", folder.join("cache").display()),
            // Whether the lists are of today does not matter.
            "Acquire::Check-Valid-Until=false".to_owned(),
            // Who else would download has no right to write here.
            "APT::Sandbox::User=root".to_owned(),
        ];
        for action in [&["update"][..], &["source", "--download-only", package]] {
            let mut apt = Command::new("apt-get");
            apt.args(options.iter().flat_map(|option| ["-o", option]));
            perform(apt.args(action).current_dir(folder))?;
        }
        let is_original = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.contains(".orig.tar.") && !name.ends_with(".asc")
        };
        let files = fs::read_dir(folder).map_err(failed)?;
        let mut originals = files.flatten().map(|entry| entry.path()).filter(is_original);
        originals.next().ok_or_else(|| format!("{package} of {suite} came without its original sources"))
    }
}
