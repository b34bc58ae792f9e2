"""Builds a site of Markdown pages."""
import os
import shutil
import sys
import tempfile

from mkdocs.commands.build import build
from mkdocs.config import load_config

PAGE = """# Page {n}

Some *emphasis*, a [link](page{previous}.md) and `code`.

| a | b |
|---|---|
| {n} | 2 |

```python
def area(width, height):
    return width * height
```

* one
* two

    1. three
    2. four
"""

folder = tempfile.mkdtemp()
try:
    docs = os.path.join(folder, "docs")
    os.mkdir(docs)
    pages = int(sys.argv[1])
    for n in range(pages):
        with open(os.path.join(docs, "page%d.md" % n), "w") as file:
            file.write(PAGE.format(n=n, previous=(n - 1) % pages))
    with open(os.path.join(docs, "index.md"), "w") as file:
        file.write("# Garden\n")
    with open(os.path.join(folder, "mkdocs.yml"), "w") as file:
        file.write("site_name: Garden\n")
    build(load_config(os.path.join(folder, "mkdocs.yml")))
    print(sum(len(files) for _, _, files in os.walk(os.path.join(folder, "site"))))
finally:
    shutil.rmtree(folder)
