"""Accounts with their entries: very many tuples and dictionaries, most of which cannot be part of any cycle."""

import gc
import sys


class Account(object):
    """What was paid in and out."""

    def __init__(self, name, book):
        self.name = name
        self.book = book
        self.entries = []
        self.totals = {}

    def post(self, day, amount):
        # Strings and numbers only, and tuples of these: they leave the collector's lists.
        self.entries.append((day, amount, ("posted", self.name)))
        self.totals[day] = self.totals.get(day, 0) + amount


class Book(object):
    """All accounts, which know the book."""

    def __init__(self, names):
        self.accounts = {name: Account(name, self) for name in names}
        self.days = []
        self.rates = {name: len(name) / 7 for name in names}

    def close(self, day):
        """A day's report, in all sorts of containers."""
        rows = tuple((name, account.totals.get(day, 0)) for name, account in self.accounts.items())
        # One that has the book in it stays on the lists, and so does what has it.
        signed = (day, rows, (self, rows))
        table = {name: amount for name, amount in rows}
        nested = {"day": day, "table": table, "rows": rows}
        self.days.append((day, rows, table, nested, signed))
        return sum(amount for _, amount in rows)


class Sparse(object):
    """Its objects have few attributes, which share their names: dictionaries of another kind."""

    def __init__(self, number):
        self.number = number
        self.pair = (number, str(number))


def deep(levels):
    """Tuples in tuples: a collection takes off one level at a time, or all, as they lie on the list."""
    inner = ("leaf", levels)
    for level in range(levels):
        inner = (inner, level)
    return inner


def outer(levels):
    """The same, but the outermost first on the list."""
    parts = [[level] for level in range(levels)]
    whole = tuple(tuple(part) for part in parts)
    return whole, dict(enumerate(whole))


def main(size):
    gc.set_threshold(500, 4, 3)
    names = ["account%d" % number for number in range(12)]
    books, kept, total = [Book(names)], [], 0
    for day in range(size):
        book = books[-1]
        for at, account in enumerate(book.accounts.values()):
            if (day + at) % 3 == 0:
                account.post("day%d" % day, at * 10 + day % 7)
        total += book.close("day%d" % day)
        kept.append((deep(day % 9), outer(day % 6)))
        sparse = Sparse(day)
        # A look into it makes a dictionary of it.
        kept.append(vars(sparse) if day % 2 else sparse)
        table = {"a": day, "b": (day, "x"), "c": {"d": day}}
        kept.append(table)
        if day % 8 == 0:
            # A dictionary that had left the lists comes back with something that can be in cycles.
            back = [item for item in kept[-40:] if isinstance(item, dict)]
            back[0]["back"] = [kept]
        if day % 30 == 29:
            books.append(Book(names))
            gc.collect(1)
        if day % 70 == 69:
            gc.collect()
            del kept[:40], books[:1]
    del books[:]
    gc.collect()
    print(total, len(kept))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 240)
