//! Policies that never collect by themselves.

use super::{Alarm, Plan, Policy, Why};
use crate::counters::Counters;
use crate::generation::Generation;

/// Collects what it is asked to, when it is asked to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manual;

impl Policy for Manual {
    fn alarm(&self) -> Alarm {
        Alarm::NEVER
    }

    fn plan(&mut self, _counters: &Counters, why: Why) -> Option<Plan> {
        match why {
            Why::Alarm => None,
            Why::Request(generation) => Some(Plan::whole(generation)),
            Why::Exit => Some(Plan::whole(Generation::OLD)),
        }
    }
}

/// Collects nothing, whoever asks: what would a program's memory be by counting alone?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Never;

impl Policy for Never {
    fn alarm(&self) -> Alarm {
        Alarm::NEVER
    }

    fn plan(&mut self, _counters: &Counters, _why: Why) -> Option<Plan> {
        None
    }
}
