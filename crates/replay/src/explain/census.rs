//! The census of garbage: of which kinds its cycles are.

use std::cmp::Reverse;

use bumpalo::Bump;
use cycles::{Graph, Knot, Limits, anatomy};
use hashbrown::HashMap;

use super::names::{Name, Names};
use super::report::{Census as Report, Count, Cycle, Example, Form, Member, OfType};
use crate::engine::Seen;

/// As many types of a cycle are told of at most.
const SIGNATURE: usize = 8;
/// As many kinds are told apart at most; what else there is counts as others.
const KINDS: usize = 1000;
/// As many objects of the cycle an example has at most, and as many of the others.
const CYCLE: usize = 64;
const OTHERS: usize = 24;
/// As many references an example has at most.
const REFERENCES: usize = 400;
/// How many references may be looked at for a shorter cycle, for each object of the garbage.
const LOOKS: u64 = 200;
/// Of how many knots and other objects it is computed at most what is retained.
const DOMINATED: usize = 5000;

/// What is known of an object of the garbage.
#[derive(Clone, Copy)]
pub(super) struct Fact {
    pub(super) name: Name,
    pub(super) size: u64,
    /// The last event before which the program is known to have reached it.
    pub(super) since: u64,
}

/// The types along a cycle, shortened.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    names: Box<[Name]>,
    form: Form,
}

impl Key {
    fn of(mut names: Vec<Name>) -> Self {
        let mut form = Form::Whole;
        if names.len() > SIGNATURE {
            let period = period(&names);
            form = if period <= SIGNATURE { Form::Repeated } else { Form::Cut };
            names.truncate(period.min(SIGNATURE));
        }
        Self { names: names.into(), form }
    }
}

/// After how many its beginning comes again, and again, up to the end.
fn period(of: &[Name]) -> usize {
    // By place: how long the longest beginning is that also ends there.
    let mut borders = vec![0; of.len()];
    let mut border: usize = 0;
    for at in 1..of.len() {
        while border > 0 && of[at] != of[border] {
            border = borders[border - 1];
        }
        border += usize::from(of[at] == of[border]);
        borders[at] = border;
    }
    let period = of.len() - border;
    if of.len().is_multiple_of(period) { period } else { of.len() }
}

/// What is counted of the cycles of a kind.
#[derive(Default)]
struct Kind {
    knots: u64,
    members: Count,
    hanging: Count,
    retained: u64,
    lengths: Option<[u64; 2]>,
    found_in: [u64; 3],
    waited: u128,
    longest: u64,
    types: HashMap<Name, Count>,
    example: Option<Example>,
}

/// Counts kinds of cycles.
#[derive(Default)]
pub(super) struct Census {
    kinds: HashMap<Key, Kind>,
    others: Kind,
    types: HashMap<Name, Count>,
    strays: Count,
    is_limited: bool,
}

/// Where garbage was found.
pub(super) struct Found<'a, 's> {
    pub(super) seen: &'a Seen<'s>,
    pub(super) collection: u64,
    pub(super) names: &'a Names,
}

/// A name, and by what it is sorted: so the least turn of a cycle does not depend on which type was described first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Word<'a>(&'a str, Name);

impl Census {
    /// Takes in the garbage of a collection, of which `fact` tells what is known of each object by its place.
    ///
    /// O(garbage × log garbage + its references).
    pub(super) fn add(&mut self, found: &Found<'_, '_>, fact: impl Fn(u32) -> Fact) {
        let scratch = Bump::new();
        let graph = found.seen.garbage(&scratch);
        let of = |node: u32| fact(graph.number(node));
        let limits = Limits { references: LOOKS * graph.len() as u64, dominated: DOMINATED };
        let word = |node: u32| {
            let name = of(node).name;
            Word(found.names.text(name), name)
        };
        let anatomy = anatomy(graph, word, |node| of(node).size, limits, &scratch);
        self.is_limited |= !anatomy.is_dominated || anatomy.knots.iter().any(|knot| !knot.is_shortest);
        for node in 0..u32::try_from(graph.len()).unwrap_or(u32::MAX) {
            let Fact { name, size, .. } = of(node);
            self.types.entry(name).or_default().add(size);
        }
        anatomy.strays.iter().for_each(|&node| self.strays.add(of(node).size));
        for knot in &anatomy.knots {
            let key = Key::of(knot.signature.iter().map(|word| word.1).collect());
            let is_full = self.kinds.len() >= KINDS && !self.kinds.contains_key(&key);
            let kind = if is_full { &mut self.others } else { self.kinds.entry(key).or_default() };
            kind.add(knot, graph, found, &of);
        }
    }

    /// What was counted, by name: kinds with most objects first.
    pub(super) fn report(self, names: &Names) -> (Report, Vec<OfType>) {
        let mut cycles: Vec<_> = self
            .kinds
            .into_iter()
            .map(|(key, kind)| {
                let signature = key.names.iter().map(|name| names.text(*name).to_owned()).collect();
                kind.report(signature, key.form, names)
            })
            .collect();
        cycles.sort_by(|one, other| {
            let most = |of: &Cycle| Reverse((of.members.objects + of.hanging.objects, of.times));
            most(one)
                .cmp(&most(other))
                .then_with(|| (&one.signature, one.form as u8).cmp(&(&other.signature, other.form as u8)))
        });
        let others = (self.others.knots > 0).then(|| self.others.report(Vec::new(), Form::Cut, names));
        let types = OfType::all(self.types.into_iter().map(|(name, count)| (names.text(name), count)));
        (Report { cycles, others, in_no_cycle: self.strays, is_limited: self.is_limited }, types)
    }
}

impl Kind {
    fn add(
        &mut self,
        knot: &Knot<Word<'_>>,
        graph: Graph<'_>,
        found: &Found<'_, '_>,
        of: &impl Fn(u32) -> Fact,
    ) {
        let Found { seen, .. } = found;
        let length = knot.cycle.len() as u64;
        let since = knot.members.iter().map(|&node| of(node).since).max().unwrap_or(0);
        let waited = seen.event.saturating_sub(since);
        self.knots += 1;
        self.found_in[usize::from(seen.generation.min(2))] += 1;
        self.waited += u128::from(waited);
        self.longest = self.longest.max(waited);
        self.retained = self.retained.max(knot.retained.unwrap_or(0));
        let [least, most] = self.lengths.unwrap_or([length; 2]);
        self.lengths = Some([least.min(length), most.max(length)]);
        for (nodes, count) in [(&knot.members, &mut self.members), (&knot.hanging, &mut self.hanging)] {
            for &node in nodes {
                let Fact { name, size, .. } = of(node);
                count.add(size);
                self.types.entry(name).or_default().add(size);
            }
        }
        // The smallest says most.
        let size = (knot.members.len() + knot.hanging.len()) as u64;
        if self.example.as_ref().is_none_or(|example| size < example.members + example.hanging) {
            self.example = Some(example(knot, graph, found, of, waited));
        }
    }

    fn report(self, signature: Vec<String>, form: Form, names: &Names) -> Cycle {
        let types = OfType::all(self.types.into_iter().map(|(name, count)| (names.text(name), count)));
        let mean = self.waited / u128::from(self.knots.max(1));
        Cycle {
            signature,
            form,
            lengths: self.lengths.unwrap_or_default(),
            times: self.knots,
            members: self.members,
            hanging: self.hanging,
            retained_most: self.retained,
            found_in: self.found_in,
            waited_mean: u64::try_from(mean).unwrap_or(u64::MAX),
            waited_most: self.longest,
            types,
            example: self.example,
        }
    }
}

fn example(
    knot: &Knot<Word<'_>>,
    graph: Graph<'_>,
    found: &Found<'_, '_>,
    of: &impl Fn(u32) -> Fact,
    waited: u64,
) -> Example {
    let Found { seen, collection, names } = found;
    let member = |&node: &u32| {
        let Fact { name, size, .. } = of(node);
        Member { object: seen.object(graph.number(node)), of: names.text(name).to_owned(), bytes: size }
    };
    let in_cycle: Vec<u32> = knot.cycle.iter().copied().take(CYCLE).collect();
    let other_members = knot.members.iter().filter(|node| !in_cycle.contains(node)).take(OTHERS);
    let others: Vec<u32> = other_members.chain(knot.hanging.iter().take(OTHERS)).copied().collect();
    let shown: Vec<u32> = in_cycle.iter().chain(&others).copied().collect();
    let mut references = Vec::new();
    for &node in &shown {
        for referent in graph.referents(node) {
            if references.len() < REFERENCES && shown.contains(referent) {
                references.push([node, *referent].map(|node| seen.object(graph.number(node))));
            }
        }
    }
    references.dedup();
    Example {
        collection: *collection,
        event: seen.event,
        generation: seen.generation,
        waited,
        length: knot.cycle.len() as u64,
        members: knot.members.len() as u64,
        hanging: knot.hanging.len() as u64,
        cycle: in_cycle.iter().map(member).collect(),
        closing: [knot.closing.0, knot.closing.1].map(|node| seen.object(graph.number(node))),
        others: others.iter().map(member).collect(),
        references,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_cycles_are_shortened() {
        let key = |names: &[Name]| Key::of(names.to_vec());
        assert!(matches!(&key(&[1, 2, 1, 2]), Key { names, form: Form::Whole } if names.len() == 4));
        let long: Vec<_> = (0..30).map(|at| at % 3).collect();
        assert!(matches!(&key(&long), Key { names, form: Form::Repeated } if **names == [0, 1, 2]));
        assert!(matches!(&key(&long[1..]), Key { names, form: Form::Cut } if names.len() == SIGNATURE));
        let all: Vec<_> = (0..30).collect();
        assert!(matches!(&key(&all), Key { names, form: Form::Cut } if names[..] == all[..SIGNATURE]));
        assert_eq!((period(&[4]), period(&[4, 4, 5]), period(&[4, 4, 4])), (1, 3, 1));
    }
}
