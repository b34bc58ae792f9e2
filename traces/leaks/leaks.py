"""A search for leaks: garbage is kept to be looked at, and callbacks watch the collector at work."""

import gc
import sys


class Node(object):
    """Something that leaks: a ring of these, with a list and a dictionary each."""

    def __init__(self, name):
        self.name = name
        self.peers = []
        self.table = {"peers": self.peers}


class Handle(object):
    """Something with a finalizer, which asks for a collection of its own: inside of one that is in vain."""

    asked = 0

    def __init__(self):
        self.own = self

    def __del__(self):
        Handle.asked += 1
        self.found = gc.collect()


def ring(length, name):
    nodes = [Node("%s%d" % (name, at)) for at in range(length)]
    for node, other in zip(nodes, nodes[1:] + nodes[:1]):
        node.peers.append(other)
    return nodes[0]


class Watch(object):
    """Called by the collector when it begins and when it ends."""

    def __init__(self):
        self.calls = []
        self.times = {}
        self.found = 0

    def __call__(self, phase, info):
        # What a callback makes is young, and looked at in the collection that it hears of.
        note = {"phase": phase, "generation": info["generation"]}
        note["self"] = note
        self.calls.append(note)
        del self.calls[:-8]
        key = phase, info["generation"]
        self.times[key] = self.times.get(key, 0) + 1
        self.found += info["collected"]


def census(garbage):
    """What the garbage is made of, by type."""
    kinds = {}
    for item in garbage:
        kinds.setdefault(type(item).__name__, []).append(item)
    return {name: len(items) for name, items in kinds.items()}


def work(rounds, kept, name):
    for number in range(rounds):
        node = ring(number % 6 + 2, name)
        if number % 7 == 0:
            kept.append(node)
            del kept[:-5]
        if number % 11 == 0:
            Handle()


def main(size):
    gc.set_threshold(300, 5, 4)
    kept = []
    work(size, kept, "a")
    # Nothing is freed, all is kept.
    gc.set_debug(gc.DEBUG_SAVEALL)
    work(size // 2, kept, "b")
    gc.collect(0)
    work(size // 6, kept, "c")
    gc.collect()
    first = census(gc.garbage)
    half = gc.garbage[::2]
    del gc.garbage[:]
    gc.set_debug(0)
    # The ones that were found before are found again.
    gc.collect()
    del half[:]
    gc.collect()
    watch = Watch()
    gc.callbacks.append(watch)
    work(size, kept, "d")
    gc.collect(1)
    # Collections inside of callbacks and finalizers are in vain, and by another threshold.
    gc.set_threshold(120, 2, 2)
    work(size // 2, kept, "e")
    gc.callbacks.remove(watch)
    gc.disable()
    work(size // 2, kept, "f")
    automatic = watch.times.get(("start", 0), 0)
    gc.collect(2)
    gc.enable()
    work(size // 4, kept, "g")
    del kept[:]
    gc.collect()
    print(sorted(first), Handle.asked, automatic > 0, watch.found > 0, len(gc.garbage))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 120)
