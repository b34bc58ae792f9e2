//! A heap of numbered objects, whose finalizers and callbacks are little programs.

use std::collections::{BTreeSet, VecDeque};

use rc::{Callback, Detached, Heap, Note, Part};

/// What the programs do, and the test itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Give up one of the references held from outside.
    Drop(usize),
    /// Hold one more reference to what another one refers to.
    Hold(usize),
    /// Hold a reference to the object whose finalizer this is.
    Resurrect,
    /// A new object, which takes over one of the references held from outside, and is held.
    Wrap(usize),
    /// A weak reference to the object whose finalizer this is, with a callback; held from outside.
    Watch,
}

/// Something that happened, in words that tests compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Begin(usize),
    Deposit(usize),
    Resurrect(usize),
    Release(usize),
    Finalize(usize),
    Callback(usize),
    Free(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) count: u64,
    pub(crate) part: Part,
    /// The next to be released first.
    pub(crate) members: VecDeque<usize>,
    pub(crate) last: Option<usize>,
    /// Weak references to it, the newest last.
    pub(crate) weak: Vec<usize>,
    /// If this is a weak reference that is not cleared: to whom, and what it calls.
    pub(crate) target: Option<usize>,
    pub(crate) callback: Callback<usize>,
    pub(crate) finalizer: Option<Vec<Action>>,
    /// Of a weak reference: what its callback does.
    pub(crate) program: Vec<Action>,
    pub(crate) freed: bool,
}

impl Object {
    pub(crate) fn new(part: Part) -> Self {
        Self {
            count: 0,
            part,
            members: VecDeque::new(),
            last: None,
            weak: Vec::new(),
            target: None,
            callback: Callback::None,
            finalizer: None,
            program: Vec::new(),
            freed: false,
        }
    }
}

/// The heap and everything around it.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) objects: Vec<Object>,
    /// References held from outside.
    pub(crate) roots: Vec<Option<usize>>,
    /// What is answered when the trashcan asks, round and round.
    pub(crate) given: Vec<bool>,
    pub(crate) asked: usize,
    pub(crate) log: Vec<Event>,
    pub(crate) is_weak: BTreeSet<usize>,
}

impl World {
    pub(crate) fn add(&mut self, object: Object) -> usize {
        self.objects.push(object);
        self.objects.len() - 1
    }

    /// An object owns one more reference, to be released after those that it owns.
    pub(crate) fn own(&mut self, owner: usize, member: usize) {
        self.objects[owner].members.push_back(member);
        self.objects[member].count += 1;
    }

    pub(crate) fn hold(&mut self, object: usize) {
        self.objects[object].count += 1;
        self.roots.push(Some(object));
    }

    /// A weak reference with a callback, held from outside.
    pub(crate) fn watch(&mut self, target: usize, callback: Callback<usize>, program: Vec<Action>) -> usize {
        let mut weak = Object::new(Part::None);
        (weak.target, weak.callback, weak.program) = (Some(target), callback, program);
        if let Callback::Owned(callback) = callback {
            self.objects[callback].count += 1;
        }
        let weak = self.add(weak);
        self.is_weak.insert(weak);
        self.hold(weak);
        self.objects[target].weak.push(weak);
        weak
    }

    pub(crate) fn ask(&mut self) -> bool {
        self.asked += 1;
        self.given.get(self.asked % self.given.len().max(1)).copied().unwrap_or(false)
    }

    /// Does the part of an action that concerns the world; what is to be decremented afterwards.
    pub(crate) fn act(&mut self, me: Option<usize>, action: Action) -> Option<usize> {
        let slots = self.roots.len().max(1);
        match action {
            Action::Drop(root) => self.roots.get_mut(root % slots).and_then(Option::take),
            Action::Hold(root) => {
                if let Some(object) = self.roots.get(root % slots).copied().flatten() {
                    self.hold(object);
                }
                None
            }
            Action::Resurrect => {
                if let Some(me) = me {
                    self.hold(me);
                }
                None
            }
            Action::Wrap(root) => {
                let inner = self.roots.get_mut(root % slots).and_then(Option::take);
                let mut wrapper = Object::new(Part::Instance);
                wrapper.members.extend(inner);
                let wrapper = self.add(wrapper);
                self.hold(wrapper);
                None
            }
            Action::Watch => {
                if let Some(me) = me {
                    self.watch(me, Callback::Foreign, vec![]);
                }
                None
            }
        }
    }

    /// Every reference that exists is counted, no more and no less; what is freed has none.
    pub(crate) fn check(&self, in_trashcan: &BTreeSet<usize>) {
        let mut counts = vec![0; self.objects.len()];
        for object in self.objects.iter().filter(|object| !object.freed) {
            let callback = match object.callback {
                Callback::Owned(callback) if object.target.is_some() => Some(callback),
                _ => None,
            };
            for &member in object.members.iter().chain(&object.last).chain(&callback) {
                counts[member] += 1;
            }
        }
        for &root in self.roots.iter().flatten() {
            counts[root] += 1;
        }
        for (id, object) in self.objects.iter().enumerate() {
            assert_eq!(object.count, counts[id], "count of {id}");
            let dead = object.count == 0 && !in_trashcan.contains(&id);
            assert_eq!(object.freed, dead, "{id}");
        }
    }
}

impl Heap for World {
    type Id = usize;

    fn count(&self, object: usize) -> u64 {
        self.objects[object].count
    }

    fn set_count(&mut self, object: usize, word: u64) {
        assert!(!self.objects[object].freed, "{object} is freed");
        self.objects[object].count = word;
    }

    fn release_next(&mut self, object: usize) -> Option<usize> {
        // What a weak reference owns and watches goes with it.
        if let Some(target) = self.objects[object].target.take() {
            self.objects[target].weak.retain(|&weak| weak != object);
            if let Callback::Owned(callback) = self.objects[object].callback {
                return Some(callback);
            }
        }
        self.objects[object].members.pop_front()
    }

    fn release_last(&mut self, object: usize) -> Option<usize> {
        self.objects[object].last.take()
    }

    fn take_finalizer(&mut self, object: usize) -> bool {
        // Taken for good when it runs: the program is needed until then.
        self.objects[object].finalizer.is_some()
    }

    fn detach_weak(&mut self, object: usize) -> Option<Detached<usize>> {
        let reference = self.objects[object].weak.pop()?;
        self.objects[reference].target = None;
        Some(Detached { reference, callback: self.objects[reference].callback })
    }

    fn part(&self, object: usize) -> Part {
        self.objects[object].part
    }

    fn deposits(&mut self, _object: usize) -> bool {
        self.ask()
    }

    fn drains(&mut self) -> bool {
        self.ask()
    }

    fn note(&mut self, note: Note<usize>) {
        self.log.push(match note {
            Note::Begin(object) => Event::Begin(object),
            Note::Deposit(object) => Event::Deposit(object),
            Note::Resurrect(object) => Event::Resurrect(object),
            Note::Release(object) => Event::Release(object),
        });
    }
}
