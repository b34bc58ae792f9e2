//! Births and deaths of objects.

use std::collections::HashMap;

use record::{Event, ObjectEvent, Objects, ReferentCount, SessionOptions};

use crate::pythons::{each, each_from};
use crate::recorded;

/// 500 objects of a class, of which 100 die with the list that they are in, one with its last name, the others at the end
/// of the function.
const PROGRAM: &str = "
class Watched:
    __slots__ = ('other',)
def work():
    many = [Watched() for n in range(100)]
    one = Watched()
    one.other = Watched()
    others = tuple(Watched() for n in range(398))
    del many
    del one
work()
";

/// Objects of one class, as the tracer tells of them.
#[derive(Default)]
struct Watched {
    born: usize,
    /// How many deaths were going on when each of them died.
    depths: Vec<usize>,
    /// References that they had, all in all, that nobody else had.
    owned: usize,
}

fn watch(events: &[Event], class: &str) -> Watched {
    let mut watched = Watched::default();
    let (mut name, mut described) = (Vec::new(), 0);
    let mut places = HashMap::new();
    let (mut types, mut live) = (HashMap::new(), HashMap::new());
    let mut open = Vec::new();
    let (mut dying, mut is_unnested) = (None, false);
    let mut is_collectors = false;
    for event in events {
        let event = match *event {
            Event::Object(event) => event,
            Event::Release { address, .. } => {
                // The memory of the innermost one, which is in there behind what the collector has.
                open.pop_if(|object: &mut u64| [0, 16, 32].contains(&object.wrapping_sub(address)));
                continue;
            }
            _ => continue,
        };
        // What the collector looks at is told in the same words.
        match event {
            ObjectEvent::Collects(_) | ObjectEvent::MayCollect(_) | ObjectEvent::HasCollected(_) => {
                is_collectors = true;
            }
            ObjectEvent::FinalizersRun | ObjectEvent::HasParted(_) => is_collectors = true,
            ObjectEvent::GraphEnds => is_collectors = false,
            _ => {}
        }
        match event {
            ObjectEvent::Born { .. } | ObjectEvent::Edge { .. } if is_collectors => {}
            ObjectEvent::Type(address) => {
                described = address;
                types.remove(&address);
                name.clear();
            }
            ObjectEvent::TypeName(bytes) => {
                name.extend(bytes.iter().take_while(|byte| **byte != 0));
                // Its family's name follows.
                if bytes.contains(&0) {
                    types.entry(described).or_insert_with(|| String::from_utf8_lossy(&name).into_owned());
                }
            }
            ObjectEvent::TypePlace { of, place } => {
                places.insert(place, of);
            }
            ObjectEvent::Born { object, of } => {
                let of = places[&of];
                live.insert(object, of);
                watched.born += usize::from(types[&of] == class);
            }
            ObjectEvent::Dies { object, is_last } => {
                dying = live.remove(&object).map(|of| types[&of] == class);
                if dying == Some(true) {
                    watched.depths.push(open.len());
                }
                open.push(object);
                if is_last && std::mem::take(&mut is_unnested) {
                    open.pop();
                }
            }
            ObjectEvent::Edge { count, is_last, .. } => {
                watched.owned += usize::from(dying == Some(true) && count == ReferentCount::new(1));
                if is_last && std::mem::take(&mut is_unnested) {
                    open.pop();
                }
            }
            ObjectEvent::Ended(object) => assert_eq!(open.pop(), Some(object), "from the inside out"),
            // Nobody will tell when that is over.
            ObjectEvent::Unnested => is_unnested = true,
            ObjectEvent::Immortals { is_last: true, .. } if std::mem::take(&mut is_unnested) => {
                open.pop();
            }
            _ => {}
        }
    }
    watched
}

#[test]
fn objects_are_told_from_their_births_to_their_deaths() {
    each(|python| {
        let options = SessionOptions { objects: Objects::Deaths, ..SessionOptions::default() };
        let recording = recorded::record_with(recorded::command(python, PROGRAM), &options);
        assert!(recording.seen.status.success(), "{python:?} {:?}", recording.seen);
        let version = recording.claim.expect("it is recorded").version;
        let mut numbers =
            version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
        let [_, minor, patch]: [u32; 3] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
        let tells = matches!((minor, patch), (13, 3..) | (14, 5..) | (15, _));
        assert_eq!(recording.status.objects, tells && cfg!(target_arch = "x86_64"), "{python:?}");
        // (Who is on the collector's lists is told of others, too.)
        let dies = |event: &Event| matches!(event, Event::Object(ObjectEvent::Dies { .. }));
        let told = recording.events.iter().any(dies);
        assert_eq!(told, recording.status.objects, "{python:?}");
        if !told {
            return;
        }
        let watched = watch(&recording.events, "Watched");
        assert_eq!((watched.born, watched.depths.len()), (500, 500), "{python:?}");
        let inside = watched.depths.iter().filter(|depth| **depth > 0).count();
        // All but the one with a name of its own.
        assert_eq!(inside, 499, "{python:?} {:?}", watched.depths);
        assert_eq!(watched.owned, 1, "{python:?}");
    });
}

/// A tracer of the program's own takes the place of ours: that is told, and the program has its own.
#[test]
fn a_program_may_take_the_tracer_away() {
    each_from((3, 13), |python| {
        let options = SessionOptions { objects: Objects::Deaths, ..SessionOptions::default() };
        let program = "import tracemalloc; tracemalloc.start(); print(tracemalloc.is_tracing())";
        let recording = recorded::record_with(recorded::command(python, program), &options);
        assert_eq!(recording.seen.stdout, "True\n", "{python:?}");
        let lost = recording.events.contains(&Event::Object(ObjectEvent::Lost));
        assert_eq!(lost, recording.status.objects, "{python:?}");
    });
}
