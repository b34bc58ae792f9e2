//! What is written of objects: their types, births and deaths, and changes of their counts.

use std::io::Write;

use super::{FRAME_OBJECTS, Writer};
use crate::collections;
use crate::error::Error;
use crate::objects::{Beginning, Begins, Death, Fate, Object, Step, TypeInfo, TypeNumber};

impl<W: Write> Writer<W> {
    /// Everything that comes before what is told of an object.
    fn begin_object(&mut self) -> Result<(), Error> {
        if self.objects.size < FRAME_OBJECTS {
            return Ok(());
        }
        // That a block is a container is told in its frame, when an object is born there: mostly at once.
        let is_open = self.collections.as_ref().is_some_and(collections::Encoder::is_open);
        if is_open && self.objects.size < 2 * FRAME_OBJECTS { Ok(()) } else { self.end_frame() }
    }

    /// A type is described, and gets a number.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn described(&mut self, info: &TypeInfo) -> Result<TypeNumber, Error> {
        self.begin_object()?;
        Ok(self.objects.described(info))
    }

    /// An object is born, and gets a number.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn born(&mut self, of: TypeNumber, begins: Begins) -> Result<Object, Error> {
        self.begin_object()?;
        self.totals.objects += 1;
        Ok(self.objects.born(of, begins, self.totals.blocks))
    }

    /// A number for an object whose birth was not seen.
    pub fn stranger(&mut self) -> Object {
        self.objects.stranger()
    }

    /// A step of the program that has no function of its own: none of a call, a description, a birth.
    ///
    /// # Errors
    /// If the sink refuses.
    #[inline]
    pub fn step(&mut self, step: Step) -> Result<(), Error> {
        self.begin_object()?;
        self.totals.changes += u64::from(matches!(step, Step::Up(_) | Step::Down(_) | Step::Set(..)));
        self.objects.step(step);
        Ok(())
    }

    /// What a replay is to know of a death when it has predicted that it begins. At tier `counts` the counts in there are
    /// answers, which it is not told.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn begins(&mut self, object: Object, beginning: &Beginning) -> Result<(), Error> {
        self.begin_object()?;
        self.totals.edges += beginning.edges.len() as u64;
        self.totals.count_facts += self.objects.begins(object, beginning);
        Ok(())
    }

    /// The same of the innermost death, in which a finalizer has run.
    ///
    /// # Errors
    /// If the sink refuses.
    pub fn goes_on(&mut self, beginning: &Beginning) -> Result<(), Error> {
        self.begin_object()?;
        self.totals.edges += beginning.edges.len() as u64;
        self.totals.count_facts += self.objects.goes_on(beginning);
        Ok(())
    }

    /// The program makes so many steps inside of the innermost death, when that has given up so many references since it
    /// began, or since the steps before; if it is not known how many, since anything else happened to it.
    pub fn steps(&mut self, steps: u64, after: Option<u64>) {
        self.objects.steps(steps, after);
    }

    /// Which of its references the innermost death gives up next, for who cannot know.
    pub fn gives(&mut self, at: u32) {
        self.objects.gives(at);
    }

    /// What becomes of the memory of the object whose death is the innermost one, and ends.
    pub fn ends(&mut self, fate: Fate) {
        self.objects.ends(fate);
    }

    /// The innermost death calls a finalizer or a callback.
    pub fn calls(&mut self) {
        self.objects.calls();
    }

    /// The death that is about to begin is put off; or such deaths are taken up. For who cannot know.
    pub fn trashcan(&mut self, is_taken_up: bool) {
        self.objects.trashcan(is_taken_up);
    }

    /// An answer: what happened to an object.
    pub fn observed(&mut self, death: Death) {
        self.totals.death_facts += 1;
        self.objects.observe(death);
    }
}
