//! The interface where nothing can be recorded: a session cannot be made, so nothing else can be called.

use std::process::Command;
use std::time::Duration;

use crate::{Claim, Drained, End, Error, Event, SessionOptions, Sink, State, Status};

/// A recording to be. It cannot be made on this system.
#[derive(Debug)]
pub enum Session {}

/// Reads the events of a session. It cannot be made on this system.
#[derive(Debug)]
pub enum Consumer {}

/// The forks of a recorded process. It cannot be made on this system.
#[derive(Clone, Debug)]
pub enum Forks {}

impl Forks {
    /// Never called.
    pub fn is_replaced(&self, _: u64) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn is_shared(&self, _: u64) -> bool {
        match *self {}
    }
}

impl Session {
    /// Returns [`Error::Unsupported`].
    pub fn new(_: &SessionOptions) -> Result<Self, Error> {
        Err(Error::Unsupported)
    }

    /// Never called.
    pub fn configure(&self, _: &mut Command) {
        match *self {}
    }

    /// Never called.
    pub fn accept(&mut self, _: Duration) -> Result<Option<Consumer>, Error> {
        match *self {}
    }

    /// Never called.
    pub fn has_processes(&self) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn unrecorded(&self) -> u32 {
        match *self {}
    }

    /// Never called.
    pub fn close(&self) {
        match *self {}
    }

    /// Never called.
    pub fn into_consumer(self) -> Consumer {
        match self {}
    }
}

impl Consumer {
    /// Never called.
    pub fn drain(&mut self, _: &mut impl FnMut(Event)) -> Result<Drained, Error> {
        match *self {}
    }

    /// Never called.
    pub fn drain_rest(&mut self, _: &mut impl FnMut(Event)) -> Result<Drained, Error> {
        match *self {}
    }

    /// Never called.
    pub fn drain_into(&mut self, _: &mut impl Sink) -> Result<Drained, Error> {
        match *self {}
    }

    /// Never called.
    pub fn drain_rest_into(&mut self, _: &mut impl Sink) -> Result<Drained, Error> {
        match *self {}
    }

    /// Never called.
    pub fn follow(&mut self, _: &mut impl FnMut(Event), _: impl FnMut() -> bool) -> Result<End, Error> {
        match *self {}
    }

    /// Never called.
    pub fn pid(&self) -> u32 {
        match *self {}
    }

    /// Never called.
    pub fn number(&self) -> u32 {
        match *self {}
    }

    /// Never called.
    pub fn forks(&self) -> Forks {
        match *self {}
    }

    /// Never called.
    pub fn wait(&mut self, _: Duration) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn claim(&self) -> Option<Claim> {
        match *self {}
    }

    /// Never called.
    pub fn child_has_ended(&mut self) {
        match *self {}
    }

    /// Never called.
    pub fn state(&mut self) -> State {
        match *self {}
    }

    /// Never called.
    pub fn status(&self) -> Status {
        match *self {}
    }

    /// Never called.
    pub fn position(&self) -> u64 {
        match *self {}
    }
}
