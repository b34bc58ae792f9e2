"""Measures which lines of a library run while it is used."""
import io
import shutil
import sys

import coverage
import trees

folder = trees.copied(60)
sys.path.insert(0, folder)
for name in trees.NAMES:
    if name in ("textwrap", "pprint", "csv", "tokenize", "difflib", "configparser"):
        sys.modules.pop(name, None)
measured = coverage.Coverage(include=[folder + "/*"], data_file=None, branch=True)
measured.start()
import csv  # noqa: E402
import difflib  # noqa: E402
import pprint  # noqa: E402
import textwrap  # noqa: E402

text = "A line with some words in it. " * 20
for turn in range(int(sys.argv[1])):
    lines = textwrap.wrap(text[turn % 30 :], 30 + turn % 9)
    data = pprint.pformat({"lines": lines, "numbers": list(range(60))})
    difference = list(difflib.unified_diff(lines, textwrap.wrap(text, 33)))
    rows = list(csv.DictReader(io.StringIO(u"a,b\n" + u"1,2\n" * 40)))
measured.stop()
report = io.StringIO()
print(measured.report(file=report) > 0, len(difference) > 0, len(rows), len(data) > 0)
shutil.rmtree(folder)
