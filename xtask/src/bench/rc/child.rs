//! One measurement: one kind of pointer, one kind of work, in a process of its own.

use super::allocator::on_mimalloc;
use super::peers::{BaconRajan, Dumpster, Gc, Ours, RustCc, Std};
use super::work::{PASSES, Work};
use crate::Result;
use crate::bench::measure::{on_one_processor, warm_up_memory};

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

    fn measure(self, work: Work) -> Result<[f64; PASSES]> {
        match self {
            Self::Ours => work.measure::<Ours>(),
            Self::Std => work.measure::<Std>(),
            // SAFETY: a work frees what it allocates (an error, which would not be, cannot come from `Rc`), and what it
            // is given is no memory; this process has one thread.
            Self::StdMimalloc => unsafe { on_mimalloc(|| work.measure::<Std>()) },
            Self::RustCc => work.measure::<RustCc>(),
            Self::BaconRajan => work.measure::<BaconRajan>(),
            Self::Dumpster => work.measure::<Dumpster>(),
            Self::Gc => work.measure::<Gc>(),
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
    let measured = on_one_processor(|| arguments.contender.measure(arguments.work))?;
    crate::answer(&serde_json::json!(measured).to_string())
}
