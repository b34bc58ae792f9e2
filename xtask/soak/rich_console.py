"""Draws tables, trees, Markdown and highlighted code into a string."""
import io
import sys

import trees
from rich.console import Console
from rich.markdown import Markdown
from rich.syntax import Syntax
from rich.table import Table
from rich.tree import Tree

for turn in range(int(sys.argv[1])):
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    table = Table("name", "value", title="turn %d" % turn)
    for n in range(60):
        table.add_row("[bold]row %d[/]" % n, "x " * (n % 40))
    console.print(table)
    tree = Tree("root")
    for n in range(20):
        tree.add("branch %d" % n).add("leaf :leaves:")
    console.print(tree)
    console.print(Markdown("# Title\n\n* one\n* two\n\n`code` and **bold**\n" * 5))
    console.print(Syntax(trees.source(trees.modules(1)[0])[:3000], "python", line_numbers=True))
    console.print({"a": list(range(50)), "b": {"c": "text" * 9}})
    print(len(console.file.getvalue()))
