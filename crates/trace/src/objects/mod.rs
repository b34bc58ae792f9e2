//! Objects: births, deaths, and what dying objects refer to. The vocabulary of the tiers above `blocks`.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::event::{Block, PackedInput};

pub(crate) use decode::{Known, decode};
pub(crate) use encode::Encoder;

/// An object's number: objects are numbered by birth, from 0, and numbers are never used again. From [`STRANGER`] on:
/// objects whose birth was not seen, numbered as they are first referred to.
pub type Object = u64;

/// See [`Object`].
pub const STRANGER: Object = 1 << 63;

/// A type's number: types are numbered as they are described, from 0.
pub type TypeNumber = u32;

/// What a trace says of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeInfo {
    /// Its name, as `tp_name` has it. What is not UTF-8 is replaced.
    pub name: String,
    /// Its `tp_flags`.
    pub flags: u32,
    /// Whether it has a finalizer (`tp_finalize`): program code may run in its objects' deaths.
    pub finalizes: bool,
    /// Whether its objects can have weak references.
    pub weakly_referable: bool,
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
}

/// One reference that a dying object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// To what; `None` if that is immortal.
    pub referent: Option<Object>,
    /// How many references there are to it; `None` if there are more than could be told.
    pub count: Option<u32>,
}

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
    /// It died inside of another death, by which it lost its last reference.
    Begins(Object),
    /// Its death, and all that happened inside, is over.
    Ends(Object, Fate),
}

/// What is to be known where a death begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// Which of the references that the enclosing object owns was given up.
    pub choice: Option<u32>,
    /// Of a dictionary: how many entries it has.
    pub length: Option<u64>,
    /// What the object refers to, in the order in which its type tells it.
    pub edges: Vec<Edge>,
}

/// What a replay of deaths fetches: each item may be had only in its turn, by who has predicted that this death begins,
/// or ends, now.
#[derive(Debug, Default)]
pub struct FetchedDeaths {
    items: VecDeque<Item>,
}

#[derive(Debug)]
struct Item {
    /// The lowest bits of the object's number.
    check: u8,
    what: What,
}

#[derive(Debug)]
enum What {
    /// So many steps of the program, inside of the object's death.
    Steps(u64),
    Begins(Beginning),
    Ends(Fate),
}

/// An object's number as far as it is kept beside what is fetched.
fn check(object: Object) -> u8 {
    object.to_le_bytes()[0]
}

impl FetchedDeaths {
    fn next(&mut self, object: Object, is_it: impl FnOnce(&What) -> bool) -> Option<What> {
        self.items.pop_front_if(|item| item.check == check(object) && is_it(&item.what)).map(|item| item.what)
    }

    /// How many steps the program makes now inside of this object's death, before anything else happens to that.
    pub fn steps(&mut self, object: Object) -> u64 {
        match self.next(object, |what| matches!(what, What::Steps(_))) {
            Some(What::Steps(steps)) => steps,
            _ => 0,
        }
    }

    /// What is to be known of the death of this object, which begins now. `None`: it does not.
    pub fn begins(&mut self, object: Object) -> Option<Beginning> {
        match self.next(object, |what| matches!(what, What::Begins(_)))? {
            What::Begins(beginning) => Some(beginning),
            _ => None,
        }
    }

    /// What becomes of the memory of this object, whose death ends now, for who cannot know. `None`: it does not end.
    pub fn ends(&mut self, object: Object) -> Option<Fate> {
        match self.next(object, |what| matches!(what, What::Ends(_)))? {
            What::Ends(fate) => Some(fate),
            _ => None,
        }
    }

    /// For who cannot know in which order an object gives up its references: the next one by which something dies, if
    /// there is one.
    #[must_use]
    pub fn next_choice(&self) -> Option<u32> {
        match &self.items.front()?.what {
            What::Begins(beginning) => beginning.choice,
            What::Steps(_) | What::Ends(_) => None,
        }
    }

    /// Whether there is nothing (yet).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many items there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes over what another frame has to fetch, behind what is left of the frames before.
    pub fn append(&mut self, next: &mut Self) {
        self.items.append(&mut next.items);
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
}

impl ObjectFrame {
    pub(crate) fn clear(&mut self) {
        self.steps.clear();
        self.types.clear();
        self.fetched.items.clear();
        self.deaths.clear();
    }
}
