"""Measures modules of the standard library: tokens, functions, nesting, names used, bytes of code.

    syntax.py [MODULES]

Each module is tokenized, parsed to a syntax tree, walked and compiled, and then all of that is dropped again: memory
grows with each module and is given back before the next.
"""
from __future__ import print_function

import ast
import io
import os
import sys
import tokenize
from collections import Counter

MODULES = """bisect textwrap subprocess heapq contextlib shlex copy fnmatch glob queue string calendar
    cmd code csv dis getopt optparse pprint random sched shutil smtplib argparse tempfile threading
    zipfile tarfile pickle inspect datetime decimal difflib doctest""".split()
NESTS = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.With, ast.Try)


class Module:
    """What was found out about one module."""

    def __init__(self, name, text):
        self.name = name
        self.lines = text.count("\n")
        self.tokens = Counter(
            tokenize.tok_name[token[0]] for token in tokenize.generate_tokens(io.StringIO(text).readline)
        )
        tree = ast.parse(text, name)
        self.nodes = 0
        self.depth = 0
        self.functions = []
        self.names = Counter()
        self.walk(tree, 0)
        self.code = code_size(compile(tree, name, "exec"))

    def walk(self, node, depth):
        self.nodes += 1
        self.depth = max(self.depth, depth)
        if isinstance(node, ast.FunctionDef):
            self.functions.append((len(list(ast.walk(node))), node.name))
        elif isinstance(node, ast.Name):
            self.names[node.id] += 1
        for child in ast.iter_child_nodes(node):
            self.walk(child, depth + isinstance(child, NESTS))


def code_size(code):
    """Bytes of code in a code object and those inside of it."""
    inside = [constant for constant in code.co_consts if hasattr(constant, "co_code")]
    return len(code.co_code) + sum(code_size(one) for one in inside)


def sources(count):
    """Names and texts of modules of this interpreter; those that it does not have are left out."""
    folder = os.path.dirname(os.__file__)
    names = (MODULES * (count // len(MODULES) + 1))[:count]
    for name in names:
        path = os.path.join(folder, name + ".py")
        if os.path.exists(path):
            with io.open(path, encoding="utf-8") as file:
                yield name, file.read()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    names = Counter()
    print("%-12s %6s %7s %7s %5s %7s  %s" % ("module", "lines", "tokens", "nodes", "depth", "code", "largest function"))
    for name, text in sources(count):
        module = Module(name, text)
        names.update(module.names)
        size, largest = max(module.functions or [(0, "-")])
        print("%-12s %6d %7d %7d %5d %7d  %s (%d nodes)" % (
            name, module.lines, sum(module.tokens.values()), module.nodes, module.depth, module.code, largest, size,
        ))
        # Not the sum of what has been, but of what is: only the names are kept.
        del module
    common = sorted(names.items(), key=lambda item: (-item[1], item[0]))[:8]
    print("most used: " + ", ".join("%s (%d)" % item for item in common))


if __name__ == "__main__":
    main()
