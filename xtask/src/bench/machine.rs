//! The machine that numbers are from.

use std::fmt;
use std::fs::read_to_string;

use serde::Serialize;

/// What a reader of numbers wants to know of the machine.
#[derive(Serialize)]
pub(crate) struct Machine {
    processor: String,
    processors: usize,
    kernel: String,
    /// How busy it was before the benchmark began: the load of the last minute.
    load: f64,
}

impl Machine {
    /// This one, now.
    pub(crate) fn now() -> Self {
        let read = |path: &str| read_to_string(path).unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
        let model =
            model.and_then(|line| line.split_once(": ")).map_or("unknown processor", |(_, model)| model);
        Self {
            processor: model.to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "machine: {}, {} processors, kernel {}, load {:.2} before",
            self.processor, self.processors, self.kernel, self.load
        )?;
        // Half a processor is what a desktop takes by itself.
        if self.load > 0.5 {
            write!(
                f,
                "\nTHE MACHINE WAS BUSY: medians of ratios may stand, times do not; run again when it is quiet"
            )?;
        }
        Ok(())
    }
}
