//! Encoding a frame's collections.

use crate::collections::{
    Arrival, Behind, Collection, CollectorAction, CollectorSettings, Graph, IMMORTAL, Permanent, Told,
    UNTRACKED,
};
use crate::frame::stream;
use crate::objects::{Begins, Object, TypeInfo, TypeNumber, write_info};
use crate::varint;

/// Codes of steps.
pub(super) const SETTINGS: u8 = 0;
pub(super) const ASKS: u8 = 1;
pub(super) const SAFE_POINT: u8 = 2;
pub(super) const OVER: u8 = 3;
pub(super) const OVER_AFTER_CODE: u8 = 4;
pub(super) const LOST: u8 = 5;
pub(super) const EXCEPTION: u8 = 6;
pub(super) const CALLED_BACK: u8 = 7;
pub(super) const HAS_FINALIZED: u8 = 8;
pub(super) const LOST_AND_FOUND: u8 = 9;
pub(super) const COUNTS_ELSEWHERE: u8 = 10;
pub(super) const COUNTS_HERE: u8 = 11;
pub(super) const ENDS: u8 = 12;

/// Bits of settings, beside what became of the objects that are never collected.
pub(super) const ENABLED: u8 = 1;
pub(super) const PERMANENT_SHIFT: u8 = 1;
pub(super) const CALLS_BACK: u8 = 8;

/// Bits of what is told of an object.
pub(super) const HAS_COUNT: u64 = 1;
pub(super) const HAS_REFERENTS: u64 = 2;
pub(super) const HAS_WEAK: u64 = 4;
pub(super) const FINALIZED: u64 = 8;
pub(super) const EMBEDDED: u64 = 16;

/// How far an object is behind the beginning of its block, beside that block: a fourth of so many bytes; or it has none.
pub(super) const PLACES: u64 = 4;
pub(super) const ELSEWHERE: u64 = 3;
pub(super) const OFFSET: u32 = 16;

/// Encodes the collections of a frame under construction.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    steps: Vec<u8>,
    containers: Vec<u8>,
    types: Vec<u8>,
    graphs: Vec<u8>,
    uncounted: Vec<u8>,
    observed: Vec<u8>,
    /// How long the collections took that were observed, and whether that was measured of any.
    clock: Vec<u8>,
    has_clock: bool,
    /// The first event, and that of the step before.
    first_event: u64,
    last_event: u64,
    /// How many blocks the frame has that were allocated for objects.
    blocks: usize,
    /// How many references were told in the frame behind the last one that is not counted.
    counted: u64,
    types_described: TypeNumber,
    objects: u64,
    /// How often it was told what a collection looks at.
    graphs_told: u64,
    /// Whether the block that was allocated last may yet be told to be a container.
    is_open: bool,
}

fn name(out: &mut Vec<u8>, object: Object, last: &mut Object) {
    varint::write(out, varint::fold(object.cast_signed().wrapping_sub(last.cast_signed())));
    *last = object;
}

impl Encoder {
    /// Begins a frame, whose first event this is.
    pub(crate) fn begin_frame(&mut self, first_event: u64) {
        for stream in [
            &mut self.steps,
            &mut self.containers,
            &mut self.types,
            &mut self.graphs,
            &mut self.uncounted,
            &mut self.observed,
            &mut self.clock,
        ] {
            stream.clear();
        }
        (self.first_event, self.last_event, self.blocks, self.counted) = (first_event, first_event, 0, 0);
        self.has_clock = false;
    }

    /// The frame's streams.
    pub(crate) fn streams(&self) -> [(u8, &[u8]); 7] {
        let clock = if self.has_clock { &self.clock[..] } else { &[] };
        [
            (stream::COLLECTOR, &self.steps[..]),
            (stream::CONTAINERS, &self.containers),
            (stream::COLLECTION_TYPES, &self.types),
            (stream::FETCHED_GRAPHS, &self.graphs),
            (stream::FETCHED_UNCOUNTED, &self.uncounted),
            (stream::COLLECTIONS, &self.observed),
            (stream::COLLECTIONS_CLOCK, clock),
        ]
    }

    /// How many bytes the frame has.
    pub(crate) fn size(&self) -> usize {
        self.streams().into_iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// How many objects have come to a list so far.
    pub(crate) fn objects(&self) -> u64 {
        self.objects
    }

    /// How often it was told so far what a collection looks at.
    pub(crate) fn graphs_told(&self) -> u64 {
        self.graphs_told
    }

    /// A block was allocated for an object.
    #[inline]
    pub(crate) fn allocated(&mut self) {
        if self.blocks.is_multiple_of(8) {
            self.containers.push(0);
        }
        self.blocks += 1;
        self.is_open = true;
    }

    /// There is another event: all is told of what was allocated before.
    #[inline]
    pub(crate) fn passed(&mut self) {
        self.is_open = false;
    }

    /// Whether the block that was allocated last, for an object, may yet be told to be a container.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// The block that was allocated last is a container.
    #[inline]
    pub(crate) fn container(&mut self) {
        if let (Some(bits), Some(last)) = (self.containers.last_mut(), self.blocks.checked_sub(1)) {
            *bits |= 1 << (last % 8);
        }
        self.is_open = false;
    }

    pub(crate) fn described(&mut self, info: &TypeInfo) -> TypeNumber {
        write_info(&mut self.types, info);
        self.types_described += 1;
        self.types_described - 1
    }

    /// Something is done to the collector before this event.
    pub(crate) fn step(&mut self, event: u64, what: &CollectorAction) {
        varint::write(&mut self.steps, event - self.last_event);
        self.last_event = event;
        match what {
            CollectorAction::Settings(settings) => {
                let CollectorSettings { thresholds, enabled, flags, calls_back, permanent } = settings;
                self.steps.push(SETTINGS);
                for threshold in thresholds {
                    varint::write(&mut self.steps, (*threshold).into());
                }
                varint::write(&mut self.steps, (*flags).into());
                let permanent = match permanent {
                    Permanent::Unchanged => 0,
                    Permanent::More => 1,
                    Permanent::None => 2,
                };
                let enabled = ENABLED * u8::from(*enabled);
                let calls_back = CALLS_BACK * u8::from(*calls_back);
                self.steps.push(permanent << PERMANENT_SHIFT | enabled | calls_back);
            }
            CollectorAction::Asks(generation) => self.steps.extend([ASKS, *generation]),
            CollectorAction::SafePoint => self.steps.push(SAFE_POINT),
            CollectorAction::Ends => self.steps.push(ENDS),
            CollectorAction::Finalized => self.steps.push(HAS_FINALIZED),
            CollectorAction::CalledBack => self.steps.push(CALLED_BACK),
            CollectorAction::Lost(None) => self.steps.push(LOST),
            CollectorAction::Lost(Some(Behind { counts, long_lived, graphs })) => {
                self.steps.push(LOST_AND_FOUND);
                let numbers = counts.iter().copied().map(u64::from).chain(*long_lived).chain([*graphs]);
                numbers.for_each(|number| varint::write(&mut self.steps, number));
            }
            CollectorAction::Exception => self.steps.push(EXCEPTION),
            CollectorAction::Elsewhere => self.steps.push(COUNTS_ELSEWHERE),
            CollectorAction::Here => self.steps.push(COUNTS_HERE),
            CollectorAction::Over(None) => self.steps.push(OVER),
            CollectorAction::Over(Some(survivors)) => {
                self.steps.push(OVER_AFTER_CODE);
                varint::write(&mut self.steps, survivors.len() as u64);
                let mut last = 0;
                survivors.iter().for_each(|object| name(&mut self.steps, *object, &mut last));
            }
        }
    }

    /// What the collector looks at. How many references were told.
    pub(crate) fn graph(&mut self, graph: &Graph) -> u64 {
        let out = &mut self.graphs;
        let Graph { oldest, arrivals, gone, came, told } = graph;
        out.push(*oldest);
        varint::write(out, arrivals.len() as u64);
        let mut last_block = 0;
        for Arrival { of, begins } in arrivals {
            varint::write(out, (*of).into());
            match *begins {
                Begins::InBlock(block, offset) => {
                    let distance = varint::fold(block.cast_signed().wrapping_sub(last_block));
                    last_block = block.cast_signed();
                    varint::write(out, distance * PLACES + u64::from(offset / OFFSET) % ELSEWHERE);
                }
                Begins::Kept(_) | Begins::Elsewhere => varint::write(out, ELSEWHERE),
            }
        }
        self.graphs_told += 1;
        let first = self.objects;
        self.objects += arrivals.len() as u64;
        varint::write(out, gone.len() as u64);
        let mut last = 0;
        gone.iter().for_each(|object| name(out, *object, &mut last));
        varint::write(out, came.len() as u64);
        for (generation, object) in came {
            out.push(*generation);
            name(out, *object, &mut last);
        }
        varint::write(out, told.len() as u64);
        let mut references = 0;
        last = first.wrapping_sub(1);
        for Told { object, count, referents, uncounted, is_embedded, weak, is_finalized } in told {
            let bits = u64::from(count.is_some()) * HAS_COUNT
                + u64::from(referents.is_some()) * HAS_REFERENTS
                + u64::from(!weak.is_empty()) * HAS_WEAK
                + u64::from(*is_finalized) * FINALIZED
                + u64::from(*is_embedded) * EMBEDDED;
            // Most come one behind the other.
            let distance = object.wrapping_sub(last).wrapping_sub(1).cast_signed();
            varint::write(out, varint::fold(distance) << 5 | bits);
            last = *object;
            if let Some(count) = count {
                varint::write(out, if *count == IMMORTAL { 0 } else { count.saturating_add(1) });
            }
            let mut named = *object;
            if let Some(referents) = referents {
                references += referents.len() as u64;
                varint::write(out, referents.len() as u64);
                let mut next = 0;
                for at in uncounted.iter().map(|at| u64::from(*at)) {
                    varint::write(&mut self.uncounted, self.counted + (at - next));
                    (self.counted, next) = (0, at + 1);
                }
                self.counted += referents.len() as u64 - next;
                for referent in referents {
                    if *referent == UNTRACKED {
                        out.push(0);
                    } else {
                        let distance = referent.cast_signed().wrapping_sub(named.cast_signed());
                        varint::write(out, varint::fold(distance) + 1);
                        named = *referent;
                    }
                }
            }
            if !weak.is_empty() {
                varint::write(out, weak.len() as u64);
                weak.iter().for_each(|reference| name(out, *reference, &mut named));
            }
        }
        references
    }

    /// What a collection did.
    pub(crate) fn observe(&mut self, collection: &Collection) {
        let out = &mut self.observed;
        let distance = collection.event.cast_signed().wrapping_sub(self.first_event.cast_signed());
        varint::write(out, varint::fold(distance));
        let Some(generation) = collection.generation else {
            out.push(0);
            return;
        };
        out.push(generation + 1);
        varint::write(&mut self.clock, collection.nanoseconds.unwrap_or(0));
        self.has_clock |= collection.nanoseconds.is_some();
        let Collection { candidates, collected, uncollectable, counts_before, counts, long_lived, .. } =
            collection;
        let numbers = [*candidates, *collected, *uncollectable].into_iter();
        let numbers =
            numbers.chain(counts_before.map(u64::from)).chain(counts.map(u64::from)).chain(*long_lived);
        numbers.for_each(|number| varint::write(out, number));
        for objects in [&collection.survivors, &collection.dead] {
            varint::write(out, objects.len() as u64);
            let mut last = 0;
            objects.iter().for_each(|object| name(out, *object, &mut last));
        }
    }
}
