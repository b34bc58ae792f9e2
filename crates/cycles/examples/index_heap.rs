//! The collector on a heap of indices: objects are rows of a table, and no pointer is in sight.
//!
//! What a row is, the collector knows by the two `impl`s below; what is to be done, it tells `main`.
//!
//! ```console
//! $ cargo run -p cycles --example index_heap
//! ```

use bumpalo::Bump;
use cycles::{Collection, Containers, ListId, Lists, Place, Plan, Rules, Step};
use rc::{Death, Deaths, Heap};

const ROWS: ListId = ListId::new(0);

#[derive(Default)]
struct Row {
    name: &'static str,
    count: u64,
    owns: Vec<usize>,
    place: Place,
    /// What it says when it is about to be cleared.
    last_words: Option<&'static str>,
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    lists: Lists<usize>,
}

#[rustfmt::skip]
impl Heap for Table {
    type Id = usize;
    fn count(&self, row: usize) -> u64 { self.rows[row].count }
    fn set_count(&mut self, row: usize, word: u64) { self.rows[row].count = word }
    fn release_next(&mut self, row: usize) -> Option<usize> { self.rows[row].owns.pop() }
    fn take_finalizer(&mut self, row: usize) -> bool { self.rows[row].last_words.is_some() }
}

#[rustfmt::skip]
impl Containers for Table {
    fn traverse(&self, row: usize, visit: &mut impl FnMut(usize)) { self.rows[row].owns.iter().copied().for_each(visit) }
    fn place(&self, row: usize) -> Place { self.rows[row].place }
    fn set_place(&mut self, row: usize, place: Place) { self.rows[row].place = place }
    fn lists(&self) -> &Lists<usize> { &self.lists }
    fn lists_mut(&mut self) -> &mut Lists<usize> { &mut self.lists }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (rules, mut table) = (Rules::for_cpython(3, 14, 5).ok_or("3.14.5 is known")?, Table::default());
    let mut deaths = Deaths::new(rc::Rules::for_cpython(3, 14).ok_or("3.14 is known")?);

    // Nobody holds the parent but the children, one of whom has a toy; the window is held from outside.
    for (row, name) in ["parent", "anna", "ben", "toy", "window"].into_iter().enumerate() {
        table.rows.push(Row { name, ..Row::default() });
        cycles::track(&mut table, row, ROWS);
    }
    for (owner, member) in [(0, 1), (0, 2), (1, 0), (2, 0), (2, 3), (0, 4)] {
        table.rows[owner].owns.push(member);
        table.rows[member].count += 1;
    }
    table.rows[4].count += 1;
    table.rows[2].last_words = Some("tell them I was here");

    // All counts are above zero, for ever. But of the family, the collector sees, all references are its own.
    let plan = Plan { young: ROWS, old: ROWS, permanent: ListId::new(1), saves_all: false };
    let scratch = Bump::new();
    let (mut collection, ..) = Collection::begin(&mut table, plan, rules, &scratch)?;
    println!("{} of {} rows are garbage", collection.outcome().unreachable, collection.outcome().candidates);

    let mut freed = Vec::new();
    let outcome = loop {
        // What a step says is done here, outside of the collector: it may do anything to the table.
        let given_up = match collection.next(&mut table, &scratch)? {
            Step::Finalize(row) => {
                let words = table.rows[row].last_words.take().unwrap_or_default();
                println!("{}: \"{words}\"", table.rows[row].name);
                continue;
            }
            Step::Clear(row) => std::mem::take(&mut table.rows[row].owns),
            Step::Release(row) => vec![row],
            Step::Callback(_) | Step::Garbage(_) => unreachable!("no weak references, nothing is kept"),
            Step::Done(outcome) => break outcome,
        };
        for row in given_up {
            deaths.decrement(&mut table, row)?;
            while let Some(death) = deaths.next(&mut table)? {
                if let Death::Free(row) = death {
                    cycles::untrack(&mut table, row);
                    freed.push(table.rows[row].name);
                }
            }
        }
    };
    println!("freed by their counts: {}", freed.join(", "));
    assert_eq!(freed, ["anna", "toy", "ben", "parent"]);
    assert_eq!((outcome.collected, outcome.finalized, outcome.survivors), (4, 1, 1));
    Ok(())
}
