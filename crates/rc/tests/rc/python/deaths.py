"""Builds a graph of objects, lets go of them one by one, and says which finalizers and callbacks ran.

Runs on CPython 2.7 and 3; the same seed makes the same graph on all.
"""
import gc
import sys
import weakref

gc.disable()


class Random(object):
    def __init__(self, seed):
        self.state = seed * 2654435761 % (1 << 32) or 1

    def below(self, end):
        self.state = (self.state * 1664525 + 1013904223) % (1 << 32)
        return (self.state >> 8) % end


random = Random(int(sys.argv[1]))
# A shape of its own for long chains, without finalizers: up to 3.10 the frames of those would end in the trashcan.
chain = int(sys.argv[2])
log = []
saved = []


class Plain(object):
    __slots__ = ("a", "b", "c", "n", "r", "__weakref__")


class Final(Plain):
    __slots__ = ()

    def __del__(self):
        log.append("F %d" % self.n)
        if self.r:
            self.r = 0
            saved.append(self)


def node(number):
    if not chain:
        count = random.below(4)
        members = [random.below(number) for _ in range(min(count, number))]
        kind = "IPLT"[random.below(4)]
    elif number % 2 == 0:
        # Owned by the next one alone: it dies before or after the rest of the chain.
        members, kind = [], "P"
    else:
        members = [number - 1] if number == 1 else [number - 2, number - 1]
        if random.below(2):
            members.reverse()
        kind = "PLT"[random.below(3)]
    inner = [nodes[member] for member in members]
    print(" ".join(["N", str(number), kind] + [str(member) for member in members]))
    if kind == "L":
        return inner
    # An empty tuple is nobody's own.
    if kind == "T" and inner:
        return tuple(inner)
    new = Final() if kind == "I" else Plain()
    new.n = number
    new.r = 0
    if kind == "I" and random.below(4) == 0:
        new.r = 1
        print("R %d" % number)
    for name, member in zip("abc", inner):
        setattr(new, name, member)
    return new


def callback(number):
    return lambda _: log.append("C %d" % number)


def report():
    # The end of a container that nothing is outside of: what an instance left in the trashcan goes now.
    tuple([1])
    for line in log:
        print(line)
    del log[:]


nodes = []
watches = []
size = 2 * chain or 30
for number in range(size):
    nodes.append(node(number))
for number in range(size):
    if isinstance(nodes[number], Plain):
        for _ in range(random.below(3) + (chain > 0)):
            print("W %d %d" % (len(watches), number))
            watches.append(weakref.ref(nodes[number], callback(len(watches))))

order = list(range(size))
if chain:
    # All but the last are held by the next one only.
    order.remove(size - 1)
    order.append(size - 1)
else:
    for last in range(size - 1, 0, -1):
        other = random.below(last + 1)
        order[last], order[other] = order[other], order[last]
for number in order:
    print("D %d" % number)
    nodes[number] = None
    report()
while saved:
    print("D %d" % saved[-1].n)
    saved.pop()
    report()
