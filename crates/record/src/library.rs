//! Puts the preloaded library where the dynamic loader finds it.
//!
//! Preferably in a file of the user's cache folder, named after its contents. It stays: what a program leaves running
//! has the library in its environment for longer than the recorder lives, and the loader complains of one that is gone.
//! Where no such file can be written or executed, in memory, reached through this process' descriptors in `/proc`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memmap2::MmapOptions;
use rustix::fs::{MemfdFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, memfd_create, statvfs};

use crate::{Error, LibraryPlace, PRELOAD};

/// The library, in a place.
#[derive(Debug)]
pub(crate) enum Library {
    /// A memory file of this process.
    Memory(OwnedFd),
    /// A file that stays for later recordings.
    Stored(PathBuf),
}

impl Library {
    pub(crate) fn provide(place: &LibraryPlace) -> Result<Self, Error> {
        match place {
            LibraryPlace::Folder(folder) => store(folder).map(Self::Stored),
            LibraryPlace::Automatic => match in_cache() {
                Ok(path) => Ok(Self::Stored(path)),
                Err(_) => {
                    in_memory().map(Self::Memory).or_else(|_| store(&temporary_folder()).map(Self::Stored))
                }
            },
        }
    }

    /// The path for `LD_PRELOAD`.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::Memory(file) => format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into(),
            Self::Stored(path) => path.clone(),
        }
    }
}

/// A sealed memory file with the library, tested to be mappable as code.
fn in_memory() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Newer kernels may be set to make memory files without the right to execute unless asked; older ones do not
    // know the question.
    let file =
        memfd_create("vivarium", flags | MemfdFlags::EXEC).or_else(|_| memfd_create("vivarium", flags))?;
    let mut file = File::from(file);
    file.write_all(PRELOAD)?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&file, seals)?;
    // SAFETY: the file is sealed, so that its contents cannot change while it is mapped.
    drop(unsafe { MmapOptions::new().map_exec(&file) }?);
    Ok(file.into())
}

/// Stores it in the user's cache folder.
fn in_cache() -> Result<PathBuf, Error> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let missing = || io::Error::new(io::ErrorKind::NotFound, "neither XDG_CACHE_HOME nor HOME is set");
    store(&cache.ok_or_else(missing).map_err(Error::system(STORING))?.join("vivarium"))
}

/// A folder of this user's among the temporary files.
fn temporary_folder() -> PathBuf {
    env::temp_dir().join(format!("vivarium-{}", rustix::process::geteuid().as_raw()))
}

const STORING: &str = "storing the recorder's library";

/// Stores the library in a private folder, or finds it there.
fn store(folder: &Path) -> Result<PathBuf, Error> {
    let what = STORING;
    let separates = |byte: &u8| *byte == b':' || byte.is_ascii_whitespace();
    if folder.as_os_str().as_bytes().iter().any(separates) {
        return Err(Error::Folder(folder.to_owned()));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::system(what))?;
    // The loader takes relative names for names inside of its own search path only if they have no slash; an
    // absolute one does not depend on the program's working directory.
    let folder = folder.canonicalize().map_err(Error::system(what))?;
    if folder.as_os_str().as_bytes().iter().any(separates) {
        return Err(Error::Folder(folder));
    }
    let metadata = fs::metadata(&folder).map_err(Error::system(what))?;
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user || metadata.mode() & 0o022 != 0 {
        return Err(Error::Ownership(folder));
    }
    if statvfs(&folder).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        let source =
            io::Error::new(io::ErrorKind::PermissionDenied, "nothing there may be executed (noexec)");
        return Err(Error::System { what, source });
    }
    let path = folder.join(format!("preload-{:016x}.so", fingerprint(PRELOAD)));
    if fs::read(&path).is_ok_and(|contents| contents == PRELOAD) {
        return Ok(path);
    }
    // Written under a name of its own and moved, so that no program ever loads half of it.
    let mut unfinished = OsString::from(&path);
    unfinished.push(format!(".{}", std::process::id()));
    let written = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o700)
        .open(&unfinished)
        .and_then(|mut file| file.write_all(PRELOAD))
        .and_then(|()| fs::rename(&unfinished, &path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written.map_err(Error::system(what))?;
    Ok(path)
}

/// FNV-1a: a name, not a proof; the contents are compared too.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
