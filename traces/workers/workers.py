"""An index of the words in the standard library's sources, built by worker threads.

    workers.py [FILES]

A queue of files, four threads that read and split them, a queue of results, one thread that merges. Which thread
does what is the scheduler's business, and the index is the same each time.
"""
from __future__ import print_function

import hashlib
import io
import os
import re
import sys
import threading
from collections import Counter, defaultdict

try:
    import queue
except ImportError:
    import Queue as queue

WORKERS = 4
WORD = re.compile(r"[A-Za-z_]\w{2,}")
END = object()


class Document:
    """One file, digested."""

    def __init__(self, name, text):
        self.name = name
        self.digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
        self.places = defaultdict(list)
        for number, line in enumerate(text.splitlines(), 1):
            for word in set(WORD.findall(line)):
                self.places[word].append(number)


def work(jobs, results):
    """Until there are no jobs any more: read a file, send its words on."""
    while True:
        path = jobs.get()
        if path is END:
            results.put(END)
            return
        try:
            with io.open(path, encoding="utf-8") as file:
                results.put(Document(os.path.basename(path), file.read()))
        except (OSError, UnicodeDecodeError) as error:
            results.put(error)


class Index(threading.Thread):
    """Merges documents as they come, so that no more than a few wait."""

    def __init__(self, results):
        threading.Thread.__init__(self, name="index")
        self.results = results
        self.words = defaultdict(dict)
        self.digests = {}
        self.failures = []

    def run(self):
        working = WORKERS
        while working:
            result = self.results.get()
            if result is END:
                working -= 1
            elif isinstance(result, Exception):
                self.failures.append(result)
            else:
                self.digests[result.name] = result.digest
                for word, lines in result.places.items():
                    self.words[word][result.name] = len(lines)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    folder = os.path.dirname(os.__file__)
    names = sorted(name for name in os.listdir(folder) if name.endswith(".py"))
    names = (names * (count // len(names) + 1))[:count]

    jobs, results = queue.Queue(), queue.Queue(maxsize=8)
    index = Index(results)
    threads = [threading.Thread(target=work, args=(jobs, results)) for _ in range(WORKERS)]
    for thread in [index] + threads:
        thread.start()
    for name in names:
        jobs.put(os.path.join(folder, name))
    for _ in threads:
        jobs.put(END)
    for thread in [index] + threads:
        thread.join()

    print("%d files, %d failures, %d words" % (len(index.digests), len(index.failures), len(index.words)))
    spread = Counter({word: len(files) for word, files in index.words.items()})
    for word, files in sorted(spread.items(), key=lambda item: (-item[1], item[0]))[:10]:
        print("  %-12s in %3d files, %5d lines" % (word, files, sum(index.words[word].values())))
    everything = "".join(index.digests[name] for name in sorted(index.digests))
    print("all together " + hashlib.sha256(everything.encode("ascii")).hexdigest()[:16])


if __name__ == "__main__":
    main()
