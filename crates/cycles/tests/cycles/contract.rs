//! What counting and collecting ask of a [`World`].

use cycles::{Cleared, Containers, Lists, Place, Untracks, Which};
use rc::{Callback, Detached, Heap, Note};

use crate::world::{Kind, World};

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
        self.forget_target(object);
        let members = &mut self.objects[object].members;
        (!members.is_empty()).then(|| members.remove(0))
    }

    fn take_finalizer(&mut self, object: usize) -> bool {
        self.objects[object].program = self.objects[object].finalizer.take();
        self.objects[object].program.is_some()
    }

    fn detach_weak(&mut self, object: usize) -> Option<Detached<usize>> {
        let reference = *self.objects[object].weak.first()?;
        self.forget_target(reference);
        let calls = self.objects[reference].callback.is_some();
        Some(Detached { reference, callback: if calls { Callback::Foreign } else { Callback::None } })
    }

    fn note(&mut self, note: Note<usize>) {
        match note {
            Note::Begin(object) => self.begin(object),
            Note::Resurrect(object) => self.resurrect(object),
            Note::Deposit(_) | Note::Release(_) => {}
        }
    }
}

impl Containers for World {
    fn traverse(&self, object: usize, visit: &mut impl FnMut(usize)) {
        self.referents(object).into_iter().for_each(visit);
    }

    fn traverse_uncounted(&self, object: usize, visit: &mut impl FnMut(usize)) {
        self.objects[object].borrowed.iter().for_each(|&(_, referent)| visit(referent));
    }

    fn place(&self, object: usize) -> Place {
        self.objects[object].place
    }

    fn set_place(&mut self, object: usize, place: Place) {
        self.objects[object].place = place;
    }

    fn lists(&self) -> &Lists<usize> {
        &self.lists
    }

    fn lists_mut(&mut self) -> &mut Lists<usize> {
        &mut self.lists
    }

    fn is_container(&self, object: usize) -> bool {
        self.objects[object].kind != Kind::Atom
    }

    fn untracks(&self, object: usize) -> Untracks {
        match self.objects[object].kind {
            Kind::Tuple => Untracks::Fixed,
            Kind::Dict => Untracks::Changing,
            Kind::Instance | Kind::Atom | Kind::Weak => Untracks::Never,
        }
    }

    fn clear_weak(&mut self, object: usize, which: Which) -> Option<Cleared<usize>> {
        let objects = &self.objects;
        let is_asked_for = |&weak: &usize| which == Which::All || objects[weak].callback.is_some();
        let reference = objects[object].weak.iter().copied().find(is_asked_for)?;
        self.forget_target(reference);
        Some(Cleared { reference, calls: self.objects[reference].callback.is_some() })
    }

    fn clear_own(&mut self, object: usize) {
        self.forget_target(object);
    }

    fn is_uncollectable(&self, object: usize) -> bool {
        self.objects[object].legacy
    }
}
