use super::*;
use crate::explain::example::{report_of, trace};

fn told(top: usize, why_alive: Option<Wanted>) -> Vec<Told> {
    let options = Options { top, why_alive, as_of: None };
    let result = report_of(&trace(false), &options).map_err(|error| error.to_string());
    let unusable = Err("no such file".to_owned());
    vec![Told { path: "example.viv".to_owned(), result }, Told { path: "b.viv".to_owned(), result: unusable }]
}

fn node() -> Option<Wanted> {
    Some(Wanted::Type("Node".to_owned()))
}

#[test]
fn a_report_reads_well() {
    insta::assert_snapshot!("text", text::text(&told(15, node()), 15, None));
}

#[test]
fn a_narrow_terminal_is_not_overrun() {
    for width in [30, 50, 72, 200] {
        let text = text::text(&told(15, node()), 15, Some(width));
        assert!(text.lines().filter(|line| line.contains('─') || line.contains('█')).count() > 10);
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(width), "{width}: {line}\n{text}");
        }
    }
}

#[test]
fn tables_have_as_many_rows_as_asked_for() {
    let text = text::text(&told(2, None), 2, None);
    assert!(text.contains("… and 2 more kinds (--top, --json)"), "{text}");
    assert!(text.contains("… and 3 more types"), "{text}");
}

#[test]
fn machines_read_all_of_it() {
    insta::assert_snapshot!("json", json(&told(15, node())));
    insta::assert_snapshot!("dot", dot::dot(&told(15, None), 15));
    insta::assert_snapshot!("dot_why_alive", dot::dot(&told(15, node()), 15));
}
