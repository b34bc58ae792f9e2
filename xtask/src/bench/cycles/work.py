# The graphs of `work.rs`, in Python: nanoseconds by object of a second collection, in which all live, and of one in which
# all is garbage; then the memory that was resident before and at most, and what the garbage was.
import gc, sys, time

class Node:
    __slots__ = ("a", "b", "c", "value")

def links(shape, at, many, shuffled):
    def random(salt, below):
        return ((((at * 3 + salt) * 0x9E3779B97F4A7C15) % 2**64) >> 20) % below
    following = (at + 1) % many
    if shape in ("lists", "instances"):
        return (following, random(1, many), None)
    if shape == "tuples":
        return (random(1, at), random(2, at), None) if shuffled else (at - 1, at // 2, None)
    if shape == "linked":
        return (following, (at - 1) % many, None)
    if shape == "tree":
        return (2 * at + 1 if 2 * at + 1 < many else None, 2 * at + 2 if 2 * at + 2 < many else None,
                (at - 1) // 2 if at else None)
    return (following, random(1, many), random(2, many))

def made(many, shuffled):
    order = list(range(many))
    if shuffled:
        state = 88172645463325252
        for at in range(many - 1, 0, -1):
            state ^= (state << 13) % 2**64
            state ^= state >> 7
            state ^= (state << 17) % 2**64
            other = state % (at + 1)
            order[at], order[other] = order[other], order[at]
    return order

def timed(many):
    start = time.thread_time()
    found = gc.collect()
    return (time.thread_time() - start) * 1e9 / many, found

def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) * 1024

def instances(shape, many, shuffled, order):
    objects = []
    for value in range(many):
        node = Node()
        node.a = node.b = node.c = None
        node.value = 1.5
        objects.append(node)
    for at in range(many):
        node = objects[order[at]]
        a, b, c = links(shape, at, many, shuffled)
        if a is not None: node.a = objects[order[a]]
        if b is not None: node.b = objects[order[b]]
        if c is not None: node.c = objects[order[c]]
    return objects[order[0]], objects[::16]

def lists(shape, many, shuffled, order):
    objects = [[None, None] for _ in range(many)]
    for at in range(many):
        a, b, _ = links(shape, at, many, shuffled)
        objects[order[at]][:] = (objects[order[a]], objects[order[b]])
    return objects[order[0]], objects[::16]

def tuples(shape, many, shuffled, order):
    root = []
    objects, referred = [], [False] * many
    for at in range(many):
        if at == 0:
            objects.append((root, root))
            continue
        a, b, _ = links(shape, at, many, shuffled)
        referred[a] = referred[b] = True
        objects.append((objects[a], objects[b]))
    root[:] = [one for one, is_referred in zip(objects, referred) if not is_referred]
    return root, objects[::16]

def change(shape, root, some):
    if shape == "tuples":
        root.append(some[0])
        return
    for at in range(len(some)):
        following = some[(at + 1) % len(some)]
        if shape == "lists":
            some[at][1] = following
        else:
            some[at].c = following

def main(shape, many, shuffled):
    gc.disable()
    make = {"lists": lists, "tuples": tuples}.get(shape, instances)
    root, some = make(shape, many, shuffled, made(many, shuffled))
    gc.collect()
    change(shape, root, some)
    del some
    live_bytes = resident("VmRSS:")
    with open("/proc/self/clear_refs", "w") as marks:
        marks.write("5")
    live, _ = timed(many)
    del root
    dead, found = timed(many)
    assert found >= many, found
    print('{"live": %f, "dead": %f, "live_bytes": %d, "peak_bytes": %d, "version": "%s"}'
          % (live, dead, live_bytes, resident("VmHWM:"), ".".join(map(str, sys.version_info[:3]))))

main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "shuffled")
