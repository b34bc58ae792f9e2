//! One measurement: one heap, one graph, in a process of its own.

use super::peers::{BaconRajan, Dumpster, Gc, Ours, RustCc};
use super::work::{Shape, measure};
use crate::Result;
use crate::bench::measure::{high_water_mark, on_one_processor, warm_up_memory};

/// More than most take.
const WARM: usize = 1 << 30;

/// What the parent asks for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    contender: Contender,
    #[arg(long)]
    shape: Shape,
    #[arg(long)]
    objects: usize,
    #[arg(long)]
    shuffled: bool,
}

/// What the child answers: nanoseconds by object, and the most memory that was resident.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Measured {
    pub(super) live: f64,
    pub(super) dead: f64,
    pub(super) peak_bytes: u64,
    /// Of an interpreter.
    #[serde(default)]
    pub(super) version: Option<String>,
}

/// Who is measured, other than interpreters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(super) enum Contender {
    Ours,
    RustCc,
    BaconRajan,
    Dumpster,
    Gc,
}

impl Contender {
    pub(super) const ALL: [Self; 5] = [Self::Ours, Self::RustCc, Self::BaconRajan, Self::Dumpster, Self::Gc];

    /// How it is called in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::RustCc => "rust-cc",
            Self::BaconRajan => "bacon_rajan_cc",
            Self::Dumpster => "dumpster (unsync)",
            Self::Gc => "gc (mark and sweep)",
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
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let &Arguments { contender, shape, objects, shuffled } = arguments;
    let [live, dead] = on_one_processor(|| match contender {
        Contender::Ours => measure::<Ours>(shape, objects, shuffled),
        Contender::RustCc => measure::<RustCc>(shape, objects, shuffled),
        Contender::BaconRajan => measure::<BaconRajan>(shape, objects, shuffled),
        Contender::Dumpster => measure::<Dumpster>(shape, objects, shuffled),
        Contender::Gc => measure::<Gc>(shape, objects, shuffled),
    })?;
    let peak_bytes =
        high_water_mark("self").ok_or("the kernel does not tell how much memory a process has")?;
    crate::answer(&serde_json::json!(Measured { live, dead, peak_bytes, version: None }).to_string())
}
