"""Completes names in modules: parses them and infers types."""
import sys

import jedi
import trees

found = 0
for path in trees.modules(int(sys.argv[1])):
    source = trees.source(path) + u"\nimport os, json\nos.path.j\njson.dumps('').s"
    script = jedi.Script(source)
    last = source.count(u"\n") + 1
    for line, column in ((last - 1, 9), (last, 16)):
        found += len(script.complete(line, column))
    found += len(script.get_names(all_scopes=True))
print(found)
