//! Rust's contract: random layouts that grow and shrink, within pools, outside, and across.

use std::alloc::Layout;
use std::ptr::NonNull;

use allocator_api2::alloc::Allocator;
use pool::{Budget, Bump, Geometry, Heap, PRESETS, Pool};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Allocate { layout: Layout, zeroed: bool },
    Resize { pick: usize, size: usize, align: usize, zeroed: bool },
    Deallocate { pick: usize },
}

fn layout() -> impl Strategy<Value = Layout> {
    (size(), align()).prop_map(|(size, align)| Layout::from_size_align(size, align).expect("small"))
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0_usize), 1..70_usize, 1..600_usize, 500..530_usize, 600..5000_usize]
}

fn align() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..=4_u32, 1 => 5..=12_u32].prop_map(|shift| 1 << shift)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (layout(), any::<bool>()).prop_map(|(layout, zeroed)| Step::Allocate { layout, zeroed }),
        (any::<usize>(), size(), align(), any::<bool>())
            .prop_map(|(pick, size, align, zeroed)| Step::Resize { pick, size, align, zeroed }),
        any::<usize>().prop_map(|pick| Step::Deallocate { pick }),
    ]
}

struct Block {
    pointer: NonNull<u8>,
    layout: Layout,
    pattern: u8,
}

impl Block {
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: a live block of this size, filled when it was made; borrowed by `&mut self`.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.layout.size()) }
    }

    /// Takes in what an allocator returned; up to `kept` bytes have the pattern of before.
    fn new(block: NonNull<[u8]>, layout: Layout, kept: Option<(usize, u8)>, pattern: u8) -> Self {
        assert!(block.len() >= layout.size());
        assert!(block.cast::<u8>().addr().get().is_multiple_of(layout.align()));
        let pointer = block.cast::<u8>();
        if let Some((kept, old)) = kept {
            for at in 0..kept {
                // SAFETY: below the size of the block, and written before it grew or shrank.
                assert_eq!(unsafe { pointer.add(at).read() }, old.wrapping_add(at as u8));
            }
        }
        // Every byte that was granted is written, so that memory checkers see a lie.
        for at in 0..block.len() {
            // SAFETY: below the length that the allocator granted.
            unsafe { pointer.add(at).write(pattern.wrapping_add(at as u8)) };
        }
        Self { pointer, layout, pattern }
    }

    fn check(&mut self) {
        let pattern = self.pattern;
        for (at, &mut byte) in self.bytes().iter_mut().enumerate() {
            assert_eq!(byte, pattern.wrapping_add(at as u8), "byte {at}");
        }
    }
}

fn assert_zero(block: NonNull<[u8]>, from: usize) {
    for at in from..block.len() {
        // SAFETY: below the granted length, and zeroed by the allocator.
        assert_eq!(unsafe { block.cast::<u8>().add(at).read() }, 0);
    }
}

fn run(pool: &Pool<Budget<Heap>>, steps: &[Step]) {
    let geometry = pool.geometry();
    let mut blocks: Vec<Block> = Vec::new();
    for (n, step) in (0_u8..=255).cycle().zip(steps) {
        match *step {
            Step::Allocate { layout, zeroed } => {
                let block = if zeroed { pool.allocate_zeroed(layout) } else { pool.allocate(layout) };
                let block = block.expect("memory");
                if zeroed {
                    assert_zero(block, 0);
                }
                let small = layout.align() <= geometry.alignment();
                match geometry.class_of(layout.size()).filter(|_| small) {
                    Some(class) => {
                        assert!(pool.owns(block.cast::<u8>().as_ptr()));
                        assert_eq!(block.len(), geometry.block_size(class));
                        assert_eq!(pool.class_of_layout(layout), Some(class));
                    }
                    None => assert!(!pool.owns(block.cast::<u8>().as_ptr())),
                }
                blocks.push(Block::new(block, layout, None, n));
            }
            Step::Resize { pick, size, align, zeroed } => {
                let Some(at) = pick.checked_rem(blocks.len()) else {
                    continue;
                };
                let mut old = blocks.swap_remove(at);
                old.check();
                let new = Layout::from_size_align(size, align).expect("small");
                let grows = size >= old.layout.size();
                // SAFETY: a live block of this layout, not used any more; the new size is as
                // large or as small as the method wants.
                let block = unsafe {
                    match (grows, zeroed) {
                        (true, true) => pool.grow_zeroed(old.pointer, old.layout, new),
                        (true, false) => pool.grow(old.pointer, old.layout, new),
                        (false, _) => pool.shrink(old.pointer, old.layout, new),
                    }
                }
                .expect("memory");
                let class = |layout| pool.class_of_layout(layout);
                if class(new).is_some() && class(new) == class(old.layout) {
                    assert_eq!(block.cast::<u8>(), old.pointer, "the same class, the same place");
                }
                if grows && zeroed {
                    assert_zero(block, old.layout.size());
                }
                let kept = old.layout.size().min(size);
                blocks.push(Block::new(block, new, Some((kept, old.pattern)), n));
            }
            Step::Deallocate { pick } => {
                let Some(at) = pick.checked_rem(blocks.len()) else {
                    continue;
                };
                let mut old = blocks.swap_remove(at);
                old.check();
                // SAFETY: a live block of this layout, not used any more.
                unsafe { pool.deallocate(old.pointer, old.layout) };
            }
        }
    }
    assert!(pool.stats().is_consistent());
    for mut old in blocks {
        old.check();
        // SAFETY: a live block of this layout, not used any more.
        unsafe { pool.deallocate(old.pointer, old.layout) };
    }
    assert_eq!(pool.stats().bytes.in_use, 0);
}

/// Names the implementation for `&Pool`, which `pool.allocate(..)` would not find by itself.
trait AsAllocator {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, allocator_api2::alloc::AllocError>;
}

impl AsAllocator for Pool<Budget<Heap>> {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, allocator_api2::alloc::AllocError> {
        Allocator::allocate(&self, layout)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: crate::addresses::cases(), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn random_layouts_keep_their_contents(
        preset in prop::sample::select(PRESETS),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        run(&Pool::with_source(preset.geometry, Budget::new(Heap, usize::MAX)), &steps);
    }
}

#[test]
fn empty_layouts_take_no_memory() {
    let pool = Pool::with_source(PRESETS[0].geometry, Bump::new());
    let layout = Layout::from_size_align(0, 64).expect("valid");
    let block = Allocator::allocate(&&pool, layout).expect("nothing can fail");
    assert_eq!((block.len(), block.cast::<u8>().addr().get() % 64), (0, 0));
    // SAFETY: allocated with this layout.
    unsafe { Allocator::deallocate(&&pool, block.cast(), layout) };
    assert_eq!(pool.stats().arenas.allocated_total, 0);
}

#[test]
fn wide_alignment_is_served_by_a_pool_that_has_it() {
    let geometry = Geometry::new(64, 1024, 1 << 14, 1 << 20, pool::EmptyArenas::Return).expect("valid");
    let pool = Pool::new(geometry);
    let layout = Layout::from_size_align(100, 64).expect("valid");
    let block = Allocator::allocate(&&pool, layout).expect("memory");
    assert!(pool.owns(block.cast::<u8>().as_ptr()));
    assert_eq!((block.len(), block.cast::<u8>().addr().get() % 64), (128, 0));
    // SAFETY: allocated with this layout.
    unsafe { Allocator::deallocate(&&pool, block.cast(), layout) };
}
