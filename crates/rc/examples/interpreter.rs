//! The objects of a tiny interpreter on typed pointers: numbers, lists, functions with their closures, instances
//! with attributes and a finalizer, weak references with callbacks. The program is written out as calls of what
//! bytecode would call; counting does the rest, and says who dies when.
//!
//! ```console
//! $ cargo run -p rc --example interpreter
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use rc::{AnyRef, PoolHeap, Ref, Slot, Trace, Visitor};

/// What the program prints.
type Output = Rc<RefCell<Vec<String>>>;

struct Int(i64);

impl Trace for Int {
    const REFERS: bool = false;

    fn traverse(&self, _: &mut Visitor<'_>) {}
}

#[derive(Default)]
struct List(RefCell<Vec<AnyRef>>);

impl Trace for List {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.0.traverse(visitor);
    }

    fn clear_refs(&self) {
        self.0.clear_refs();
    }
}

/// Code with what it has closed over: a cell that it shares with others.
struct Function {
    code: fn(&Interpreter, &Function, AnyRef) -> AnyRef,
    cell: Slot<Variable>,
}

struct Variable(RefCell<Option<AnyRef>>);

impl Trace for Variable {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.0.traverse(visitor);
    }

    fn clear_refs(&self) {
        self.0.clear_refs();
    }
}

impl Trace for Function {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.cell.traverse(visitor);
    }

    fn clear_refs(&self) {
        self.cell.clear_refs();
    }
}

/// A `__del__`.
type Finalizer = fn(&Ref<Instance>);

/// An instance with a `__dict__`, and with a `__del__` if its class has one.
struct Instance {
    class: &'static str,
    attributes: RefCell<BTreeMap<&'static str, AnyRef>>,
    del: Cell<Option<Finalizer>>,
    output: Output,
}

impl Trace for Instance {
    fn traverse(&self, visitor: &mut Visitor<'_>) {
        self.attributes.traverse(visitor);
    }

    fn clear_refs(&self) {
        self.attributes.clear_refs();
    }

    fn finalize(this: &Ref<Self>) {
        if let Some(del) = this.del.get() {
            del(this);
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.output.borrow_mut().push(format!("a {} is gone", self.class));
    }
}

struct Interpreter {
    heap: PoolHeap,
    output: Output,
    /// Numbers that everybody uses live for ever, and there is one of each.
    small: Vec<Ref<Int>>,
}

impl Interpreter {
    fn new() -> Self {
        let heap = PoolHeap::default();
        let small = (-5..=256).map(|value| heap.immortal(Int(value))).collect();
        Self { heap, output: Output::default(), small }
    }

    fn int(&self, value: i64) -> AnyRef {
        let small = usize::try_from(value + 5).ok().and_then(|at| self.small.get(at));
        small.cloned().unwrap_or_else(|| self.heap.alloc(Int(value))).into()
    }

    fn list(&self, items: impl IntoIterator<Item = AnyRef>) -> Ref<List> {
        self.heap.alloc(List(RefCell::new(items.into_iter().collect())))
    }

    fn instance(&self, class: &'static str, del: Option<Finalizer>) -> Ref<Instance> {
        self.heap.alloc(Instance {
            class,
            attributes: RefCell::default(),
            del: Cell::new(del),
            output: self.output.clone(),
        })
    }

    fn call(&self, function: &AnyRef, argument: AnyRef) -> Result<AnyRef, String> {
        let callee =
            function.downcast_ref::<Function>().ok_or_else(|| format!("{function:?} is no function"))?;
        // Held while it runs: it may drop the last reference to itself.
        let callee = callee.clone();
        Ok((callee.code)(self, &callee, argument))
    }

    fn print(&self, line: String) {
        self.output.borrow_mut().push(line);
    }
}

/// `def add(n): nonlocal total; total += n; return total`
fn add(interpreter: &Interpreter, function: &Function, argument: AnyRef) -> AnyRef {
    let Some(variable) = function.cell.get() else { return argument };
    let value = |object: Option<&AnyRef>| object.and_then(AnyRef::downcast_ref::<Int>).map_or(0, |int| int.0);
    let total = value(variable.0.borrow().as_ref()) + value(Some(&argument));
    let total = interpreter.int(total);
    // The old one dies here, when nothing is borrowed any more.
    let _old = variable.0.replace(Some(total.clone()));
    total
}

fn main() -> Result<(), String> {
    let interpreter = Interpreter::new();
    let heap = &interpreter.heap;
    let before = heap.live();

    // Closures that share a variable.
    let total = heap.alloc(Variable(RefCell::new(Some(interpreter.int(0)))));
    let adders: Vec<AnyRef> =
        (0..2).map(|_| heap.alloc(Function { code: add, cell: Slot::new(total.clone()) }).into()).collect();
    drop(total);
    for n in 1..=1000 {
        interpreter.call(&adders[n % 2], interpreter.int(i64::try_from(n).unwrap_or(0)))?;
    }
    let sum = interpreter.call(&adders[0], interpreter.int(0))?;
    interpreter.print(format!("total: {}", sum.downcast_ref::<Int>().map_or(0, |int| int.0)));
    drop((adders, sum));

    // An object that outlives its first death: `def __del__(self): survivors.append(self)`.
    let survivors = interpreter.list([]);
    let phoenix = interpreter.instance(
        "Phoenix",
        Some(|this| {
            let survivors = this.attributes.borrow().get("survivors").cloned();
            if let Some(list) = survivors.as_ref().and_then(AnyRef::downcast_ref::<List>) {
                this.output.borrow_mut().push("a Phoenix rises".to_owned());
                list.0.borrow_mut().push(this.clone().into());
            }
        }),
    );
    phoenix.attributes.borrow_mut().insert("survivors", survivors.clone().into());
    let output = interpreter.output.clone();
    let watch =
        Ref::watch(&phoenix, move || output.borrow_mut().push("callback: it will not rise again".into()));
    drop(phoenix);
    interpreter.print(format!("survivors: {}", survivors.0.borrow().len()));
    // The list owns it, and it owns the list: a cycle, which the program breaks.
    drop(survivors.0.take());

    // A list inside a list inside a list…
    let mut nested = interpreter.list([]);
    for _ in 0..1_000_000 {
        nested = interpreter.list([nested.into()]);
    }
    interpreter.print(format!("{} lists", heap.live() - before - 2));
    drop((nested, survivors));
    drop(watch);
    interpreter.print(format!("{} objects are left", heap.live() - before));

    let output = interpreter.output.take();
    println!("{}", output.join("\n"));
    assert_eq!(
        output,
        [
            "total: 500500",
            "a Phoenix rises",
            "survivors: 1",
            "callback: it will not rise again",
            "a Phoenix is gone",
            "1000001 lists",
            "0 objects are left",
        ]
    );
    Ok(())
}
