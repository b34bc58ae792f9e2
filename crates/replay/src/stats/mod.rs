//! How a program's objects live and die: statistics of a trace that holds objects.
//!
//! **The decision.** Nobody looks for deaths in a trace's observations. The engine of deaths replays the trace, and tells
//! all that happens in one order: what the program did, and the deaths that come of it where they do. The comparer holds
//! these against what was observed; a trace in which one differs has no statistics. So each number is one of a replay
//! that was verified, and rests on the same definitions as `replay verify`.
//!
//! Memory is proportional to live objects and types, whatever the trace's length. `STATISTICS.md`, beside this crate's
//! manifest, says what exactly is counted.

mod accounts;
mod ages;
mod cascades;
mod report;

use std::fmt;
use std::io::Read;
use std::path::Path;

use trace::{Fetched, Frame, Lineage, Tier};

use crate::compare::{Deaths, Divergence};
use crate::diagnose;
use crate::engine::{DeathEngine, DeathPredictions, EngineError};

pub use accounts::{Account, Accounts, Clock, Period, Tally, Way};
pub use ages::{AGES, ByAge, Quantile, Spread, age};
pub use report::{
    Cascade, Cascades, Curve, Hidden, Lifetimes, Objects, Quantiles, Report, Survivors, Type, Ways,
};

/// Why a trace has no statistics.
#[derive(Debug)]
pub enum Error {
    /// It cannot be read.
    Trace(trace::Error),
    /// It holds no objects: its tier, and why.
    Tier(Tier, String),
    /// It cannot be replayed.
    Engine(EngineError),
    /// Something else was predicted than was observed.
    Diverged(Divergence),
    /// The replay could not go on.
    Stopped(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trace(error) => error.fmt(f),
            Self::Tier(tier, why) => write!(
                f,
                "the trace holds no births and deaths of objects (it is of tier {}: {why}); to have them, record the \
                 program with `replay record --tier objects`, on CPython 3.13.3 or later (but for 3.14.0 to \
                 3.14.4)",
                tier.name()
            ),
            Self::Engine(error) => error.fmt(f),
            Self::Diverged(divergence) => write!(
                f,
                "deaths are not as predicted, so there is nothing to count: {}, predicted: {}, observed: {} (`replay \
                 verify` tells more)",
                divergence.place(),
                divergence.predicted,
                divergence.observed
            ),
            Self::Stopped(why) => write!(f, "the replay of deaths ended early: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// Counts what happens to objects in a trace file. Of the longest cascades, `top` are kept; `progress` is told now and
/// then how many bytes were read.
///
/// # Errors
/// If the trace cannot be read, holds no objects, or is not predicted.
pub fn stats(path: &Path, top: usize, progress: impl FnMut(u64)) -> Result<(Report, Curve), Error> {
    let trace = Lineage::open(path).map_err(Error::Trace)?;
    of(trace, path, top, progress)
}

fn of<R: Read>(
    mut trace: Lineage<R>,
    path: &Path,
    top: usize,
    mut progress: impl FnMut(u64),
) -> Result<(Report, Curve), Error> {
    let header = trace.header().clone();
    if header.tier < Tier::Objects {
        return Err(Error::Tier(header.tier, header.tier_reason));
    }
    let mut engine = DeathEngine::new(&header.allocator, &header.interpreter.version, header.tier)
        .map_err(Error::Engine)?;
    let (mut frame, mut bases) = (Frame::default(), Fetched::default());
    let mut predictions = DeathPredictions::with_happenings();
    let mut compared = Deaths::default();
    let mut accounts = Accounts::new(top);
    let mut stopped = None;
    while stopped.is_none() && trace.read(&mut frame).map_err(Error::Trace)? {
        for info in &frame.objects.types {
            accounts.described(&info.name);
        }
        bases.append(&mut frame.fetched);
        stopped = engine.run(&mut frame.objects, &mut bases, &mut predictions).err();
        for happening in predictions.happenings.iter().flatten() {
            accounts.happens(happening);
        }
        // Where blocks lie is of no interest, and nothing is observed here to be held against it.
        predictions.addresses.clear();
        compared.frame(&frame.objects, &predictions, &[]);
        progress(trace.bytes_read());
    }
    compared.finish(stopped.as_ref());
    let (tally, first) = compared.deaths();
    if let Some(first) = first {
        return Err(Error::Diverged(diagnose::deaths(path, first)));
    }
    if let Some(stopped) = stopped {
        return Err(Error::Stopped(stopped.to_string()));
    }
    if tally.unverified > 0 {
        let why = format!("{} of {} facts about deaths were not predicted", tally.unverified, tally.facts);
        return Err(Error::Stopped(why));
    }
    accounts.finish();
    Ok(Report::new(&header, &accounts))
}

#[cfg(test)]
pub(crate) mod example;
#[cfg(test)]
mod tests;
