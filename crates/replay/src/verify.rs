//! Verifying a trace: reading it, replaying it, comparing.
//!
//! One thread predicts, another one reads and compares; frames go to and fro between them.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use serde::{Serialize, Serializer};
use trace::{Death, Fate, Fetched, Frame, Header, Lineage, Resolver, Tier, Trailer};
use xxhash_rust::xxh3::Xxh3Default;

use crate::compare::{Arenas, Check, CheckReport, Collections, Deaths, Placement, Reachability};
use crate::diagnose;
use crate::engine::{
    CollectionCounts, CollectionEngine, CollectionPredictions, DeathEngine, DeathPredictions, Engine, Given,
    GivenOfCollections, Predictions, Stopped,
};

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
    /// What collections do, counted; absent if the trace does not tell of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collections: Option<CollectionCounts>,
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
        collections: None,
    };
    match Lineage::open(path) {
        Ok(trace) => {
            let header = trace.header().clone();
            report.python = Some(header.interpreter.version.clone());
            report.tier = Some(header.tier);
            let outcome = replay(trace, progress);
            outcome.fill(&mut report, checks, path, &header);
        }
        Err(error) => report.error = Some(error.to_string()),
    }
    report.seconds = start.elapsed().as_secs_f64();
    report
}

/// What became of a trace: see [`replay`].
#[derive(Debug, Default)]
pub struct Outcome {
    /// Why it ended before its time.
    pub error: Option<String>,
    /// The trailer, if it was reached.
    pub trailer: Option<Trailer>,
    /// Events replayed.
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
    /// The checks.
    pub deaths: Deaths,
    /// Why the replay of deaths ended before its time.
    pub deaths_stopped: Option<Stopped>,
    /// The checks.
    pub collections: Collections,
    /// The checks.
    pub reachability: Reachability,
}

/// Frames on their way between the threads; enough that neither waits for the other's hiccups.
const FRAMES: usize = 3;

/// A frame and what is predicted of it, sent to and fro.
#[derive(Default)]
struct Work {
    frame: Frame,
    predictions: Predictions,
    deaths: DeathPredictions,
    collections: CollectionPredictions,
    /// Bytes of the trace read up to here.
    bytes: u64,
    /// The event at which the engine gave up: only what was before it is predicted.
    stopped_at: Option<u64>,
    /// The frame is of the past that the trace was forked from.
    in_past: bool,
}

/// Replays a trace and compares: the one path that everything which verifies takes.
///
/// This thread predicts. Another one reads, sends frames here, and holds the predictions that come back against the
/// observations, which it resolves with their help: until the first divergence, where a block was predicted to lie is
/// where it was observed, and after it nothing is compared.
///
/// The past of a forked process is replayed and compared too, but its facts are its parent's and count there. A
/// divergence in it is one of this trace as well, all of whose facts are then unverified.
pub fn replay<R: Read + Send>(trace: Lineage<R>, mut progress: impl FnMut(u64)) -> Outcome {
    let mut engine = match Engine::new(&trace.header().allocator) {
        Ok(engine) => engine,
        Err(error) => return Outcome { error: Some(error.to_string()), ..Outcome::default() },
    };
    let mut collections = None;
    if trace.header().has_collections() {
        match CollectionEngine::new(&trace.header().interpreter.version) {
            Ok(engine) => collections = Some(engine),
            Err(error) => return Outcome { error: Some(error.to_string()), ..Outcome::default() },
        }
    }
    let mut deaths = match trace.header().tier {
        Tier::Blocks | Tier::Collections => None,
        tier => {
            match DeathEngine::new(&trace.header().allocator, &trace.header().interpreter.version, tier) {
                Ok(engine) => Some(engine),
                Err(error) => return Outcome { error: Some(error.to_string()), ..Outcome::default() },
            }
        }
    };
    let mut bases = Fetched::default();
    let mut stopped = None;
    let mut failed: Option<String> = None;
    let mut fetched_in_past = 0;
    let (mut outcome, gave_up) = thread::scope(|scope| {
        // Both have room for all frames there are: to send never waits.
        let (to_engine, inputs) = mpsc::sync_channel::<Work>(FRAMES);
        let (back, predicted) = mpsc::sync_channel::<Work>(FRAMES);
        let comparing = scope.spawn(move || compare(trace, to_engine, &predicted));
        for mut work in inputs {
            let Work {
                frame,
                predictions,
                deaths: predicted_deaths,
                collections: predicted_collections,
                bytes,
                stopped_at,
                in_past,
            } = &mut work;
            if let Some(collections) = &mut collections {
                collections.run(
                    frame.first_event,
                    &frame.inputs,
                    &mut frame.collections,
                    predicted_collections,
                );
            }
            if let Some(deaths) = &mut deaths {
                bases.append(&mut frame.fetched.clone());
                stopped = deaths.run(&mut frame.objects, &mut bases, predicted_deaths).err();
            }
            if let Err(error) = engine.run(frame.first_event, &frame.inputs, &mut frame.fetched, predictions)
            {
                *stopped_at = Some(error.event().unwrap_or(frame.first_event));
                failed = Some(format!("frame {}, {error}", frame.number));
            }
            if *in_past {
                fetched_in_past = engine.fetched();
            }
            progress(*bytes);
            if back.send(work).is_err() || failed.is_some() {
                break;
            }
        }
        drop(back);
        comparing.join().unwrap_or_else(|_| {
            let error = Some("the reader stopped unexpectedly; please report this trace".to_owned());
            (Outcome { error, ..Outcome::default() }, true)
        })
    });
    // What could not be read comes after what could not be replayed, what could not be resolved before.
    if let (Some(error), false) = (failed, gave_up) {
        outcome.error = Some(error);
    }
    outcome.fetched = engine.fetched() - fetched_in_past;
    outcome.deaths.finish(stopped.as_ref());
    outcome.collections.finish();
    outcome.deaths_stopped = stopped;
    outcome
}

/// Reads, has frames replayed, and compares. Answers also whether it gave up on an observation, in a frame that was
/// replayed.
fn compare<R: Read>(
    mut trace: Lineage<R>,
    to_engine: mpsc::SyncSender<Work>,
    predicted: &mpsc::Receiver<Work>,
) -> (Outcome, bool) {
    let allocator = trace.header().allocator;
    let has_objects = trace.header().tier >= Tier::Objects;
    let collections = Collections::new(trace.header().tier);
    let mut outcome = Outcome { collections, ..Outcome::default() };
    let mut digest = Xxh3Default::new();
    let mut resolver = Resolver::new(&allocator);
    let mut idle: Vec<Work> = std::iter::repeat_with(Work::default).take(FRAMES).collect();
    // Until all is read; then the engine is told that no more will come.
    let mut to_engine = Some(to_engine);
    let mut gave_up = false;
    let mut in_past = true;
    while !gave_up {
        while let Some(sender) = &to_engine
            && let Some(mut work) = idle.pop()
        {
            let read = trace.read(&mut work.frame);
            work.bytes = trace.bytes_read();
            work.in_past = trace.in_past();
            // Refused if the engine has given up.
            if !matches!(read, Ok(true)) || sender.send(work).is_err() {
                outcome.error = read.err().map(|error| error.to_string());
                to_engine = None;
            }
        }
        let Ok(mut work) = predicted.recv() else { break };
        if in_past && !work.in_past {
            in_past = false;
            outcome.leave_past();
        }
        let Work { frame, predictions, .. } = &work;
        digest_frame(&mut digest, predictions, &work.deaths);
        if let Some(event) = work.stopped_at {
            // A replay that has gone wrong may soon not be able to go on: whether it had, the frame's beginning tells.
            outcome.placement.beginning(&allocator, frame, predictions, &mut resolver);
            outcome.arenas.beginning(frame, predictions, event);
            outcome.events += event - frame.first_event;
            continue;
        }
        if let Err(error) = outcome.placement.frame(&allocator, frame, predictions, &mut resolver) {
            outcome.error = Some(error.to_string());
            gave_up = true;
        }
        outcome.arenas.frame(frame, predictions);
        if has_objects {
            outcome.deaths.frame(&frame.objects, &work.deaths, outcome.placement.observed());
        }
        outcome.events += frame.inputs.len() as u64;
        outcome.reachability.frame(
            frame.first_event,
            &frame.inputs,
            &frame.collections.steps,
            &frame.observations.collections,
            &work.collections.looks,
        );
        outcome.collections.frame(&work.frame.observations.collections, &mut work.collections);
        idle.push(work);
    }
    if in_past {
        outcome.leave_past();
    }
    outcome.bytes = trace.bytes_read();
    outcome.trailer = trace.trailer().cloned();
    outcome.arenas.finish(outcome.trailer.as_ref().is_none_or(|trailer| trailer.cut_short));
    outcome.predictions = digest.digest();
    (outcome, gave_up)
}

fn digest_frame(digest: &mut Xxh3Default, predictions: &Predictions, deaths: &DeathPredictions) {
    for death in &deaths.deaths {
        let (what, object) = match death {
            Death::Begins(object) => (0, object),
            Death::Ends(object, Fate::Kept) => (1, object),
            Death::Ends(object, Fate::Released) => (2, object),
            Death::Finalizer(object) => (3, object),
            Death::Callback(object) => (4, object),
            Death::Deposited(object) => (5, object),
            Death::Reuses(object, block) => {
                digest.update(&block.to_le_bytes());
                (6, object)
            }
        };
        digest.update(&[what]);
        digest.update(&object.to_le_bytes());
    }
    for count in &deaths.counts {
        digest.update(&count.to_le_bytes());
    }
    // In pieces: the hash takes a few kilobytes at once far faster than eight bytes at a time.
    let mut bytes = [0; 512 * 8];
    for addresses in predictions.addresses().chunks(512) {
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
    /// What was compared so far is the parent's; only that something differed stands.
    fn leave_past(&mut self) {
        self.placement.leave_past();
        self.arenas.leave_past();
        self.events = 0;
    }

    fn fill(self, report: &mut TraceReport, checks: &[Check], path: &Path, header: &Header) {
        report.events = self.events;
        report.bytes = self.bytes;
        report.predictions = self.predictions;
        report.collections = header.has_collections().then_some(self.collections.counts);
        for &check in checks.iter().filter(|check| check.applies_to(header)) {
            report.checks.push(self.report(check, path, header));
        }
        report.error = self.error;
        if report.checks.is_empty() {
            let least = checks.iter().map(|check| check.tier()).min().map_or("none", Tier::name);
            let why = format!("the trace is of tier {}; these checks need {least}", header.tier.name());
            report.error.get_or_insert(why);
        }
        let diverged = report.checks.iter().any(|check| check.first.is_some());
        // A forked process may end without ever needing an arena of its own, and a program without a collection, where that is
        // not what it was recorded for; then that check has nothing to say.
        let may_be_empty = |check: &CheckReport| {
            header.parent.is_some()
                || (check.name.tier() == Tier::Collections && header.tier > Tier::Collections)
        };
        let empty = || report.checks.iter().filter(|check| check.facts == 0);
        let are_all = empty().count() == report.checks.len();
        let empty = empty().find(|check| are_all || !may_be_empty(check)).map(|check| check.name);
        report.verdict = if diverged {
            Verdict::Diverged
        } else if report.error.is_some() {
            Verdict::Unreadable
        } else if let Some(check) = empty {
            report.error = Some(format!("the trace has no facts for the check {}", check.name()));
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
            Check::Schedule | Check::Partition | Check::Survivors | Check::Stats => {
                let [schedule, partition, survivors, stats] = self.collections.checks();
                let GivenOfCollections { moments, exceptions, gone, came, saved, recovered } =
                    self.collections.given;
                let totals = self.trailer.as_ref().map(|trailer| trailer.totals);
                let (tally, first) = match check {
                    Check::Schedule => schedule,
                    Check::Partition => partition,
                    Check::Survivors => survivors,
                    _ => stats,
                };
                let declared = totals.map(|totals| match check {
                    Check::Schedule => totals.schedule_facts,
                    Check::Partition => totals.partition_facts,
                    Check::Survivors => totals.survivor_facts,
                    _ => totals.stats_facts,
                });
                match check {
                    Check::Schedule => given.extend([
                        ("moments", moments),
                        ("exceptions", exceptions),
                        ("recovered", recovered),
                    ]),
                    Check::Partition => {
                        let Collections { hidden, counted, .. } = self.collections;
                        given.extend([("saved", saved), ("hidden", hidden), ("counted", counted)]);
                    }
                    Check::Survivors => given.extend([("gone", gone), ("came", came)]),
                    _ => {}
                }
                (tally, first.map(|first| diagnose::collections(path, first)), declared)
            }
            Check::Reachability => {
                let (tally, first) = self.reachability.check();
                let first = first.map(|first| diagnose::collections(path, first));
                (tally, first, self.trailer.as_ref().map(|trailer| trailer.totals.partition_facts))
            }
            Check::Deaths => {
                let Given {
                    outermost,
                    unexplained,
                    after_code,
                    order,
                    kept,
                    put_off,
                    uncounted,
                    called,
                    hidden,
                    collector,
                } = self.deaths.given;
                given.extend([
                    ("called", called),
                    ("hidden", hidden),
                    ("collector", collector),
                    ("outermost", outermost),
                    ("unexplained", unexplained),
                    ("after program code", after_code),
                    ("order", order),
                    ("kept", kept),
                    ("put off", put_off),
                    ("uncounted", uncounted),
                ]);
                let (tally, first) = self.deaths.deaths();
                let first = first.map(|first| diagnose::deaths(path, first));
                (tally, first, self.trailer.as_ref().map(|trailer| trailer.totals.death_facts))
            }
            Check::Counts => {
                let (tally, first) = self.deaths.counts();
                let first = first.map(|first| diagnose::counts(path, first));
                (tally, first, self.trailer.as_ref().map(|trailer| trailer.totals.count_facts))
            }
            Check::PlacementFromDeaths => {
                let (tally, first) = self.deaths.placement();
                let first = first.map(|first| diagnose::placement_from_deaths(path, first));
                (tally, first, self.trailer.as_ref().map(|trailer| trailer.totals.placement_facts))
            }
        };
        assert!(tally.is_conserved(), "facts of {} are not conserved: {tally:?}", check.name());
        let why = match (&first, &self.error, tally.facts) {
            (Some(_), ..) if tally.unverified > 0 => Some("after divergence".to_owned()),
            _ if check.tier() == Tier::Collections && tally.unverified > 0 => {
                let unseen = self.collections.unseen;
                // Each is a fact of the schedule; where it is known how things are behind it, all others are compared.
                let is_why = unseen > 0 && (check == Check::Schedule || self.collections.is_lost());
                let unseen = is_why.then(|| match unseen {
                    1 => "a collection was not seen".to_owned(),
                    _ => format!("{unseen} collections were not seen"),
                });
                Some(unseen.unwrap_or_else(|| "code of the program ran in collections".to_owned()))
            }
            _ if check.tier() > Tier::Blocks && tally.unverified > 0 => {
                let ended = || "the recording ended in the middle of a death".to_owned();
                Some(self.deaths_stopped.as_ref().map_or_else(ended, ToString::to_string))
            }
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
