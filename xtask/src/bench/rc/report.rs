//! What `bench rc` prints.

use std::fmt::Write;

use super::child::Contender;
use super::parent::{Figures, Results};
use super::work::Work;
use crate::bench::statistics::Rounds;
use crate::bench::table;

pub(super) fn json(results: &Results) -> String {
    let mut document = serde_json::json!(results);
    document["schema"] = 1.into();
    document["benchmark"] = "rc".into();
    format!("{document:#}\n")
}

const NOTES: &str = "\
Each number is of a process of its own, bound to one processor, in rounds that go through all pointers in turn: what time
it had on that processor, the median of the passes after the first, which has the page faults and is shown apart. A node is a number and two optional
pointers, 40 bytes with its counts (ours and std's Rc), of which the first and the last are written when it is made. In
each pass the time includes a collection by those that put work off, at its end.
walk: per step through a graph of 8,192 nodes, each of which clones a pointer and drops one. pair: a node allocated and
dropped. batch: a million allocated, then dropped in order. mixed: a new one put in a random place of 4,096. trees:
per node of binary trees, 16 levels deep. list: per node of a list of ten million.
Peak is what was resident at most beyond what was before, left what is when all nodes are dropped and the heap is not.

What favours ours: it is the only one with an allocator of its own, for one thread, that knows each node's type and is
compiled into the loop (thin link-time optimisation), where the others call theirs; it keeps up to 16 dead nodes at hand
and up to 64 MiB of empty arenas until its heap is dropped (see left), and asks for huge pages; the cycle collectors
among the others prepare for collecting what ours leaks for now. std's Rc passes a test of which allocator is measured,
a load and a branch that is always predicted, in each call of the allocator.
What favours the others: ours runs a finalizer once, tells weak references, and can be told that a list is deep; behind
its 16 nodes it keeps CPython's order of addresses.
";

pub(super) fn text(results: &Results) -> String {
    let mut text = format!("{}\neach measurement: {}\n", results.machine, results.command);
    let of = |contender: Contender, work: Work| {
        let figures = results.measured.get(&work)?.get(&contender)?;
        (!figures.again.is_empty()).then_some(figures)
    };
    let over = |which: fn(&Figures) -> &Rounds, to: Contender| {
        move |contender, work| {
            let (one, other) = (of(contender, work)?, of(to, work)?);
            Some(format!("{:.2}", which(one).median() / which(other).median()))
        }
    };
    let megabytes = |which: fn(&Figures) -> &Rounds| {
        move |contender, work| Some(format!("{:.1}", which(of(contender, work)?).median() / 1e6))
    };
    // Writing to a string cannot fail.
    let mut add = |title: &str, cell: &dyn Fn(Contender, Work) -> Option<String>| {
        let _ = writeln!(text, "\n{}", rows(title, cell));
    };
    add("ns per operation: median (range)", &|contender, work| {
        Some(of(contender, work).map_or("stack overflow".to_owned(), |it| it.again.shown(1).to_string()))
    });
    add("it ÷ std Rc, system", &over(|figures| &figures.again, Contender::Std));
    add("the same of first passes", &over(|figures| &figures.first, Contender::Std));
    add("peak MB", &megabytes(|figures| &figures.peak_bytes));
    add("left MB", &megabytes(|figures| &figures.left_bytes));
    let _ = writeln!(text, "\n{NOTES}");
    text
}

/// A row by contender, a column by work.
fn rows(title: &str, cell: &dyn Fn(Contender, Work) -> Option<String>) -> comfy_table::Table {
    let mut head = vec![title];
    head.extend(Work::ALL.map(Work::title));
    let mut table = table(&head);
    for contender in Contender::ALL {
        let mut row = vec![contender.title().to_owned()];
        row.extend(Work::ALL.map(|work| cell(contender, work).unwrap_or_else(|| "–".to_owned())));
        table.add_row(row);
    }
    table
}
