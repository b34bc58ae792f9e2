//! Telling a divergence in full.
//!
//! What a person needs to understand a divergence (what happened last to that pool, which arena an address lies in)
//! is too much to keep while replaying. So the trace is replayed once more, up to the divergence, and this time
//! somebody takes notes.

mod collections;
mod deaths;

use std::path::Path;

use trace::{ArenaChange, ArenaEvent, BlockTable, FOREIGN, Frame, Header, Kind, Lineage};

use crate::compare::{ArenaDivergence, Divergence, PlacementDivergence};
use crate::engine::{Engine, Predictions};

pub(crate) use collections::collections;
pub(crate) use deaths::{counts, deaths, placement_from_deaths};

/// What is known of one pool.
struct Watched {
    base: u64,
    last: Option<(u64, &'static str, u64)>,
    live: u64,
}

/// What was noted on the second way to a divergence.
struct Notes {
    watched: Vec<Watched>,
    /// Recorded bases of the arenas acquired before.
    bases: Vec<u64>,
    complete: bool,
}

/// Replays the trace up to (and without) an event and takes notes of the pools that hold the addresses given.
fn take_notes(path: &Path, header: &Header, until: u64, addresses: &[u64]) -> Notes {
    let pool = |address: u64| address & !(u64::from(header.allocator.pool_size) - 1);
    let mut bases: Vec<u64> =
        addresses.iter().filter(|&&address| address != FOREIGN).map(|&a| pool(a)).collect();
    bases.dedup();
    let watched = bases.into_iter().map(|base| Watched { base, last: None, live: 0 }).collect();
    let mut notes = Notes { watched, bases: Vec::new(), complete: false };
    let Ok(mut trace) = Lineage::open(path) else { return notes };
    let Ok(mut engine) = Engine::new(&header.allocator) else { return notes };
    let mut places = BlockTable::new();
    let (mut frame, mut predictions) = (Frame::default(), Predictions::default());
    while trace.read(&mut frame).unwrap_or(false) {
        let before = until.saturating_sub(frame.first_event);
        let before =
            usize::try_from(before).map_or(frame.inputs.len(), |before| before.min(frame.inputs.len()));
        let inputs = &frame.inputs[..before];
        if engine.run(frame.first_event, inputs, &mut frame.fetched, &mut predictions).is_err() {
            return notes;
        }
        let mut predicted = predictions.addresses().iter().copied();
        for (event, input) in (frame.first_event..).zip(inputs) {
            let placed = header.allocator.serves(input.size());
            let mut note = |address: u64, what, change: i64| {
                for watched in notes.watched.iter_mut().filter(|watched| watched.base == pool(address)) {
                    watched.last = Some((event, what, address));
                    watched.live = watched.live.saturating_add_signed(change);
                }
            };
            match input.kind() {
                Kind::Allocate | Kind::Resize if input.failed() => {
                    if placed {
                        predicted.next();
                    }
                }
                Kind::Allocate => {
                    let address = if placed { predicted.next().unwrap_or(FOREIGN) } else { FOREIGN };
                    note(address, "allocated", 1);
                    places.push(address);
                }
                Kind::Resize => {
                    let address = if placed { predicted.next().unwrap_or(FOREIGN) } else { FOREIGN };
                    let old = places.replace(input.block(), address).unwrap_or(FOREIGN);
                    if old != address {
                        note(address, "allocated (by a resize)", 1);
                        note(old, "released (by a resize)", -1);
                    }
                }
                Kind::Release => {
                    let old = places.remove(input.block()).unwrap_or(FOREIGN);
                    note(old, "released", -1);
                }
                Kind::Mark => {}
            }
        }
        if let Some(input) = frame.inputs.get(before) {
            notes.complete = true;
            // Once more with the event itself, for the arena that it may acquire. What else it comes to is known.
            let _ = engine.run(until, &[*input], &mut frame.fetched, &mut predictions);
            break;
        }
    }
    notes.bases = engine.recorded_bases();
    notes
}

impl Notes {
    /// Where an address lies: the last arena acquired that covers it.
    fn arena(&self, header: &Header, address: u64) -> String {
        let size = header.allocator.arena_size;
        let arena = self.bases.iter().rposition(|&base| address.wrapping_sub(base) < size);
        arena.map_or_else(
            || "in no arena known at that point".to_owned(),
            |arena| {
                let base = self.bases[arena];
                let pool_size = u64::from(header.allocator.pool_size);
                let pool =
                    (address & !(pool_size - 1)).saturating_sub(base.next_multiple_of(pool_size)) / pool_size;
                format!("in pool {pool} of arena {arena} (base {base:#x})")
            },
        )
    }

    fn pool(&self, address: u64, pool_size: u64) -> Option<String> {
        let watched = self.watched.iter().find(|watched| watched.base == address & !(pool_size - 1))?;
        let base = watched.base;
        Some(watched.last.map_or_else(
            || format!("the pool at {base:#x} had not been used before"),
            |(event, what, address)| {
                format!(
                    "what happened last in the pool at {base:#x}: event {event} {what} the block at {address:#x}; it \
                     held {} live blocks",
                    watched.live
                )
            },
        ))
    }
}

fn place(address: u64) -> String {
    if address == FOREIGN { "outside all arenas".to_owned() } else { format!("at {address:#x}") }
}

/// Tells a divergence of the check `placement`.
#[must_use]
pub(crate) fn placement(path: &Path, header: &Header, divergence: PlacementDivergence) -> Divergence {
    let PlacementDivergence { event, size, predicted, observed } = divergence;
    let alignment = u64::from(header.allocator.alignment);
    let class = size.saturating_sub(1) / alignment;
    let mut details = vec![format!(
        "the request was for {size} bytes: size class {class}, blocks of {} bytes",
        (class + 1) * alignment
    )];
    let notes = take_notes(path, header, event, &[predicted, observed]);
    for (what, address) in [("predicted", predicted), ("observed", observed)] {
        if address != FOREIGN {
            details.push(format!("the {what} address lies {}", notes.arena(header, address)));
            details.extend(notes.pool(address, header.allocator.pool_size.into()));
        }
    }
    details.dedup();
    if !notes.complete {
        details.push("(the trace could not be replayed again up to this event)".to_owned());
    }
    Divergence { event, is_frame: false, predicted: place(predicted), observed: place(observed), details }
}

fn change(event: Option<ArenaEvent>) -> String {
    let Some(ArenaEvent { event, change }) = event else { return "nothing".to_owned() };
    match change {
        ArenaChange::Acquired(arena) => format!("arena {arena} acquired at event {event}"),
        ArenaChange::Refused => format!("an arena refused at event {event}"),
        ArenaChange::Released(arena) => format!("arena {arena} released at event {event}"),
    }
}

/// Tells a divergence of the check `arenas`.
#[must_use]
pub(crate) fn arenas(path: &Path, header: &Header, divergence: ArenaDivergence) -> Divergence {
    let event = divergence.event();
    let notes = take_notes(path, header, event, &[]);
    let mut details = vec![format!("{} arenas had been acquired before", notes.bases.len())];
    for arena in [divergence.predicted, divergence.observed].into_iter().flatten() {
        if let ArenaEvent { change: ArenaChange::Released(arena), .. } = arena
            && let Some(base) = usize::try_from(arena).ok().and_then(|arena| notes.bases.get(arena))
        {
            details.push(format!("the recorded base of arena {arena} is {base:#x}"));
        }
    }
    details.dedup();
    Divergence {
        event,
        is_frame: false,
        predicted: change(divergence.predicted),
        observed: change(divergence.observed),
        details,
    }
}
