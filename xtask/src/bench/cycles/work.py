# The graphs of `work.rs`, in Python: nanoseconds by object of a second collection, in which all live, and of one in which
# all is garbage; then the most memory that was resident, and what the garbage was.
import gc, sys, time

class Node:
    __slots__ = ("a", "b", "c", "value")

def links(shape, at, many):
    if shape == "ring":
        return ((at + 1) % many, (at - 1) % many, None)
    if shape == "tree":
        return (2 * at + 1 if 2 * at + 1 < many else None, 2 * at + 2 if 2 * at + 2 < many else None,
                (at - 1) // 2 if at else None)
    def random(salt):
        return ((((at * 3 + salt) * 0x9E3779B97F4A7C15) % 2**64) >> 20) % many
    return ((at + 1) % many, random(1), random(2))

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
    start = time.process_time()
    found = gc.collect()
    return (time.process_time() - start) * 1e9 / many, found

def main(shape, many, shuffled):
    gc.disable()
    order = made(many, shuffled)
    objects = []
    for value in range(many):
        node = Node()
        node.a = node.b = node.c = None
        node.value = 1.5
        objects.append(node)
    for at in range(many):
        node = objects[order[at]]
        a, b, c = links(shape, at, many)
        if a is not None: node.a = objects[order[a]]
        if b is not None: node.b = objects[order[b]]
        if c is not None: node.c = objects[order[c]]
    root = objects[order[0]]
    some = objects[::16]
    del objects, order, node
    gc.collect()
    del some
    live, _ = timed(many)
    del root
    dead, found = timed(many)
    assert found >= many, found
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    print('{"live": %f, "dead": %f, "peak_bytes": %d, "version": "%s"}'
          % (live, dead, peak * 1024, ".".join(map(str, sys.version_info[:3]))))

main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "shuffled")
