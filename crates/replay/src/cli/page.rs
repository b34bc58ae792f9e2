//! Pages of text for people: lines, tables and drawings that fit where they are shown.

use std::fmt::Write;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, presets};

use super::numbers;

/// As wide as lines are where there is no terminal, and where that is wider.
const WIDTH: u16 = 100;
/// Type names are cut off behind so many characters.
const NAME: usize = 40;
/// Names have so much room at least, if numbers are not to be broken for them.
const MIN_NAME: u16 = 14;

/// The terminal's width, if there is one.
pub(super) fn width() -> Option<u16> {
    Table::new().width()
}

/// A page that is being written. (Writing to a string cannot fail.)
pub(super) struct Page {
    pub(super) out: String,
    pub(super) width: Option<u16>,
    /// How many rows tables have at most.
    pub(super) top: usize,
    /// The options that show more.
    options: &'static str,
}

impl Page {
    /// Nothing is on it yet.
    pub(super) fn new(width: Option<u16>, top: usize, options: &'static str) -> Self {
        Self { out: String::new(), width, top, options }
    }

    /// Writes a line, broken between words where there is no more room.
    pub(super) fn say(&mut self, line: &str) {
        self.paragraph("", line);
    }

    /// The same behind what begins it, with further lines as far to the right.
    pub(super) fn paragraph(&mut self, begins: &str, line: &str) {
        let (room, indent) = (self.room(), begins.chars().count());
        self.out.push_str(begins);
        let mut used = indent;
        for word in line.split(' ') {
            let length = word.chars().count();
            if used > indent && used + 1 + length > room {
                self.out.push('\n');
                self.out.extend(std::iter::repeat_n(' ', indent));
                used = indent;
            } else if used > indent {
                self.out.push(' ');
                used += 1;
            }
            self.out.push_str(word);
            used += length;
        }
        self.out.push('\n');
    }

    /// How wide lines may be.
    pub(super) fn room(&self) -> usize {
        self.width.unwrap_or(WIDTH).min(WIDTH).into()
    }

    /// A table; the first `names` columns hold words, the others numbers.
    pub(super) fn table<const N: usize>(
        &mut self,
        title: &str,
        head: [&str; N],
        names: usize,
        rows: impl IntoIterator<Item = [String; N]>,
    ) {
        let head = head.map(str::to_owned).into();
        self.table_of(title, head, names, rows.into_iter().map(Vec::from).collect());
    }

    /// The same with as many columns as its rows have.
    pub(super) fn table_of(&mut self, title: &str, head: Vec<String>, names: usize, rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        // Rows are many: no lines between them.
        table.load_style(presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none()));
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if let Some(width) = self.width {
            table.set_width(width);
        } else {
            table.force_no_tty();
        }
        table.set_header(head);
        table.add_rows(rows);
        let widths: Vec<_> = table.column_max_content_widths().iter().map(|width| width + 2).collect();
        let (words, digits) = widths.split_at(names.min(widths.len()));
        // Numbers are not broken if words have some room nevertheless.
        let least =
            digits.iter().sum::<u16>() + words.iter().map(|width| (*width).min(MIN_NAME)).sum::<u16>();
        let has_room = self.width.is_none_or(|width| least <= width);
        for column in table.column_iter_mut().skip(names) {
            column.set_cell_alignment(CellAlignment::Right);
            if has_room {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        self.out.push('\n');
        self.say(title);
        let _ = writeln!(self.out, "{}", table.trim_fmt());
    }

    /// Says how many of `all` no table shows.
    pub(super) fn more(&mut self, all: usize, what: &str) {
        if all > self.top {
            let more = numbers::count((all - self.top) as u64);
            self.say(&format!("… and {more} more {what} ({})", self.options));
        }
    }
}

/// Without what would move the terminal's cursor.
pub(super) fn clean(name: &str) -> String {
    name.replace(char::is_control, " ")
}

/// A type's name, as far as there is room.
pub(super) fn cut(name: &str) -> String {
    let name = clean(name);
    match name.char_indices().nth(NAME - 1) {
        Some((at, last)) if at + last.len_utf8() < name.len() => format!("{}…", &name[..at]),
        _ => name,
    }
}

/// A share.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let share = numbers::ratio(part, whole) * 100.0;
    // Few are not none, and nearly all not all.
    if part > 0 && share < 0.1 {
        "< 0.1 %".to_owned()
    } else if part < whole && share > 99.9 {
        "> 99.9 %".to_owned()
    } else {
        format!("{share:.1} %")
    }
}

/// Eighths of a character cell, filled from below.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Columns of so many eighths of a row, in so many rows, behind the label of each row.
pub(super) fn columns(eighths: &[u32], rows: u32, label: impl Fn(u32) -> String) -> String {
    let mut out = String::new();
    for row in (0..rows).rev() {
        out.push_str(&label(row));
        let line: String =
            eighths.iter().map(|height| EIGHTHS[height.saturating_sub(row * 8).min(8) as usize]).collect();
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
