//! Looks that are kept and dropped in any order, and foreign code where a heap looks through its objects: each must be sound.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use pool::Geometry;
use rc::{Keeper, Look, Number, Ref, Registry, Surveyor, Trace, Visitor};

struct Nobody;

impl Keeper for Nobody {
    fn gone(&self, _: Number, _: u32) {}
}

fn registry() -> Registry {
    Registry::new(Geometry::for_cpython(3, 13, 0).unwrap(), Rc::new(Nobody))
}

/// So large that the global allocator serves it; says when it dies.
struct Large(Rc<Cell<u32>>, #[allow(dead_code)] [u8; 600]);

impl Large {
    fn new(died: &Rc<Cell<u32>>) -> Self {
        Self(died.clone(), [1; 600])
    }
}

impl Trace for Large {
    const FINALIZES: bool = false;
    const ORDERED: bool = false;
    fn traverse(&self, _: &mut Visitor<'_>) {}
}

impl Drop for Large {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[derive(Default)]
struct Told(Vec<u32>);

impl Surveyor for Told {
    fn counted(&mut self, _: usize, _: u64) -> bool {
        true
    }
    fn all_counted(&mut self, _: usize, _: &[u32]) {}
    fn outside(&mut self) -> &mut [u32] {
        &mut self.0
    }
    fn refer(&mut self, _: &[u32], _: &[u32]) {}
}

/// Runs something when it dies.
struct Dying(Cell<Option<Box<dyn FnOnce()>>>);

fn dying(run: impl FnOnce() + 'static) -> Dying {
    Dying(Cell::new(Some(Box::new(run))))
}

impl Trace for Dying {
    const FINALIZES: bool = false;
    const ORDERED: bool = false;
    fn traverse(&self, _: &mut Visitor<'_>) {}
}

impl Drop for Dying {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

type Run = Box<dyn FnMut(&mut Visitor<'_>)>;

/// Runs something when it is traversed.
struct Traversed(RefCell<Run>);

impl Trace for Traversed {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.0.borrow_mut()(visitor);
    }
}

type Looks = Rc<RefCell<Vec<Look<'static>>>>;

/// Looks that were made inside of deaths.
fn looks(registry: &'static Registry, many: usize) -> Looks {
    let looks = Looks::default();
    for _ in 0..many {
        let looks = looks.clone();
        drop(registry.alloc(dying(move || looks.borrow_mut().push(registry.look()))));
    }
    looks
}

/// Drops the last reference to an object in a survey: whether it died.
fn dies_in_survey(registry: &'static Registry, look: &Look<'_>, before: impl Fn() + 'static) -> bool {
    let died = Rc::new(Cell::new(0));
    let last = RefCell::new(Some(Ref::into_any(registry.alloc(Large::new(&died)).0)));
    let (seen, dies) = (Rc::new(Cell::new(false)), died.clone());
    let tells = seen.clone();
    let object = registry.alloc(Traversed(RefCell::new(Box::new(move |visitor| {
        before();
        if let Some(last) = last.take() {
            visitor.visit(&last);
            drop(last);
            tells.set(dies.get() > 0);
        }
    }))));
    look.survey(&[object.1.unwrap()], 1, &mut Told(vec![0]));
    seen.get()
}

#[test]
fn looks_from_deaths_dropped_in_survey() {
    let registry: &'static Registry = Box::leak(Box::new(registry()));
    let kept = looks(registry, 2);
    let look = registry.look();
    assert!(!dies_in_survey(registry, &look, move || drop(kept.take())));
}

#[test]
fn looks_from_deaths_dropped_before_survey() {
    let registry: &'static Registry = Box::leak(Box::new(registry()));
    let kept = looks(registry, 2);
    // What has waited for one makes another.
    while !kept.borrow().is_empty() {
        drop(kept.take());
    }
    let look = registry.look();
    assert!(!dies_in_survey(registry, &look, || ()));
}

#[test]
fn deaths_wait_for_looks_that_were_made_in_deaths() {
    let registry: &'static Registry = Box::leak(Box::new(registry()));
    let kept = looks(registry, 1);
    let died = Rc::new(Cell::new(0));
    let large = || registry.alloc(Large::new(&died));
    drop(large());
    assert_eq!(died.get(), 0);
    drop(kept.take());
    assert_eq!(died.get(), 1);
    // Among deaths that have been put off, the last one first.
    let (looks, more) = (kept.clone(), large());
    let looks = registry.alloc(dying(move || looks.borrow_mut().push(registry.look())));
    let look = registry.look();
    drop((more, looks));
    drop(look);
    assert_eq!((kept.borrow().len(), died.get()), (1, 1));
    drop(kept.take());
    assert_eq!(died.get(), 2);
    // Among what is let die together.
    let (looks, dies) = (kept.clone(), died.clone());
    let looks = registry.alloc(dying(move || looks.borrow_mut().push(registry.look())));
    let dies = registry.alloc(dying(move || dies.set(3)));
    let mut held = registry.hold([looks.1, dies.1].into_iter().flatten()).unwrap();
    drop((looks, dies));
    held.let_die();
    assert_eq!((held.died(), died.get()), (1, 2));
    drop(kept.take());
    held.let_die();
    assert_eq!((held.died(), died.get()), (2, 3));
}

#[test]
fn iterators_may_do_anything_while_one_holds() {
    let registry = registry();
    let died = Rc::new(Cell::new(0));
    let (last, number) = registry.alloc(Large::new(&died));
    let mut last = Some(last);
    let weak = Ref::downgrade(last.as_ref().unwrap());
    let numbers = std::iter::from_fn(|| {
        last.take()?;
        number
    });
    let held = catch_unwind(AssertUnwindSafe(|| registry.hold(numbers)));
    drop(held);
    assert_eq!(died.get(), 1);
    assert!(registry.get(number.unwrap()).is_none());
    assert!(weak.upgrade().is_none());
}

/// Does something whenever it is told how objects are counted.
struct Meddler<F>(Vec<u32>, F);

impl<F: FnMut(&[u32])> Surveyor for Meddler<F> {
    fn counted(&mut self, _: usize, word: u64) -> bool {
        self.1(&[u32::try_from(word).unwrap()]);
        true
    }
    fn all_counted(&mut self, _: usize, counts: &[u32]) {
        self.1(counts);
    }
    fn outside(&mut self) -> &mut [u32] {
        &mut self.0
    }
    fn refer(&mut self, _: &[u32], _: &[u32]) {}
}

#[test]
fn surveyors_may_do_anything_when_told_of_counts() {
    let registry = registry();
    let (died, traversed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut last: Vec<_> = (0..100).map(|_| registry.alloc(Large::new(&died))).collect();
    let traverses = traversed.clone();
    let watched =
        registry.alloc(Traversed(RefCell::new(Box::new(move |_| traverses.set(traverses.get() + 1)))));
    Ref::immortalize(&watched.0);
    // The first one is immortal, then there is none, and the last one is told of behind all that have lost their last reference.
    let mut numbers: Vec<Number> = last.iter().map(|(_, number)| number.unwrap()).collect();
    numbers.insert(0, watched.1.unwrap());
    numbers.insert(1, Number::new(1 << 20).unwrap());
    numbers.push(watched.1.unwrap());
    let (mut told, mut born) = (Vec::new(), Vec::new());
    {
        let look = registry.look();
        let mut surveyor = Meddler(vec![0; numbers.len()], |counts: &[u32]| {
            told.extend_from_slice(counts);
            // So many that whatever knows them by number has to move.
            born.extend((0..1000).map(|_| registry.alloc(Large::new(&died))));
            last.clear();
            let inner = registry.look();
            inner.survey(&numbers, 1, &mut Told(vec![0; numbers.len()]));
            drop(inner);
            assert_eq!(died.get(), 0);
        });
        look.survey(&numbers, 1, &mut surveyor);
    }
    assert_eq!(told.len(), numbers.len());
    assert_eq!(told[1..66], [1; 65]);
    assert_eq!(died.get(), 100);
    assert!(traversed.get() > 2);
    drop(born);
    assert_eq!(registry.numbered(), 1);
}
