//! Numbers for people.

/// A count with a comma between every three digits.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number of bytes, in the largest unit that leaves one digit before the point.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if number < 1000 {
        return format!("{number} bytes");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut scaled = number as f64 / 1000.0;
    let mut unit = 0;
    while scaled >= 999.95 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// A number of nanoseconds, in the largest unit that leaves one digit before the point.
pub(super) fn nanoseconds(number: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let scaled = number as f64;
    match number {
        0..1_000 => format!("{number} ns"),
        1_000..1_000_000 => format!("{:.1} µs", scaled / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", scaled / 1e6),
        _ => format!("{:.1} s", scaled / 1e9),
    }
}

/// `part` for each of `whole`; 0 if there are none.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_read_well() {
        assert_eq!(super::count(0), "0");
        assert_eq!(super::count(999), "999");
        assert_eq!(super::count(1_234_567), "1,234,567");
        assert_eq!(super::bytes(999), "999 bytes");
        assert_eq!(super::bytes(1_000), "1.0 kB");
        assert_eq!(super::bytes(999_999), "1.0 MB");
        assert_eq!(super::bytes(12_345_678), "12.3 MB");
        let times = [9, 1_250, 12_345_678, 61_000_000_000].map(super::nanoseconds);
        assert_eq!(times, ["9 ns", "1.2 µs", "12.3 ms", "61.0 s"]);
        assert!((super::ratio(1, 2) - 0.5).abs() < 1e-9);
        assert!(super::ratio(1, 0).abs() < 1e-9);
    }
}
