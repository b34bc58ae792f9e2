//! One measurement: one heap, one graph, in a process of its own.

use super::arena;
use super::ours::Containers;
use super::peers::{BaconRajan, Dumpster, Gc, Nodes, Ours, RustCc};
use super::work::{Shape, Timed, measure};
use crate::Result;
use crate::bench::measure::{on_one_processor, warm_up_memory};

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

/// What the child answers: see [`Timed`].
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Measured {
    pub(super) live: f64,
    pub(super) dead: f64,
    pub(super) live_bytes: u64,
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
    GcArena,
}

impl Contender {
    pub(super) const ALL: [Self; 6] =
        [Self::Ours, Self::RustCc, Self::BaconRajan, Self::Dumpster, Self::Gc, Self::GcArena];

    /// Whether it has objects of this shape.
    pub(super) fn has(self, shape: Shape) -> bool {
        self == Self::Ours || !matches!(shape, Shape::Lists | Shape::Tuples)
    }

    /// How it is called in tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::RustCc => "rust-cc",
            Self::BaconRajan => "bacon_rajan_cc",
            Self::Dumpster => "dumpster (unsync)",
            Self::Gc => "gc (mark and sweep)",
            Self::GcArena => "gc-arena",
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
    let &Arguments { contender, shape, objects: many, shuffled } = arguments;
    if many == 0 || !contender.has(shape) {
        return Err("there is nothing to measure".to_owned());
    }
    let Timed { live, dead, live_bytes, peak_bytes } = on_one_processor(|| match (contender, shape) {
        (Contender::Ours, Shape::Lists) => measure(many, || Ok(Containers::lists(many, shuffled))),
        (Contender::Ours, Shape::Tuples) => measure(many, || Ok(Containers::tuples(many, shuffled))),
        (Contender::Ours, _) => measure(many, || Nodes::<Ours>::new(shape, many, shuffled)),
        (Contender::RustCc, _) => measure(many, || Nodes::<RustCc>::new(shape, many, shuffled)),
        (Contender::BaconRajan, _) => measure(many, || Nodes::<BaconRajan>::new(shape, many, shuffled)),
        (Contender::Dumpster, _) => measure(many, || Nodes::<Dumpster>::new(shape, many, shuffled)),
        (Contender::Gc, _) => measure(many, || Nodes::<Gc>::new(shape, many, shuffled)),
        (Contender::GcArena, _) => measure(many, || Ok(arena::Nodes::new(shape, many, shuffled))),
    })?;
    let measured = Measured { live, dead, live_bytes, peak_bytes, version: None };
    crate::answer(&serde_json::json!(measured).to_string())
}
