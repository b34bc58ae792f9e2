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
    ByTracer(Box<Objects>),
    /// By an interpreter that reports changes of counts.
    ByHook(Box<Counts>),
    /// By the collector's lists.
    ByCollector(Box<Collections>),
}

impl Told {
    pub(super) fn of(header: &Header) -> Self {
        let version = &header.interpreter.version;
        if header.tier == Tier::Collections {
            return Self::ByCollector(Box::new(Collections::new(version)));
        }
        if header.tier < Tier::Counts {
            return Self::ByTracer(Box::new(Objects::new(version)));
        }
        let rules = minor_version(version).and_then(|(major, minor)| Rules::for_cpython(major, minor));
        let gives_deposits = rules.is_some_and(|rules| rules.trashcan == Trashcan::Given);
        Self::ByHook(Box::new(Counts::new(version, gives_deposits)))
    }

    /// Whether nothing is told any more.
    pub(super) fn is_lost(&self) -> bool {
        match self {
            Self::ByTracer(objects) => objects.is_lost,
            Self::ByHook(counts) => counts.is_lost,
            Self::ByCollector(_) => false,
        }
    }

    /// Tells of a mark that may stand in front of a death.
    pub(super) fn mark<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match self {
            Self::ByTracer(objects) => objects.call(writer),
            Self::ByHook(counts) => counts.mark(writer),
            Self::ByCollector(_) => Ok(()),
        }
    }

    #[inline]
    pub(super) fn call<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match self {
            Self::ByTracer(objects) => objects.call(writer),
            Self::ByHook(counts) => counts.call(writer),
            Self::ByCollector(_) => Ok(()),
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
            Self::ByTracer(objects) => objects.release(block, address, writer),
            Self::ByHook(counts) => counts.release(block, address, writer),
            Self::ByCollector(collections) => {
                collections.release(address);
                Ok(false)
            }
        }
    }

    pub(super) fn released<W: Write>(&mut self, block: Block, writer: &mut Writer<W>) {
        match self {
            Self::ByTracer(objects) => objects.released(block, writer),
            Self::ByHook(counts) => counts.released(writer),
            Self::ByCollector(_) => {}
        }
    }

    pub(super) fn push<W: Write>(
        &mut self,
        event: ObjectEvent,
        addresses: &Addresses,
        writer: &mut Writer<W>,
    ) -> Result<(), trace::Error> {
        match self {
            Self::ByTracer(objects) => objects.push(event, addresses, writer),
            Self::ByHook(counts) => counts.push(event, addresses, writer),
            Self::ByCollector(collections) => collections.push(event, addresses, writer),
        }
    }

    pub(super) fn end<W: Write>(&mut self, writer: &mut Writer<W>) -> Result<(), trace::Error> {
        match self {
            Self::ByTracer(objects) => objects.end(writer),
            Self::ByHook(counts) => counts.end(writer),
            Self::ByCollector(_) => Ok(()),
        }
    }
}
