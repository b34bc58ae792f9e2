"""What a web server's access log says: who asks for what, when, how much of it fails.

    accesslog.py [LINES]

The log is made up here (always the same one), in the format that Apache and nginx write, and then read as any
other log would be: line by line, with one regular expression, into counters.
"""
from __future__ import print_function

import random
import re
import sys
from collections import Counter, defaultdict, namedtuple

LINE = re.compile(
    r'(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<day>[^:]+):(?P<hour>\d\d):\d\d:\d\d [^\]]+\] '
    r'"(?P<method>[A-Z]+) (?P<path>[^ ?"]+)(?:\?(?P<query>[^ "]*))? HTTP/[\d.]+" '
    r'(?P<status>\d{3}) (?P<size>\d+|-) "(?P<referrer>[^"]*)" "(?P<agent>[^"]*)"'
)
Request = namedtuple("Request", "host day hour method path query status size agent")

PAGES = ["/", "/about", "/feed.xml", "/login", "/static/site.css", "/static/logo.svg"]
AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X)",
    "examplebot/2.1 (+http://bot.example/)",
    "curl/7.88.1",
]


def write_log(lines):
    """Yields the lines of a log; some of them are damaged, as in life."""
    chance = random.Random(2024)
    seconds = 0
    for number in range(lines):
        seconds += chance.randrange(90)
        if chance.random() < 0.01:
            yield '\x16\x03\x01 "-" 400'
            continue
        path = chance.choice(PAGES) if chance.random() < 0.6 else "/posts/%d" % chance.randrange(300)
        if chance.random() < 0.1:
            path += "?page=%d&sort=date" % chance.randrange(9)
        status = chance.choice([200] * 12 + [304] * 4 + [301, 403, 404, 404, 500])
        yield '192.0.2.%d - %s [%02d/Jan/2024:%02d:%02d:%02d +0000] "%s %s HTTP/1.1" %d %s "-" "%s"' % (
            chance.randrange(1, 255),
            chance.choice(["-", "-", "-", "ann", "ben"]),
            seconds // 86400 % 28 + 1, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60,
            "POST" if path == "/login" else "GET",
            path,
            status,
            "-" if status == 304 else chance.randrange(200, 90000),
            AGENTS[min(chance.randrange(8), 3)],
        )


def read_log(lines):
    """Yields a Request for each line that is one, and None for the others."""
    for line in lines:
        match = LINE.match(line)
        if match is None:
            yield None
            continue
        found = match.groupdict()
        query = dict(pair.split("=", 1) for pair in (found["query"] or "").split("&") if "=" in pair)
        size = 0 if found["size"] == "-" else int(found["size"])
        yield Request(found["host"], found["day"], int(found["hour"]), found["method"], found["path"], query,
                      int(found["status"]), size, found["agent"])


def sessions(requests):
    """Splits each visitor's requests where a whole hour passes without one."""
    visits = defaultdict(list)
    for request in requests:
        mine = visits[request.host, request.agent]
        if not mine or request.hour - mine[-1][-1].hour not in (0, 1):
            mine.append([])
        mine[-1].append(request)
    return [visit for mine in visits.values() for visit in mine]


def main():
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    read = list(read_log(write_log(lines)))
    requests = [request for request in read if request is not None]
    print("%d requests, %d lines that are none" % (len(requests), len(read) - len(requests)))

    paths, failures, sent = Counter(), Counter(), Counter()
    for request in requests:
        paths[request.path] += 1
        sent[request.path] += request.size
        if request.status >= 400:
            failures[request.status, request.path] += 1
    print("most wanted:")
    for path, count in sorted(paths.items(), key=lambda item: (-item[1], item[0]))[:5]:
        print("  %6d  %-20s %12d bytes" % (count, path, sent[path]))
    print("most failed:")
    for (status, path), count in sorted(failures.items(), key=lambda item: (-item[1], item[0]))[:5]:
        print("  %6d  %d %s" % (count, status, path))

    visits = sessions(requests)
    longest = max(visits, key=len)
    print("%d visits, the longest of %d requests" % (len(visits), len(longest)))
    hours = Counter(request.hour for request in requests)
    top = max(hours.values())
    for hour in range(24):
        if hours[hour]:
            print("  %02d %s" % (hour, "#" * (40 * hours[hour] // top)))


if __name__ == "__main__":
    main()
