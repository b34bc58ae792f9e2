"""Reads HTML into a tree of elements that know their parents, searches it, edits it, writes it again.

    dom.py [PAGES]

Parents know children and children know parents, so a page that is no longer wanted is a heap of cycles: what the
garbage collector is for.
"""
from __future__ import print_function

import random
import sys
from collections import Counter

try:
    from html import escape
    from html.parser import HTMLParser
except ImportError:
    from cgi import escape
    from HTMLParser import HTMLParser

EMPTY = {"br", "hr", "img", "meta", "link"}


class Element:
    def __init__(self, tag, attributes, parent):
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.children = []
        if parent is not None:
            parent.children.append(self)

    def walk(self):
        yield self
        for child in self.children:
            if isinstance(child, Element):
                for element in child.walk():
                    yield element

    def select(self, path):
        """The elements at the end of a path of tags or .classes: "table .price" is any price in any table."""
        found = [self]
        for step in path.split():
            found = [inner for outer in found for inner in outer.walk() if inner is not outer and inner.matches(step)]
        return found

    def matches(self, step):
        if step.startswith("."):
            return step[1:] in self.attributes.get("class", "").split()
        return self.tag == step

    def text(self):
        return "".join(child.text() if isinstance(child, Element) else child for child in self.children)

    def remove(self):
        self.parent.children.remove(self)
        self.parent = None

    def html(self):
        attributes = "".join(' %s="%s"' % (name, escape(value, True)) for name, value in self.attributes.items())
        if self.tag in EMPTY:
            return "<%s%s>" % (self.tag, attributes)
        inside = "".join(child.html() if isinstance(child, Element) else escape(child) for child in self.children)
        return "<%s%s>%s</%s>" % (self.tag, attributes, inside, self.tag)


class Parser(HTMLParser):
    def __init__(self):
        HTMLParser.__init__(self)
        self.root = self.here = Element("document", {}, None)

    def handle_starttag(self, tag, attributes):
        element = Element(tag, {name: value or "" for name, value in attributes}, self.here)
        if tag not in EMPTY:
            self.here = element

    def handle_endtag(self, tag):
        # An end closes all that is open inside of it.
        element = self.here
        while element is not None and element.tag != tag:
            element = element.parent
        if element is not None:
            self.here = element.parent

    def handle_data(self, data):
        if data.strip():
            self.here.children.append(data)


def page(chance, number):
    """A page of a shop."""
    rows = "".join(
        '<tr class="item%s"><td><a href="/item/%d">Item <b>no. %d</b></a><td class="price">%d.%02d</td></tr>\n' % (
            " sold" if chance.random() < 0.2 else "", item, item, chance.randrange(100), chance.randrange(100))
        for item in range(number * 100, number * 100 + chance.randrange(5, 25)))
    return '<html><body><h1>Shop, page %d</h1><img src="logo.svg"><table>%s</table><hr><p class="foot">Fair &amp; ' \
        'square<br>since 1999</body></html>' % (number, rows)


def main():
    pages = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    chance = random.Random(5)
    tags, prices, size = Counter(), [], 0
    for number in range(pages):
        parser = Parser()
        parser.feed(page(chance, number))
        document = parser.root
        tags.update(element.tag for element in document.walk())
        for row in document.select("table .sold"):
            row.remove()
        prices.extend(float(cell.text()) for cell in document.select("table .price"))
        size += len(document.html())
    print("%d pages, %d elements: %s" % (pages, sum(tags.values()), sorted(tags.items())))
    print("%d items on sale, on average for %.2f, %d characters" % (len(prices), sum(prices) / len(prices), size))


if __name__ == "__main__":
    main()
