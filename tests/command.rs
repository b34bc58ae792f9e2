//! The command line: what a person reads, and exit statuses.

use crate::support::{bundled, replay, root, smallest, stderr, stdout, write_trace};

#[test]
fn help_reads_well() {
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("help_record", &["record", "--help"]),
        ("help_verify", &["verify", "--help"]),
        ("help_info", &["info", "--help"]),
        ("help_stats", &["stats", "--help"]),
        ("help_explain", &["explain", "--help"]),
        ("help_completions", &["completions", "--help"]),
        ("help_manuals", &["manuals", "--help"]),
    ] {
        let output = replay().args(arguments).output().unwrap();
        assert!(output.status.success());
        insta::assert_snapshot!(name, stdout(&output));
    }
}

/// A program may itself exit with what clap would say; 125 is what commands that run commands say of themselves.
#[test]
fn what_record_does_not_understand_is_no_status_of_a_program() {
    for arguments in
        [&["record", "--for", "5", "--", "true"][..], &["record", "--max-size", "5", "true"], &["record"]]
    {
        let output = replay().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}");
    }
    assert_eq!(replay().args(["record", "--help"]).output().unwrap().status.code(), Some(0));
    assert_eq!(replay().args(["verify", "--no-such-option"]).output().unwrap().status.code(), Some(2));
    let output = replay().arg("info").arg(root().join("traces")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("is a folder"), "{}", stderr(&output));
}

#[test]
fn a_mistyped_option_is_no_command() {
    for (word, hint) in
        [("--teir", " (did you mean --tier?)"), ("--teir=blocks", " (did you mean --tier?)"), ("-x", "")]
    {
        let output = replay().args(["record", word, "objects", "--", "true"]).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{word}");
        let words = format!("replay: {word} is no option of `record`{hint}: ");
        assert!(stderr(&output).starts_with(&words), "{}", stderr(&output));
    }
}

#[test]
fn what_is_unverified_names_its_trace() {
    let paths = ["plugins-3.12", "plugins-3.13.5"]
        .map(|name| root().join(format!("traces/plugins/{name}-collections.viv")));
    let output = replay().arg("verify").args(&paths).output().unwrap();
    let text = stdout(&output);
    for path in &paths {
        let line = format!("{}: facts unverified: schedule 3, partition ", path.display());
        assert!(text.lines().any(|one| one.starts_with(&line) && one.ends_with("not seen)")), "{text}");
    }
    let output = replay().arg("verify").arg(&paths[0]).output().unwrap();
    assert!(stdout(&output).contains("\n  facts unverified: schedule 3, partition "), "{}", stdout(&output));
}

#[test]
fn shells_and_manuals_know_the_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = replay().args(["completions", shell]).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("junit"), "{shell} completes no option of verify");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = replay().arg("manuals").arg(folder.path().join("man1")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for page in [
        "replay.1",
        "replay-record.1",
        "replay-verify.1",
        "replay-info.1",
        "replay-stats.1",
        "replay-explain.1",
    ] {
        let text = std::fs::read_to_string(folder.path().join("man1").join(page)).unwrap();
        assert!(text.contains(".SH"), "{page}: {text}");
    }
}

#[test]
fn results_can_be_had_as_junit() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(smallest()).unwrap();
    let mut diverged = crate::support::edit::Trace::read(&smallest());
    diverged.addresses[5] ^= 16;
    write_trace(&folder, "diverged.viv", &diverged.write());
    write_trace(&folder, "good.viv", &bytes);
    write_trace(&folder, "cut.viv", &bytes[..bytes.len() - 7]);
    let results = folder.path().join("results.xml");
    let output = replay().args(["verify", "--junit"]).arg(&results).arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let xml = std::fs::read_to_string(&results).unwrap();
    assert!(xml.starts_with("<?xml"), "{xml}");
    for words in
        ["tests=\"7\" skipped=\"0\" failures=\"1\" errors=\"1\"", "predicted at 0x", "truncated at frame"]
    {
        assert!(xml.contains(words), "{words}: {xml}");
    }
    let output = replay().args(["verify", "--junit", "/nowhere/a.xml"]).arg(smallest()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/nowhere/a.xml"), "{}", stderr(&output));
}

#[test]
fn a_table_is_for_people() {
    let trace = smallest();
    let trace = trace.strip_prefix(root().canonicalize().unwrap()).unwrap_or(&trace);
    let output = replay().current_dir(root()).arg("verify").arg(trace).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "", "no progress where there is no terminal");
    let text = stdout(&output);
    assert!(text.contains("identical"), "{text}");
    assert!(text.ends_with("1 of 1 identical\n"), "{text}");
}

#[test]
fn only_the_checks_asked_for_are_made() {
    let output = replay().args(["verify", "--json", "--check", "arenas"]).arg(smallest()).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = document["traces"][0]["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 1);
    assert_eq!(checks[0]["name"], "arenas");
    let output = replay().args(["verify", "--check", "nonsense"]).arg(smallest()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("placement"), "the names are listed: {}", stderr(&output));
}

#[test]
fn several_at_a_time_keep_their_order() {
    let output = replay().args(["verify", "--json", "-j", "4"]).arg(root().join("traces")).output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let paths: Vec<_> =
        document["traces"].as_array().unwrap().iter().map(|trace| trace["path"].clone()).collect();
    let expected: Vec<serde_json::Value> =
        bundled().iter().map(|path| path.display().to_string().into()).collect();
    assert_eq!(paths, expected);
}

#[test]
fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = replay().arg("verify").arg(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no trace (*.viv) in this folder"), "{}", stderr(&output));
    let output = replay().arg("verify").arg(folder.path().join("absent.viv")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("absent.viv: there is no such file"), "{}", stdout(&output));
}

/// A reader who leaves (`replay info … | head -1`) ends the command quietly.
#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = replay()
        .args(["info", "--json"])
        .arg(smallest())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr(&output), "");
}

#[test]
fn info_tells_what_a_trace_holds() {
    let output = replay().arg("info").arg(smallest()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for name in
        ["program", "interpreter", "allocator", "tier", "ending", "size", "events", "arenas", "discloses"]
    {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}: {text}");
    }
    assert!(text.contains("bytes per event"), "{text}");
}

/// An event is what `verify` counts, whatever else a trace holds.
#[test]
fn info_counts_events_as_others_do() {
    let path = root().join("traces/chains/chains-3.13.5-counts.viv");
    let (report, _) = crate::support::verify_json(&path);
    let events = report["events"].as_u64().unwrap();
    let text = stdout(&replay().arg("info").arg(&path).output().unwrap());
    let number = |name: &str| -> u64 {
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.trim().replace(',', "").parse().unwrap()
    };
    assert_eq!(number("events "), events);
    assert_eq!(["  allocate", "  resize", "  release", "  mark"].map(number).iter().sum::<u64>(), events);
    let bytes = std::fs::metadata(&path).unwrap().len();
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let per_event = format!(", {:.2} bytes per event", bytes as f64 / events as f64);
    assert!(text.contains(&per_event) && number("  changes") > events, "{text}");
}
