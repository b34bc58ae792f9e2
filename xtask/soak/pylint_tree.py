"""Lints modules with all checks."""
import io
import shutil
import sys

import trees
from pylint.lint import Run
from pylint.reporters.text import TextReporter

folder = trees.copied(int(sys.argv[1]))
output = io.StringIO()
try:
    import os

    paths = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    Run(["--persistent=n", "--score=n"] + paths, reporter=TextReporter(output), exit=False)
finally:
    shutil.rmtree(folder)
print(len(output.getvalue().splitlines()) > 10)
