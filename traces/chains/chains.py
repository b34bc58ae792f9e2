"""Structures that die at once: lists of nodes, and boxes in boxes, far deeper than deaths may be inside each other."""

import sys


class Node(object):
    """A node of a linked list."""

    __slots__ = ("value", "next")

    def __init__(self, value, following):
        self.value = value
        self.next = following


class Folder(object):
    """A folder with folders in it."""

    def __init__(self, name, depth):
        self.name = name
        self.children = [Folder(name + str(at), depth - 1) for at in range(3)] if depth else []
        self.by_name = dict((child.name, child) for child in self.children)


def linked(length):
    node = None
    for value in range(length):
        node = Node([value], node)
    return node


def boxed(box, depth):
    inner = []
    for level in range(depth):
        inner = box(inner, level)
    return inner


def longest(node):
    length = 0
    while node is not None:
        length += 1
        node = node.next
    return length


def main(size):
    for length in (10, 49, 50, 51, 60, size):
        node = linked(length)
        assert longest(node) == length
        # A second owner of the middle: the rest lives on.
        middle = node
        for _ in range(length // 2):
            middle = middle.next
        del node
        assert longest(middle) == length - length // 2
    boxes = [
        boxed(lambda inner, level: [inner, level], size),
        boxed(lambda inner, level: (inner, [level]), size),
        boxed(lambda inner, level: {"inner": inner, level: None}, size),
        boxed(lambda inner, level: Node(level, [inner]), size),
        boxed(lambda inner, level: frozenset([(level,)]) if level == 0 else (inner, level), size),
    ]
    while boxes:
        boxes.pop()
    root = Folder("f", 5)
    names = sorted(root.by_name)
    del root
    print(size, names)


main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
