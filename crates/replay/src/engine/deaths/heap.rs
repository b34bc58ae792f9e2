//! A trace's objects, as counting sees them.

use hashbrown::{HashMap, HashSet};
use rc::{Callback, Counting, Detached, Finalizers as When, Heap, Note, Part, Rules, Trashcan};
use trace::{
    Beginning, Begins, Block, BlockTable, COUNT_LIMIT, Death, Edge, Fate, FetchedDeaths, Object, STRANGER,
    TypeInfo, TypeNumber,
};

use super::Given;
use super::kept::Kept;
use crate::kinds::{Finalizes, Kind, Order, Weak};

/// More objects than the deaths inside of one mostly refer to.
const MANY: usize = 1 << 10;

#[derive(Clone, Copy, Debug)]
struct Live {
    /// Its count, if counts are followed.
    count: u64,
    block: Option<Block>,
    /// Bytes asked for for its block, if these tell of what its memory can be kept for; else 0.
    bytes: u64,
    of: TypeNumber,
    /// Whether its finalizer has run.
    is_finalized: bool,
}

/// A death that is going on.
#[derive(Debug)]
pub(super) struct Dying {
    object: Object,
    /// What it refers to, in the order in which it gives that up, and its weak references.
    told: Beginning,
    /// How far it is with both.
    next: usize,
    next_weak: usize,
    /// When its weak references are cleared: when it has come so far with both, or when the trace tells; `None`: first.
    weak_at: Option<WeakAt>,
    /// The reference to its type, if it has one: that is given up last.
    last: Option<Object>,
    order: Order,
    /// How many references it has given up since it began, or since the program made steps in it.
    given_up: u64,
    /// Program code may have run inside, and counts are not followed.
    is_stale: bool,
    /// It is not going on at all: it was put off, and counts are not followed.
    is_put_off: bool,
}

/// Where in the middle of a death weak references are cleared.
#[derive(Clone, Copy, Debug)]
enum WeakAt {
    Reference(usize),
    Told,
}

#[derive(Debug)]
pub(super) struct Objects {
    counting: Counting,
    trashcan: Trashcan,
    version: (u32, u32),
    /// Whether counts are followed, or told when a death begins.
    follows: bool,
    /// What is known of each type, and which object it is.
    types: Vec<(Kind, Option<Object>)>,
    /// The objects that these are.
    type_objects: HashSet<Object>,
    live: BlockTable<Live>,
    pub(super) kept: Kept,
    /// Unless counts are followed: of what the deaths that are going on refer to.
    told: HashMap<Object, u64>,
    /// The deaths that are going on in this thread.
    pub(super) dying: Vec<Dying>,
    /// Beginnings that are over, for their memory.
    spare: Vec<Beginning>,
    pub(super) fetched: FetchedDeaths,
    /// What counting has said that happens, beside its answers.
    pub(super) noted: Vec<Death>,
    /// Who was brought back to life just now.
    pub(super) revived: Option<Object>,
    /// What was given, in this frame.
    pub(super) given: Given,
}

impl Objects {
    pub(super) fn new(rules: &Rules, version: (u32, u32), follows: bool) -> Self {
        Self {
            counting: rules.counting,
            trashcan: rules.trashcan,
            version,
            follows,
            types: Vec::new(),
            type_objects: HashSet::new(),
            live: BlockTable::new(),
            kept: Kept::new(version),
            told: HashMap::new(),
            dying: Vec::new(),
            spare: Vec::new(),
            fetched: FetchedDeaths::default(),
            noted: Vec::new(),
            revived: None,
            given: Given::default(),
        }
    }

    /// The count of an object, if that is followed.
    #[inline]
    pub(super) fn count_mut(&mut self, object: Object) -> Option<&mut u64> {
        if self.follows && object & STRANGER == 0 {
            self.live.get_mut(object).map(|live| &mut live.count)
        } else {
            None
        }
    }

    /// Whether counts are followed.
    pub(super) fn follows(&self) -> bool {
        self.follows
    }

    pub(super) fn described(&mut self, info: Option<TypeInfo>) {
        let Some(info) = info else { return };
        self.types.push((Kind::of(&info, self.version), info.object));
        self.type_objects.extend(info.object);
    }

    /// An object is born. `None` if it is said to be in kept memory, and there is none. In such memory, whose that is.
    pub(super) fn born(&mut self, of: TypeNumber, begins: Begins) -> Option<Option<(Object, Block)>> {
        let (block, bytes) = match begins {
            Begins::InBlock(block, _) => (Some(block), self.kept.bytes_of(block)),
            Begins::Kept(items) => {
                let kind = usize::try_from(of).ok().and_then(|of| self.types.get(of));
                let list = kind.and_then(|(kind, _)| kind.free_list)?;
                let (block, bytes) = self.kept.reuse(list, items)?;
                (Some(block), bytes)
            }
            Begins::Elsewhere => (None, 0),
        };
        let object = self.live.push(Live { count: 1, block, bytes, of, is_finalized: false });
        self.make_stale();
        Some(block.filter(|_| matches!(begins, Begins::Kept(_))).map(|block| (object, block)))
    }

    pub(super) fn retyped(&mut self, object: Object, of: TypeNumber) {
        if let Some(live) = self.live.get_mut(object) {
            live.of = of;
        }
    }

    pub(super) fn finalized(&mut self, object: Object) {
        if let Some(live) = self.live.get_mut(object) {
            live.is_finalized = true;
        }
    }

    pub(super) fn is_alive(&self, object: Object) -> bool {
        object & STRANGER != 0 || self.live.get(object).is_some()
    }

    pub(super) fn is_dying(&self, object: Object) -> bool {
        self.dying.iter().rev().any(|dying| dying.object == object)
    }

    /// Whether there is a death that is going on, and program code may have run inside the innermost one, so that counts
    /// are not known.
    pub(super) fn is_stale(&self) -> Option<bool> {
        self.dying.last().map(|dying| dying.is_stale)
    }

    /// The object whose death is the innermost one.
    pub(super) fn innermost(&self) -> Option<Object> {
        self.dying.last().map(|dying| dying.object)
    }

    /// Whether what is fetched next is still to come, all of it or its end: where deaths are given, that one is put off
    /// comes in two parts, and a frame may end between them.
    pub(super) fn waits(&self) -> bool {
        self.fetched.is_empty() || (!self.follows && self.fetched.is_only_a_deposit())
    }

    /// How many steps the program makes now in the innermost death, or in none.
    pub(super) fn steps(&mut self) -> u64 {
        let Some(dying) = self.dying.last_mut() else { return self.fetched.steps(0) };
        let steps = self.fetched.steps(dying.given_up);
        if steps > 0 {
            dying.given_up = 0;
        }
        steps
    }

    fn make_stale(&mut self) {
        if self.follows {
            return;
        }
        for dying in self.dying.iter_mut().rev().take_while(|dying| !dying.is_stale) {
            dying.is_stale = true;
        }
    }

    /// What is known of an object's type, and which object that is. (Strangers are in no table.)
    pub(super) fn type_of(&self, object: Object) -> (Kind, Option<Object>) {
        let of = self.live.get(object).and_then(|live| usize::try_from(live.of).ok());
        of.and_then(|of| self.types.get(of).copied()).unwrap_or((Kind::UNKNOWN, None))
    }

    /// A death begins. False if it does not. Adds the predicted counts of what it refers to.
    pub(super) fn begin(&mut self, object: Object, counts: &mut Vec<u32>) -> bool {
        let mut told = self.spare.pop().unwrap_or_default();
        let is_put_off = !self.follows && self.fetched.is_deposited();
        self.given.put_off += u64::from(is_put_off);
        if !self.fetched.begins(object, &mut told) {
            return false;
        }
        if self.dying.is_empty() {
            // What is large takes as long to be cleared, however little is in it.
            if self.told.capacity() > MANY {
                self.told = HashMap::new();
            }
            self.told.clear();
        }
        let (kind, _) = self.type_of(object);
        let mut dying = Dying {
            object,
            told,
            next: 0,
            next_weak: 0,
            weak_at: None,
            last: None,
            order: Order::Given,
            given_up: 0,
            is_stale: false,
            is_put_off,
        };
        self.look_at(&mut dying, counts);
        self.dying.push(dying);
        if (kind.finalizes != Finalizes::Never || kind.finalizes_late) && !is_put_off {
            self.make_stale();
        }
        true
    }

    /// The finalizer of the innermost death has run: what its object refers to may be told anew.
    pub(super) fn go_on(&mut self, counts: &mut Vec<u32>) {
        let Some(mut dying) = self.dying.pop() else { return };
        if self.fetched.goes_on(&mut dying.told) {
            (dying.next, dying.next_weak) = (0, 0);
            self.look_at(&mut dying, counts);
        }
        self.dying.push(dying);
    }

    /// Looks at what a dying object refers to.
    fn look_at(&mut self, dying: &mut Dying, counts: &mut Vec<u32>) {
        let (kind, of) = self.type_of(dying.object);
        if self.follows {
            for referent in dying.told.edges.iter().filter_map(|edge| edge.referent) {
                if referent & STRANGER == 0 {
                    let count = self.live.get(referent).map_or(0, |live| live.count & self.counting.mask);
                    counts.push(u32::try_from(count).unwrap_or(COUNT_LIMIT).min(COUNT_LIMIT));
                }
            }
        } else {
            self.learn_counts(&dying.told.edges);
        }
        let last = self.reference_to_type(&dying.told.edges, kind, of);
        dying.last = last.and_then(|last| dying.told.edges[last].referent.take());
        let is_known = match kind.order {
            Order::Same => true,
            // Elsewhere it is told.
            order => self.follows && order.arrange(&mut dying.told.edges, last),
        };
        dying.order = if is_known { Order::Same } else { Order::Given };
        // Behind what the class has, and in front of what it is made of: there its traversal tells the type.
        dying.weak_at = match (kind.weak, last) {
            (Weak::First, _) => None,
            (Weak::Middle, Some(last)) if is_known => Some(WeakAt::Reference(last)),
            (Weak::Last, _) if is_known => Some(WeakAt::Reference(dying.told.edges.len())),
            _ => Some(WeakAt::Told),
        };
    }

    /// Where the reference to the type of a dying object is. If its class was changed, which nobody tells where counts are not
    /// followed, it refers to another type than that of which it was born: the last one that its traversal tells is it.
    fn reference_to_type(&self, edges: &[Edge], kind: Kind, of: Option<Object>) -> Option<usize> {
        let born_of = of?;
        let own = edges.iter().rposition(|edge| edge.referent == Some(born_of));
        if own.is_some() || self.follows || kind.part != Part::Instance {
            return own;
        }
        edges.iter().rposition(|edge| edge.referent.is_some_and(|to| self.type_objects.contains(&to)))
    }

    /// Keeps the counts that are told with references.
    fn learn_counts(&mut self, edges: &[Edge]) {
        for edge in edges {
            let Some(referent) = edge.referent else { continue };
            let Some(count) = edge.count else {
                // There are more than can be told: what was known of that is no more true.
                self.told.remove(&referent);
                continue;
            };
            let before = self.told.insert(referent, count.into());
            // Fewer than were known: the deaths around this one have given up as many already.
            let gone = before.unwrap_or(0).saturating_sub(count.into());
            // Hardly ever; and there may be many edges to look through.
            if gone > 0 {
                let around = self.dying.iter_mut().rev().flat_map(|dying| dying.told.edges.iter_mut());
                let same = around.filter(|edge| edge.referent == Some(referent));
                same.take(usize::try_from(gone).unwrap_or(usize::MAX)).for_each(|edge| edge.referent = None);
            }
        }
    }

    /// How the innermost death ends, as it is told. `None`: it does not.
    pub(super) fn ends(&mut self) -> Option<Fate> {
        // Where counts are not followed, this says that program code has run inside, and something else went on after it.
        if !self.follows && self.fetched.calls() {
            self.make_stale();
        }
        self.fetched.ends()
    }

    /// Whether an object's memory is released. What the trace tells of that counts only where it is not known.
    pub(super) fn fate(&mut self, object: Object, told: Fate) -> Fate {
        let Some(Live { block: Some(block), bytes, .. }) = self.live.get(object) else { return Fate::Kept };
        if self.dying.last().is_some_and(|dying| dying.is_put_off) {
            return Fate::Kept;
        }
        let (kind, _) = self.type_of(object);
        if self.follows
            && let Some(list) = kind.free_list
        {
            return if self.kept.keep(list, block, bytes) { Fate::Kept } else { Fate::Released };
        }
        // Where program code may have run, another thread may have: what goes on there need not end in time.
        let is_stale = self.dying.last().is_some_and(|dying| dying.is_stale);
        // What is kept at other tiers may also have died untold.
        if is_stale || kind.foreign || (!self.follows && (kind.keeps || kind.revives)) {
            self.given.kept += 1;
            return told;
        }
        Fate::Released
    }

    /// A death is over. The object's block, if it had one, and its type, if it now gives up a reference to that.
    /// One that was brought back to life stays.
    pub(super) fn end(&mut self, object: Object, fate: Fate) -> (Option<Block>, Option<Object>) {
        let Some(dying) = self.dying.pop() else { return (None, None) };
        let may_live_on = dying.is_put_off || self.type_of(object).0.revives;
        let revived = !self.follows && fate == Fate::Kept && may_live_on;
        if !self.follows && dying.order == Order::Given {
            // When it gave up what is left, and which counts of that were seen before, is not known.
            for referent in dying.told.edges.iter().filter_map(|edge| edge.referent) {
                self.told.remove(&referent);
            }
        }
        let is_known = self.follows || (!dying.is_stale && dying.order != Order::Given && !revived);
        let keeps_type = fate == Fate::Kept && self.type_of(object).0.keeps_type;
        let last = dying.last.filter(|_| is_known && !keeps_type);
        self.spare.push(dying.told);
        let live = if revived { None } else { self.live.remove(object) };
        (live.and_then(|live| live.block), last)
    }

    /// The innermost death is over, since its object was brought back to life.
    pub(super) fn leave(&mut self) {
        self.spare.extend(self.dying.pop().map(|dying| dying.told));
    }
}

impl Heap for Objects {
    type Id = Object;

    fn count(&self, object: Object) -> u64 {
        match () {
            // One of which nothing is known has other references.
            () if object & STRANGER != 0 && self.follows => self.counting.immortal,
            () if self.follows => self.live.get(object).map_or(0, |live| live.count),
            () => self.told.get(&object).copied().unwrap_or(self.counting.immortal),
        }
    }

    fn set_count(&mut self, object: Object, word: u64) {
        if !self.follows {
            self.told.insert(object, word);
        } else if let Some(live) = self.live.get_mut(object) {
            live.count = word;
        }
    }

    fn release_next(&mut self, _object: Object) -> Option<Object> {
        let Self { dying, live, fetched, given, follows, .. } = self;
        let dying = dying.last_mut()?;
        if dying.is_stale || dying.is_put_off || (!*follows && fetched.will_call()) {
            return None;
        }
        if dying.order == Order::Given {
            let at = fetched.gives()?;
            given.order += 1;
            dying.given_up += 1;
            return dying.told.edges.get_mut(at as usize)?.referent.take();
        }
        loop {
            let edge = dying.told.edges.get(dying.next)?;
            dying.next += 1;
            // What died already, by a reference that the trace does not hold, has no count any more.
            if let Some(referent) = edge.referent
                && (*follows || referent & STRANGER != 0 || live.get(referent).is_some())
            {
                dying.given_up += 1;
                return Some(referent);
            }
        }
    }

    fn take_finalizer(&mut self, object: Object) -> bool {
        let (kind, _) = self.type_of(object);
        match kind.finalizes {
            _ if !self.follows => return false,
            Finalizes::Never => return false,
            Finalizes::Given if !self.fetched.will_call() => return false,
            Finalizes::Given => self.given.called += 1,
            Finalizes::Always => {}
        }
        let Some(live) = self.live.get_mut(object) else { return false };
        // Who is not known to the collector has nowhere to remember it.
        !std::mem::replace(&mut live.is_finalized, kind.is_gc)
    }

    fn has_late_finalizer(&self, object: Object) -> bool {
        self.follows && self.type_of(object).0.finalizes_late
    }

    fn finalizers(&self, object: Object) -> Option<When> {
        self.type_of(object).0.weak_first.then_some(When::AfterWeak)
    }

    fn detach_weak(&mut self, _object: Object) -> Option<Detached<Object>> {
        let dying = self.dying.last_mut().filter(|dying| dying.weak_at.is_none())?;
        let reference = *dying.told.weak.get(dying.next_weak)?;
        dying.next_weak += 1;
        Some(Detached { reference, callback: Callback::Foreign })
    }

    fn clears_weak(&mut self, _object: Object) -> bool {
        let Some(dying) = self.dying.last_mut() else { return false };
        let has_some = dying.next_weak < dying.told.weak.len();
        let clears = has_some
            && match dying.weak_at {
                None => false,
                Some(WeakAt::Reference(at)) => dying.next >= at,
                Some(WeakAt::Told) => self.fetched.will_call(),
            };
        if clears {
            self.given.called += u64::from(matches!(dying.weak_at, Some(WeakAt::Told)));
            dying.weak_at = None;
        }
        clears
    }

    fn part(&self, object: Object) -> Part {
        match self.trashcan {
            _ if !self.follows => Part::None,
            Trashcan::Given => Part::Container,
            _ => self.type_of(object).0.part,
        }
    }

    fn deposits(&mut self, _object: Object) -> bool {
        self.fetched.is_deposited()
    }

    fn drains(&mut self) -> bool {
        self.fetched.is_taken_up()
    }

    fn announces(&self) -> bool {
        true
    }

    fn note(&mut self, note: Note<Object>) {
        match note {
            Note::Deposit(object) => self.noted.push(Death::Deposited(object)),
            Note::Resurrect(object) => self.revived = Some(object),
            Note::Begin(_) | Note::Release(_) => {}
        }
    }
}
