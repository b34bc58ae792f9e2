//! The report is what real interpreters print, to the byte: the numbers are parsed out of a real
//! text, and rendering them must give the text again.

use std::path::PathBuf;
use std::process::Command;

use pool::{ArenaStats, ClassStats, EmptyArenas, Format, Geometry, Stats, debugmallocstats};

/// Everything before the lines about free lists of types, which begin after a blank line.
fn part_about_pools<'t>(text: &'t str, format: &Format) -> &'t str {
    let totals = if format.map.is_some() { 2 } else { 1 };
    let (at, total) = text.match_indices("\nTotal ").nth(totals - 1).expect("a line of totals");
    let rest = &text[at + total.len()..];
    let end = rest.find('\n').expect("a whole line") + 1;
    &text[..at + total.len() + end]
}

/// All whole numbers of a line, commas ignored.
fn numbers(line: &str) -> Vec<u64> {
    line.replace(',', "").split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

fn line_with<'t>(text: &'t str, what: &str) -> Vec<u64> {
    let line: &'t str = text.lines().find(|line| line.contains(what)).expect("printed always");
    numbers(line)
}

fn parse(text: &str, format: &Format) -> (Stats, Vec<u64>) {
    let (limit, classes) = match line_with(text, "Small block threshold")[..] {
        [limit, classes] => (limit as usize, classes as usize),
        ref other => panic!("{other:?}"),
    };
    let (pool_size, unused_pools) = match line_with(text, "unused pools")[..] {
        [unused, size, _] => (size as usize, unused),
        ref other => panic!("{other:?}"),
    };
    let arena_size = line_with(text, "bytes/arena")[1] as usize;
    let geometry = Geometry::new(limit / classes, limit, pool_size, arena_size, EmptyArenas::KeepLast)
        .expect("a real interpreter's");
    let table = text.lines().skip_while(|line| !line.starts_with("-----")).skip(1);
    let counts = table.take_while(|line| !line.is_empty()).map(|line| match numbers(line)[..] {
        [class, block_size, pools, blocks_in_use, blocks_available] => ClassStats {
            class: class as usize,
            block_size: block_size as usize,
            pools,
            blocks_in_use,
            blocks_available,
        },
        ref other => panic!("{other:?}"),
    });
    let arenas = ArenaStats {
        allocated_total: line_with(text, "arenas allocated total")[0],
        highwater: line_with(text, "highwater")[0],
        current: line_with(text, "allocated current")[0],
        unaligned: line_with(text, "arena alignment")[0] / pool_size as u64,
        unused_pools,
    };
    let stats = Stats::from_counts(geometry, counts, arenas).expect("a real interpreter's");
    let bases = format.map.map_or(Vec::new(), |map| {
        // The text does not say where the arenas were: any bases will do that need as many nodes.
        let (middle, bottom) =
            (line_with(text, "arena map mid nodes")[0], line_with(text, "arena map bot nodes")[0]);
        let bottom_span = (arena_size as u64) << map.bottom_bits;
        let middle_span = bottom_span << map.middle_bits;
        let place = |n: u64| n.min(middle - 1) * middle_span + n * bottom_span;
        (0..bottom).map(place).collect()
    });
    (stats, bases)
}

fn check(text: &str, format: &Format) {
    let wanted = part_about_pools(text, format);
    let (stats, bases) = parse(wanted, format);
    assert!(stats.is_consistent(), "{stats:?}");
    let rendered = debugmallocstats(format, &stats, bases);
    if rendered != wanted {
        let differs = rendered.lines().zip(wanted.lines()).find(|(ours, theirs)| ours != theirs);
        panic!("{differs:?}\n--- rendered\n{rendered}--- printed by Python\n{wanted}");
    }
}

macro_rules! recorded {
    ($($test:ident: $minor:literal, $file:literal;)*) => { $(
        #[test]
        fn $test() {
            let format = Format::for_cpython(3, $minor).expect("a known version");
            check(include_str!(concat!("../fixtures/debugmallocstats-", $file, ".txt")), format);
        }
    )* };
}

recorded! {
    text_of_3_6: 6, "3.6";
    text_of_3_9: 9, "3.9";
    text_of_3_10: 10, "3.10";
    text_of_3_11: 11, "3.11";
    text_of_3_13: 13, "3.13";
}

/// `VIVARIUM_PYTHONS`, separated by colons, or those that are commonly there.
fn interpreters() -> Vec<PathBuf> {
    if let Some(listed) = std::env::var_os("VIVARIUM_PYTHONS") {
        return std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    }
    let mut found = vec![PathBuf::from("python3"), PathBuf::from("/usr/bin/python3")];
    if let Some(home) = std::env::var_os("HOME") {
        let versions = PathBuf::from(home).join(".pyenv/versions");
        let entries = std::fs::read_dir(versions).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.path().join("bin/python3")));
        found.sort();
    }
    found
}

#[test]
fn text_of_the_interpreters_of_this_machine() {
    const PROGRAM: &str =
        "import sys; print(*sys.version_info[:2]); sys.stdout.flush(); sys._debugmallocstats()";
    let mut checked = 0;
    for python in interpreters() {
        let output = Command::new(&python)
            .args(["-I", "-c", PROGRAM])
            .env_remove("PYTHONMALLOC")
            .env_remove("PYTHONMALLOCSTATS")
            .output();
        let output = match output {
            Ok(output) if output.status.success() => output,
            Ok(output) => {
                println!("skipped: {}: {}", python.display(), output.status);
                continue;
            }
            Err(error) => {
                println!("skipped: {}: {error}", python.display());
                continue;
            }
        };
        let version = String::from_utf8(output.stdout).expect("two numbers");
        let text = String::from_utf8(output.stderr).expect("ASCII");
        let format = match numbers(&version)[..] {
            [major, minor] => Format::for_cpython(major as u32, minor as u32),
            ref other => panic!("{other:?}"),
        };
        let Some(format) = format else {
            println!("skipped: {}: Python {}", python.display(), version.trim());
            continue;
        };
        if !text.starts_with("Small block threshold") {
            println!("skipped: {}: its allocator is not the pools", python.display());
            continue;
        }
        println!("{}: Python {}", python.display(), version.trim());
        check(&text, format);
        checked += 1;
    }
    if checked == 0 {
        println!("skipped: no interpreter found; name some in VIVARIUM_PYTHONS");
    }
}
