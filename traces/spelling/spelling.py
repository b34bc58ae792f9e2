"""Corrects the spelling of words by what is common in a text.

    spelling.py [WORDS]

The text is the standard library's own documentation strings; the misspelt words are made from it.
"""
from __future__ import print_function

import io
import os
import random
import re
import string
import sys
from collections import Counter

TEXTS = ["argparse", "ast", "bdb", "cmd", "collections/__init__", "csv", "datetime", "decimal", "difflib", "doctest",
         "functools", "heapq", "inspect", "logging/__init__", "optparse", "pickle", "random", "subprocess", "textwrap"]
DOCUMENTATION = re.compile(r'"""(.*?)"""', re.DOTALL)
WORD = re.compile("[a-z]{3,}")


def vocabulary():
    """How often each word is used."""
    folder = os.path.dirname(os.__file__)
    words = Counter()
    for name in TEXTS:
        path = os.path.join(folder, name + ".py")
        if os.path.exists(path):
            with io.open(path, encoding="utf-8") as file:
                for text in DOCUMENTATION.findall(file.read()):
                    words.update(WORD.findall(text.lower()))
    return words


def edits(word):
    """All that can become of a word by one slip of the fingers."""
    splits = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    deletes = [a + b[1:] for a, b in splits if b]
    transposes = [a + b[1] + b[0] + b[2:] for a, b in splits if len(b) > 1]
    replaces = [a + c + b[1:] for a, b in splits if b for c in string.ascii_lowercase]
    inserts = [a + c + b for a, b in splits for c in string.ascii_lowercase]
    return set(deletes + transposes + replaces + inserts)


class Corrector:
    def __init__(self, words):
        self.words = words
        self.known = {}

    def candidates(self, word):
        if word in self.words:
            return {word}
        near = edits(word)
        found = {one for one in near if one in self.words}
        # Two slips are looked for in short words only: there are many.
        if not found and len(word) < 5:
            found = {two for one in near for two in edits(one) if two in self.words}
        return found or {word}

    def correct(self, word):
        if word not in self.known:
            self.known[word] = max(sorted(self.candidates(word)), key=lambda one: self.words[one])
        return self.known[word]


def misspell(chance, word):
    place = chance.randrange(len(word))
    slip = chance.randrange(4)
    if slip == 0:
        return word[:place] + word[place + 1:]
    if slip == 1:
        return word[:place] + chance.choice(string.ascii_lowercase) + word[place:]
    if slip == 2:
        return word[:place] + chance.choice(string.ascii_lowercase) + word[place + 1:]
    return word[:place] + word[place:place + 2][::-1] + word[place + 2:]


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    chance = random.Random(11)
    words = vocabulary()
    corrector = Corrector(words)
    common = sorted(word for word, uses in words.items() if uses >= 5)
    print("%d different words, %d of them common" % (len(words), len(common)))
    right = 0
    for number in range(count):
        meant = chance.choice(common)
        typed = misspell(chance, meant)
        corrected = corrector.correct(typed)
        right += corrected == meant
        if number < 10:
            print("  %-16s -> %-16s %s" % (typed, corrected, "" if corrected == meant else "(%s)" % meant))
    print("%d of %d as they were meant" % (right, count))


if __name__ == "__main__":
    main()
