"""Builds a documentation of cross-referenced pages as HTML."""
import os
import shutil
import sys
import tempfile

from sphinx.cmd.build import main

PAGE = """
Page {n}
========

.. _page{n}:

See :ref:`page {previous} <page{previous}>`, :func:`area{n}` and :mod:`json`. A footnote [#]_, **bold**, ``code``.

.. py:function:: area{n}(width, height=1)

   The area.

   :param int width: how wide
   :returns: the product

.. code-block:: python

   def area{n}(width, height=1):
       \"\"\"The area.\"\"\"
       return [width * height for _ in range({n})]

.. list-table::

   * - one
     - two
   * - three
     - `four <https://example.org/{n}>`_

.. [#] The footnote of page {n}.
"""

folder = tempfile.mkdtemp()
try:
    source = os.path.join(folder, "source")
    os.mkdir(source)
    pages = int(sys.argv[1])
    with open(os.path.join(source, "conf.py"), "w") as file:
        file.write("project = 'garden'\nextensions = ['sphinx.ext.todo']\n")
    with open(os.path.join(source, "index.rst"), "w") as file:
        file.write("Garden\n======\n\n.. toctree::\n\n" + "".join("   page%d\n" % n for n in range(pages)))
    for n in range(pages):
        with open(os.path.join(source, "page%d.rst" % n), "w") as file:
            file.write(PAGE.format(n=n, previous=(n - 1) % pages))
    status = main(["-q", "-b", "html", source, os.path.join(folder, "built")])
    assert os.path.getsize(os.path.join(folder, "built", "page0.html")) > 1000
finally:
    shutil.rmtree(folder)
sys.exit(status)
