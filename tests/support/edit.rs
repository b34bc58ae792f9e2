//! Taking a trace apart and putting it together with something changed.

use std::collections::HashMap;
use std::path::Path;

use trace::{
    Allocator, Answer, ArenaChange, ArenaEvent, BlockTable, Ending, FOREIGN, FetchedArena, Frame, Header,
    Input, LiveBlock, Reader, Resolver, Writer,
};

/// A whole trace in memory.
#[derive(Clone)]
pub(crate) struct Trace {
    pub(crate) header: Header,
    pub(crate) inputs: Vec<Input>,
    /// One for each input that asks for a size that pools serve.
    pub(crate) addresses: Vec<u64>,
    pub(crate) arenas: Vec<ArenaEvent>,
    pub(crate) bases: Vec<Option<u64>>,
}

impl Trace {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("a trace file");
        let mut reader = Reader::new(&bytes[..]).expect("a trace");
        let mut trace = Self {
            header: reader.header().clone(),
            inputs: Vec::new(),
            addresses: Vec::new(),
            arenas: Vec::new(),
            bases: Vec::new(),
        };
        let (mut resolver, mut places) = (Resolver::new(&trace.header.allocator), BlockTable::new());
        let mut frame = Frame::default();
        while reader.read(&mut frame).expect("a whole trace") {
            trace.inputs.extend(frame.inputs.iter().map(|input| input.unpack()));
            resolver.resolve(&frame, &mut places, &mut trace.addresses).expect("addresses");
            trace.arenas.append(&mut frame.observations.arenas);
            loop {
                match frame.fetched.next_arena() {
                    FetchedArena::Base(base) => trace.bases.push(Some(base)),
                    FetchedArena::Refused => trace.bases.push(None),
                    FetchedArena::Nothing => break,
                }
            }
        }
        trace
    }

    pub(crate) fn allocator(&self) -> Allocator {
        self.header.allocator
    }

    /// Whether an input has a fact.
    pub(crate) fn is_placed(&self, input: &Input) -> bool {
        matches!(*input, Input::Allocate { size, .. } | Input::Resize { size, .. }
            if self.allocator().serves(size))
    }

    /// The event of each fact.
    pub(crate) fn events_of_facts(&self) -> Vec<usize> {
        let placed = self.inputs.iter().enumerate().filter(|(_, input)| self.is_placed(input));
        placed.map(|(event, _)| event).collect()
    }

    /// Writes the trace.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, &self.header).expect("a vector takes everything");
        let mut live: HashMap<u64, (LiveBlock, u64)> = HashMap::new();
        let mut addresses = self.addresses.iter().copied();
        let mut arenas = self.arenas.iter().peekable();
        let mut bases = self.bases.iter().copied();
        for (event, input) in self.inputs.iter().enumerate() {
            let is_resize = matches!(input, Input::Resize { .. });
            let mut released = Vec::new();
            while let Some(change) = arenas.next_if(|change| change.event == event as u64) {
                match change.change {
                    ArenaChange::Acquired(_) | ArenaChange::Refused => {
                        writer.arena_requested(bases.next().expect("a base for each request"));
                    }
                    ArenaChange::Released(arena) if is_resize => writer.arena_released(arena, true),
                    ArenaChange::Released(arena) => released.push(arena),
                }
            }
            let mut answer = |failed: bool| {
                if failed {
                    if self.is_placed(input) {
                        addresses.next();
                    }
                    Answer::Failed
                } else if self.is_placed(input) {
                    match addresses.next().expect("an address for each fact") {
                        FOREIGN => Answer::Foreign,
                        address => Answer::At(address),
                    }
                } else {
                    Answer::Foreign
                }
            };
            let lies = |answer| if let Answer::At(address) = answer { address } else { FOREIGN };
            match *input {
                Input::Allocate { domain, size, zeroed, failed } => {
                    let answer = answer(failed);
                    let block = writer.allocate(domain, size, zeroed, answer).expect("written");
                    if let Some(block) = block {
                        live.insert(block.block(), (block, lies(answer)));
                    }
                }
                Input::Resize { block, size, foreign_domain, failed } => {
                    let answer = answer(failed);
                    let (old, address) = live[&block];
                    let domain = if foreign_domain { old.domain().other() } else { old.domain() };
                    let new = writer.resize(old, address, domain, size, answer).expect("written");
                    let address = if failed { address } else { lies(answer) };
                    live.insert(block, (new, address));
                }
                Input::Release { block, foreign_domain } => {
                    let (old, address) = live.remove(&block).expect("a live block");
                    let domain = if foreign_domain { old.domain().other() } else { old.domain() };
                    writer.release(old, address, domain).expect("written");
                }
                Input::Mark { code } => writer.mark(code).expect("written"),
            }
            for arena in released {
                writer.arena_released(arena, false);
            }
        }
        writer.finish(Ending::Exited(0), 0).expect("written");
        file
    }
}
