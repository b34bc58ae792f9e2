//! Resolving a frame's observed addresses: from codes to where each block lies.

use std::num::NonZeroU64;

use crate::address::{AddressRule, BadCode, Seen};
use crate::blocks::BlockTable;
use crate::error::{Error, Malformed};
use crate::event::{Block, Kind, PackedInput};
use crate::frame::stream;
use crate::header::Allocator;
use crate::read::{FOREIGN, Frame};

/// Where a live block lies: at an address and in a size class, or outside all arenas. Eight bytes, and so is an
/// `Option` of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed(NonZeroU64);

impl Placed {
    /// Outside all arenas.
    pub const OUTSIDE: Self = Self(NonZeroU64::MAX);

    /// At an address below 2⁴⁸, in a class below 64.
    #[inline]
    #[must_use]
    pub fn new(address: u64, class: u8) -> Self {
        debug_assert!(address >> 48 == 0 && class < 64, "{address:#x} in class {class}");
        Self(NonZeroU64::MIN | (address << 8 | u64::from(class) << 1))
    }

    /// The address and the class, unless it lies outside.
    #[inline]
    #[must_use]
    pub fn pooled(self) -> Option<(u64, u8)> {
        (self != Self::OUTSIDE).then(|| (self.0.get() >> 8, self.0.get().to_le_bytes()[0] >> 1))
    }
}

/// What knows where blocks lay, when one is moved or released.
///
/// A table of the live blocks does; so does somebody who has been told in advance, and who may be wrong.
pub trait Places {
    /// A block is born: the next number.
    fn born(&mut self, placed: Placed);
    /// Where a block lies, to be asked once for each resize; `None` if it is not live.
    fn before_resize(&mut self, block: Block) -> Option<Placed>;
    /// Where it lies from now on.
    fn resized(&mut self, block: Block, placed: Placed);
    /// A block is released: where it lay; `None` if it was not live.
    fn released(&mut self, block: Block) -> Option<Placed>;
}

impl Places for BlockTable<Placed> {
    #[inline]
    fn born(&mut self, placed: Placed) {
        self.push(placed);
    }

    #[inline]
    fn before_resize(&mut self, block: Block) -> Option<Placed> {
        self.get(block)
    }

    #[inline]
    fn resized(&mut self, block: Block, placed: Placed) {
        self.replace(block, placed);
    }

    #[inline]
    fn released(&mut self, block: Block) -> Option<Placed> {
        self.remove(block)
    }
}

/// Where the blocks lay that a frame's resizes and releases name, in the order of those events.
impl Places for std::slice::Iter<'_, Placed> {
    #[inline]
    fn born(&mut self, _placed: Placed) {}

    #[inline]
    fn before_resize(&mut self, _block: Block) -> Option<Placed> {
        self.next().copied()
    }

    #[inline]
    fn resized(&mut self, _block: Block, _placed: Placed) {}

    #[inline]
    fn released(&mut self, _block: Block) -> Option<Placed> {
        self.next().copied()
    }
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

/// Resolves the observed addresses of frames, one frame after the other.
///
/// An address is written as its distance from a guess that rests on earlier observations, so this has to be given
/// every frame, in order; a frame alone does not tell its addresses.
pub struct Resolver {
    allocator: Allocator,
    rule: AddressRule,
    /// Whether it was given the frame that all begins with.
    has_begun: bool,
}

impl Resolver {
    /// For a trace with this allocator in its header.
    #[must_use]
    pub fn new(allocator: &Allocator) -> Self {
        Self { allocator: *allocator, rule: AddressRule::new(allocator.alignment), has_begun: false }
    }

    /// Resolves the next frame: appends to `out` the address of each request that pools serve, or [`FOREIGN`].
    ///
    /// `places` knows where blocks lay: a [`BlockTable`] that has seen all frames, or a list for this frame.
    /// Takes time proportional to the frame's events.
    ///
    /// # Errors
    /// If the addresses contradict themselves or the inputs; [`Malformed::PastNotRead`] if the first frame is not that which all
    /// begins with: a forked process' trace is resolved from its [`Lineage`](crate::Lineage). The resolver and `places` are then of no further use.
    pub fn resolve(
        &mut self,
        frame: &Frame,
        places: &mut impl Places,
        out: &mut Vec<u64>,
    ) -> Result<(), Error> {
        let id = stream::ADDRESSES;
        let malformed = |index: Option<usize>, what| Error::Malformed {
            frame: frame.number,
            event: index.map(|index| frame.first_event + index as u64),
            what,
        };
        if !self.has_begun && frame.first_event > 0 {
            return Err(malformed(None, Malformed::PastNotRead { events: frame.first_event }));
        }
        self.has_begun = true;
        let bytes = &frame.observations.codes[..];
        let mut position = 0;
        // At most one address for each input.
        out.reserve(frame.inputs.len());
        for (index, &input) in frame.inputs.iter().enumerate() {
            let done = if input.is_release() {
                self.release(input.block(), places)
            } else if input.is_birth() {
                self.birth(input, places, bytes, &mut position, out)
            } else if input.kind() == Kind::Resize {
                self.resize(input, places, bytes, &mut position, out)
            } else if input.failed() {
                self.failed(input, bytes, &mut position, out)
            } else {
                Ok(())
            };
            if let Err(wrong) = done {
                let what = match wrong {
                    Wrong::NotLive => Malformed::BlockNotLive { block: input.block() },
                    Wrong::Code(BadCode::Ends) => Malformed::StreamEnds { id },
                    Wrong::Code(BadCode::Undefined(code)) => Malformed::Code { id, code },
                    Wrong::Code(BadCode::OutOfRange) => Malformed::OutOfRange { id },
                };
                return Err(malformed(Some(index), what));
            }
        }
        if position != bytes.len() {
            return Err(malformed(None, Malformed::StreamContinues { id }));
        }
        Ok(())
    }

    #[inline]
    fn birth(
        &mut self,
        input: PackedInput,
        places: &mut impl Places,
        bytes: &[u8],
        position: &mut usize,
        out: &mut Vec<u64>,
    ) -> Result<(), Wrong> {
        let mut placed = Placed::OUTSIDE;
        if self.allocator.serves(input.size()) {
            let class = self.rule.class_of(input.size());
            let address = match self.rule.decode(class, bytes, position)? {
                Seen::At(address) => {
                    placed = Placed::new(address, class);
                    address
                }
                Seen::Foreign => FOREIGN,
                Seen::Same => return Err(BadCode::OutOfRange.into()),
            };
            out.push(address);
        }
        places.born(placed);
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
        places: &mut impl Places,
        bytes: &[u8],
        position: &mut usize,
        out: &mut Vec<u64>,
    ) -> Result<(), Wrong> {
        let block = input.block();
        let old = places.before_resize(block).ok_or(Wrong::NotLive)?;
        if input.failed() {
            return self.failed(input, bytes, position, out);
        }
        let mut new = Placed::OUTSIDE;
        if self.allocator.serves(input.size()) {
            let class = self.rule.class_of(input.size());
            match (self.rule.decode(class, bytes, position)?, old.pooled()) {
                (Seen::Same, Some((address, _))) => {
                    out.push(address);
                    return Ok(());
                }
                // An address that stays has a code of its own.
                (Seen::At(address), Some((before, _))) if address == before => {
                    return Err(BadCode::OutOfRange.into());
                }
                (Seen::Same, None) => return Err(BadCode::OutOfRange.into()),
                (Seen::At(address), _) => {
                    out.push(address);
                    new = Placed::new(address, class);
                }
                (Seen::Foreign, _) => out.push(FOREIGN),
            }
        }
        if let Some((address, class)) = old.pooled() {
            self.rule.released(class, address);
        }
        places.resized(block, new);
        Ok(())
    }

    #[inline]
    fn release(&mut self, block: Block, places: &mut impl Places) -> Result<(), Wrong> {
        let placed = places.released(block).ok_or(Wrong::NotLive)?;
        if let Some((address, class)) = placed.pooled() {
            self.rule.released(class, address);
        }
        Ok(())
    }
}
