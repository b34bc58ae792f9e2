//! The collector's numbers: how they were between two collections, and what is told of them.

use core::sync::atomic::{AtomicI32, AtomicI64, Ordering::Relaxed};

use super::collector::Collector;
use super::objects::put;
use super::producer::Producer;
use super::slot;

/// How often each generation had been collected when the last collection was over, and what had been.
static STATS: [[AtomicI64; 3]; 3] = [const { [const { AtomicI64::new(0) }; 3] }; 3];
/// The counts of the older generations, between collections.
static OLDER: [AtomicI32; 2] = [const { AtomicI32::new(0) }; 2];
/// The generation of which a collection is over that was not when things were noted last. (From 3.15 on there are no numbers any more
/// behind the last one of an interpreter.)
pub fn is_counted(collector: Collector) -> Option<usize> {
    (0..3).find(|&generation| collector.stats(generation)[0] > STATS[generation][0].load(Relaxed))
}

/// The counts of the generations.
pub fn counts(collector: Collector) -> [i32; 3] {
    [0, 1, 2].map(|generation| collector.count(generation))
}

/// Whether this generation's collection has begun to look since numbers were noted: it has set its count back, and counts for the next
/// older one.
pub fn is_reset(collector: Collector, generation: usize) -> bool {
    let before = OLDER.get(generation).map(|before| before.load(Relaxed));
    before.is_some_and(|before| collector.count(generation + 1) == before + 1)
}

/// The counts, that of the youngest generation being known, as they are after its collection has set them back: those of the older
/// ones are as they were noted.
pub fn with_older(count: i32) -> [i32; 3] {
    [count, OLDER[0].load(Relaxed), OLDER[1].load(Relaxed)]
}

/// Notes how things are between two collections.
pub fn remember(collector: Collector) {
    for (generation, before) in STATS.iter().enumerate() {
        let stats = collector.stats(generation);
        before.iter().zip(stats).for_each(|(place, number)| place.store(number, Relaxed));
    }
    remember_counts(collector);
}

/// The same of the older generations' counts alone.
pub fn remember_counts(collector: Collector) {
    OLDER.iter().zip(1..).for_each(|(place, generation)| place.store(collector.count(generation), Relaxed));
}

/// Tells a number, which belongs to what is told next.
pub fn tell_number(producer: &Producer, number: i64) {
    // What is negative here means nothing.
    put(producer, slot::NUMBER, usize::try_from(number).unwrap_or(0));
}

/// Tells the counts, that of the youngest generation being known, and how many live long.
pub fn tell_counts(producer: &Producer, collector: Collector, counts: [i32; 3]) {
    counts.into_iter().for_each(|count| tell_number(producer, count.into()));
    collector.long_lived().into_iter().for_each(|number| tell_number(producer, number));
}

/// Tells what a collection of this generation has counted that is over: how many were collected, and could not be.
pub fn tell_outcome(producer: &Producer, collector: Collector, generation: usize) {
    let [_, collected, uncollectable] = collector.stats(generation);
    tell_number(producer, collected - STATS[generation][1].load(Relaxed));
    tell_number(producer, uncollectable - STATS[generation][2].load(Relaxed));
}
