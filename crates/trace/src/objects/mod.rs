//! Objects: births, deaths, and what dying objects refer to. The vocabulary of the tiers above `blocks`.

mod decode;
mod encode;
mod fetched;
mod recent;
#[cfg(test)]
mod tests;

use crate::event::{Block, PackedInput};

pub(crate) use decode::{Known, decode, read_info};
pub(crate) use encode::{Encoder, write_info};
pub use fetched::FetchedDeaths;

/// An object's number: objects are numbered by birth, from 0, and numbers are never used again. From [`STRANGER`] on:
/// objects whose birth was not seen, numbered as they are first referred to.
pub type Object = u64;

/// See [`Object`].
pub const STRANGER: Object = 1 << 63;

/// A type's number: types are numbered as they are described, from 0.
pub type TypeNumber = u32;

/// What a trace says of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeInfo {
    /// Its name, as `tp_name` has it. What is not UTF-8 is replaced.
    pub name: String,
    /// Its `tp_flags`.
    pub flags: u32,
    /// Whether it has a finalizer (`tp_finalize`): program code may run in its objects' deaths.
    pub finalizes: bool,
    /// Whether its objects can have weak references.
    pub weakly_referable: bool,
    /// Whether its objects are deallocated as those of classes are, which are made by a program.
    pub class: bool,
    /// Whether its objects, or what is below the classes that it is made of, are deallocated by code outside of the
    /// interpreter: of an extension.
    pub foreign: bool,
    /// Whether it has a finalizer of the older kind (`tp_del`), which runs behind the other and whenever an object dies.
    pub finalizes_late: bool,
    /// The name of the type that it has its deallocation from: below the classes that it is made of, the farthest base
    /// with the same function.
    pub family: String,
    /// The object that it is itself, if that was born.
    pub object: Option<Object>,
}

impl TypeInfo {
    /// Whether its objects take part in the collection of cycles, and so tell what they refer to.
    #[must_use]
    pub fn is_gc(&self) -> bool {
        self.flags & 1 << 14 != 0
    }
}

/// Where an object begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// So many bytes behind the beginning of a block: behind what the collector has there.
    InBlock(Block, u32),
    /// In the memory of an object that died, which its type kept for it. An object of varying size has so many items; else
    /// that is 0. Which block that is, is an answer ([`Death::Reuses`]).
    Kept(u64),
    /// In memory that no recorded call gave.
    Elsewhere,
}

/// One thing that the program did, among them what it did to objects: an input of the replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A call of the memory manager. The releases of blocks whose objects have just died are not among these: they
    /// are answers.
    Block(PackedInput),
    /// A type is described; it gets the next number.
    Described,
    /// An object is born; it gets the next number.
    Born {
        /// Its type.
        of: TypeNumber,
        /// Where it is.
        begins: Begins,
    },
    /// An object dies for a reason that the trace does not hold.
    Dies(Object),
    /// One more reference to the object. This and what follows is told at tier `counts`.
    Up(Object),
    /// One reference less. If it was the last one, the object dies: that is not told.
    Down(Object),
    /// The object's count is written.
    Set(Object, u64),
    /// The object is of another type from here on.
    Retyped(Object, TypeNumber),
    /// What follows is done by this thread.
    Thread(u32),
    /// What follows is done by the interpreter of this number, which keeps memory of objects that died for its own. The first
    /// one, in which everything begins, has 0.
    Interpreter(u64),
    /// The finalizer or the callback returns that runs in this thread.
    Returned,
    /// The collector has run the object's finalizer.
    Finalized(Object),
    /// The collector begins to look at this generation.
    Collection(u8),
    /// It has found so many objects.
    Collected(u64),
}

/// One reference that a dying object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// To what; `None` if that is immortal.
    pub referent: Option<Object>,
    /// How many references there are to it, if that is told to who replays: not at tier `counts`, nor if there are more
    /// than [`COUNT_LIMIT`].
    pub count: Option<u32>,
}

/// Counts are told exactly below this.
pub const COUNT_LIMIT: u32 = 1021;

/// What became of an object that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Its block was released.
    Released,
    /// Its block was kept for another object of its kind; or it lives on; or it has none.
    Kept,
}

/// An answer: what a memory manager did with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Death {
    /// It dies, since it has lost its last reference. (At tier `objects` only what dies inside of another death is told.)
    Begins(Object),
    /// Its death, and all that happened inside, is over.
    Ends(Object, Fate),
    /// Its finalizer is called.
    Finalizer(Object),
    /// The callback of this weak reference is called.
    Callback(Object),
    /// Its death is put off: it is in the trashcan.
    Deposited(Object),
    /// It is born in this block, which was kept for it.
    Reuses(Object, Block),
}

impl Death {
    /// Whom it is about.
    #[must_use]
    pub fn object(self) -> Object {
        match self {
            Self::Begins(object)
            | Self::Ends(object, _)
            | Self::Finalizer(object)
            | Self::Callback(object)
            | Self::Deposited(object)
            | Self::Reuses(object, _) => object,
        }
    }
}

/// What is to be known where a death begins, or goes on behind a finalizer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// What the object refers to, in the order in which its type tells it; a dictionary that does not share its keys tells
    /// each key before its value.
    pub edges: Vec<Edge>,
    /// The weak references to it that have callbacks, in the order in which it has them.
    pub weak: Vec<Object>,
}

impl Beginning {
    /// Forgets everything, and keeps the room.
    pub fn clear(&mut self) {
        self.edges.clear();
        self.weak.clear();
    }
}

/// The part of a frame that is about objects.
#[derive(Debug, Default)]
pub struct ObjectFrame {
    /// What the program did, in order.
    pub steps: Vec<Step>,
    /// Types, in the order in which they are described.
    pub types: Vec<TypeInfo>,
    /// What can be fetched.
    pub fetched: FetchedDeaths,
    /// What was observed.
    pub deaths: Vec<Death>,
    /// Observed, at tier `counts`: how many references there were to each object that a death's edges lead to, other than
    /// immortal ones and strangers, when the edges were told; [`COUNT_LIMIT`] stands for all from there on.
    pub counts: Vec<u32>,
}

impl ObjectFrame {
    pub(crate) fn clear(&mut self) {
        self.steps.clear();
        self.types.clear();
        self.fetched.clear();
        self.deaths.clear();
        self.counts.clear();
    }
}
