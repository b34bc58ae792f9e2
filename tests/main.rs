//! Tests of the whole: the command, the bundled traces, and real interpreters where there are some.

mod blind;
mod command;
mod corpus;
mod damage;
mod live;
mod statistics;
mod support;
