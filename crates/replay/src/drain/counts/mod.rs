//! From what an instrumented interpreter reports, which is addresses, to the births, changes of counts and deaths of
//! numbered objects.
//!
//! What a dealloc does is an answer: the references that the object gives up, which it told of when its death began, are
//! not written. All else that happens in there is the program's: changes of counts that no reference explains, births,
//! calls of the memory manager. It is written as a step, and where it is among the references that are given up.
//!
//! Nothing here knows how many references there are: who dies, and when, is for who replays.

mod changes;
mod open;

use std::io::Write;

use hashbrown::{HashMap, HashSet};
use record::ObjectEvent;
use trace::{Beginning, Block, COUNT_LIMIT, Death, Edge, Fate, Object, STRANGER, Step, Writer};

use super::addresses::Addresses;
use super::census::{Census, Live};
use crate::free_lists::has_sizes;
use open::{Context, Dying, Open};

/// What is known of objects.
#[derive(Default)]
pub(super) struct Counts {
    census: Census,
    /// Objects whose deaths are going on, in whichever thread.
    dying: HashMap<u64, Object>,
    threads: Vec<Vec<Context>>,
    /// How many deaths each thread has put off, and not taken up.
    deposits: Vec<u64>,
    /// The threads by what tells them apart.
    known_threads: HashMap<u64, usize>,
    thread: usize,
    /// Blocks in which objects died, and which were not released.
    kept: HashSet<Block>,
    /// The number that belongs to the next event.
    value: u64,
    being_told: Option<Dying>,
    /// All is told of it; but only the next event says what it is.
    told: Option<Dying>,
    /// A count that was written; but the next event may say that this belongs to a finalizer or a birth.
    set: Option<(u64, u64)>,
    /// A reference that was given up; but if the object now dies it may be of another type than is known.
    lowered: Option<u64>,
    /// A finalizer has returned; but its object may be of another type now.
    has_returned: bool,
    /// A callback has returned. What is given up next is what it returned, or what was called, even if the dying object
    /// refers to that, too.
    has_called_back: bool,
    /// Whether deaths are put off for a reason that objects do not tell.
    gives_deposits: bool,
    pub(super) is_lost: bool,
}

impl Counts {
    /// Of an interpreter of this version; `gives_deposits` says that deaths are put off for reasons that have to be told.
    pub(super) fn new(version: &str, gives_deposits: bool) -> Self {
        Self {
            census: Census::new(version),
            threads: vec![Vec::new()],
            deposits: vec![0],
            gives_deposits,
            ..Self::default()
        }
    }

    fn contexts(&mut self) -> &mut Vec<Context> {
        &mut self.threads[self.thread]
    }

    /// The program made a call of the memory manager, other than to release a block.
    pub(super) fn call<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.settle(None, writer)?;
        self.step();
        Ok(())
    }

    /// The same for a mark, which may be told of while it waits whether an object dies: it comes before that.
    pub(super) fn mark<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        let waiting = (self.lowered.take(), self.set.take());
        self.call(writer)?;
        (self.lowered, self.set) = waiting;
        Ok(())
    }

    /// Another interpreter runs. As with a mark: if the object dies, it does in this one.
    fn runs<W: Write>(&mut self, interpreter: u64, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.mark(writer)?;
        writer.step(Step::Interpreter(interpreter))
    }

    /// A block is about to be released, which lies at this address. Whether that is because the object in it has just
    /// died.
    pub(super) fn release<W: Write>(
        &mut self,
        block: Block,
        address: u64,
        writer: &mut Writer<W>,
    ) -> Result<bool, trace::Error> {
        self.settle(None, writer)?;
        if let Some(Context::Death(open)) = self.contexts().last()
            && open.live.block == Some(block)
            && !open.is_over
        {
            return Ok(true);
        }
        let Some(object) = self.census.in_block(block, address) else {
            self.kept.remove(&block);
            self.step();
            return Ok(false);
        };
        // It was never deallocated.
        let Some(live) = self.census.is_gone(object) else { return Ok(false) };
        self.put(Step::Dies(live.object), writer)?;
        self.tell_steps(writer);
        writer.begins(live.object, &Beginning::default())?;
        writer.observed(Death::Begins(live.object));
        self.contexts().push(Context::Death(Open::new(object, live)));
        Ok(true)
    }

    /// The block of an object that has just died was released.
    pub(super) fn released<W: Write>(&mut self, writer: &mut Writer<W>) {
        self.finish(Fate::Released, writer);
        // One that was never deallocated has no dealloc that returns.
        if let Some(Context::Death(open)) = self.threads[self.thread].last()
            && !self.dying.contains_key(&open.address)
        {
            self.contexts().pop();
        }
    }

    /// The innermost death is over, but for its type.
    fn finish<W: Write>(&mut self, fate: Fate, writer: &mut Writer<W>) {
        self.tell_steps(writer);
        let Some(Context::Death(open)) = self.threads[self.thread].last_mut() else { return };
        open.is_over = true;
        if fate == Fate::Kept && !open.is_revived {
            self.kept.extend(open.live.block);
        }
        writer.ends(fate);
        writer.observed(Death::Ends(open.live.object, fate));
        let is_its = self.dying.get(&open.address) == Some(&open.live.object);
        if is_its && fate == Fate::Released && self.census.live(open.address).is_some() {
            self.dying.remove(&open.address);
        }
    }

    /// The innermost death that a step belongs to, unless program code runs inside of that.
    fn innermost(&mut self) -> Option<&mut Open> {
        for context in self.threads[self.thread].iter_mut().rev() {
            match context {
                Context::Death(open) if !open.is_over => return Some(open),
                Context::Code => return None,
                Context::Death(_) | Context::Deposited(_) | Context::Collector => {}
            }
        }
        None
    }

    /// The death that tells of a step which the program makes now: the innermost one; or if all are over, and some were put
    /// off, the outermost one: what was put off is taken up before that returns.
    fn teller(&mut self) -> Option<&mut Open> {
        let has_deposits = self.deposits[self.thread] > 0;
        let contexts = &mut self.threads[self.thread];
        let mut found = None;
        for (at, context) in contexts.iter().enumerate().rev() {
            match context {
                Context::Death(open) if !open.is_over => {
                    found = Some(at);
                    break;
                }
                Context::Death(_) if has_deposits => found = Some(at),
                Context::Code => break,
                Context::Death(_) | Context::Deposited(_) | Context::Collector => {}
            }
        }
        match contexts.get_mut(found?) {
            Some(Context::Death(open)) => Some(open),
            _ => None,
        }
    }

    /// Something that the program did.
    fn step(&mut self) {
        if let Some(open) = self.teller() {
            open.steps += 1;
        }
    }

    fn put<W: Write>(&mut self, step: Step, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.step();
        writer.step(step)
    }

    /// Tells the steps that were not told.
    fn tell_steps<W: Write>(&mut self, writer: &mut Writer<W>) {
        // Where it is told when deaths are taken up, they are not before that.
        let gives_deposits = self.gives_deposits;
        if let Some(open) = self.teller().filter(|open| !open.is_over || open.takes_up || !gives_deposits)
            && open.steps > 0
        {
            // What is over gives up nothing more: they come where they are told.
            let given_up = std::mem::take(&mut open.given_up);
            let after = (!open.is_over).then_some(given_up);
            writer.steps(std::mem::take(&mut open.steps), after);
        }
    }

    /// There are no further events. Deaths that are not over then never end: the program did first.
    pub(super) fn end<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.settle(None, writer)?;
        self.tell_steps(writer);
        Ok(())
    }

    /// Writes what waited for the next event, which is this, or none of an object.
    fn settle<W: Write>(
        &mut self,
        next: Option<ObjectEvent>,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        if self.told.is_none() && self.set.is_none() && self.lowered.is_none() {
            return Ok(());
        }
        // These belong to the one that follows.
        let is_part = |event| {
            use ObjectEvent::{Type, TypeFlags, TypeName, TypePlace, Value};
            matches!(event, Value(_) | Type(_) | TypeFlags(_) | TypeName(_) | TypePlace { .. })
        };
        if next.is_some_and(is_part) {
            return Ok(());
        }
        // What a dealloc does to its own count tells nothing, nor whether the death is put off.
        if self.told.as_ref().is_some_and(|told| told.begins && next == Some(ObjectEvent::Set(told.address)))
        {
            return Ok(());
        }
        if let Some(told) = self.told.take() {
            match (next, told.live) {
                (Some(ObjectEvent::Deposited(address)), Some(live)) if address == told.address => {
                    self.census.settle(address, live);
                }
                // Whose count is written as not 0 when its finalizer has run lives on.
                (Some(ObjectEvent::Set(address)), None) if address == told.address && self.value != 0 => {}
                (_, live) => self.begins(told, live, writer)?,
            }
        }
        // Until its type is told.
        let written = self.lowered.or(self.set.map(|(address, _)| address));
        match (next, &self.being_told) {
            (Some(ObjectEvent::BeginsToDie(address)), _) if written == Some(address) => Ok(()),
            (Some(ObjectEvent::OfType(_)), Some(dying)) if written == Some(dying.address) => Ok(()),
            _ => self.write(next, writer),
        }
    }

    /// Takes what is reported.
    pub(super) fn push<W: Write>(
        &mut self,
        event: ObjectEvent,
        addresses: &mut Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        if let ObjectEvent::Interpreter(number) = event {
            return self.runs(number, writer);
        }
        self.settle(Some(event), writer)?;
        let value = if let ObjectEvent::Value(value) = event {
            self.value = value;
            return Ok(());
        } else {
            std::mem::take(&mut self.value)
        };
        match event {
            ObjectEvent::Up(address) => {
                if let Some(object) = self.counted(address) {
                    self.put(Step::Up(object), writer)?;
                }
            }
            ObjectEvent::Down(address) => self.lowered = Some(address),
            ObjectEvent::Set(address) => self.set(address, value),
            ObjectEvent::Born { object: address, of } => {
                // It is brought back to life by a finalizer of the older kind.
                if let [.., Context::Death(open), Context::Code] = self.contexts().as_slice()
                    && open.address == address
                {
                    return Ok(());
                }
                self.step();
                self.dying.remove(&address);
                let found = Census::block_at(address, addresses);
                let was_kept = found.is_some_and(|(block, _)| self.kept.remove(&block));
                let Some(of) = self.census.in_place(of) else { return Ok(()) };
                // Of other types it is not known which block is used again.
                let list = self.census.kind(Some(of)).free_list.filter(|_| was_kept);
                let items = list.map(|list| if has_sizes(list) { value } else { 0 });
                self.census.born(address, of, found, items, writer)?;
            }
            ObjectEvent::TypePlace { of, place } => self.census.put_in_place(of, place),
            ObjectEvent::OfType(of) => self.of_type(of, writer)?,
            ObjectEvent::BeginsToDie(address) => self.being_told = Some(Dying::new(address, true)),
            ObjectEvent::GoesOn(address) => self.being_told = Some(Dying::new(address, false)),
            ObjectEvent::Edge { referent, count, .. } => {
                if let Some(dying) = &mut self.being_told {
                    dying.edges.push((referent, Some(count)));
                }
            }
            ObjectEvent::Immortals { times, .. } => {
                if let Some(dying) = &mut self.being_told {
                    dying.edges.extend((0..times).map(|_| (0, None)));
                }
            }
            ObjectEvent::Weak(address) => {
                if let Some(dying) = &mut self.being_told {
                    dying.weak.push(address);
                }
            }
            ObjectEvent::EdgesEnd => self.told = self.being_told.take(),
            ObjectEvent::Ended(address) => self.ended(address, writer),
            ObjectEvent::Deposited(address) => self.deposited(address, writer),
            ObjectEvent::TakenUp(_) => self.taken_up(writer),
            ObjectEvent::Finalizer(_) | ObjectEvent::Callback(_) if value != 0 => {
                self.contexts().push(Context::Collector);
            }
            ObjectEvent::Finalizer(address) => self.calls(address, Death::Finalizer, writer),
            ObjectEvent::Callback(address) => self.calls(address, Death::Callback, writer),
            ObjectEvent::Finalized(address) if value != 0 => {
                self.contexts().pop();
                if let Some(object) = self.counted(address) {
                    self.put(Step::Finalized(object), writer)?;
                }
            }
            ObjectEvent::CalledBack(_) if value != 0 => {
                self.contexts().pop();
            }
            ObjectEvent::Finalized(_) => self.has_returned = true,
            ObjectEvent::CalledBack(_) => {
                self.returned(writer)?;
                self.has_called_back = true;
            }
            ObjectEvent::Collection => {
                self.put(Step::Collection(u8::try_from(value).unwrap_or(u8::MAX)), writer)?;
                self.contexts().push(Context::Collector);
            }
            ObjectEvent::Collected => {
                self.contexts().pop();
                self.put(Step::Collected(value), writer)?;
            }
            ObjectEvent::Clearing(_) => self.contexts().push(Context::Collector),
            ObjectEvent::Cleared(_) => {
                self.contexts().pop();
            }
            ObjectEvent::Resized(address) => {
                if let Some(place) = self.census.leave(value) {
                    self.census.settle_at(address, place);
                }
            }
            ObjectEvent::Thread(thread) => self.switch(thread, writer)?,
            ObjectEvent::Lost => self.is_lost = true,
            // Of the tracer or the collector's lists, or told elsewhere.
            ObjectEvent::Container
            | ObjectEvent::ContainerIf
            | ObjectEvent::Number(_)
            | ObjectEvent::Settings
            | ObjectEvent::Collects(_)
            | ObjectEvent::HasCollected(_)
            | ObjectEvent::List(_)
            | ObjectEvent::FinalizedBefore
            | ObjectEvent::FinalizersRun
            | ObjectEvent::HasParted(_)
            | ObjectEvent::DiesUntracked(_)
            | ObjectEvent::GraphEnds
            | ObjectEvent::CollectionLost
            | ObjectEvent::CallsBack(_)
            | ObjectEvent::Looks(_)
            | ObjectEvent::MayLook(_)
            | ObjectEvent::HasCalledBack
            | ObjectEvent::Exception
            | ObjectEvent::AnotherRuns(_)
            | ObjectEvent::MayCollect(_)
            | ObjectEvent::DoesCollect(_)
            | ObjectEvent::Moves(_)
            | ObjectEvent::Dies { .. }
            | ObjectEvent::Unnested
            | ObjectEvent::Finalizing
            | ObjectEvent::Interpreter(_)
            | ObjectEvent::Value(_) => {}
            ObjectEvent::Type(_) | ObjectEvent::TypeFlags(_) | ObjectEvent::TypeName(_) => {
                if let Some((address, info)) = self.census.describe(event) {
                    self.step();
                    self.census.add(address, &info, writer)?;
                }
            }
        }
        Ok(())
    }

    /// What dies or goes on is of this type.
    fn of_type<W: Write>(&mut self, of: u64, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        let Some(mut dying) = self.being_told.take() else { return Ok(()) };
        dying.of = of;
        if dying.begins {
            let known = self.census.live(dying.address);
            self.retype(known, of, writer)?;
            self.write(None, writer)?;
            let live = self.census.is_gone(dying.address);
            // It is deallocated without having been born: nothing is known of it.
            let live = live.unwrap_or_else(|| Live { object: writer.stranger(), of: 0, block: None });
            dying.live = Some(Live { of, ..live });
        } else if std::mem::take(&mut self.has_returned) {
            // Behind what has returned is the death in which that ran.
            let around = self.contexts().iter_mut().rev().nth(1);
            if let Some(Context::Death(open)) = around
                && open.address == dying.address
            {
                let before = open.live;
                open.live.of = of;
                self.retype(Some(before), of, writer)?;
            }
            self.returned(writer)?;
        }
        self.being_told = Some(dying);
        Ok(())
    }

    /// Says that an object is of this type, if it was not before.
    fn retype<W: Write>(
        &mut self,
        live: Option<Live>,
        of: u64,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        match (live, self.census.types.get(&of)) {
            (Some(live), Some(its)) if live.of != of => {
                let number = its.number;
                self.put(Step::Retyped(live.object, number), writer)
            }
            _ => Ok(()),
        }
    }

    /// A finalizer or a callback of a death has returned.
    fn returned<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.contexts().pop();
        writer.step(Step::Returned)
    }

    fn begins<W: Write>(
        &mut self,
        dying: Dying,
        live: Option<Live>,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let Dying { address, of, mut edges, weak, .. } = dying;
        // A copy on the machine stack of what an iterator is: it has never owned anything.
        if live.is_some_and(|live| live.block.is_none() && live.object & STRANGER == 0) {
            edges.clear();
        }
        let mut told = Beginning { edges: Vec::with_capacity(edges.len()), weak: Vec::new() };
        let mut referents = Vec::with_capacity(edges.len());
        for (address, count) in edges {
            let (referent, count) = match count {
                None => (None, None),
                Some(count) => {
                    let count = count.exactly().map_or(COUNT_LIMIT, u32::from);
                    (Some(self.named(address, writer)), Some(count))
                }
            };
            referents.push(if referent.is_some() { address } else { 0 });
            told.edges.push(Edge { referent, count });
        }
        told.weak = weak.into_iter().map(|address| self.named(address, writer)).collect();
        let order = self.census.kind_of(of).order;
        // Where the type is no object of the trace, a reference to it is like any other.
        let of = if self.census.types.get(&of).is_some_and(|of| of.is_object) { of } else { 0 };
        let Some(live) = live else {
            writer.goes_on(&told)?;
            if let Some(Context::Death(open)) = self.contexts().last_mut() {
                open.refers_to(referents, of, order);
            }
            return Ok(());
        };
        self.tell_steps(writer);
        writer.begins(live.object, &told)?;
        writer.observed(Death::Begins(live.object));
        self.dying.insert(address, live.object);
        let mut open = Open::new(address, live);
        open.refers_to(referents, of, order);
        self.contexts().push(Context::Death(open));
        Ok(())
    }

    fn named<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) -> Object {
        match self.dying.get(&address) {
            Some(&object) if self.census.live(address).is_none() => object,
            _ => {
                let place = self.census.referent(address, writer);
                self.census.known(place).object
            }
        }
    }

    /// A dealloc returns.
    fn ended<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) {
        let is_it = |context: &Context| match context {
            Context::Death(open) => open.address == address,
            Context::Deposited(deposited) => *deposited == address,
            Context::Code | Context::Collector => false,
        };
        if !self.contexts().iter().any(is_it) {
            return;
        }
        while let Some(context) = self.contexts().last() {
            let found = is_it(context);
            if let Context::Death(open) = context
                && !open.is_over
            {
                self.finish(Fate::Kept, writer);
            }
            if let Some(Context::Death(open)) = self.contexts().pop() {
                if self.dying.get(&open.address) == Some(&open.live.object) {
                    self.dying.remove(&open.address);
                }
                if open.is_revived {
                    self.census.settle(open.address, open.live);
                }
            }
            if found {
                break;
            }
        }
    }

    fn deposited<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) {
        let Some(object) = self.census.live(address).map(|live| live.object) else { return };
        self.tell_steps(writer);
        if self.gives_deposits {
            writer.trashcan(false);
        }
        writer.observed(Death::Deposited(object));
        self.contexts().push(Context::Deposited(address));
        self.deposits[self.thread] += 1;
    }

    fn taken_up<W: Write>(&mut self, writer: &mut Writer<W>) {
        let Some(Context::Death(open)) = self.contexts().last_mut() else { return };
        let is_first = !std::mem::replace(&mut open.takes_up, true);
        if !open.is_over {
            self.finish(Fate::Kept, writer);
        }
        if is_first && self.gives_deposits {
            writer.trashcan(true);
        }
        self.tell_steps(writer);
        let deposits = &mut self.deposits[self.thread];
        *deposits = deposits.saturating_sub(1);
    }

    /// A death calls program code.
    fn calls<W: Write>(&mut self, address: u64, what: fn(Object) -> Death, writer: &mut Writer<W>) {
        self.tell_steps(writer);
        writer.calls();
        let object = self.named(address, writer);
        writer.observed(what(object));
        self.contexts().push(Context::Code);
    }

    fn switch<W: Write>(&mut self, id: u64, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        // The first is the one that everything begins in.
        let next = if self.known_threads.is_empty() { 0 } else { self.threads.len() };
        let thread = *self.known_threads.entry(id).or_insert(next);
        if thread == self.thread {
            return Ok(());
        }
        self.put(Step::Thread(u32::try_from(thread).unwrap_or(u32::MAX)), writer)?;
        self.tell_steps(writer);
        if thread == self.threads.len() {
            self.threads.push(Vec::new());
            self.deposits.push(0);
        }
        self.thread = thread;
        Ok(())
    }
}
