//! The contract on a heap of indices: objects are rows of a table, and no pointer is in sight.
//!
//! A table of cells, lent as `&Table`, so that finalizers may use it while deaths go on.
//!
//! ```console
//! $ cargo run -p rc --example table_heap
//! ```

use std::cell::{Cell, RefCell};

use rc::{CountError, Death, Deaths, Heap, Rules};

#[derive(Default)]
struct Row {
    name: &'static str,
    count: Cell<u64>,
    owns: RefCell<Vec<usize>>,
    /// Where it asks to be put when it dies, if it does.
    last_wish: Cell<Option<usize>>,
}

#[derive(Default)]
struct Table {
    rows: RefCell<Vec<Row>>,
}

impl Table {
    /// A new row, which counts one reference.
    fn add(&self, name: &'static str) -> usize {
        let mut rows = self.rows.borrow_mut();
        rows.push(Row { name, count: Cell::new(1), ..Row::default() });
        rows.len() - 1
    }

    /// `owner` takes over a reference to `member`.
    fn own(&self, owner: usize, member: usize) {
        self.rows.borrow()[owner].owns.borrow_mut().push(member);
    }

    fn name(&self, row: usize) -> &'static str {
        self.rows.borrow()[row].name
    }
}

impl Heap for &Table {
    type Id = usize;

    fn count(&self, row: usize) -> u64 {
        self.rows.borrow()[row].count.get()
    }

    fn set_count(&mut self, row: usize, word: u64) {
        self.rows.borrow()[row].count.set(word);
    }

    // As CPython's lists: the last one first.
    fn release_next(&mut self, row: usize) -> Option<usize> {
        self.rows.borrow()[row].owns.borrow_mut().pop()
    }

    fn take_finalizer(&mut self, row: usize) -> bool {
        self.rows.borrow()[row].last_wish.get().is_some()
    }
}

/// Does what deaths ask for, and says so.
fn run(mut table: &Table, deaths: &mut Deaths<usize>) -> Result<Vec<String>, CountError<usize>> {
    let mut said = Vec::new();
    while let Some(death) = deaths.next(&mut table)? {
        match death {
            Death::Begin(_) | Death::Pause => {}
            Death::Finalize(row) => {
                let wish = table.rows.borrow()[row].last_wish.take();
                if let Some(place) = wish {
                    deaths.increment(&mut table, row)?;
                    table.own(place, row);
                    said.push(format!("{} goes to {}", table.name(row), table.name(place)));
                }
                deaths.finished(&mut table)?;
            }
            Death::Callback(_) => unreachable!("this table has no weak references"),
            Death::Free(row) => said.push(format!("{} is free", table.name(row))),
        }
    }
    Ok(said)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rules = Rules::for_cpython(3, 14).ok_or("3.14 is known")?;
    let (table, mut deaths) = (&Table::default(), Deaths::new(rules));
    let [house, room, cat, street] = ["house", "room", "cat", "street"].map(|name| table.add(name));
    table.own(house, room);
    table.own(room, cat);
    table.rows.borrow()[cat].last_wish.set(Some(street));

    deaths.decrement(&mut &*table, house)?;
    let said = run(table, &mut deaths)?;
    println!("without the house: {}", said.join(", "));
    assert_eq!(said, ["cat goes to street", "room is free", "house is free"]);

    deaths.decrement(&mut &*table, street)?;
    let said = run(table, &mut deaths)?;
    println!("without the street: {}", said.join(", "));
    assert_eq!(said, ["cat is free", "street is free"]);

    // A chain of a million, without recursion.
    let mut head = table.add("link");
    for _ in 1..1_000_000 {
        let next = table.add("link");
        table.own(next, head);
        head = next;
    }
    deaths.decrement(&mut &*table, head)?;
    let mut freed = 0_u32;
    while let Some(Death::Free(_)) = deaths.next(&mut &*table)? {
        freed += 1;
    }
    println!("and a chain of {freed}");
    assert_eq!(freed, 1_000_000);
    Ok(())
}
