//! The same as plainly as it can be said: CPython's algorithm, step for step, on vectors.

use std::collections::BTreeMap;

use cycles::{Counted, Immortals, Outcome, Rules, SecondLook, Silent};
use rc::Count;

use crate::world::{Action, Event, Kind, Rest, World};

const PERMANENT: usize = 3;

pub(crate) struct Model {
    pub(crate) world: World,
    pub(crate) rules: Rules,
    pub(crate) saves_all: bool,
    /// To 3.7, tuples are untracked where the partition meets them.
    pub(crate) untracks_inside: bool,
}

impl Model {
    pub(crate) fn perform(&mut self, me: Option<usize>, action: Action) {
        match self.world.act(me, action) {
            Rest::Release(objects) => objects.into_iter().for_each(|object| self.decref(object)),
            Rest::Collect(generation) => self.collect(generation),
        }
    }

    fn run(&mut self, me: Option<usize>, program: Option<usize>) {
        for action in program.map_or_else(Vec::new, |program| self.world.programs[program].clone()) {
            self.perform(me, action);
        }
    }

    pub(crate) fn decref(&mut self, object: usize) {
        let counting = self.world.counting;
        let word = counting.decrement(self.world.objects[object].count).unwrap();
        self.world.objects[object].count = word;
        if counting.read(word) == Count::Mortal(0) {
            self.die(object);
        }
    }

    fn die(&mut self, object: usize) {
        self.world.begin(object);
        if let Some(program) = self.world.objects[object].finalizer.take() {
            self.world.log.push(Event::Finalize(object));
            self.world.objects[object].count = 1;
            self.run(Some(object), Some(program));
            let count = &mut self.world.objects[object].count;
            *count = self.world.counting.decrement(*count).unwrap();
            if *count > 0 {
                self.world.resurrect(object);
                return;
            }
        }
        let mut called = Vec::new();
        while let Some(&weak) = self.world.objects[object].weak.first() {
            self.world.forget_target(weak);
            if self.world.objects[weak].callback.is_some() && self.world.objects[weak].count > 0 {
                called.push(weak);
            }
        }
        called.iter().for_each(|&weak| self.world.incref(weak));
        for &weak in &called {
            self.world.log.push(Event::Callback(weak));
            let program = self.world.objects[weak].callback.take();
            self.run(None, program);
        }
        called.into_iter().rev().for_each(|weak| self.decref(weak));
        self.world.forget_target(object);
        while !self.world.objects[object].members.is_empty() {
            let member = self.world.objects[object].members.remove(0);
            self.decref(member);
        }
        self.world.log.push(Event::Free(object));
        self.world.objects[object].freed = true;
    }

    fn lists(&mut self) -> &mut Vec<Vec<usize>> {
        self.world.plain.as_mut().expect("the model has lists of its own")
    }

    fn list(&mut self, list: usize) -> &mut Vec<usize> {
        &mut self.lists()[list]
    }

    fn new_list(&mut self) -> usize {
        self.lists().push(Vec::new());
        self.lists().len() - 1
    }

    fn move_to(&mut self, object: usize, list: usize) {
        self.world.untrack(object);
        self.list(list).push(object);
    }

    fn merge(&mut self, from: usize, to: usize) {
        if from != to {
            let objects = std::mem::take(self.list(from));
            self.list(to).extend(objects);
        }
    }

    /// Steps A and B.
    fn outside(&mut self, young: usize, outcome: &mut Outcome) -> BTreeMap<usize, i128> {
        let mut c = BTreeMap::new();
        for x in self.list(young).clone() {
            if self.rules.immortals != Immortals::Counted && self.world.is_immortal(x) {
                self.world.untrack(x);
                if self.rules.immortals == Immortals::Permanent {
                    self.list(PERMANENT).push(x);
                }
                outcome.immortal += 1;
                continue;
            }
            c.insert(x, i128::from(self.world.objects[x].count));
        }
        for x in self.list(young).clone() {
            for &r in self.world.counted(x) {
                if let Some(c) = c.get_mut(&r) {
                    *c -= 1;
                }
            }
        }
        c
    }

    /// Step C as well.
    fn partition(&mut self, young: usize, unreachable: usize, outcome: &mut Outcome, untracks: bool) {
        let mut c = self.outside(young, outcome);
        outcome.candidates = c.len();
        outcome.excess = c.values().map(|&c| u64::try_from(-c.min(0)).unwrap()).sum();
        let mut at = 0;
        while let Some(&x) = self.list(young).get(at) {
            if c[&x] == 0 {
                self.move_to(x, unreachable);
                continue;
            }
            for r in self.world.referents(x) {
                if !c.contains_key(&r) {
                    continue;
                }
                if self.list(unreachable).contains(&r) {
                    self.move_to(r, young);
                    c.insert(r, 1);
                    outcome.rescued += 1;
                } else if c[&r] == 0 {
                    c.insert(r, 1);
                }
            }
            c.remove(&x);
            if untracks && self.untrack_if(x, Kind::Tuple) {
                outcome.untracked_fixed += 1;
            } else {
                at += 1;
            }
        }
    }

    fn untrack_if(&mut self, x: usize, kind: Kind) -> bool {
        let world = &self.world;
        let may_be_tracked = |&r: &usize| match world.objects[r].kind {
            Kind::Atom => false,
            Kind::Tuple => world.is_tracked(r),
            Kind::Instance | Kind::Dict | Kind::Weak => true,
        };
        if world.objects[x].kind != kind || world.referents(x).iter().any(may_be_tracked) {
            return false;
        }
        self.world.untrack(x);
        true
    }

    fn clear_weak(&mut self, unreachable: usize, silent: bool, own: bool) -> Vec<usize> {
        let mut called = Vec::new();
        for x in self.list(unreachable).clone() {
            if own {
                self.world.forget_target(x);
            }
            for weak in self.world.objects[x].weak.clone() {
                let calls = self.world.objects[weak].callback.is_some();
                if calls || silent {
                    self.world.forget_target(weak);
                }
                if calls {
                    called.push(weak);
                }
            }
        }
        called
    }

    pub(crate) fn collect(&mut self, g: usize) {
        self.world.log.push(Event::Collect(g));
        let mut outcome = Outcome::default();
        (0..g).for_each(|younger| self.merge(younger, g));
        let (young, old) = (g, (g + 1).min(2));
        let unreachable = self.new_list();
        let untracks = self.rules.untracks_fixed;
        self.partition(young, unreachable, &mut outcome, self.untracks_inside && untracks);
        outcome.unreachable = self.list(unreachable).len();
        if !self.untracks_inside && untracks {
            for x in self.list(young).clone() {
                outcome.untracked_fixed += usize::from(self.untrack_if(x, Kind::Tuple));
            }
        }
        if g == 2 && self.rules.untracks_changing {
            for x in self.list(young).clone() {
                outcome.untracked_changing += usize::from(self.untrack_if(x, Kind::Dict));
            }
        }
        outcome.survivors = self.list(young).len();
        self.merge(young, old);

        let fin = self.new_list();
        for x in self.list(unreachable).clone() {
            if self.world.objects[x].legacy {
                self.move_to(x, fin);
            }
        }
        let mut at = 0;
        while let Some(&x) = self.list(fin).get(at) {
            at += 1;
            for r in self.world.referents(x) {
                if self.list(unreachable).contains(&r) {
                    self.move_to(r, fin);
                }
            }
        }
        if self.rules.counted == Counted::Found {
            outcome.collected += self.list(unreachable).len();
        }

        let w = self.new_list();
        let early = self.rules.silent == Silent::Early;
        for weak in self.clear_weak(unreachable, early, self.rules.clears_own) {
            if self.list(unreachable).contains(&weak) {
                outcome.suppressed += 1;
            } else {
                self.world.incref(weak);
                self.move_to(weak, w);
            }
        }
        self.world.log_lists();
        while let Some(&weak) = self.list(w).first() {
            self.world.log.push(Event::Call(weak));
            outcome.callbacks += 1;
            let program = self.world.objects[weak].callback.take();
            self.run(None, program);
            self.decref(weak);
            if self.list(w).first() == Some(&weak) {
                self.move_to(weak, old);
            } else {
                outcome.collected += 1;
            }
        }

        let seen = self.new_list();
        while let Some(&x) = self.list(unreachable).first() {
            self.move_to(x, seen);
            if !self.rules.finalizers {
                continue;
            }
            if let Some(program) = self.world.objects[x].finalizer.take() {
                self.world.log.push(Event::FinalizeGarbage(x));
                outcome.finalized += 1;
                self.world.incref(x);
                self.run(Some(x), Some(program));
                self.decref(x);
            }
        }
        self.merge(seen, unreachable);

        let before = self.list(unreachable).len();
        let last = self.new_list();
        let mut again = Outcome::default();
        match self.rules.second_look {
            SecondLook::None => self.merge(unreachable, last),
            SecondLook::Whole => {
                let lives = self.outside(unreachable, &mut again).values().any(|&c| c != 0);
                self.merge(unreachable, if lives { old } else { last });
            }
            SecondLook::Partial => {
                self.partition(unreachable, last, &mut again, false);
                self.merge(unreachable, old);
            }
        }
        outcome.resurrected = before - self.list(last).len();
        if self.rules.clears_again || !early {
            self.clear_weak(last, true, self.rules.clears_own || !early);
        }
        if self.rules.counted == Counted::Cleared {
            outcome.collected += self.list(last).len();
        }

        while let Some(&x) = self.list(last).first() {
            if self.saves_all {
                self.world.log.push(Event::Garbage(x));
                self.world.hold(x);
            } else {
                self.world.log.push(Event::Clear(x));
                self.world.incref(x);
                let members = self.world.clear(x);
                members.into_iter().for_each(|member| self.decref(member));
                self.decref(x);
            }
            if self.list(last).first() == Some(&x) {
                self.move_to(x, old);
                outcome.outlived += usize::from(!self.saves_all);
            }
        }

        outcome.uncollectable = self.list(fin).len();
        for x in self.list(fin).clone() {
            if self.saves_all || self.world.objects[x].legacy {
                self.world.log.push(Event::Garbage(x));
                self.world.hold(x);
            }
        }
        self.merge(fin, old);
        for _ in [unreachable, fin, w, seen, last] {
            assert_eq!(self.lists().pop(), Some(Vec::new()));
        }
        self.world.log.push(Event::Done(outcome));
        self.world.log_lists();
    }
}
