"""Colours modules as HTML and for terminals."""
import sys

import trees
from pygments import highlight
from pygments.formatters import HtmlFormatter, TerminalFormatter
from pygments.lexers import PythonLexer

written = 0
for path in trees.modules(int(sys.argv[1])):
    source = trees.source(path)
    written += len(highlight(source, PythonLexer(), HtmlFormatter(linenos=True)))
    written += len(highlight(source[:20000], PythonLexer(), TerminalFormatter()))
print(written)
