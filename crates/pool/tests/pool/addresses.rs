//! Every address is the model's: for random sequences, and for long ones.

use pool::{EmptyArenas, Fallback, Geometry, Malloc, PRESETS, Unbacked};
use proptest::prelude::*;

use crate::driver::Driver;

/// A run of equal requests; indices of blocks are taken modulo the number of live ones.
#[derive(Clone, Debug)]
enum Burst {
    Malloc { size: usize, times: usize },
    Calloc { count: usize, size: usize, times: usize },
    Realloc { pick: usize, step: usize, size: usize, times: usize },
    Free { pick: usize, step: usize, times: usize },
}

fn run<F: Fallback>(driver: &mut Driver<F>, bursts: &[Burst]) {
    for burst in bursts {
        match *burst {
            Burst::Malloc { size, times } => (0..times).for_each(|_| driver.malloc(size)),
            Burst::Calloc { count, size, times } => {
                (0..times).for_each(|_| driver.calloc(count, size));
            }
            Burst::Realloc { pick, step, size, times } => {
                (0..times).for_each(|n| driver.realloc(pick + n * step, size));
            }
            Burst::Free { pick, step, times } => {
                (0..times).for_each(|n| driver.free(pick + n * step));
            }
        }
        driver.compare_statistics();
    }
    driver.free_all();
    driver.compare_statistics();
}

/// Geometries in which arenas come and go within a few hundred requests, and the presets.
fn geometries() -> Vec<Geometry> {
    let small = |alignment, limit, pool, arena, policy| {
        Geometry::new(alignment, limit, pool, arena, policy).expect("valid")
    };
    let mut all: Vec<_> = PRESETS.iter().map(|preset| preset.geometry).collect();
    for policy in [EmptyArenas::Return, EmptyArenas::KeepLast, EmptyArenas::Keep] {
        all.push(small(8, 128, 1024, 4096, policy));
        all.push(small(16, 256, 1024, 8192, policy));
        all.push(small(64, 960, 2048, 16384, policy));
    }
    all
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 1..=64_usize,
        4 => 65..=512_usize,
        // One class, so that pools fill up and run empty.
        4 => Just(48_usize),
        1 => Just(0_usize),
        1 => 513..2000_usize,
    ]
}

fn burst() -> impl Strategy<Value = Burst> {
    let step = prop_oneof![Just(0_usize), Just(1_usize), 2..100_usize];
    prop_oneof![
        4 => (sizes(), 1..150_usize).prop_map(|(size, times)| Burst::Malloc { size, times }),
        1 => (1..8_usize, 0..80_usize, 1..20_usize)
            .prop_map(|(count, size, times)| Burst::Calloc { count, size, times }),
        2 => (0..10_000_usize, step.clone(), sizes(), 1..30_usize).prop_map(
            |(pick, step, size, times)| Burst::Realloc { pick, step, size, times }
        ),
        4 => (0..10_000_usize, step, 1..200_usize)
            .prop_map(|(pick, step, times)| Burst::Free { pick, step, times }),
    ]
}

/// Answers of the operating system: bases anywhere, of any alignment, and now and then none.
fn bases() -> impl Strategy<Value = Vec<Option<u64>>> {
    let base = (1..1_u64 << 35).prop_map(|page| Some(page * 4096));
    let any = (1..1_u64 << 40).prop_map(|step| Some(step * 64));
    prop::collection::vec(prop_oneof![8 => base, 4 => any, 1 => Just(None)], 600)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn random_sequences_are_placed_as_by_the_model(
        geometry in prop::sample::select(geometries()),
        bases in bases(),
        bursts in prop::collection::vec(burst(), 1..60),
        backed in any::<bool>(),
    ) {
        if backed {
            run(&mut Driver::new(geometry, Malloc, &bases, true), &bursts);
        } else {
            run(&mut Driver::new(geometry, Unbacked::new(), &bases, true), &bursts);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4 * cases(), failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Pools that become empty and are used again, while nobody looks and some arenas are in use.
    #[test]
    fn a_few_blocks_come_and_go_as_by_the_model(
        geometry in prop::sample::select(geometries()),
        bases in bases(),
        before in prop::collection::vec(burst(), 0..6),
        steps in prop::collection::vec((prop::sample::select(vec![16_usize, 48, 100, 120]), 0..10_000_usize), 1..200),
        most in 1..8_usize,
    ) {
        let mut driver = Driver::new(geometry, Malloc, &bases, true);
        for burst in &before {
            if let Burst::Malloc { size, times } = *burst {
                (0..times).for_each(|_| driver.malloc(size));
            }
        }
        // Often as many as there were: then the newest, which are at the end, come and go.
        let all = driver.live();
        for (size, pick) in steps {
            match driver.live() {
                live if live >= all + most => driver.free(live - 1 - pick % most),
                live if live > all && pick % 3 > 0 => driver.free(live - 1 - pick % (live - all)),
                _ => driver.malloc(size),
            }
        }
        driver.compare_statistics();
        driver.free_all();
        driver.compare_statistics();
    }
}

/// `VIVARIUM_POOL_CASES`, to ask for fewer under slow memory checkers, or for more; else 64.
pub(crate) fn cases() -> u32 {
    number("VIVARIUM_POOL_CASES").unwrap_or(64)
}

fn number<N: std::str::FromStr>(variable: &str) -> Option<N> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{variable}={text} is not a number"),
    }
}

struct Random(u64);

impl Random {
    /// Marsaglia's xorshift64*, below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// A program's life: sizes mostly from a few favourites that change, memory in use growing and
/// shrinking in waves that empty whole arenas.
///
/// Returns how many operations it took, small requests were refused, and arenas released.
fn live_long(geometry: Geometry, operations: u64, seed: u64) -> [u64; 3] {
    let mut random = Random(seed);
    let bases: Vec<_> = (0..10_000)
        .map(|n| {
            let step = geometry.pool_size().min(4096) as u64;
            (n % 8 != 7).then(|| 0x7f00_0000_0000 + random.below(1 << 30) as u64 * step)
        })
        .collect();
    let mut driver = Driver::new(geometry, Unbacked::new(), &bases, false);
    let mut favourites = [16, 32, 48, 64, 80, 120, 200, 500];
    let (mut growing, mut target) = (true, 1000);
    while driver.operations < operations {
        if driver.live() >= target {
            growing = false;
        }
        if driver.live() <= target / 8 && !growing {
            growing = true;
            target = 500 + random.below(3 * geometry.arena_size() / 60);
            favourites[random.below(8)] = 1 + random.below(512);
            driver.compare_statistics();
        }
        let size = match random.below(10) {
            0 => random.below(700),
            _ => favourites[random.below(8)],
        };
        match (random.below(20), growing) {
            (0, _) => driver.realloc(random.below(1 << 30), size),
            (1, _) => driver.calloc(1, size),
            (2..=13, true) | (2..=6, false) => driver.malloc(size),
            // In runs, as when a list dies: otherwise no arena would ever be empty.
            _ => {
                let first = random.below(1 << 30);
                for _ in 0..random.below(40) {
                    driver.free(first);
                }
            }
        }
    }
    driver.free_all();
    driver.compare_statistics();
    [driver.operations, driver.refused, driver.released]
}

/// `VIVARIUM_POOL_OPERATIONS` operations, by default a million and a half.
#[test]
fn long_lives_are_placed_as_by_the_model() {
    let wanted: u64 = number("VIVARIUM_POOL_OPERATIONS").unwrap_or(1_500_000);
    let geometries = geometries();
    let each = wanted / geometries.len() as u64 + 1;
    let mut sums = [0; 3];
    for (&geometry, seed) in geometries.iter().zip(1..) {
        let counts = live_long(geometry, each, 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        (0..3).for_each(|n| sums[n] += counts[n]);
    }
    let [operations, refused, released] = sums;
    println!("{operations} operations, every address compared; {refused} small ones without arena");
    println!("{released} arenas released at the right moment");
    assert!(operations >= wanted);
    // A test in which nothing happens would prove nothing.
    assert!(refused > 0 && released > 0);
}
