//! References on the evaluation stacks of suspended frames that are not counted, from CPython 3.14 on.

use std::process::Command;

use crate::collections::{fetched, record, replayed};
use crate::support::pythons::{Python, collectors};
use crate::support::verify_json;

/// Generators, coroutines and asynchronous generators that wait in the middle of expressions, and frames that exceptions keep: in
/// cycles of garbage, and held by others.
const PROGRAM: &str = r#"
import gc, sys
class Node:
    def __init__(self, number): self.number, self.links = number, []
    def take(self, *others):
        self.links.extend(other for other in others if isinstance(other, Node))
        return self
class Later:
    def __await__(self): yield self
def loops(items):
    for item in items: yield item
def calls(node, others):
    while True:
        node.take(node, (yield node), others)
def displays(node, others):
    yield [node, others, (yield), node]
    yield {"node": node, "others": (yield)}
def raises(node, depth):
    try:
        if depth: raises(node, depth - 1)
        raise ValueError(node)
    except ValueError as error:
        node.error = error
        raise
async def waits(node, later):
    return node.take(node, await later)
async def produces(node):
    while True:
        node.take(node, (yield node))
def one(number):
    node = Node(number)
    others = [node, Node(-number)]
    suspended = [loops(others), calls(node, others), displays(node, others), produces(node)]
    for generator in suspended[:3]: next(generator)
    suspended[1].send(others[1])
    node.suspended = suspended
    others[1].suspended = suspended if number % 2 else None
    try: suspended[3].asend(None).send(None)
    except StopIteration: pass
    node.coroutine = waits(node, Later())
    node.coroutine.send(None)
    try: raises(node, 3)
    except ValueError: pass
    return node, suspended
def main():
    kept = []
    for number in range(300):
        node, suspended = one(number)
        if number % 7 == 0: kept.append(suspended[number % 3])
        if number % 11 == 0: kept.append(node.coroutine)
        if number % 50 == 0: gc.collect()
    for generator in kept: generator.close()
    kept.clear()
    gc.collect()
gc.set_threshold(300, 3, 3)
sys.unraisablehook = lambda *_: None
main()
"#;

#[test]
fn references_on_stacks_that_are_not_counted_are_told_apart() {
    let newer = |python: &Python| python.version >= (3, 14, 5);
    for python in collectors("references that are not counted").into_iter().filter(newer) {
        let (_folder, path) = record(&python, "collections", PROGRAM);
        let (report, status) = verify_json(&path);
        assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{python:?} {report}");

        let (mut types, mut kinds, mut borrowers) = (Vec::new(), Vec::new(), Vec::new());
        let (all, firsts, verified) = replayed(&path, |frame| {
            types.extend(frame.collections.types.iter().map(|of| of.name.clone()));
            for graph in &frame.collections.graphs {
                kinds.extend(graph.arrivals.iter().map(|arrival| types[arrival.of as usize].clone()));
            }
        });
        assert_eq!(firsts, [None; 4]);
        let mut at = 0;
        replayed(&path, |frame| {
            for graph in &frame.collections.graphs {
                let told = graph.told.iter().filter(|told| !told.uncounted.is_empty());
                borrowers.extend(told.map(|told| (at, told.object)));
                at += 1;
            }
        });
        let kind_of = |object: u64| kinds[usize::try_from(object).unwrap()].as_str();
        for kind in ["generator", "async_generator"] {
            let of_kind = borrowers.iter().filter(|(_, object)| kind_of(*object) == kind).count();
            assert!(of_kind >= 100, "{python:?}: {of_kind} of {kind}");
        }

        // Any of them taken for a reference that is counted, in garbage: then something in it seems to be held. Generators
        // that are garbage are closed, which runs code; so what dies nevertheless does not count as verified.
        let in_garbage = |(which, object): &&(usize, u64)| all[*which].unreachable.contains(object);
        for &(which, object) in borrowers.iter().filter(in_garbage).step_by(97) {
            let (damaged, firsts, damaged_verified) = replayed(
                &path,
                fetched(which, |graph| {
                    let told = graph.told.iter_mut().filter(|told| told.object == object);
                    told.for_each(|told| _ = told.uncounted.pop());
                }),
            );
            assert!(damaged[which].unreachable.len() < all[which].unreachable.len(), "{python:?} {object}");
            let is_found = firsts.contains(&Some(which as u64));
            assert!(is_found || damaged_verified[1] < verified[1], "{python:?} {object}: {firsts:?}");
        }
        assert!(borrowers.iter().filter(in_garbage).count() > 97, "{python:?}");
    }
}

/// A type of an extension, as far as it needs no header: an object of it has one reference, and says of that what the interpreter
/// says of those on its stacks. With the lowest bit set it is not counted.
const EXTENSION: &str = r#"
typedef struct { long count; void *type; unsigned long reference; } Holder;
typedef int (*Visit)(void *, void *);
typedef struct { int slot; void *function; } Slot;
typedef struct { const char *name; int size, item_size; unsigned flags; Slot *slots; } Specification;

extern void *PyType_FromSpec(Specification *);
extern void *PyType_GenericAlloc(void *, long);
extern int _PyGC_VisitStackRef(unsigned long *, Visit, void *);

static int traverse(Holder *self, Visit visit, void *argument) {
    int result = visit(self->type, argument);
    if (!result && self->reference) result = _PyGC_VisitStackRef(&self->reference, visit, argument);
    return result;
}
static int clear(Holder *self) { self->reference = 0; return 0; }

static Slot slots[] = {{71, traverse}, {51, clear}, {0, 0}};
/* A base type, collected, allocated by its type, which it gives up. */
static Specification specification = {"extension.Holder", sizeof(Holder), 0, 1u << 10 | 1u << 14 | 1u << 18, slots};

void *make(void) { return PyType_FromSpec(&specification); }
void *borrow(void *type, long *node) {
    Holder *holder = PyType_GenericAlloc(type, 0);
    holder->reference = (unsigned long) node | 1;
    return holder;
}
"#;

/// Holders that are looked at behind what they refer to, which others hold: were theirs taken for counted, nobody would be seen to.
const HOLDERS: &str = r#"
import ctypes, gc, sys
extension = ctypes.PyDLL(sys.argv[1])
extension.make.restype = extension.borrow.restype = ctypes.py_object
extension.borrow.argtypes = [ctypes.py_object] * 2
Holder = extension.make()
class Node: pass
gc.collect()
def rounds():
    for number in range(50):
        nodes = [Node() for _ in range(20)]
        for node in nodes: node.other = Node()
        holders = [extension.borrow(Holder, node) for node in nodes[::2]]
        holders += [extension.borrow(Holder, node.other) for node in nodes[::3]]
        yield gc.collect(number % 3), holders, nodes
for _ in rounds(): pass
"#;

#[test]
fn references_that_an_extension_tells_of_as_on_stacks_are_told_apart() {
    let newer = |python: &Python| python.version >= (3, 15, 0);
    let folder = tempfile::tempdir().unwrap();
    let [source, library] = ["extension.c", "extension.so"].map(|name| folder.path().join(name));
    std::fs::write(&source, EXTENSION).unwrap();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).output();
    if !compiled.is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: references that an extension tells of: there is no C compiler (cc)");
    }
    let program = HOLDERS.replace("sys.argv[1]", &format!("{:?}", library.to_str().unwrap()));
    for python in collectors("references that an extension tells of").into_iter().filter(newer) {
        let (_recorded, path) = record(&python, "collections", &program);
        let (report, status) = verify_json(&path);
        assert_eq!((report["verdict"].as_str(), status), (Some("identical"), 0), "{python:?} {report}");
        let mut borrowed = 0;
        replayed(&path, |frame| {
            let told = frame.collections.graphs.iter().flat_map(|graph| graph.told.iter());
            borrowed += told.map(|told| told.uncounted.len()).sum::<usize>();
        });
        assert!(borrowed >= 500, "{python:?}: {borrowed}");
    }
}
