//! The survival curve, drawn.

use crate::cli::page;

const ROWS: u32 = 10;
/// The scale's labels and its axis.
const LEFT: usize = 7;

/// Draws which share is `alive` at ages from 10 to `last`, on a logarithmic scale, in so many columns.
pub(super) fn draw(alive: impl Fn(u64) -> f64, last: u64, width: usize) -> String {
    let columns = width.saturating_sub(LEFT).max(20);
    #[expect(clippy::cast_precision_loss, reason = "a scale has few digits")]
    let decades = (last.max(100) as f64).log10() - 1.0;
    #[expect(clippy::cast_precision_loss, reason = "columns are few")]
    let age = |column: usize| 10.0_f64.powf(1.0 + decades * column as f64 / (columns - 1) as f64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of eighty")]
    let heights: Vec<u32> =
        (0..columns).map(|column| (alive(age(column) as u64) * f64::from(ROWS * 8)).round() as u32).collect();
    let label = |row| match row {
        9 => "100 % ┤".to_owned(),
        4 => " 50 % ┤".to_owned(),
        _ => "      │".to_owned(),
    };
    let out = page::columns(&heights, ROWS, label);
    let (mut axis, mut labels) = (String::from("  0 % └"), String::new());
    let mut next = 1_u32;
    for column in 0..columns {
        let is_tick = age(column) >= 10.0_f64.powi(next.cast_signed()) * 0.999_999;
        axis.push(if is_tick { '┴' } else { '─' });
        if is_tick {
            let label = unit(next);
            let at = (LEFT + column + 1).saturating_sub(label.len().div_ceil(2));
            // Where there is room.
            if labels.is_empty() || labels.len() < at {
                labels = format!("{labels:<at$}{label}");
            }
            next += 1;
        }
    }
    format!("{out}{axis}\n{labels}\n")
}

/// A power of ten, in bytes.
fn unit(power: u32) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let unit = UNITS.get(power as usize / 3).unwrap_or(&"?");
    format!("{} {unit}", 10_u32.pow(power % 3))
}
