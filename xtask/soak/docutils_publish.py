"""Publishes reStructuredText as HTML and as LaTeX."""
import sys

from docutils.core import publish_string

TEXT = u"""
Garden {n}
==========

A paragraph with *emphasis*, **strong**, ``literal``, a link_ and a footnote [1]_.

- one
- two

  1. three
  2. four

+-------+-------+
| a     | b     |
+=======+=======+
| {n:5} | *x*   |
+-------+-------+

.. note:: Be careful.

:field: value

.. _link: https://example.org/{n}
.. [1] The footnote.
"""

written = 0
for turn in range(int(sys.argv[1])):
    for writer in ("html", "latex"):
        text = u"".join(TEXT.format(n=n).replace(u"link", u"link%d" % n) if n else TEXT.format(n=n) for n in range(4))
        written += len(publish_string(text, writer_name=writer, settings_overrides={"report_level": 5}))
print(written > 0)
