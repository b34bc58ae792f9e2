//! What is known of objects: of their births and deaths, by how these are told, and of the collector's lists.

use std::io::Write;

use rc::{Rules, Trashcan};
use record::ObjectEvent;
use trace::{Block, Header, Tier, Writer};

use super::addresses::Addresses;
use super::collections::Collections;
use super::counts::Counts;
use super::objects::Objects;
use crate::kinds::minor_version;

/// What is known of objects.
pub(super) struct Told {
    pub(super) teller: Teller,
    /// What is known of the collector's lists, if they are told.
    collector: Option<Box<Collections>>,
}

/// By whom births and deaths are told.
pub(super) enum Teller {
    /// They are not.
    Nobody,
    /// By the reference tracer.
    Tracer(Box<Objects>),
    /// By an interpreter that reports changes of counts.
    Hook(Box<Counts>),
}

impl Told {
    pub(super) fn of(header: &Header) -> Self {
        let version = &header.interpreter.version;
        let teller = match header.tier {
            Tier::Objects => Teller::Tracer(Box::new(Objects::new(version))),
            Tier::Counts => {
                let rules =
                    minor_version(version).and_then(|(major, minor)| Rules::for_cpython(major, minor));
                let gives_deposits = rules.is_some_and(|rules| rules.trashcan == Trashcan::Given);
                Teller::Hook(Box::new(Counts::new(version, gives_deposits)))
            }
            _ => Teller::Nobody,
        };
        let collector = header.has_collections().then(|| Box::new(Collections::new(version)));
        Self { teller, collector }
    }

    /// Of a process of which no objects are told.
    pub(super) fn nothing() -> Self {
        Self { teller: Teller::Nobody, collector: None }
    }

    /// Whether nothing is told any more.
    pub(super) fn is_lost(&self) -> bool {
        match &self.teller {
            Teller::Nobody => false,
            Teller::Tracer(objects) => objects.is_lost,
            Teller::Hook(counts) => counts.is_lost,
        }
    }

    /// What the reference tracer tells of, unless what is told just now of objects is what a collection looks at.
    #[inline]
    pub(super) fn of_deaths(&mut self) -> Option<&mut Objects> {
        match &mut self.teller {
            Teller::Tracer(objects)
                if !self.collector.as_ref().is_some_and(|collections| collections.is_telling()) =>
            {
                Some(objects)
            }
            _ => None,
        }
    }

    /// Tells of a mark that may stand in front of a death.
    pub(super) fn mark<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match &mut self.teller {
            Teller::Nobody => Ok(()),
            Teller::Tracer(objects) => objects.call(writer),
            Teller::Hook(counts) => counts.mark(writer),
        }
    }

    #[inline]
    pub(super) fn call<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match &mut self.teller {
            Teller::Nobody => Ok(()),
            Teller::Tracer(objects) => objects.call(writer),
            Teller::Hook(counts) => counts.call(writer),
        }
    }

    /// A block was allocated for an object.
    #[inline]
    pub(super) fn allocated(&mut self, address: u64, size: u64) {
        if let Some(collections) = &mut self.collector {
            collections.allocated(address, size);
        }
    }

    /// A block was resized, and may have moved.
    pub(super) fn resized(&mut self, old: u64, new: u64) {
        if let Some(collections) = &mut self.collector {
            collections.resized(old, new);
        }
    }

    /// An object is about to be told to be born at an address.
    #[inline]
    pub(super) fn is_born<W: Write>(&mut self, address: u64, writer: &mut Writer<W>) {
        if let Some(collections) = &mut self.collector {
            collections.is_born(address, writer);
        }
    }

    /// The deallocation of an object begins.
    #[inline]
    pub(super) fn begins_to_die(&mut self, address: u64) {
        if let Some(collections) = &mut self.collector {
            collections.begins_to_die(address);
        }
    }

    #[inline]
    pub(super) fn release<W: Write>(
        &mut self,
        block: Block,
        address: u64,
        writer: &mut Writer<W>,
    ) -> Result<bool, trace::Error> {
        if let Some(collections) = &mut self.collector {
            collections.release(address, writer);
        }
        match &mut self.teller {
            Teller::Nobody => Ok(false),
            Teller::Tracer(objects) => objects.release(block, address, writer),
            Teller::Hook(counts) => counts.release(block, address, writer),
        }
    }

    pub(super) fn released<W: Write>(&mut self, block: Block, writer: &mut Writer<W>) {
        match &mut self.teller {
            Teller::Nobody => {}
            Teller::Tracer(objects) => objects.released(block, writer),
            Teller::Hook(counts) => counts.released(writer),
        }
    }

    pub(super) fn push<W: Write>(
        &mut self,
        event: ObjectEvent,
        addresses: &mut Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        if let Some(collections) = &mut self.collector {
            if collections.is_its(event) {
                return collections.push(event, addresses, writer);
            }
            // Types are described once, to both.
            if matches!(event, ObjectEvent::Type(_) | ObjectEvent::TypeFlags(_) | ObjectEvent::TypeName(_)) {
                collections.push(event, addresses, writer)?;
            }
            match event {
                ObjectEvent::Born { object, .. } => collections.is_born(object, writer),
                ObjectEvent::BeginsToDie(object) => collections.begins_to_die(object),
                _ => {}
            }
        }
        match &mut self.teller {
            Teller::Nobody => Ok(()),
            Teller::Tracer(objects) => objects.push(event, addresses, writer),
            Teller::Hook(counts) => counts.push(event, addresses, writer),
        }
    }

    pub(super) fn end<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match &mut self.teller {
            Teller::Nobody => Ok(()),
            Teller::Tracer(objects) => objects.end(writer),
            Teller::Hook(counts) => counts.end(writer),
        }
    }
}
