//! Numbers of variable length: seven bits a byte, least significant first, the top bit set on all but the last
//! (LEB128). Signed numbers are folded first, so that small ones of either sign stay short.

/// Appends `value`.
#[inline]
pub(crate) fn write(out: &mut Vec<u8>, value: u64) {
    let [low, ..] = value.to_le_bytes();
    if value < 0x80 { out.push(low) } else { write_long(out, value) }
}

fn write_long(out: &mut Vec<u8>, value: u64) {
    let more = |at: u32| (value >> (7 * at)).to_le_bytes()[0] | 0x80;
    let last = |at: u32| (value >> (7 * at)).to_le_bytes()[0];
    // Lengths that are known when this is compiled, for those that are common.
    match value {
        0..0x4000 => out.extend_from_slice(&[more(0), last(1)]),
        0x4000..0x20_0000 => out.extend_from_slice(&[more(0), more(1), last(2)]),
        0x20_0000..0x1000_0000 => out.extend_from_slice(&[more(0), more(1), more(2), last(3)]),
        _ => {
            out.extend_from_slice(&[more(0), more(1), more(2), more(3)]);
            write(out, value >> 28);
        }
    }
}

/// Reads a number at `*position` and moves behind it; `None` where the bytes end, or where they say more than
/// 64 bits hold.
#[inline]
pub(crate) fn read(bytes: &[u8], position: &mut usize) -> Option<u64> {
    let mut value = 0;
    let mut shift = 0;
    loop {
        let byte = *bytes.get(*position)?;
        *position += 1;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Some(value);
        }
        shift += 7;
        if shift > 63 {
            return None;
        }
    }
}

/// 0, −1, 1, −2, … become 0, 1, 2, 3, …
pub(crate) fn fold(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

/// The inverse of [`fold`].
pub(crate) fn unfold(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(values in prop::collection::vec(any::<u64>().prop_flat_map(|v| (0_u32..64).prop_map(move |s| v >> s)), 0..50)) {
            let mut bytes = Vec::new();
            for &value in &values {
                write(&mut bytes, value);
            }
            let mut position = 0;
            for &value in &values {
                prop_assert_eq!(read(&bytes, &mut position), Some(value));
            }
            prop_assert_eq!(position, bytes.len());
            prop_assert_eq!(read(&bytes, &mut position), None);
        }

        #[test]
        fn folding_is_reversible(value in any::<i64>()) {
            prop_assert_eq!(unfold(fold(value)), value);
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        assert_eq!(read(&[0xff; 11], &mut 0), None);
        let mut largest = vec![0xff; 9];
        largest.push(1);
        assert_eq!(read(&largest, &mut 0), Some(u64::MAX));
        largest[9] = 2;
        assert_eq!(read(&largest, &mut 0), None);
    }
}
