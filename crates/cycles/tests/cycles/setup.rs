//! Worlds made of choices: of proptest's, which it shrinks, or of a seed's.

use cycles::{Counted, Immortals, PRESETS, Rules, SecondLook, Silent};
use rc::Counting;

use crate::world::{Action, Kind, Object, World};

/// Says which of `n` things it is to be.
pub(crate) trait Choices {
    fn of(&mut self, n: usize) -> usize;

    /// One in `n`.
    fn once_in(&mut self, n: usize) -> bool {
        self.of(n) == n - 1
    }
}

/// Choices on a tape; the first of all where it ends.
pub(crate) struct Tape<'a>(pub(crate) std::slice::Iter<'a, u16>);

impl Choices for Tape<'_> {
    fn of(&mut self, n: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % n
    }
}

/// Marsaglia's xorshift.
pub(crate) struct Seed(u64);

impl Seed {
    pub(crate) fn new(seed: u64) -> Self {
        let mut this = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        (0..8).for_each(|_| _ = this.of(2));
        this
    }
}

impl Choices for Seed {
    fn of(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 24) % u64::try_from(n).unwrap()).unwrap()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// What the rules are called.
    pub(crate) name: &'static str,
    pub(crate) rules: Rules,
    pub(crate) world: World,
    pub(crate) saves_all: bool,
    pub(crate) script: Vec<Action>,
}

fn kind(choices: &mut impl Choices) -> Kind {
    [
        Kind::Instance,
        Kind::Instance,
        Kind::Instance,
        Kind::Tuple,
        Kind::Tuple,
        Kind::Dict,
        Kind::Dict,
        Kind::Atom,
    ][choices.of(8)]
}

fn action(choices: &mut impl Choices) -> Action {
    let any = |choices: &mut _| Choices::of(choices, 64);
    match choices.of(19) {
        2 => Action::Hold(any(choices)),
        3 | 4 => Action::Resurrect,
        5 | 6 => Action::New(kind(choices), any(choices), any(choices)),
        7 | 8 => Action::Link(any(choices), any(choices)),
        9 | 10 => Action::Unlink(any(choices), any(choices)),
        11 => Action::Wreck(any(choices)),
        12 | 13 => {
            let target = any(choices);
            let callback = (choices.of(2) == 1).then(|| any(choices));
            Action::Watch(target, callback)
        }
        14 => Action::Collect(choices.of(3)),
        15 => Action::Immortalize(any(choices)),
        16 | 17 => Action::Upgrade(any(choices)),
        _ => Action::Drop(any(choices)),
    }
}

/// Those of a preset, or some that no version has.
fn rules(choices: &mut impl Choices) -> (&'static str, Rules) {
    let at = choices.of(PRESETS.len() + 3);
    if let Some(preset) = PRESETS.get(at) {
        return (preset.name, preset.rules);
    }
    let rules = Rules {
        counting: [Counting::PLAIN, Counting::SIGN_BIT, Counting::SATURATING][choices.of(3)],
        immortals: [Immortals::Counted, Immortals::Permanent, Immortals::Untracked][choices.of(3)],
        untracks_fixed: choices.of(4) != 3,
        untracks_changing: choices.of(2) == 1,
        clears_own: choices.of(2) == 1,
        silent: [Silent::Early, Silent::Late][choices.of(2)],
        finalizers: choices.of(4) != 3,
        second_look: [SecondLook::None, SecondLook::Whole, SecondLook::Partial][choices.of(3)],
        clears_again: choices.of(2) == 1,
        counted: [Counted::Found, Counted::Cleared][choices.of(2)],
    };
    ("of no version", rules)
}

impl Setup {
    pub(crate) fn new(choices: &mut impl Choices) -> Self {
        let (name, rules) = rules(choices);
        let counting = rules.counting;
        let mut world = World::new(counting);
        let programs = 6;
        for _ in 0..programs {
            let length = choices.of(5);
            world.programs.push((0..length).map(|_| action(choices)).collect());
        }
        let many = 2 + choices.of(24);
        for _ in 0..many {
            let mut object = Object::new(kind(choices));
            if choices.of(3) == 1 {
                object.finalizer = Some(choices.of(programs));
            }
            object.legacy = choices.once_in(20);
            if choices.once_in(12) && counting != Counting::PLAIN {
                object.count = counting.immortal;
            }
            world.add(object);
        }
        for owner in 0..many {
            for _ in 0..choices.of(4) {
                // Mostly a neighbour: many small cycles rather than a large one.
                let member = if choices.once_in(5) {
                    choices.of(many)
                } else {
                    (owner + choices.of(5) + many - 2) % many
                };
                if world.objects[owner].kind != Kind::Atom {
                    world.own(owner, member);
                }
            }
        }
        for _ in 0..choices.of(8) {
            let target = choices.of(many);
            let callback = (choices.of(3) != 0).then(|| choices.of(programs));
            let weak = world.watch(target, callback);
            world.untrack(weak);
            if callback.is_some() && choices.of(2) == 1 {
                // The callback is an object, too.
                let callback = choices.of(many);
                world.own(weak, callback);
            }
            if choices.of(2) == 1 {
                let owner = choices.of(many);
                if world.objects[owner].kind != Kind::Atom {
                    world.own(owner, weak);
                }
            } else {
                world.hold(weak);
            }
        }
        for object in 0..world.objects.len() {
            if world.objects[object].count == 0 || choices.once_in(12) {
                world.hold(object);
            }
            if !choices.once_in(10) {
                let list = [0, 0, 0, 1, 2][choices.of(5)];
                world.track(object, list);
            }
        }
        let saves_all = choices.once_in(8);
        let length = 1 + choices.of(8);
        let mut script: Vec<_> = (0..length)
            .map(|_| if choices.of(3) == 2 { Action::Collect(choices.of(3)) } else { action(choices) })
            .collect();
        script.extend([Action::Collect(2), Action::Collect(2)]);
        Self { name, rules, world, saves_all, script }
    }

    /// Some objects refer to others without being counted.
    pub(crate) fn borrow(&mut self, choices: &mut impl Choices) {
        let many = self.world.objects.len();
        for _ in 0..1 + choices.of(8) {
            let (borrower, at, referent) = (choices.of(many), choices.of(4), choices.of(many));
            if !matches!(self.world.objects[borrower].kind, Kind::Atom | Kind::Weak) {
                self.world.objects[borrower].borrowed.push((at, referent));
            }
        }
    }

    /// The same with all references told as if they were counted.
    pub(crate) fn counting_all(&self) -> Self {
        let mut this = self.clone();
        for object in 0..this.world.objects.len() {
            if !this.world.objects[object].borrowed.is_empty() {
                this.world.objects[object].lie = Some(this.world.referents(object));
                this.world.objects[object].borrowed.clear();
            }
        }
        this
    }

    /// Some objects tell of others than those that they own.
    pub(crate) fn lie(&mut self, choices: &mut impl Choices) {
        let many = self.world.objects.len();
        for _ in 0..1 + choices.of(3) {
            let liar = choices.of(many);
            let mut told = self.world.objects[liar].members.clone();
            for _ in 0..1 + choices.of(2) {
                if choices.of(2) == 1 {
                    told.pop();
                } else {
                    told.push(choices.of(many));
                }
            }
            self.world.objects[liar].lie = Some(told);
        }
    }
}
