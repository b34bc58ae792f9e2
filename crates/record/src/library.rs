//! Puts the preloaded library where the dynamic loader finds it.
//!
//! Preferably in memory, reached through this process' descriptors in `/proc`: nothing is left on disk, and folders
//! mounted without the right to execute do not matter. Where that is forbidden, in a file named after its contents.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use memmap2::MmapOptions;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

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
            LibraryPlace::Automatic => match in_memory() {
                Ok(file) => Ok(Self::Memory(file)),
                Err(_) => in_default_folder().map(Self::Stored),
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

/// The user's cache folder, else a folder of this user's among the temporary files.
fn in_default_folder() -> Result<PathBuf, Error> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let user = rustix::process::geteuid().as_raw();
    let temporary = env::temp_dir().join(format!("vivarium-{user}"));
    match cache.map(|cache| store(&cache.join("vivarium"))) {
        Some(Ok(path)) => Ok(path),
        _ => store(&temporary),
    }
}

/// Stores the library in a private folder, or finds it there.
fn store(folder: &Path) -> Result<PathBuf, Error> {
    let what = "storing the recorder's library";
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
