//! Looking in from outside.

use pool::{ArenaId, EmptyArenas, Geometry, PRESETS, Place, Pool, Position, Replay, Stats, Unbacked};

fn unaligned() -> (Geometry, impl FnMut() -> Option<u64>) {
    let geometry = Geometry::for_cpython(3, 12, 0).expect("in the table");
    let mut next = 0x7f00_0000_1000;
    let bases = move || {
        next += 0x10_0000;
        Some(next)
    };
    (geometry, bases)
}

#[test]
fn positions_are_found_for_blocks_and_nothing_else() {
    let (geometry, bases) = unaligned();
    let pool = Pool::with_parts(geometry, Replay::new(&geometry, bases), Unbacked::new());
    let first = pool.malloc(100).expect("memory");
    let second = pool.malloc(100).expect("memory");
    let base = pool.arenas().next().expect("one").base;
    assert_eq!(base % 16384, 0x1000);

    let at = |address: usize| pool.position(std::ptr::without_provenance(address));
    let expected = Position {
        arena: ArenaId::new(0),
        arena_offset: 0x3000 + 48 + 112 + 5,
        pool_index: 0,
        class: geometry.class_of(100).expect("small"),
        block_index: 1,
        block_offset: 5,
    };
    assert_eq!(at(second.addr().get() + 5), Some(expected));
    // The part that is lost, a header, the end of a pool, pools and arenas not in use.
    let header = base + 0x3000;
    assert_eq!(first.addr().get(), header + 48);
    for nothing in [
        base,
        header - 1,
        header,
        header + 47,
        header + 48 + 145 * 112,
        header + 16383,
        header + 16384 + 48,
        base + (1 << 20) - 1,
        base + (1 << 20),
        base - 1,
        0,
        usize::MAX,
    ] {
        assert_eq!(at(nothing), None, "{nothing:#x}");
    }
    assert!(at(header + 48 + 145 * 112 - 1).is_some(), "not carved yet, but a block");
    let place = |address: usize| pool.locate(std::ptr::without_provenance(address));
    assert_eq!(place(base), Some(Place { arena: ArenaId::new(0), offset: 0 }));
    assert_eq!(place(base + (1 << 20)), None);

    // SAFETY: both are live, each is freed once.
    unsafe {
        pool.free(Some(first));
        pool.free(Some(second));
    }
    assert_eq!(at(header + 48), None, "a pool without live blocks has no class");
}

#[test]
fn pools_and_arenas_are_listed() {
    let (geometry, bases) = unaligned();
    let pool = Pool::with_parts(geometry, Replay::new(&geometry, bases), Unbacked::new());
    // 63 pools of 31 blocks, and one block more.
    let blocks: Vec<_> = (0..63 * 31 + 1).map(|_| pool.malloc(512).expect("memory")).collect();
    let arenas: Vec<_> = pool.arenas().collect();
    assert_eq!(arenas.iter().map(|arena| arena.id.ordinal()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(arenas[0].first_pool, 0x3000);
    assert_eq!((arenas[0].pools_total, arenas[0].pools_free), (63, 0));
    assert_eq!((arenas[1].pools_total, arenas[1].pools_free), (63, 62));
    assert!(arenas[0].pools.iter().all(|pool| (pool.live, pool.capacity) == (31, 31)));
    assert_eq!(arenas[0].pools[62].address, arenas[0].base + 0x3000 + 62 * 16384);
    assert_eq!(arenas[1].pools.len(), 1);
    assert_eq!((arenas[1].pools[0].live, arenas[1].pools[0].index), (1, 0));

    let stats = pool.stats();
    assert!(stats.is_consistent());
    assert_eq!(stats.bytes.total(), 2 << 20);
    assert_eq!(stats.bytes.in_use, blocks.len() as u64 * 512);
    assert_eq!(stats.bytes.available, 30 * 512);
    assert_eq!(stats.bytes.headers, 64 * 48);
    assert_eq!(stats.bytes.quantization, 64 * ((16384 - 48) % 512));
    assert_eq!(stats.bytes.alignment, 2 * 16384);
    assert_eq!(stats.bytes.unused_pools, 62 * 16384);
    assert_eq!(stats.classes[31].pools, 64);

    // SAFETY: live, freed once.
    unsafe { pool.free(blocks.last().copied()) };
    assert_eq!(pool.stats().arenas.current, 2, "the last usable arena is kept");
    assert_eq!(pool.stats().arenas.highwater, 2);
}

#[test]
fn statistics_survive_json() {
    let pool = Pool::new(PRESETS[1].geometry);
    pool.malloc(77).expect("memory");
    let stats = pool.stats();
    let json = serde_json::to_string(&stats).expect("plain data");
    assert_eq!(serde_json::from_str::<Stats>(&json).expect("round trip"), stats);
}

#[test]
fn counts_that_do_not_fit_the_geometry_are_refused() {
    let geometry = Geometry::new(8, 64, 1024, 4096, EmptyArenas::Keep).expect("valid");
    let class =
        |class, block_size| pool::ClassStats { class, block_size, pools: 1, ..pool::ClassStats::default() };
    let arenas = pool::ArenaStats::default();
    let from =
        |counts: &[pool::ClassStats]| Stats::from_counts(geometry, counts.iter().copied(), arenas).is_some();
    assert!(from(&[class(7, 64)]));
    assert!(!from(&[class(8, 72)]), "no such class");
    assert!(!from(&[class(7, 63)]), "another size");
    assert!(!from(&[class(3, 32), class(3, 32)]), "twice");
}

#[test]
fn classes_are_those_of_the_geometry() {
    let pool = Pool::new(PRESETS[2].geometry);
    let classes: Vec<_> = pool.classes().collect();
    assert_eq!(classes.len(), 32);
    assert_eq!((classes[31].block_size, classes[31].blocks_per_pool), (512, 7));
    assert!(classes.iter().all(|view| pool.class_of(view.block_size) == Some(view.class)));
}
