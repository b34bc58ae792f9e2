//! `crates/record/SOAK.md`.

use std::fmt::Write;

use std::collections::BTreeMap;

use super::attempt::{Checked, Facts};
use super::list::Program;
use super::{Outcome, Soak, Timing};
use crate::bench::median;
use crate::interpreters::{Interpreter, Tier};
use crate::{Result, workspace};

const HEAD: &str = "\
# The soak

Programs of all kinds, recorded on every CPython that was there, and every recorded fact compared with what the replay
predicts. Made by `cargo xtask soak`, which runs each program alone and recorded (the exit status has to be the same) and
verifies; `tests/soak.rs` checks this page against the list of programs, `xtask/soak/programs.json`.
";

/// What recording costs, as the bars have it: of programs that run this long alone, in seconds.
const LONG: f64 = 1.0;

/// Sums of a row or of all.
#[derive(Default)]
struct Sums {
    runs: u64,
    allocations: u64,
    facts: u64,
    diverged: u64,
    unverified: u64,
}

impl Sums {
    fn add(&mut self, facts: &Facts) {
        self.runs += 1;
        self.allocations += facts.allocations;
        self.facts += facts.facts;
        self.diverged += facts.diverged;
        self.unverified += facts.unverified;
    }

    fn cells(&self) -> String {
        let Self { runs, allocations, facts, diverged, unverified } = self;
        format!("{runs} | {allocations} | {facts} | {diverged} | {unverified}")
    }
}

impl Timing {
    /// How much longer the program takes, and how much more of the processors it uses, recorded; if it runs long enough
    /// for that to mean something.
    fn ratios(&self) -> Option<(f64, f64)> {
        let alone = median(&self.alone);
        let long = alone >= LONG && self.recorded.len() == self.alone.len();
        long.then(|| (median(&self.recorded) / alone, median(&self.recorded_cpu) / median(&self.alone_cpu)))
    }
}

/// What is known of a program on an interpreter.
#[derive(Default)]
struct Known<'a> {
    run: Option<&'a Outcome>,
    timing: Option<&'a Timing>,
}

/// The page.
pub(super) fn page(soak: &Soak, pythons: &[Interpreter]) -> String {
    let known = |program: &Program, python| Known {
        run: soak.results.get(&program.key(), python),
        timing: soak.timings.get(&program.key(), python),
    };
    let programs = soak.list.programs.iter();
    let rows: Vec<(&Program, Vec<Known>)> = programs
        .map(|program| (program, pythons.iter().map(|python| known(program, python)).collect()))
        .collect();
    if soak.tier != Tier::Blocks {
        return page_by_check(soak, &rows, pythons);
    }
    let mut text = HEAD.to_owned();
    let mut all = Sums::default();
    for (_, row) in &rows {
        row.iter().filter_map(Known::facts).for_each(|facts| all.add(facts));
    }
    let versions =
        (0..pythons.len()).filter(|&at| rows.iter().any(|(_, row)| row[at].facts().is_some())).count();
    let _ = write!(
        text,
        "\n## What was predicted\n\n{} allocations by {} programs on {versions} interpreters: {} facts, of which {} \
         diverged and {} could not be compared.\n\n",
        all.allocations,
        rows.len(),
        all.facts,
        all.diverged,
        all.unverified
    );
    let head: String =
        pythons.iter().fold(String::new(), |head, python| head + &format!(" {} |", python.label()));
    let rule = "--:|".repeat(pythons.len());
    let _ =
        writeln!(text, "Events in millions by interpreter; “–”: see below; empty: has not been run yet.\n");
    let _ = writeln!(text, "| program | runs | allocations | facts | diverged | unverified |{head}");
    let _ = writeln!(text, "|---|--:|--:|--:|--:|--:|{rule}");
    for (program, row) in &rows {
        let mut sums = Sums::default();
        row.iter().filter_map(Known::facts).for_each(|facts| sums.add(facts));
        let cells: Vec<_> = row.iter().map(|known| cell(known, |facts| facts.events)).collect();
        let _ = writeln!(text, "| {} | {} | {} |", program.name, sums.cells(), cells.join(" | "));
    }
    let totals: Vec<_> = (0..pythons.len())
        .map(|at| {
            millions(rows.iter().filter_map(|(_, row)| row[at].facts()).map(|facts| facts.events).sum())
        })
        .collect();
    let _ = writeln!(text, "| total | {} | {} |", all.cells(), totals.join(" | "));
    absent(&mut text, &rows, pythons);
    cost(&mut text, &rows, pythons);
    text
}

/// The page of a tier at which there is more to check than where blocks lie.
fn page_by_check(soak: &Soak, rows: &[(&Program, Vec<Known>)], pythons: &[Interpreter]) -> String {
    let (name, build) = (soak.tier.name(), &soak.build);
    let mut text = format!(
        "\
# The soak at tier `{name}`

Programs of all kinds, recorded at tier `{name}`, and every recorded fact compared with what the replay predicts. Made by
`cargo xtask soak --tier {name}`, which runs each program alone and recorded (the exit status has to be the same) and
verifies; `tests/soak.rs` checks this page against the list of programs, `xtask/soak/programs.json`. What had to be told,
because it cannot be predicted, stands beside what was. The digest of the sources that recorded and verified: `{build}`.
"
    );
    let facts_of = |at: usize| rows.iter().filter_map(move |(_, row)| row[at].facts());
    let columns: Vec<Column> = (0..pythons.len()).map(|at| Column::of(facts_of(at))).collect();
    let all = Column::of((0..pythons.len()).flat_map(facts_of));
    let facts = all.checks.values().map(|check| check.facts).sum::<u64>();
    let [diverged, unverified] = [all.sum(|check| check.diverged), all.sum(|check| check.unverified)];
    let objects =
        if all.objects > 0 { format!("{} objects were born. ", all.objects) } else { String::new() };
    let _ = write!(
        text,
        "\n## What was predicted\n\n{} runs, {} of them identical. {objects}{facts} facts, of which {diverged} diverged and \
         {unverified} could not be compared.\n\n| check | facts | diverged | unverified | given |\n|---|--:|--:|--:|---|\n",
        all.runs, all.identical
    );
    for (name, Checked { facts, diverged, unverified, given }) in &all.checks {
        let given: Vec<_> = given.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let _ = writeln!(text, "| {name} | {facts} | {diverged} | {unverified} | {} |", given.join(", "));
    }
    if !all.collections.is_empty() {
        let _ = write!(text, "\n## What collections did\n\n| | |\n|---|--:|\n");
        for (what, count) in &all.collections {
            let _ = writeln!(text, "| {} | {count} |", what.replace('_', " "));
        }
    }
    let head: String =
        pythons.iter().fold(String::new(), |head, python| head + &format!(" {} |", python.label()));
    let rule = "--:|".repeat(pythons.len());
    let _ = write!(
        text,
        "\n## By interpreter\n\nFacts by check; if not all were as predicted, how many were.\n\n| |{head}\n|---|{rule}\n"
    );
    let mut row = |name: &str, cell: &dyn Fn(&Column) -> String| {
        let cells: Vec<_> = columns.iter().map(cell).collect();
        let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
    };
    row("runs", &|column| column.runs.to_string());
    row("identical", &|column| column.identical.to_string());
    for name in all.checks.keys() {
        row(name, &|column| column.checks.get(name).map_or(String::new(), shown));
    }
    let _ = write!(
        text,
        "\n## By program\n\nFacts in millions by interpreter; “–”: see below; empty: has not been run yet.\n\n\
         | program |{head}\n|---|{rule}\n"
    );
    for (program, row) in rows {
        let cells: Vec<_> = row.iter().map(|known| cell(known, |facts| facts.facts)).collect();
        let _ = writeln!(text, "| {} | {} |", program.name, cells.join(" | "));
    }
    absent(&mut text, rows, pythons);
    cost(&mut text, rows, pythons);
    text
}

/// What came out on one interpreter, or on all.
#[derive(Default)]
struct Column {
    runs: u64,
    identical: u64,
    objects: u64,
    checks: BTreeMap<String, Checked>,
    collections: BTreeMap<String, u64>,
}

impl Column {
    fn of<'a>(runs: impl Iterator<Item = &'a Facts>) -> Self {
        let mut column = Self::default();
        for facts in runs {
            column.runs += 1;
            column.identical += u64::from(facts.diverged == 0);
            column.objects += facts.objects;
            for (name, check) in &facts.checks {
                column.checks.entry(name.clone()).or_default().add(check);
            }
            for (what, count) in &facts.collections {
                *column.collections.entry(what.clone()).or_default() += count;
            }
        }
        column
    }

    fn sum(&self, number: fn(&Checked) -> u64) -> u64 {
        self.checks.values().map(number).sum()
    }
}

/// How many facts there were, and how many of them were as predicted if not all were.
fn shown(check: &Checked) -> String {
    let Checked { facts, diverged, unverified, .. } = check;
    match facts - diverged - unverified {
        verified if verified == *facts => facts.to_string(),
        verified => format!("{verified} of {facts}"),
    }
}

/// How many there were of something in a run, in millions.
fn cell(known: &Known, number: fn(&Facts) -> u64) -> String {
    match known.run {
        Some(Outcome::Facts(facts)) if facts.diverged > 0 => "**diverged**".to_owned(),
        Some(Outcome::Facts(facts)) if facts.status == 0 => millions(number(facts)),
        // It ended so alone, too.
        Some(Outcome::Facts(facts)) => format!("{} (exit {})", millions(number(facts)), facts.status),
        Some(Outcome::Failed(_)) => "**failed**".to_owned(),
        Some(Outcome::NotThere(_)) => "–".to_owned(),
        None => String::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
fn millions(events: u64) -> String {
    format!("{:.1}", events as f64 / 1e6)
}

/// What did not run where, and why.
fn absent(text: &mut String, rows: &[(&Program, Vec<Known>)], pythons: &[Interpreter]) {
    let mut lines = String::new();
    for (program, row) in rows {
        // Reasons with the interpreters that they hold for.
        let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
        for (known, python) in row.iter().zip(pythons) {
            let why = match known.run {
                Some(Outcome::NotThere(why)) => why.clone(),
                Some(Outcome::Failed(why)) => format!("**failed**: {why}"),
                Some(Outcome::Facts(_)) | None => continue,
            };
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, labels)) => labels.push(python.label()),
                None => reasons.push((why, vec![python.label()])),
            }
        }
        for (why, labels) in reasons {
            let _ =
                writeln!(lines, "| {} | {} | {} |", program.name, labels.join(", "), why.replace('|', "\\|"));
        }
    }
    if !lines.is_empty() {
        let _ = write!(text, "\n## What did not run\n\n| program | on | why |\n|---|---|---|\n{lines}");
    }
}

/// What recording costs.
fn cost(text: &mut String, rows: &[(&Program, Vec<Known>)], pythons: &[Interpreter]) {
    let ratios = |known: &Known| known.timing.and_then(Timing::ratios);
    let timed: Vec<_> =
        rows.iter().filter(|(_, row)| row.iter().any(|known| ratios(known).is_some())).collect();
    if timed.is_empty() {
        return;
    }
    let all: Vec<_> = timed.iter().flat_map(|(_, row)| row.iter().filter_map(ratios)).collect();
    let [wall, cpu] = [0, 1].map(|at| all.iter().map(|&(wall, cpu)| [wall, cpu][at]).collect::<Vec<f64>>());
    let worst = |ratios: &[f64]| ratios.iter().copied().fold(0.0, f64::max);
    let _ = write!(
        text,
        "\n## What recording costs\n\nTime recorded over time alone, in turns in one session (medians of rounds); of \
         programs that take a second or more alone. Of {} runs the median is {:.2}× and the worst {:.2}×; of the \
         processors' time, in which the second processor's is counted that writes the trace, {:.2}× and {:.2}×.\n\n",
        wall.len(),
        median(&wall),
        worst(&wall),
        median(&cpu),
        worst(&cpu)
    );
    let head: String =
        pythons.iter().fold(String::new(), |head, python| head + &format!(" {} |", python.label()));
    let _ = writeln!(text, "| program |{head}\n|---|{}", "--:|".repeat(pythons.len()));
    for (program, row) in timed {
        let cells: Vec<_> = row
            .iter()
            .map(|known| ratios(known).map_or(String::new(), |(wall, _)| format!("{wall:.2}×")))
            .collect();
        let _ = writeln!(text, "| {} | {} |", program.name, cells.join(" | "));
    }
}

impl Known<'_> {
    fn facts(&self) -> Option<&Facts> {
        match self.run {
            Some(Outcome::Facts(facts)) => Some(facts),
            _ => None,
        }
    }
}

/// Writes the page.
pub(super) fn write(tier: Tier, page: &str) -> Result<()> {
    let name = match tier {
        Tier::Blocks => "SOAK.md",
        Tier::Collections => "SOAK-COLLECTIONS.md",
        Tier::Objects => "SOAK-OBJECTS.md",
        Tier::Counts => "SOAK-COUNTS.md",
    };
    let path = workspace::root().join("crates/record").join(name);
    std::fs::write(&path, page).map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!("{}: written", workspace::shown(&path));
    Ok(())
}
