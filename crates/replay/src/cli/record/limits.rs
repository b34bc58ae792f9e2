//! When a recording is long enough.

use std::time::Duration;

use bytesize::ByteSize;

/// When a recording is long enough, whatever the program goes on to do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) time: Option<Duration>,
    /// Of the trace, in bytes.
    pub(super) size: Option<u64>,
}

/// A length of time from the command line.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("no time at all: write 90s, 5m or 1h30m".to_owned()),
        Ok(time) => Ok(time),
        Err(_) => Err("not a length of time: write 90s, 5m or 1h30m".to_owned()),
    }
}

/// A size from the command line.
pub(super) fn size(text: &str) -> Result<ByteSize, String> {
    // A bare number is more likely to be meant in something else than bytes.
    let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
    let size = text.parse::<ByteSize>().ok().filter(|size| size.as_u64() > 0 && has_unit);
    size.ok_or_else(|| "not a size: write 500K, 20M or 1G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_or_explained() {
        assert_eq!(time("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(size("20M"), Ok(ByteSize::mb(20)));
        for text in ["", "xyz", "5 parsecs", "-1s", "0s", "99999999999999999999s"] {
            assert!(time(text).unwrap_err().contains("90s"), "{text}");
        }
        for text in ["", "abc", "5q", "-1M", "0", "0K", "5"] {
            assert!(size(text).unwrap_err().contains("20M"), "{text}");
        }
    }
}
