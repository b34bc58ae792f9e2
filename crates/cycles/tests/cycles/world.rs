//! A heap of numbered objects, whose finalizers and callbacks are little programs.
//!
//! It is the heap of both: of the collections that are tested, and of the model, which keeps its lists as plain
//! vectors.

use cycles::{ListId, Lists, Outcome, Place};
use rc::{Count, Counting};

/// Generations 0 to 2, and the objects that are never collected.
pub(crate) const LISTS: [ListId; 4] = [ListId::new(0), ListId::new(1), ListId::new(2), ListId::new(3)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Instance,
    /// What it refers to is fixed, and it cannot be cleared.
    Tuple,
    Dict,
    /// No container.
    Atom,
    Weak,
}

/// What programs do, and the test itself. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    /// Give up one of the references held from outside.
    Drop(usize),
    /// Hold one more reference to an object.
    Hold(usize),
    /// Hold a reference to the object whose finalizer this is.
    Resurrect,
    /// A new object, which owns two others, and is held.
    New(Kind, usize, usize),
    /// One object owns another one more.
    Link(usize, usize),
    /// It gives up one that it owns.
    Unlink(usize, usize),
    /// It gives up all that it owns.
    Wreck(usize),
    /// A weak reference to an object, held; with a callback that is this program, if any.
    Watch(usize, Option<usize>),
    /// It never dies, from here on.
    Immortalize(usize),
    /// Hold a reference to the target of this object, if it is a weak reference that can still be used.
    Upgrade(usize),
    /// Collect a generation.
    Collect(usize),
}

/// What is left to do of an action.
pub(crate) enum Rest {
    /// To give up references to these, in order.
    Release(Vec<usize>),
    Collect(usize),
}

/// Something that happened, in words that tests compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Inside of a death.
    Begin(usize),
    Finalize(usize),
    Callback(usize),
    Resurrect(usize),
    Free(usize),
    /// Inside of a collection.
    Collect(usize),
    Call(usize),
    FinalizeGarbage(usize),
    Clear(usize),
    Garbage(usize),
    Done(Outcome),
    /// Who stands on which list.
    Lists(Vec<Vec<usize>>),
}

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) count: u64,
    /// The first to be released first.
    pub(crate) members: Vec<usize>,
    /// To what it refers without being counted: where that is to be told among its members, and to whom.
    pub(crate) borrowed: Vec<(usize, usize)>,
    /// What `traverse` tells of instead, of a liar.
    pub(crate) lie: Option<Vec<usize>>,
    /// Weak references to it, the next to be cleared first.
    pub(crate) weak: Vec<usize>,
    /// Of a weak reference that is not cleared.
    pub(crate) target: Option<usize>,
    /// Of a weak reference that calls: the program.
    pub(crate) callback: Option<usize>,
    /// Of one whose finalizer has not run: the program.
    pub(crate) finalizer: Option<usize>,
    /// The program that runs now.
    pub(crate) program: Option<usize>,
    pub(crate) legacy: bool,
    pub(crate) place: Place,
    /// Its death has begun: it is tracked no more.
    pub(crate) dying: bool,
    pub(crate) freed: bool,
}

impl Object {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            count: 0,
            members: Vec::new(),
            borrowed: Vec::new(),
            lie: None,
            weak: Vec::new(),
            target: None,
            callback: None,
            finalizer: None,
            program: None,
            legacy: false,
            place: Place::UNTRACKED,
            dying: false,
            freed: false,
        }
    }
}

/// The heap and everything around it.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) counting: Counting,
    pub(crate) objects: Vec<Object>,
    pub(crate) lists: Lists<usize>,
    /// The model's lists: those of [`LISTS`], then those of its collections.
    pub(crate) plain: Option<Vec<Vec<usize>>>,
    pub(crate) programs: Vec<Vec<Action>>,
    /// References held from outside.
    pub(crate) roots: Vec<Option<usize>>,
    /// How many actions may happen: programs may start each other for ever.
    pub(crate) fuel: usize,
    pub(crate) log: Vec<Event>,
}

impl World {
    pub(crate) fn new(counting: Counting) -> Self {
        Self {
            counting,
            objects: Vec::new(),
            lists: Lists::new(),
            plain: None,
            programs: Vec::new(),
            roots: Vec::new(),
            fuel: 120,
            log: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, object: Object) -> usize {
        self.objects.push(object);
        self.objects.len() - 1
    }

    pub(crate) fn incref(&mut self, object: usize) {
        let word = self.objects[object].count;
        self.objects[object].count = self.counting.increment(word).unwrap();
    }

    pub(crate) fn is_immortal(&self, object: usize) -> bool {
        self.counting.read(self.objects[object].count) == Count::Immortal
    }

    pub(crate) fn own(&mut self, owner: usize, member: usize) {
        self.objects[owner].members.push(member);
        self.incref(member);
    }

    pub(crate) fn hold(&mut self, object: usize) {
        self.incref(object);
        self.roots.push(Some(object));
    }

    pub(crate) fn track(&mut self, object: usize, list: usize) {
        if self.objects[object].kind == Kind::Atom || self.objects[object].dying {
            return;
        }
        match &mut self.plain {
            Some(plain) => {
                if plain.iter().all(|list| !list.contains(&object)) {
                    plain[list].push(object);
                }
            }
            None => _ = cycles::track(self, object, LISTS[list]),
        }
    }

    pub(crate) fn untrack(&mut self, object: usize) {
        match &mut self.plain {
            Some(plain) => plain.iter_mut().for_each(|list| list.retain(|&other| other != object)),
            None => _ = cycles::untrack(self, object),
        }
    }

    pub(crate) fn is_tracked(&self, object: usize) -> bool {
        match &self.plain {
            Some(plain) => plain.iter().any(|list| list.contains(&object)),
            None => self.objects[object].place.is_tracked(),
        }
    }

    pub(crate) fn log_lists(&mut self) {
        let lists = match &self.plain {
            Some(plain) => plain[..LISTS.len()].to_vec(),
            None => LISTS.map(|list| self.lists.iter(list).collect()).to_vec(),
        };
        self.log.push(Event::Lists(lists));
    }

    /// To what it tells that it refers, counted.
    pub(crate) fn counted(&self, object: usize) -> &[usize] {
        let object = &self.objects[object];
        object.lie.as_ref().unwrap_or(&object.members)
    }

    /// To what it refers, counted or not.
    pub(crate) fn referents(&self, object: usize) -> Vec<usize> {
        let mut all = self.counted(object).to_vec();
        for &(at, referent) in &self.objects[object].borrowed {
            all.insert(at.min(all.len()), referent);
        }
        all
    }

    /// A weak reference: first those that do not call, then the newest.
    pub(crate) fn watch(&mut self, target: usize, callback: Option<usize>) -> usize {
        let mut weak = Object::new(Kind::Weak);
        (weak.target, weak.callback) = (Some(target), callback);
        let weak = self.add(weak);
        let objects = &self.objects;
        let silent =
            objects[target].weak.iter().take_while(|&&weak| objects[weak].callback.is_none()).count();
        let at = if callback.is_none() { 0 } else { silent };
        self.objects[target].weak.insert(at, weak);
        self.track(weak, 0);
        weak
    }

    /// Of a weak reference: its target forgets it.
    pub(crate) fn forget_target(&mut self, weak: usize) {
        if let Some(target) = self.objects[weak].target.take() {
            self.objects[target].weak.retain(|&other| other != weak);
        }
    }

    /// What an object gives up when it is cleared.
    pub(crate) fn clear(&mut self, object: usize) -> Vec<usize> {
        match self.objects[object].kind {
            Kind::Tuple | Kind::Atom => Vec::new(),
            Kind::Weak => {
                self.forget_target(object);
                self.objects[object].callback = None;
                std::mem::take(&mut self.objects[object].members)
            }
            Kind::Instance | Kind::Dict => {
                self.objects[object].borrowed.clear();
                std::mem::take(&mut self.objects[object].members)
            }
        }
    }

    /// An object that can be referred to: it is not about to die.
    fn alive(&self, n: usize) -> Option<usize> {
        let object = n % self.objects.len().max(1);
        let alive = self.objects.get(object).is_some_and(|object| !object.freed);
        (alive && self.counting.read(self.objects[object].count) != Count::Mortal(0)).then_some(object)
    }

    fn changing(&self, n: usize) -> Option<usize> {
        self.alive(n).filter(|&object| matches!(self.objects[object].kind, Kind::Instance | Kind::Dict))
    }

    /// Does the part of an action that concerns the world.
    pub(crate) fn act(&mut self, me: Option<usize>, action: Action) -> Rest {
        let mut release = Vec::new();
        if self.fuel == 0 {
            return Rest::Release(release);
        }
        self.fuel -= 1;
        match action {
            Action::Drop(root) => {
                let slots = self.roots.len().max(1);
                release.extend(self.roots.get_mut(root % slots).and_then(Option::take));
            }
            Action::Hold(object) => {
                if let Some(object) = self.alive(object) {
                    self.hold(object);
                }
            }
            Action::Resurrect => {
                if let Some(me) = me {
                    self.hold(me);
                }
            }
            Action::New(kind, one, other) => {
                let (one, other) = (self.alive(one), self.alive(other));
                let new = self.add(Object::new(kind));
                one.into_iter().chain(other).for_each(|member| self.own(new, member));
                self.hold(new);
                self.track(new, 0);
            }
            Action::Link(owner, member) => {
                if let (Some(owner), Some(member)) = (self.changing(owner), self.alive(member)) {
                    self.own(owner, member);
                    self.track(owner, 0);
                }
            }
            Action::Unlink(owner, member) => {
                if let Some(owner) = self.changing(owner)
                    && !self.objects[owner].members.is_empty()
                {
                    let member = member % self.objects[owner].members.len();
                    release.push(self.objects[owner].members.remove(member));
                }
            }
            Action::Wreck(owner) => {
                if let Some(owner) = self.changing(owner) {
                    release = self.clear(owner);
                }
            }
            Action::Watch(target, callback) => {
                if let Some(target) = self.alive(target) {
                    let callback = callback.map(|program| program % self.programs.len().max(1));
                    let weak = self.watch(target, callback);
                    self.hold(weak);
                }
            }
            Action::Immortalize(object) => {
                if let Some(object) = self.alive(object).filter(|_| self.counting != Counting::PLAIN) {
                    self.objects[object].count = self.counting.immortal;
                }
            }
            Action::Upgrade(weak) => {
                let target = self.alive(weak).and_then(|weak| self.objects[weak].target);
                if let Some(target) = target.and_then(|target| self.alive(target)) {
                    self.hold(target);
                }
            }
            Action::Collect(generation) => return Rest::Collect(generation % 3),
        }
        Rest::Release(release)
    }

    /// A death begins.
    pub(crate) fn begin(&mut self, object: usize) {
        self.untrack(object);
        self.objects[object].dying = true;
        self.log.push(Event::Begin(object));
    }

    /// It does not take place.
    pub(crate) fn resurrect(&mut self, object: usize) {
        self.objects[object].dying = false;
        self.track(object, 0);
        self.log.push(Event::Resurrect(object));
    }

    /// Between actions of the test: every reference is counted, no more and no less, and who has none is freed.
    pub(crate) fn check(&self) {
        let mut counts = vec![0; self.objects.len()];
        let alive = self.objects.iter().filter(|object| !object.freed);
        for &member in alive.flat_map(|object| &object.members).chain(self.roots.iter().flatten()) {
            counts[member] += 1;
        }
        for (id, object) in self.objects.iter().enumerate() {
            if !self.is_immortal(id) {
                assert_eq!(object.count, counts[id], "count of {id}");
                assert_eq!(object.freed, object.count == 0, "{id}");
            }
            if object.freed {
                assert!(!self.is_tracked(id), "{id} is freed");
                assert!(object.weak.is_empty() && object.target.is_none(), "{id} is freed");
            }
        }
    }
}
