//! What `bench cycles` prints.

use std::fmt::Write;

use super::parent::{Figures, Results};
use crate::bench::statistics::Rounds;
use crate::bench::table;

pub(super) fn json(results: &Results) -> String {
    let mut document = serde_json::json!(results);
    document["schema"] = 1.into();
    document["benchmark"] = "cycles".into();
    format!("{document:#}\n")
}

const NOTES: &str = "\
Each number is of a process of its own, bound to one processor, in rounds that go through all in turn: the processor's time,
which is what collections that wait for nothing take. An object is a number and three references that can be set (in Python,
an instance with four slots): 64 bytes with what is in front of it, in CPython as in ours. live: a second full collection
of a graph of which all lives; before it, a reference to each sixteenth object was given up. dead: the same of a graph that
nobody refers to any more, with the freeing. Shuffled: the objects refer to each other in another order than that in which
they were made. Peak is what was resident at most.

What favours ours: it is compiled with the node's type (thin link-time optimisation); it says that its nodes have no
finalizer, so that nobody looks again what finalizers may have brought back; it asks for huge pages.
What favours the others: rust-cc, bacon_rajan_cc and dumpster look at nothing but what is referred to, at whichever remove, by
objects that a reference was given up to; where none was, they would do nothing.
";

pub(super) fn text(results: &Results) -> String {
    let mut text = format!("{}\neach measurement: {}\n", results.machine, results.command);
    let ours = results.contenders.iter().position(|contender| contender == "ours").unwrap_or(0);
    // Writing to a string cannot fail.
    let mut add = |title: &str, cell: &dyn Fn(&[Figures], usize) -> String| {
        let _ = writeln!(text, "\n{}", rows(results, title, cell));
    };
    let times = |which: fn(&Figures) -> &Rounds| {
        move |figures: &[Figures], at: usize| match which(&figures[at]) {
            rounds if rounds.is_empty() => "stack overflow".to_owned(),
            rounds => rounds.shown(1).to_string(),
        }
    };
    let ratio = |which: fn(&Figures) -> &Rounds| {
        move |figures: &[Figures], at: usize| {
            shown(which(&figures[ours]).median() / which(&figures[at]).median(), 2)
        }
    };
    add("live: ns per object", &times(|it| &it.live));
    add("live: ours ÷ it", &ratio(|it| &it.live));
    add("dead: ns per object", &times(|it| &it.dead));
    add("dead: ours ÷ it", &ratio(|it| &it.dead));
    add("peak MB", &|figures, at| shown(figures[at].peak_bytes.median() / 1e6, 0));
    let _ = writeln!(text, "\n{NOTES}");
    text
}

/// A number, if there is one.
fn shown(number: f64, digits: usize) -> String {
    if number.is_nan() { "–".to_owned() } else { format!("{number:.digits$}") }
}

/// A row by graph, a column by contender.
fn rows(results: &Results, title: &str, cell: &dyn Fn(&[Figures], usize) -> String) -> comfy_table::Table {
    let mut head = vec![title];
    head.extend(results.contenders.iter().map(String::as_str));
    let mut table = table(&head);
    for (graph, figures) in &results.measured {
        let mut row = vec![graph.clone()];
        row.extend((0..figures.len()).map(|at| cell(figures, at)));
        table.add_row(row);
    }
    table
}
