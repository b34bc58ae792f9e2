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


def work(rounds, kept, name, handles=False):
    for number in range(rounds):
        node = ring(number % 6 + 2, name)
        if number % 7 == 0:
            kept.append(node)
            del kept[:-5]
        if handles and number % 11 == 0:
            Handle()


def search(size, kept):
    """Nothing is freed: what is found is kept. Answers what that was, by type."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    work(size // 2, kept, "b")
    gc.collect(0)
    work(size // 6, kept, "c")
    gc.collect()
    found = census(gc.garbage)
    half = gc.garbage[::2]
    del gc.garbage[:]
    gc.set_debug(0)
    # The ones that were found before are found again, as far as nobody holds them.
    gc.collect()
    del half[:]
    gc.collect()
    return found


def watched(size, kept):
    """The collector calls back when it begins, and when it ends."""
    watch = Watch()
    gc.callbacks.append(watch)
    work(size, kept, "g")
    gc.collect(1)
    gc.set_threshold(120, 2, 2)
    work(size // 2, kept, "h")
    gc.callbacks.remove(watch)
    return watch


def main(size):
    gc.set_threshold(300, 5, 4)
    kept = []
    work(size, kept, "a")
    found = search(size, kept)
    # Collections inside of finalizers are in vain.
    work(size, kept, "d", handles=True)
    gc.set_threshold(120, 2, 2)
    work(size // 2, kept, "e", handles=True)
    gc.disable()
    work(size // 2, kept, "f")
    gc.collect(2)
    gc.enable()
    watch = watched(size // 2, kept)
    del kept[:]
    gc.collect()
    print(sorted(found.items()), Handle.asked, watch.found > 0, len(watch.calls), len(gc.garbage))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 120)
