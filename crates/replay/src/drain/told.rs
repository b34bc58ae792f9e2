//! What is known of objects, by how it is told.

use std::io::Write;

use rc::{Rules, Trashcan};
use record::ObjectEvent;
use trace::{Block, Header, Tier, Writer};

use super::addresses::Addresses;
use super::collections::Collections;
use super::counts::Counts;
use super::objects::Objects;
use crate::kinds::minor_version;

/// What is known of objects, by how it is told.
pub(super) enum Told {
    /// By the reference tracer, if at all.
    Tracer(Box<Objects>),
    /// By an interpreter that reports changes of counts.
    Hook(Box<Counts>),
    /// By the collector's lists.
    Collector(Box<Collections>),
}

impl Told {
    pub(super) fn of(header: &Header) -> Self {
        let version = &header.interpreter.version;
        if header.tier == Tier::Collections {
            return Self::Collector(Box::new(Collections::new(version)));
        }
        if header.tier < Tier::Counts {
            return Self::Tracer(Box::new(Objects::new(version)));
        }
        let rules = minor_version(version).and_then(|(major, minor)| Rules::for_cpython(major, minor));
        let gives_deposits = rules.is_some_and(|rules| rules.trashcan == Trashcan::Given);
        Self::Hook(Box::new(Counts::new(version, gives_deposits)))
    }

    /// Whether nothing is told any more.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::Tracer(objects) => objects.is_lost,
            Self::Hook(counts) => counts.is_lost,
            Self::Collector(_) => false,
        }
    }

    /// Tells of a mark that may stand in front of a death.
    pub(super) fn mark<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match self {
            Self::Tracer(objects) => objects.call(writer),
            Self::Hook(counts) => counts.mark(writer),
            Self::Collector(_) => Ok(()),
        }
    }

    #[inline]
    pub(super) fn call<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match self {
            Self::Tracer(objects) => objects.call(writer),
            Self::Hook(counts) => counts.call(writer),
            Self::Collector(_) => Ok(()),
        }
    }

    /// A block was allocated.
    #[inline]
    pub(super) fn allocated(&mut self, address: u64) {
        if let Self::Collector(collections) = self {
            collections.allocated(address);
        }
    }

    /// A block was resized, and may have moved.
    pub(super) fn resized(&mut self, old: u64, new: u64) {
        if let Self::Collector(collections) = self {
            collections.resized(old, new);
        }
    }

    #[inline]
    pub(super) fn release<W: Write>(
        &mut self,
        block: Block,
        address: u64,
        writer: &mut Writer<W>,
    ) -> Result<bool, trace::Error> {
        match self {
            Self::Tracer(objects) => objects.release(block, address, writer),
            Self::Hook(counts) => counts.release(block, address, writer),
            Self::Collector(collections) => {
                collections.release(address, writer);
                Ok(false)
            }
        }
    }

    pub(super) fn released<W: Write>(&mut self, block: Block, writer: &mut Writer<W>) {
        match self {
            Self::Tracer(objects) => objects.released(block, writer),
            Self::Hook(counts) => counts.released(writer),
            Self::Collector(_) => {}
        }
    }

    pub(super) fn push<W: Write>(
        &mut self,
        event: ObjectEvent,
        addresses: &mut Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        match self {
            Self::Tracer(objects) => objects.push(event, addresses, writer),
            Self::Hook(counts) => counts.push(event, addresses, writer),
            Self::Collector(collections) => collections.push(event, addresses, writer),
        }
    }

    pub(super) fn end<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match self {
            Self::Tracer(objects) => objects.end(writer),
            Self::Hook(counts) => counts.end(writer),
            Self::Collector(_) => Ok(()),
        }
    }
}
