//! The input streams: one byte for most events, and numbers for the rarer ones in streams of their own, which
//! compress better apart.

use crate::error::Malformed;
use crate::event::{Block, Domain, Input, Kind, MAX_SIZE, PackedInput};
use crate::frame::stream;
use crate::varint;

// Codes of the input stream; FORMAT.md has the table.
const ALLOCATE_MEM: u8 = 0x40;
const RELEASE: u8 = 0x80;
const RELEASE_12: u8 = 0xe0;
const RELEASE_FAR: u8 = 0xf0;
const ALLOCATE_OBJ_SIZED: u8 = 0xf1;
const ALLOCATE_MEM_SIZED: u8 = 0xf2;
const ZEROED_OBJ: u8 = 0xf3;
const ZEROED_MEM: u8 = 0xf4;
const RESIZE: u8 = 0xf5;
const MARK: u8 = 0xf6;
const FAILED: u8 = 0xf7;
const FOREIGN_DOMAIN: u8 = 0xf8;

/// Sizes with a code of their own: the multiples of this up to 64 of it.
const STEP: u64 = 8;
/// Distances below this have a code of their own.
const NEAR: u64 = (RELEASE_12 - RELEASE) as u64;
/// Distances below this take one more byte.
const MIDDLE: u64 = NEAR + (1 << 12);

/// The streams of one frame's inputs, and what their numbers are relative to.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    pub(crate) codes: Vec<u8>,
    pub(crate) sizes: Vec<u8>,
    pub(crate) blocks: Vec<u8>,
    last: Last,
}

/// The blocks that the last release and the last resize named; structures die and grow in the order of their births,
/// so the next one named is often close.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    released: Block,
    resized: Block,
}

impl Encoder {
    /// Begins a frame; its first block will be number `born`.
    pub(crate) fn begin_frame(&mut self, born: Block) {
        self.codes.clear();
        self.sizes.clear();
        self.blocks.clear();
        self.last = Last { released: born, resized: born };
    }

    fn number_of_block(&mut self, block: Block, last: Block) {
        varint::write(&mut self.blocks, varint::fold(block.cast_signed().wrapping_sub(last.cast_signed())));
    }

    /// Appends one input; `born` blocks were born before it.
    pub(crate) fn push(&mut self, input: &Input, born: Block) {
        match *input {
            Input::Allocate { domain, size, zeroed, failed } => {
                if failed {
                    self.codes.push(FAILED);
                }
                let mem = domain == Domain::Mem;
                if !zeroed && size != 0 && size.is_multiple_of(STEP) && size <= 64 * STEP {
                    self.codes.push((size / STEP - 1).to_le_bytes()[0] + if mem { ALLOCATE_MEM } else { 0 });
                } else {
                    self.codes.push(match (zeroed, mem) {
                        (false, false) => ALLOCATE_OBJ_SIZED,
                        (false, true) => ALLOCATE_MEM_SIZED,
                        (true, false) => ZEROED_OBJ,
                        (true, true) => ZEROED_MEM,
                    });
                    varint::write(&mut self.sizes, size.min(MAX_SIZE));
                }
            }
            Input::Resize { block, size, foreign_domain, failed } => {
                if failed {
                    self.codes.push(FAILED);
                }
                if foreign_domain {
                    self.codes.push(FOREIGN_DOMAIN);
                }
                self.codes.push(RESIZE);
                self.number_of_block(block, self.last.resized);
                varint::write(&mut self.sizes, size.min(MAX_SIZE));
                self.last.resized = block;
            }
            Input::Release { block, foreign_domain } => {
                if foreign_domain {
                    self.codes.push(FOREIGN_DOMAIN);
                }
                let distance = born.wrapping_sub(1).wrapping_sub(block);
                if distance < NEAR {
                    self.codes.push(RELEASE + distance.to_le_bytes()[0]);
                } else if distance < MIDDLE {
                    let [low, high, ..] = (distance - NEAR).to_le_bytes();
                    self.codes.push(RELEASE_12 + high);
                    self.blocks.push(low);
                } else {
                    self.codes.push(RELEASE_FAR);
                    self.number_of_block(block, self.last.released);
                }
                self.last.released = block;
            }
            Input::Mark { code } => {
                self.codes.push(MARK);
                varint::write(&mut self.sizes, code);
            }
        }
    }
}

/// The encoded streams of a frame's inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams<'a> {
    pub(crate) codes: &'a [u8],
    pub(crate) sizes: &'a [u8],
    pub(crate) blocks: &'a [u8],
}

/// Reads a stream of numbers.
pub(crate) struct Numbers<'a> {
    bytes: &'a [u8],
    position: usize,
    id: u8,
}

impl<'a> Numbers<'a> {
    pub(crate) fn new(bytes: &'a [u8], id: u8) -> Self {
        Self { bytes, position: 0, id }
    }

    /// The next so many bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let bytes = rest.get(..length).ok_or(Malformed::StreamEnds { id: self.id })?;
        self.position += length;
        Ok(bytes)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.position).ok_or(Malformed::StreamEnds { id: self.id })?;
        self.position += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        varint::read(self.bytes, &mut self.position).ok_or(Malformed::StreamEnds { id: self.id })
    }

    fn size(&mut self) -> Result<u64, Malformed> {
        self.number().and_then(|size| if size <= MAX_SIZE { Ok(size) } else { Err(self.out_of_range()) })
    }

    /// A block named relative to another one; it was born before `born`.
    #[inline]
    fn block(&mut self, last: Block, born: Block) -> Result<Block, Malformed> {
        let distance = varint::unfold(self.number()?);
        match last.checked_add_signed(distance) {
            Some(block) if block < born => Ok(block),
            _ => Err(self.out_of_range()),
        }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.position)
    }

    /// The stream's identifier.
    pub(crate) fn id(&self) -> u8 {
        self.id
    }

    pub(crate) fn out_of_range(&self) -> Malformed {
        Malformed::OutOfRange { id: self.id }
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.is_at_end() { Ok(()) } else { Err(Malformed::StreamContinues { id: self.id }) }
    }
}

/// What a frame's inputs come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Blocks born.
    pub(crate) births: u64,
    pub(crate) resizes: u64,
    pub(crate) releases: u64,
    pub(crate) marks: u64,
    /// Requests that pools serve.
    pub(crate) placed: u64,
}

/// Decodes a frame's inputs: `events` of them, the first block born in them being number `first`.
///
/// Requests of up to `small_limit` bytes are those that pools serve. An error comes with how many inputs before it were
/// good.
pub(crate) fn decode(
    streams: Streams<'_>,
    events: u32,
    first: Block,
    small_limit: u64,
    out: &mut Vec<PackedInput>,
) -> Result<Counts, (usize, Malformed)> {
    // Not cleared: every element is written below, and frames mostly have the same length.
    out.resize(events as usize, PackedInput { head: 0, block: 0 });
    let mut codes = Numbers::new(streams.codes, stream::INPUTS);
    let mut sizes = Numbers::new(streams.sizes, stream::INPUT_SIZES);
    let mut blocks = Numbers::new(streams.blocks, stream::INPUT_BLOCKS);
    let mut last = Last { released: first, resized: first };
    let (mut index, mut born, mut placed) = (0, first, 0);
    while index < out.len() {
        // Most events are one code that says it all, looked up without a branch: which kind comes next is what a
        // processor predicts worst.
        let mut run = 0;
        let rest = codes.bytes.get(codes.position..).unwrap_or_default();
        for (&code, input) in rest.iter().zip(&mut out[index..]) {
            let simple = &SIMPLE[usize::from(code)];
            if born < simple.distance {
                break;
            }
            let block = born - simple.distance;
            last.released = if simple.distance == 0 { last.released } else { block };
            born += simple.births;
            *input = PackedInput { head: simple.head, block };
            run += 1;
        }
        index += run;
        codes.position += run;
        if let Some(input) = out.get_mut(index) {
            let decoded = next(&mut codes, &mut sizes, &mut blocks, born, &mut last);
            *input = decoded.map_err(|what| (index, what))?;
            born += u64::from(input.is_birth());
            // The event's own code is the one read last.
            let has_size = codes.bytes[codes.position - 1] >= RELEASE;
            placed += u64::from(has_size && input.size().wrapping_sub(1) < small_limit);
            index += 1;
        }
    }
    let ended = codes.end().and_then(|()| sizes.end()).and_then(|()| blocks.end());
    ended.map_err(|what| (events as usize, what))?;
    let codes = streams.codes;
    let simple_sizes = u8::try_from(small_limit / STEP).unwrap_or(ALLOCATE_MEM).min(ALLOCATE_MEM);
    placed += count(codes, |code| code < RELEASE && code & (ALLOCATE_MEM - 1) < simple_sizes);
    Ok(Counts {
        births: born - first,
        resizes: count(codes, |code| code == RESIZE),
        releases: count(codes, |code| (RELEASE..=RELEASE_FAR).contains(&code)),
        marks: count(codes, |code| code == MARK),
        placed,
    })
}

/// How many codes are of some kind: as many bytes at once as a processor compares.
fn count(codes: &[u8], is_wanted: impl Fn(u8) -> bool) -> u64 {
    // So many that a byte can count them.
    codes
        .chunks(255)
        .map(|chunk| u64::from(chunk.iter().map(|&code| u8::from(is_wanted(code))).sum::<u8>()))
        .sum()
}

/// A code that needs no number: an allocation of a common size, or the release of a young block.
#[derive(Clone, Copy)]
struct Simple {
    head: u64,
    /// From the next block's number back to the block: 0 for an allocation; more than there are blocks for a code that
    /// needs a closer look.
    distance: u64,
    /// How many blocks are born: 1 or 0.
    births: u64,
}

impl Simple {
    const NONE: Self = Self { head: 0, distance: u64::MAX, births: 0 };
}

static SIMPLE: [Simple; 256] = {
    let mut table = [Simple::NONE; 256];
    let mut code = 0;
    while code < RELEASE_12 {
        table[code as usize] = if code < RELEASE {
            let mem = code >= ALLOCATE_MEM;
            let size = ((code & (ALLOCATE_MEM - 1)) as u64 + 1) * STEP;
            let head = PackedInput::new(Kind::Allocate, size, 0).flags(mem, false, false).head;
            Simple { head, distance: 0, births: 1 }
        } else {
            let head = PackedInput::new(Kind::Release, 0, 0).head;
            Simple { head, distance: (code - RELEASE) as u64 + 1, births: 0 }
        };
        code += 1;
    }
    table
};

fn next(
    codes: &mut Numbers<'_>,
    sizes: &mut Numbers<'_>,
    blocks: &mut Numbers<'_>,
    born: Block,
    last: &mut Last,
) -> Result<PackedInput, Malformed> {
    let code = codes.byte()?;
    let near =
        |distance: u64| born.checked_sub(1 + distance).ok_or(Malformed::OutOfRange { id: stream::INPUTS });
    let allocate = |size, mem, zeroed| PackedInput::new(Kind::Allocate, size, born).flags(mem, zeroed, false);
    Ok(match code {
        // Behind a prefix, or with no such block.
        0..RELEASE => PackedInput { head: SIMPLE[usize::from(code)].head, block: born },
        RELEASE..=RELEASE_FAR => {
            let block = if code < RELEASE_12 {
                near(u64::from(code - RELEASE))?
            } else if code < RELEASE_FAR {
                near(NEAR + (u64::from(code - RELEASE_12) << 8 | u64::from(blocks.byte()?)))?
            } else {
                blocks.block(last.released, born)?
            };
            last.released = block;
            PackedInput::new(Kind::Release, 0, block)
        }
        ALLOCATE_OBJ_SIZED => allocate(sizes.size()?, false, false),
        ALLOCATE_MEM_SIZED => allocate(sizes.size()?, true, false),
        ZEROED_OBJ => allocate(sizes.size()?, false, true),
        ZEROED_MEM => allocate(sizes.size()?, true, true),
        RESIZE => {
            let block = blocks.block(last.resized, born)?;
            last.resized = block;
            PackedInput::new(Kind::Resize, sizes.size()?, block)
        }
        MARK => PackedInput::new(Kind::Mark, 0, sizes.number()?),
        FAILED | FOREIGN_DOMAIN => return prefixed(code, codes, sizes, blocks, born, last),
        _ => return Err(Malformed::Code { id: codes.id, code }),
    })
}

/// An event behind a prefix; "failed" comes before "foreign domain", and each only before what it can describe.
#[cold]
fn prefixed(
    prefix: u8,
    codes: &mut Numbers<'_>,
    sizes: &mut Numbers<'_>,
    blocks: &mut Numbers<'_>,
    born: Block,
    last: &mut Last,
) -> Result<PackedInput, Malformed> {
    let undefined = Malformed::Code { id: codes.id, code: prefix };
    // One more prefix at the most, so that a stream of prefixes does not nest.
    let following = codes.bytes.get(codes.position).copied();
    if following == Some(FAILED) || (following == Some(FOREIGN_DOMAIN) && prefix == FOREIGN_DOMAIN) {
        return Err(undefined);
    }
    let input = next(codes, sizes, blocks, born, last)?;
    match (prefix, input.kind()) {
        (FAILED, Kind::Allocate | Kind::Resize) => Ok(input.flags(false, false, true)),
        (FOREIGN_DOMAIN, Kind::Resize | Kind::Release) => Ok(input.flags(true, false, false)),
        _ => Err(undefined),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inputs() -> impl Strategy<Value = Vec<Input>> {
        let size = prop_oneof![0_u64..600, any::<u64>().prop_map(|size| size & MAX_SIZE)];
        let step = (0_u8..8, size, any::<u64>(), any::<[bool; 4]>());
        prop::collection::vec(step, 0..300).prop_map(|steps| {
            let mut born = 0;
            let mut inputs = Vec::new();
            for (what, size, random, [mem, zeroed, rarely, foreign_domain]) in steps {
                let failed = rarely && random % 8 == 0;
                let domain = if mem { Domain::Mem } else { Domain::Obj };
                let allocate = Input::Allocate { domain, size, zeroed, failed };
                inputs.push(match what {
                    0..4 => {
                        born += u64::from(!failed);
                        allocate
                    }
                    4..6 if born > 0 => Input::Release { block: random % born, foreign_domain },
                    6 if born > 0 => Input::Resize { block: random % born, size, foreign_domain, failed },
                    _ => Input::Mark { code: random },
                });
            }
            inputs
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(inputs in inputs(), first in 0_u64..1 << 40) {
            // Distances reach back into earlier frames as well.
            let mut encoder = Encoder::default();
            encoder.begin_frame(first);
            let mut born = first;
            for input in &inputs {
                let shifted = match *input {
                    Input::Release { block, foreign_domain } => {
                        Input::Release { block: block + first, foreign_domain }
                    }
                    Input::Resize { block, size, foreign_domain, failed } => {
                        Input::Resize { block: block + first, size, foreign_domain, failed }
                    }
                    other => other,
                };
                encoder.push(&shifted, born);
                born += u64::from(matches!(input, Input::Allocate { failed: false, .. }));
            }
            let mut decoded = Vec::new();
            let events = u32::try_from(inputs.len()).unwrap();
            let streams = Streams { codes: &encoder.codes, sizes: &encoder.sizes, blocks: &encoder.blocks };
            let placed = |input: &&Input| matches!(input,
                Input::Allocate { size: 1..=256, .. } | Input::Resize { size: 1..=256, .. });
            let of = |wanted: fn(&Input) -> bool| inputs.iter().filter(|&input| wanted(input)).count() as u64;
            let counts = Counts {
                births: born - first,
                resizes: of(|input| matches!(input, Input::Resize { .. })),
                releases: of(|input| matches!(input, Input::Release { .. })),
                marks: of(|input| matches!(input, Input::Mark { .. })),
                placed: inputs.iter().filter(placed).count() as u64,
            };
            prop_assert_eq!(decode(streams, events, first, 256, &mut decoded), Ok(counts));
            for (packed, input) in decoded.iter().zip(&inputs) {
                match (packed.unpack(), *input) {
                    (Input::Release { block, .. }, Input::Release { block: expected, .. })
                    | (Input::Resize { block, .. }, Input::Resize { block: expected, .. }) => {
                        prop_assert_eq!(block, expected + first);
                    }
                    (got, expected) => prop_assert_eq!(got, expected),
                }
            }
        }

        #[test]
        fn any_bytes_decode_or_are_refused(
            [codes, sizes, blocks] in prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..300)),
            events in 0_u32..400,
        ) {
            let mut out = Vec::new();
            let streams = Streams { codes: &codes, sizes: &sizes, blocks: &blocks };
            if decode(streams, events, 7, 512, &mut out).is_ok() {
                prop_assert_eq!(out.len(), events as usize);
            }
        }
    }
}
