//! What the engine of deaths comes to, in one order: for who wants to follow a program's objects through their lives.

use trace::{Begins, Fate, Object, PackedInput, TypeNumber};

use super::DeathPredictions;

/// One thing that happens, in the program's order. What the program did stands here between what is predicted to come
/// of it, which a trace has in two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// An event: a call of the memory manager, or a mark. The releases of blocks whose objects have died are among them.
    Call(PackedInput),
    /// An object is born, and gets the next number.
    Born {
        /// Its type.
        of: TypeNumber,
        /// Where it is.
        begins: Begins,
    },
    /// A death begins, inside of the innermost one that is going on (in this thread).
    Begins(Object, Cause),
    /// The innermost death is over.
    Ends {
        /// Whose.
        object: Object,
        /// What becomes of its memory.
        fate: Fate,
        /// It was brought back to life: it has not died.
        lives_on: bool,
    },
    /// The innermost death, which is this object's, gives up a reference of which that did not tell. (Only where changes of
    /// counts are told.)
    Hidden {
        /// Who dies.
        of: Object,
        /// To what the reference is.
        to: Object,
    },
    /// A collection of cycles begins, if the trace tells of these, in the thread that runs: of this generation.
    CollectionBegins(u8),
    /// The collection is over, and has found so many objects.
    CollectionEnds(u64),
    /// Another thread goes on, if the trace tells of threads: what is going on in one does not go on in another. The first
    /// is number 0.
    Thread(u32),
}

/// Why a death begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No death is going on; or, where changes of counts are told, a finalizer or a callback that runs inside of one gave up
    /// the last reference.
    Outermost,
    /// The innermost death gave up the last reference to it.
    Explained,
    /// No reference of the deaths that are going on says that it must die.
    Unexplained,
    /// Program code may have run inside of the innermost death: whether a reference explains it is not known.
    AfterCode,
}

impl DeathPredictions {
    /// Asks for [`happenings`](Self::happenings).
    #[must_use]
    pub fn with_happenings() -> Self {
        Self { happenings: Some(Vec::new()), ..Self::default() }
    }

    pub(super) fn note(&mut self, happening: Happening) {
        if let Some(happenings) = &mut self.happenings {
            happenings.push(happening);
        }
    }
}
