//! Changes of counts: which of them are the program's, and which a dealloc makes of its own.

use std::io::Write;

use record::ObjectEvent;
use trace::{Object, Step, Writer};

use super::Counts;
use super::open::{Context, GivenUp};

impl Counts {
    /// Writes how a count has changed, unless that is part of the next event.
    pub(super) fn write<W: Write>(
        &mut self,
        next: Option<ObjectEvent>,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        if let Some(address) = self.lowered.take() {
            self.down(address, writer)?;
        }
        if let Some((address, value)) = self.set.take() {
            let is_ours = match next {
                Some(ObjectEvent::Born { object, .. }) => object == address,
                Some(ObjectEvent::Finalizer(finalized)) => finalized == address,
                _ => false,
            };
            if !is_ours && let Some(object) = self.counted(address) {
                self.put(Step::Set(object, value), writer)?;
            }
        }
        Ok(())
    }

    /// The object at this address, if changes of its count are to be told: static objects never die, and what a dealloc
    /// does to its own object means nothing.
    pub(super) fn counted(&mut self, address: u64) -> Option<Object> {
        if let Some(live) = self.census.live(address) {
            return Some(live.object);
        }
        let object = self.dying.get(&address).copied()?;
        self.innermost().is_none().then_some(object)
    }

    pub(super) fn set(&mut self, address: u64, value: u64) {
        if self.told.as_ref().is_some_and(|told| told.begins && told.address == address) {
            return;
        }
        // One of the older kind says itself what it leaves.
        if let [.., Context::Death(open), Context::Code] = self.contexts().as_mut_slice()
            && open.address == address
        {
            open.is_revived = value != 0;
            return;
        }
        // What a finalizer leaves: not 0 if its object lives on.
        if let Some(Context::Death(open)) = self.contexts().last_mut()
            && open.address == address
        {
            open.is_revived = value != 0;
            return;
        }
        self.set = Some((address, value));
    }

    pub(super) fn down<W: Write>(
        &mut self,
        address: u64,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        let has_called_back = std::mem::take(&mut self.has_called_back);
        if let Some(Context::Death(open)) = self.threads[self.thread].last_mut()
            && !has_called_back
        {
            let given_up = open.gives_up(address);
            // What was done before comes before.
            if matches!(given_up, GivenUp::InOrder | GivenUp::Chosen(_)) {
                self.tell_steps(writer);
                if let GivenUp::Chosen(at) = given_up {
                    writer.gives(at);
                }
                if let Some(Context::Death(open)) = self.threads[self.thread].last_mut() {
                    open.given_up += 1;
                }
            }
            if !matches!(given_up, GivenUp::Not) {
                return Ok(());
            }
        }
        match self.counted(address) {
            Some(object) => self.put(Step::Down(object), writer),
            None => Ok(()),
        }
    }
}
