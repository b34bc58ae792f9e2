//! Telling a divergence of the checks on collections.

use std::collections::BTreeMap;
use std::path::Path;

use trace::{Frame, Lineage, Object};

use crate::compare::{CollectionDivergence, Difference, Divergence, NUMBERS};

/// Reads the trace and notes the types of these objects.
fn types_of(path: &Path, objects: &[Object]) -> BTreeMap<Object, String> {
    let mut found = BTreeMap::new();
    let Ok(mut trace) = Lineage::open(path) else { return found };
    let (mut frame, mut names, mut arrived) = (Frame::default(), Vec::new(), 0);
    while found.len() < objects.len() && trace.read(&mut frame).unwrap_or(false) {
        names.extend(frame.collections.types.drain(..).map(|info| info.name));
        for arrival in frame.collections.graphs.iter().flat_map(|graph| &graph.arrivals) {
            if objects.contains(&arrived)
                && let Some(name) = names.get(arrival.of as usize)
            {
                found.insert(arrived, name.clone());
            }
            arrived += 1;
        }
    }
    found
}

/// Tells a divergence of one of the checks on collections.
#[must_use]
pub(crate) fn collections(path: &Path, divergence: CollectionDivergence) -> Divergence {
    let CollectionDivergence { collection, event, what } = divergence;
    let objects: Vec<Object> = match what {
        Difference::Begins(_) | Difference::Number(..) | Difference::Candidates(_) => Vec::new(),
        Difference::Lives(object) | Difference::Reached(object) | Difference::Unreached(object) => {
            vec![object]
        }
        Difference::Survivor(_, both) => both.into_iter().flatten().collect(),
    };
    let types = types_of(path, &objects);
    let who = |object: Option<Object>| match object {
        None => "nobody".to_owned(),
        Some(object) => match types.get(&object) {
            Some(name) => format!("object {object} ({name})"),
            None => format!("object {object}"),
        },
    };
    let begins = |begins: Option<(u64, Option<u8>)>| match begins {
        Some((event, Some(generation))) => {
            format!("a collection of generation {generation} begins before event {event}")
        }
        Some((_, None)) | None => "no collection begins".to_owned(),
    };
    let (predicted, observed) = match what {
        Difference::Begins([predicted, observed]) => (begins(predicted), begins(observed)),
        Difference::Lives(object) => {
            (format!("{} is garbage", who(Some(object))), "it is on the list afterwards".to_owned())
        }
        Difference::Reached(object) => {
            (format!("{} is garbage", who(Some(object))), "petgraph reaches it".to_owned())
        }
        Difference::Unreached(object) => {
            (format!("{} is reachable", who(Some(object))), "petgraph does not reach it".to_owned())
        }
        Difference::Candidates([told, observed]) => {
            (format!("{told} objects are looked at, by what is told of them"), observed.to_string())
        }
        Difference::Survivor(at, [predicted, observed]) => (
            format!("{} stands at place {at} of the survivors", who(predicted)),
            format!("{} stands there", who(observed)),
        ),
        Difference::Number(at, [predicted, observed]) => {
            let name = NUMBERS.get(at).copied().unwrap_or_default();
            (format!("{name}: {predicted}"), observed.to_string())
        }
    };
    let details = vec![format!("{collection} collections were predicted before")];
    Divergence { event, is_frame: false, predicted, observed, details }
}
