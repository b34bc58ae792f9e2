//! [`Deaths`](rc::Deaths) against CPython itself: the same graphs, let go in the same order; the same finalizers
//! and callbacks have to run.

#[path = "../../../../../tests/support/pythons.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod pythons;

use std::process::Command;

use rc::{Callback, Death, Finalizers, Heap, Part, Rules, Trashcan};

use crate::deaths::Stepped;
use crate::world::{Event, Object, World};
use pythons::Python;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rc/python/deaths.py");

/// What a program said, replayed.
struct Replay {
    stepped: Stepped,
    /// Objects of the world by number in the program, and which root holds each.
    objects: Vec<usize>,
    watches: Vec<usize>,
    resurrects: Vec<usize>,
    /// Whether finalizers run only once.
    once: bool,
    said: Vec<String>,
}

impl Replay {
    fn new(rules: Rules, once: bool) -> Self {
        let stepped = Stepped::new(World::default(), rules);
        Self { stepped, objects: vec![], watches: vec![], resurrects: vec![], once, said: vec![] }
    }

    fn number(&self, object: usize) -> usize {
        self.objects.iter().position(|&other| other == object).unwrap()
    }

    fn line(&mut self, line: &str) {
        let mut words = line.split(' ');
        let what = words.next().unwrap();
        let rest: Vec<&str> = words.collect();
        let number = |at: usize| rest[at].parse::<usize>().unwrap();
        let world = &mut self.stepped.world;
        match what {
            "N" => {
                let kind = rest[1];
                let members: Vec<usize> = rest[2..].iter().map(|word| word.parse().unwrap()).collect();
                let is_instance = matches!(kind, "I" | "P") || (kind == "T" && members.is_empty());
                let part = if is_instance { Part::Instance } else { Part::Container };
                let mut object = Object::new(part);
                object.finalizer = (kind == "I").then(Vec::new);
                let id = world.add(object);
                let in_order: Vec<usize> =
                    if is_instance { members } else { members.into_iter().rev().collect() };
                for member in in_order {
                    world.own(id, self.objects[member]);
                }
                world.hold(id);
                self.objects.push(id);
            }
            "R" => self.resurrects.push(number(0)),
            "W" => {
                let weak = world.watch(self.objects[number(1)], Callback::Foreign, vec![]);
                self.watches.push(weak);
            }
            "D" => {
                let object = self.objects[number(0)];
                let root = world.roots.iter().position(|&root| root == Some(object)).unwrap();
                world.roots[root] = None;
                let dies = self.stepped.deaths.decrement(&mut self.stepped.world, object).unwrap();
                if dies {
                    self.run();
                }
                // The program lets a tuple die now.
                self.stepped.deaths.drain();
                self.run();
                assert_eq!(self.stepped.deaths.deposited(), 0);
            }
            other => panic!("{other}"),
        }
    }

    fn run(&mut self) {
        while let Some(death) = self.stepped.deaths.next(&mut self.stepped.world).unwrap() {
            match death {
                Death::Begin(_) | Death::Pause => unreachable!("the heap does not ask for it"),
                Death::Finalize(object) => {
                    let number = self.number(object);
                    self.said.push(format!("F {number}"));
                    if self.once {
                        self.stepped.world.objects[object].finalizer = None;
                    }
                    if let Some(at) = self.resurrects.iter().position(|&other| other == number) {
                        self.resurrects.remove(at);
                        self.stepped.world.hold(object);
                    }
                    self.stepped.deaths.finished(&mut self.stepped.world).unwrap();
                }
                Death::Callback(weak) => {
                    let number = self.watches.iter().position(|&other| other == weak).unwrap();
                    self.said.push(format!("C {number}"));
                    self.stepped.deaths.finished(&mut self.stepped.world).unwrap();
                }
                Death::Free(object) => self.stepped.world.objects[object].freed = true,
            }
        }
    }
}

/// What the program says.
fn run(python: &Python, seed: u32, chain: usize) -> String {
    let output = Command::new(&python.path)
        .args(["-E", PROGRAM, &seed.to_string(), &chain.to_string()])
        .output()
        .expect("a Python that answered before");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", python.path.display());
    String::from_utf8(output.stdout).unwrap()
}

/// Replays it by some rules. How many finalizers and callbacks ran, and how many deaths were deposited; or where other
/// ones ran than in the program.
fn compare(text: &str, rules: Rules, once: bool) -> Result<(usize, usize), String> {
    let mut replay = Replay::new(rules, once);
    let mut observed = Vec::new();
    let mut facts = 0;
    let mut since = "nothing";
    for line in text.lines().chain(["E"]) {
        if line.starts_with(['F', 'C']) {
            observed.push(line.to_owned());
            continue;
        }
        if replay.said != observed {
            return Err(format!("after {since}: {:?} instead of {observed:?}", replay.said));
        }
        facts += observed.len();
        observed.clear();
        replay.said.clear();
        since = line;
        if line != "E" {
            replay.line(line);
        }
    }
    let world = &replay.stepped.world;
    assert!(world.objects.iter().enumerate().all(|(id, object)| object.freed || world.count(id) > 0));
    let deposits = world.log.iter().filter(|event| matches!(event, Event::Deposit(_))).count();
    Ok((facts, deposits))
}

#[test]
fn finalizers_and_callbacks_run_as_in_cpython() {
    let known = |python: &Python| Rules::for_cpython(python.version.0, python.version.1).is_some();
    let all: Vec<Python> = pythons::discover().into_iter().filter(known).collect();
    if all.is_empty() {
        eprintln!("skipped: no CPython 2.7 or 3.6 to 3.15 was found (name some in VIVARIUM_PYTHONS)");
    }
    let chains = [(1, 45), (2, 51), (3, 52), (4, 99), (5, 120), (6, 200), (7, 500), (8, 1000)];
    for python in all {
        let (major, minor, _) = python.version;
        let rules = Rules::for_cpython(major, minor).unwrap();
        let (mut facts, mut deposits, mut otherwise) = (0, 0, [0; 2]);
        for (seed, chain) in (1..=20).map(|seed| (seed, 0)).chain(chains) {
            let text = run(&python, seed, chain);
            match compare(&text, rules, major > 2) {
                Ok((more, deposited)) => (facts, deposits) = (facts + more, deposits + deposited),
                Err(how) => panic!("{} seed {seed} chain {chain} {how}", python.path.display()),
            }
            // Other rules would be noticed.
            let undone = match rules.finalizers {
                Finalizers::First => Finalizers::AfterWeak,
                Finalizers::AfterWeak => Finalizers::First,
            };
            let others =
                [Rules { trashcan: Trashcan::Never, ..rules }, Rules { finalizers: undone, ..rules }];
            for (count, other) in otherwise.iter_mut().zip(others) {
                *count += usize::from(compare(&text, other, major > 2).is_err());
            }
        }
        eprintln!(
            "{}: {facts} finalizers and callbacks, {deposits} deposits; noticed {otherwise:?}",
            python.path.display()
        );
        assert!(facts > 1000);
        assert!(otherwise[1] > 0, "the order of finalizers and callbacks cannot be seen");
        let bounded = matches!(rules.trashcan, Trashcan::Nesting { .. });
        assert_eq!((deposits > 5, otherwise[0] > 0), (bounded, bounded));
    }
}
