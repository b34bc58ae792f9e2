//! The tables in `traces/README.md`: what the programs do, and where each trace comes from.

use std::fmt::Write;

use super::{Manifest, Program};
use crate::traces::Summary;
use crate::{Result, traces};

/// Writes the tables again.
pub(super) fn update(manifest: &Manifest) -> Result<()> {
    let path = super::folder().join("README.md");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut text = std::fs::read_to_string(&path).map_err(failed)?;
    for (name, table) in [("programs", programs(manifest)), ("traces", recordings(manifest)?)] {
        let (begin, end) = markers(name);
        text = replace(&text, name, &table).ok_or_else(|| {
            format!("{}: put the lines {begin} and {end} where the table is to be", path.display())
        })?;
    }
    std::fs::write(&path, text).map_err(failed)
}

fn markers(name: &str) -> (String, String) {
    (format!("<!-- {name}: written by cargo xtask corpus -->"), format!("<!-- /{name} -->"))
}

/// The text with something else between the markers of this name.
fn replace(text: &str, name: &str, between: &str) -> Option<String> {
    let (begin, end) = markers(name);
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    // Empty lines, so that it is a table and not the comment going on.
    Some(format!("{before}{begin}\n\n{between}\n{end}{after}"))
}

fn programs(manifest: &Manifest) -> String {
    let mut text = "| program | what it does |\n|---|---|\n".to_owned();
    for program in &manifest.programs {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| [{0}]({0}/{0}.py) | {1} |", program.name, program.about);
    }
    text
}

fn recordings(manifest: &Manifest) -> Result<String> {
    let mut text =
        "| trace | CPython | tier | program | events | arenas (given back) | bytes |\n|---|---|---|---|--:|--:|--:|\n"
            .to_owned();
    let (mut count, mut events, mut bytes) = (0, 0, 0);
    for program in &manifest.programs {
        for name in program.recordings().flat_map(|recording| recording.trace_names()) {
            let path = super::folder().join(&program.name).join(&name);
            if !path.exists() {
                continue;
            }
            let summary = traces::summary(&path)?;
            count += 1;
            events += summary.totals.events_of_all_kinds();
            bytes += summary.bytes;
            row(&mut text, program, &name, &summary);
        }
    }
    let _ = writeln!(text, "| {count} traces | | | | {events} | | {bytes} |");
    Ok(text)
}

fn row(text: &mut String, program: &Program, name: &str, summary: &Summary) {
    // Older versions break the line in it.
    let build = summary.header.interpreter.build.split_whitespace().collect::<Vec<_>>().join(" ");
    let command = program.command(&program.arguments)[1..].join(" ");
    let Summary { totals, bytes, .. } = summary;
    // An arena that was asked for and refused would be counted as given back: no program of ours meets one.
    let released = totals.arena_facts - totals.arenas;
    let _ = writeln!(
        text,
        "| [{name}]({0}/{name}) | {1} | {2} | `{command}` | {3} | {4} ({released}) | {bytes} |",
        program.name,
        build,
        summary.header.tier.name(),
        totals.events_of_all_kinds(),
        totals.arenas
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = "a\n<!-- x: written by cargo xtask corpus -->\nold\n<!-- /x -->\nz\n";
        let replaced = "a\n<!-- x: written by cargo xtask corpus -->\n\nnew\n\n<!-- /x -->\nz\n";
        assert_eq!(replace(text, "x", "new\n").as_deref(), Some(replaced));
        assert_eq!(replace(replaced, "x", "new\n").as_deref(), Some(replaced));
        assert_eq!(replace(text, "y", "new"), None);
    }
}
