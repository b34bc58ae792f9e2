//! Recognising how an interpreter's allocator was built.
//!
//! The version says most of it. But alignment belongs to the build, and an arena's size to its options: both show in
//! the first few thousand events.

use std::fmt;

use record::Event;
use trace::{Allocator, EmptyArenas};

/// An allocator that no known version of CPython has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAllocator {
    version: String,
    arena_size: u64,
}

impl fmt::Display for UnknownAllocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, arena_size } = self;
        write!(f, "CPython {version} with arenas of {arena_size} bytes is no build that is known here")
    }
}

/// The allocator that CPython of this version is built with by default; `None` if the version is not known.
#[must_use]
pub(crate) fn by_version(version: &str) -> Option<Allocator> {
    let mut numbers =
        version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    let (major, minor, patch) = (numbers.next()?, numbers.next()?, numbers.next().unwrap_or(0));
    let geometry = pool::Geometry::for_cpython(major, minor, patch)?;
    let narrow = |bytes: usize| u32::try_from(bytes).ok();
    Some(Allocator {
        alignment: narrow(geometry.alignment())?,
        small_limit: narrow(geometry.small_limit())?,
        pool_size: narrow(geometry.pool_size())?,
        arena_size: geometry.arena_size() as u64,
        empty_arenas: match geometry.empty_arenas() {
            pool::EmptyArenas::Return => EmptyArenas::Return,
            pool::EmptyArenas::KeepLast => EmptyArenas::KeepLast,
            pool::EmptyArenas::Keep => EmptyArenas::Keep,
        },
    })
}

/// Corrects what the version says by what the first events show.
pub(super) fn recognise(
    mut guess: Allocator,
    version: &str,
    events: &[Event],
) -> Result<Allocator, UnknownAllocator> {
    let mut arenas = events.iter().filter_map(|event| match *event {
        Event::ArenaAcquired { base, size } if base != 0 => Some((base, size)),
        _ => None,
    });
    let Some((base, arena_size)) = arenas.next() else { return Ok(guess) };
    if arena_size != guess.arena_size {
        // Builds without the radix tree have the older, smaller sizes; builds for huge pages have larger arenas.
        guess.pool_size = match arena_size {
            0x4_0000 => 0x1000,
            0x10_0000 | 0x20_0000 => 0x4000,
            _ => return Err(UnknownAllocator { version: version.to_owned(), arena_size }),
        };
        guess.arena_size = arena_size;
    }
    // Blocks of a build aligned to 8 bytes soon lie at odd multiples of 8; those of others never do.
    let narrow = events.iter().any(|event| match *event {
        Event::Allocate { address, .. } | Event::Resize { new: address, .. } => {
            address.wrapping_sub(base) < arena_size && address % 16 == 8
        }
        _ => false,
    });
    guess.alignment = if narrow { 8 } else { 16 };
    Ok(guess)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Domain;

    fn events(arena_size: u64, offset: u64) -> [Event; 2] {
        let base = 0x7f00_0000_0000;
        [
            Event::ArenaAcquired { base, size: arena_size },
            Event::Allocate { domain: Domain::Obj, zeroed: false, address: base + offset, size: 40 },
        ]
    }

    #[test]
    fn alignment_is_read_off_the_addresses() {
        let guess = by_version("3.6.15").unwrap();
        assert_eq!(recognise(guess, "3.6.15", &events(0x4_0000, 48 + 40)).unwrap().alignment, 8);
        assert_eq!(recognise(guess, "3.6.15", &events(0x4_0000, 48 + 48)).unwrap().alignment, 16);
    }

    #[test]
    fn arenas_of_other_sizes_are_recognised_or_refused() {
        let guess = by_version("3.13.0").unwrap();
        assert_eq!(recognise(guess, "3.13.0", &events(0x10_0000, 48)), Ok(guess));
        let old = recognise(guess, "3.13.0", &events(0x4_0000, 48)).unwrap();
        assert_eq!((old.pool_size, old.arena_size), (0x1000, 0x4_0000));
        let refused = recognise(guess, "3.13.0", &events(0x8_0000, 48)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "CPython 3.13.0 with arenas of 524288 bytes is no build that is known here"
        );
        assert!(by_version("1.5.2").is_none());
        assert!(by_version("").is_none());
    }
}
