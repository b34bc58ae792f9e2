//! Names that somebody may have meant.

use std::cmp::Reverse;

/// As many are told at most.
const TOLD: usize = 5;
/// How much alike names have to be, from 0 to 100: as much as for the command line's own options.
const ALIKE: u32 = 70;

/// Those of the names that are like this one, whatever the case of letters: the nearest first, up to five.
///
/// O(names × their length²).
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = name.to_lowercase();
    let mut alike: Vec<_> =
        names.map(|other| (Reverse(likeness(&name, &other.to_lowercase())), other)).collect();
    alike.retain(|(Reverse(likeness), _)| *likeness >= ALIKE);
    alike.sort_unstable();
    alike.dedup();
    alike.into_iter().take(TOLD).map(|(_, name)| name.to_owned()).collect()
}

/// How much alike two names are, from 0 to 100.
fn likeness(one: &str, other: &str) -> u32 {
    let share = strsim::jaro_winkler(one, other) * 100.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 100")]
    {
        share.round() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_meant_is_found() {
        let names = ["dict", "Session", "SessionStore", "list", "tuple"];
        let of = |name| nearest(name, names.into_iter());
        assert_eq!(of("session"), ["Session", "SessionStore"]);
        assert_eq!(of("Sesion"), ["Session", "SessionStore"]);
        assert_eq!(of("tupel"), ["tuple"]);
        assert!(of("xyz").is_empty() && of("").is_empty());
        assert!(nearest("", std::iter::empty()).is_empty());
    }
}
