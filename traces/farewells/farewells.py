"""A cache of documents: weak references with callbacks, finalizers, some of which bring their objects back."""

import sys
import weakref


class Document(object):
    """Something large that is made from a name, and told of by whoever watches it."""

    made = 0

    def __init__(self, name, links):
        self.name = name
        self.links = links
        self.words = [name + str(number) for number in range(len(name))]
        Document.made += 1


class Journal(object):
    """Writes down who has gone. One that was closed in the middle of an entry comes back, once, to end it."""

    lost = []

    def __init__(self, entries):
        self.entries = entries
        self.is_open = True

    def __del__(self):
        if self.is_open:
            self.is_open = False
            self.entries.append("closed")
            Journal.lost.append(self)


class Cache(object):
    """Documents by name as long as somebody else has them, and the last few of them."""

    def __init__(self, keep):
        self.documents = {}
        self.recent = []
        self.keep = keep
        self.gone = 0

    def get(self, name, links):
        reference = self.documents.get(name)
        document = reference and reference()
        if document is None:
            document = Document(name, links)
            self.documents[name] = weakref.ref(document, lambda reference: self.forget(name))
        self.recent.append(document)
        del self.recent[: -self.keep]
        return document

    def forget(self, name):
        self.gone += 1
        self.documents.pop(name, None)


def watchers(document, seen):
    """Several weak references to one document: their callbacks run, the newest first."""
    return [weakref.ref(document, lambda reference, at=at: seen.append(at)) for at in range(3)]


def main(size):
    cache = Cache(keep=8)
    entries = []
    seen = []
    kept = []
    for step in range(size):
        name = "page%d" % (step * 7 % 50)
        links = [cache.get("page%d" % (other % 50), []) for other in range(step, step + 3)]
        document = cache.get(name, links)
        if step % 5 == 0:
            # The last of them is gone before its document.
            kept.append(watchers(document, seen)[:2])
            del kept[:-4]
        journal = Journal(entries)
        journal.is_open = step % 3 != 0
        if step % 4 == 0:
            # Two that know each other: only the collector finds them.
            journal.other = document.journal = journal
        if len(Journal.lost) > 10:
            del Journal.lost[:]
    print(Document.made, cache.gone, len(entries), len(seen))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
