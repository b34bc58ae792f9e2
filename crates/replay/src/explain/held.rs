//! What holds an object: the shortest way to it from outside of all that a collection looks at.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap};
use trace::Object;

use super::names::{Name, Names};
use super::report::{Member, Picture, Taken, Way};
use crate::engine::Seen;

/// As many ways are told of at most.
const WAYS: usize = 20;
/// As many objects of a way at most.
const LENGTH: usize = 64;
/// Nobody.
const NONE: u32 = u32::MAX;

/// Who is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All objects of the types of this name.
    Type(String),
    /// The object that has this number.
    Object(Object),
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Type(name) => name.fmt(f),
            Self::Object(object) => write!(f, "object {object}"),
        }
    }
}

/// What a collection says of those who are asked for; `None` if it looked at none of them. `name` and `size` tell of objects by
/// their places.
///
/// O(objects + references).
pub(super) fn picture(
    seen: &Seen<'_>,
    (collection, taken): (u64, Taken),
    wanted: &Wanted,
    names: &Names,
    name: impl Fn(u32) -> Name,
    size: impl Fn(u32) -> u64,
) -> Option<Picture> {
    let all = 0..seen.objects();
    let targets: Vec<u32> = match wanted {
        Wanted::Object(object) => all.filter(|&at| seen.object(at) == *object).collect(),
        Wanted::Type(text) => {
            let wanted = names.find(text)?;
            all.filter(|&at| name(at) == wanted).collect()
        }
    };
    if targets.is_empty() {
        return None;
    }
    let mut search = Search::new(seen, name);
    search.run();
    let is_garbage = |&&at: &&u32| seen.is_unreachable(at);
    let unreachable = targets.iter().filter(is_garbage).count() as u64;
    let mut ways: HashMap<u64, (u64, u32)> = HashMap::new();
    for &at in targets.iter().filter(|&at| search.length[*at as usize] > 0) {
        let (holds, first) = ways.entry(search.way[at as usize]).or_insert((0, at));
        *holds += 1;
        *first = (*first).min(at);
    }
    let mut ways: Vec<(u64, u32)> = ways.into_values().collect();
    ways.sort_by_key(|&(holds, at)| (Reverse(holds), search.length[at as usize], at));
    let more_ways = ways.len().saturating_sub(WAYS) as u64;
    let member = |at: u32| Member {
        object: seen.object(at),
        of: names.text((search.name)(at)).to_owned(),
        bytes: size(at),
    };
    let ways = ways
        .into_iter()
        .take(WAYS)
        .map(|(holds, at)| {
            let (path, root) = search.back(at);
            Way {
                holds,
                path: path.into_iter().map(member).collect(),
                length: search.length[at as usize].into(),
                outside: seen.outside(root).map(u64::from),
            }
        })
        .collect();
    let (event, generation) = (seen.event, seen.generation);
    Some(Picture {
        collection,
        event,
        generation,
        taken,
        examined: targets.len() as u64,
        unreachable,
        ways,
        more_ways,
    })
}

/// A search from all that is held from outside, breadth first.
struct Search<'a, 's, N> {
    seen: &'a Seen<'s>,
    name: N,
    hashing: DefaultHashBuilder,
    /// By place: from where it was reached, after how many objects (0: not at all), and by which types.
    from: Vec<u32>,
    length: Vec<u32>,
    way: Vec<u64>,
    queue: VecDeque<u32>,
}

impl<'a, 's, N: Fn(u32) -> Name> Search<'a, 's, N> {
    fn new(seen: &'a Seen<'s>, name: N) -> Self {
        let many = seen.objects() as usize;
        let hashing = DefaultHashBuilder::default();
        let (from, length, way) = (vec![NONE; many], vec![0; many], vec![0; many]);
        Self { seen, name, hashing, from, length, way, queue: VecDeque::new() }
    }

    fn run(&mut self) {
        for at in 0..self.seen.objects() {
            if self.seen.outside(at) != Some(0) && !self.seen.is_unreachable(at) {
                self.reach(at, NONE);
            }
        }
        while let Some(at) = self.queue.pop_front() {
            for &referent in self.seen.referents(at) {
                if self.length[referent as usize] == 0 {
                    self.reach(referent, at);
                }
            }
        }
    }

    fn reach(&mut self, at: u32, from: u32) {
        let (length, way) = match from {
            NONE => (0, 0),
            from => (self.length[from as usize], self.way[from as usize]),
        };
        let there = at as usize;
        self.way[there] = self.hashing.hash_one((way, (self.name)(at)));
        (self.from[there], self.length[there]) = (from, length + 1);
        self.queue.push_back(at);
    }

    /// The end of the way to one, and where the whole of it begins.
    fn back(&self, mut at: u32) -> (Vec<u32>, u32) {
        let mut path = Vec::new();
        loop {
            if path.len() < LENGTH {
                path.push(at);
            }
            match self.from[at as usize] {
                NONE => break,
                from => at = from,
            }
        }
        path.reverse();
        (path, at)
    }
}
