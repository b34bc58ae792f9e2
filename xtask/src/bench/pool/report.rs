//! What `bench pool` prints.

use std::fmt::Write;

use super::contenders::Contender;
use super::libpython;
use super::parent::{Results, Row, Times};
use crate::bench::statistics::{Rounds, geometric_mean};
use crate::bench::table;
use crate::workspace;

pub(super) fn json(results: &Results) -> String {
    let mut document = serde_json::json!(results);
    document["schema"] = 1.into();
    document["benchmark"] = "pool".into();
    document["libpython_optimised"] = results.built.as_ref().map(libpython::Built::optimised).into();
    format!("{document:#}\n")
}

const NOTES: &str = "\
Each number is of a process of its own, bound to one processor, in rounds that go through all allocators in turn; an
operation is one allocation, resize or release, and writes the first and the last byte of what it gets. \"First\" is a
program's life from an empty heap on, with the page faults of its memory, which the machine has ready; \"again\" is the
same in a heap that has been used and emptied. Sizes above 512 bytes are in it: ours and CPython's go to the C library.
The loop is in all times.

What favours ours: it has no lock, asks for no thread and serves one only (CPython's relies on the interpreter lock and
also asks for none; mimalloc, jemalloc and the C library can be used from any thread); it asks the system for huge
pages, which the others do not by default; it is compiled for this very program, with thin link-time optimisation. The
sized column is told each block's size again and is inlined in the loop, which no peer is.
What favours the others: ours keeps CPython's exact order of addresses and hands empty arenas back as CPython does, to
map them again when they are needed; requests for zeroed memory are made as requests for any.
";

pub(super) fn text(results: &Results, contenders: &[Contender]) -> String {
    let mut text = format!("{}\n", results.machine);
    // Writing to a string cannot fail.
    let _ = match (&results.libpython, &results.built) {
        (Some(path), Some(built)) => writeln!(
            text,
            "CPython's allocator: {}, {}; its configuration {} ({}){}",
            workspace::shown(path),
            built.version,
            built.optimised(),
            optimisation(&built.compiled),
            if libpython::needs_interpreter(&built.version) {
                "; an interpreter was started, its objects lie in the same heap"
            } else {
                "; without an interpreter, its heap begins empty"
            }
        ),
        (Some(path), None) => {
            writeln!(
                text,
                "CPython's allocator: {}, which does not tell how it was built",
                workspace::shown(path)
            )
        }
        (None, _) => {
            writeln!(text, "CPython's allocator is not measured: name a libpython in {}", libpython::VARIABLE)
        }
    };
    let _ = writeln!(text, "each measurement: {}\n", results.command);
    for row in &results.sequences {
        let _ = writeln!(text, "{}\n", sequence(row, contenders));
    }
    let _ = writeln!(text, "{}\n\n{NOTES}", means(&results.sequences, contenders));
    text
}

/// The level of optimisation among the compiler's options: the last one counts.
fn optimisation(compiled: &str) -> &str {
    compiled.split_whitespace().rfind(|option| option.starts_with("-O")).unwrap_or("no -O")
}

fn sequence(row: &Row, contenders: &[Contender]) -> String {
    let contents = &row.contents;
    let mut table = table(&[
        "ns per operation: median (range)",
        "first",
        "again",
        "ours ÷ it",
        "again",
        "sized ÷ it",
        "again",
        "peak MB",
    ]);
    for contender in contenders {
        let Some(times) = row.times.get(contender) else { continue };
        let mut cells = vec![contender.title().to_owned()];
        cells.push(times.first.shown(1).to_string());
        cells.push(times.again.shown(1).to_string());
        cells.extend(ratios(row, times).map(|ratio| format!("{ratio:.2}")));
        cells.push(format!("{:.1}", times.peak_bytes.median() / 1e6));
        table.add_row(cells);
    }
    format!(
        "{}: {} operations ({} resizes, {} requests above 512 bytes), at most {} live blocks\n{table}",
        row.name, contents.operations, contents.resizes, contents.large, contents.slots
    )
}

/// Ours and ours sized over some contender's: first and again.
fn ratios(row: &Row, times: &Times) -> [f64; 4] {
    let over = |ours: Contender, which: fn(&Times) -> &Rounds| {
        row.times.get(&ours).map_or(f64::NAN, |ours| which(ours).median() / which(times).median())
    };
    [
        over(Contender::Ours, |times| &times.first),
        over(Contender::Ours, |times| &times.again),
        over(Contender::OursSized, |times| &times.first),
        over(Contender::OursSized, |times| &times.again),
    ]
}

fn means(rows: &[Row], contenders: &[Contender]) -> String {
    let mut table = table(&[
        "geometric means over all sequences",
        "ns first",
        "again",
        "ours ÷ it",
        "again",
        "sized ÷ it",
        "again",
        "its peak ÷ ours",
    ]);
    for contender in contenders {
        let of = |value: &dyn Fn(&Row, &Times) -> f64| {
            geometric_mean(rows.iter().filter_map(|row| Some(value(row, row.times.get(contender)?))))
        };
        let mut cells = vec![contender.title().to_owned()];
        cells.push(format!("{:.1}", of(&|_, times| times.first.median())));
        cells.push(format!("{:.1}", of(&|_, times| times.again.median())));
        cells.extend([0, 1, 2, 3].map(|at| format!("{:.2}", of(&|row, times| ratios(row, times)[at]))));
        let peak = of(&|row, times| {
            let ours = row.times.get(&Contender::Ours).map_or(f64::NAN, |ours| ours.peak_bytes.median());
            // A page at least, so that doing nothing is no division by zero.
            times.peak_bytes.median().max(4096.0) / ours.max(4096.0)
        });
        cells.push(format!("{peak:.2}"));
        table.add_row(cells);
    }
    table.to_string()
}
