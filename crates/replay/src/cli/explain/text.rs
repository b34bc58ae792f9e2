//! The report for people.

use super::Told;
use crate::cli::numbers;
use crate::cli::page::{self, Page, clean, cut, percent};
use crate::explain::{
    Alive, Census, Collection, Count, Cycle, Details, Example, Form, Kept, Member, OfType, Report, Step,
    Taken, Totals, Way, Why, WhyAlive, WhyKept,
};

/// How many rows the drawing has.
const ROWS: u32 = 6;
/// Of how many kinds of cycles there is an example.
const EXAMPLES: usize = 6;
/// As many objects of a cycle, or a way, are shown.
const SHOWN: usize = 9;

/// The reports of all traces, one after the other.
pub(super) fn text(told: &[Told], top: usize, width: Option<u16>) -> String {
    let reports: Vec<_> = told
        .iter()
        .filter_map(|Told { path, result }| {
            let report = result.as_ref().ok()?;
            let mut page = Page::new(width, top, "--top, --json");
            tell(&mut page, path, report);
            Some(page.out)
        })
        .collect();
    reports.join("\n\n")
}

fn tell(page: &mut Page, path: &str, report: &Report) {
    let Report { program, python, events, seconds, collections, .. } = report;
    page.say(&format!("{}: {}, CPython {}", clean(path), clean(program), clean(python)));
    page.say(&format!(
        "{} events in {seconds:.1} s, {} collections of cycles",
        numbers::count(*events),
        numbers::count(*collections)
    ));
    if let Some(parent) = &report.forked_from {
        page.say(&format!("Its past, up to the fork from {}, is told of as well.", clean(parent)));
    }
    known(page, report);
    if *collections > report.unseen {
        generations(page, report);
        pauses(page, report);
        drawing(page, report);
        largest(page, report);
        garbage(page, report);
        kept(page, report);
    }
    if let Some(census) = &report.census {
        cycles(page, census);
    }
    alive(page, report);
    if let Some(why) = &report.why_alive {
        why_alive(page, why);
    }
}

/// What of it is known, and how certain that is.
fn known(page: &mut Page, report: &Report) {
    let replayed = report.collections - report.unseen;
    match report.verified {
        None => page.say(
            "The trace does not tell who refers to whom when a collection looks: when collections began and how many \
             objects they found is as it was recorded; deaths are those of a replay that was verified.",
        ),
        Some(verified) if verified == replayed && replayed > 0 => page.say(&format!(
            "Replayed: {}. All of these are as CPython did them, as far as that was observed.",
            numbers::count(replayed)
        )),
        Some(verified) if replayed > 0 => page.say(&format!(
            "Replayed: {}. Only the first {} of these are known to be as CPython did them: the others are not verified \
             (`replay verify` tells where it differs).",
            numbers::count(replayed),
            numbers::count(verified)
        )),
        Some(_) => {}
    }
    if report.unseen > 0 && report.unseen_from.is_none() {
        page.say(&format!("Not seen: {}, of which nothing is told here.", numbers::count(report.unseen)));
    }
    if let Some(event) = report.unseen_from {
        page.say(&format!(
            "Not seen: {}. From event {} on nothing is known of collections.",
            numbers::count(report.unseen),
            numbers::count(event)
        ));
    }
}

fn generations(page: &mut Page, report: &Report) {
    let mut all = Totals::default();
    for of in &report.generations {
        all.collections += of.collections;
        all.due += of.due;
        all.asked += of.asked;
        all.at_exit += of.at_exit;
        all.held_back += of.held_back;
        all.armed += of.armed;
        all.armed_most = all.armed_most.max(of.armed_most);
        all.examined += of.examined;
        all.unreachable = all.unreachable.saturating_add(of.unreachable);
        all.saved += of.saved;
        all.uncollectable += of.uncollectable;
        all.finalizers += of.finalizers;
        all.callbacks += of.callbacks;
        all.nanoseconds = all.nanoseconds.saturating_add(of.nanoseconds);
        all.nanoseconds_most = all.nanoseconds_most.max(of.nanoseconds_most);
    }
    let names = ["0 (youngest)", "1", "2 (full)", "all"];
    let tells_graph = report.census.is_some();
    let rows = names.into_iter().zip(report.generations.iter().chain([&all])).map(|(name, of)| {
        let counts = [of.collections, of.due, of.asked, of.at_exit, of.examined, of.unreachable];
        let mut row = vec![name.to_owned()];
        row.extend(counts.map(numbers::count));
        row.push(percent(of.unreachable, of.examined));
        row
    });
    let head = [
        "generation",
        "collections",
        "due",
        "asked for",
        "at exit",
        "examined",
        "unreachable",
        "of examined",
    ];
    // What never was, and what is not known, has no column.
    let is_told = |(at, cell): (usize, String)| {
        let is_known = match at {
            3 => all.asked > 0,
            4 => all.at_exit > 0,
            _ => true,
        };
        (is_known && (tells_graph || matches!(at, 0 | 1 | 6))).then_some(cell)
    };
    let told = |row: Vec<String>| row.into_iter().enumerate().filter_map(is_told).collect();
    let rows = rows.map(told).collect();
    page.table_of(
        "Collections, by the oldest generation that was looked at",
        told(head.map(str::to_owned).into()),
        1,
        rows,
    );
    if !tells_graph {
        return;
    }
    if all.armed > 0 {
        page.say(&format!(
            "Those that were due waited {} events for a safe point on average, {} at most.",
            numbers::count(all.armed / all.due.max(1)),
            numbers::count(all.armed_most)
        ));
    }
    let facts = [
        ("Full collections held back, since less than a quarter of the old objects was new", all.held_back),
        ("Safe points at which nothing was due", report.idle),
        ("Finalizers that ran", all.finalizers),
        ("Callbacks of weak references that ran", all.callbacks),
        ("Objects that these saved", all.saved),
        ("Objects that could not be collected", all.uncollectable),
    ];
    for (what, count) in facts.into_iter().filter(|(_, count)| *count > 0) {
        page.say(&format!("{what}: {}.", numbers::count(count)));
    }
}

/// How long collections took.
fn pauses(page: &mut Page, report: &Report) {
    let all = report.generations.iter().map(|of| of.nanoseconds).fold(0, u64::saturating_add);
    if all == 0 {
        return;
    }
    let rows: Vec<_> = (0..3)
        .zip(&report.generations)
        .filter(|(_, of)| of.measured > 0)
        .map(|(generation, of): (u8, _)| {
            let times = [of.nanoseconds, of.nanoseconds / of.measured, of.nanoseconds_most];
            let [all, mean, most] = times.map(numbers::nanoseconds);
            [generation.to_string(), all, percent(of.nanoseconds, report.nanoseconds()), mean, most]
        })
        .collect();
    let head = ["generation", "time", "of the run", "on average", "longest"];
    page.table("How long they took, without what the recorder read of them", head, 1, rows);
}

/// Garbage over time as columns, and below them when which generations were collected.
fn drawing(page: &mut Page, report: &Report) {
    // No column's number is longer than that of all of them.
    let all = report.generations.iter().map(|of| of.unreachable).fold(0, u64::saturating_add);
    let left = numbers::count(all).len().max(5) + 2;
    let columns = report.timeline.columns(report.events, page.room().saturating_sub(left).max(10));
    let most = columns.iter().map(|step| step.unreachable).max().unwrap_or(0);
    let eighths: Vec<u32> = columns
        .iter()
        .map(|Step { unreachable, .. }| {
            // What was found is seen, however little.
            let height = u128::from(*unreachable) * u128::from(ROWS * 8) / u128::from(most.max(1));
            u32::try_from(height).unwrap_or(ROWS * 8).max(u32::from(*unreachable > 0))
        })
        .collect();
    let width = left - 2;
    let label = |row| match row {
        row if row == ROWS - 1 => format!("{:>width$} ┤", numbers::count(most)),
        _ => format!("{:>width$} │", ""),
    };
    page.out.push('\n');
    page.say(
        "Garbage over time: objects found unreachable, and below when collections looked at which generation",
    );
    page.out.push('\n');
    page.out.push_str(&page::columns(&eighths, ROWS, label));
    let axis: String = std::iter::repeat_n('─', columns.len()).collect();
    page.out.push_str(&format!("{:>width$} └{axis}\n", 0));
    for generation in (0..3).rev() {
        let marks: String = columns
            .iter()
            .map(|step| match step.collections[generation] {
                0 => ' ',
                1 => '·',
                2..=9 => ':',
                _ => '#',
            })
            .collect();
        let line = format!("{:>width$}  {marks}", format!("gen {generation}"));
        page.out.push_str(line.trim_end());
        page.out.push('\n');
    }
    page.say(&format!("(· one, : up to nine, # more; from event 0 to {})", numbers::count(report.events)));
}

/// Why a collection began.
fn why(generation: u8, details: &Details) -> String {
    let at = usize::from(generation.min(2));
    match details.why {
        Why::Asked => format!("gc.collect({generation})"),
        Why::AtExit => "the interpreter ends".to_owned(),
        Why::Due => {
            let due = format!("{} > {}", numbers::count(details.counts[at]), details.thresholds[at]);
            match details.held_back {
                Some([pending, enough]) => {
                    format!("{due}; full: {} new < {}", numbers::count(pending), numbers::count(enough))
                }
                None => due,
            }
        }
    }
}

fn largest(page: &mut Page, report: &Report) {
    let rows: Vec<_> = report
        .largest
        .iter()
        .take(page.top)
        .map(|Collection { number, event, generation, unreachable, nanoseconds, details }| {
            let [why, examined, share] = match details {
                Some(details) => [
                    why(*generation, details),
                    numbers::count(details.examined),
                    percent(*unreachable, details.examined),
                ],
                None => ["", "–", "–"].map(str::to_owned),
            };
            let [number, event, unreachable] = [*number, *event, *unreachable].map(numbers::count);
            let time = nanoseconds.map_or_else(|| "–".to_owned(), numbers::nanoseconds);
            [format!("{generation}"), why, number, event, examined, unreachable, share, time]
        })
        .collect();
    if rows.is_empty() {
        page.out.push('\n');
        return page.say("No collection found anything unreachable.");
    }
    let head = ["generation", "why", "number", "at event", "examined", "unreachable", "of examined", "time"];
    // What was measured takes the place of what can be computed.
    let left_out = if rows.iter().any(|row| row[7] != "–") { 6 } else { 7 };
    let cut = |row: [String; 8]| -> Vec<String> {
        row.into_iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, cell)| cell).collect()
    };
    let rows = rows.into_iter().map(cut).collect::<Vec<_>>();
    page.table_of("Collections that found most", cut(head.map(str::to_owned)), 2, rows);
}

fn types(page: &mut Page, title: &str, types: &[OfType], tells_bytes: bool) {
    let all: u64 = types.iter().map(|of| of.count.objects).sum();
    let rows: Vec<Vec<_>> = types
        .iter()
        .take(page.top)
        .map(|OfType { name, count: Count { objects, bytes } }| {
            let bytes = tells_bytes.then(|| numbers::bytes(*bytes));
            [cut(name), numbers::count(*objects), percent(*objects, all)].into_iter().chain(bytes).collect()
        })
        .collect();
    let bytes = tells_bytes.then_some("bytes");
    let head = ["type", "objects", "of all"].into_iter().chain(bytes).map(str::to_owned).collect();
    page.table_of(title, head, 1, rows);
    page.more(types.len(), "types");
}

fn garbage(page: &mut Page, report: &Report) {
    if !report.garbage.is_empty() {
        let tells_graph = report.census.is_some();
        let title =
            if tells_graph { "Garbage, by type" } else { "Objects that died in collections, by type" };
        types(page, title, &report.garbage, tells_graph);
    }
    if !report.saved.is_empty() {
        types(page, "Garbage that finalizers and callbacks saved, by type", &report.saved, true);
    }
}

fn kept(page: &mut Page, report: &Report) {
    if report.kept.is_empty() {
        return;
    }
    let rows: Vec<_> = report
        .kept
        .iter()
        .take(page.top)
        .map(|Kept { name, why, count }| {
            let why = match why {
                WhyKept::LegacyFinalizer => "it has a tp_del, which no collector runs",
                WhyKept::SaveAll => "gc.DEBUG_SAVEALL",
            };
            [cut(name), why.to_owned(), numbers::count(count.objects), numbers::bytes(count.bytes)]
        })
        .collect();
    page.table("Uncollectable: what has come to gc.garbage", ["type", "why", "objects", "bytes"], 2, rows);
    page.more(report.kept.len(), "types");
}

/// The types along a cycle, back to the first.
fn signature(Cycle { signature, form, lengths, .. }: &Cycle) -> String {
    let names: Vec<_> = signature.iter().map(|name| cut(name)).collect();
    let along = names.join(" → ");
    let [least, most] = lengths;
    let length = if least == most { least.to_string() } else { format!("{least} to {most}") };
    match form {
        Form::Whole => format!("{along} → {}", names.first().map_or("", String::as_str)),
        Form::Repeated => format!("{along} → … again and again ({length} objects)"),
        Form::Cut => format!("{along} → … ({length} objects)"),
    }
}

fn cycles(page: &mut Page, census: &Census) {
    if census.cycles.is_empty() {
        return;
    }
    let row = |name: String, of: &Cycle| {
        let found: Vec<_> = (0..3).filter(|&at| of.found_in[at] > 0).map(|at| at.to_string()).collect();
        let counts = [of.times, of.members.objects, of.hanging.objects].map(numbers::count);
        let [times, members, hanging] = counts;
        let bytes = numbers::bytes(of.members.bytes + of.hanging.bytes);
        let waited = numbers::count(of.waited_mean);
        [name, times, members, hanging, bytes, waited, found.join(" ")]
    };
    let mut rows: Vec<_> = (1..)
        .zip(census.cycles.iter().take(page.top))
        .map(|(at, of): (u32, _)| row(format!("{at}. {}", signature(of)), of))
        .collect();
    if let Some(others) = &census.others {
        rows.push(row("(other kinds)".to_owned(), others));
    }
    let head = ["types along the cycle", "times", "objects", "off them", "bytes", "waited ≤", "gen"];
    page.table("Cyclic garbage, by kind", head, 1, rows);
    page.more(census.cycles.len(), "kinds");
    page.say("(Off them: hangs off, in no cycle. Waited: in events, at most, on average. Gen: of the collections that found it.)");
    if census.in_no_cycle.objects > 0 {
        page.say(&format!(
            "In no cycle, nor off one: {} objects.",
            numbers::count(census.in_no_cycle.objects)
        ));
    }
    if census.is_limited {
        page.say("Some garbage was large: there, a shorter cycle may have been missed, and what is retained is not known.");
    }
    page.out.push('\n');
    page.say("Examples, of each kind the smallest; ⇒ is the reference that closed the cycle");
    for (at, of) in (1..).zip(census.cycles.iter().take(page.top.min(EXAMPLES))) {
        if let Some(example) = &of.example {
            self::example(page, at, of, example);
        }
    }
}

fn named(Member { object, of, .. }: &Member) -> String {
    format!("{} {object}", cut(of))
}

fn example(page: &mut Page, at: usize, kind: &Cycle, example: &Example) {
    let Example { collection, generation, event, waited, length, members, hanging, cycle, closing, .. } =
        example;
    let mut line = String::new();
    let shown = if cycle.len() > SHOWN { SHOWN - 1 } else { cycle.len() };
    for (place, member) in cycle.iter().take(shown).enumerate() {
        if place > 0 {
            let closes = [cycle[place - 1].object, member.object] == *closing;
            line.push_str(if closes { " ⇒ " } else { " → " });
        }
        line.push_str(&named(member));
    }
    if let (Some(first), Some(last)) = (cycle.first(), cycle.get(shown.wrapping_sub(1))) {
        let left = *length - shown as u64;
        if left > 0 {
            line.push_str(&format!(" → … {} more …", numbers::count(left)));
        }
        let closes = left == 0 && [last.object, first.object] == *closing;
        line.push_str(if closes { " ⇒ " } else { " → " });
        line.push_str(&named(first));
    }
    page.paragraph(&format!("{at:>2}. "), &line);
    let types: Vec<_> = kind
        .types
        .iter()
        .take(5)
        .map(|OfType { name, count }| format!("{} {}", cut(name), numbers::count(count.objects)))
        .collect();
    let more = if kind.types.len() > 5 { ", …" } else { "" };
    page.paragraph(
        "    ",
        &format!(
            "found by collection {} (generation {generation}, event {}), waited {} events at most; {} in it, {} off it",
            numbers::count(*collection),
            numbers::count(*event),
            numbers::count(*waited),
            numbers::count(*members),
            numbers::count(*hanging)
        ),
    );
    page.paragraph("    ", &format!("all of this kind: {}{more}", types.join(", ")));
}

fn alive(page: &mut Page, report: &Report) {
    let tells_bytes = report.census.is_some();
    let unknown = &report.alive_unknown;
    let unknown = (unknown.at_exit.objects + unknown.at_end.objects > 0).then_some(unknown);
    if report.alive.is_empty() && unknown.is_none() {
        return;
    }
    let is_left = |of: &Alive| of.at_end.objects > 0;
    let tells_end = !report.tells_exit || report.alive.iter().chain(unknown).any(is_left);
    let row = |of: &Alive| {
        let name = of.name.as_deref().map_or_else(|| "(looked at by none)".to_owned(), cut);
        let cells = |count: Count| {
            let bytes = tells_bytes.then(|| numbers::bytes(count.bytes));
            [Some(numbers::count(count.objects)), bytes].into_iter().flatten()
        };
        let counts = [report.tells_exit.then_some(of.at_exit), tells_end.then_some(of.at_end)];
        [name].into_iter().chain(counts.into_iter().flatten().flat_map(cells)).collect::<Vec<_>>()
    };
    let rows = report.alive.iter().take(page.top).chain(unknown).map(row).collect();
    let bytes = tells_bytes.then_some("bytes");
    let names = [report.tells_exit.then_some("at exit"), tells_end.then_some("at the end")];
    let head = ["type"]
        .into_iter()
        .chain(names.into_iter().flatten().flat_map(|name| [Some(name), bytes]).flatten());
    let title = match (report.tells_exit, tells_end) {
        (true, true) => {
            "Alive when the interpreter began to finalize (at exit), and when the recording ended"
        }
        (true, false) => {
            "Alive when the interpreter began to finalize (at exit); none was when the recording ended"
        }
        (false, _) => "Alive when the recording ended",
    };
    page.table_of(title, head.map(str::to_owned).collect(), 1, rows);
    page.more(report.alive.len(), "types");
}

fn why_alive(page: &mut Page, WhyAlive { asked, picture }: &WhyAlive) {
    page.out.push('\n');
    page.say(&format!(
        "Why {} is alive, as of collection {} (before event {}{}), which looked at {}: there were {}, and {} of them \
         were garbage",
        clean(asked),
        numbers::count(picture.collection),
        numbers::count(picture.event),
        match picture.taken {
            Taken::ByNumber | Taken::NoneFull => "",
            Taken::LastFull => "; the last full one before the exit",
            Taken::FirstAtExit => "; the first full one at exit, since none before it looked at such",
        },
        match picture.generation {
            0 => "generation 0 only",
            1 => "generations 0 and 1",
            _ => "all generations",
        },
        numbers::count(picture.examined),
        numbers::count(picture.unreachable)
    ));
    for (at, Way { holds, path, length, outside }) in (1..).zip(picture.ways.iter().take(page.top)) {
        let left = length.saturating_sub(path.len() as u64);
        let outside = match outside {
            None => "immortal".to_owned(),
            Some(1) => "1 reference from outside".to_owned(),
            Some(references) => format!("{} references from outside", numbers::count(*references)),
        };
        let skipped = path.len().saturating_sub(SHOWN);
        let mut names: Vec<_> = path.iter().map(named).collect();
        if left > 0 || skipped > 0 {
            let kept = usize::from(left == 0);
            let word = format!("… {} more …", numbers::count(left + skipped as u64));
            names.splice(kept..kept + skipped, [word]);
        }
        page.paragraph(
            &format!("{at:>2}. "),
            &format!("{} held by: ({outside}) → {}", numbers::count(*holds), names.join(" → ")),
        );
    }
    if picture.more_ways > 0 || picture.ways.len() > page.top {
        let more = picture.more_ways + picture.ways.len().saturating_sub(page.top) as u64;
        page.say(&format!("… and {} more ways that hold fewer", numbers::count(more)));
    }
    if picture.generation < 2 {
        page.say(
            "It was no full collection: what is held from outside may be held by an older container. To see all, let the \
             program call gc.collect() where you want to know, and record it again.",
        );
    }
}
