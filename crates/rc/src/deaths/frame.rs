//! Where a death that is going on is.

use crate::rules::Part;

#[derive(Debug)]
pub(super) struct Frame<I> {
    pub(super) object: I,
    pub(super) phase: Phase,
    pub(super) part: Part,
    /// A finalizer of the older kind was asked for.
    pub(super) is_late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To begin, or to be deposited.
    Enter,
    /// To begin; out of the trashcan, so never deposited again.
    Resume,
    /// To begin; the driver was told.
    Announced,
    Finalizer,
    /// The driver runs the finalizer.
    Finalizing,
    Weak,
    /// A finalizer of the older kind.
    Late,
    Callbacks,
    /// The driver runs a callback.
    Calling,
    /// Callbacks have run: what was held for them is given up.
    Called,
    Members,
    Free,
    /// No death: a reference is to be given up.
    Decrement,
    /// The death is over.
    Leave,
    /// No death: deposited ones are taken up. The object means nothing.
    Drain,
}

#[derive(Debug)]
pub(super) struct Notice<I> {
    pub(super) reference: I,
    /// Whether we own a reference to it.
    pub(super) held: bool,
    /// Whether it is to be called.
    pub(super) calls: bool,
    /// The callback that was its, and is ours now.
    pub(super) callback: Option<I>,
}

#[derive(Debug)]
pub(super) struct Calls {
    pub(super) begin: usize,
    pub(super) next: usize,
}
