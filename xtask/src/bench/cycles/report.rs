//! What `bench cycles` prints.

use std::fmt::Write;

use super::parent::{Failed, Figures, Graph, Results};
use crate::bench::statistics::Rounds;
use crate::bench::table;

pub(super) fn json(results: &Results) -> String {
    let mut document = serde_json::json!(results);
    document["schema"] = 3.into();
    document["benchmark"] = "cycles".into();
    format!("{document:#}\n")
}

const NOTES: &str = "\
Each number is of a process of its own, bound to one processor, in rounds that go through all in turn: the processor's time,
which is what collections that wait for nothing take. Objects take 64 bytes with what is in front of them, in CPython as in
ours: an instance is a number and three references that can be set (four slots), a tuple its length and two references, a list
knows where its two references are, which take 16 bytes more. live: a second full collection of a graph of which all lives;
before it, a reference of each sixteenth object was changed, and one to it given up. dead: the same of a graph that
nobody refers to any more, with the freeing; that nothing is left is checked. Shuffled: the objects refer to each other in
another order than that in which they were made. Peak is what was resident at most during both, by what was before.

What favours ours: it is compiled with the objects' types (thin link-time optimisation); they say that they have no
finalizer, so that nobody looks again what finalizers may have brought back, and that nobody can tell in which order they die,
so that garbage dies together and not, as in CPython, one inside of the other; it asks for huge pages.
What favours the others: rust-cc, bacon_rajan_cc and dumpster look at nothing but what is referred to, at whichever remove, by
objects that a reference was given up to; where none was, they would do nothing. gc and gc-arena count nothing: who drops a
reference pays nothing, and nothing dies before a collection.
";

pub(super) fn text(results: &Results) -> String {
    let mut text = format!("{}\neach measurement: {}\n", results.machine, results.command);
    let ours = results.contenders.iter().position(|contender| contender == "ours").unwrap_or(0);
    // Writing to a string cannot fail.
    let mut add = |title: &str, cell: &dyn Fn(&Graph, usize) -> String| {
        let _ = writeln!(text, "\n{}", rows(results, title, cell));
    };
    let times = |which: fn(&Figures) -> &Rounds| {
        move |graph: &Graph, at: usize| match graph.figures[at].failed {
            Some(Failed::StackOverflow) => "stack overflow".to_owned(),
            Some(Failed::TooLong) => "too long".to_owned(),
            None => which(&graph.figures[at]).shown(1).to_string(),
        }
    };
    let ratio = |which: fn(&Figures) -> &Rounds| {
        move |graph: &Graph, at: usize| {
            shown(which(&graph.figures[ours]).median() / which(&graph.figures[at]).median(), 2)
        }
    };
    add("live: ns per object", &times(|it| &it.live));
    add("live: ours ÷ it", &ratio(|it| &it.live));
    add("dead: ns per object", &times(|it| &it.dead));
    add("dead: ours ÷ it", &ratio(|it| &it.dead));
    add("peak ÷ live memory", &|graph, at| {
        let figures = &graph.figures[at];
        shown(figures.peak_bytes.median() / figures.live_bytes.median(), 2)
    });
    // Whoever is linear takes as long by object whatever their number.
    let growth = |which: fn(&Figures) -> &Rounds| {
        move |graph: &Graph, at: usize| {
            let like = |it: &&Graph| it.shape == graph.shape && it.shuffled == graph.shuffled;
            let least = results.measured.iter().filter(like).min_by_key(|it| it.objects);
            let least = least.map_or(f64::NAN, |it| which(&it.figures[at]).median());
            shown(which(&graph.figures[at]).median() / least, 2)
        }
    };
    if results.measured.iter().any(|graph| graph.objects != results.measured[0].objects) {
        add("live: growth by object", &growth(|it| &it.live));
        add("dead: growth by object", &growth(|it| &it.dead));
    }
    let limit = results.limit;
    let _ = writeln!(
        text,
        "\ntoo long: with so many objects, or with fewer, it had not ended after {limit} seconds of the processor's time and as \
         many for each million objects.\n–: there is no such number.\n{NOTES}"
    );
    text
}

/// A number, if there is one.
fn shown(number: f64, digits: usize) -> String {
    if number.is_nan() { "–".to_owned() } else { format!("{number:.digits$}") }
}

/// A row by graph, a column by contender.
fn rows(results: &Results, title: &str, cell: &dyn Fn(&Graph, usize) -> String) -> comfy_table::Table {
    let mut head = vec![title];
    head.extend(results.contenders.iter().map(String::as_str));
    let mut table = table(&head);
    for graph in &results.measured {
        let order = if graph.shuffled { ", shuffled" } else { "" };
        let mut row = vec![format!("{} {}{order}", graph.objects, graph.shape)];
        row.extend((0..graph.figures.len()).map(|at| cell(graph, at)));
        table.add_row(row);
    }
    table
}
