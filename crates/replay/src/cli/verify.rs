//! `replay verify`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};

use super::{UNUSABLE, answer, complain, junit, numbers, traces_in};
use crate::compare::Check;
use crate::engine::CollectionCounts;
use crate::verify::{TraceReport, Verdict, verify};

/// Replay traces and compare every answer with CPython's.
///
/// Exit status: 0 if all are identical, 1 if one diverged, 2 if one could not be used.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Traces, or folders to search for traces (*.viv)
    #[arg(required = true, value_name = "TRACE|FOLDER")]
    traces: Vec<PathBuf>,
    /// The checks to make, separated by commas [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    check: Vec<Check>,
    /// How many traces to verify at a time (each keeps two processors busy) [default: half the processors]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Write the results to a file as well, as JUnit's XML: a suite for each trace, a case for each check
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let traces = match traces_in(&arguments.traces) {
        Ok(traces) => traces,
        Err(status) => return status,
    };
    let mut checks = if arguments.check.is_empty() { Check::ALL.to_vec() } else { arguments.check.clone() };
    checks.sort_unstable();
    checks.dedup();
    let reports = verify_all(&traces, &checks, arguments.jobs);
    if let Some(path) = &arguments.junit
        && let Err(error) = junit::write(&reports, path)
    {
        complain(format_args!("{}: {error}", path.display()));
        return ExitCode::from(UNUSABLE);
    }
    let text = if arguments.json { json(&reports) } else { table(&reports) };
    if let Err(error) = answer(&text) {
        complain(format_args!("standard output: {error}"));
        return ExitCode::from(UNUSABLE);
    }
    let any = |verdict| reports.iter().any(|report| report.verdict == verdict);
    if any(Verdict::Unreadable) {
        ExitCode::from(UNUSABLE)
    } else if any(Verdict::Diverged) {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    }
}

/// Verifies the traces, several at a time, and keeps their order.
fn verify_all(traces: &[PathBuf], checks: &[Check], jobs: Option<u16>) -> Vec<TraceReport> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let jobs = jobs.map_or((processors / 2).max(1), usize::from).min(traces.len());
    let bar = progress_bar(traces);
    let next = AtomicUsize::new(0);
    let reports = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(trace) = traces.get(index) else { break };
                    let mut seen = 0;
                    let report = verify(trace, checks, |bytes| {
                        bar.inc(bytes.saturating_sub(seen));
                        seen = seen.max(bytes);
                    });
                    let mut reports = reports.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    reports.push((index, report));
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut reports = reports.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    reports.sort_by_key(|(index, _)| *index);
    reports.into_iter().map(|(_, report)| report).collect()
}

/// Shows itself only if standard error is a terminal.
pub(super) fn progress_bar(traces: &[PathBuf]) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bytes = traces.iter().filter_map(|trace| trace.metadata().ok()).map(|metadata| metadata.len()).sum();
    let style = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {eta} left");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn json(reports: &[TraceReport]) -> String {
    let document = serde_json::json!({ "schema": 1, "traces": reports });
    format!("{document:#}\n")
}

fn table(reports: &[TraceReport]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let mut head = vec!["trace".to_owned(), "Python".to_owned(), "events".to_owned()];
    // A trace that could not be opened has none.
    let checks: Vec<Check> = reports
        .iter()
        .map(|report| report.checks.iter().map(|check| check.name).collect::<Vec<_>>())
        .max_by_key(Vec::len)
        .unwrap_or_default();
    head.extend(checks.iter().map(|check| check.name().to_owned()));
    head.extend(["seconds".to_owned(), "verdict".to_owned()]);
    table.set_header(head);
    for report in reports {
        let mut row = vec![
            report.path.clone(),
            report.python.clone().unwrap_or_default(),
            numbers::count(report.events),
        ];
        row.extend(checks.iter().map(|&name| {
            let found = report.checks.iter().find(|check| check.name == name);
            found.map_or_else(String::new, |check| {
                if check.verified == check.facts {
                    numbers::count(check.facts)
                } else {
                    format!("{} of {}", numbers::count(check.verified), numbers::count(check.facts))
                }
            })
        }));
        row.push(format!("{:.2}", report.seconds));
        row.push(
            match report.verdict {
                Verdict::Identical => "identical",
                Verdict::Diverged => "DIVERGED",
                Verdict::Unreadable => "UNREADABLE",
            }
            .to_owned(),
        );
        table.add_row(row);
    }
    let columns = table.column_count();
    for index in 2..columns.saturating_sub(1) {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = format!("{table}\n");
    for report in reports {
        tell(report, &mut text);
        text.push_str(&unverified(report, reports.len() > 1));
    }
    text.push_str(&given(reports));
    text.push_str(&collections(reports));
    let identical = reports.iter().filter(|report| report.verdict == Verdict::Identical).count();
    text.push_str(&format!("{identical} of {} identical\n", reports.len()));
    text
}

/// What had to be told about deaths, of all traces that tell of them: a line, if that is anything.
fn given(reports: &[TraceReport]) -> String {
    let of_deaths =
        reports.iter().flat_map(|report| &report.checks).filter(|check| check.name == Check::Deaths);
    let (mut facts, mut kinds) = (0, BTreeMap::new());
    for check in of_deaths {
        facts += check.facts;
        for (kind, number) in &check.given {
            *kinds.entry(kind).or_insert(0) += number;
        }
    }
    let told: Vec<_> = kinds
        .into_iter()
        .filter(|(_, number)| *number > 0)
        .map(|(kind, number)| format!("{kind} {}", numbers::count(number)))
        .collect();
    if told.is_empty() {
        return String::new();
    }
    format!("given beside {} facts about deaths: {}\n", numbers::count(facts), told.join(", "))
}

/// What the collections of all traces did, counted: a line, if there were any.
fn collections(reports: &[TraceReport]) -> String {
    let mut counts = CollectionCounts::default();
    reports.iter().filter_map(|report| report.collections.as_ref()).for_each(|more| counts.add(more));
    let told: Vec<_> = counts
        .named()
        .into_iter()
        .filter(|(_, number)| *number > 0)
        .map(|(name, number)| format!("{name} {}", numbers::count(number)))
        .collect();
    if told.is_empty() { String::new() } else { format!("collected: {}\n", told.join(", ")) }
}

/// What there is to say of a trace beyond its row in the table.
fn tell(report: &TraceReport, text: &mut String) {
    use std::fmt::Write;
    // Writing to a string cannot fail.
    if let Some(error) = &report.error {
        let _ = writeln!(text, "\n{}: {error}", report.path);
    }
    for check in &report.checks {
        if let Some(first) = &check.first {
            let _ = writeln!(text, "\n{}: {} diverged {}", report.path, check.name.name(), first.place());
            let _ = writeln!(text, "  predicted: {}", first.predicted);
            let _ = writeln!(text, "  observed:  {}", first.observed);
            for detail in &first.details {
                let _ = writeln!(text, "  {detail}");
            }
        }
        if report.verdict == Verdict::Unreadable && check.verified > 0 {
            let verified = numbers::count(check.verified);
            let _ = writeln!(text, "  {}: {verified} facts verified", check.name.name());
        }
    }
}

/// What could not be verified of a trace: a line for each reason, with the trace's path if there are others.
fn unverified(report: &TraceReport, has_others: bool) -> String {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for check in report.checks.iter().filter(|check| check.unverified > 0) {
        let why = check.why.as_deref().unwrap_or("unknown");
        let count = format!("{} {}", check.name.name(), numbers::count(check.unverified));
        match reasons.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, counts)) => counts.push(count),
            None => reasons.push((why, vec![count])),
        }
    }
    let path = if has_others { format!("{}: ", report.path) } else { "  ".to_owned() };
    let line =
        |(why, counts): (_, Vec<_>)| format!("{path}facts unverified: {} ({why})\n", counts.join(", "));
    reasons.into_iter().map(line).collect()
}
