//! CPython's schedule, plainly: what a process does and what follows from it, on vectors.

use std::collections::BTreeSet;

use generations::Request;

/// What differs by version, in words of the model's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Era {
    V27,
    V36,
    V38,
    V312,
    V3123,
    V313,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) era: Era,
    counts: Vec<u64>,
    owns: Vec<Option<usize>>,
    /// Generations, then the permanent one.
    pub(crate) lists: [Vec<usize>; 4],
    pub(crate) count: [u64; 3],
    pub(crate) thresholds: [i32; 3],
    pub(crate) enabled: bool,
    pub(crate) pending: usize,
    pub(crate) total: usize,
    pub(crate) stats: [[u64; 2]; 3],
    pub(crate) armed: BTreeSet<u64>,
    pub(crate) callbacks_make: [usize; 2],
    pub(crate) log: Vec<usize>,
}

impl Model {
    pub(crate) fn new(era: Era) -> Self {
        Self {
            era,
            counts: vec![],
            owns: vec![],
            lists: Default::default(),
            count: [0; 3],
            thresholds: if era == Era::V313 { [2000, 10, 10] } else { [700, 10, 10] },
            enabled: true,
            pending: 0,
            total: 0,
            stats: [[0; 2]; 3],
            armed: BTreeSet::new(),
            callbacks_make: [0; 2],
            log: vec![],
        }
    }

    fn is_above(&self, generation: usize) -> bool {
        i128::from(self.count[generation]) > i128::from(self.thresholds[generation])
    }

    pub(crate) fn allocate(&mut self, owns: Option<usize>, thread: u64, exception: bool) {
        self.count[0] += 1;
        if self.is_above(0) && self.thresholds[0] != 0 && self.enabled && !exception {
            if self.era < Era::V312 {
                self.select();
            } else {
                self.armed.insert(if self.era < Era::V313 { 0 } else { thread });
            }
        }
        self.birth(owns);
    }

    fn birth(&mut self, owns: Option<usize>) {
        let owns = owns.filter(|&other| self.counts[other] > 0);
        if let Some(other) = owns {
            self.counts[other] += 1;
        }
        self.counts.push(1);
        self.owns.push(owns);
        self.lists[0].push(self.counts.len() - 1);
    }

    pub(crate) fn alive(&self, object: usize) -> bool {
        self.counts[object] > 0
    }

    pub(crate) fn set(&mut self, object: usize, owns: usize) {
        if self.alive(object) && self.alive(owns) {
            self.counts[owns] += 1;
            if let Some(before) = self.owns[object].replace(owns) {
                self.give_up(before);
            }
        }
    }

    pub(crate) fn give_up(&mut self, object: usize) {
        let mut next = Some(object);
        while let Some(object) = next.take() {
            self.counts[object] -= 1;
            if self.counts[object] == 0 {
                self.lists.iter_mut().for_each(|list| list.retain(|&other| other != object));
                if self.count[0] > 0 {
                    self.count[0] -= 1;
                }
                next = self.owns[object].take();
            }
        }
    }

    pub(crate) fn service(&mut self, thread: u64) {
        let thread = if self.era < Era::V313 { 0 } else { thread };
        if self.armed.remove(&thread) && (self.enabled || self.era == Era::V312) {
            self.select();
        }
    }

    pub(crate) fn request(&mut self, request: Request) {
        match request {
            Request::Program(generation) => self.collect(generation.number(), true),
            Request::Api if self.enabled || self.era < Era::V38 => self.collect(2, true),
            Request::Exit if self.enabled => self.collect(2, true),
            Request::Api | Request::Exit => {}
            Request::NoFail => self.collect(2, false),
        }
    }

    fn select(&mut self) {
        for generation in [2, 1, 0] {
            if self.is_above(generation) && !(generation == 2 && self.pending < self.total / 4) {
                self.collect(generation, true);
                return;
            }
        }
    }

    fn collect(&mut self, generation: usize, calls: bool) {
        self.log.push(generation);
        let calls = calls && self.era > Era::V27;
        self.call_back(calls, 0);
        if generation < 2 {
            self.count[generation + 1] += 1;
        }
        self.count[..=generation].fill(0);
        let mut young = std::mem::take(&mut self.lists[generation]);
        for younger in 0..generation {
            young.append(&mut self.lists[younger]);
        }
        let unreachable = self.partition(&mut young);
        if generation == 1 {
            self.pending += young.len();
        } else if generation == 2 {
            (self.pending, self.total) = (0, young.len());
        }
        self.lists[(generation + 1).min(2)].append(&mut young);
        for &object in &unreachable {
            self.counts[object] += 1;
        }
        for &object in &unreachable {
            if let Some(owned) = self.owns[object].take() {
                self.give_up(owned);
            }
            self.give_up(object);
        }
        self.stats[generation][0] += 1;
        self.stats[generation][1] += unreachable.len() as u64;
        self.call_back(calls, 1);
    }

    fn call_back(&mut self, calls: bool, at: usize) {
        if calls {
            for _ in 0..self.callbacks_make[at] {
                self.count[0] += 1;
                self.birth(None);
            }
        }
    }

    /// With a list that grows while it is walked, as CPython does it.
    fn partition(&mut self, young: &mut Vec<usize>) -> Vec<usize> {
        let members: BTreeSet<usize> = young.iter().copied().collect();
        let mut outside: std::collections::BTreeMap<usize, u64> =
            young.iter().map(|&object| (object, self.counts[object])).collect();
        for owned in young.iter().filter_map(|&object| self.owns[object]) {
            if let Some(outside) = outside.get_mut(&owned) {
                *outside -= 1;
            }
        }
        let (mut walked, mut unreachable) = (vec![], vec![]);
        let mut at = 0;
        while let Some(&object) = young.get(at) {
            at += 1;
            if outside[&object] == 0 {
                unreachable.push(object);
                continue;
            }
            walked.push(object);
            if let Some(owned) = self.owns[object].filter(|owned| members.contains(owned)) {
                if let Some(set_aside) = unreachable.iter().position(|&other| other == owned) {
                    unreachable.remove(set_aside);
                    young.push(owned);
                }
                outside.entry(owned).and_modify(|outside| *outside = (*outside).max(1));
            }
        }
        *young = walked;
        unreachable
    }
}
