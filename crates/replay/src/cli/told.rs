//! Commands that tell something of each of many traces.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use super::{UNUSABLE, answer, complain, verify};

/// One trace, and what came of it.
pub(super) struct Told<T> {
    pub(super) path: String,
    pub(super) result: Result<T, String>,
}

/// Looks at each trace, which is told now and then how many bytes were read; shows how far that is.
pub(super) fn each<T, E: Display>(
    traces: &[PathBuf],
    look: impl Fn(&Path, &mut dyn FnMut(u64)) -> Result<T, E>,
) -> Vec<Told<T>> {
    let bar = verify::progress_bar(traces);
    let tell = |trace: &PathBuf| {
        let mut seen = 0;
        let result = look(trace, &mut |bytes| {
            bar.inc(bytes.saturating_sub(seen));
            seen = seen.max(bytes);
        });
        Told { path: trace.display().to_string(), result: result.map_err(|error| error.to_string()) }
    };
    let told = traces.iter().map(tell).collect();
    bar.finish_and_clear();
    told
}

/// Answers with this text, and says which traces could not be used.
pub(super) fn finish<T>(text: &str, told: &[Told<T>]) -> ExitCode {
    if let Err(error) = answer(text) {
        complain(format_args!("standard output: {error}"));
        return ExitCode::from(UNUSABLE);
    }
    let mut status = ExitCode::SUCCESS;
    for Told { path, result } in told {
        if let Err(error) = result {
            complain(format_args!("{path}: {error}"));
            status = ExitCode::from(UNUSABLE);
        }
    }
    status
}

/// The document that has of each trace what `report` answers, under this name.
pub(super) fn json<T, R: Serialize>(told: &[Told<T>], name: &str, report: impl Fn(&T) -> &R) -> String {
    let traces: Vec<_> = told
        .iter()
        .map(|Told { path, result }| {
            let error = result.as_ref().err();
            serde_json::json!({ "path": path, "error": error, name: result.as_ref().ok().map(&report) })
        })
        .collect();
    let document = serde_json::json!({ "schema": 1, "traces": traces });
    format!("{document:#}\n")
}
