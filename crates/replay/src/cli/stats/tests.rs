use super::*;
use crate::stats::example::{report_of, trace};

fn told(top: usize) -> Vec<Told> {
    let result = report_of(&trace(), top).map_err(|error| error.to_string());
    let unusable = Err("no such file".to_owned());
    vec![Told { path: "example.viv".to_owned(), result }, Told { path: "b.viv".to_owned(), result: unusable }]
}

#[test]
fn a_report_reads_well() {
    insta::assert_snapshot!("text", text::text(&told(15), 15, None));
}

#[test]
fn a_narrow_terminal_is_not_overrun() {
    for width in [30, 50, 72, 200] {
        let text = text::text(&told(15), 15, Some(width));
        assert!(text.lines().filter(|line| line.contains('─') || line.contains('█')).count() > 20);
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
        }
    }
}

#[test]
fn tables_have_as_many_rows_as_asked_for() {
    let text = text::text(&told(2), 2, None);
    assert!(text.contains("… and 2 more types"), "{text}");
    assert!(text.contains("Hider, \"quoted\""), "{text}");
    assert!(!text.contains("Last "), "{text}");
}

#[test]
fn machines_read_all_of_it() {
    insta::assert_snapshot!("csv", csv::csv(&told(15)));
    insta::assert_snapshot!("json", json(&told(15)));
}
