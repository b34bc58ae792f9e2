//! What is told of those who are left of what a collection looks at.

use std::io::Write;

use hashbrown::HashSet;
use trace::{Collection, CollectorAction, IMMORTAL, Object, Writer};

use super::known::Known;
use super::{Collections, FROZEN};

impl Collections {
    /// The deallocation of the object begins that is at an address. What it is in may be kept.
    #[inline]
    pub(in crate::drain) fn begins_to_die(&mut self, address: u64) {
        if let Some(object) = self.is_new_to_die(address)
            && let Some(collection) = &mut self.collection
        {
            collection.dead.push(object);
        }
    }

    /// The same of one that is on no list, though the collection has not done with its garbage.
    pub(super) fn is_no_garbage(&mut self, address: u64) {
        self.is_new_to_die(address);
    }

    /// The object at an address, if it is one that the collection looked at that goes on, and it is new that it dies.
    #[inline]
    fn is_new_to_die(&mut self, address: u64) -> Option<Object> {
        self.collection.as_ref()?;
        let who = self.everybody.who(address)?;
        let known = self.everybody.known(who).filter(|known| known.epoch == self.epoch)?;
        (!std::mem::replace(&mut known.is_dying, true)).then_some(who.object)
    }

    /// Who is left when a collection has told its garbage from the others was told.
    pub(super) fn has_parted(&mut self) {
        let Some((generation, parted)) = &mut self.parted else { return };
        let to = u8::try_from(*generation + 1).unwrap_or(2).min(2);
        for member in &self.members {
            let Some(who) = self.everybody.who(member.address) else { continue };
            // Others were on the list before.
            let is_new = |known: &mut Known| known.epoch == self.epoch || known.list != to;
            if self.everybody.known(who).is_some_and(is_new) {
                parted.push(who.object);
            }
        }
    }

    /// What is left behind a collection was told.
    pub(super) fn survivors<W: Write>(&mut self, writer: &mut Writer<W>) {
        let Some(mut collection) = self.collection.take() else { return };
        let Some(generation) = collection.generation else { return };
        let to = (generation + 1).min(2);
        let is_full = generation == 2;
        collection.candidates = (0..=generation).map(|list| self.lists[usize::from(list)].len() as u64).sum();
        let (mut on_list, mut revived) = (Vec::with_capacity(self.members.len()), HashSet::new());
        for member in &self.members {
            let Some(who) = self.everybody.who(member.address) else { continue };
            let Some(known) = self.everybody.known(who) else { continue };
            // The list is told from the beginning if what was its last one is gone.
            if known.list != to || is_full {
                collection.survivors.push(who.object);
            }
            known.list = FROZEN + 1;
            // Who is there yet has not died.
            if known.is_dying {
                revived.insert(who.object);
            }
            on_list.push(who);
        }
        collection.dead.retain(|object| !revived.contains(object));
        let is_whole = collection.survivors.len() < on_list.len();
        let looked_at = std::iter::once(generation).chain(0..generation);
        for list in looked_at.chain(is_whole.then_some(to)).map(usize::from) {
            for who in std::mem::take(&mut self.lists[list]) {
                if !self.everybody.leaves(who, list) {
                    continue;
                }
                // Who collects has put those aside that never die, and so does who replays.
                match self.everybody.known(who).filter(|known| known.count == Some(IMMORTAL)) {
                    Some(known) => {
                        known.list = FROZEN;
                        self.lists[usize::from(FROZEN)].push(who);
                    }
                    None => self.gone.push(who.object),
                }
            }
        }
        for who in &on_list {
            if let Some(known) = self.everybody.known(*who) {
                known.list = to;
            }
        }
        self.lists[usize::from(to)].extend(on_list);
        let left = (self.may_run_code && !self.is_told_again).then(|| collection.survivors.clone());
        writer.collector(&CollectorAction::Over(left));
        if let Some((_, parted)) = self.parted.take().filter(|(of, _)| *of == u64::from(generation)) {
            join(&mut collection, parted);
        }
        writer.collected(&collection);
    }
}

/// Those who could be reached come first, though they may have left since: some die with the garbage.
fn join(collection: &mut Collection, parted: Vec<Object>) {
    if collection.survivors == parted {
        return;
    }
    let left: HashSet<Object> = collection.survivors.iter().copied().collect();
    let dead: HashSet<Object> = collection.dead.iter().copied().collect();
    let has_vanished = |object: &&Object| !left.contains(*object) && !dead.contains(*object);
    collection.dead.extend(parted.iter().filter(has_vanished));
    let before: HashSet<Object> = parted.iter().copied().collect();
    let came = std::mem::replace(&mut collection.survivors, parted);
    collection.survivors.extend(came.into_iter().filter(|object| !before.contains(object)));
}
