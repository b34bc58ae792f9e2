//! Recording one process: from its interpreter's introduction to its trace.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use record::{Consumer, Origin, Status};
use trace::{Ending, Header, Tier, Totals};

use super::family::{Family, Past};
use super::follow::{End, Failure, drain_all, introduced};
use super::header::{command_of, header, now};
use super::{TierChoice, complain, numbers};
use crate::drain::Drain;
use crate::kinds::minor_version;

/// A recording that is over.
pub(super) struct Recorded {
    number: u32,
    /// At which tier it is, and why at none further.
    tier: (Tier, String),
    drain: Drain<BufWriter<File>>,
    path: PathBuf,
    duration: Duration,
    pub(super) end: End,
}

/// Follows a process to its end, or that of the recording. The error is a sentence for the person who gave the
/// command; the process goes on unrecorded.
pub(super) fn record(mut consumer: Consumer, family: &Family<'_>) -> Result<Recorded, String> {
    let number = consumer.number();
    let recorded = follow(&mut consumer, family);
    family.end(number);
    recorded
}

/// The same for another than the first, and to the end: whoever started it learns how it ended, and nobody else.
pub(super) fn record_child(consumer: Consumer, family: &Family<'_>) {
    let pid = consumer.claim().map(|claim| claim.pid);
    let finished = record(consumer, family).and_then(|recorded| {
        let ending = if recorded.end == End::Limit { Ending::Stopped } else { Ending::Unknown };
        recorded.finish(family, ending)
    });
    if let Err(why) = finished {
        match pid {
            Some(pid) => complain(format_args!("process {pid}: {why}")),
            None => complain(why),
        }
    }
}

fn follow(consumer: &mut Consumer, family: &Family<'_>) -> Result<Recorded, String> {
    let claim = introduced(consumer)?;
    let (number, start) = (consumer.number(), Instant::now());
    if family.is_first(number) {
        family.signals.recorded(&claim);
    }
    family.begin();
    let tier = match consumer.status() {
        Status { counts: true, .. } => Tier::Counts,
        Status { objects: true, .. } => Tier::Objects,
        Status { collections: true, .. } => Tier::Collections,
        _ => Tier::Blocks,
    };
    let collections = consumer.status().collections && tier > Tier::Collections;
    let (mut header, past) = match claim.origin {
        Origin::Started if family.is_first(number) => {
            (header(&claim, &family.arguments.command, family.arguments, tier)?, None)
        }
        Origin::Started => {
            let command = command_of(claim.pid).unwrap_or_else(|| vec![claim.executable.clone().into()]);
            (header(&claim, &command, family.arguments, tier)?, None)
        }
        Origin::Forked { parent, fork } => {
            let past = family.past(parent, fork).ok_or(
                "it was forked from a process whose recording did not come as far, and is not recorded",
            )?;
            let tier_reason =
                "births and deaths of objects are recorded of processes that were started".to_owned();
            (
                Header {
                    started: now(),
                    tier: Tier::Blocks,
                    collections: false,
                    tier_reason,
                    ..past.header.clone()
                },
                Some(past),
            )
        }
    };
    header.collections |= collections && past.is_none();
    let path = family.name(number, &header.program.name, claim.pid);
    let (target, force) = (path.clone(), family.arguments.force);
    let open = move || create(&target, force);
    let mut drain = match past {
        None => Drain::new(header.clone(), open),
        Some(Past { fork, trace, .. }) => {
            Drain::resume(header.clone(), fork, trace, open).map_err(|error| {
                family.fail();
                error.to_string()
            })?
        }
    };
    let forks = consumer.forks();
    let trace = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let outcome = drain_all(consumer, &mut drain, family, |fork, past| {
        let past = Past { header: header.clone(), trace: trace.clone(), fork: past };
        family.keep(number, fork, &forks, past);
    });
    let duration = start.elapsed();
    let outcome = outcome.and_then(|end| {
        judge(consumer, &header, end)?;
        drain.begin()?;
        Ok(end)
    });
    match outcome {
        Ok(end) => {
            let tier = (header.tier, header.tier_reason);
            Ok(Recorded { number, tier, drain, path, duration, end })
        }
        Err(Failure::Worthless(why)) => {
            discard(drain, &path);
            Err(why)
        }
        Err(Failure::Cut(error)) => {
            family.fail();
            if drain.has_begun() {
                let path = path.display();
                Err(format!(
                    "{error}; what was recorded until then is in {path} (the program goes on unrecorded)"
                ))
            } else {
                Err(error.to_string())
            }
        }
    }
}

impl Recorded {
    /// Removes what was recorded.
    pub(super) fn discard(self) {
        discard(self.drain, &self.path);
    }
}

/// Whether what was recorded is all that there was.
fn judge(consumer: &Consumer, header: &Header, end: End) -> Result<(), Failure> {
    let status = consumer.status();
    // Up to 3.11 all interpreters of a process share one lock and one set of pools.
    let shared_pools = minor_version(&header.interpreter.version) <= Some((3, 11));
    if status.concurrent || (status.several_interpreters && !shared_pools) {
        return Err(Failure::Worthless(
            "the program has more than one interpreter (sub-interpreters with a lock and pools of their own), and \
             their calls have no common order: record a program with one"
                .to_owned(),
        ));
    }
    if end == End::Died && !status.initialized && !status.hooks_lost {
        return Err(Failure::Worthless(
            "nothing was recorded: the interpreter ended before it had started".to_owned(),
        ));
    }
    if end == End::Finished && !status.initialized && !status.hooks_lost {
        return Err(Failure::Worthless(
            "nothing was recorded: the interpreter ended before it ran a program, as with --version or an option that it \
             does not know (options of replay come before the command)"
                .to_owned(),
        ));
    }
    if status.hooks_lost || !status.initialized {
        return Err(Failure::Worthless(
            "the interpreter does not use its pools, or never started: record without PYTHONMALLOC and without -X \
             dev, which replace the allocator"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Removes half a trace.
fn discard(drain: Drain<BufWriter<File>>, path: &Path) {
    let begun = drain.has_begun();
    drop(drain);
    // A device, or whatever else was named, is not ours to remove.
    if begun && path.symlink_metadata().is_ok_and(|file| file.is_file()) {
        // If it cannot be removed it stays, and says itself that it is not whole.
        let _ = std::fs::remove_file(path);
    }
}

fn create(path: &Path, force: bool) -> Result<BufWriter<File>, trace::Error> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    Ok(BufWriter::new(options.open(path).map_err(named)?))
}

impl Recorded {
    /// Completes the trace and tells where it is.
    pub(super) fn finish(self, family: &Family<'_>, ending: Ending) -> Result<(), String> {
        let microseconds = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX);
        let lost_objects = self.drain.lost_objects();
        let finished = self.drain.finish(ending, microseconds, self.end != End::Finished);
        let (Totals { events, .. }, bytes) = finished.map_err(|error| {
            family.fail();
            if family.arguments.output.is_none() || family.arguments.force {
                format!("{error}; what was written is in {}", self.path.display())
            } else {
                error.to_string()
            }
        })?;
        let path = self.path.display();
        complain(format_args!(
            "recorded {} events in {path}, {} ({:.2} bytes per event)",
            numbers::count(events),
            numbers::bytes(bytes),
            numbers::ratio(bytes, events),
        ));
        let (tier, reason) = self.tier;
        let asked = family.arguments.tier.map(TierChoice::tier);
        if let Some(asked) = asked.filter(|asked| *asked > tier) {
            let [asked, tier] = [asked, tier].map(Tier::name);
            complain(format_args!("tier {asked} was asked for, {path} is at tier {tier}: {reason}"));
        }
        if lost_objects {
            complain(
                "the program took the interpreter's reference tracer away, as tracemalloc does: births and deaths of \
                 objects are recorded up to there",
            );
        }
        family.complete(self.number, self.path);
        Ok(())
    }
}

/// A path as a shell takes it.
pub(super) fn shell_quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(shell_quoted(Path::new("app.12.viv")), "app.12.viv");
        assert_eq!(shell_quoted(Path::new("it's here")), r"'it'\''s here'");
    }
}
