//! Types as rows.

use super::Told;
use crate::stats::Type;

const COLUMNS: [&str; 30] = [
    "trace",
    "type",
    "born",
    "recycled",
    "without_block",
    "bytes",
    "size_median",
    "size_max",
    "running_alone",
    "running_explained",
    "running_hidden",
    "running_after_code",
    "in_collections_alone",
    "in_collections_explained",
    "in_collections_hidden",
    "in_collections_after_code",
    "at_exit_alone",
    "at_exit_explained",
    "at_exit_hidden",
    "at_exit_after_code",
    "outlived",
    "revived",
    "lifetime_bytes_p50",
    "lifetime_bytes_p90",
    "lifetime_bytes_p99",
    "lifetime_bytes_max",
    "lifetime_events_p50",
    "lifetime_events_p90",
    "lifetime_events_p99",
    "lifetime_events_max",
];

/// One row for each type of each trace, quoted as RFC 4180 has it. A field without a value is empty.
pub(super) fn csv(told: &[Told]) -> String {
    let mut out = COLUMNS.join(",") + "\n";
    for Told { path, result } in told {
        for of in result.iter().flat_map(|(report, _)| &report.types) {
            out.push_str(&row(path, of).join(","));
            out.push('\n');
        }
    }
    out
}

fn row(path: &str, of: &Type) -> [String; COLUMNS.len()] {
    let objects = &of.objects;
    let [running, collecting, exiting] =
        [objects.died.running, objects.died.in_collections, objects.died.at_exit]
            .map(|ways| [ways.alone, ways.explained, ways.hidden, ways.after_code].map(Some));
    let [bytes, events] = [objects.lifetime.bytes, objects.lifetime.events]
        .map(|lifetime| [lifetime.p50, lifetime.p90, lifetime.p99, lifetime.max]);
    let counts = [objects.born, objects.recycled, objects.without_block, objects.bytes].map(Some);
    let ends = [objects.outlived, objects.revived].map(Some);
    let mut numbers = counts
        .into_iter()
        .chain([of.size_median, of.size_max])
        .chain(running.into_iter().chain(collecting).chain(exiting))
        .chain(ends)
        .chain(bytes.into_iter().chain(events));
    std::array::from_fn(|column| match column {
        0 => quoted(path),
        1 => quoted(&of.name),
        _ => numbers.next().flatten().map(|number| number.to_string()).unwrap_or_default(),
    })
}

/// In quotation marks if it has to be.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_would_be_misread_is_quoted() {
        assert_eq!(super::quoted("dict"), "dict");
        assert_eq!(super::quoted("a,b"), "\"a,b\"");
        assert_eq!(super::quoted("a\"b\nc"), "\"a\"\"b\nc\"");
    }
}
