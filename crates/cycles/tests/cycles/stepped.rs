//! The collections that are tested, and the driver of their steps.

use bumpalo::Bump;
use cycles::{Collection, Plan, Rules, Step, append};
use rc::{Death, Deaths, Finalizers, Holds, Trashcan};

use crate::world::{Action, Event, LISTS, Rest, World};

pub(crate) struct Stepped {
    pub(crate) world: World,
    pub(crate) rules: Rules,
    pub(crate) saves_all: bool,
    deaths: Deaths<usize>,
}

impl Stepped {
    pub(crate) fn new(world: World, rules: Rules, saves_all: bool) -> Self {
        let deaths = Deaths::new(rc::Rules {
            counting: rules.counting,
            trashcan: Trashcan::Never,
            finalizers: Finalizers::First,
            holds: Holds::All,
        });
        Self { world, rules, saves_all, deaths }
    }

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
        if !self.deaths.decrement(&mut self.world, object).unwrap() {
            return;
        }
        while let Some(death) = self.deaths.next(&mut self.world).unwrap() {
            match death {
                Death::Begin(_) | Death::Pause => unreachable!("the heap does not ask for it"),
                Death::Finalize(object) => {
                    self.world.log.push(Event::Finalize(object));
                    let program = self.world.objects[object].program.take();
                    self.run(Some(object), program);
                    assert!(self.deaths.finished(&mut self.world).unwrap());
                }
                Death::Callback(weak) => {
                    self.world.log.push(Event::Callback(weak));
                    let program = self.world.objects[weak].callback.take();
                    self.run(None, program);
                    assert!(self.deaths.finished(&mut self.world).unwrap());
                }
                Death::Free(object) => {
                    self.world.log.push(Event::Free(object));
                    self.world.objects[object].freed = true;
                }
            }
        }
    }

    pub(crate) fn collect(&mut self, generation: usize) {
        self.world.log.push(Event::Collect(generation));
        for &younger in &LISTS[..generation] {
            append(&mut self.world, younger, LISTS[generation]);
        }
        let plan = Plan {
            young: LISTS[generation],
            old: LISTS[(generation + 1).min(2)],
            permanent: LISTS[3],
            saves_all: self.saves_all,
        };
        let scratch = Bump::new();
        let (mut collection, ..) = Collection::begin(&mut self.world, plan, self.rules, &scratch).unwrap();
        self.world.log_lists();
        loop {
            match collection.next(&mut self.world, &scratch).unwrap() {
                Step::Callback(weak) => {
                    self.world.log.push(Event::Call(weak));
                    let program = self.world.objects[weak].callback.take();
                    self.run(None, program);
                }
                Step::Finalize(object) => {
                    self.world.log.push(Event::FinalizeGarbage(object));
                    let program = self.world.objects[object].program.take();
                    self.run(Some(object), program);
                }
                Step::Clear(object) => {
                    self.world.log.push(Event::Clear(object));
                    self.world.clear(object).into_iter().for_each(|member| self.decref(member));
                }
                Step::Garbage(object) => {
                    self.world.log.push(Event::Garbage(object));
                    self.world.hold(object);
                }
                Step::Release(object) => self.decref(object),
                Step::Done(outcome) => {
                    self.world.log.push(Event::Done(outcome));
                    self.world.log_lists();
                    assert_eq!(collection.next(&mut self.world, &scratch), Ok(Step::Done(outcome)));
                    return;
                }
            }
        }
    }
}
