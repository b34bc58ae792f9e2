//! Known answers: small sequences with their results by hand.

use std::ptr::NonNull;

use pool::{Fallback, Geometry, PRESETS, Place, Pool, Replay, Unbacked};

use pool::ArenaSource;

fn cpython(minor: u32) -> Geometry {
    Geometry::for_cpython(3, minor, 10).expect("in the table")
}

/// A pool whose arenas all begin at multiples of the arena size.
fn aligned(geometry: Geometry) -> Pool<impl ArenaSource, Unbacked> {
    let mut next = 1 << 40;
    let bases = move || {
        next += geometry.arena_size() as u64;
        Some(next)
    };
    Pool::with_parts(geometry, Replay::new(&geometry, bases), Unbacked::new())
}

fn offset<S: ArenaSource, F: Fallback>(pool: &Pool<S, F>, block: NonNull<u8>) -> usize {
    let Place { arena, offset } = pool.locate(block.as_ptr()).expect("in an arena");
    assert_eq!(arena.ordinal(), 0);
    offset
}

fn malloc<S: ArenaSource, F: Fallback>(pool: &Pool<S, F>, size: usize) -> NonNull<u8> {
    pool.malloc(size).expect("memory")
}

#[test]
fn a_fresh_class_ascends_until_the_first_free() {
    for preset in PRESETS {
        let pool = aligned(preset.geometry);
        let blocks: Vec<_> = (0..5).map(|_| malloc(&pool, 40)).collect();
        let size = 40_usize.next_multiple_of(preset.geometry.alignment());
        let offsets: Vec<_> = blocks.iter().map(|&block| offset(&pool, block)).collect();
        assert_eq!(offsets, [0, 1, 2, 3, 4].map(|n| 48 + n * size));
        // SAFETY: both are live.
        unsafe {
            pool.free(Some(blocks[1]));
            pool.free(Some(blocks[3]));
        }
        assert_eq!(malloc(&pool, 40), blocks[3]);
        assert_eq!(malloc(&pool, 40), blocks[1]);
        assert_eq!(offset(&pool, malloc(&pool, 40)), 48 + 5 * size);
    }
}

#[test]
fn a_full_pool_that_gets_a_block_back_is_used_first() {
    let pool = aligned(cpython(8));
    // Two pools of seven and a part of a third.
    let blocks: Vec<_> = (0..16).map(|_| malloc(&pool, 512)).collect();
    assert_eq!(offset(&pool, blocks[7]), 4096 + 48);
    assert_eq!(offset(&pool, blocks[14]), 2 * 4096 + 48);
    // SAFETY: both are live.
    unsafe {
        pool.free(Some(blocks[2]));
        pool.free(Some(blocks[9]));
    }
    assert_eq!([malloc(&pool, 512), malloc(&pool, 512)], [blocks[9], blocks[2]]);
    assert_eq!(offset(&pool, malloc(&pool, 512)), 2 * 4096 + 48 + 2 * 512);
}

#[test]
fn a_pool_that_has_just_become_full_is_in_front_when_it_gets_a_block_back() {
    let pool = aligned(cpython(8));
    let blocks: Vec<_> = (0..14).map(|_| malloc(&pool, 512)).collect();
    // The second pool is full, which nothing has noticed. The first one comes before it.
    // SAFETY: all three are live.
    unsafe {
        pool.free(Some(blocks[3]));
        pool.free(Some(blocks[8]));
        pool.free(Some(blocks[4]));
    }
    // The second came back after the first, so it is in front.
    assert_eq!(malloc(&pool, 512), blocks[8]);
    assert_eq!(malloc(&pool, 512), blocks[4]);
    assert_eq!(malloc(&pool, 512), blocks[3]);
}

#[test]
fn an_empty_pool_serves_any_class_and_remembers_its_own() {
    let pool = aligned(cpython(8));
    let keep = malloc(&pool, 16);
    let blocks: Vec<_> = (0..3).map(|_| malloc(&pool, 100)).collect();
    for &block in &blocks {
        // SAFETY: live, and each freed once.
        unsafe { pool.free(Some(block)) };
    }
    // The same class: the blocks freed last come first, then the untouched ones.
    let again: Vec<_> = (0..4).map(|_| malloc(&pool, 100)).collect();
    assert_eq!(again[..3], [blocks[2], blocks[1], blocks[0]]);
    assert_eq!(offset(&pool, again[3]), 4096 + 48 + 3 * 112);
    for &block in &again {
        // SAFETY: live, and each freed once.
        unsafe { pool.free(Some(block)) };
    }
    // Another class: as if new.
    assert_eq!(offset(&pool, malloc(&pool, 200)), 4096 + 48);
    // SAFETY: live.
    unsafe { pool.free(Some(keep)) };
}

#[test]
fn realloc_stays_down_to_three_quarters() {
    let pool = aligned(cpython(12));
    let block = malloc(&pool, 64);
    for size in (49..=64).rev() {
        // SAFETY: the block is live and has not moved.
        assert_eq!(unsafe { pool.realloc(Some(block), size) }, Some(block));
    }
    // SAFETY: the block is live.
    let moved = unsafe { pool.realloc(Some(block), 48) }.expect("memory");
    assert_eq!(offset(&pool, moved), 16384 + 48);
    // The new block was taken before the old one was freed, so the old pool was given back last.
    assert_eq!(offset(&pool, malloc(&pool, 64)), 48);
}

#[test]
fn realloc_never_moves_a_foreign_block_in_nor_keeps_an_own_one_for_zero_bytes() {
    let pool = Pool::new(cpython(12));
    let large = malloc(&pool, 600);
    assert!(!pool.owns(large.as_ptr()));
    // SAFETY: live, moved or resized, then freed.
    unsafe {
        let small = pool.realloc(Some(large), 20).expect("memory");
        assert!(!pool.owns(small.as_ptr()));
        pool.free(Some(small));
    }
    let own = malloc(&pool, 16);
    // SAFETY: live, then moved, then freed.
    unsafe {
        let empty = pool.realloc(Some(own), 0).expect("memory");
        assert!(!pool.owns(empty.as_ptr()));
        assert_eq!(pool.malloc(16), Some(own));
        pool.free(Some(empty));
        pool.free(Some(own));
    }
}

#[test]
fn realloc_of_nothing_is_malloc_and_free_of_nothing_is_nothing() {
    let pool = aligned(cpython(12));
    // SAFETY: no block is involved.
    let block = unsafe { pool.realloc(None, 100) }.expect("memory");
    assert_eq!(offset(&pool, block), 48);
    let before = pool.stats();
    // SAFETY: no block is involved.
    unsafe { pool.free(None) };
    assert_eq!(pool.stats(), before);
}

#[test]
fn requests_beyond_reason_are_refused() {
    let pool = Pool::new(cpython(12));
    assert_eq!(pool.malloc(usize::MAX), None);
    assert_eq!(pool.malloc(isize::MAX as usize + 1), None);
    assert_eq!(pool.calloc(usize::MAX, 2), None);
    assert_eq!(pool.calloc(1 << 32, 1 << 31), None);
    let block = malloc(&pool, 10);
    // SAFETY: the block is live, and stays so when it cannot be resized.
    unsafe {
        block.write(7);
        assert_eq!(pool.realloc(Some(block), usize::MAX), None);
        assert_eq!(block.read(), 7);
        pool.free(Some(block));
    }
    assert_eq!(pool.stats().bytes.in_use, 0);

    let pool = aligned(cpython(12));
    let foreign = malloc(&pool, 1000);
    // SAFETY: the block is live.
    assert_eq!(unsafe { pool.realloc(Some(foreign), isize::MAX as usize + 1) }, None);
}

#[test]
fn empty_and_large_requests_are_the_fallbacks() {
    let pool = aligned(cpython(12));
    for size in [0, 513, 1 << 20] {
        let block = malloc(&pool, size);
        assert!(!pool.owns(block.as_ptr()) && block.addr().get() >= 1 << 48);
    }
    assert_eq!(pool.calloc(0, 8).map(|block| pool.owns(block.as_ptr())), Some(false));
    assert_eq!(pool.fallback().granted(), 4);
    assert_eq!(pool.stats().arenas.allocated_total, 0);
}

#[test]
fn a_block_of_the_narrowest_pointer_can_be_freed() {
    // The pointer given back may have the right to one byte only; what lies around the byte is
    // reached by the arena's pointer. (For tools that check such rights.)
    let pool = Pool::new(cpython(9));
    let block = malloc(&pool, 32);
    // SAFETY: the block is live and one byte of it is borrowed for a moment.
    let narrow = unsafe {
        block.write(1);
        NonNull::from(block.cast::<u8>().as_mut())
    };
    // SAFETY: live, resized in place, freed once.
    unsafe {
        assert_eq!(pool.realloc(Some(narrow), 30), Some(block));
        pool.free(Some(narrow));
    }
    assert_eq!(pool.malloc(32), Some(block));
}
