//! Replayed arenas: where they lie, and what becomes of their memory.

use pool::{ArenaEvent, EmptyArenas, Geometry, Pool, Refusal, Replay, Unbacked};

const ARENA: usize = 256 << 10;

fn geometry() -> Geometry {
    Geometry::new(16, 512, 4096, ARENA, EmptyArenas::Return).expect("valid")
}

/// Near each other, far away, and where no distance to the first can be kept.
#[test]
fn addresses_are_translated_both_ways() {
    let first = 0x7f00_0000_3000;
    // The last of them begin and end at what is the end of the span where all of it could be reserved.
    let end = (first - first % (2 << 20)) + (32 << 30);
    let recorded = [
        first,
        first - 5 * ARENA as u64,
        first + (40 << 30),
        1 << 30,
        first + ARENA as u64,
        end - ARENA as u64 / 2,
        end - (64 << 30) - ARENA as u64 / 2,
    ];
    let mut bases = recorded.into_iter();
    let pool = Pool::with_parts(geometry(), Replay::new(&geometry(), || bases.next()), Unbacked::new());
    let mut arenas = 0;
    for n in 0.. {
        let block = pool.malloc(1 + n % 512).expect("never refused");
        let source = pool.source();
        let Some(place) = pool.locate(block.as_ptr()) else {
            // The bases have run out.
            assert_eq!(source.recorded_of(block), None);
            break;
        };
        let address = source.recorded_address(place).expect("a live arena");
        assert_eq!(source.recorded_of(block), Some(address));
        assert_eq!(source.block_at(address), Some(block));
        arenas = arenas.max(place.arena.ordinal() + 1);
    }
    assert_eq!(arenas, recorded.len() as u64);
    assert_eq!(pool.source().block_at(8), None);
}

/// Pools may be larger than what spans are aligned to.
#[test]
fn large_pools_begin_where_they_did() {
    for shift in [22, 24, 26] {
        let pool_size = 1_usize << shift;
        let geometry = Geometry::new(16, 512, pool_size, 4 * pool_size, EmptyArenas::Keep).expect("valid");
        let base = 0x7f00_0020_0000_u64;
        let pool = Pool::with_parts(geometry, Replay::new(&geometry, || Some(base)), Unbacked::new());
        let block = pool.malloc(16).expect("memory");
        let first = base.next_multiple_of(pool_size as u64);
        assert_eq!(pool.source().recorded_of(block), Some(first + geometry.header_size() as u64));
    }
}

/// A source is for pools of one geometry.
#[test]
fn another_geometry_gets_no_arena() {
    let other = Geometry::new(16, 512, 4096, 4 * ARENA, EmptyArenas::Return).expect("valid");
    let pool = Pool::with_parts(other, Replay::new(&geometry(), || Some(1 << 40)), Unbacked::new());
    let block = pool.malloc(16).expect("the fallback");
    assert!(!pool.owns(block.as_ptr()));
    assert_eq!(pool.source().next_event(), Some(ArenaEvent::Refused(Refusal::Geometry)));
}

/// The memory of released arenas is kept for a while, then returned; never that of one which has come to lie there.
#[test]
fn memory_that_is_in_use_again_is_not_returned() {
    let first = 0x7f00_0000_0000_u64;
    // The second lies across the end of the first, which is released by then; the others are released one by one.
    let others = (1..40).map(|n| first + (n << 24));
    let mut bases = [first, first + ARENA as u64 / 2].into_iter().chain(others);
    let pool = Pool::with_parts(geometry(), Replay::new(&geometry(), || bases.next()), Unbacked::new());
    let release = |block| {
        // SAFETY: each is live when it is given here, and not used any more.
        unsafe { pool.free(Some(block)) }
    };
    release(pool.malloc(16).expect("memory"));
    assert_eq!(pool.stats().arenas.current, 0);
    let blocks: Vec<_> = (0..ARENA / 4096 * 7).map(|_| pool.malloc(512).expect("memory")).collect();
    assert_eq!(pool.stats().arenas.current, 1);
    for &block in &blocks {
        // SAFETY: it has 512 bytes.
        unsafe { block.write_bytes(0xa5, 512) };
    }
    for _ in 0..39 {
        // The live arena is full: each time another one is acquired, and released.
        release(pool.malloc(512).expect("memory"));
    }
    assert_eq!(pool.stats().arenas.allocated_total, 41);
    for block in blocks {
        // SAFETY: all of its bytes were written.
        let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), 512) };
        assert!(bytes.iter().all(|&byte| byte == 0xa5));
        release(block);
    }
}

/// Recorded bases need not lie at pages: what is returned of one arena's memory is none of its neighbours'.
#[test]
fn neighbours_in_one_page_keep_theirs() {
    let first = 0x7f00_0000_0800_u64;
    // Two neighbours that meet within a page; of the first one nothing stays, and then others come and go.
    let others = (1..40).map(|n| first + (n << 24));
    let mut bases = [first, first + ARENA as u64].into_iter().chain(others);
    let pool = Pool::with_parts(geometry(), Replay::new(&geometry(), || bases.next()), Unbacked::new());
    let release = |block| {
        // SAFETY: each is live when it is given here, and not used any more.
        unsafe { pool.free(Some(block)) }
    };
    let pools = ARENA / 4096 - 1;
    let one: Vec<_> = (0..pools * 7).map(|_| pool.malloc(512).expect("memory")).collect();
    let other: Vec<_> = (0..pools * 7).map(|_| pool.malloc(512).expect("memory")).collect();
    assert_eq!(pool.stats().arenas.current, 2);
    for &block in &other {
        // SAFETY: it has 512 bytes.
        unsafe { block.write_bytes(0x5a, 512) };
    }
    one.into_iter().for_each(release);
    for _ in 0..39 {
        release(pool.malloc(512).expect("memory"));
    }
    for block in other {
        // SAFETY: all of its bytes were written.
        let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), 512) };
        assert!(bytes.iter().all(|&byte| byte == 0x5a));
        release(block);
    }
    assert!(pool.stats().is_consistent());
}
