//! A small object model, driven as a replay or an interpreter would.

use bumpalo::Bump;
use cycles::{Containers, Lists, Place, Step as Cycle};
use generations::{Answer, Because, Generation, Generations, Request, Started, Step, Thread};
use rc::{Death, Deaths, Heap};

/// An object with at most one reference.
#[derive(Debug)]
struct Object {
    count: u64,
    owns: Option<usize>,
    place: Place,
}

#[derive(Debug, Default)]
pub(crate) struct Objects {
    all: Vec<Object>,
    lists: Lists<usize>,
}

impl Heap for Objects {
    type Id = usize;

    fn count(&self, object: usize) -> u64 {
        self.all[object].count
    }

    fn set_count(&mut self, object: usize, word: u64) {
        self.all[object].count = word;
    }

    fn release_next(&mut self, object: usize) -> Option<usize> {
        self.all[object].owns.take()
    }
}

impl Containers for Objects {
    fn traverse(&self, object: usize, visit: &mut impl FnMut(usize)) {
        self.all[object].owns.into_iter().for_each(visit);
    }

    fn place(&self, object: usize) -> Place {
        self.all[object].place
    }

    fn set_place(&mut self, object: usize, place: Place) {
        self.all[object].place = place;
    }

    fn lists(&self) -> &Lists<usize> {
        &self.lists
    }

    fn lists_mut(&mut self) -> &mut Lists<usize> {
        &mut self.lists
    }
}

/// A program's process.
pub(crate) struct Process {
    pub(crate) generations: Generations,
    pub(crate) objects: Objects,
    deaths: Deaths<usize>,
    /// How many objects callbacks allocate at the start of a collection, and at its end.
    pub(crate) callbacks_make: [usize; 2],
    /// The generations that were collected.
    pub(crate) log: Vec<Generation>,
}

impl Process {
    pub(crate) fn new((major, minor, patch): (u32, u32, u32)) -> Self {
        Self {
            generations: Generations::for_cpython(major, minor, patch).unwrap(),
            objects: Objects::default(),
            deaths: Deaths::new(rc::Rules::for_cpython(major, minor).unwrap()),
            callbacks_make: [0; 2],
            log: Vec::new(),
        }
    }

    pub(crate) fn list(&self, list: u8) -> Vec<usize> {
        self.objects.lists.iter(cycles::ListId::new(list)).collect()
    }

    /// A new object that refers to this one, and is held from outside.
    pub(crate) fn allocate(&mut self, owns: Option<usize>, thread: Thread, exception: bool) -> Answer {
        let mut answer = Answer::Nothing(Because::NotDue);
        if self.generations.allocated() {
            answer = self.generations.trigger(thread, exception);
            if let Answer::Collect(started) = answer {
                self.collect(started);
                answer = Answer::Nothing(Because::NotDue);
            }
        }
        let owns = owns.filter(|&other| self.objects.all[other].count > 0);
        if let Some(other) = owns {
            self.objects.all[other].count += 1;
        }
        self.objects.all.push(Object { count: 1, owns, place: Place::UNTRACKED });
        let object = self.last();
        cycles::track(&mut self.objects, object, Generation::YOUNG.list());
        answer
    }

    pub(crate) fn last(&self) -> usize {
        self.objects.all.len() - 1
    }

    /// An object refers to another one instead.
    pub(crate) fn set(&mut self, object: usize, owns: usize) {
        if self.objects.all[object].count > 0 && self.objects.all[owns].count > 0 {
            self.objects.all[owns].count += 1;
            let before = self.objects.all[object].owns.replace(owns);
            before.into_iter().for_each(|before| self.give_up(before));
        }
    }

    pub(crate) fn give_up(&mut self, object: usize) {
        self.deaths.decrement(&mut self.objects, object).unwrap();
        while let Some(death) = self.deaths.next(&mut self.objects).unwrap() {
            if let Death::Free(object) = death {
                cycles::untrack(&mut self.objects, object);
                self.generations.freed();
            }
        }
    }

    pub(crate) fn service(&mut self, thread: Thread) -> Option<Because> {
        let answer = self.generations.service(thread);
        self.follow(answer)
    }

    pub(crate) fn request(&mut self, request: Request) -> Option<Because> {
        let answer = self.generations.request(request);
        self.follow(answer)
    }

    fn follow(&mut self, answer: Answer) -> Option<Because> {
        match answer {
            Answer::Collect(started) => {
                self.collect(started);
                None
            }
            Answer::Armed => panic!("only allocations arm"),
            Answer::Nothing(because) => Some(because),
        }
    }

    fn collect(&mut self, started: Started) {
        self.log.push(started.plan().generation);
        let [first, last] = self.callbacks_make;
        if started.calls_back() {
            self.call_back(first);
        }
        let scratch = Bump::new();
        let mut run = started.look(&mut self.generations, &mut self.objects, &scratch).unwrap().run;
        loop {
            match run.next(&mut self.generations, &mut self.objects, &scratch).unwrap() {
                Step::Collector(Cycle::Clear(object)) => {
                    let owned = self.objects.all[object].owns.take();
                    owned.into_iter().for_each(|owned| self.give_up(owned));
                }
                Step::Collector(Cycle::Release(object)) => self.give_up(object),
                Step::Collector(other) => panic!("{other:?}"),
                Step::FreeLists => assert!(run.plan().is_full()),
                Step::Callbacks(_) => self.call_back(last),
                Step::Done(_) => break,
            }
        }
    }

    fn call_back(&mut self, many: usize) {
        assert!(self.generations.is_running());
        for _ in 0..many {
            let answer = self.allocate(None, Thread(0), false);
            assert!(matches!(answer, Answer::Nothing(_)));
        }
    }
}
