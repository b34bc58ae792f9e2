//! What a trace tells of collections that holds every change of a count: when they begin, what they find, and who dies in them.

use trace::{Fetched, Frame, Lineage};

use super::follow::keep;
use super::report::{Alive, Collection, Count, OfType, Report, Totals};
use super::timeline::{Step, Timeline};
use super::{Error, head};
use crate::compare::Deaths;
use crate::engine::{DeathEngine, DeathPredictions, Happening};
use crate::stats::{Accounts, Period};

/// Explains what there is in such a trace.
pub(super) fn explain<R: std::io::Read>(
    mut trace: Lineage<R>,
    top: usize,
    mut progress: impl FnMut(u64),
) -> Result<Report, Error> {
    let header = trace.header().clone();
    let mut engine = DeathEngine::new(&header.allocator, &header.interpreter.version, header.tier)
        .map_err(Error::Engine)?;
    let (mut frame, mut bases) = (Frame::default(), Fetched::default());
    let mut predictions = DeathPredictions::with_happenings();
    let mut compared = Deaths::default();
    let mut accounts = Accounts::new(0);
    let mut report = head(&header);
    // Those that are going on. (In each thread there may be one.)
    let mut going: Vec<(u64, u8)> = Vec::new();
    let (mut list, mut largest, mut timeline) = (Vec::new(), Vec::new(), Timeline::default());
    let mut generations: [Totals; 3] = Default::default();
    let mut stopped = None;
    while stopped.is_none() && trace.read(&mut frame).map_err(Error::Trace)? {
        for info in &frame.objects.types {
            accounts.described(&info.name);
        }
        bases.append(&mut frame.fetched);
        stopped = engine.run(&mut frame.objects, &mut bases, &mut predictions).err();
        for happening in predictions.happenings.iter().flatten() {
            accounts.happens(happening);
            match *happening {
                Happening::CollectionBegins(generation) => {
                    going.push((accounts.clock.events, generation.min(2)));
                }
                Happening::CollectionEnds(unreachable) => {
                    let Some((event, generation)) = going.pop() else { continue };
                    let totals = &mut generations[usize::from(generation)];
                    totals.collections += 1;
                    totals.unreachable = totals.unreachable.saturating_add(unreachable);
                    let mut step = Step { unreachable, ..Step::default() };
                    step.collections[usize::from(generation)] = 1;
                    timeline.add(event, &step);
                    let number = report.collections;
                    report.collections += 1;
                    let collection = Collection {
                        number,
                        event,
                        generation,
                        unreachable,
                        nanoseconds: None,
                        details: None,
                    };
                    keep(&mut list, &mut largest, top, collection);
                }
                _ => {}
            }
        }
        // Where blocks lie is of no interest.
        predictions.addresses.clear();
        compared.frame(&frame.objects, &predictions, &[]);
        progress(trace.bytes_read());
    }
    compared.finish(stopped.as_ref());
    if let Some(stopped) = stopped {
        return Err(Error::Stopped(stopped.to_string()));
    }
    let (tally, first) = compared.deaths();
    if first.is_some() || tally.unverified > 0 {
        let why =
            "not all deaths are as predicted, so there is nothing to tell of (`replay verify` says more)";
        return Err(Error::Stopped(why.to_owned()));
    }
    let died = accounts.types.iter().map(|of| {
        let objects = of.deaths.during(Period::InCollection);
        (of.name.as_str(), Count { objects, bytes: 0 })
    });
    let garbage = OfType::all(died.filter(|(_, count)| count.objects > 0));
    let mut alive: Vec<_> = accounts
        .types
        .iter()
        .map(|of| {
            let count = |objects| Count { objects, bytes: 0 };
            let at_end = of.outlived();
            let at_exit = if accounts.tells_exit { at_end + of.deaths.during(Period::AtExit) } else { 0 };
            Alive { name: Some(of.name.clone()), at_exit: count(at_exit), at_end: count(at_end) }
        })
        .filter(|of| of.at_exit.objects + of.at_end.objects > 0)
        .collect();
    alive.sort_by(|one, other| {
        let most = |of: &Alive| (of.at_exit.objects, of.at_end.objects);
        most(other).cmp(&most(one)).then_with(|| one.name.cmp(&other.name))
    });
    Ok(Report {
        events: accounts.clock.events,
        seconds: super::seconds(&trace),
        generations,
        timeline,
        list,
        largest,
        garbage,
        tells_exit: accounts.tells_exit,
        alive,
        ..report
    })
}
