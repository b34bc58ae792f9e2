//! Telling a divergence of the checks on objects: who is who takes another look at the trace.

use std::collections::BTreeMap;
use std::path::Path;

use trace::{COUNT_LIMIT, Death, Fate, Frame, Lineage, Object, Step};

use super::place;
use crate::compare::{Divergence, ListDivergence};

/// What is found out on the second way through the trace.
#[derive(Default)]
struct Notes {
    /// The first event of the frame in which it showed.
    event: u64,
    /// Types of the objects asked for.
    types: BTreeMap<Object, String>,
}

/// Reads the trace up to the frame that holds the death fact number `at`, and notes the types of these objects.
fn take_notes(path: &Path, at: u64, objects: &[Object]) -> Notes {
    let mut notes = Notes::default();
    let Ok(mut trace) = Lineage::open(path) else { return notes };
    let mut frame = Frame::default();
    let (mut born, mut facts) = (0, 0);
    let mut names = Vec::new();
    while trace.read(&mut frame).unwrap_or(false) {
        let mut types = frame.objects.types.drain(..);
        for step in &frame.objects.steps {
            match step {
                Step::Described => names.extend(types.next().map(|info| info.name)),
                Step::Born { of, .. } => {
                    let name = usize::try_from(*of).ok().and_then(|of| names.get(of));
                    if let (Some(name), true) = (name, objects.contains(&born)) {
                        notes.types.insert(born, name.clone());
                    }
                    born += 1;
                }
                _ => {}
            }
        }
        notes.event = frame.first_event;
        facts += frame.objects.deaths.len() as u64;
        if facts > at {
            break;
        }
    }
    notes
}

impl Notes {
    fn tell(&self, death: Option<Death>) -> String {
        let who = |object: Object| match self.types.get(&object) {
            Some(name) => format!("object {object} ({name})"),
            None => format!("object {object}"),
        };
        match death {
            None => "nothing".to_owned(),
            Some(Death::Begins(object)) => format!("{} dies", who(object)),
            Some(Death::Ends(object, Fate::Released)) => {
                format!("the death of {} ends, its memory is released", who(object))
            }
            Some(Death::Ends(object, Fate::Kept)) => {
                format!("the death of {} ends, its memory is kept", who(object))
            }
            Some(Death::Finalizer(object)) => format!("the finalizer of {} is called", who(object)),
            Some(Death::Callback(object)) => format!("the callback of {} is called", who(object)),
            Some(Death::Reuses(object, block)) => format!("{} begins in block {block}", who(object)),
            Some(Death::Deposited(object)) => format!("the death of {} is put off", who(object)),
        }
    }
}

/// Tells a divergence of the check `deaths`.
#[must_use]
pub(crate) fn deaths(path: &Path, divergence: ListDivergence<Death>) -> Divergence {
    let ListDivergence { at, predicted, observed } = divergence;
    let objects: Vec<_> = [predicted, observed].into_iter().flatten().map(Death::object).collect();
    let notes = take_notes(path, at, &objects);
    Divergence {
        event: notes.event,
        is_frame: true,
        predicted: notes.tell(predicted),
        observed: notes.tell(observed),
        details: vec![
            format!("{at} deaths and ends of deaths were predicted before"),
            "the event is the first one of the frame in which that happens".to_owned(),
        ],
    }
}

/// Tells a divergence of the check `counts`.
#[must_use]
pub(crate) fn counts(path: &Path, divergence: ListDivergence<u32>) -> Divergence {
    let ListDivergence { at, predicted, observed } = divergence;
    let tell = |count: Option<u32>| match count {
        None => "nothing".to_owned(),
        Some(COUNT_LIMIT) => format!("{COUNT_LIMIT} references or more"),
        Some(1) => "1 reference".to_owned(),
        Some(count) => format!("{count} references"),
    };
    Divergence {
        event: first_event_of(path, at, |frame| frame.objects.counts.len() as u64),
        is_frame: true,
        predicted: tell(predicted),
        observed: tell(observed),
        details: vec![
            format!("{at} counts were predicted before"),
            "the event is the first one of the frame in which that happens".to_owned(),
        ],
    }
}

/// The first event of the frame that holds the fact number `at`, where `facts` says how many a frame has.
fn first_event_of(path: &Path, at: u64, facts: impl Fn(&Frame) -> u64) -> u64 {
    let (mut event, mut before, mut frame) = (0, 0, Frame::default());
    if let Ok(mut trace) = Lineage::open(path) {
        while before <= at && trace.read(&mut frame).unwrap_or(false) {
            event = frame.first_event;
            before += facts(&frame);
        }
    }
    event
}

/// Tells a divergence of the check `placement-from-deaths`.
#[must_use]
pub(crate) fn placement_from_deaths(path: &Path, divergence: ListDivergence<u64>) -> Divergence {
    let ListDivergence { at, predicted, observed } = divergence;
    let event = first_event_of(path, at, |frame| frame.observations.placed);
    let tell = |address: Option<u64>| address.map_or_else(|| "nothing".to_owned(), place);
    Divergence {
        event,
        is_frame: true,
        predicted: tell(predicted),
        observed: tell(observed),
        details: vec![
            format!("{at} addresses were predicted before"),
            "the event is the first one of the frame in which that happens".to_owned(),
            "a death that is predicted wrongly moves blocks: see the check deaths".to_owned(),
        ],
    }
}
