//! Counts the events of a program: `cargo run --release --example count -- [--ring KIB] python3 …`.
//!
//! Its reader does nothing else, so that comparing with the unrecorded program shows what the hooks and the ring cost.

use std::process::{Command, ExitCode};
use std::time::Instant;

use record::{Event, Session, SessionOptions};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let mut options = SessionOptions::default();
    if arguments.next_if(|argument| argument == "--ring").is_some() {
        let size = arguments.next().and_then(|size| size.into_string().ok());
        options.ring_bytes = size.ok_or("--ring needs a number of KiB")?.parse::<usize>()? << 10;
    }
    let session = Session::new(&options)?;
    let mut command = Command::new(arguments.next().ok_or("what is to be recorded?")?);
    command.args(arguments);
    session.configure(&mut command);
    let started = Instant::now();
    let mut program = command.spawn()?;
    let mut consumer = session.into_consumer();
    let mut counts = [0_u64; 5];
    let mut count = |event| {
        let kind = match event {
            Event::Allocate { .. } => 0,
            Event::Resize { .. } => 1,
            Event::Release { .. } => 2,
            Event::ArenaAcquired { .. } | Event::ArenaReleased { .. } => 3,
            Event::Mark { .. } | Event::Forked { .. } | Event::Object(_) => 4,
        };
        counts[kind] += 1;
    };
    let end = consumer.follow(&mut count, || !matches!(program.try_wait(), Ok(None)))?;
    let status = program.wait()?;
    let seconds = started.elapsed().as_secs_f64();
    let [allocated, resized, released, arenas, marks] = counts;
    eprintln!(
        "{end:?} after {seconds:.3} s: {allocated} allocated, {resized} resized, {released} released, \
         {arenas} arenas, {marks} marks; {:?}; {:?}",
        consumer.status(),
        consumer.claim()
    );
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
