//! A recorded sequence of requests, decoded beforehand to what a measuring loop can read at once.
//!
//! A file of 64-bit words, one for each operation: a size in the low half, above it two bits for the kind, then the
//! number of a slot. A slot is where the loop keeps a block's address; slots are used again as soon as they are free, so that
//! there are as many as blocks that are live at the same time. The last word says how many that are.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use memmap2::Mmap;
use trace::{BlockTable, Frame, Kind, Lineage};

use crate::Result;

/// What an operation does with the block in its slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Do {
    /// Puts a new one there.
    Allocate,
    /// Takes it away; the size is what it has.
    Release,
    /// Changes its size. The next word is no operation, but the size that it had.
    Resize,
}

/// An operation.
#[derive(Clone, Copy)]
pub(super) struct Operation(u64);

const WHAT: u32 = 32;
const SLOT: u32 = 34;

impl Operation {
    fn new(what: Do, slot: u64, size: u64) -> Result<Self> {
        if slot >> (64 - SLOT) != 0 || size >> WHAT != 0 {
            return Err(
                "this trace has more live blocks, or larger ones, than a benchmark has room for".to_owned()
            );
        }
        Ok(Self(slot << SLOT | (what as u64) << WHAT | size))
    }

    #[inline]
    pub(super) fn what(self) -> Do {
        match (self.0 >> WHAT) & 3 {
            0 => Do::Allocate,
            1 => Do::Release,
            _ => Do::Resize,
        }
    }

    #[inline]
    pub(super) fn slot(self) -> usize {
        (self.0 >> SLOT) as usize
    }

    #[inline]
    pub(super) fn size(self) -> usize {
        (self.0 & ((1 << WHAT) - 1)) as usize
    }
}

/// What is in a sequence.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct Contents {
    pub(super) operations: u64,
    pub(super) slots: u64,
    /// Requests for more than 512 bytes, of which no pool serves any: new blocks and resizes.
    pub(super) large: u64,
    pub(super) resizes: u64,
    /// Blocks that are asked for zeroed; all contenders are asked for them as for others.
    pub(super) zeroed: u64,
}

/// Where blocks of the trace are kept: a slot and a size.
#[derive(Clone, Copy)]
struct Block {
    slot: u64,
    size: u64,
}

/// Decodes a trace into a file.
pub(super) fn decode(trace: &Path, output: &Path) -> Result<Contents> {
    let file = File::create(output).map_err(|error| format!("{}: {error}", output.display()))?;
    let mut out = BufWriter::new(file);
    let mut contents = Contents { operations: 0, slots: 0, large: 0, resizes: 0, zeroed: 0 };
    let mut blocks = BlockTable::new();
    let mut free = Vec::new();
    let mut frame = Frame::default();
    let unreadable = |error: trace::Error| format!("{}: {error}", trace.display());
    let mut reader = Lineage::open(trace).map_err(unreadable)?;
    let mut write = |word: u64| {
        out.write_all(&word.to_ne_bytes()).map_err(|error| format!("{}: {error}", output.display()))
    };
    while reader.read(&mut frame).map_err(unreadable)? {
        for input in frame.inputs.iter().filter(|input| !input.failed()) {
            let size = input.size();
            match input.kind() {
                Kind::Allocate => {
                    let slot = free.pop().unwrap_or_else(|| {
                        contents.slots += 1;
                        contents.slots - 1
                    });
                    blocks.push(Block { slot, size });
                    contents.zeroed += u64::from(input.zeroed());
                    write(Operation::new(Do::Allocate, slot, size)?.0)?;
                }
                Kind::Release => {
                    let Some(Block { slot, size }) = blocks.remove(input.block()) else { continue };
                    free.push(slot);
                    write(Operation::new(Do::Release, slot, size)?.0)?;
                }
                Kind::Resize => {
                    let Some(old) = blocks.get(input.block()) else { continue };
                    // To 0 bytes would be a release for some C libraries, so CPython asks them for 1, too.
                    let size = size.max(1);
                    blocks.replace(input.block(), Block { slot: old.slot, size });
                    contents.resizes += 1;
                    write(Operation::new(Do::Resize, old.slot, size)?.0)?;
                    write(old.size)?;
                }
                Kind::Mark => continue,
            }
            contents.operations += 1;
            contents.large += u64::from(input.kind() != Kind::Release && size > 512);
        }
    }
    write(contents.slots)?;
    out.flush().map_err(|error| format!("{}: {error}", output.display()))?;
    Ok(contents)
}

/// A decoded sequence, in memory.
pub(super) struct Sequence {
    map: Mmap,
}

impl Sequence {
    /// Maps the file and touches each page of it, so that none is read within a measurement.
    pub(super) fn load(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(failed)?;
        // SAFETY: the file is in a temporary folder of the parent process, which has written it and waits.
        let map = unsafe { memmap2::MmapOptions::new().populate().map(&file) }.map_err(failed)?;
        if map.len() < 8 || map.len() % 8 != 0 {
            return Err(format!("{}: this is no sequence", path.display()));
        }
        Ok(Self { map })
    }

    fn words(&self) -> &[Operation] {
        // SAFETY: an operation is a 64-bit word, of which any bits are one; the map begins at a page, so it is
        // aligned; it is `len` bytes long.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.map.len() / 8) }
    }

    pub(super) fn operations(&self) -> &[Operation] {
        let words = self.words();
        &words[..words.len() - 1]
    }

    pub(super) fn slots(&self) -> usize {
        self.words().last().map_or(0, |last| usize::try_from(last.0).unwrap_or(usize::MAX))
    }
}
