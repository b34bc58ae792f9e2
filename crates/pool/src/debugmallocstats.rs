//! The pools' part of what `sys._debugmallocstats()` prints, to the byte.
//!
//! With it a replay can be compared with a live interpreter by eye, or by `diff`. The lines about
//! free lists of single types, which CPython prints after these and a blank line, are not about
//! pools and not rendered.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::{self, Write};

use crate::stats::Stats;

/// How the text looks in a family of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Name of the family: its first version.
    pub name: &'static str,
    /// The radix tree whose nodes are counted at the end, in versions that have one.
    pub map: Option<RadixTree>,
}

/// CPython's map from addresses to arenas: a radix tree of three levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RadixTree {
    /// Significant bits of an address.
    pub address_bits: u32,
    /// Bits that select an entry of the root, a pointer to a middle node.
    pub root_bits: u32,
    /// Bits that select an entry of a middle node, a pointer to a bottom node.
    pub middle_bits: u32,
    /// Bits that select an entry of a bottom node, two 32-bit numbers about an arena's worth of
    /// addresses.
    pub bottom_bits: u32,
}

const ENTRY_BYTES: u64 = 8;

/// All formats, oldest first.
pub const FORMATS: &[Format] = &[
    Format { name: "3.6", map: None },
    Format {
        name: "3.10",
        map: Some(RadixTree { address_bits: 48, root_bits: 10, middle_bits: 10, bottom_bits: 8 }),
    },
    Format {
        name: "3.11",
        map: Some(RadixTree { address_bits: 64, root_bits: 15, middle_bits: 15, bottom_bits: 14 }),
    },
    Format {
        name: "3.15-hugepages",
        map: Some(RadixTree { address_bits: 64, root_bits: 15, middle_bits: 15, bottom_bits: 13 }),
    },
];

/// First version of a family of releases, and the index of its format.
const RELEASES: &[((u32, u32), usize)] = &[((3, 6), 0), ((3, 10), 1), ((3, 11), 2)];

impl Format {
    /// The format of a stock release, from 3.6 to 3.15. (Older ones print nothing in release
    /// builds.)
    #[must_use]
    pub fn for_cpython(major: u32, minor: u32) -> Option<&'static Self> {
        if major != 3 || minor > 15 {
            return None;
        }
        let (_, index) = RELEASES.iter().rfind(|(first, _)| *first <= (major, minor))?;
        FORMATS.get(*index)
    }
}

impl RadixTree {
    /// Numbers of middle and bottom nodes that exist after arenas have been at these bases.
    /// Nodes are made when an arena first needs them and never freed.
    fn nodes(&self, arena_size: u64, bases: impl IntoIterator<Item = u64>) -> (u64, u64) {
        let (mut middle, mut bottom) = (BTreeSet::new(), BTreeSet::new());
        for base in bases {
            // An arena that is not aligned to its size has a part in two slots.
            let last = base.saturating_add(arena_size - 1);
            for slot in [base / arena_size, last / arena_size] {
                bottom.insert(slot >> self.bottom_bits);
                middle.insert(slot >> (self.bottom_bits + self.middle_bits));
            }
        }
        (middle.len() as u64, bottom.len() as u64)
    }
}

/// The text, up to and with the line feed of its last line.
///
/// `bases` are the addresses of all arenas ever acquired, of which formats with a radix tree show
/// how many nodes they needed; in any order, repetitions allowed.
///
/// ```
/// use pool::{Format, Geometry, Pool, debugmallocstats};
///
/// let pool = Pool::new(Geometry::for_cpython(3, 9, 0).unwrap());
/// let text = debugmallocstats(Format::for_cpython(3, 9).unwrap(), &pool.stats(), []);
/// assert!(text.starts_with("Small block threshold = 512, in 32 size classes.\n\nclass"));
/// ```
#[must_use]
pub fn debugmallocstats(format: &Format, stats: &Stats, bases: impl IntoIterator<Item = u64>) -> String {
    let mut text = String::new();
    render(&mut text, format, stats, bases).unwrap_or_else(|_| unreachable!("a string takes any text"));
    text
}

fn render(
    out: &mut String,
    format: &Format,
    stats: &Stats,
    bases: impl IntoIterator<Item = u64>,
) -> fmt::Result {
    let geometry = &stats.geometry;
    writeln!(
        out,
        "Small block threshold = {}, in {} size classes.\n",
        geometry.small_limit(),
        geometry.classes()
    )?;
    out.push_str("class   size   num pools   blocks in use  avail blocks\n");
    out.push_str("-----   ----   ---------   -------------  ------------\n");
    for class in stats.classes.iter().filter(|class| class.pools > 0) {
        writeln!(
            out,
            "{:5} {:6} {:11} {:15} {:13}",
            class.class, class.block_size, class.pools, class.blocks_in_use, class.blocks_available
        )?;
    }
    out.push('\n');

    let (arenas, bytes) = (&stats.arenas, &stats.bytes);
    let arena_size = geometry.arena_size() as u64;
    value(out, "# arenas allocated total", arenas.allocated_total)?;
    value(out, "# arenas reclaimed", arenas.reclaimed())?;
    value(out, "# arenas highwater mark", arenas.highwater)?;
    value(out, "# arenas allocated current", arenas.current)?;
    let label = format!("{} arenas * {arena_size} bytes/arena", arenas.current);
    value(out, &label, arenas.current.saturating_mul(arena_size))?;
    out.push('\n');

    value(out, "# bytes in allocated blocks", bytes.in_use)?;
    value(out, "# bytes in available blocks", bytes.available)?;
    let label = format!("{} unused pools * {} bytes", arenas.unused_pools, geometry.pool_size());
    value(out, &label, bytes.unused_pools)?;
    value(out, "# bytes lost to pool headers", bytes.headers)?;
    value(out, "# bytes lost to quantization", bytes.quantization)?;
    value(out, "# bytes lost to arena alignment", bytes.alignment)?;
    value(out, "Total", bytes.total())?;

    let Some(map) = format.map else {
        return Ok(());
    };
    let (middle, bottom) = map.nodes(arena_size, bases);
    out.push_str("\narena map counts\n");
    value(out, "# arena map mid nodes", middle)?;
    value(out, "# arena map bot nodes", bottom)?;
    out.push('\n');
    let root = ENTRY_BYTES << map.root_bits;
    let middle = (ENTRY_BYTES << map.middle_bits) * middle;
    let bottom = (ENTRY_BYTES << map.bottom_bits) * bottom;
    value(out, "# bytes lost to arena map root", root)?;
    value(out, "# bytes lost to arena map mid", middle)?;
    value(out, "# bytes lost to arena map bot", bottom)?;
    value(out, "Total", root + middle + bottom)
}

/// A label, an equals sign in column 36, and a number with commas, 21 columns wide.
fn value(out: &mut String, label: &str, number: u64) -> fmt::Result {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    writeln!(out, "{label:<35}={grouped:>21}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_grouped_and_right_aligned() {
        let line = |number| {
            let mut out = String::new();
            value(&mut out, "Total", number).expect("a string takes any text");
            out
        };
        let head = "Total                              =";
        assert_eq!(line(0), format!("{head}                    0\n"));
        assert_eq!(line(999), format!("{head}                  999\n"));
        assert_eq!(line(1_000), format!("{head}                1,000\n"));
        assert_eq!(line(1_835_008), format!("{head}            1,835,008\n"));
    }

    #[test]
    fn nodes_are_counted_once_and_for_both_slots() {
        let map = FORMATS[2].map.expect("3.11 has one");
        let mib = 1 << 20;
        assert_eq!(map.nodes(mib, []), (0, 0));
        assert_eq!(map.nodes(mib, [0x7f00_0000_0000, 0x7f00_0010_0000]), (1, 1));
        // A bottom node covers 2^34 bytes, a middle one 2^49.
        let border = 0x7f04_0000_0000;
        assert_eq!(map.nodes(mib, [border - mib]), (1, 1));
        assert_eq!(map.nodes(mib, [border - mib + 4096]), (1, 2));
        assert_eq!(map.nodes(mib, [(1 << 49) - 4096]), (2, 2));
    }

    #[test]
    fn formats_of_releases() {
        let name = |minor| Format::for_cpython(3, minor).map(|format| format.name);
        assert_eq!([5, 6, 9].map(name), [None, Some("3.6"), Some("3.6")]);
        assert_eq!([10, 11, 15, 16].map(name), [Some("3.10"), Some("3.11"), Some("3.11"), None]);
        assert_eq!(Format::for_cpython(2, 7), None);
    }
}
