//! What the collector of cycles did in a recorded program, and why.
//!
//! **The decision.** Nobody looks for collections in a trace's observations. The engine of collections replays the trace and lets
//! a [`Watch`](crate::engine::Watch) see each graph that a predicted collection looks at, and what it makes of that; all that is
//! explained comes from there. The comparer holds the predictions against what was observed, and only that: which
//! collections are verified. What garbage is made of is the business of [`cycles::anatomy`].
//!
//! Memory is proportional to live blocks, types, and what one collection looks at, whatever the trace's length; time is linear in
//! the trace and in what its collections look at. `COLLECTIONS.md`, beside this crate's manifest, defines what is told.

mod census;
mod counts;
mod follow;
mod held;
mod names;
mod report;
mod timeline;

use std::fmt;
use std::io::Read;
use std::path::Path;

use trace::{Frame, Header, Lineage, Tier};

use crate::compare::Collections;
use crate::engine::{CollectionEngine, CollectionPredictions, EngineError, PredictedCollection};
use crate::nearest::nearest;
use follow::Follower;

pub use held::Wanted;
pub use report::{
    Alive, Census, Collection, Count, Cycle, Details, Example, Form, Kept, Member, OfType, Picture, Report,
    Taken, Totals, Way, Why, WhyAlive, WhyKept,
};
pub use timeline::{Step, Timeline};

/// Why there is nothing to explain in a trace.
#[derive(Debug)]
pub enum Error {
    /// It cannot be read.
    Trace(trace::Error),
    /// It tells of no collections: its tier, and the interpreter's version.
    Tier(Tier, String),
    /// It does not tell who refers to whom when a collection looks: its tier, and the interpreter's version.
    NoGraph(Tier, String),
    /// It cannot be replayed.
    Engine(EngineError),
    /// The replay could not go on.
    Stopped(String),
    /// No type has the name that was asked for: this, and those that are like it, the nearest first.
    NoType(String, Vec<String>),
    /// None of those who were asked for was looked at: who that is, and by which collection, if one was asked for.
    NotSeen(String, Option<u64>),
    /// No collection has the number that was asked for: this, and how many there are.
    NoCollection(u64, u64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HOW: &str = "record the program with `replay record --tier collections`, on CPython 3.8 or later (but for 3.14.0 \
                           to 3.14.4)";
        match self {
            Self::Trace(error) => error.fmt(f),
            Self::Tier(tier, version) => write!(
                f,
                "the trace tells of no collections: it is of tier {}, of CPython {version}. To have them, {HOW}",
                tier.name()
            ),
            Self::NoGraph(tier, version) => write!(
                f,
                "the trace does not tell who refers to whom, so not why something is alive: it is of tier {}, of CPython \
                 {version}, and was recorded without what collections look at. To have that, {HOW}",
                tier.name()
            ),
            Self::Engine(EngineError::Version(version)) => {
                write!(f, "it is not known how CPython {version} collects cycles")
            }
            Self::Engine(error) => error.fmt(f),
            Self::Stopped(why) => write!(f, "the replay ended early: {why}"),
            Self::NoType(asked, alike) if alike.is_empty() => {
                write!(
                    f,
                    "no collection looked at an object of a type with the name {asked:?}, nor of one like it"
                )
            }
            Self::NoType(asked, alike) => write!(
                f,
                "no collection looked at an object of a type with the name {asked:?}; names like it: {}",
                alike.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
            ),
            Self::NotSeen(asked, Some(number)) => write!(
                f,
                "collection {number} did not look at {asked}; without --collection, one is taken that did"
            ),
            Self::NotSeen(asked, None) => write!(f, "no collection that was seen looked at {asked}"),
            Self::NoCollection(number, 0) => {
                write!(f, "there is no collection {number}: none was seen")
            }
            Self::NoCollection(number, all) => {
                write!(
                    f,
                    "there is no collection {number}: those that were seen have the numbers 0 to {}",
                    all - 1
                )
            }
        }
    }
}

impl std::error::Error for Error {}

/// What is to be told beyond what always is.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How many of the collections that found most are kept.
    pub top: usize,
    /// Of whom it is to be told what holds them.
    pub why_alive: Option<Wanted>,
    /// As of which collection, by its number; else as of the last full one before the interpreter ended, or the one that
    /// shows most.
    pub as_of: Option<u64>,
}

/// Explains the collections of a trace file; `progress` is told now and then how many bytes were read.
///
/// # Errors
/// If the trace cannot be read, tells of no collections, or cannot be replayed; or if no collection, or not the one that was
/// asked for, looked at those of whom is to be told what holds them.
pub fn explain(path: &Path, options: &Options, progress: impl FnMut(u64)) -> Result<Report, Error> {
    of(Lineage::open(path).map_err(Error::Trace)?, options, progress)
}

fn of<R: Read>(
    mut trace: Lineage<R>,
    options: &Options,
    mut progress: impl FnMut(u64),
) -> Result<Report, Error> {
    let header = trace.header().clone();
    if !header.has_collections() {
        return match header.tier {
            Tier::Counts if options.why_alive.is_some() => {
                Err(Error::NoGraph(header.tier, header.interpreter.version))
            }
            Tier::Counts => counts::explain(trace, options.top, progress),
            tier => Err(Error::Tier(tier, header.interpreter.version)),
        };
    }
    let mut engine = CollectionEngine::new(&header.interpreter.version).map_err(Error::Engine)?;
    let mut follower = Follower::new(options);
    let mut frame = Frame::default();
    let mut predictions = CollectionPredictions::default();
    let mut compared = Collections::default();
    let (mut idle, mut observed) = (0, 0);
    while trace.read(&mut frame).map_err(Error::Trace)? {
        for info in &frame.collections.types {
            follower.names.described(&info.name);
        }
        engine.run_watched(
            frame.first_event,
            &frame.inputs,
            &mut frame.collections,
            &mut predictions,
            &mut follower,
        );
        let is_idle = |one: &&PredictedCollection| one.generation.is_none() && one.unseen.is_none();
        idle += predictions.collections.iter().filter(is_idle).count() as u64;
        compared.frame(&frame.observations.collections, &mut predictions);
        for collection in &frame.observations.collections {
            let Some(generation) = collection.generation else { continue };
            if let Some(nanoseconds) = collection.nanoseconds {
                follower.lasted(observed, generation, nanoseconds);
            }
            observed += 1;
        }
        progress(trace.bytes_read());
    }
    compared.finish();
    // The comparer counts collections as they are over, as the follower does.
    let diverged =
        compared.checks().iter().filter_map(|(_, first)| first.map(|first| first.collection)).min();
    let [(schedule, _), ..] = compared.checks();
    let verified = diverged.unwrap_or(u64::MAX).min(schedule.verified).min(follower.over);
    let (saved, kept) = follower.report_kept();
    let (alive, alive_unknown) = follower.report_alive();
    let why_alive = options.why_alive.as_ref().map(|wanted| why_alive(&mut follower, wanted, options.as_of));
    let why_alive = why_alive.transpose()?;
    let (census, garbage) = follower.census.report(&follower.names);
    let mut report = Report {
        events: follower.events,
        seconds: seconds(&trace),
        collections: follower.over + follower.unseen,
        verified: Some(verified),
        unseen: follower.unseen,
        unseen_from: follower.unseen_from,
        idle,
        generations: follower.generations,
        timeline: follower.timeline,
        list: follower.list,
        largest: follower.largest,
        garbage,
        census: Some(census),
        saved,
        kept,
        tells_exit: follower.tells_exit,
        alive,
        alive_unknown,
        why_alive,
        ..head(&header)
    };
    for collection in report.list.iter_mut().chain(&mut report.largest) {
        if let Some(details) = &mut collection.details {
            details.verified = collection.number < verified;
        }
    }
    Ok(report)
}

/// What was seen of who was asked for.
fn why_alive(follower: &mut Follower<'_>, wanted: &Wanted, as_of: Option<u64>) -> Result<WhyAlive, Error> {
    let names = &follower.names;
    match (follower.picture.take(), wanted, as_of) {
        (Some(picture), ..) => Ok(WhyAlive { asked: wanted.to_string(), picture }),
        (None, Wanted::Type(asked), _) if names.find(asked).is_none() => {
            let bare = asked.rsplit('.').next().unwrap_or(asked);
            Err(Error::NoType(asked.clone(), nearest(bare, names.all().iter().map(String::as_str))))
        }
        (None, _, Some(number)) if number >= follower.over => Err(Error::NoCollection(number, follower.over)),
        (None, ..) => Err(Error::NotSeen(wanted.to_string(), as_of)),
    }
}

/// What a header says; nothing was counted yet.
fn head(header: &Header) -> Report {
    Report {
        program: header.program.name.clone(),
        python: header.interpreter.version.clone(),
        tier: header.tier,
        forked_from: header.parent.as_ref().map(|parent| parent.trace.clone()),
        events: 0,
        seconds: 0.0,
        collections: 0,
        verified: None,
        unseen: 0,
        unseen_from: None,
        idle: 0,
        generations: Default::default(),
        timeline: Timeline::default(),
        list: Vec::new(),
        largest: Vec::new(),
        garbage: Vec::new(),
        census: None,
        saved: Vec::new(),
        kept: Vec::new(),
        tells_exit: false,
        alive: Vec::new(),
        alive_unknown: Alive::default(),
        why_alive: None,
    }
}

fn seconds<R: Read>(trace: &Lineage<R>) -> f64 {
    trace
        .trailer()
        .map_or(0.0, |trailer| std::time::Duration::from_micros(trailer.microseconds).as_secs_f64())
}

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;
