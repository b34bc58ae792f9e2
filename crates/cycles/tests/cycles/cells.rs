//! A heap of cells, which anybody may use at any time: it lends its lists to the collector for each call.

use std::cell::{Cell, RefCell, RefMut};

use bumpalo::Bump;
use cycles::{Collection, Containers, ListId, Lists, Place, Plan, Rules, Step};
use rc::Heap;

const ALL: ListId = ListId::new(0);

#[derive(Default)]
struct Row {
    count: Cell<u64>,
    owns: RefCell<Vec<usize>>,
    place: Cell<Place>,
    finalizes: Cell<bool>,
}

#[derive(Default)]
struct Table {
    rows: RefCell<Vec<Row>>,
    lists: RefCell<Lists<usize>>,
}

/// The table, as long as the collector is at work.
struct Lent<'a> {
    rows: RefMut<'a, Vec<Row>>,
    lists: RefMut<'a, Lists<usize>>,
}

impl Table {
    fn lend(&self) -> Lent<'_> {
        Lent { rows: self.rows.borrow_mut(), lists: self.lists.borrow_mut() }
    }

    /// What a program does, finalizers included.
    fn add(&self) -> usize {
        let row = self.rows.borrow().len();
        self.rows.borrow_mut().push(Row { count: Cell::new(1), ..Row::default() });
        cycles::track(&mut self.lend(), row, ALL);
        row
    }

    fn own(&self, owner: usize, member: usize) {
        self.rows.borrow()[owner].owns.borrow_mut().push(member);
    }
}

impl Heap for Lent<'_> {
    type Id = usize;

    fn count(&self, row: usize) -> u64 {
        self.rows[row].count.get()
    }

    fn set_count(&mut self, row: usize, word: u64) {
        self.rows[row].count.set(word);
    }

    fn release_next(&mut self, row: usize) -> Option<usize> {
        self.rows[row].owns.borrow_mut().pop()
    }

    fn take_finalizer(&mut self, row: usize) -> bool {
        self.rows[row].finalizes.take()
    }
}

impl Containers for Lent<'_> {
    fn traverse(&self, row: usize, visit: &mut impl FnMut(usize)) {
        self.rows[row].owns.borrow().iter().copied().for_each(visit);
    }

    fn place(&self, row: usize) -> Place {
        self.rows[row].place.get()
    }

    fn set_place(&mut self, row: usize, place: Place) {
        self.rows[row].place.set(place);
    }

    fn lists(&self) -> &Lists<usize> {
        &self.lists
    }

    fn lists_mut(&mut self) -> &mut Lists<usize> {
        &mut self.lists
    }
}

#[test]
fn a_heap_of_cells_lends_its_lists() {
    let table = Table::default();
    let [one, other] = [table.add(), table.add()];
    table.own(one, other);
    table.own(other, one);
    table.rows.borrow()[one].finalizes.set(true);
    let (plan, scratch) = (Plan { young: ALL, old: ALL, permanent: ALL, saves_all: false }, Bump::new());
    let rules = Rules::for_cpython(3, 13, 0).unwrap();
    let (mut collection, ..) = Collection::begin(&mut table.lend(), plan, rules, &scratch).unwrap();
    assert_eq!(collection.next(&mut table.lend(), &scratch), Ok(Step::Finalize(one)));
    // Nothing is lent now: a finalizer allocates, and holds on to what was garbage.
    let new = table.add();
    table.own(new, other);
    table.rows.borrow()[other].count.set(2);
    assert_eq!(collection.next(&mut table.lend(), &scratch), Ok(Step::Release(one)));
    table.rows.borrow()[one].count.set(1);
    let Ok(Step::Done(outcome)) = collection.next(&mut table.lend(), &scratch) else { panic!("all live on") };
    assert_eq!((outcome.resurrected, outcome.collected), (2, 0));
    // Both are reached from `other` now, which comes later: `one` was set aside first.
    assert_eq!(table.lists.borrow().iter(ALL).collect::<Vec<_>>(), [new, other, one]);
}
