//! Examples of cycles, or ways to objects, for Graphviz.

use std::fmt::Write;

use trace::Object;

use super::Told;
use crate::explain::{Cycle, Example, Member, Picture, Report};

/// A graph for each trace. (Writing to a string cannot fail.)
pub(super) fn dot(told: &[Told], top: usize) -> String {
    let mut out = String::new();
    for Told { path, result } in told {
        let Ok(report) = result else { continue };
        let _ = writeln!(out, "digraph {} {{", quoted(path));
        out.push_str("  node [shape=box];\n");
        match &report.why_alive {
            Some(why) => ways(&mut out, &why.picture, top),
            None => cycles(&mut out, report, top),
        }
        out.push_str("}\n");
    }
    out
}

fn cycles(out: &mut String, report: &Report, top: usize) {
    let kinds = report.census.iter().flat_map(|census| &census.cycles).take(top);
    for (at, Cycle { example, times, .. }) in (1..).zip(kinds) {
        let Some(Example { cycle, others, references, closing, collection, generation, .. }) = example else {
            continue;
        };
        let label =
            format!("{at}: {times} times; this one in collection {collection}, of generation {generation}");
        let _ = writeln!(out, "  subgraph cluster_{at} {{\n    label={};", quoted(&label));
        let name = |object: Object| format!("k{at}_{object}");
        for (member, style) in
            cycle.iter().map(|member| (member, "bold")).chain(others.iter().map(|member| (member, "solid")))
        {
            let _ = writeln!(out, "    {} [label={}, style={style}];", name(member.object), label_of(member));
        }
        for [from, to] in references {
            let closes = if [*from, *to] == *closing { " [style=bold, label=\"closes it\"]" } else { "" };
            let _ = writeln!(out, "    {} -> {}{closes};", name(*from), name(*to));
        }
        out.push_str("  }\n");
    }
}

fn ways(out: &mut String, picture: &Picture, top: usize) {
    for (at, way) in (1..).zip(picture.ways.iter().take(top)) {
        let name = |object: Object| format!("w{at}_{object}");
        let outside = match way.outside {
            _ if way.length > way.path.len() as u64 => {
                format!("{} objects before", way.length - way.path.len() as u64)
            }
            Some(references) => format!("outside: {references} references"),
            None => "immortal".to_owned(),
        };
        let label = format!("{at}: holds {}", way.holds);
        let _ = writeln!(out, "  subgraph cluster_{at} {{\n    label={};", quoted(&label));
        let _ = writeln!(out, "    w{at} [label={}, shape=plaintext];", quoted(&outside));
        let mut before = format!("w{at}");
        for member in &way.path {
            let next = name(member.object);
            let _ = writeln!(out, "    {next} [label={}];\n    {before} -> {next};", label_of(member));
            before = next;
        }
        out.push_str("  }\n");
    }
}

fn label_of(Member { object, of, bytes }: &Member) -> String {
    // A line break of Graphviz' own is no character.
    let of = quoted(of);
    format!("{}\\n{object}, {bytes} bytes\"", of.strip_suffix('"').unwrap_or(&of))
}

/// As Graphviz quotes: only quotation marks, and what escapes them.
fn quoted(text: &str) -> String {
    let text = text.replace(char::is_control, " ").replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_quotes() {
        assert_eq!(quoted("a\"]; b\\"), r#""a\"]; b\\""#);
        let member = Member { object: 3, of: "\"\\\"".to_owned(), bytes: 16 };
        assert_eq!(label_of(&member), r#""\"\\\"\n3, 16 bytes""#);
    }
}
