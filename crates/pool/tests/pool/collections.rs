//! Collections and boxes that live in a pool.

use allocator_api2::boxed::Box;
use allocator_api2::vec::Vec;
use hashbrown::{DefaultHashBuilder, HashMap};
use pool::{Bump, Geometry, Pool};

fn pool() -> Pool<Bump> {
    Pool::with_source(Geometry::for_cpython(3, 13, 0).expect("in the table"), Bump::new())
}

#[test]
fn a_map_grows_out_of_its_pool_and_shrinks_back() {
    let pool = pool();
    let mut map = HashMap::with_hasher_in(DefaultHashBuilder::default(), &pool);
    map.extend((0..10_u32).map(|n| (n, n * n)));
    assert!(pool.stats().bytes.in_use > 0, "small tables are in a pool");
    map.extend((10..5000).map(|n| (n, n * n)));
    assert_eq!(pool.stats().bytes.in_use, 0, "large ones are not");
    assert!((0..5000).all(|n| map[&n] == n * n));
    map.retain(|n, _| n % 1000 == 0);
    map.shrink_to_fit();
    assert!(pool.stats().bytes.in_use > 0);
    assert_eq!(map.len(), 5);
    drop(map);
    assert_eq!(pool.stats().bytes.in_use, 0);
}

#[test]
fn vectors_and_boxes() {
    let pool = pool();
    let mut all: Vec<Box<[u16; 20], &Pool<Bump>>, &Pool<Bump>> = Vec::new_in(&pool);
    for n in 0..1000 {
        all.push(Box::new_in([n; 20], &pool));
    }
    assert!(all.iter().zip(0..).all(|(boxed, n)| **boxed == [n; 20]));
    assert_eq!(pool.stats().classes[2].blocks_in_use, 1000);
    all.truncate(10);
    all.shrink_to_fit();
    assert_eq!(pool.stats().classes[2].blocks_in_use, 10);
    assert!(all.iter().zip(0..).all(|(boxed, n)| **boxed == [n; 20]));
    drop(all);
    assert_eq!(pool.stats().bytes.in_use, 0);
}

#[test]
fn a_pool_may_move_to_another_thread_with_its_blocks() {
    let pool = Pool::with_source(Geometry::for_cpython(3, 8, 0).expect("in the table"), Bump::new());
    let block = pool.malloc(100).expect("memory").addr();
    let moved = std::thread::spawn(move || {
        let position = pool.position(std::ptr::without_provenance(block.get()));
        (pool.stats().bytes.in_use, position.map(|position| position.block_index))
    });
    assert_eq!(moved.join().expect("no panic"), (112, Some(0)));
}
