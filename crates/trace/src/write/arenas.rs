//! What is written of arenas: they are asked for and given back inside of events.

use std::io::Write;

use super::Writer;
use crate::event::ArenaChange;
use crate::varint;

impl<W: Write> Writer<W> {
    /// An arena was asked for inside the *next* event: its base, or that it was refused.
    ///
    /// Returns the arena's number, which is valid once that event is written.
    pub fn arena_requested(&mut self, base: Option<u64>) -> u64 {
        let waiting = self.pending.iter().filter(|(change, _)| matches!(change, ArenaChange::Acquired(_)));
        let arena = self.totals.arenas + waiting.count() as u64;
        self.pending.push(match base {
            Some(base) => (ArenaChange::Acquired(arena), base),
            None => (ArenaChange::Refused, 0),
        });
        arena
    }

    /// An arena was given back: inside the *next* event, which is a resize, or inside the last one.
    pub fn arena_released(&mut self, arena: u64, in_next_event: bool) {
        if in_next_event {
            self.pending.push((ArenaChange::Released(arena), 0));
        } else {
            self.push_arena(self.totals.events.saturating_sub(1), ArenaChange::Released(arena));
        }
    }

    fn push_arena(&mut self, event: u64, change: ArenaChange) {
        varint::write(&mut self.arenas, event - self.last_arena_event);
        self.last_arena_event = event;
        let code = match change {
            ArenaChange::Acquired(_) => 0,
            ArenaChange::Refused => 1,
            ArenaChange::Released(arena) => 1 + (self.totals.arenas - arena),
        };
        varint::write(&mut self.arenas, code);
        self.totals.arena_facts += 1;
    }

    #[cold]
    pub(super) fn put_pending(&mut self) {
        for (change, base) in std::mem::take(&mut self.pending) {
            match change {
                ArenaChange::Acquired(_) => {
                    let distance = base.cast_signed().wrapping_sub(self.last_base.cast_signed());
                    varint::write(&mut self.fetched, 1);
                    varint::write(&mut self.fetched, varint::fold(distance));
                    self.last_base = base;
                }
                ArenaChange::Refused => varint::write(&mut self.fetched, 0),
                ArenaChange::Released(_) => {}
            }
            self.push_arena(self.totals.events, change);
            self.totals.arenas += u64::from(matches!(change, ArenaChange::Acquired(_)));
        }
    }
}
