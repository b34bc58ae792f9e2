//! Why the engine of deaths cannot go on.

use std::fmt;

use trace::Object;

use crate::engine::EngineError;

/// Why the engine of deaths cannot go on. All but the last say that a prediction was wrong, or the trace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The death of this object was predicted, and does not begin.
    NoBeginning(Object),
    /// The end of this object's death was predicted, and does not come.
    NoEnd(Object),
    /// This object is not alive, and the program does something to it.
    NotAlive(Object),
    /// The finalizer or the callback of this object was predicted to be called, and is not.
    NoCall(Object),
    /// A finalizer or a callback is said to return, and none is predicted to run.
    NotCalled,
    /// An object is said to be born in memory that was kept, and none was.
    NothingKept,
    /// There is no such thread, nor is it the next one.
    NoThread(u32),
    /// The blocks cannot be replayed.
    Blocks(EngineError),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBeginning(object) => write!(f, "object {object} was predicted to die, and does not"),
            Self::NoEnd(object) => {
                write!(f, "the death of object {object} was predicted to end, and does not")
            }
            Self::NotAlive(object) => {
                write!(f, "the program does something to object {object}, which is predicted to be dead")
            }
            Self::NoCall(object) => {
                write!(
                    f,
                    "the finalizer or the callback of object {object} was predicted to be called, and is not"
                )
            }
            Self::NotCalled => {
                write!(f, "a finalizer or a callback returns, and none was predicted to be called")
            }
            Self::NothingKept => {
                write!(f, "an object is born in memory that was kept for it, and none was predicted to be")
            }
            Self::NoThread(thread) => write!(f, "thread {thread} goes on, which does not exist"),
            Self::Blocks(error) => error.fmt(f),
        }
    }
}
