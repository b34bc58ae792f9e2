//! Verifying a trace: reading it, replaying it, comparing.
//!
//! One thread reads and decodes, another predicts and compares; frames go from one to the other and back to be
//! filled again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use serde::{Serialize, Serializer};
use trace::{Frame, Header, Reader, Tier, Trailer};
use xxhash_rust::xxh3::Xxh3Default;

use crate::compare::{Arenas, Check, CheckReport, Placement};
use crate::diagnose;
use crate::engine::{Engine, EngineError, Predictions};

/// What verifying a trace came to.
#[derive(Clone, Debug, Serialize)]
pub struct TraceReport {
    /// The file.
    pub path: String,
    /// The interpreter's version; absent if the header could not be read.
    pub python: Option<String>,
    /// How much the trace holds; absent if the header could not be read.
    pub tier: Option<Tier>,
    /// Events replayed.
    pub events: u64,
    /// Bytes read.
    pub bytes: u64,
    /// How long it took, in seconds of wall-clock time.
    pub seconds: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is unreadable.
    pub error: Option<String>,
    /// A digest of all predictions (XXH3-64, in hexadecimal): it depends on what may be known, never on the answers.
    #[serde(serialize_with = "hexadecimal")]
    pub predictions: u64,
    /// The checks.
    pub checks: Vec<CheckReport>,
}

fn hexadecimal<S: Serializer>(digest: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{digest:016x}"))
}

/// Whether a trace was predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No fact of any check asked for differs, and each check has facts.
    Identical,
    /// Some fact differs.
    Diverged,
    /// The trace could not be read to its end, or could not be replayed here, or has nothing to verify.
    Unreadable,
}

/// Verifies one trace file with the checks given; `progress` is told now and then how many bytes were read.
pub fn verify(path: &Path, checks: &[Check], progress: impl FnMut(u64)) -> TraceReport {
    let start = Instant::now();
    let mut report = TraceReport {
        path: path.display().to_string(),
        python: None,
        tier: None,
        events: 0,
        bytes: 0,
        seconds: 0.0,
        verdict: Verdict::Unreadable,
        error: None,
        predictions: 0,
        checks: Vec::new(),
    };
    let opened =
        File::open(path).map_err(trace::Error::Io).and_then(|file| Reader::new(BufReader::new(file)));
    match opened {
        Ok(reader) => {
            let header = reader.header().clone();
            report.python = Some(header.interpreter.version.clone());
            report.tier = Some(header.tier);
            let outcome = replay(reader, progress);
            outcome.fill(&mut report, checks, path, &header);
        }
        Err(error) => report.error = Some(error.to_string()),
    }
    report.seconds = start.elapsed().as_secs_f64();
    report
}

/// What became of a trace: see [`replay`].
pub struct Outcome {
    /// Why it ended before its time.
    pub error: Option<String>,
    /// The trailer, if it was reached.
    pub trailer: Option<Trailer>,
    /// Events replayed and bytes read.
    pub events: u64,
    /// Bytes read.
    pub bytes: u64,
    /// The digest of all predictions.
    pub predictions: u64,
    /// Bases of arenas that were fetched.
    pub fetched: u64,
    /// The checks.
    pub placement: Placement,
    /// The checks.
    pub arenas: Arenas,
}

/// Frames on their way between the threads; enough that neither waits for the other's hiccups.
const FRAMES: usize = 3;

/// Replays a trace and compares: the one path that everything which verifies takes.
pub fn replay<R: Read + Send>(mut reader: Reader<R>, mut progress: impl FnMut(u64)) -> Outcome {
    let allocator = reader.header().allocator;
    let mut outcome = Outcome {
        error: None,
        trailer: None,
        events: 0,
        bytes: reader.bytes_read(),
        predictions: 0,
        fetched: 0,
        placement: Placement::default(),
        arenas: Arenas::default(),
    };
    let mut engine = match Engine::new(&allocator) {
        Ok(engine) => engine,
        Err(error) => {
            outcome.error = Some(error.to_string());
            return outcome;
        }
    };
    let mut digest = Xxh3Default::new();
    let mut failed: Option<EngineError> = None;
    thread::scope(|scope| {
        let (full_sender, full) = mpsc::sync_channel::<(Frame, u64)>(FRAMES);
        let (empty, empty_receiver) = mpsc::channel::<Frame>();
        for _ in 0..FRAMES {
            // The receiver is alive: it is in this scope.
            let _ = empty.send(Frame::default());
        }
        let reading = scope.spawn(move || {
            let mut result = Ok(());
            for mut frame in empty_receiver {
                match reader.read(&mut frame) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
                // Refused only if the other side has given up.
                if full_sender.send((frame, reader.bytes_read())).is_err() {
                    break;
                }
            }
            (result, reader)
        });
        let mut predictions = Predictions::default();
        for (mut frame, bytes) in full {
            if let Err(error) =
                engine.run(frame.first_event, &frame.inputs, &mut frame.fetched, &mut predictions)
            {
                failed = Some(error);
                break;
            }
            digest_frame(&mut digest, &predictions);
            outcome.placement.frame(&allocator, &frame, &predictions);
            outcome.arenas.frame(&frame, &predictions);
            outcome.events += frame.inputs.len() as u64;
            outcome.bytes = bytes;
            progress(bytes);
            let _ = empty.send(frame);
        }
        drop(empty);
        if let Ok((result, reader)) = reading.join() {
            if let Err(error) = result {
                outcome.error = Some(error.to_string());
            }
            outcome.bytes = reader.bytes_read();
            outcome.trailer = reader.trailer().cloned();
        } else {
            outcome.error = Some("the reader stopped unexpectedly; please report this trace".to_owned());
        }
    });
    if let Some(error) = failed {
        outcome.error = Some(error.to_string());
    }
    outcome.fetched = engine.fetched();
    outcome.predictions = digest.digest();
    outcome
}

fn digest_frame(digest: &mut Xxh3Default, predictions: &Predictions) {
    // In pieces: the hash takes a few kilobytes at once far faster than eight bytes at a time.
    let mut bytes = [0; 512 * 8];
    for addresses in predictions.addresses.chunks(512) {
        for (place, address) in bytes.chunks_exact_mut(8).zip(addresses) {
            place.copy_from_slice(&address.to_le_bytes());
        }
        digest.update(&bytes[..addresses.len() * 8]);
    }
    for change in &predictions.arenas {
        digest.update(format!("{change:?}").as_bytes());
    }
}

impl Outcome {
    fn fill(self, report: &mut TraceReport, checks: &[Check], path: &Path, header: &Header) {
        report.events = self.events;
        report.bytes = self.bytes;
        report.predictions = self.predictions;
        for &check in checks {
            report.checks.push(self.report(check, path, header));
        }
        report.error = self.error;
        let diverged = report.checks.iter().any(|check| check.first.is_some());
        let empty = report.checks.iter().find(|check| check.facts == 0);
        report.verdict = if diverged {
            Verdict::Diverged
        } else if report.error.is_some() {
            Verdict::Unreadable
        } else if let Some(check) = empty {
            report.error = Some(format!("the trace has no facts for the check {}", check.name.name()));
            Verdict::Unreadable
        } else {
            Verdict::Identical
        };
    }

    fn report(&self, check: Check, path: &Path, header: &Header) -> CheckReport {
        let mut given = BTreeMap::new();
        let (tally, first, declared) = match check {
            Check::Placement => {
                given.insert("failed", self.placement.given_failed);
                let first = self.placement.first.map(|first| diagnose::placement(path, header, first));
                (
                    self.placement.tally,
                    first,
                    self.trailer.as_ref().map(|trailer| trailer.totals.placement_facts),
                )
            }
            Check::Arenas => {
                given.insert("bases", self.fetched);
                let first = self.arenas.first.map(|first| diagnose::arenas(path, header, first));
                (self.arenas.tally, first, self.trailer.as_ref().map(|trailer| trailer.totals.arena_facts))
            }
        };
        assert!(tally.is_conserved(), "facts of {} are not conserved: {tally:?}", check.name());
        let why = match (&first, &self.error, tally.facts) {
            (Some(_), ..) if tally.unverified > 0 => Some("after divergence".to_owned()),
            (_, Some(error), _) => Some(format!("the replay ended early: {error}")),
            (_, _, 0) => Some("the trace has none".to_owned()),
            _ => None,
        };
        // Facts that were announced and never reached, where the trailer could be read.
        let missing = declared.map_or(0, |declared| declared.saturating_sub(tally.facts));
        CheckReport {
            name: check,
            facts: tally.facts + missing,
            verified: tally.verified,
            diverged: tally.diverged,
            unverified: tally.unverified + missing,
            given,
            why,
            first,
        }
    }
}

/// The traces in what was given: files as they are, folders searched for `*.viv`, in order of name.
///
/// # Errors
/// If something cannot be listed, or a folder holds no trace.
pub fn find_traces(paths: &[std::path::PathBuf]) -> io::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            search(path, &mut found)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            if found.len() == before {
                let message = format!("{}: no trace (*.viv) in this folder", path.display());
                return Err(io::Error::new(io::ErrorKind::NotFound, message));
            }
            found[before..].sort();
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn search(folder: &Path, found: &mut Vec<std::path::PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        // Links to folders are not followed: they could lead in circles.
        if path.is_dir() && !path.is_symlink() {
            search(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "viv") {
            found.push(path);
        }
    }
    Ok(())
}
