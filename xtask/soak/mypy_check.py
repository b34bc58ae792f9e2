"""Checks the types of a tree of modules, without a cache."""
import shutil
import sys

import trees
from mypy import api

folder = trees.copied(int(sys.argv[1]))
try:
    output, errors, status = api.run(
        ["--no-incremental", "--cache-dir=/dev/null", "--follow-imports=silent", "--no-site-packages", folder]
    )
finally:
    shutil.rmtree(folder)
print(output.splitlines()[-1:], errors, status)
sys.exit(status > 1)
