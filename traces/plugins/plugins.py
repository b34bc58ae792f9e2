"""An application that loads, uses and unloads plugins: modules and classes that die, each with its knot of references."""

import gc
import sys
import types

SOURCE = """
import sys

registry = {}

class Meta(type):
    def __new__(meta, name, bases, body):
        cls = super().__new__(meta, name, bases, body)
        registry[name] = cls
        return cls

class Plugin(metaclass=Meta):
    instances = []
    version = VERSION
    def __init__(self, host):
        self.host = host
        self.instances.append(self)
        self.handlers = {"start": self.start, "stop": self.stop}
    def start(self):
        return len(self.instances) + self.version
    def stop(self):
        self.instances.clear()
    @property
    def size(self):
        return len(self.handlers)

class Filter(Plugin):
    __slots__ = ("rule",)
    def __init__(self, host, rule):
        super().__init__(host)
        self.rule = rule
    def start(self):
        return super().start() + sum(1 for item in self.host.items if self.rule(item))

class Writer(Plugin):
    def __init__(self, host):
        super().__init__(host)
        self.lines = []
        self.line = lambda text: self.lines.append((text, self))
    def start(self):
        for item in self.host.items:
            self.line(str(item))
        return len(self.lines)
    def __del__(self):
        self.host.finished.append(len(self.lines))

def decorated(function):
    def wrapper(*arguments):
        wrapper.calls += 1
        return function(*arguments)
    wrapper.calls = 0
    return wrapper

@decorated
def setup(host):
    plugins = [Filter(host, lambda item: item % (VERSION + 2) == 0), Writer(host)]
    return sum(plugin.start() for plugin in plugins)
"""


class Host(object):
    """What plugins are loaded into."""

    def __init__(self, items):
        self.items = list(range(items))
        self.modules = {}
        self.finished = []

    def load(self, name, version):
        """Compiles and runs a plugin as a module of its own."""
        module = types.ModuleType(name)
        module.VERSION = version
        module.__dict__["host"] = self
        exec(compile(SOURCE, name, "exec"), module.__dict__)
        self.modules[name] = module
        return module

    def unload(self, name):
        del self.modules[name]


def record(name, fields):
    """A class made at run time, as for the rows of a table, and a few of its objects, which it knows."""
    cls = type(name, (object,), {"__slots__": fields, "fields": fields, "rows": []})
    for at in range(4):
        row = cls()
        for field in fields:
            setattr(row, field, at)
        cls.rows.append(row)
    return cls


class Legacy(object):
    """A base whose subclasses go before it; the last one of each round stays a while."""

    kept = []

    def __init_subclass__(cls):
        cls.table = {"cls": cls, "bases": cls.__mro__}


def derive(depth):
    cls = Legacy
    for level in range(depth):
        cls = type("Level%d" % level, (cls,), {"up": cls, "name": lambda self: type(self).__name__})
    return cls


def main(size):
    gc.set_threshold(600, 4, 3)
    host = Host(10)
    started = 0
    for number in range(size):
        name = "plugin%d" % (number % 4)
        if name in host.modules:
            host.unload(name)
        started += host.load(name, number % 7).setup(host)
        record("Record%d" % number, ("id", "name", "value")[: number % 3 + 1])
        Legacy.kept.append(derive(number % 3 + 1)())
        del Legacy.kept[:-3]
        if number % 12 == 11:
            # Old ones only: the young ones wait.
            gc.collect()
        elif number % 5 == 4:
            gc.collect(1)
    for name in sorted(host.modules):
        host.unload(name)
    del Legacy.kept[:]
    gc.collect()
    print(started, len(host.finished), len(Legacy.__subclasses__()))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 36)
