//! Follows objects from birth to death, and keeps accounts by type.

use std::cmp::Reverse;

use hashbrown::HashMap;
use serde::Serialize;
use trace::{Begins, BlockTable, Kind, MARK_FINALIZING, Object, PackedInput, TypeNumber};

use super::ages::{ByAge, Spread};
use super::cascades::{Cascade, Cascades};
use crate::engine::{Cause, Happening};

/// How an object came to die, seen from the deaths that were going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By what the program did: no other death was going on, or only such as are older than the object.
    Alone,
    /// Inside of another death, by a reference that the dying object owned.
    Explained,
    /// Inside of another death, and no reference that is known says why.
    Hidden,
    /// Inside of another death, when program code may have run in that.
    AfterCode,
}

/// What the program was at when an object died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// It ran.
    #[default]
    Running,
    /// A collection went on, which began when the object was alive.
    InCollection,
    /// The interpreter had begun to finalize.
    AtExit,
}

/// Deaths by period and way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally([[u64; 4]; 3]);

impl Tally {
    fn count(&mut self, period: Period, way: Way) {
        self.0[period as usize][way as usize] += 1;
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        let all = self.0.iter_mut().flatten().zip(other.0.iter().flatten());
        all.for_each(|(count, more)| *count += more);
    }

    /// Those of one kind.
    #[must_use]
    pub fn get(&self, period: Period, way: Way) -> u64 {
        self.0[period as usize][way as usize]
    }

    /// Those of a period.
    #[must_use]
    pub fn during(&self, period: Period) -> u64 {
        self.0[period as usize].iter().sum()
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.0.iter().flatten().sum()
    }
}

/// What is counted of one type: of all those that have the same name.
#[derive(Debug, Default)]
pub struct Account {
    /// The name.
    pub name: String,
    /// Births.
    pub born: u64,
    /// Of those, in a block that had been another object's: kept in a free list.
    pub recycled: u64,
    /// Of those, in no block that the trace knows.
    pub blockless: u64,
    /// Bytes of the blocks that they were born in, each time.
    pub bytes: u64,
    /// How many were born in a block of this size.
    pub sizes: HashMap<u64, u64>,
    /// Deaths.
    pub deaths: Tally,
    /// Deaths that ended in a finalizer bringing the object back to life. They are not among the deaths.
    pub revived: u64,
    /// Lifetimes in events, of those that died while the program ran.
    pub events: Spread,
    /// The same in bytes allocated meanwhile.
    pub allocated: Spread,
}

impl Account {
    /// Those that were alive when the recording ended.
    #[must_use]
    pub fn outlived(&self) -> u64 {
        self.born - self.deaths.all()
    }
}

/// How far the program is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// Events so far.
    pub events: u64,
    /// Bytes allocated so far.
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    account: usize,
    born: Clock,
    size: u64,
}

#[derive(Clone, Copy, Debug)]
struct Block {
    size: u64,
    /// An object was born in it.
    is_used: bool,
}

/// A death that is going on.
#[derive(Debug)]
struct Open {
    live: Option<Live>,
    /// Objects with numbers below were born before it began.
    first_inside: Object,
    at: Clock,
    period: Period,
    way: Way,
    /// Of the outermost death around it: its place among those that are going on.
    root: usize,
    level: u64,
    /// Of an outermost death: what it took along so far.
    cascade: Cascade,
}

/// What is counted of a trace.
#[derive(Debug)]
pub struct Accounts {
    /// By type.
    pub types: Vec<Account>,
    /// The program's end is where this is.
    pub clock: Clock,
    /// Whether the trace told when the interpreter began to finalize.
    pub tells_exit: bool,
    /// Deaths of objects whose birth was not seen. They are in no account.
    pub strangers: u64,
    /// Objects that died while the program ran, by age in bytes allocated.
    pub died: ByAge,
    /// The same, their blocks' bytes.
    pub died_bytes: ByAge,
    /// Objects that outlived the program, or died when it exited, by their age then.
    pub survived: ByAge,
    /// Of each type inside of whose deaths something died that no reference explains: how many of which type.
    pub hidden: HashMap<(Option<usize>, usize), u64>,
    /// References that objects of one type gave up when they died, and of which they had not told, to objects of another: how
    /// many.
    pub hidden_references: HashMap<(Option<usize>, Option<usize>), u64>,
    /// What died inside of deaths.
    pub cascades: Cascades,
    numbers: Vec<usize>,
    names: HashMap<String, usize>,
    live: BlockTable<Live>,
    blocks: BlockTable<Block>,
    /// The thread that runs.
    thread: Thread,
    number: u32,
    /// The others that have something going on.
    threads: HashMap<u32, Thread>,
}

/// What is going on in a thread.
#[derive(Debug, Default)]
struct Thread {
    open: Vec<Open>,
    /// Collections: the first object that was born inside of each, and how many deaths were going on.
    collecting: Vec<(Object, usize)>,
}

impl Accounts {
    /// Nothing happened yet. So many of the longest cascades are kept as `top` says.
    #[must_use]
    pub fn new(top: usize) -> Self {
        Self {
            types: Vec::new(),
            clock: Clock::default(),
            tells_exit: false,
            strangers: 0,
            died: ByAge::default(),
            died_bytes: ByAge::default(),
            survived: ByAge::default(),
            hidden: HashMap::new(),
            hidden_references: HashMap::new(),
            cascades: Cascades::new(top),
            numbers: Vec::new(),
            names: HashMap::new(),
            live: BlockTable::new(),
            blocks: BlockTable::new(),
            thread: Thread::default(),
            number: 0,
            threads: HashMap::new(),
        }
    }

    /// The next type is described. Those that have the same name are one.
    pub fn described(&mut self, name: &str) {
        let account = self.account(name);
        self.numbers.push(account);
    }

    fn account(&mut self, name: &str) -> usize {
        *self.names.entry_ref(name).or_insert_with(|| {
            self.types.push(Account { name: name.to_owned(), ..Account::default() });
            self.types.len() - 1
        })
    }

    /// Something happens.
    pub fn happens(&mut self, happening: &Happening) {
        match *happening {
            Happening::Call(input) => self.call(input),
            Happening::Born { of, begins } => self.born(of, begins),
            Happening::Begins(object, cause) => self.begins(object, cause),
            Happening::Ends { object, lives_on, .. } => self.ends(object, lives_on),
            Happening::Hidden { of, to } => {
                let types = [of, to].map(|object| self.live.get(object).map(|live| live.account));
                *self.hidden_references.entry(types.into()).or_default() += 1;
            }
            Happening::CollectionBegins(_) => {
                self.thread.collecting.push((self.live.births(), self.thread.open.len()));
            }
            Happening::CollectionEnds(_) => drop(self.thread.collecting.pop()),
            Happening::Thread(number) => self.switch(number),
        }
    }

    fn switch(&mut self, number: u32) {
        let next = self.threads.remove(&number).unwrap_or_default();
        let last = std::mem::replace(&mut self.thread, next);
        let number = std::mem::replace(&mut self.number, number);
        if !last.open.is_empty() || !last.collecting.is_empty() {
            self.threads.insert(number, last);
        }
    }

    fn call(&mut self, input: PackedInput) {
        self.clock.events += 1;
        match input.kind() {
            Kind::Allocate if !input.failed() => {
                self.clock.bytes += input.size();
                self.blocks.push(Block { size: input.size(), is_used: false });
            }
            Kind::Resize if !input.failed() => {
                if let Some(old) = self.blocks.get(input.block()) {
                    self.clock.bytes += input.size().saturating_sub(old.size);
                    self.blocks.replace(input.block(), Block { size: input.size(), ..old });
                }
            }
            Kind::Release => {
                self.blocks.remove(input.block());
            }
            Kind::Mark => self.tells_exit |= input.block() == MARK_FINALIZING,
            Kind::Allocate | Kind::Resize => {}
        }
    }

    fn born(&mut self, of: TypeNumber, begins: Begins) {
        // The trace's reader has seen to it that types are described before.
        let account = usize::try_from(of).ok().and_then(|of| self.numbers.get(of)).copied();
        let account = account.unwrap_or_else(|| self.account("(unknown)"));
        let number = match begins {
            Begins::InBlock(block, _) => Some(block),
            // The engine says in which block.
            Begins::Kept(_) | Begins::Elsewhere => None,
        };
        let block = number.and_then(|number| Some((number, self.blocks.get(number)?)));
        let size = block.map_or(0, |(_, block)| block.size);
        let entry = &mut self.types[account];
        entry.born += 1;
        match block {
            Some((number, block)) => {
                entry.bytes += size;
                *entry.sizes.entry(size).or_default() += 1;
                entry.recycled += u64::from(block.is_used);
                self.blocks.replace(number, Block { is_used: true, ..block });
            }
            None => entry.blockless += 1,
        }
        self.live.push(Live { account, born: self.clock, size });
    }

    fn begins(&mut self, object: Object, cause: Cause) {
        let live = self.live.get(object);
        let Thread { open, collecting } = &self.thread;
        // What was born inside of a death, by code that ran there, does not die of it; nor does what a collection frees
        // die of a death that the collection runs in.
        let collecting =
            collecting.last().filter(|(first_inside, _)| object < *first_inside || live.is_none());
        let is_around = |around: &&Open| {
            (object < around.first_inside || live.is_none())
                && cause != Cause::Outermost
                && collecting.is_none_or(|(_, deaths)| open.len() > *deaths)
        };
        let around = open.last().filter(is_around);
        let way = match cause {
            Cause::Explained => Way::Explained,
            _ if around.is_none() => Way::Alone,
            Cause::Unexplained => Way::Hidden,
            Cause::AfterCode | Cause::Outermost => Way::AfterCode,
        };
        let period = match collecting {
            _ if self.tells_exit => Period::AtExit,
            Some(_) => Period::InCollection,
            None => Period::Running,
        };
        let (root, level) = around.map_or((open.len(), 0), |open| (open.root, open.level + 1));
        let root_of = live.map(|live| live.account);
        let event = Reverse(self.clock.events);
        self.thread.open.push(Open {
            live,
            first_inside: self.live.births(),
            at: self.clock,
            period,
            way,
            root,
            level,
            cascade: Cascade { event, when: period, root: root_of, ..Cascade::default() },
        });
    }

    fn ends(&mut self, object: Object, lives_on: bool) {
        let stack = &mut self.thread.open;
        let Some(mut open) = stack.pop() else { return };
        let size = open.live.map_or(0, |live| live.size);
        if open.root < stack.len() {
            let cascade = &mut stack[open.root].cascade;
            if !lives_on {
                cascade.inside += 1;
                cascade.levels = cascade.levels.max(open.level);
                cascade.hidden += u64::from(open.way == Way::Hidden);
                cascade.after_code += u64::from(open.way == Way::AfterCode);
                cascade.bytes += size;
            }
        } else if !lives_on {
            open.cascade.bytes += size;
            self.cascades.add(open.cascade);
        }
        let Some(Live { account, born, size }) = open.live else {
            self.strangers += u64::from(!lives_on);
            return;
        };
        if lives_on {
            self.types[account].revived += 1;
            return;
        }
        if let (Way::Hidden, Some(around)) = (open.way, self.thread.open.last()) {
            let of = around.live.map(|around| around.account);
            *self.hidden.entry((of, account)).or_default() += 1;
        }
        self.live.remove(object);
        let account = &mut self.types[account];
        account.deaths.count(open.period, open.way);
        let age = open.at.bytes - born.bytes;
        if open.period == Period::AtExit {
            self.survived.add(age, 1);
            return;
        }
        account.events.add(open.at.events - born.events);
        account.allocated.add(age);
        self.died.add(age, 1);
        self.died_bytes.add(age, size);
    }

    /// Nothing happens any more.
    pub fn finish(&mut self) {
        for (_, live) in self.live.iter() {
            self.survived.add(self.clock.bytes - live.born.bytes, 1);
        }
    }
}

#[cfg(test)]
mod tests;
