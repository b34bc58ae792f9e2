//! The pages that `cargo xtask soak` and `cargo xtask conformance` write agree with their lists and with themselves.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::root;

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("crates/record").join(name)).expect("a page")
}

fn list(name: &str) -> Value {
    let text = std::fs::read_to_string(root().join("xtask/soak").join(name)).expect("a list");
    serde_json::from_str(&text).expect("JSON")
}

/// What stands under a heading.
fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    page.split("\n## ").find_map(|section| section.strip_prefix(heading))
}

/// The cells of a table, row by row, without those of the heading.
fn rows(section: &str) -> Vec<Vec<String>> {
    let lines = section.lines().filter(|line| line.starts_with("| "));
    let cells = |line: &str| {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    lines.skip(1).map(cells).collect()
}

/// The numbers of the columns that are summed.
fn sums(row: &[String]) -> Vec<u64> {
    row[1..6].iter().map(|cell| cell.parse().unwrap_or_else(|_| panic!("{cell} in {row:?}"))).collect()
}

/// The names of those programs of the list.
fn names(list: &Value, wanted: impl Fn(&Value) -> bool) -> BTreeSet<&str> {
    let programs = list["programs"].as_array().expect("programs").iter().filter(|program| wanted(program));
    programs.map(|program| program["name"].as_str().expect("a name")).collect()
}

#[test]
fn the_soak_adds_up() {
    let page = page("SOAK.md");
    assert!(!page.contains("**failed**"));
    let predicted = section(&page, "What was predicted\n").expect("the table");
    let mut programs = rows(predicted);
    let total = programs.pop().expect("the last row");
    assert_eq!(total[0], "total");

    let list = list("programs.json");
    let known = names(&list, |program| program.get("tier").is_none());
    let shown: BTreeSet<_> = programs.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(shown, known);
    assert_eq!(shown.len(), programs.len(), "a program has two rows");

    let mut added = vec![0; 5];
    for row in &programs {
        assert_eq!(row.len(), total.len(), "{row:?}");
        let runs = row[6..].iter().filter(|cell| !matches!(cell.as_str(), "–" | "")).count();
        assert_eq!(sums(row)[0], runs as u64, "{row:?}");
        added.iter_mut().zip(sums(row)).for_each(|(sum, value)| *sum += value);
    }
    assert_eq!(added, sums(&total));

    let [_, allocations, facts, diverged, unverified] = added[..] else { panic!("{added:?}") };
    assert!(programs.iter().filter(|row| row[1] != "0").count() >= 40);
    assert!(total.len() >= 6 + 9 && total[6..].iter().all(|events| events != "0.0"), "{total:?}");
    assert!(allocations >= 100_000_000 && facts >= allocations / 2, "{added:?}");
    assert_eq!(diverged, 0);
    assert!(unverified * 10_000 <= facts, "{unverified} of {facts}");
    let sentence =
        format!("{allocations} allocations by {} programs on {} interpreters", shown.len(), total.len() - 6);
    assert!(predicted.contains(&sentence), "{sentence}");
}

/// The pages of the tiers at which there is more to check than where blocks lie: each is there once its soak has run.
#[test]
fn the_soaks_by_check_add_up() {
    let list = list("programs.json");
    for tier in ["COLLECTIONS", "OBJECTS", "COUNTS"] {
        let name = format!("SOAK-{tier}.md");
        if !root().join("crates/record").join(&name).exists() {
            eprintln!("skipped: there is no {name}");
            continue;
        }
        let page = page(&name);
        assert!(!page.contains("**failed**") && !page.contains("**diverged**"), "{name}");
        let number = |cell: &String| cell.parse::<u64>().unwrap_or_else(|_| panic!("{name}: {cell}"));
        let predicted = section(&page, "What was predicted\n").expect("the table");
        let checks = rows(predicted);
        let [facts, diverged, unverified] =
            [1, 2, 3].map(|column| checks.iter().map(|row| number(&row[column])).sum::<u64>());
        let sentence =
            format!("{facts} facts, of which {diverged} diverged and {unverified} could not be compared");
        assert!(predicted.contains(&sentence), "{name}: {sentence}");
        assert_eq!(diverged, 0, "{name}");
        assert!(unverified * 1000 <= facts, "{name}: {unverified} of {facts}");

        let programs = rows(section(&page, "By program\n").expect("the table"));
        let shown: BTreeSet<_> = programs.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(shown, names(&list, |_| true), "{name}");
        let runs: usize = programs
            .iter()
            .map(|row| row[1..].iter().filter(|cell| !matches!(cell.as_str(), "–" | "")).count())
            .sum();
        assert!(predicted.contains(&format!("{runs} runs, {runs} of them identical")), "{name}: {runs}");
    }
}

/// What recording costs is measured separately: the table is there once it was.
#[test]
fn what_recording_costs_is_what_the_table_says() {
    let page = page("SOAK.md");
    let Some(cost) = section(&page, "What recording costs\n") else {
        eprintln!("skipped: nothing was measured");
        return;
    };
    let cells: Vec<_> = rows(cost).into_iter().flat_map(|row| row.into_iter().skip(1)).collect();
    let ratios = cells.iter().filter_map(|cell| cell.strip_suffix('×'));
    let mut ratios: Vec<f64> = ratios.map(|ratio| ratio.parse().expect("a number")).collect();
    ratios.sort_by(f64::total_cmp);
    let worst = ratios.last().expect("a ratio");
    let sentence = format!("the worst {worst:.2}×");
    assert!(cost.contains(&sentence) && cost.contains(&format!("Of {} runs", ratios.len())), "{sentence}");
}

#[test]
fn what_differs_when_recorded_has_a_reason() {
    let page = page("CONFORMANCE.md");
    assert!(!page.contains("**"), "something failed, or nobody knows why it differs");
    let list = list("conformance.json");
    let known =
        list["modules"].as_array().expect("modules").iter().map(|name| name.as_str().expect("a name"));
    let compared = rows(section(&page, "What was compared\n").expect("the table"));
    assert_eq!(compared.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), known.collect::<Vec<_>>());
    // A cell begins with how many tests there were.
    let ran = |cell: &String| cell.split(' ').next().is_some_and(|count| count.parse::<u32>().is_ok());
    for column in 1..compared[0].len() {
        let count = compared.iter().filter(|row| ran(&row[column])).count();
        assert!(count >= 60, "only {count} modules ran in column {column}");
    }
    assert!(compared[0].len() >= 3, "only one interpreter");
    let differ = section(&page, "What ends in another way when it is recorded\n").expect("the heading");
    let refused = section(&page, "What is refused\n").expect("the heading");
    for row in rows(refused) {
        let has_reason =
            list["differences"].as_array().expect("reasons").iter().any(|one| one["module"] == row[0]);
        assert!(row[2].contains("more than one interpreter") || has_reason, "{row:?}");
    }
    for row in rows(differ) {
        assert!(
            list["differences"].as_array().expect("reasons").iter().any(|one| one["why"] == row[4]),
            "{row:?}"
        );
    }
}
