//! `crates/record/CONFORMANCE.md`.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::outcomes::Unsteady;
use super::{Compared, List, Outcome};
use crate::interpreters::Interpreter;
use crate::soak::Results;

const HEAD: &str = "\
# CPython's own tests, recorded

Each module of CPython's tests was run alone and recorded (`python -m test -v MODULE`), and the end of each test and the
exit status of the whole were compared; what was recorded was verified. Made by `cargo xtask conformance`; the modules, and
the reasons of what differs, are in `xtask/soak/conformance.json`; `tests/soak.rs` checks this page against them.
";

/// What the page is made of.
pub(super) struct Document<'a> {
    list: &'a List,
    pythons: &'a [&'a Interpreter],
    results: &'a Results<Outcome>,
}

impl<'a> Document<'a> {
    pub(super) fn new(list: &'a List, pythons: &'a [&'a Interpreter], results: &'a Results<Outcome>) -> Self {
        Self { list, pythons, results }
    }

    fn all(&self) -> impl Iterator<Item = (&'a str, &'a Interpreter, Option<&'a Outcome>)> {
        let Self { list, pythons, results } = *self;
        list.modules.iter().flat_map(move |module| {
            pythons.iter().map(move |&python| (module.as_str(), python, results.get(module, python)))
        })
    }

    /// Whether every module has run on every interpreter.
    pub(super) fn is_complete(&self) -> bool {
        self.all().all(|(_, _, outcome)| outcome.is_some())
    }

    /// How many modules were compared on some interpreter.
    fn compared(&self) -> usize {
        let compared = self.all().filter(|(.., outcome)| matches!(outcome, Some(Outcome::Compared(_))));
        compared.map(|(module, ..)| module).collect::<BTreeSet<_>>().len()
    }

    /// Why a test may end in another way.
    fn why(&self, module: &str, test: &str) -> Option<&'a str> {
        let mut known = self.list.differences.iter();
        known.find(|one| one.module == module && test.contains(&one.test)).map(|one| one.why.as_str())
    }

    /// What differs, and nobody has said why.
    pub(super) fn unexplained(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (module, python, outcome) in self.all() {
            let on = format!("{module} on {}", python.label());
            match outcome {
                Some(Outcome::Failed(why)) => found.push(format!("{on}: {why}")),
                Some(Outcome::Compared(Compared { facts, .. })) if facts.diverged + facts.unverified > 0 => {
                    found.push(format!("{on}: not as predicted"));
                }
                Some(Outcome::Compared(Compared { unsteady, .. })) => {
                    let differ = unsteady.iter().filter(|one| !one.is_flaky());
                    let differ = differ.filter(|one| self.why(module, &one.test).is_none());
                    found.extend(differ.map(|one| format!("{on}: {}: {}", one.test, told(one))));
                }
                Some(Outcome::NotThere) | None => {}
            }
        }
        found
    }

    /// The page.
    pub(super) fn page(&self) -> String {
        let mut text = HEAD.to_owned();
        let (mut tests, mut facts, mut same) = (0, 0, 0);
        let mut lines = String::new();
        for module in &self.list.modules {
            let cells: Vec<_> =
                self.pythons.iter().map(|python| cell(self.results.get(module, python))).collect();
            let _ = writeln!(lines, "| {module} | {} |", cells.join(" | "));
        }
        let (mut flaky, mut differ, mut refused) = (String::new(), String::new(), String::new());
        for (module, python, outcome) in self.all() {
            let Some(Outcome::Compared(compared)) = outcome else { continue };
            let count: usize = compared.ends.values().sum();
            tests += count;
            facts += compared.facts.facts;
            if let Some(why) = &compared.refused {
                let _ = writeln!(refused, "| {module} | {} | {why} |", python.label());
            }
            // The exit status is none of the tests.
            let unsteady = compared.unsteady.iter().filter(|one| one.test != super::outcomes::STATUS).count();
            same += count.saturating_sub(unsteady);
            for one in &compared.unsteady {
                let row = format!("| {module} | {} | {} | {} |", one.test, python.label(), told(one));
                if one.is_flaky() {
                    let _ = writeln!(flaky, "{row}");
                } else {
                    let _ = writeln!(
                        differ,
                        "{row} {} |",
                        self.why(module, &one.test).unwrap_or("**not known**")
                    );
                }
            }
        }
        let head: String =
            self.pythons.iter().fold(String::new(), |head, one| head + &format!(" {} |", one.label()));
        let _ = write!(
            text,
            "\n## What was compared\n\n{} of {} modules on {} interpreters: {tests} tests, of which {same} ended the same in \
             each run; {facts} recorded facts, all as predicted.\n\nTests of the module (those of them that were skipped \
             or failed, alone as well).\n\n| module |{head}\n|---|{}\n{lines}",
            self.compared(),
            self.list.modules.len(),
            self.pythons.len(),
            "---|".repeat(self.pythons.len())
        );
        let none = "\nNone.\n".to_owned();
        let table =
            |head: &str, rows: String| if rows.is_empty() { none.clone() } else { format!("\n{head}{rows}") };
        let differ = table("| module | test | on | how it ended | why |\n|---|---|---|---|---|\n", differ);
        let flaky = table("| module | test | on | how it ended |\n|---|---|---|---|\n", flaky);
        let refused = table("| module | on | why |\n|---|---|---|\n", refused);
        let _ = write!(
            text,
            "\n## What ends in another way when it is recorded\n{differ}\n## What ends in several ways alone, too\n\
             {flaky}\n## What is refused\n\nThe exit status is 125 then; the tests end as they do alone.\n{refused}"
        );
        text
    }
}

fn cell(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => "not run".to_owned(),
        Some(Outcome::Failed(why)) => format!("**failed**: {why}"),
        Some(Outcome::NotThere) => "not there".to_owned(),
        Some(Outcome::Compared(Compared { ends, facts, .. })) if ends.is_empty() => match facts.status {
            // What `python -m test` says of a module that skips itself.
            0 | 4 => "skipped as a whole".to_owned(),
            status => format!("exit status {status}, alone as well"),
        },
        Some(Outcome::Compared(compared)) => {
            let count: usize = compared.ends.values().sum();
            let others: Vec<_> = compared
                .ends
                .iter()
                .filter(|(end, _)| *end != "ok")
                .map(|(end, count)| format!("{count} {end}"))
                .collect();
            if others.is_empty() { count.to_string() } else { format!("{count} ({})", others.join(", ")) }
        }
    }
}

fn told(one: &Unsteady) -> String {
    let ends = |ends: &BTreeSet<String>| ends.iter().cloned().collect::<Vec<_>>().join(" or ");
    format!("{} alone, {} recorded", ends(&one.alone), ends(&one.recorded))
}
