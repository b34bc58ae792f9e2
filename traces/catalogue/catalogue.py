"""A catalogue that is loaded once and then served: a large heap that lives long, frozen before the children would fork."""

import gc
import sys


class Entry(object):
    """A thing in the catalogue, in a tree of categories that know their parents."""

    __slots__ = ("name", "parent", "children", "tags", "related")

    def __init__(self, name, parent):
        self.name = name
        self.parent = parent
        self.children = []
        self.tags = {}
        self.related = None
        if parent is not None:
            parent.children.append(self)


def load(size):
    """Builds the tree without collections in between, as many a loader does."""
    root = Entry("root", None)
    entries = [root]
    for number in range(size):
        parent = entries[number * 7 % len(entries)]
        entry = Entry("entry%d" % number, parent)
        entry.tags["parent"] = parent.tags
        entry.related = entries[number * 3 % len(entries)]
        entries.append(entry)
    return entries


def grow(entries, number):
    """New entries come one by one: each full collection has to be worth its time."""
    for at in range(6):
        parent = entries[(number * 13 + at) % len(entries)]
        entry = Entry("new%d.%d" % (number, at), parent)
        entry.related = entry
        entries.append(entry)


def serve(entries, number):
    """Answers a request: a page that knows its parts, which know the page, and is garbage when it was sent."""
    page = {"title": "page%d" % number, "parts": []}
    entry = entries[number * 11 % len(entries)]
    while entry is not None and len(page["parts"]) < 12:
        page["parts"].append([entry.name, entry.children[:3], page])
        entry = entry.parent
    page["self"] = page["parts"]
    return len(page["parts"])


def main(size):
    gc.disable()
    entries = load(size)
    gc.enable()
    gc.set_threshold(200, 4, 2)
    parts = 0
    # Much is old, little is new: full collections are due, and held back.
    for number in range(size // 2):
        parts += serve(entries, number)
        if number % 10 == 0:
            grow(entries, number)
    gc.collect()
    gc.freeze()
    frozen = gc.get_freeze_count()
    # What is frozen is not looked at any more: less to hold back, and less to look at.
    for number in range(size // 3):
        parts += serve(entries, number)
        if number % 4 == 0:
            grow(entries, number)
    gc.unfreeze()
    for number in range(size // 6):
        parts += serve(entries, number)
        grow(entries, number)
    gc.collect(1)
    del entries[size // 2:]
    gc.collect()
    print(parts, len(entries), frozen > size, gc.get_freeze_count() < frozen)


main(int(sys.argv[1]) if len(sys.argv) > 1 else 900)
