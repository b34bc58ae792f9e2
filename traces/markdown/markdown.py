"""Turns Markdown into HTML: headings, paragraphs, lists, quotations, code, tables, emphasis and links.

    markdown.py [TIMES]

Converts garden.md, which lies beside it, as often as it is told to, each time as another page of one site.
"""
from __future__ import print_function

import io
import os
import re
import sys

try:
    from html import escape
except ImportError:
    from cgi import escape

INLINE = [
    (re.compile(r"\*\*(.+?)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\*(.+?)\*"), r"<em>\1</em>"),
    (re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)"), r'<a href="\2">\1</a>'),
]
CODE = re.compile(r"`([^`]+)`")
BLOCKS = [
    ("fence", re.compile(r"```(\w*)$")),
    ("heading", re.compile(r"(#{1,6})\s+(.*)$")),
    ("item", re.compile(r"\s*([-*]|\d+\.)\s+(.*)$")),
    ("quote", re.compile(r">\s?(.*)$")),
    ("row", re.compile(r"\|(.*)\|\s*$")),
    ("blank", re.compile(r"(\s*)$")),
    ("text", re.compile(r"(.*)$")),
]


def inline(text):
    """The marks within a line; nothing inside of `code` is one."""
    parts = CODE.split(text)
    for place, part in enumerate(parts):
        part = escape(part)
        if place % 2:
            parts[place] = "<code>%s</code>" % part
        else:
            for pattern, replacement in INLINE:
                part = pattern.sub(replacement, part)
            parts[place] = part
    return "".join(parts)


def classify(line):
    for kind, pattern in BLOCKS:
        match = pattern.match(line)
        if match:
            return kind, match


class Converter:
    """Reads lines, keeps the block that is open, writes HTML."""

    def __init__(self):
        self.out = []
        self.headings = []
        self.kind = "blank"
        self.lines = []

    def convert(self, text):
        for line in text.splitlines():
            if self.kind == "fence" and line != "```":
                self.lines.append(line)
                continue
            kind, match = classify(line)
            if kind == "fence":
                closing = self.kind == "fence"
                self.flush()
                self.kind = "blank" if closing else "fence"
                continue
            # A line of text goes on with what is open: a paragraph, an item.
            if kind == "text" and self.kind == "item":
                self.lines[-1] = (self.lines[-1][0], self.lines[-1][1] + " " + line.strip())
                continue
            if kind != self.kind or kind == "heading":
                self.flush()
                self.kind = kind
            # Headings and items come with their marks.
            self.lines.append(match.groups() if match.re.groups > 1 else match.group(1))
        self.flush()
        return self.contents() + "\n".join(self.out)

    def flush(self):
        lines, self.lines = self.lines, []
        if lines:
            getattr(self, "write_" + self.kind)(lines)

    def write_blank(self, lines):
        pass

    def write_text(self, lines):
        self.out.append("<p>%s</p>" % inline("\n".join(lines)))

    def write_quote(self, lines):
        # What is quoted is Markdown again.
        self.out.append("<blockquote>%s</blockquote>" % Converter().convert("\n".join(lines)))

    def write_fence(self, lines):
        self.out.append("<pre>%s</pre>" % escape("\n".join(lines)))

    def write_heading(self, lines):
        for marks, title in lines:
            anchor = re.sub(r"\W+", "-", title.lower()).strip("-")
            self.headings.append((len(marks), anchor, title))
            self.out.append('<h%d id="%s">%s</h%d>' % (len(marks), anchor, inline(title), len(marks)))

    def write_item(self, lines):
        tag = "ol" if lines[0][0][0].isdigit() else "ul"
        items = "".join("<li>%s</li>" % inline(text) for _, text in lines)
        self.out.append("<%s>%s</%s>" % (tag, items, tag))

    def write_row(self, lines):
        rows = [[cell.strip() for cell in line.split("|")] for line in lines]
        body = [row for row in rows if not all(set(cell) <= set(":-") for cell in row)]
        html = ["<tr>%s</tr>" % "".join("<td>%s</td>" % inline(cell) for cell in row) for row in body]
        self.out.append("<table>%s</table>" % "".join(html))

    def contents(self):
        if len(self.headings) < 2:
            return ""
        links = ['<li class="level%d"><a href="#%s">%s</a></li>' % heading for heading in self.headings]
        return "<nav><ul>%s</ul></nav>\n" % "".join(links)


def main():
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with io.open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "garden.md"), encoding="utf-8") as file:
        text = file.read()
    pages = {}
    for number in range(times):
        page = text.replace("garden", "garden no. %d" % number)
        pages["page%d.html" % number] = Converter().convert(page)
    print("%d pages, %d characters of HTML from %d" % (len(pages), sum(map(len, pages.values())), times * len(text)))
    print(pages["page0.html"][:600])


if __name__ == "__main__":
    main()
