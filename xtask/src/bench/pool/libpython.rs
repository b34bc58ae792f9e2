//! CPython's allocator, from a shared library of CPython.

use std::env;
use std::ffi::{CStr, c_char, c_int};
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};
use serde::{Deserialize, Serialize};

use super::contenders::Functions;
use crate::Result;

/// The variable that names the library.
pub(super) const VARIABLE: &str = "VIVARIUM_LIBPYTHON";

/// What a library says of how it was built.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Built {
    pub(super) version: String,
    /// The arguments of `configure`.
    pub(super) configured: String,
    /// The compiler's options.
    pub(super) compiled: String,
}

impl Built {
    /// Whether profiles guided the compiler, and whether it optimised when linking.
    pub(super) fn optimised(&self) -> &'static str {
        let profile =
            self.configured.contains("--enable-optimizations") || self.compiled.contains("-fprofile-use");
        let linking = self.configured.contains("--with-lto") || self.compiled.contains("-flto");
        match (profile, linking) {
            (true, true) => "says PGO and LTO",
            (true, false) => "says PGO, but not LTO",
            (false, true) => "says LTO, but not PGO",
            (false, false) => "says neither PGO nor LTO",
        }
    }
}

/// The library to use, if there is one: of those that a distribution brings the newest, else of pyenv's.
pub(super) fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE) {
        return Some(named.into());
    }
    let mut folders: Vec<Vec<PathBuf>> = vec![
        [
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
            "/usr/lib",
            "/usr/local/lib",
        ]
        .iter()
        .map(PathBuf::from)
        .collect(),
    ];
    if let Some(home) = env::var_os("HOME") {
        let versions = std::fs::read_dir(Path::new(&home).join(".pyenv/versions"));
        folders
            .push(versions.into_iter().flatten().flatten().map(|entry| entry.path().join("lib")).collect());
    }
    folders.into_iter().find_map(|folders| {
        let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        let known = files.filter_map(|file| Some((minor(file.file_name().to_str()?)?, file.path())));
        known.max().map(|(_, path)| path)
    })
}

/// The minor version of a library by its name, if it is one of 3.7 or later: `libpython3.11.so.1.0`.
fn minor(name: &str) -> Option<u32> {
    let minor = name.strip_prefix("libpython3.")?.strip_suffix(".so.1.0")?;
    minor.trim_end_matches('m').parse().ok().filter(|&minor| minor >= 7)
}

/// The opened library. It is never closed: it holds the functions that are measured.
fn open() -> Result<(Library, String)> {
    let path = find().ok_or_else(|| format!("no libpython was found: name one in {VARIABLE}"))?;
    let failed = |error: libloading::Error| format!("{}: {error}", path.display());
    // SAFETY: CPython's library does nothing when it is loaded that this program would mind.
    let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) }.map_err(failed)?;
    // SAFETY: that is the function's type; it may be called before the interpreter is initialised and returns a
    // string that ends with a zero and stays.
    let version = unsafe {
        let get: Symbol<unsafe extern "C" fn() -> *const c_char> =
            library.get(b"Py_GetVersion\0").map_err(failed)?;
        CStr::from_ptr(get()).to_string_lossy().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    Ok((library, version))
}

fn initialise(library: &Library) -> Result<()> {
    // SAFETY: that is the function's type; it is called once and by the main thread.
    unsafe {
        let initialise: Symbol<unsafe extern "C" fn(c_int)> =
            library.get(b"Py_InitializeEx\0").map_err(|error| error.to_string())?;
        // 0: signals are left alone.
        initialise(0);
    }
    Ok(())
}

/// The functions of the library.
pub(super) fn functions() -> Result<Functions> {
    let (library, version) = open()?;
    // Up to 3.11 the allocator stands by itself, and so its heap begins empty as everybody's does. Later it belongs to
    // an interpreter, which has to be there, and whose own objects lie in the same heap.
    if needs_interpreter(&version) {
        initialise(&library)?;
    }
    // SAFETY: those are the functions' types. The copies outlive the library's handle, but not the library, which is
    // never closed.
    unsafe {
        let get = |name: &[u8]| format!("{} is missing", String::from_utf8_lossy(name));
        let functions = Functions {
            malloc: *library.get(b"PyObject_Malloc\0").map_err(|_| get(b"PyObject_Malloc"))?,
            realloc: *library.get(b"PyObject_Realloc\0").map_err(|_| get(b"PyObject_Realloc"))?,
            free: *library.get(b"PyObject_Free\0").map_err(|_| get(b"PyObject_Free"))?,
        };
        std::mem::forget(library);
        Ok(functions)
    }
}

/// Whether the allocator works only once an interpreter is there: from 3.12 on.
pub(super) fn needs_interpreter(version: &str) -> bool {
    let minor = version.split(['.', ' ']).nth(1).and_then(|minor| minor.parse().ok());
    minor.is_none_or(|minor: u32| minor >= 12)
}

/// Lets the library itself print how it was built, as JSON: in a process of its own.
pub(super) fn describe() -> Result<()> {
    let (library, _) = open()?;
    initialise(&library)?;
    let program = cr#"
import json, sys, sysconfig
def of(name): return str(sysconfig.get_config_var(name) or "")
print(json.dumps({"version": " ".join(sys.version.split()), "configured": of("CONFIG_ARGS"), "compiled": " ".join(
    [of("PY_CORE_CFLAGS"), of("PGO_PROF_USE_FLAG"), of("PY_CORE_LDFLAGS")])}), flush=True)
"#;
    // SAFETY: that is the function's type, and the text ends with a zero.
    let status = unsafe {
        let run: Symbol<unsafe extern "C" fn(*const c_char) -> c_int> =
            library.get(b"PyRun_SimpleString\0").map_err(|error| error.to_string())?;
        run(program.as_ptr())
    };
    std::mem::forget(library);
    if status == 0 { Ok(()) } else { Err("libpython does not know how it was built".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_name() {
        assert_eq!(minor("libpython3.11.so.1.0"), Some(11));
        assert_eq!(minor("libpython3.7m.so.1.0"), Some(7));
        assert_eq!(minor("libpython3.so"), None);
        assert_eq!(minor("libpython2.7.so.1.0"), None);
        assert!(!needs_interpreter("3.11.2 (main)"));
        assert!(needs_interpreter("3.12.1 (main)"));
    }
}
