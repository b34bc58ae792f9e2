//! What has been done: a line of JSON for each run, kept from one soak to the next.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::interpreters::Interpreter;
use crate::{Result, workspace};

/// A line.
#[derive(Serialize, Deserialize)]
struct Line<T> {
    /// What ran.
    program: String,
    /// The interpreter's label.
    python: String,
    /// Where it is and what it says of itself.
    interpreter: String,
    /// What recorded and verified it: see [`build`].
    build: String,
    /// What came out.
    outcome: T,
}

/// All that came out with this build, and the file to which more is added.
pub(crate) struct Results<T> {
    path: PathBuf,
    build: String,
    known: BTreeMap<(String, String), T>,
}

impl<T: Serialize + DeserializeOwned> Results<T> {
    /// Reads the lines of this build.
    pub(crate) fn open(folder: &Path, name: &str, build: &str) -> Self {
        let path = folder.join(name);
        let mut known = BTreeMap::new();
        if let Ok(file) = File::open(&path) {
            // The last line may have been cut off by whatever ended a run.
            let lines = BufReader::new(file).lines().map_while(std::io::Result::ok);
            for line in lines.filter_map(|line| serde_json::from_str::<Line<T>>(&line).ok()) {
                if line.build == build {
                    known.insert((line.program, line.python), line.outcome);
                }
            }
        }
        Self { path, build: build.to_owned(), known }
    }

    /// What came out of a program on an interpreter, the last time.
    pub(crate) fn get(&self, program: &str, python: &Interpreter) -> Option<&T> {
        self.known.get(&(program.to_owned(), python.label()))
    }

    /// Keeps what came out.
    pub(crate) fn add(&mut self, program: &str, python: &Interpreter, outcome: T) -> Result<()> {
        let line = Line {
            program: program.to_owned(),
            python: python.label(),
            interpreter: format!("{}: {}", python.path.display(), python.build),
            build: self.build.clone(),
            outcome,
        };
        let failed = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(failed)?;
        file.write_all(format!("{}\n", serde_json::json!(line)).as_bytes()).map_err(failed)?;
        self.known.insert((line.program, line.python), line.outcome);
        Ok(())
    }
}

/// Where results and packages are kept, from one checkout to the next.
pub(crate) fn cache() -> Result<PathBuf> {
    let home = env::var_os("HOME").ok_or("there is no place to keep results: set HOME")?;
    let folder = PathBuf::from(home).join(".cache/vivarium/soak");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

/// A digest of all that `replay` is built from. (Not of the executable, which holds the name of the folder that it was
/// built in.)
pub(crate) fn build() -> Result<String> {
    let mut files = vec![workspace::root().join("Cargo.lock")];
    for name in ["cycles", "generations", "pool", "rc", "record", "replay", "trace"] {
        let package = workspace::root().join("crates").join(name);
        for part in ["Cargo.toml", "build.rs", "src", "preload"] {
            collect(&package.join(part), &mut files);
        }
    }
    files.sort();
    let mut digest = Xxh3::new();
    for file in files {
        let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        digest.update(&bytes.len().to_le_bytes());
        digest.update(&bytes);
    }
    Ok(format!("{:016x}", digest.digest()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().for_each(|entry| collect(&entry.path(), files)),
        Err(_) if path.is_file() => files.push(path.to_owned()),
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_found_again_unless_the_build_is_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let python = Interpreter {
            version: (3, 11, 2),
            build: "3.11.2".to_owned(),
            path: "/usr/bin/python3.11".into(),
            shared: false,
            free_threaded: false,
            instrumented: false,
        };
        let open = |build: &str| Results::<u32>::open(folder.path(), "results.jsonl", build);
        let mut first = open("one");
        assert_eq!(first.get("life", &python), None);
        first.add("life", &python, 6).expect("written");
        first.add("life", &python, 7).expect("written");
        // A line that was being written when the machine went down.
        let mut file = OpenOptions::new().append(true).open(&first.path).expect("the file");
        file.write_all(b"{\"program\":\"li").expect("written");
        assert_eq!(open("one").get("life", &python), Some(&7));
        assert_eq!(open("one").get("death", &python), None);
        assert_eq!(open("two").get("life", &python), None);
    }

    #[test]
    fn the_digest_is_of_what_is_there() {
        let mut files = Vec::new();
        collect(&workspace::root().join("crates/record"), &mut files);
        assert!(files.iter().any(|file| file.ends_with("preload/hooks.rs")));
        assert_eq!(build(), build());
    }
}
