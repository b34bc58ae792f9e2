//! What happens when there is no arena, or a useless one.

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::rc::{Rc, Weak};

use allocator_api2::alloc::Allocator;
use pool::{
    ArenaEvent, ArenaSource, Budget, Geometry, Heap, Malloc, Pool, Refusal, Refuse, Replay, Unbacked,
};

fn geometry() -> Geometry {
    Geometry::for_cpython(3, 8, 0).expect("in the table")
}

#[test]
fn small_requests_fall_back_and_come_home_later() {
    let pool = Pool::with_source(geometry(), Budget::new(Heap, 0));
    let outside = pool.malloc(100).expect("the C library has memory");
    assert!(!pool.owns(outside.as_ptr()));
    pool.source().set_limit(1);
    let inside = pool.malloc(100).expect("memory");
    assert!(pool.owns(inside.as_ptr()));
    assert_eq!(pool.source().attempts(), 2);
    // SAFETY: both are live, each is freed once.
    unsafe {
        // Small, but not ours: it stays outside.
        let outside = pool.realloc(Some(outside), 50).expect("memory");
        assert!(!pool.owns(outside.as_ptr()));
        pool.free(Some(outside));
        pool.free(Some(inside));
    }
    assert_eq!((pool.source().live(), pool.stats().arenas.reclaimed()), (0, 1));
}

#[test]
fn calloc_falls_back_to_zeroes() {
    let pool = Pool::with_source(geometry(), Budget::new(Heap, 0));
    let block = pool.calloc(25, 4).expect("the C library has memory");
    // SAFETY: live, 100 bytes, initialised by calloc; freed once.
    unsafe {
        assert_eq!(std::slice::from_raw_parts(block.as_ptr(), 100), [0; 100]);
        pool.free(Some(block));
    }
}

#[test]
fn a_full_arena_is_not_the_end() {
    let pool = Pool::with_source(geometry(), Budget::new(Heap, 1));
    let mut inside = Vec::new();
    let outside = loop {
        let block = pool.malloc(512).expect("memory");
        if !pool.owns(block.as_ptr()) {
            break block;
        }
        inside.push(block);
    };
    let pools = if inside[0].addr().get() % (256 << 10) == 48 { 64 } else { inside.len() / 7 };
    assert!(inside.len() == pools * 7 && (63..=64).contains(&pools));
    let freed = inside.swap_remove(100);
    // SAFETY: all are live, each is freed once.
    unsafe {
        pool.free(Some(freed));
        assert_eq!(pool.malloc(512), Some(freed));
        for block in inside.into_iter().chain([freed, outside]) {
            pool.free(Some(block));
        }
    }
    assert_eq!(pool.source().live(), 0);
}

#[test]
fn chosen_attempts_fail() {
    let source = Budget::new(Heap, 10);
    source.fail_attempt(1);
    let pool = Pool::with_parts(geometry(), source, Refuse);
    let class = pool.class_of(512).expect("small");
    let mut blocks = Vec::new();
    while let Some(block) = pool.allocate_class(class) {
        blocks.push(block);
    }
    assert_eq!((pool.source().attempts(), pool.source().live()), (2, 1));
    blocks.push(pool.allocate_class(class).expect("the third attempt"));
    assert_eq!((pool.source().attempts(), pool.source().live()), (3, 2));
    for block in blocks {
        // SAFETY: from `allocate_class`, each given back once.
        unsafe { pool.free_class(block) };
    }
    assert_eq!(pool.source().live(), 0);
}

#[test]
fn without_fallback_the_result_is_none_and_nothing_is_lost() {
    let pool = Pool::with_parts(geometry(), Budget::new(Heap, 1), Refuse);
    let block = pool.malloc(64).expect("an arena");
    assert_eq!((pool.malloc(0), pool.malloc(513)), (None, None));
    // SAFETY: live; a failed realloc leaves it so.
    unsafe {
        block.write(42);
        assert_eq!(pool.realloc(Some(block), 1000), None);
        assert_eq!(pool.realloc(Some(block), 0), None);
        assert_eq!(block.read(), 42);
        pool.free(Some(block));
    }
    assert!(pool.stats().is_consistent());
}

#[test]
fn layouts_report_exhaustion_instead_of_falling_back() {
    let pool = Pool::with_source(geometry(), Budget::new(Heap, 0));
    assert!((&pool).allocate(Layout::new::<u64>()).is_err());
    // Large ones are not the pools' business, so they do not depend on arenas.
    let layout = Layout::new::<[u64; 100]>();
    let large = (&pool).allocate(layout).expect("memory");
    // SAFETY: live, 800 bytes; a failed shrink leaves it so.
    unsafe {
        large.cast::<u64>().write(7);
        let shrunk = (&pool).shrink(large.cast(), layout, Layout::new::<u64>());
        assert!(shrunk.is_err());
        assert_eq!(large.cast::<u64>().read(), 7);
        (&pool).deallocate(large.cast(), layout);
    }
}

/// Hands out one address that no arena can have, and counts.
struct Beyond {
    address: usize,
    released: Cell<u32>,
}

// SAFETY: no memory at these addresses is ever touched by a pool, which refuses them.
unsafe impl ArenaSource for Beyond {
    fn acquire(&self, _layout: Layout) -> Option<NonNull<u8>> {
        NonNull::new(std::ptr::without_provenance_mut(self.address))
    }

    unsafe fn release(&self, base: NonNull<u8>, _layout: Layout) {
        assert_eq!(base.addr().get(), self.address);
        self.released.set(self.released.get() + 1);
    }
}

#[test]
fn arenas_beyond_48_bits_go_straight_back() {
    for address in [16, 1 << 48, (1 << 48) - 4096, 1 << 60, usize::MAX & !15] {
        let source = Beyond { address, released: Cell::new(0) };
        let pool = Pool::with_parts(geometry(), &source, Unbacked::new());
        let block = pool.malloc(8).expect("the fallback");
        assert!(!pool.owns(block.as_ptr()));
        assert_eq!((source.released.get(), pool.stats().arenas.allocated_total), (1, 0));
        drop(pool);
        assert_eq!(source.released.get(), 1);
    }
}

#[test]
fn impossible_recorded_bases_are_refused() {
    let geometry = geometry();
    let impossible = [0, 7, u64::MAX, u64::MAX - 15, u64::MAX - (256 << 10) + 1 + 16];
    let mut bases = impossible.into_iter();
    let pool = Pool::with_parts(geometry, Replay::new(&geometry, || bases.next()), Unbacked::new());
    for base in impossible {
        let block = pool.malloc(8).expect("the fallback");
        assert!(!pool.owns(block.as_ptr()));
        let event = pool.source().next_event();
        assert_eq!(event, Some(ArenaEvent::Refused(Refusal::ImpossibleBase(base))));
    }
    pool.malloc(8).expect("the fallback");
    let events: Vec<_> = pool.source().take_events().collect();
    assert_eq!(events, [ArenaEvent::Refused(Refusal::Recorded)]);
}

#[test]
fn a_recording_that_calls_back_is_refused_and_breaks_nothing() {
    type Bases = Box<dyn FnMut() -> Option<u64>>;
    type Replayed = Pool<Replay<Bases>, Malloc>;
    let geometry = geometry();
    let itself: Rc<RefCell<Weak<Replayed>>> = Rc::default();
    let got = Rc::new(Cell::new(None));
    let bases: Bases = {
        let (itself, got) = (Rc::clone(&itself), Rc::clone(&got));
        Box::new(move || {
            // Asks for an arena while the pool is asking for one.
            got.set(itself.borrow().upgrade().and_then(|pool| pool.malloc(100)));
            Some(1 << 40)
        })
    };
    let pool = Rc::new(Pool::with_source(geometry, Replay::new(&geometry, bases)));
    itself.replace(Rc::downgrade(&pool));
    let outer = pool.malloc(100).expect("memory");
    assert!(pool.owns(outer.as_ptr()));
    let foreign = got.get().expect("the fallback");
    assert!(!pool.owns(foreign.as_ptr()));
    let mut events = pool.source().take_events();
    assert_eq!(events.next(), Some(ArenaEvent::Refused(Refusal::Reentered)));
    assert!(matches!(events.next(), Some(ArenaEvent::Acquired { .. })));
    // SAFETY: both are live, each is freed once.
    unsafe {
        pool.free(Some(outer));
        pool.free(Some(foreign));
    }
    assert!(pool.stats().is_consistent());
}

#[test]
fn a_recording_that_panics_leaves_the_pool_in_order() {
    let geometry = geometry();
    let mut asked = 0;
    let bases = || {
        asked += 1;
        assert!(asked != 1, "on purpose");
        Some(1 << 40)
    };
    let pool = Pool::with_parts(geometry, Replay::new(&geometry, bases), Unbacked::new());
    let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| pool.malloc(100)));
    assert!(attempt.is_err());
    assert_eq!(pool.stats().arenas.allocated_total, 0);
    let block = pool.malloc(100).expect("memory");
    assert!(pool.owns(block.as_ptr()));
}

#[test]
fn classes_of_another_geometry_are_refused() {
    let wide = Geometry::for_cpython(3, 6, 0).expect("in the table");
    let pool = Pool::new(geometry());
    let last = wide.class(63).expect("64 classes");
    assert_eq!(pool.allocate_class(last), None);
    assert_eq!(pool.stats().arenas.allocated_total, 0);
}
