"""A small document store: JSON documents with indexes, saved to text, loaded again, queried and changed.

    documents.py [DOCUMENTS]
"""
from __future__ import print_function

import json
import random
import sys
from collections import defaultdict

FIRST = "Ada Alan Barbara Donald Edsger Frances Grace John Ken Leslie Margaret Niklaus Tony".split()
LAST = "Allen Dijkstra Hamilton Hoare Hopper Knuth Lamport Liskov Lovelace Thompson Turing Wirth".split()
TAGS = "art books chess cycling films food history maths music plants sailing travel".split()


class Index:
    """From a field's value to the keys of the documents that have it."""

    def __init__(self, field):
        self.field = field
        self.keys = defaultdict(set)

    def values(self, document):
        value = document
        for part in self.field.split("."):
            value = value.get(part, {})
        return value if isinstance(value, list) else [value]

    def add(self, key, document):
        for value in self.values(document):
            self.keys[value].add(key)

    def remove(self, key, document):
        for value in self.values(document):
            self.keys[value].discard(key)


class Store:
    """Documents by key, and indexes that follow every change."""

    def __init__(self, fields):
        self.documents = {}
        self.indexes = {field: Index(field) for field in fields}

    def put(self, key, document):
        self.delete(key)
        self.documents[key] = document
        for index in self.indexes.values():
            index.add(key, document)

    def delete(self, key):
        document = self.documents.pop(key, None)
        if document is not None:
            for index in self.indexes.values():
                index.remove(key, document)

    def find(self, **wanted):
        """The documents with all of these values; a double underscore in a name stands for a dot."""
        found = None
        for field, value in wanted.items():
            keys = self.indexes[field.replace("__", ".")].keys[value]
            found = keys if found is None else found & keys
        return [self.documents[key] for key in sorted(found or ())]

    def dump(self):
        return "\n".join(json.dumps([key, self.documents[key]], sort_keys=True) for key in sorted(self.documents))

    @classmethod
    def load(cls, fields, text):
        store = cls(fields)
        for line in text.splitlines():
            key, document = json.loads(line)
            store.put(key, document)
        return store


def person(chance, number):
    """A made-up person."""
    name = chance.choice(FIRST) + " " + chance.choice(LAST)
    return {
        "name": name,
        "mail": "%s.%d@mail.example" % (name.lower().replace(" ", "."), number),
        "born": chance.randrange(1940, 2005),
        "address": {"street": "%d High Street" % chance.randrange(1, 200), "town": "Town %d" % chance.randrange(40)},
        "likes": sorted(chance.sample(TAGS, chance.randrange(1, 5))),
        "scores": [round(chance.random() * 100, 2) for _ in range(chance.randrange(8))],
    }


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    chance = random.Random(7)
    fields = ["address.town", "likes", "born"]
    store = Store(fields)
    for number in range(count):
        store.put("person/%06d" % number, person(chance, number))

    text = store.dump()
    print("%d documents are %d characters of JSON" % (len(store.documents), len(text)))
    loaded = Store.load(fields, text)
    assert loaded.documents == store.documents
    del store

    sailors = loaded.find(likes="sailing", address__town="Town 7")
    print("sailors of Town 7: " + ", ".join(document["name"] for document in sailors))

    # Everybody of one decade moves away; the youngest are forgotten.
    for key, document in sorted(loaded.documents.items()):
        if 1960 <= document["born"] < 1970:
            moved = json.loads(json.dumps(document))
            moved["address"]["town"] = "Elsewhere"
            loaded.put(key, moved)
        elif document["born"] >= 2000:
            loaded.delete(key)
    print("%d live elsewhere, %d are left" % (len(loaded.find(address__town="Elsewhere")), len(loaded.documents)))
    means = [sum(d["scores"]) / len(d["scores"]) for d in loaded.documents.values() if d["scores"]]
    print("mean of means: %.2f" % (sum(means) / len(means)))


if __name__ == "__main__":
    main()
