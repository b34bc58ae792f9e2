"""Formats a tree of modules, one after the other."""
import sys

import black
import trees

mode = black.Mode(line_length=72)
changed = 0
for path in trees.modules(int(sys.argv[1])):
    source = trees.source(path)
    try:
        changed += black.format_str(source, mode=mode) != source
    except black.InvalidInput as error:
        # Syntax that is newer than the formatter.
        print(path, error)
print(changed, "changed")
