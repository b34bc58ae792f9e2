//! The report for people.

use std::fmt::Write;

use super::{Told, curve};
use crate::cli::numbers;
use crate::cli::page::{Page, clean, cut, percent};
use crate::stats::{Curve, Objects, Period, Quantiles, Report, Type, Ways};

/// The reports of all traces, one after the other.
pub(super) fn text(told: &[Told], top: usize, width: Option<u16>) -> String {
    let reports: Vec<_> = told
        .iter()
        .filter_map(|Told { path, result }| {
            let (report, curve) = result.as_ref().ok()?;
            Some(Page::new(width, top, "--top, --csv, --json").report(path, report, curve))
        })
        .collect();
    reports.join("\n\n")
}

impl Page {
    fn report(mut self, path: &str, report: &Report, curve: &Curve) -> String {
        let Report { program, python, objects, .. } = report;
        self.say(&format!("{}: {}, CPython {}", clean(path), clean(program), clean(python)));
        self.say(&format!(
            "{} events, {} allocated, {} objects of {} types born ({} in recycled blocks)",
            numbers::count(report.events),
            numbers::bytes(report.bytes_allocated),
            numbers::count(objects.born),
            numbers::count(report.types.len() as u64),
            percent(objects.recycled, objects.born),
        ));
        if let Some(parent) = &report.forked_from {
            self.say(&format!("Its past, up to the fork from {}, is counted as well.", clean(parent)));
        }
        self.ends(report);
        self.lifetimes(report, curve);
        self.types(report);
        self.sizes(report);
        self.cascades(report);
        self.hidden(report);
        self.hidden_references(report);
        self.out
    }

    fn ends(&mut self, report: &Report) {
        let Objects { born, outlived, died, .. } = report.objects;
        let Ways { alone, explained, hidden, after_code } = died.running;
        let row = |name: &str, count: u64| [name.to_owned(), numbers::count(count), percent(count, born)];
        let mut rows = vec![
            row("inside another's death", explained + hidden + after_code),
            row("  which gave up the last reference", explained),
            row("  hidden: no known reference explains it", hidden),
            row("  after program code ran in that", after_code),
            row("alone", alone),
        ];
        if report.tells_collections {
            rows.push(row("in collections", died.in_collections.all()));
        }
        if report.tells_exit {
            rows.push(row("at exit", died.at_exit.all()));
        }
        rows.push(row("outlived the program", outlived));
        rows.push(row("born", born));
        self.table("How objects died", ["", "objects", "of born"], 1, rows);
        if !report.tells_collections {
            self.say(
                "At tier objects it is not told which deaths happened in collections: what these freed is counted as alone \
                 or inside. (`replay explain` tells what they found, if the trace holds them.)",
            );
        }
        if !report.tells_exit {
            self.say("The trace does not tell when the exit began: what died then is counted as if the program ran.");
        }
    }

    fn lifetimes(&mut self, report: &Report, curve: &Curve) {
        let Objects { born, bytes, lifetime, .. } = report.objects;
        let [in_bytes, events] =
            [quantiles(lifetime.bytes, numbers::bytes), quantiles(lifetime.events, numbers::count)];
        let row = |name: &str, [p50, p90, p99, max]: [String; 4]| [name.to_owned(), p50, p90, p99, max];
        self.table(
            "Lifetimes: by which age so many of all objects born had died",
            ["", "50 %", "90 %", "99 %", "longest"],
            1,
            [row("bytes allocated meanwhile", in_bytes), row("events meanwhile", events)],
        );
        if born == 0 {
            return;
        }
        let drawn = curve::draw(|age| curve.alive(age), report.bytes_allocated, self.room());
        self.out.push('\n');
        self.say("Survival: the share of all objects born that were alive so many allocated bytes later");
        let _ = write!(self.out, "\n{drawn}");
        let rows = report.survival.iter().filter(|row| row.age.to_string().starts_with('1'));
        let rows: Vec<_> = rows
            .map(|row| {
                [
                    if row.age == 1 { "1 byte".to_owned() } else { numbers::bytes(row.age) },
                    numbers::count(born - row.died),
                    percent(born - row.died, born),
                    percent(bytes - row.died_bytes, bytes),
                ]
            })
            .collect();
        let title = "Survival, by objects and by the bytes of their blocks";
        self.table(title, ["at an age of", "alive", "of all objects", "of their bytes"], 0, rows);
    }

    fn types(&mut self, report: &Report) {
        let all = report.objects.born;
        let shown = || report.types.iter().take(self.top);
        let births: Vec<_> = shown()
            .map(|Type { name, objects, .. }| {
                let Ways { alone, .. } = objects.died.running;
                let Objects { born, outlived, .. } = *objects;
                [
                    cut(name),
                    numbers::count(born),
                    percent(born, all),
                    percent(objects.died.running.all() - alone, born),
                    percent(alone, born),
                    percent(objects.died.in_collections.all(), born),
                    percent(objects.died.at_exit.all(), born),
                    percent(outlived, born),
                ]
            })
            .collect();
        let lifetimes: Vec<_> = shown()
            .map(|Type { name, objects, .. }| {
                let [p50, p90, p99, max] = quantiles(objects.lifetime.bytes, numbers::bytes);
                [cut(name), p50, p90, p99, max]
            })
            .collect();
        let events: Vec<_> = shown()
            .map(|Type { name, objects, .. }| {
                let [p50, p90, p99, max] = quantiles(objects.lifetime.events, numbers::count);
                [cut(name), p50, p90, p99, max]
            })
            .collect();
        let head = ["type", "born", "of all", "inside", "alone", "in collections", "at exit", "outlived"];
        let is_told = [true, true, true, true, true, report.tells_collections, report.tells_exit, true];
        let told = |row: [String; 8]| -> Vec<_> {
            row.into_iter().zip(is_told).filter(|(_, is_told)| *is_told).map(|(cell, _)| cell).collect()
        };
        let title = "Types with most births, and how their objects died";
        self.table_of(title, told(head.map(str::to_owned)), 1, births.into_iter().map(told).collect());
        self.more(report.types.len(), "types");
        let head = ["type", "50 %", "90 %", "99 %", "longest"];
        self.table("Their lifetimes in bytes allocated meanwhile", head, 1, lifetimes);
        self.table("Their lifetimes in events meanwhile", head, 1, events);
    }

    fn sizes(&mut self, report: &Report) {
        let mut types: Vec<_> = report.types.iter().collect();
        types.sort_by(|one, other| {
            other.objects.bytes.cmp(&one.objects.bytes).then_with(|| one.name.cmp(&other.name))
        });
        let size = |size: Option<u64>| size.map_or_else(|| "–".to_owned(), numbers::bytes);
        let rows: Vec<_> = types
            .iter()
            .take(self.top)
            .map(|of| {
                [
                    cut(&of.name),
                    numbers::bytes(of.objects.bytes),
                    percent(of.objects.bytes, report.objects.bytes),
                    size(of.size_median),
                    size(of.size_max),
                    percent(of.objects.recycled, of.objects.born),
                ]
            })
            .collect();
        let head = ["type", "bytes", "of all", "median", "largest", "recycled"];
        self.table("Types with most bytes: sizes of the blocks that objects were born in", head, 1, rows);
        self.more(types.len(), "types");
    }

    fn cascades(&mut self, report: &Report) {
        let cascades = &report.cascades;
        let Quantiles { p50, p90, p99, max } = cascades.inside;
        let [p50, p90, p99, max] = [p50, p90, p99, max].map(|number| numbers::count(number.unwrap_or(0)));
        let rows: Vec<_> = cascades
            .longest
            .iter()
            .map(|cascade| {
                let when = match cascade.when {
                    Period::Running => "",
                    Period::InCollection => "in a collection",
                    Period::AtExit => "at exit",
                };
                [
                    cascade.root.as_deref().map_or_else(|| UNSEEN.to_owned(), cut),
                    when.to_owned(),
                    numbers::count(cascade.event),
                    numbers::count(cascade.inside),
                    numbers::count(cascade.levels),
                    numbers::count(cascade.hidden),
                    numbers::count(cascade.after_code),
                    numbers::bytes(cascade.bytes),
                ]
            })
            .collect();
        let head = ["outermost", "", "at event", "died inside", "levels", "hidden", "after code", "bytes"];
        let title = "Longest cascades: objects that died inside of one outermost death";
        if rows.iter().all(|[_, when, ..]| when.is_empty()) {
            let without = |[root, _, rest @ ..]: [String; 8]| [vec![root], rest.to_vec()].concat();
            let rows = rows.into_iter().map(without).collect();
            self.table_of(title, without(head.map(str::to_owned)), 1, rows);
        } else {
            self.table(title, head, 2, rows);
        }
        self.say(&format!(
            "{} outermost deaths, {} of them took nothing along; inside of one died {:.2} objects on average (50 %: \
             up to {p50}, 90 %: {p90}, 99 %: {p99}, at most {max})",
            numbers::count(cascades.outermost),
            percent(cascades.alone, cascades.outermost),
            cascades.mean_inside.unwrap_or(0.0),
        ));
    }

    fn hidden(&mut self, report: &Report) {
        if report.hidden.is_empty() {
            return;
        }
        let all: u64 = report.hidden.iter().map(|hidden| hidden.deaths).sum();
        let rows: Vec<_> = report
            .hidden
            .iter()
            .take(self.top)
            .map(|hidden| {
                [
                    hidden.inside.as_deref().map_or_else(|| UNSEEN.to_owned(), cut),
                    cut(&hidden.died),
                    numbers::count(hidden.deaths),
                    percent(hidden.deaths, all),
                ]
            })
            .collect();
        let head = ["inside of the death of", "died", "deaths", "of these"];
        self.table("Hidden edges: deaths that no known reference explains", head, 2, rows);
        self.more(report.hidden.len(), "pairs");
    }

    fn hidden_references(&mut self, report: &Report) {
        if report.hidden_references.is_empty() {
            return;
        }
        let all: u64 = report.hidden_references.iter().map(|hidden| hidden.references).sum();
        let name = |name: &Option<String>| name.as_deref().map_or_else(|| UNSEEN.to_owned(), cut);
        let rows: Vec<_> = report
            .hidden_references
            .iter()
            .take(self.top)
            .map(|hidden| {
                [
                    name(&hidden.of),
                    name(&hidden.to),
                    numbers::count(hidden.references),
                    percent(hidden.references, all),
                ]
            })
            .collect();
        let head = ["given up by a dying", "to", "references", "of these"];
        self.table("Hidden references: of which their objects had not told", head, 2, rows);
        self.more(report.hidden_references.len(), "pairs");
    }
}

/// In the place of the type of an object whose birth was not seen.
const UNSEEN: &str = "(born unseen)";

/// Four cells.
fn quantiles(quantiles: Quantiles, tell: impl Fn(u64) -> String) -> [String; 4] {
    let Quantiles { p50, p90, p99, max } = quantiles;
    let [p50, p90, p99] = [p50, p90, p99].map(|number| number.map_or_else(|| "outlived".to_owned(), &tell));
    [p50, p90, p99, max.map_or_else(|| "–".to_owned(), &tell)]
}
