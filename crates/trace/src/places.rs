//! Where each live block lies, as observed: the reader's memory from frame to frame.

use std::num::NonZeroU64;

use crate::address::{AddressRule, BadCode, Seen};
use crate::blocks::BlockTable;
use crate::error::Malformed;
use crate::event::{Block, Kind, PackedInput};
use crate::frame::stream;
use crate::header::Allocator;
use crate::read::FOREIGN;

/// A live block: an address and a size class, or a place outside the pools.
#[derive(Clone, Copy)]
struct Place(NonZeroU64);

impl Place {
    const OUTSIDE: Self = Self(NonZeroU64::MAX);

    /// The address is below 2⁴⁸.
    #[inline]
    fn new(address: u64, class: u8) -> Self {
        Self(NonZeroU64::MIN | (address << 8 | u64::from(class) << 1))
    }

    #[inline]
    fn pooled(self) -> Option<(u64, u8)> {
        (self.0 != NonZeroU64::MAX).then(|| (self.0.get() >> 8, self.0.get().to_le_bytes()[0] >> 1))
    }
}

/// How many inputs of each kind there were.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    pub(crate) allocates: u64,
    pub(crate) resizes: u64,
    pub(crate) releases: u64,
    pub(crate) marks: u64,
}

/// What can be wrong, small enough to travel in a register.
#[derive(Clone, Copy)]
enum Wrong {
    NotLive,
    Code(BadCode),
}

impl From<BadCode> for Wrong {
    fn from(code: BadCode) -> Self {
        Self::Code(code)
    }
}

/// Decodes address streams alongside their inputs.
pub(crate) struct Places {
    allocator: Allocator,
    rule: AddressRule,
    table: BlockTable<Place>,
}

impl Places {
    /// The allocator has been checked.
    pub(crate) fn new(allocator: Allocator) -> Self {
        Self { allocator, rule: AddressRule::new(allocator.alignment), table: BlockTable::new() }
    }

    /// Decodes one frame: the address of each request that pools serve, or [`FOREIGN`].
    ///
    /// An error comes with the index of the input at which it showed, if at one.
    pub(crate) fn frame(
        &mut self,
        bytes: &[u8],
        inputs: &[PackedInput],
        out: &mut Vec<u64>,
    ) -> Result<Kinds, (Option<usize>, Malformed)> {
        let id = stream::ADDRESSES;
        let mut kinds = Kinds::default();
        let mut position = 0;
        // At most one address for each input.
        out.reserve(inputs.len());
        for (index, &input) in inputs.iter().enumerate() {
            let done = match input.kind() {
                Kind::Release => {
                    kinds.releases += 1;
                    self.release(input.block())
                }
                Kind::Allocate => self.allocate(input, bytes, &mut position, out),
                Kind::Resize => {
                    kinds.resizes += 1;
                    self.resize(input, bytes, &mut position, out)
                }
                Kind::Mark => {
                    kinds.marks += 1;
                    Ok(())
                }
            };
            if let Err(wrong) = done {
                return Err((
                    Some(index),
                    match wrong {
                        Wrong::NotLive => Malformed::BlockNotLive { block: input.block() },
                        Wrong::Code(BadCode::Ends) => Malformed::StreamEnds { id },
                        Wrong::Code(BadCode::Undefined(code)) => Malformed::Code { id, code },
                        Wrong::Code(BadCode::OutOfRange) => Malformed::OutOfRange { id },
                    },
                ));
            }
        }
        if position != bytes.len() {
            return Err((None, Malformed::StreamContinues { id }));
        }
        // What is none of the others; not counted one by one, for the sake of the loop.
        kinds.allocates = inputs.len() as u64 - kinds.resizes - kinds.releases - kinds.marks;
        Ok(kinds)
    }

    #[inline]
    fn allocate(
        &mut self,
        input: PackedInput,
        bytes: &[u8],
        position: &mut usize,
        out: &mut Vec<u64>,
    ) -> Result<(), Wrong> {
        if input.failed() {
            return self.failed(input, bytes, position, out);
        }
        let mut place = Place::OUTSIDE;
        if self.allocator.serves(input.size()) {
            let class = self.rule.class_of(input.size());
            let address = match self.rule.decode(class, bytes, position)? {
                Seen::At(address) => {
                    place = Place::new(address, class);
                    address
                }
                Seen::Foreign => FOREIGN,
                Seen::Same => return Err(BadCode::OutOfRange.into()),
            };
            out.push(address);
        }
        self.table.push(place);
        Ok(())
    }

    /// A request that got nothing: no pool served it.
    #[cold]
    fn failed(
        &mut self,
        input: PackedInput,
        bytes: &[u8],
        position: &mut usize,
        out: &mut Vec<u64>,
    ) -> Result<(), Wrong> {
        if self.allocator.serves(input.size()) {
            let class = self.rule.class_of(input.size());
            match self.rule.decode(class, bytes, position)? {
                Seen::Foreign => out.push(FOREIGN),
                Seen::At(_) | Seen::Same => return Err(BadCode::OutOfRange.into()),
            }
        }
        Ok(())
    }

    fn resize(
        &mut self,
        input: PackedInput,
        bytes: &[u8],
        position: &mut usize,
        out: &mut Vec<u64>,
    ) -> Result<(), Wrong> {
        let block = input.block();
        let old = self.table.get(block).ok_or(Wrong::NotLive)?;
        if input.failed() {
            return self.failed(input, bytes, position, out);
        }
        let mut new = Place::OUTSIDE;
        if self.allocator.serves(input.size()) {
            let class = self.rule.class_of(input.size());
            match (self.rule.decode(class, bytes, position)?, old.pooled()) {
                (Seen::Same, Some((address, _))) => {
                    out.push(address);
                    return Ok(());
                }
                (Seen::Same, None) => return Err(BadCode::OutOfRange.into()),
                (Seen::At(address), _) => {
                    out.push(address);
                    new = Place::new(address, class);
                }
                (Seen::Foreign, _) => out.push(FOREIGN),
            }
        }
        if let Some((address, class)) = old.pooled() {
            self.rule.released(class, address);
        }
        self.table.replace(block, new);
        Ok(())
    }

    #[inline]
    fn release(&mut self, block: Block) -> Result<(), Wrong> {
        let place = self.table.remove(block).ok_or(Wrong::NotLive)?;
        if let Some((address, class)) = place.pooled() {
            self.rule.released(class, address);
        }
        Ok(())
    }
}
