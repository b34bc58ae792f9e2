//! Deaths that are put off, where that is told (CPython 3.14 and later).

use std::io::Write;

use trace::{Fate, Writer};

use super::Objects;
use super::open::explains;

impl Objects {
    /// What was told to be put off, is. Whose death nothing predicts is not spoken of: the program gave up the last reference,
    /// or what it did is not known.
    #[inline]
    pub(super) fn put_off<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        if self.deposited.is_empty() { Ok(()) } else { self.put_all_off(writer) }
    }

    #[cold]
    fn put_all_off<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        self.go_on(writer)?;
        while let Some(address) = self.deposited.pop() {
            if self.is_to_die(address, writer) {
                self.dies(address, writer)?;
                let Some(dying) = self.dying.take() else { continue };
                let place = dying.place;
                self.begins(dying, true, writer)?;
                // Nobody refers to it any more.
                self.census.known(place).set_count(None);
                if let Some(open) = self.pop() {
                    self.finish(open, Fate::Kept, writer);
                }
            }
        }
        Ok(())
    }

    /// Whether a death that is going on says that what is at this address dies by it. Those inside of that are over: of
    /// their ends it may not be told yet.
    fn is_to_die<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) -> bool {
        let Some(place) = self.census.place(address) else { return false };
        if self.last == Some(place) {
            return true;
        }
        for inner in (1..=self.open.len()).rev() {
            let open = &self.open[inner - 1];
            if explains(open, place, &self.references, &mut self.census) {
                self.finish_down_to(inner, writer);
                return true;
            }
            // That would have been told.
            if open.is_released {
                return false;
            }
        }
        false
    }
}
