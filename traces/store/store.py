"""A store of values in memory that answers commands, and saves itself from a forked child while it goes on.

The child has the store as it was at the fork, at no cost, and writes it down; a child of that one reads what was written
and compares.
"""

import json
import os
import sys


class Random(object):
    """A linear congruential generator: the same numbers on every version."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % limit


class Store(object):
    def __init__(self):
        self.values = {}

    def execute(self, line):
        words = line.split(" ")
        return getattr(self, "do_" + words[0])(*words[1:])

    def do_set(self, key, value):
        self.values[key] = value
        return "ok"

    def do_get(self, key):
        return self.values.get(key, "nothing")

    def do_increment(self, key):
        value = self.values.get(key, "0")
        if not isinstance(value, str) or not value.isdigit():
            return "not a number"
        self.values[key] = str(int(value) + 1)
        return self.values[key]

    def do_push(self, key, *items):
        values = self.values.get(key)
        if not isinstance(values, list):
            values = self.values[key] = []
        values.extend(items)
        if len(values) > 50:
            del values[:25]
        return str(len(values))

    def do_field(self, key, name, value):
        fields = self.values.get(key)
        if not isinstance(fields, dict):
            fields = self.values[key] = {}
        fields[name] = value
        return str(len(fields))

    def do_delete(self, key):
        return "ok" if self.values.pop(key, None) is not None else "nothing"

    def do_keys(self, prefix):
        return " ".join(sorted(key for key in self.values if key.startswith(prefix)))


def commands(random, count):
    """What clients ask for."""
    for _ in range(count):
        key = "%s:%d" % (("user", "page", "queue", "session")[random.below(4)], random.below(count // 4 + 1))
        what = random.below(16)
        if what < 5:
            yield "set %s %s" % (key, "x" * random.below(90))
        elif what < 8:
            yield "get %s" % key
        elif what < 10:
            yield "increment %s" % key
        elif what < 12:
            yield "push %s %d %d" % (key, random.below(999), random.below(999))
        elif what < 14:
            yield "field %s name%d %d" % (key, random.below(9), random.below(10**6))
        elif what < 15:
            yield "delete %s" % key
        elif random.below(100):
            yield "get %s" % key
        else:
            yield "keys user:%d" % random.below(100)


def wait(pid):
    status = os.waitpid(pid, 0)[1]
    if status:
        raise SystemExit("a child failed: %d" % status)


def save(store):
    """Forks a child that writes the store down; what the parent does meanwhile does not change it."""
    # The children are forked one after the other, whatever the scheduler does.
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        os.read(read, 1)
        os.close(read)
        return pid
    saved = json.dumps(store.values, sort_keys=True)
    checker = os.fork()
    if not checker:
        os.write(write, b".")
        os._exit(int(json.loads(saved) != store.values))
    os.close(write)
    wait(checker)
    os._exit(0)


def main():
    count = int(sys.argv[1])
    random = Random(count)
    store = Store()
    answered, savers = 0, []
    for number, line in enumerate(commands(random, count)):
        answered += len(store.execute(line))
        if number in (count // 3, 2 * count // 3):
            savers.append(save(store))
    for pid in savers:
        wait(pid)
    print("%d commands, %d characters answered, %d keys" % (count, answered, len(store.values)))


main()
