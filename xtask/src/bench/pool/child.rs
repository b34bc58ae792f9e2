//! One measurement: one allocator, one sequence, in a process of its own.

use std::hint::black_box;
use std::path::PathBuf;
use std::ptr::NonNull;
use std::time::Instant;

use ::pool::Pool;
use memmap2::{Advice, MmapMut};
use serde::{Deserialize, Serialize};

use super::contenders::{Contender, Functions, new_pool};
use super::libpython;
use super::sequence::{Do, Operation, Sequence};
use crate::Result;
use crate::bench::measure::{high_water_mark, memory, on_one_processor, warm_up_memory};

/// More than any allocator takes for the sequences.
const WARM: usize = 256 << 20;

/// What the parent asks for.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Who; nobody to hear how libpython was built
    #[arg(long, requires = "sequence")]
    contender: Option<Contender>,
    /// The decoded sequence
    #[arg(long)]
    sequence: Option<PathBuf>,
    /// How often to run it
    #[arg(long, default_value_t = 1)]
    passes: u32,
}

/// What the child answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    /// How long each pass took, in seconds.
    pub(super) seconds: Vec<f64>,
    /// How much more memory was resident at most than before the first pass.
    pub(super) peak_bytes: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let (Some(contender), Some(path)) = (arguments.contender, &arguments.sequence) else {
        return libpython::describe();
    };
    let sequence = Sequence::load(path)?;
    let operations = sequence.operations();
    let mut addresses = slots_memory(sequence.slots())?;
    // SAFETY: a mapping begins at a page, so it is aligned; it is long enough; its bytes are zero, which are pointers;
    // nobody else uses it.
    let slots: &mut [*mut u8] =
        unsafe { std::slice::from_raw_parts_mut(addresses.as_mut_ptr().cast(), sequence.slots()) };
    let largest = operations.iter().map(|operation| operation.size()).max().unwrap_or(0);
    // The compiler shall not know which functions these are.
    let functions = black_box(contender.functions(largest)?);
    let pool = new_pool()?;
    let mut run = Run { survivors: survivors(operations, slots.len()), operations, slots };
    warm_up_memory(WARM)?;
    let unknown = || "the kernel does not tell how much memory a process has".to_owned();
    // From now on the high-water mark is that of the passes. (If it cannot be reset it is that of the start: small.)
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = memory("self", "VmRSS:").ok_or_else(unknown)?;
    let (seconds, peak) = on_one_processor(|| {
        let (mut seconds, mut peak) = (Vec::with_capacity(arguments.passes as usize), None);
        for _ in 0..arguments.passes {
            seconds.push(match functions {
                // SAFETY: these functions keep C's contract.
                Some(functions) => unsafe { run.pass(&functions) },
                None => run.pass_sized(&pool),
            });
            // Of the first.
            peak = peak.or_else(|| high_water_mark("self"));
        }
        Ok((seconds, peak.ok_or_else(unknown)?))
    })?;
    let measured = Measured { seconds, peak_bytes: peak.saturating_sub(before) };
    crate::answer(&serde_json::json!(measured).to_string())
}

/// Memory for pointers to so many blocks, zeroed; in huge pages if there are any, so that to look one up costs about the
/// same in all programs.
fn slots_memory(slots: usize) -> Result<MmapMut> {
    let failed = |error: std::io::Error| format!("there is no memory for the blocks' addresses: {error}");
    let mut memory = MmapMut::map_anon(slots.max(1) * size_of::<*mut u8>()).map_err(failed)?;
    let _ = memory.advise(Advice::HugePage);
    // So that its pages are there.
    memory.fill(0);
    Ok(memory)
}

/// Writes a block's first and last byte, as whoever asked for it would.
///
/// # Safety
///
/// The block has `size` bytes.
#[inline]
unsafe fn touch(block: NonNull<u8>, size: usize) {
    if size > 0 {
        // SAFETY: both are inside of the block.
        unsafe {
            block.write_volatile(1);
            block.add(size - 1).write_volatile(2);
        }
    }
}

#[cold]
fn exhausted() -> ! {
    panic!("there is not enough memory for this sequence")
}

/// What is run, again and again.
struct Run<'a> {
    operations: &'a [Operation],
    /// The blocks, by slot.
    slots: &'a mut [*mut u8],
    /// The slots that hold a block when all is over, and the blocks' sizes.
    survivors: Vec<(usize, usize)>,
}

impl Run<'_> {
    /// Runs the sequence; then gives back, outside of the time, what is still live: each pass begins with no block.
    ///
    /// # Safety
    ///
    /// The functions keep C's contract.
    #[inline(never)]
    unsafe fn pass(&mut self, functions: &Functions) -> f64 {
        let start = Instant::now();
        let mut words = self.operations.iter();
        while let Some(operation) = words.next() {
            let (slot, size) = (operation.slot(), operation.size());
            // SAFETY: in a sequence a slot holds a live block from its allocation to its release, and these are the
            // only operations between; a block has as many bytes as it was asked for.
            unsafe {
                match operation.what() {
                    Do::Allocate => {
                        let block = (functions.malloc)(size).cast();
                        let block = NonNull::new(block).unwrap_or_else(|| exhausted());
                        touch(block, size);
                        self.slots[slot] = block.as_ptr();
                    }
                    Do::Release => (functions.free)(self.slots[slot].cast()),
                    Do::Resize => {
                        words.next();
                        let block = (functions.realloc)(self.slots[slot].cast(), size).cast();
                        let block = NonNull::new(block).unwrap_or_else(|| exhausted());
                        touch(block, size);
                        self.slots[slot] = block.as_ptr();
                    }
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        for &(slot, _) in &self.survivors {
            // SAFETY: it is live.
            unsafe { (functions.free)(self.slots[slot].cast()) };
        }
        seconds
    }

    /// The same with pools that are used as Rust code does.
    #[inline(never)]
    fn pass_sized(&mut self, pool: &Pool) -> f64 {
        let start = Instant::now();
        let mut words = self.operations.iter();
        while let Some(operation) = words.next() {
            let (slot, size) = (operation.slot(), operation.size());
            // SAFETY: as in `pass`; the size with which a block is released is that with which it was asked for, so
            // its class is known to be what it was.
            unsafe {
                match operation.what() {
                    Do::Allocate => {
                        let block = allocate(pool, size);
                        touch(block, size);
                        self.slots[slot] = block.as_ptr();
                    }
                    Do::Release => release(pool, NonNull::new_unchecked(self.slots[slot]), size),
                    Do::Resize => {
                        let old = words.next().map_or(0, |word| word.size());
                        let block = resize(pool, NonNull::new_unchecked(self.slots[slot]), old, size);
                        touch(block, size);
                        self.slots[slot] = block.as_ptr();
                    }
                }
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        for &(slot, size) in &self.survivors {
            // SAFETY: it is live, and of that size.
            unsafe { release(pool, NonNull::new_unchecked(self.slots[slot]), size) };
        }
        seconds
    }
}

#[inline]
fn allocate(pool: &Pool, size: usize) -> NonNull<u8> {
    let block = match pool.class_of(size) {
        Some(class) => pool.allocate_class(class),
        // The fallback's.
        None => pool.malloc(size),
    };
    block.unwrap_or_else(|| exhausted())
}

/// # Safety
///
/// The block is from [`allocate`] or [`resize`] for this size, live, and not used any more.
#[inline]
unsafe fn release(pool: &Pool, block: NonNull<u8>, size: usize) {
    // SAFETY: what has a class is from `allocate_class`, so from an arena; the rest is by contract.
    unsafe {
        match pool.class_of(size) {
            Some(_) => pool.free_class(block),
            None => pool.free(Some(block)),
        }
    }
}

/// # Safety
///
/// The block is from [`allocate`] or this for the size `old`, and live.
#[inline]
unsafe fn resize(pool: &Pool, block: NonNull<u8>, old: usize, size: usize) -> NonNull<u8> {
    match (pool.class_of(old), pool.class_of(size)) {
        // SAFETY: a block of the fallback stays one.
        (None, None) => unsafe { pool.realloc(Some(block), size) }.unwrap_or_else(|| exhausted()),
        (Some(one), Some(other)) if one == other => block,
        _ => {
            let new = allocate(pool, size);
            // SAFETY: both are live, so they do not overlap, and have at least so many bytes (of which some may never
            // have been written: they are copied as bytes that nobody looks at).
            unsafe {
                block.copy_to_nonoverlapping(new, old.min(size));
                release(pool, block, old);
            }
            new
        }
    }
}

/// See [`Run::survivors`].
fn survivors(operations: &[Operation], slots: usize) -> Vec<(usize, usize)> {
    let mut sizes: Vec<Option<usize>> = vec![None; slots];
    let mut words = operations.iter();
    while let Some(operation) = words.next() {
        sizes[operation.slot()] = match operation.what() {
            Do::Allocate => Some(operation.size()),
            Do::Release => None,
            Do::Resize => {
                words.next();
                Some(operation.size())
            }
        };
    }
    sizes.into_iter().enumerate().filter_map(|(slot, size)| Some((slot, size?))).collect()
}
