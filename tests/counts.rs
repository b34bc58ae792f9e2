//! Interpreters that report counts, recorded: what happens in deaths that is out of the ordinary is predicted, too.

use crate::support::pythons::{Python, instrumented};
use crate::support::{replay, stderr, verify_json};

/// Records what begins with these lines on each interpreter that reports counts, and expects all to be as predicted.
fn is_identical(test: &str, program: &str) {
    ends_so(test, program, 0);
}

fn ends_so(test: &str, program: &str, status: i32) {
    let found = instrumented();
    if found.is_empty() {
        eprintln!("skipped: {test}: no instrumented CPython is here (cargo xtask python 3.13.5 builds one)");
    }
    for Python { path, version, .. } in found {
        let folder = tempfile::tempdir().unwrap();
        let mut record = replay();
        record.args(["record", "-o", "a.viv", "--"]).arg(&path).args(["-c", program]);
        let output = record.current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{test}, {version:?}: {}", stderr(&output));
        let (report, status) = verify_json(&folder.path().join("a.viv"));
        assert_eq!((report["tier"].as_str(), status), (Some("counts"), 0), "{test}, {version:?}: {report:#}");
        assert_eq!(report["verdict"], "identical", "{test}, {version:?}: {report:#}");
    }
}

/// The dealloc of a generator clears weak references, and closes it then.
#[test]
fn generators_are_closed_after_their_weak_references() {
    is_identical(
        "generators",
        r"
import weakref
class Last:
    def __del__(self): pass
def numbers():
    try:
        yield Last()
    finally:
        last = [Last()]
async def several():
    try:
        yield Last()
    finally:
        Last()
called = []
for make in (numbers, several):
    for n in range(3):
        one = make()
        weak = weakref.ref(one, lambda weak: called.append(Last()))
        if n: next(one) if make is numbers else one.__anext__().close()
        del one
assert len(called) == 6
",
    );
}

/// What a callback returns is given up by the dealloc that has called it, and may be what the dying object refers to: where
/// nothing is immortal, `None`.
#[test]
fn what_a_callback_returns_is_none_of_what_the_dying_object_gives_up() {
    is_identical(
        "what callbacks return",
        r"
import sys, weakref
called = []
sys.set_asyncgen_hooks(finalizer=called.append)
shared = ['shared']
async def several(nothing, other):
    yield 1
    yield 2
for n in range(3):
    for returned in (None, shared):
        one = several(None, shared)
        weak = weakref.ref(one, lambda weak: returned)
        try: one.__anext__().send(None)
        except StopIteration: pass
        del one
assert len(called) == 6
",
    );
}

/// A frame gives its code up when its memory is released: between two deaths that were put off, and are taken up.
#[test]
fn something_happens_between_deaths_that_are_taken_up() {
    is_identical(
        "between deaths that are taken up",
        r"
import sys
def frame(*held): return sys._getframe()
class Node(list): pass
for depth in (40, 60, 120, 300):
    one = frame()
    for n in range(depth): one = frame(one, frame())
    del one
    one = frame()
    for n in range(depth): one = Node([one, frame(frame()), frame()])
    holder = [one]; del one
    holder.clear()
",
    );
}

/// Its type has a finalizer from its base, and its dealloc does not call that.
#[test]
fn pairs_of_buffers_are_not_finalized() {
    is_identical(
        "pairs of buffers",
        r"
import io, weakref
class Raw(io.RawIOBase):
    def readable(self): return True
    def writable(self): return True
class Pair(io.BufferedRWPair): pass
for n in range(3):
    for kind in (io.BufferedRWPair, Pair):
        pair = kind(Raw(), Raw())
        weak = weakref.ref(pair, lambda weak: None)
        del pair
",
    );
}

/// Iterators tell their sources in one order, and give them up in another.
#[test]
fn iterators_give_up_in_their_own_order() {
    is_identical(
        "iterators",
        r"
import io, itertools
class Source:
    def __iter__(self): return self
    def __next__(self): return [self]
for make in (filter, itertools.dropwhile, itertools.takewhile, itertools.filterfalse, itertools.starmap):
    one = make(lambda *arguments: [one], Source())
    del one
one = itertools.chain([Source()], [Source()]); next(one); del one
one = itertools.accumulate(Source(), lambda old, new: new, initial=Source()); next(one); next(one); del one
slice([1000], [2000], [3000])
class Bytes(io.BytesIO): pass
one = Bytes(b'some of them'); one.attribute = Source(); del one
",
    );
}

/// What dies need not be of the type of which it was born.
#[test]
fn objects_change_their_types() {
    is_identical(
        "types that change",
        r"
import weakref
class Finalized:
    def __del__(self): pass
class Plain: pass
class Changes:
    def __del__(self): self.__class__ = Plain
for n in range(5):
    one = Finalized(); one.__class__ = Plain; one.other = two = Finalized(); two.__class__ = Plain; del one, two
    one = Plain(); one.__class__ = Finalized; del one
    Changes()
one = Plain()
proxies = [weakref.proxy(one, lambda proxy: None), weakref.proxy(Changes, lambda proxy: None)]
del one, proxies
",
    );
}

/// Weak references of what a class is made of are cleared after what the class has, those of type variables after all.
#[test]
fn weak_references_of_bases_are_cleared_late() {
    is_identical(
        "weak references of bases",
        r"
import collections, functools, typing, weakref
class Last:
    def __del__(self): pass
called = []
for base in (set, frozenset, collections.deque, functools.partial, collections.OrderedDict):
    made = type('Made', (base,), {'__slots__': ('one', 'two')})
    for n in range(3):
        one = made(print) if base is functools.partial else made()
        one.one, one.two = Last(), [Last()]
        weak = weakref.ref(one, lambda weak: called.append(Last()))
        del one
assert len(called) == 15
for make in typing.TypeVar, typing.ParamSpec, typing.TypeVarTuple:
    one = make('T')
    one.one, one.two = Last(), {3: [Last()]}
    weak = weakref.ref(one, lambda weak: called.append(Last()))
    del one
assert len(called) == 18
class Reference(weakref.ref): pass
one = Last()
weak = Reference(one, lambda weak: None)
weak.held = one
del one, weak
",
    );
}

/// Attributes are in their object, or in its dictionary once that was asked for.
#[test]
fn attributes_move_into_a_dictionary() {
    is_identical(
        "dictionaries of objects",
        r"
class Plain: pass
kept = []
for n in range(20):
    one = Plain(); one.a = [n]; one.b = Plain(); one.b.c = str(n) * 5
    if n % 2: '%(a)s' % one.__dict__
    if n % 3: kept.append(one.__dict__)
    del one
kept.clear()
# Its own type is in it; which is no object of the trace.
one = {'type': dict, 'other': [1000]}
del one
",
    );
}

/// Deaths that are put off are taken up inside of each other.
#[test]
fn deep_deaths_are_taken_up() {
    is_identical(
        "deep deaths",
        r"
import types
class Plain:
    def __init__(self, link): self.link = link
class Finalized(Plain):
    def __del__(self): pass
def method(link):
    return types.MethodType(len, [link])
def bound(link):
    return [link].append
for make in (lambda link: [link], lambda link: (link,), lambda link: {1: link}, Plain, Finalized, method, bound):
    link = None
    for n in range(20000): link = make(link)
    link = None
",
    );
}

/// What an iterator of a dictionary would still yield is asked of a copy that is nowhere.
#[test]
fn copies_on_the_stack_own_nothing() {
    is_identical(
        "iterators of dictionaries",
        r"
import copy
for source in ({n: [n] for n in range(10)}, {(n, n) for n in range(10)}):
    views = [source.items(), source.values()] if type(source) is dict else [source]
    for view in views:
        one = iter(view); next(one); one.__reduce__(); copy.copy(one)
",
    );
}

/// Memory of iterators of futures that is kept holds on to the type.
#[test]
fn futures_are_awaited() {
    is_identical(
        "futures",
        r"
import asyncio
async def work(n):
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, [n])
    return await future
async def main():
    await asyncio.gather(*(work(n) for n in range(20)))
asyncio.run(main())
",
    );
}

/// Finalizers of the older kind, which CPython's own tests can make.
#[test]
fn finalizers_of_the_older_kind() {
    is_identical(
        "finalizers of the older kind",
        r"
try:
    from _testcapi import with_tp_del
except ImportError:
    raise SystemExit
import gc, sys
kept = []
@with_tp_del
class Late:
    def __tp_del__(self):
        if len(kept) < 3: kept.append(self)
@with_tp_del
class Both:
    def __del__(self): pass
    def __tp_del__(self): [self]
for n in range(5):
    Late(); Both()
kept.clear()
kept.extend([0] * 3)
one = Late(); one.itself = one; del one
gc.collect()
gc.garbage.clear()
",
    );
}

/// A program may end in the middle of a death.
#[test]
fn the_end_in_a_finalizer() {
    ends_so(
        "an end in a finalizer",
        r"
import os
class Last:
    def __del__(self): os._exit(3)
one = [[Last(), {1: [2000]}]]
del one
",
        3,
    );
}
