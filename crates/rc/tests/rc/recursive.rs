//! The same as plainly as CPython does it: functions that call each other, and a counter of how deep.

use rc::{Callback, Finalizers, Heap, Holds, Part, Rules, Trashcan};

use crate::world::{Action, Event, World};

pub(crate) struct Recursive {
    pub(crate) world: World,
    pub(crate) rules: Rules,
    nesting: u64,
    pub(crate) later: Vec<usize>,
}

impl Recursive {
    pub(crate) fn new(world: World, rules: Rules) -> Self {
        Self { world, rules, nesting: 0, later: Vec::new() }
    }

    pub(crate) fn perform(&mut self, me: Option<usize>, action: Action) {
        if let Some(object) = self.world.act(me, action) {
            self.decref(object);
        }
    }

    pub(crate) fn decref(&mut self, object: usize) {
        let count = &mut self.world.objects[object].count;
        *count = count.checked_sub(1).expect("counted");
        if *count == 0 {
            self.dealloc(object, false);
        }
    }

    fn dealloc(&mut self, object: usize, drained: bool) {
        let part = self.world.part(object);
        if part == Part::None {
            self.body(object);
            return;
        }
        match self.rules.trashcan {
            Trashcan::Never => self.body(object),
            Trashcan::Nesting { limit, instance } => {
                let extra = if part == Part::Instance { u64::from(instance) } else { 0 };
                self.nesting += extra;
                if self.nesting >= u64::from(limit) {
                    self.deposit(object);
                    self.nesting -= extra;
                    return;
                }
                self.nesting += 1;
                self.nesting -= extra;
                self.body(object);
                self.nesting += extra;
                self.nesting -= 1;
                if self.nesting == 0 {
                    self.destroy_chain();
                }
                self.nesting -= extra;
            }
            Trashcan::Given => {
                if !drained && self.world.ask() {
                    self.deposit(object);
                    return;
                }
                self.body(object);
                if !self.later.is_empty() && self.world.ask() {
                    self.destroy_chain();
                }
            }
        }
    }

    fn deposit(&mut self, object: usize) {
        self.world.log.push(Event::Deposit(object));
        self.later.push(object);
    }

    pub(crate) fn destroy_chain(&mut self) {
        while let Some(object) = self.later.pop() {
            self.nesting += 1;
            self.dealloc(object, true);
            self.nesting -= 1;
        }
    }

    /// What is between the two macros.
    fn body(&mut self, object: usize) {
        self.world.log.push(Event::Begin(object));
        if self.rules.finalizers == Finalizers::AfterWeak {
            self.clear_weak(object);
        }
        if let Some(program) = self.world.objects[object].finalizer.take() {
            self.world.log.push(Event::Finalize(object));
            self.world.objects[object].count = 1;
            for action in program {
                self.perform(Some(object), action);
            }
            self.world.objects[object].count -= 1;
            if self.world.objects[object].count > 0 {
                self.world.log.push(Event::Resurrect(object));
                return;
            }
            if self.rules.finalizers == Finalizers::AfterWeak {
                while self.world.detach_weak(object).is_some() {}
            }
        }
        if self.rules.finalizers == Finalizers::First {
            self.clear_weak(object);
        }
        self.world.log.push(Event::Release(object));
        while let Some(member) = self.world.release_next(object) {
            self.decref(member);
        }
        let last = self.world.objects[object].last.take();
        self.world.objects[object].freed = true;
        self.world.log.push(Event::Free(object));
        if let Some(last) = last {
            self.decref(last);
        }
    }

    fn clear_weak(&mut self, object: usize) {
        let mut called = Vec::new();
        while let Some(weak) = self.world.detach_weak(object) {
            match weak.callback {
                Callback::None => {}
                Callback::Foreign => called.push((weak.reference, None)),
                Callback::Owned(callback) => called.push((weak.reference, Some(callback))),
            }
        }
        let alive: Vec<bool> = called.iter().map(|&(weak, _)| self.world.objects[weak].count > 0).collect();
        let held = match self.rules.holds {
            Holds::None => false,
            Holds::Several => called.len() > 1,
            Holds::All => true,
        };
        for (&(weak, _), _) in called.iter().zip(&alive).filter(|&(_, &alive)| alive && held) {
            self.world.objects[weak].count += 1;
        }
        for (&(weak, _), _) in called.iter().zip(&alive).filter(|&(_, &alive)| alive) {
            self.world.log.push(Event::Callback(weak));
            for action in std::mem::take(&mut self.world.objects[weak].program) {
                self.perform(None, action);
            }
        }
        for (&(weak, callback), alive) in called.iter().zip(alive).rev() {
            if let Some(callback) = callback {
                self.decref(callback);
            }
            if alive && held {
                self.decref(weak);
            }
        }
    }
}
