"""Every way of being born, dying and coming back that Python code can ask for."""
import asyncio
import collections
import copy
import dataclasses
import gc
import json
import pickle
import re
import sys
import threading
import weakref


class Node:
    def __init__(self, *others):
        self.others = list(others)


def deep(depth):
    """Chains that the trashcan must cut, of several types."""
    for wrap in (lambda x: [x], lambda x: (x, 1), lambda x: {"x": x}, Node):
        chain = None
        for _ in range(depth):
            chain = wrap(chain)
        del chain


class Lazarus:
    """Comes back once."""
    back = []

    def __del__(self):
        self.back.append(self)


def revived():
    for _ in range(100):
        Lazarus()
    assert len(Lazarus.back) == 100
    Lazarus.back.clear()
    for _ in range(100):
        one = Lazarus()
        one.me = one
    del one
    gc.collect()
    assert len(Lazarus.back) == 100
    Lazarus.back.clear()
    gc.collect()


def called_back():
    calls = []
    nodes = [Node() for _ in range(100)]
    references = [weakref.ref(node, calls.append) for node in nodes]
    del nodes
    assert len(calls) == 100
    nodes = [Node() for _ in range(100)]
    for node in nodes:
        node.others.append(node)
    references += [weakref.ref(node, calls.append) for node in nodes]
    del nodes, node
    gc.collect()
    assert len(calls) == 200
    weakref.finalize(Lazarus, print, end="")


def resized():
    text = ""
    data = b""
    for number in range(2000):
        text += str(number)
        text += "\N{SNOWMAN}" if number % 100 == 0 else ""
        data += bytes([number % 256])
    assert tuple(x for x in range(1000) if x % 3)
    assert len(bytes(iter(range(200)))) == 200
    assert ("%d " * 500) % tuple(range(500))
    [1.5] * 1000, (None, text) * 100, text * 3


def copied():
    ordered = collections.OrderedDict.fromkeys("abc")
    for things in ({"a": 1, "b": 2}, {3, 4, 5}, ordered, (1, 2), [6, 7], "89"):
        iterator = iter(things)
        next(iterator)
        assert list(copy.copy(iterator)) == list(iterator)
    assert list(pickle.loads(pickle.dumps(iter({1: 2}.items())))) == [(1, 2)]


def interned():
    names = [sys.intern("name%d" % number) for number in range(1000)]
    again = [sys.intern("name%d" % number) for number in range(1000)]
    assert all(a is b for a, b in zip(names, again))


def generators():
    def count():
        try:
            yield from range(10)
        finally:
            collections.deque(range(10), 3)
    for _ in range(100):
        next(count())
    kept = [count() for _ in range(10)]
    for one in kept:
        next(one)
        one.throw


@dataclasses.dataclass(order=True)
class Point:
    x: float
    y: float = 0.0


def classes():
    for number in range(50):
        kind = type("Kind%d" % number, (Point,), {"__slots__": ("z",)})
        point = kind(number)
        point.z = kind
        assert sorted([point, kind(-1)])[0].x == -1
    exec("def f(a, *b, c=1, **d): return lambda: (a, b, c, d)\nf(1, 2, e=3)()")
    for _ in range(20):
        try:
            raise ValueError(Point(1))
        except ValueError as error:
            kept = error
    return kept


def threads():
    def work():
        for number in range(2000):
            found = re.findall(r"(\w+)=(\d+)", "a=1 b=%d" % number)
            assert json.loads(json.dumps(dict(found)))
    all_threads = [threading.Thread(target=work) for _ in range(4)]
    for one in all_threads:
        one.start()
    for one in all_threads:
        one.join()


async def tasks():
    queue = asyncio.Queue()

    async def work(number):
        await asyncio.sleep(0)
        await queue.put(number)
        return number
    assert sum(await asyncio.gather(*(work(number) for number in range(200)))) == sum(range(200))
    late = asyncio.ensure_future(asyncio.sleep(100))
    await asyncio.sleep(0)
    late.cancel()


def numbers():
    total = 0
    for number in range(20000):
        total += number * 1.5 - number // 7 + (number << 70 & 1)
    assert complex(total) ** 2
    assert 3 ** 500 % 7


for way in (revived, called_back, resized, copied, interned, generators, classes, threads, numbers):
    way()
deep(100000)
asyncio.run(tasks())
gc.freeze()
gc.unfreeze()
Lazarus()
