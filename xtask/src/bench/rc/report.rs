//! What `bench rc` prints.

use std::fmt::Write;

use super::child::Contender;
use super::parent::Results;
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
Each number is of a process of its own, bound to one processor, in rounds that go through all pointers in turn: the
median of the passes after the first, which has the page faults. A node is a number and two optional pointers. In each
pass the time includes a collection by those that put work off, at its end.
walk: per step through a graph of 8,192 nodes, each of which clones a pointer and drops one. pair: a node allocated and
dropped. batch: a million allocated, then dropped in order. mixed: a new one put in a random place of 4,096. trees:
per node of binary trees, 16 levels deep. list: per node of a list of ten million.

What favours ours: it is the only one with an allocator of its own, for one thread; the cycle collectors among the
others prepare for collecting what ours leaks for now. std's Rc passes a test of which allocator is measured, a load and
a branch that is always predicted, in each call of the allocator.
What favours the others: ours runs a finalizer once, tells weak references, and can be told that a list is deep.
";

pub(super) fn text(results: &Results) -> String {
    let mut text = format!("{}\neach measurement: {}\n\n", results.machine, results.command);
    let mut head = vec!["ns per operation: median (range)"];
    head.extend(Work::ALL.map(Work::title));
    let mut times = table(&head);
    head[0] = "ours ÷ it";
    let mut ratios = table(&head);
    for contender in Contender::ALL {
        let of = |work: Work| results.times.get(&work).and_then(|times| times.get(&contender));
        let ours = |work: Work| results.times.get(&work).and_then(|times| times.get(&Contender::Ours));
        let mut shown = vec![contender.title().to_owned()];
        let mut compared = shown.clone();
        for work in Work::ALL {
            match (of(work), ours(work)) {
                (Some(times), Some(ours)) if !times.is_empty() => {
                    shown.push(times.shown(1).to_string());
                    compared.push(ratio(ours, times));
                }
                _ => {
                    shown.push("stack overflow".to_owned());
                    compared.push("–".to_owned());
                }
            }
        }
        times.add_row(shown);
        ratios.add_row(compared);
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{times}\n\n{ratios}\n\n{NOTES}");
    text
}

fn ratio(ours: &Rounds, other: &Rounds) -> String {
    format!("{:.2}", ours.median() / other.median())
}
