//! The objects on the collector's lists, as the engine knows them: an object model for `cycles`.

use cycles::{Cleared, Containers, Lists, Place, Untracks, Which};
use hashbrown::HashMap;
use trace::{Arrival, Begins, Block, IMMORTAL, Object, TypeInfo, TypeNumber, UNTRACKED};

/// Names a member: a place in the table.
pub(super) type Id = u32;

/// A reference: to whom, and the last digits of that one's number, as places in the table are used again.
type Reference = (Id, u32);

#[allow(clippy::cast_possible_truncation, reason = "its last digits")]
fn digits(object: Object) -> u32 {
    object as u32
}

/// A container that is not known: the member at this place is none.
const STRANGER: Id = 0;

/// What matters of a type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    untracks: Untracks,
    finalizes: bool,
    finalizes_late: bool,
    /// Whether the memory of its objects may be kept for others when they die.
    keeps: bool,
}

impl Kind {
    const UNKNOWN: Self =
        Self { untracks: Untracks::Never, finalizes: false, finalizes_late: false, keeps: false };

    pub(super) fn of(info: &TypeInfo, version: (u32, u32)) -> Self {
        // Only of these types themselves, not of what is derived from them.
        let untracks = match info.name.as_str() {
            "tuple" if !info.class => Untracks::Fixed,
            "dict" if !info.class => Untracks::Changing,
            _ => Untracks::Never,
        };
        let keeps = crate::kinds::Kind::of(info, version).keeps;
        Self { untracks, finalizes: info.finalizes, finalizes_late: info.finalizes_late, keeps }
    }
}

#[derive(Debug)]
struct Member {
    object: Object,
    of: TypeNumber,
    kind: Kind,
    place: Place,
    count: u64,
    referents: Vec<Reference>,
    /// Those of them to which the reference is not counted.
    uncounted: Vec<Reference>,
    /// Whether the referents are told of by another one, and this one has none.
    is_embedded: bool,
    /// The last one first.
    weak: Vec<Reference>,
    block: Option<Block>,
    is_finalized: bool,
}

/// All members.
pub(super) struct Members {
    table: Vec<Member>,
    spare: Vec<Id>,
    ids: HashMap<Object, Id>,
    by_block: HashMap<Block, Id>,
    lists: Lists<Id>,
    /// What an immortal object's count is.
    immortal: u64,
    /// Whether code of the program would have run since this was last set: a finalizer, a callback.
    pub(super) runs_code: bool,
    /// The weak references that were cleared, which have something to call, in that order.
    pub(super) called: Vec<Object>,
}

impl Members {
    pub(super) fn new(immortal: u64) -> Self {
        let stranger = Member {
            object: UNTRACKED,
            of: TypeNumber::MAX,
            kind: Kind::UNKNOWN,
            place: Place::UNTRACKED,
            count: immortal,
            referents: Vec::new(),
            uncounted: Vec::new(),
            is_embedded: false,
            weak: Vec::new(),
            block: None,
            is_finalized: false,
        };
        Self {
            table: vec![stranger],
            spare: Vec::new(),
            ids: HashMap::new(),
            by_block: HashMap::new(),
            lists: Lists::new(),
            immortal,
            runs_code: false,
            called: Vec::new(),
        }
    }

    /// One that has come; what was in its block is gone. `None` if there are too many.
    pub(super) fn arrive(&mut self, object: Object, arrival: Arrival, kind: Option<Kind>) -> Option<Id> {
        let block = if let Begins::InBlock(block, _) = arrival.begins { Some(block) } else { None };
        if let Some(before) = block.and_then(|block| self.by_block.get(&block).copied()) {
            self.remove(before);
        }
        let member = Member {
            object,
            of: arrival.of,
            kind: kind.unwrap_or(Kind::UNKNOWN),
            place: Place::UNTRACKED,
            count: 0,
            referents: Vec::new(),
            uncounted: Vec::new(),
            is_embedded: false,
            weak: Vec::new(),
            block,
            is_finalized: false,
        };
        let id = if let Some(id) = self.spare.pop() {
            self.table[id as usize] = member;
            id
        } else {
            let id = Id::try_from(self.table.len()).ok()?;
            self.table.push(member);
            id
        };
        self.ids.insert(object, id);
        if let Some(block) = block {
            self.by_block.insert(block, id);
        }
        Some(id)
    }

    /// A block is released: what was in it is gone.
    pub(super) fn released(&mut self, block: Block) {
        if let Some(&id) = self.by_block.get(&block) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: Id) {
        cycles::untrack(self, id);
        let member = &mut self.table[id as usize];
        member.referents.clear();
        member.uncounted.clear();
        member.weak.clear();
        if let Some(block) = member.block.take() {
            self.by_block.remove(&block);
        }
        self.ids.remove(&member.object);
        self.spare.push(id);
    }

    pub(super) fn id(&self, object: Object) -> Option<Id> {
        self.ids.get(&object).copied()
    }

    fn reference(&self, object: Object) -> Option<Reference> {
        Some((self.id(object)?, digits(object)))
    }

    fn is_there(&self, id: Id) -> bool {
        self.ids.get(&self.table[id as usize].object) == Some(&id)
    }

    /// To whom a reference is, if that one is there still.
    fn referent(&self, &(id, last): &Reference) -> Option<Id> {
        (digits(self.table[id as usize].object) == last).then_some(id)
    }

    pub(super) fn object(&self, id: Id) -> Object {
        self.table[id as usize].object
    }

    pub(super) fn of(&self, id: Id) -> TypeNumber {
        self.table[id as usize].of
    }

    pub(super) fn block(&self, id: Id) -> Option<Block> {
        self.table[id as usize].block
    }

    /// What it refers to, counted or not; which of these are not, by their places.
    pub(super) fn set_referents(
        &mut self,
        id: Id,
        referents: &[Object],
        uncounted: &[u32],
        is_embedded: bool,
    ) {
        let member = &mut self.table[id as usize];
        let mut ids = std::mem::take(&mut member.referents);
        let mut borrowed = std::mem::take(&mut member.uncounted);
        ids.clear();
        let stranger = (STRANGER, digits(UNTRACKED));
        ids.extend(referents.iter().map(|object| self.reference(*object).unwrap_or(stranger)));
        borrowed.clear();
        borrowed.extend(uncounted.iter().filter_map(|at| ids.get(*at as usize)));
        let member = &mut self.table[id as usize];
        (member.referents, member.uncounted, member.is_embedded) = (ids, borrowed, is_embedded);
    }

    pub(super) fn set_weak(&mut self, id: Id, weak: &[Object]) {
        let ids = weak.iter().rev().filter_map(|object| self.reference(*object)).collect();
        self.table[id as usize].weak = ids;
    }

    /// Its count, as it was told.
    pub(super) fn tell_count(&mut self, id: Id, count: u64) {
        self.table[id as usize].count = if count == IMMORTAL { self.immortal } else { count };
    }

    pub(super) fn tell_finalized(&mut self, id: Id, is_finalized: bool) {
        self.table[id as usize].is_finalized |= is_finalized;
    }

    /// Whether it may die, and its memory is kept for another one then.
    pub(super) fn keeps(&self, id: Id) -> bool {
        let member = &self.table[id as usize];
        member.kind.keeps && member.count != self.immortal
    }

    /// Whether a finalizer of it is still to run.
    pub(super) fn would_run_code(&self, id: Id) -> bool {
        let member = &self.table[id as usize];
        (member.kind.finalizes && !member.is_finalized) || member.kind.finalizes_late
    }
}

impl rc::Heap for Members {
    type Id = Id;

    fn count(&self, object: Id) -> u64 {
        self.table[object as usize].count
    }

    fn set_count(&mut self, object: Id, word: u64) {
        self.table[object as usize].count = word;
    }

    fn release_next(&mut self, _object: Id) -> Option<Id> {
        None
    }

    fn take_finalizer(&mut self, object: Id) -> bool {
        let member = &mut self.table[object as usize];
        let runs = member.kind.finalizes && !member.is_finalized;
        member.is_finalized |= runs;
        self.runs_code |= runs;
        runs
    }
}

impl Containers for Members {
    fn traverse(&self, object: Id, visit: &mut impl FnMut(Id)) {
        let member = &self.table[object as usize];
        if !member.is_embedded {
            member.referents.iter().filter_map(|it| self.referent(it)).for_each(visit);
        }
    }

    fn traverse_to_untrack(&self, object: Id, visit: &mut impl FnMut(Id)) {
        let referents = self.table[object as usize].referents.iter();
        referents.filter_map(|it| self.referent(it)).for_each(visit);
    }

    fn traverse_uncounted(&self, object: Id, visit: &mut impl FnMut(Id)) {
        let member = &self.table[object as usize];
        if !member.is_embedded {
            member.uncounted.iter().filter_map(|it| self.referent(it)).for_each(visit);
        }
    }

    fn place(&self, object: Id) -> Place {
        self.table[object as usize].place
    }

    fn set_place(&mut self, object: Id, place: Place) {
        self.table[object as usize].place = place;
    }

    fn lists(&self) -> &Lists<Id> {
        &self.lists
    }

    fn lists_mut(&mut self) -> &mut Lists<Id> {
        &mut self.lists
    }

    fn untracks(&self, object: Id) -> Untracks {
        self.table[object as usize].kind.untracks
    }

    fn clear_weak(&mut self, object: Id, _which: Which) -> Option<Cleared<Id>> {
        let reference = loop {
            let reference = self.table[object as usize].weak.pop()?;
            // One that has gone since is told of no more.
            if let Some(reference) = self.referent(&reference).filter(|id| self.is_there(*id)) {
                break reference;
            }
        };
        self.runs_code = true;
        self.called.push(self.table[reference as usize].object);
        Some(Cleared { reference, calls: true })
    }

    fn is_uncollectable(&self, object: Id) -> bool {
        self.table[object as usize].kind.finalizes_late
    }
}
