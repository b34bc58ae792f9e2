//! Telling a divergence of the checks on objects: who is who takes another look at the trace.

use std::collections::BTreeMap;
use std::path::Path;

use trace::{Death, Fate, Frame, Lineage, Object, Step};

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
                Step::Block(_) | Step::Dies(_) => {}
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
        }
    }
}

/// Tells a divergence of the check `deaths`.
#[must_use]
pub(crate) fn deaths(path: &Path, divergence: ListDivergence<Death>) -> Divergence {
    let ListDivergence { at, predicted, observed } = divergence;
    let object = |death: Option<Death>| death.map(|(Death::Begins(object) | Death::Ends(object, _))| object);
    let objects: Vec<_> = [predicted, observed].into_iter().filter_map(object).collect();
    let notes = take_notes(path, at, &objects);
    Divergence {
        event: notes.event,
        predicted: notes.tell(predicted),
        observed: notes.tell(observed),
        details: vec![
            format!("{at} deaths and ends of deaths were predicted before"),
            "the event is the first one of the frame in which that happens".to_owned(),
        ],
    }
}

/// Tells a divergence of the check `placement-from-deaths`.
#[must_use]
pub(crate) fn placement_from_deaths(path: &Path, divergence: ListDivergence<u64>) -> Divergence {
    let ListDivergence { at, predicted, observed } = divergence;
    let mut event = 0;
    let (mut frame, mut facts) = (Frame::default(), 0);
    if let Ok(mut trace) = Lineage::open(path) {
        while facts <= at && trace.read(&mut frame).unwrap_or(false) {
            event = frame.first_event;
            facts += frame.observations.placed;
        }
    }
    let tell = |address: Option<u64>| address.map_or_else(|| "nothing".to_owned(), place);
    Divergence {
        event,
        predicted: tell(predicted),
        observed: tell(observed),
        details: vec![
            format!("{at} addresses were predicted before"),
            "the event is the first one of the frame in which that happens".to_owned(),
            "a death that is predicted wrongly moves blocks: see the check deaths".to_owned(),
        ],
    }
}
