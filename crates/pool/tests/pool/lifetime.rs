//! Every arena goes back exactly once: when it is empty, or with its pool.

use std::alloc::Layout;
use std::cell::RefCell;
use std::ptr::NonNull;

use pool::{ArenaEvent, ArenaSource, Bump, EmptyArenas, Geometry, Heap, Os, Pool, Replay, Retain, Unbacked};

/// Keeps the books of another source.
#[derive(Default)]
struct Books<S> {
    inner: S,
    live: RefCell<Vec<usize>>,
    log: RefCell<Vec<(bool, usize)>>,
}

// SAFETY: every arena is one of `inner`.
unsafe impl<S: ArenaSource> ArenaSource for Books<S> {
    fn acquire(&self, layout: Layout) -> Option<NonNull<u8>> {
        let base = self.inner.acquire(layout)?;
        assert_eq!(base.addr().get() % layout.align(), 0);
        self.live.borrow_mut().push(base.addr().get());
        self.log.borrow_mut().push((true, base.addr().get()));
        Some(base)
    }

    unsafe fn release(&self, base: NonNull<u8>, layout: Layout) {
        let mut live = self.live.borrow_mut();
        let at = live.iter().position(|&other| other == base.addr().get()).expect("released once");
        live.remove(at);
        self.log.borrow_mut().push((false, base.addr().get()));
        // SAFETY: the contract is the same.
        unsafe { self.inner.release(base, layout) };
    }
}

fn geometry(policy: EmptyArenas) -> Geometry {
    Geometry::new(16, 512, 4096, 1 << 15, policy).expect("valid")
}

fn fill_and_free<S: ArenaSource + Default>(policy: EmptyArenas) -> Vec<(bool, usize)> {
    let source = Books::<S>::default();
    let pool = Pool::with_source(geometry(policy), &source);
    let class = pool.class_of(500).expect("small");
    let blocks: Vec<_> = (0..300).map(|_| pool.allocate_class(class).expect("memory")).collect();
    let arenas = source.live.borrow().len();
    assert!(arenas >= 6);
    for (n, &block) in blocks.iter().enumerate() {
        // SAFETY: 512 bytes, live.
        unsafe { block.cast::<usize>().write(n) };
    }
    for (n, &block) in blocks.iter().enumerate() {
        // SAFETY: live and written; given back once.
        unsafe {
            assert_eq!(block.cast::<usize>().read(), n);
            pool.free_class(block);
        }
    }
    let left = match policy {
        EmptyArenas::Return => 0,
        EmptyArenas::KeepLast => 1,
        EmptyArenas::Keep => arenas,
    };
    assert_eq!(source.live.borrow().len(), left);
    assert_eq!(pool.stats().arenas.current, left as u64);
    drop(pool);
    assert_eq!(source.live.borrow().len(), 0);
    source.log.take()
}

#[test]
fn arenas_go_back_when_empty_or_with_the_pool() {
    for policy in [EmptyArenas::Return, EmptyArenas::KeepLast, EmptyArenas::Keep] {
        for log in [fill_and_free::<Os>(policy), fill_and_free::<Bump>(policy), fill_and_free::<Heap>(policy)]
        {
            assert_eq!(log.len() % 2, 0, "as many releases as acquisitions");
        }
    }
}

#[test]
fn a_dropped_pool_releases_live_blocks_in_order_of_acquisition() {
    let source = Books::<Heap>::default();
    let pool = Pool::with_source(geometry(EmptyArenas::Keep), &source);
    for _ in 0..300 {
        pool.malloc(500).expect("memory");
    }
    let acquired = source.live.borrow().clone();
    drop(pool);
    let log = source.log.take();
    let released: Vec<_> = log.iter().filter(|(got, _)| !got).map(|&(_, base)| base).collect();
    assert_eq!(released, acquired);
}

#[test]
fn bump_arenas_are_used_again() {
    let source = Bump::new();
    let pool = Pool::with_source(geometry(EmptyArenas::Return), &source);
    for _ in 0..10 {
        let block = pool.malloc(16).expect("memory");
        // SAFETY: live, freed once.
        unsafe { pool.free(Some(block)) };
    }
    assert_eq!((pool.stats().arenas.allocated_total, source.chunks()), (10, 1));
}

#[test]
fn replayed_arenas_are_numbered_on_and_logged() {
    let geometry = geometry(EmptyArenas::Return);
    let mut bases = (1..).map(|n| n << 20);
    let replay = Replay::new(&geometry, || bases.next());
    let pool = Pool::with_parts(geometry, &replay, Unbacked::new());
    for n in 0..3 {
        let block = pool.malloc(16).expect("memory");
        assert_eq!(pool.locate(block.as_ptr()).map(|place| place.arena.ordinal()), Some(n));
        // SAFETY: live, freed once.
        unsafe { pool.free(Some(block)) };
    }
    pool.malloc(16).expect("memory");
    let numbers: Vec<_> = replay
        .take_events()
        .map(|event| match event {
            ArenaEvent::Acquired { arena, recorded } => (true, arena.ordinal(), recorded >> 20),
            ArenaEvent::Released { arena, recorded } => (false, arena.ordinal(), recorded >> 20),
            ArenaEvent::Refused(why) => panic!("{why:?}"),
        })
        .collect();
    let expected =
        [(true, 0, 1), (false, 0, 1), (true, 1, 2), (false, 1, 2), (true, 2, 3), (false, 2, 3), (true, 3, 4)];
    assert_eq!(numbers, expected);
    assert_eq!(replay.recorded_bases(), [1 << 20, 2 << 20, 3 << 20, 4 << 20]);
    drop(pool);
    assert!(matches!(replay.next_event(), Some(ArenaEvent::Released { .. })));
    assert_eq!(replay.next_event(), None);
}

#[test]
fn pools_may_go_to_another_thread() {
    fn is_send<T: Send>(_: &T) {}
    let pool = Pool::new(geometry(EmptyArenas::Return));
    is_send(&pool);
    let block = pool.malloc(16).expect("memory");
    let address = block.addr();
    let pool = std::thread::spawn(move || pool).join().expect("no panic");
    assert!(pool.owns(std::ptr::without_provenance(address.get())));
}

/// One source for pools of several geometries: what was cut for one is never lent to another.
#[test]
fn the_system_serves_arenas_of_several_sizes() {
    let source = Os::new();
    let layouts =
        [4 << 10, 256 << 10, 1 << 20, 3 << 20].map(|size| Layout::from_size_align(size, 64).expect("valid"));
    let mut lent = Vec::new();
    for round in 0..6 {
        for layout in layouts {
            let base = source.acquire(layout).expect("memory");
            assert_eq!(base.addr().get() % layout.align(), 0);
            // SAFETY: it is as large.
            unsafe { base.write_bytes(round, layout.size()) };
            lent.push((base, layout, round));
        }
        // Some go back, so that there are spare ones of each size.
        for _ in 0..2 {
            let (base, layout, _) = lent.remove(lent.len() / 2);
            // SAFETY: lent for this layout, and not used any more.
            unsafe { source.release(base, layout) };
        }
    }
    for (base, layout, round) in lent {
        // SAFETY: it is still lent, and all of its bytes were written.
        let bytes = unsafe { std::slice::from_raw_parts(base.as_ptr(), layout.size()) };
        assert!(
            bytes.iter().all(|&byte| byte == round),
            "an arena of {} bytes was lent twice",
            layout.size()
        );
        // SAFETY: as above.
        unsafe { source.release(base, layout) };
    }
    let nothing = Layout::from_size_align(0, 16).expect("valid");
    assert_eq!(source.acquire(nothing), None);
    let too_much = Layout::from_size_align(isize::MAX as usize - 4095, 4096).expect("valid");
    assert_eq!(source.acquire(too_much), None);
}

/// Up to the limit arenas are kept, the last first; the others, and in the end all, go back.
#[test]
fn retained_arenas_are_used_again() {
    let geometry = geometry(EmptyArenas::Return);
    let books = Books::<Heap>::default();
    let pool = Pool::with_source(geometry, Retain::new(&books, 2 * geometry.arena_size() + 1));
    let class = pool.class_of(500).expect("small");
    for round in 0..3 {
        let blocks: Vec<_> = (0..300).map(|_| pool.allocate_class(class).expect("memory")).collect();
        let arenas = books.live.borrow().len();
        assert!(arenas >= 5);
        for &block in &blocks {
            // SAFETY: live, the pointer that was returned, and of this class; given back once.
            unsafe { pool.free_original(block, class) };
        }
        assert_eq!(pool.stats().arenas.current, 0);
        assert_eq!(pool.source().kept(), 2 * geometry.arena_size());
        assert_eq!(books.live.borrow().len(), 2);
        let acquired = books.log.borrow().iter().filter(|(acquired, _)| *acquired).count();
        assert_eq!(acquired, arenas + round * (arenas - 2));
    }
    drop(pool);
    assert!(books.live.borrow().is_empty());
}

/// A block that comes and goes alone in its class opens no pool each time, and moves no arena.
#[test]
fn an_empty_pool_is_given_back_when_it_matters() {
    let books = Books::<Heap>::default();
    let pool = Pool::with_source(geometry(EmptyArenas::KeepLast), &books);
    let (one, other) = (pool.class_of(100).expect("small"), pool.class_of(200).expect("small"));
    let first = pool.allocate_class(one).expect("memory");
    for _ in 0..3 {
        // SAFETY: live, the pointer that was returned, and of its class.
        unsafe { pool.free_original(first, one) };
        assert_eq!(pool.allocate_class(one), Some(first));
    }
    // SAFETY: as above.
    unsafe { pool.free_original(first, one) };
    // Another class gets that pool.
    let second = pool.allocate_class(other).expect("memory");
    assert_eq!(second, first);
    let pools: usize = pool.arenas().map(|arena| arena.pools_total).sum();
    assert_eq!(pool.stats().arenas.unused_pools, pools as u64 - 1);
    // SAFETY: as above.
    unsafe { pool.free_original(second, other) };
    let stats = pool.stats();
    assert_eq!((stats.arenas.unused_pools, stats.bytes.in_use), (pools as u64, 0));
    assert_eq!(books.log.borrow().len(), 1);
}
