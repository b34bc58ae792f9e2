//! What a command starts, found out by looking at its file: why the recorder's library did not get into it.
//!
//! The program runs in any case. What is found is told if nothing was recorded; a launcher of any kind may start an
//! interpreter that can be.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, ReadCache};
use rustix::fs::{StatVfsMountFlags, statvfs};

/// Scripts whose interpreters are scripts: Linux follows about as many.
const SCRIPTS: usize = 5;

/// As much of a script's first line as Linux reads.
const FIRST_LINE: usize = 256;

/// The program that a process runs, as far as it was seen.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
}

/// Why a library cannot be preloaded into a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obstacle {
    /// Its pointers have another size.
    Class32,
    /// It is for another machine.
    Machine,
    Static,
    /// Its user, group or rights are its file's, so that the loader ignores the environment.
    Secure,
    PyPy,
}

impl Program {
    /// What the command will start, scripts' interpreters followed.
    pub(super) fn of(command: &OsStr) -> Option<Self> {
        follow(find(command)?).ok().map(|path| Self { path })
    }

    /// Looks again, at the running process: it may have become another program.
    pub(super) fn look_again(seen: &mut Option<Self>, pid: u32) {
        // What may not be looked at stays what it was.
        if let Ok(path) = fs::read_link(format!("/proc/{pid}/exe"))
            && seen.as_ref().is_none_or(|program| program.path != path)
        {
            *seen = Some(Self { path });
        }
    }

    /// Why nothing of it was recorded, and what to do.
    pub(super) fn why_unrecorded(&self) -> String {
        let path = self.path.display();
        self.why_unreachable().unwrap_or_else(|| {
            format!(
                "{path} is no CPython, or none that the recorder could reach, and has started none (if it should have, it \
                 may have said why not): env -i and sudo belong in front of replay, and one that is linked statically \
                 cannot be reached"
            )
        })
    }

    /// What about the file keeps the recorder out, and what to do.
    pub(super) fn why_unreachable(&self) -> Option<String> {
        let path = self.path.display();
        Some(match obstacle(&self.path)? {
            Obstacle::Class32 => format!(
                "{path} is a 32-bit program, which cannot load the recorder's library: use a 64-bit CPython"
            ),
            Obstacle::Machine => format!(
                "{path} is a program for another kind of processor, which cannot load the recorder's library: use a \
                 CPython for {}",
                env::consts::ARCH
            ),
            Obstacle::Static => format!(
                "{path} is linked statically, so no library can be preloaded into it: use a CPython that is linked \
                 dynamically"
            ),
            Obstacle::Secure => format!(
                "{path} is set-uid or set-gid or has capabilities, so the loader preloads no library into it: use \
                 a copy without those rights, with replay started by the user that the program is to run as"
            ),
            Obstacle::PyPy => {
                format!("{path} is PyPy, whose memory manager is not CPython's: record with CPython")
            }
        })
    }
}

/// Why a file that exists could not be executed, if its script's interpreter is what is missing.
pub(super) fn missing_interpreter(command: &OsStr) -> Option<String> {
    let path = find(command)?;
    let missing = follow(path.clone()).err()?;
    let (path, missing) = (path.display(), missing.display());
    Some(format!("{path}: its interpreter {missing} does not exist: correct the script's first line"))
}

/// The file that a command names, as the shell finds it.
fn find(command: &OsStr) -> Option<PathBuf> {
    if command.as_bytes().contains(&b'/') {
        return Some(command.into());
    }
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(command)).find(is_program)
}

/// The program that interprets a script in the end; else the file itself. The error is an interpreter that is missing.
fn follow(mut path: PathBuf) -> Result<PathBuf, PathBuf> {
    for _ in 0..SCRIPTS {
        let mut line = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(FIRST_LINE as u64).read_to_end(&mut line));
        let Some(rest) = line.strip_prefix(b"#!").filter(|_| read.is_ok()) else { break };
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let Some(interpreter) = words.next() else { break };
        let interpreter = PathBuf::from(OsStr::from_bytes(interpreter));
        if !interpreter.exists() {
            return Err(interpreter);
        }
        // What `env` starts is looked for on PATH.
        let started = words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='));
        let through_env = started.filter(|_| interpreter.ends_with("env")).map(OsStr::from_bytes);
        path = through_env.and_then(find).unwrap_or(interpreter);
    }
    Ok(path.canonicalize().unwrap_or(path))
}

fn obstacle(path: &Path) -> Option<Obstacle> {
    if is_secure(path) {
        return Some(Obstacle::Secure);
    }
    let file = ReadCache::new(File::open(path).ok()?);
    if let Ok(header) = FileHeader64::<Endianness>::parse(&file) {
        obstacle_in(header, &file)
    } else {
        // Whatever else is wrong with it.
        FileHeader32::<Endianness>::parse(&file).is_ok().then_some(Obstacle::Class32)
    }
}

fn obstacle_in(header: &FileHeader64<Endianness>, file: &ReadCache<File>) -> Option<Obstacle> {
    let endian = header.endian().ok()?;
    let machine = if cfg!(target_arch = "x86_64") { elf::EM_X86_64 } else { elf::EM_AARCH64 };
    if header.e_machine(endian) != machine {
        return Some(Obstacle::Machine);
    }
    let segments = header.program_headers(endian, file).ok()?;
    if !segments.iter().any(|segment| matches!(segment.interpreter(endian, file), Ok(Some(_)))) {
        return Some(Obstacle::Static);
    }
    let sections = header.sections(endian, file).ok()?;
    let needed = sections.iter().filter_map(|section| section.dynamic_table(endian, file, &sections).ok()?);
    let is_pypy = needed.flat_map(|table| {
        let names = table.iter().filter(|entry| entry.tag == elf::DT_NEEDED);
        names.filter_map(|entry| table.string(entry).ok().map(<[u8]>::to_owned)).collect::<Vec<_>>()
    });
    is_pypy.into_iter().any(|name| name.starts_with(b"libpypy")).then_some(Obstacle::PyPy)
}

/// Does a process that executes this file get rights that this process has not?
fn is_secure(path: &Path) -> bool {
    use rustix::process::{getgid, getuid};
    let Ok(file) = path.metadata() else { return false };
    let ignored = statvfs(path).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::NOSUID));
    let (user, group) = (getuid(), getgid());
    let mode = file.mode();
    // Without the right to execute, set-gid means something else.
    let changes = (mode & 0o4000 != 0 && file.uid() != user.as_raw())
        || (mode & 0o2010 == 0o2010 && file.gid() != group.as_raw());
    let has_capabilities = || {
        let mut value = [0_u8; 64];
        rustix::fs::getxattr(path, c"security.capability", &mut value).is_ok()
    };
    !ignored && (changes || (!user.is_root() && has_capabilities()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file of nothing but a header and the name of a loader.
    fn file(class: u8, machine: u16, loader: Option<&str>) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', class, 1, 1];
        bytes.resize(16, 0);
        let (header, segment) = (64_u16, 56_u16);
        for half in [2, machine] {
            bytes.extend(half.to_le_bytes());
        }
        bytes.extend(1_u32.to_le_bytes());
        // Entry, program headers, section headers.
        for word in [0, u64::from(header), 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(0_u32.to_le_bytes());
        for half in [header, segment, u16::from(loader.is_some()), 64, 0, 0] {
            bytes.extend(half.to_le_bytes());
        }
        if let Some(loader) = loader {
            bytes.extend([3_u32, 4].into_iter().flat_map(u32::to_le_bytes));
            let length = loader.len() as u64 + 1;
            for word in [u64::from(header + segment), 0, 0, length, length, 1] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend(loader.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    #[test]
    fn obstacles_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let own = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
        for (bytes, found) in [
            (file(1, 3, None), Some(Obstacle::Class32)),
            (file(2, 243, Some("/lib/ld-linux-riscv64-lp64d.so.1")), Some(Obstacle::Machine)),
            (file(2, own, None), Some(Obstacle::Static)),
            (file(2, own, Some("/lib/ld-musl-x86_64.so.1")), None),
            (file(2, own, Some("/lib64/ld-linux-x86-64.so.2")), None),
            (file(2, own, Some("/lib64/ld-linux-x86-64.so.2"))[..50].to_vec(), None),
            (b"no program at all".to_vec(), None),
            (Vec::new(), None),
        ] {
            let path = folder.path().join("file");
            fs::write(&path, bytes).unwrap();
            assert_eq!(obstacle(&path), found);
        }
        assert_eq!(obstacle(&folder.path().join("absent")), None);
    }

    #[test]
    fn scripts_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let shell = Path::new("/bin/sh").canonicalize().unwrap();
        let direct = write("direct", "#! /bin/sh -e\necho\n");
        assert_eq!(follow(direct.clone()), Ok(shell.clone()));
        let outer = write("outer", &format!("#!{}\n", direct.display()));
        assert_eq!(follow(outer), Ok(shell.clone()));
        assert_eq!(follow(write("env", "#!/usr/bin/env -S A=1 sh -e\n")), Ok(shell));
        assert_eq!(follow(write("missing", "#!/no/such/python -u")), Err("/no/such/python".into()));
        for text in ["#!", "#! \n", "plain"] {
            let path = write("odd", text);
            assert_eq!(follow(path.clone()), Ok(path.canonicalize().unwrap()));
        }
        // One that interprets itself.
        let path = folder.path().join("snake");
        fs::write(&path, format!("#!{}\n", path.display())).unwrap();
        assert_eq!(follow(path.clone()), Ok(path.canonicalize().unwrap()));
    }
}
