//! A program's thread and a reader's thread around a ring that is far too small.

use std::process::{Command, Stdio};
use std::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::packing::events;
use super::{attach, write};
use crate::consumer::Consumer;
use crate::preload::producer::Producer;
use crate::preload::{header, slot};
use crate::ring::Ring;
use crate::{Domain, End, Error, Event, State};

fn numbered(number: u64) -> Event {
    let address = number << 4 & 0xffff_ffff_fff0 | 16;
    match number % 7 {
        0 => Event::Resize { domain: Domain::Mem, old: address, new: number, size: number },
        1 => Event::Allocate { domain: Domain::Obj, zeroed: true, address, size: number },
        2 => Event::Release { domain: Domain::Obj, address },
        3 => Event::ArenaAcquired { base: address << 16, size: 1 << 20 },
        _ => Event::Allocate { domain: Domain::Obj, zeroed: false, address, size: number % 1000 },
    }
}

/// Has `count` events written and read at once; returns how long it took.
fn run(slots: usize, count: u64, read: impl Fn(u64)) -> Duration {
    let ring = Ring::new(slots, 1).expect("a ring");
    let producer = attach(&ring);
    let mut consumer = Consumer::new(ring, None);
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..count {
                write(&producer, numbered(number));
            }
            producer.stop();
        });
        let mut expected = 0;
        while expected < count {
            let before = expected;
            let mut check = |event| {
                assert_eq!(event, numbered(expected), "event {expected}");
                expected += 1;
            };
            let drained = consumer.drain(&mut check).expect("no garbage");
            assert_eq!(drained.events, expected - before);
            if drained.events == 0 {
                consumer.wait(Duration::from_millis(20));
            }
            read(expected);
        }
    });
    assert_eq!(consumer.state(), State::Finished);
    assert_eq!(consumer.drain_rest(&mut |_| panic!("one too many")).expect("no garbage").events, 0);
    started.elapsed()
}

#[test]
fn tiny_rings_lose_nothing() {
    run(8, 100_000, |_| ());
    run(16, 100_000, |_| ());
    run(64, 200_000, |_| ());
}

#[test]
fn an_ordinary_ring_loses_nothing() {
    run(1 << 12, 2_000_000, |_| ());
}

#[test]
fn a_slow_reader_makes_the_program_wait() {
    let took = run(64, 2_000, |read| {
        if read % 97 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    });
    assert!(took < Duration::from_secs(10), "{took:?}: somebody was not woken");
}

#[test]
fn a_reader_that_leaves_sets_the_program_free() {
    let ring = Ring::new(8, 1).expect("a ring");
    let producer = attach(&ring);
    // Keeps the memory when the reader drops its own.
    let again = attach_view(&ring);
    let consumer = Consumer::new(ring, None);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0_u64;
            while producer.is_recording() && written < 1_000_000 {
                write(&producer, numbered(written));
                written += 1;
            }
            written
        });
        thread::sleep(Duration::from_millis(20));
        again.closed.store(1, Relaxed);
        let written = writer.join().expect("the writer ends");
        assert!(written < 20, "{written} events in a ring of 8 slots that nobody reads");
    });
    drop(consumer);
}

fn attach_view(ring: &Ring) -> &'static header::Header {
    // SAFETY: the test that calls this drops the ring last.
    unsafe { &*std::ptr::from_ref(ring.header()) }
}

#[test]
fn two_writers_at_once_neither_hang_nor_leave_the_ring() {
    for _ in 0..200 {
        let ring = Ring::new(64, 1).expect("a ring");
        let producer = attach(&ring);
        let mut consumer = Consumer::new(ring, None);
        let done = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    (0..5_000).for_each(|number| write(&producer, numbered(number)));
                    done.fetch_add(1, Relaxed);
                });
            }
            let started = Instant::now();
            let mut garbage = false;
            while done.load(Relaxed) < 2 {
                garbage = garbage || consumer.drain(&mut |_| ()).is_err();
                consumer.wait(Duration::from_millis(1));
                assert!(started.elapsed() < Duration::from_secs(30), "somebody waits in vain");
            }
        });
    }
}

#[test]
fn a_stopped_recording_stays_so() {
    for trial in 0..3_000_u64 {
        // Quarters of two slots: every other event takes the slow path.
        let ring = Ring::new(8, 1).expect("a ring");
        let producer = attach(&ring);
        let header = ring.header();
        let stopped = AtomicBool::new(false);
        let words = || ring.slots().iter().map(|slot| slot.load(Relaxed)).collect::<Vec<_>>();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut put = 0;
                while !stopped.load(Acquire) {
                    producer.put(slot::pack(slot::RELEASE, 0, put));
                    // All read at once, so that it never waits.
                    put += 1;
                    header.tail.store(put, Release);
                    if put % 64 == 0 {
                        thread::yield_now();
                    }
                }
                let before = words();
                for number in 0..20 {
                    assert!(!producer.is_recording(), "trial {trial}: revived");
                    producer.put(slot::pack(slot::RELEASE, 1, number));
                }
                assert_eq!(words(), before, "trial {trial}: written after the end");
            });
            while header.tail.load(Relaxed) <= trial % 61 {
                thread::yield_now();
            }
            producer.stop();
            let revived = (0..50).any(|_| producer.is_recording());
            // Also if that failed: the other thread waits for it.
            stopped.store(true, Release);
            assert!(!revived, "trial {trial}: revived");
        });
        assert!(!producer.is_recording(), "trial {trial}: revived");
        assert_eq!(header.state.load(Relaxed), header::STATE_FINISHED);
    }
}

#[test]
fn a_wiped_producer_writes_nothing() {
    let producer = Producer::detached();
    assert!(!producer.is_recording() && !producer.enter());
    for number in 0..20 {
        write(&producer, numbered(number));
    }
    producer.stop();
    assert!(!producer.is_recording());
}

#[test]
fn garbage_is_reported_where_it_stands() {
    let ring = Ring::new(64, 1).expect("a ring");
    let producer = attach(&ring);
    for number in 4..7 {
        write(&producer, numbered(number));
    }
    ring.slots()[3].store(1, Relaxed);
    let mut consumer = Consumer::new(ring, None);
    let mut events = 0;
    let mut drain = || consumer.drain(&mut |_| events += 1);
    assert!(matches!(drain(), Err(Error::Corrupt { at: 3 })));
    assert!(matches!(drain(), Err(Error::Corrupt { at: 3 })));
    assert_eq!(events, 3);
}

#[test]
fn waiting_ends_by_itself() {
    let mut consumer = Consumer::new(Ring::new(64, 1).expect("a ring"), None);
    let started = Instant::now();
    assert!(!consumer.wait(Duration::from_secs(60)));
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(consumer.state(), State::Unclaimed);
    assert_eq!(consumer.claim(), None);
}

/// A ring that a process with this number has taken.
fn claimed(number: u32) -> Ring {
    let ring = Ring::new(64, 1).expect("a ring");
    ring.header().claim.store(number, Relaxed);
    ring.header().state.store(header::STATE_RECORDING, Relaxed);
    ring
}

#[test]
fn a_process_that_is_gone_died() {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("a process");
    let mut consumer = Consumer::new(claimed(child.id()), None);
    assert_eq!(consumer.state(), State::Recording);
    // Whatever else has ended: this process is there.
    consumer.child_has_ended();
    thread::sleep(Duration::from_millis(30));
    assert_eq!(consumer.state(), State::Recording);
    drop(child.stdin.take());
    child.wait().expect("it ends");
    assert_eq!(consumer.state(), State::Died);
    assert_eq!(consumer.claim().map(|claim| claim.pid), Some(child.id()));
}

#[test]
fn a_process_that_cannot_be_seen_dies_after_the_one_that_was_started() {
    let mut child = Command::new("true").spawn().expect("a process");
    child.wait().expect("it ends");
    // One that is gone, and one that is there, but as the number of another namespace.
    for number in [child.id(), std::process::id() | header::CLAIM_UNCERTAIN] {
        let ring = claimed(number);
        let producer = attach(&ring);
        let mut consumer = Consumer::new(ring, None);
        thread::sleep(Duration::from_millis(30));
        assert_eq!(consumer.state(), State::Recording);
        assert_eq!(consumer.claim().map(|claim| claim.pid), Some(number & !header::CLAIM_UNCERTAIN));
        consumer.child_has_ended();
        for number in 1..4 {
            write(&producer, numbered(number));
            thread::sleep(Duration::from_millis(30));
            consumer.child_has_ended();
            assert_eq!(consumer.state(), State::Recording, "there is something to read");
            assert_eq!(consumer.drain(&mut |_| ()).expect("no garbage").events, 1);
            assert_eq!(consumer.state(), State::Recording, "there was something to read");
        }
        // Half an event, which will never be whole.
        producer.put(slot::pack(slot::RESIZE, 1, 16));
        while consumer.state() == State::Recording {
            assert_eq!(consumer.drain(&mut |_| ()).expect("no garbage").events, 0);
            assert!(!consumer.wait(Duration::from_millis(20)));
        }
        assert_eq!(consumer.state(), State::Died);
    }
}

#[test]
fn following_a_process_that_cannot_be_seen_ends() {
    let ring = claimed(1 | header::CLAIM_UNCERTAIN);
    let producer = attach(&ring);
    (1..4).for_each(|number| write(&producer, numbered(number)));
    let mut consumer = Consumer::new(ring, None);
    let (mut events, mut asked) = (0, 0);
    let ended = || {
        asked += 1;
        asked > 3
    };
    assert_eq!(consumer.follow(&mut |_| events += 1, ended).expect("no garbage"), End::Died);
    assert_eq!(events, 3);
}

proptest! {
    #[test]
    fn any_sequence_comes_through(events in prop::collection::vec(events(), 0..200)) {
        let ring = Ring::new(16, 1).expect("a ring");
        let producer = attach(&ring);
        let mut consumer = Consumer::new(ring, None);
        let mut read = Vec::new();
        for event in &events {
            // At most four slots each, of sixteen: the writer never waits.
            write(&producer, *event);
            consumer.drain(&mut |event| read.push(event)).expect("no garbage");
        }
        prop_assert_eq!(read, events);
    }
}

/// How fast events are decoded when they are all there: `cargo test --release -p record -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn decoding_speed() {
    let ring = Ring::new(1 << 17, 1).expect("a ring");
    let producer = attach(&ring);
    let mut consumer = Consumer::new(ring, None);
    let (mut events, mut bytes, mut reading) = (0_u64, 0_u64, Duration::ZERO);
    while events < 100_000_000 {
        for number in 0..100_000 {
            let address = 0x7f00_0000_0000 + number * 64;
            producer.put(match number % 2 {
                0 => slot::pack(3, 56, address),
                _ => slot::pack(9, 0, address),
            });
        }
        let started = Instant::now();
        let mut sink = |event| {
            if let Event::Allocate { size, address, .. } = event {
                bytes = bytes.wrapping_add(size ^ address);
            }
        };
        events += consumer.drain(&mut sink).expect("no garbage").events;
        reading += started.elapsed();
    }
    println!("{:.0} million events/s ({bytes})", events as f64 / reading.as_secs_f64() / 1e6);
}
