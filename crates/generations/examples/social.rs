//! People who know each other, in groups that are left alone after a while: what counting cannot free, the heap does.
//!
//! ```console
//! $ cargo run --release -p generations --example social
//! ```

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use generations::{Generation, Heap};
use rc::{Ref, Trace, Visitor, Weak};

struct Person {
    name: String,
    /// Both ways: each of them is a cycle.
    knows: RefCell<Vec<Ref<Person>>>,
    farewells: Rc<Cell<u32>>,
}

impl Trace for Person {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.knows.traverse(visitor);
    }

    fn clear_refs(&self) {
        self.knows.clear_refs();
    }

    fn finalize(this: &Ref<Self>) {
        this.farewells.set(this.farewells.get() + 1);
    }
}

/// A group of people who all know each other; one of them is returned.
fn group(heap: &Heap, number: u32, farewells: &Rc<Cell<u32>>) -> Ref<Person> {
    let people: Vec<_> = (0..8)
        .map(|person| {
            heap.alloc(Person {
                name: format!("person {person} of group {number}"),
                knows: RefCell::default(),
                farewells: farewells.clone(),
            })
        })
        .collect();
    for one in &people {
        one.knows.borrow_mut().extend(people.iter().filter(|other| *other != one).cloned());
    }
    people[0].clone()
}

fn main() {
    let heap = Heap::default();
    let farewells = Rc::new(Cell::new(0));
    let mut recent: Vec<Ref<Person>> = Vec::new();
    let mut first: Option<Weak<Person>> = None;
    for number in 0..20_000 {
        let person = group(&heap, number, &farewells);
        first.get_or_insert_with(|| Ref::downgrade(&person));
        recent.push(person);
        if recent.len() > 100 {
            recent.remove(0);
        }
    }
    println!("{} people were, {} are left, without a collection asked for:", 160_000, heap.tracked());
    for (generation, stats) in Generation::ALL.iter().zip(heap.stats()) {
        let (number, many, collected) = (generation.number(), stats.collections, stats.collected);
        println!("  generation {number}: {many} collections, {collected} collected");
    }
    assert!(heap.tracked() < 20_000 && heap.stats()[0].collections > 10);

    let outcome = heap.collect();
    println!("asked for: {} more; {} farewells in all", outcome.collected, farewells.get());
    assert_eq!((heap.tracked(), farewells.get()), (800, 160_000 - 800));
    assert!(first.is_some_and(|first| first.upgrade().is_none()));

    println!("{} says goodbye", recent[0].name);
    drop(recent);
    drop(heap); // collects what is left
    assert_eq!(farewells.get(), 160_000);
}
