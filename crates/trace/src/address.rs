//! How an observed address is written as its distance from a guess.
//!
//! The guess comes from earlier observations alone, by a rule that FORMAT.md states in full and that knows no
//! pools, arenas or free lists: the addresses most recently released in the same size class are likely to come
//! back, newest first; else the address that follows the class's last one. A wrong guess costs bytes, never
//! correctness.

use crate::header::MAX_CLASSES;
use crate::varint;

/// How many released addresses each class remembers.
const REMEMBERED: usize = 1024;
/// Address codes: those below this name one of the class's remembered addresses, newest first.
const EXACT: u8 = 8;
const FOLLOWS: u8 = 0x08;
const EXPLICIT: u8 = 0x09;
const FOREIGN: u8 = 0x0a;
const SAME: u8 = 0x0b;

/// Addresses are multiples of this; distances are counted in it.
const UNIT: u64 = 8;
/// Addresses lie below this.
pub(crate) const ADDRESS_LIMIT: u64 = 1 << 48;

/// The rule's state, the same in the writer and in the reader.
#[derive(Clone, Debug)]
pub(crate) struct AddressRule {
    /// For each class a ring of released addresses; 0 where nothing is remembered.
    released: Box<[[u64; REMEMBERED]; MAX_CLASSES]>,
    heads: [Head; MAX_CLASSES],
    /// The alignment is two to this power.
    shift: u32,
}

/// One class's place in its ring, and its last address.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// Index of the newest, modulo the ring's length.
    top: usize,
    last: u64,
}

/// One size class's memory: a stack of released addresses that forgets its oldest, and the last address.
struct Class<'a> {
    ring: &'a mut [u64; REMEMBERED],
    head: &'a mut Head,
}

impl Class<'_> {
    /// The place of a remembered address, by how many are newer.
    #[inline]
    fn place(&mut self, depth: usize) -> &mut u64 {
        &mut self.ring[self.head.top.wrapping_sub(depth) % REMEMBERED]
    }

    #[inline]
    fn push(&mut self, address: u64) {
        self.head.top = self.head.top.wrapping_add(1);
        *self.place(0) = address;
    }

    /// Takes out the newest address; 0, and no change, if there is none.
    #[inline]
    fn pop(&mut self) -> u64 {
        let address = std::mem::take(self.place(0));
        self.head.top = self.head.top.wrapping_sub(usize::from(address != 0));
        address
    }

    /// Takes out the address at a depth, the newer ones moving down over it; 0, and no change, if there is none.
    fn take(&mut self, depth: usize) -> u64 {
        let address = *self.place(depth);
        if address != 0 {
            for newer in (0..depth).rev() {
                *self.place(newer + 1) = *self.place(newer);
            }
            self.pop();
        }
        address
    }
}

/// What an observation says of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    At(u64),
    Foreign,
    /// The block stayed where it was.
    Same,
}

/// Why a code cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadCode {
    Ends,
    Undefined(u8),
    OutOfRange,
}

impl AddressRule {
    /// The alignment is a power of two (see `Allocator::check`).
    pub(crate) fn new(alignment: u32) -> Self {
        // By way of a vector, since an array of this size does not fit on every stack.
        let Ok(released) = vec![[0; REMEMBERED]; MAX_CLASSES].into_boxed_slice().try_into() else {
            unreachable!("the vector has the array's length")
        };
        Self { released, heads: [Head::default(); MAX_CLASSES], shift: alignment.trailing_zeros() }
    }

    /// The class of a size that pools serve.
    #[expect(clippy::cast_possible_truncation, reason = "a small size's class is below 64")]
    #[inline]
    pub(crate) fn class_of(&self, size: u64) -> u8 {
        ((size - 1) >> self.shift) as u8
    }

    /// A class's own state. (No class is beyond the last; saying so here spares a check of it.)
    #[inline]
    fn class(&mut self, class: u8) -> Class<'_> {
        let class = usize::from(class) % MAX_CLASSES;
        Class { ring: &mut self.released[class], head: &mut self.heads[class] }
    }

    #[inline]
    fn step(&self, class: u8) -> u64 {
        (u64::from(class) + 1) << self.shift
    }

    /// An address of this class was released.
    #[inline]
    pub(crate) fn released(&mut self, class: u8, address: u64) {
        self.class(class).push(address);
    }

    /// Appends what was seen.
    pub(crate) fn encode(&mut self, class: u8, seen: Seen, out: &mut Vec<u8>) {
        let address = match seen {
            Seen::Foreign => return out.push(FOREIGN),
            Seen::Same => return out.push(SAME),
            Seen::At(address) => address,
        };
        let step = self.step(class);
        let mut state = self.class(class);
        let mut depths = 0..usize::from(EXACT);
        if let Some(depth) = depths.find(|&depth| *state.place(depth) == address) {
            state.take(depth);
            out.push(depth.to_le_bytes()[0]);
        } else {
            state.pop();
            if address == state.head.last + step {
                out.push(FOLLOWS);
            } else {
                out.push(EXPLICIT);
                let distance = (address / UNIT).cast_signed() - (state.head.last / UNIT).cast_signed();
                varint::write(out, varint::fold(distance));
            }
        }
        state.head.last = address;
    }

    /// Reads what was seen.
    #[inline]
    pub(crate) fn decode(&mut self, class: u8, bytes: &[u8], position: &mut usize) -> Result<Seen, BadCode> {
        let code = *bytes.get(*position).ok_or(BadCode::Ends)?;
        *position += 1;
        let mut state = self.class(class);
        if code == 0 {
            // The newest address released: three of four.
            let address = state.pop();
            if address != 0 {
                state.head.last = address;
                return Ok(Seen::At(address));
            }
        }
        self.decode_rarer(code, class, bytes, position)
    }

    fn decode_rarer(
        &mut self,
        code: u8,
        class: u8,
        bytes: &[u8],
        position: &mut usize,
    ) -> Result<Seen, BadCode> {
        let step = self.step(class);
        let mut state = self.class(class);
        let address = match code {
            0..EXACT => state.take(code.into()),
            FOLLOWS => {
                state.pop();
                state.head.last + step
            }
            EXPLICIT => {
                state.pop();
                let distance = varint::read(bytes, position).ok_or(BadCode::Ends)?;
                (state.head.last / UNIT)
                    .checked_add_signed(varint::unfold(distance))
                    .and_then(|units| units.checked_mul(UNIT))
                    .ok_or(BadCode::OutOfRange)?
            }
            FOREIGN => return Ok(Seen::Foreign),
            SAME => return Ok(Seen::Same),
            _ => return Err(BadCode::Undefined(code)),
        };
        if address == 0 || address >= ADDRESS_LIMIT {
            return Err(BadCode::OutOfRange);
        }
        state.head.last = address;
        Ok(Seen::At(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            steps in prop::collection::vec((any::<bool>(), 0_u8..4, 1_u64..200, 0_u8..20), 0..4000)
        ) {
            let (mut encoder, mut decoder) = (AddressRule::new(16), AddressRule::new(16));
            let mut bytes = Vec::new();
            let mut seen = Vec::new();
            for &(release, class, place, how) in &steps {
                let address = 0x7f00_0000_0000 + place * 16;
                if release {
                    encoder.released(class, address);
                } else {
                    let what = match how {
                        0 => Seen::Foreign,
                        1 => Seen::Same,
                        _ => Seen::At(address),
                    };
                    encoder.encode(class, what, &mut bytes);
                    seen.push(what);
                }
            }
            let mut position = 0;
            let mut seen = seen.into_iter();
            for &(release, class, place, _) in &steps {
                if release {
                    decoder.released(class, 0x7f00_0000_0000 + place * 16);
                } else {
                    prop_assert_eq!(decoder.decode(class, &bytes, &mut position), Ok(seen.next().unwrap()));
                }
            }
            prop_assert_eq!(position, bytes.len());
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rule = AddressRule::new(16);
            let mut position = 0;
            while position < bytes.len() {
                let class = bytes[position] % 64;
                match rule.decode(class, &bytes, &mut position) {
                    Ok(Seen::At(address)) => {
                        prop_assert!(address < ADDRESS_LIMIT);
                        rule.released(class, address);
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        }
    }

    #[test]
    fn the_newest_release_is_the_cheapest_guess() {
        let mut rule = AddressRule::new(16);
        let mut out = Vec::new();
        rule.encode(0, Seen::At(0x1000), &mut out);
        assert_eq!(out[0], EXPLICIT);
        rule.encode(0, Seen::At(0x1010), &mut out);
        assert_eq!(out.last(), Some(&FOLLOWS));
        rule.released(0, 0x1000);
        rule.released(0, 0x1010);
        rule.encode(0, Seen::At(0x1000), &mut out);
        assert_eq!(out.last(), Some(&1));
        rule.encode(0, Seen::At(0x1010), &mut out);
        assert_eq!(out.last(), Some(&0));
    }
}
