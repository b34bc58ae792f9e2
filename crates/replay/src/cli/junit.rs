//! The results of `replay verify` for who reads JUnit's XML, as most servers for continuous integration do.

use std::io;
use std::path::Path;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::compare::CheckReport;
use crate::verify::TraceReport;

/// Writes the report to a file, which is replaced if it is there.
pub(super) fn write(traces: &[TraceReport], path: &Path) -> io::Result<()> {
    let mut xml = report(traces).to_string().map_err(io::Error::other)?;
    xml.push('\n');
    std::fs::write(path, xml)
}

/// A suite for each trace, a case for each check. A trace that could not be read to its end has a case more, which is
/// an error.
fn report(traces: &[TraceReport]) -> Report {
    let mut report = Report::new("vivarium");
    for trace in traces {
        let mut suite = TestSuite::new(&*trace.path);
        suite.set_time(Duration::try_from_secs_f64(trace.seconds).unwrap_or_default());
        suite.add_test_cases(trace.checks.iter().map(|check| case(&trace.path, check)));
        if let Some(error) = &trace.error {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(&**error);
            suite.add_test_case(named(&trace.path, "readable", status));
        }
        report.add_test_suite(suite);
    }
    report
}

fn case(trace: &str, check: &CheckReport) -> TestCase {
    let mut status = TestCaseStatus::success();
    if let Some(first) = &check.first {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(format!(
            "event {}: predicted {}, observed {}",
            first.event, first.predicted, first.observed
        ));
        status.set_description(first.details.join("\n"));
    } else if check.facts == 0 {
        status = TestCaseStatus::skipped();
        status.set_message("the trace has no facts for this check");
    }
    let mut case = named(trace, check.name.name(), status);
    case.set_system_out(format!(
        "{} facts: {} verified, {} diverged, {} unverified",
        check.facts, check.verified, check.diverged, check.unverified
    ));
    case
}

fn named(trace: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(trace);
    case
}
