"""A spreadsheet whose cells watch each other through weak references: callbacks inside and outside of the garbage."""

import gc
import sys
import weakref


class Cell(object):
    """A value, and those who want to hear of it."""

    def __init__(self, name, value):
        self.name = name
        self.value = value
        self.watchers = []
        self.peers = []

    def watch(self, other, heard):
        """Hears of the end of another cell. The reference is this cell's, and goes with it."""
        self.watchers.append(weakref.ref(other, lambda reference, name=self.name: heard.append(name)))


class Sheet(object):
    """Cells in rows; each knows its neighbours, so that a sheet that is thrown away is one knot."""

    def __init__(self, number, width, height):
        self.cells = {}
        for row in range(height):
            for column in range(width):
                cell = Cell("%d:%d.%d" % (number, row, column), row * column)
                self.cells[row, column] = cell
                cell.sheet = self
                left, above = self.cells.get((row, column - 1)), self.cells.get((row - 1, column))
                cell.peers.extend(peer for peer in (left, above) if peer)


class Index(object):
    """All cells that there are, by name, as long as they are; notices when they go."""

    def __init__(self):
        self.by_name = weakref.WeakValueDictionary()
        self.views = weakref.WeakSet()
        self.ends = []
        self.order = []

    def add(self, sheet):
        for cell in sheet.cells.values():
            self.by_name[cell.name] = cell
        corner = sheet.cells[0, 0]
        self.views.add(corner)
        # Several for one cell: called the newest first, from outside of the garbage.
        self.ends.extend(weakref.ref(corner, lambda gone, at=at: self.order.append(at)) for at in range(3))
        del self.ends[:-12]


class Tracker(weakref.ref):
    """A weak reference that has something of its own, and is in the garbage it watches."""

    __slots__ = ("target",)

    def __new__(cls, target, callback):
        return super().__new__(cls, target, callback)

    def __init__(self, target, callback):
        super().__init__(target, callback)
        self.target = None


def lonely(heard):
    """A knot that has its own watchers inside: they are garbage, too, and never called."""
    first, second = Cell("first", 1), Cell("second", 2)
    first.peers.append(second)
    second.peers.append(first)
    first.watch(second, heard)
    second.watch(first, heard)
    first.tracker = Tracker(second, heard.append)
    first.tracker.target = first
    return first


def revive(kept, table):
    """A watcher outside which, when called, collects, and makes something new that lives on."""

    def callback(reference):
        gc.collect(1)
        kept.append((len(kept), [reference]))

    table.append(weakref.ref(Knot(), callback))


class Knot(object):
    """Itself a cycle."""

    def __init__(self):
        self.own = self


def main(size):
    gc.set_threshold(500, 5, 4)
    index = Index()
    outside, inside, kept, table = [], [], [], []
    audience = Cell("audience", 0)
    sheets = []
    for number in range(size):
        sheet = Sheet(number, number % 4 + 2, number % 3 + 2)
        index.add(sheet)
        # From outside: an old cell hears of a young one.
        audience.watch(sheet.cells[1, 1], outside)
        # From inside: they go together.
        sheet.cells[0, 1].watch(sheet.cells[1, 0], inside)
        if number % 3 == 0:
            lonely(inside)
        if number % 10 == 0:
            revive(kept, table)
        sheets.append(sheet)
        if len(sheets) > 8:
            del sheets[number % 5]
        del sheet
        if number % 50 == 49:
            gc.collect(1)
            del audience.watchers[:-20], table[:-2]
        if number == size // 2:
            # A second one with the same target, and one that is gone before it.
            extra = [weakref.ref(sheets[0], outside.append), weakref.ref(sheets[1], outside.append)]
            del extra[1:]
    del sheets[:]
    gc.collect()
    print(len(index.by_name), len(index.views), len(outside) > 0, inside, len(kept), len(index.order) % 3)


main(int(sys.argv[1]) if len(sys.argv) > 1 else 120)
