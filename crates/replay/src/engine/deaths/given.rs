//! What the engine of deaths has to be told.

/// Answers that had to be inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Deaths outside of others.
    pub outermost: u64,
    /// Deaths inside of others that no reference explains.
    pub unexplained: u64,
    /// Deaths inside of others in which program code may have run.
    pub after_code: u64,
    /// Which reference was given up next, where the order is not known.
    pub order: u64,
    /// Whether memory was kept for another object.
    pub kept: u64,
    /// Deaths that were put off by the trashcan, where that is not known. (What they would have led to is given, too.)
    pub put_off: u64,
    /// References that are not counted.
    pub uncounted: u64,
    /// Finalizers of types of which it is not known whether they call them.
    pub called: u64,
    /// References that a deallocation gave up, and of which its object did not tell.
    pub hidden: u64,
    /// References given up by the collector.
    pub collector: u64,
}

impl Given {
    /// Adds those of another frame.
    pub fn add(&mut self, other: &Self) {
        self.outermost += other.outermost;
        self.unexplained += other.unexplained;
        self.after_code += other.after_code;
        self.order += other.order;
        self.kept += other.kept;
        self.put_off += other.put_off;
        self.uncounted += other.uncounted;
        self.called += other.called;
        self.hidden += other.hidden;
        self.collector += other.collector;
    }
}
