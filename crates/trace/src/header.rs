//! The two documents at the ends of a trace: who was recorded and how, and what it came to.

use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What is known before the first event: the trace's first frame, as JSON.
///
/// It never holds the environment; [`Header::redact`] removes what may be private.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// What wrote the trace, such as `vivarium 0.1.0`.
    pub recorder: String,
    /// When the recording began, in seconds since 1970 began (UTC).
    pub started: u64,
    /// The program.
    pub program: Program,
    /// The interpreter that ran it.
    pub interpreter: Interpreter,
    /// The machine it ran on.
    pub machine: Machine,
    /// How the interpreter's allocator was built.
    pub allocator: Allocator,
    /// How much the trace holds.
    pub tier: Tier,
    /// Whether a trace of objects also holds collections, with what the collector looked at. (One of tier `collections` does.)
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub collections: bool,
    /// Why it holds no more.
    pub tier_reason: String,
    /// Of a forked process: the process that it was forked from, whose past is its own. Absent if the trace begins with
    /// the interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
}

/// Where the trace of a forked process goes on: behind a frame of its parent's trace. Its events, blocks and arenas are
/// numbered on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The parent's trace: the name of a file in the same folder.
    pub trace: String,
    /// How many frames of it are the past, the header's among them.
    pub frames: u64,
    /// The digest of these frames: of XXH3-64 over the digest of all but the last (0 if there are none) and the last
    /// one's checksum, both in little-endian order. It tells the parent's trace from any other.
    #[serde(with = "hexadecimal")]
    pub digest: u64,
    /// Events in the past.
    pub events: u64,
    /// Blocks born in it.
    pub blocks: u64,
    /// Arenas acquired in it.
    pub arenas: u64,
}

impl Parent {
    /// What the numbering goes on from.
    pub(crate) fn totals(&self) -> Totals {
        Totals { events: self.events, blocks: self.blocks, arenas: self.arenas, ..Totals::default() }
    }
}

/// A number as 16 hexadecimal digits: JSON's own numbers lose their last bits in many languages.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{number:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16).map_err(|_| D::Error::custom("a digest has 16 hexadecimal digits"))
    }
}

/// The recorded program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its short name, as in the trace's default file name.
    pub name: String,
    /// The command line as it was given; absent if it was redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// The interpreter that ran the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// `CPython`.
    pub implementation: String,
    /// The version with its patch level, such as `3.11.7`: behaviour differs between patch levels.
    pub version: String,
    /// All that the interpreter says of its build.
    pub build: String,
    /// Where it lies; absent if it was redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
}

/// The machine that the program ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The operating system, as Rust names it.
    pub os: String,
    /// The architecture, as Rust names it.
    pub arch: String,
    /// How many processors the recorder could use.
    pub processors: u32,
}

/// How the interpreter's small-block allocator was built: what a replay has to copy. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocator {
    /// The distance between size classes, and the alignment of blocks.
    pub alignment: u32,
    /// The largest request that is served from pools.
    pub small_limit: u32,
    /// The size of a pool.
    pub pool_size: u32,
    /// The size of an arena.
    pub arena_size: u64,
    /// What happens to an arena whose last block is released.
    pub empty_arenas: EmptyArenas,
}

/// What happens to an arena whose last block is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmptyArenas {
    /// It goes back to where it came from.
    Return,
    /// The same, unless it is the last one in the list of arenas with room.
    KeepLast,
    /// It is kept for good.
    Keep,
}

/// How much a trace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Tier {
    /// Blocks and arenas.
    Blocks,
    /// And collections, with what the collector looked at.
    Collections,
    /// Blocks and arenas, and births and deaths of objects, with what they refer to when they die.
    Objects,
    /// And every change of a reference count.
    Counts,
}

impl Tier {
    /// The tier's name, as in the header and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Collections => "collections",
            Self::Objects => "objects",
            Self::Counts => "counts",
        }
    }
}

/// What a recording came to: the trace's last frame, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trailer {
    /// What the frames hold.
    pub totals: Totals,
    /// How the program ended.
    pub ending: Ending,
    /// How long the program ran under recording, in microseconds of wall-clock time.
    pub microseconds: u64,
    /// Whether the program, or its recording, may have been stopped inside of its last event: that it gave an arena
    /// back would then not have been seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
}

/// Totals of all frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Events: calls that the program made of the memory manager.
    pub events: u64,
    /// Events that are requests for a new block.
    pub allocates: u64,
    /// Events that are requests to change a block's size.
    pub resizes: u64,
    /// Events that give a block back.
    pub releases: u64,
    /// Events that are marks.
    pub marks: u64,
    /// Blocks born: requests for a new block that did not fail.
    pub blocks: u64,
    /// Arenas acquired.
    pub arenas: u64,
    /// Observed facts: an address, or that no pool served it, for each request of a size that pools serve.
    pub placement_facts: u64,
    /// Observed facts: an arena acquired, refused or given back.
    pub arena_facts: u64,
    /// Objects born; at tier `collections`, those that have come to the youngest generation's list.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub objects: u64,
    /// Where objects and collections are told: those that have come to the youngest generation's list.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub arrivals: u64,
    /// Changes of counts that the program made.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changes: u64,
    /// References that dying objects had.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub edges: u64,
    /// Observed facts: what happened to an object that died.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub death_facts: u64,
    /// Observed facts: how many references there were to something that a dying object referred to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub count_facts: u64,
    /// References of objects that the collector looked at, as far as they were told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub references: u64,
    /// Observed facts: that a collection began when it did, and which generation it was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub schedule_facts: u64,
    /// Observed facts: what became of an object that a collection looked at.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub partition_facts: u64,
    /// Observed facts: who stands at a place of a list behind a collection.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub survivor_facts: u64,
    /// Observed facts: a number that the collector has behind a collection.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stats_facts: u64,
}

impl Totals {
    /// All that the program's recorder was told: events, and, where these are told, births, changes of counts, objects that have
    /// come to the collector's lists, and references. The unit of what recording costs; nothing else goes by it.
    #[must_use]
    pub fn events_of_all_kinds(&self) -> u64 {
        self.events + self.objects + self.arrivals + self.changes + self.edges + self.references
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How the recorded program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It exited with this status.
    Exited(i32),
    /// This signal ended it.
    Signalled(i32),
    /// Nobody saw how.
    Unknown,
    /// It went on when the recording was stopped.
    Stopped,
}

impl Header {
    /// That of a trace of tier `blocks` that begins now, on this machine, of a program that this version of CPython runs. Whoever
    /// knows more of it says so in its fields.
    ///
    /// The clock and the number of processors are read; what cannot be known of them is 0 and 1.
    #[must_use]
    pub fn new(program: &str, version: &str, allocator: Allocator) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let processors = available_parallelism().ok().and_then(|many| u32::try_from(many.get()).ok());
        Self {
            recorder: concat!("vivarium ", env!("CARGO_PKG_VERSION")).to_owned(),
            started,
            program: Program { name: program.to_owned(), command: None },
            interpreter: Interpreter {
                implementation: "CPython".to_owned(),
                version: version.to_owned(),
                build: version.to_owned(),
                executable: None,
            },
            machine: Machine {
                os: std::env::consts::OS.to_owned(),
                arch: std::env::consts::ARCH.to_owned(),
                processors: processors.unwrap_or(1),
            },
            allocator,
            tier: Tier::Blocks,
            collections: false,
            tier_reason: String::new(),
            parent: None,
        }
    }

    /// Whether the trace holds collections, with what the collector looked at.
    #[must_use]
    pub fn has_collections(&self) -> bool {
        self.tier == Tier::Collections || (self.tier > Tier::Collections && self.collections)
    }

    /// Removes what may be private: the command line, and where the interpreter lies.
    pub fn redact(&mut self) {
        self.program.command = None;
        self.interpreter.executable = None;
    }
}

/// What an [`Allocator`] says that no allocator can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImpossibleAllocator {
    /// The field.
    pub field: &'static str,
    /// Its value.
    pub value: u64,
}

impl std::fmt::Display for ImpossibleAllocator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no allocator has {} = {}", self.field, self.value)
    }
}

impl std::error::Error for ImpossibleAllocator {}

/// No allocator of the format has more size classes than this.
pub(crate) const MAX_CLASSES: usize = 64;

impl Allocator {
    /// Checks what the format itself relies on: size classes that can be counted. (Whether such an allocator can
    /// be built is for who builds it.)
    ///
    /// # Errors
    /// The field that stands in the way.
    pub fn check(&self) -> Result<(), ImpossibleAllocator> {
        let Self { alignment, small_limit, .. } = *self;
        if !alignment.is_power_of_two() || !(8..=4096).contains(&alignment) {
            return Err(ImpossibleAllocator { field: "alignment", value: alignment.into() });
        }
        let classes = (small_limit / alignment) as usize;
        if small_limit % alignment != 0 || classes == 0 || classes > MAX_CLASSES {
            return Err(ImpossibleAllocator { field: "small_limit", value: small_limit.into() });
        }
        Ok(())
    }

    /// Whether a request of this size is one that pools serve: then its address is a fact.
    #[inline]
    #[must_use]
    pub fn serves(&self, size: u64) -> bool {
        size.wrapping_sub(1) < u64::from(self.small_limit)
    }
}
