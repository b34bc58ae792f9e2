//! One measurement: one kind of pointer, one kind of work, in a process of its own.

use super::allocator::on_mimalloc;
use super::peers::{BaconRajan, Dumpster, Gc, Ours, RustCc, Std};
use super::work::{PASSES, Work};
use crate::Result;
use crate::bench::measure::{high_water_mark, memory, on_one_processor, warm_up_memory};

/// More than any takes.
const WARM: usize = 1 << 30;

/// What the parent asks for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    contender: Contender,
    #[arg(long)]
    work: Work,
}

/// What the child answers.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Measured {
    /// By operation, in each pass.
    pub(super) nanoseconds: [f64; PASSES],
    /// How much more memory was resident at most than before the first pass.
    pub(super) peak_bytes: u64,
    /// How much more is resident after the last pass, in which everything was dropped.
    pub(super) left_bytes: u64,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Contender {
    Ours,
    /// `std::rc::Rc` on the system's allocator.
    Std,
    /// `std::rc::Rc` on mimalloc.
    StdMimalloc,
    RustCc,
    BaconRajan,
    Dumpster,
    Gc,
}

impl Contender {
    pub(super) const ALL: [Self; 7] =
        [Self::Ours, Self::Std, Self::StdMimalloc, Self::RustCc, Self::BaconRajan, Self::Dumpster, Self::Gc];

    /// How it is called in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Std => "std Rc, system",
            Self::StdMimalloc => "std Rc, mimalloc",
            Self::RustCc => "rust-cc",
            Self::BaconRajan => "bacon_rajan_cc",
            Self::Dumpster => "dumpster (unsync)",
            Self::Gc => "gc (mark and sweep)",
        }
    }

    fn measure<R>(self, work: Work, then: impl FnOnce() -> R) -> Result<([f64; PASSES], R)> {
        match self {
            Self::Ours => work.measure::<Ours, R>(then),
            Self::Std => work.measure::<Std, R>(then),
            // SAFETY: a work frees what it allocates (an error, which would not be, cannot come from `Rc`), and what it
            // is given and gives is no memory; this process has one thread.
            Self::StdMimalloc => unsafe { on_mimalloc(|| work.measure::<Std, R>(then)) },
            Self::RustCc => work.measure::<RustCc, R>(then),
            Self::BaconRajan => work.measure::<BaconRajan, R>(then),
            Self::Dumpster => work.measure::<Dumpster, R>(then),
            Self::Gc => work.measure::<Gc, R>(then),
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // Who overflows its stack need not leave a memory image.
    rustix::process::setrlimit(
        rustix::process::Resource::Core,
        rustix::process::Rlimit { current: Some(0), maximum: Some(0) },
    )
    .map_err(|error| error.to_string())?;
    warm_up_memory(WARM)?;
    // From now on the high-water mark is that of the passes. (If it cannot be reset it is that of the start: too large.)
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let resident = || memory("self", "VmRSS:").unwrap_or(0);
    let before = resident();
    let (times, left) = on_one_processor(|| arguments.contender.measure(arguments.work, resident))?;
    let peak = high_water_mark("self").ok_or("the kernel does not tell how much memory a process has")?;
    let measured = Measured {
        nanoseconds: times,
        peak_bytes: peak.saturating_sub(before),
        left_bytes: left.saturating_sub(before),
    };
    crate::answer(&serde_json::json!(measured).to_string())
}
