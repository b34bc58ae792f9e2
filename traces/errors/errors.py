"""Tasks that fail: exceptions with their tracebacks and frames, generators and coroutines that are closed by dying."""

import sys


class Failure(Exception):
    """What goes wrong, and where."""

    def __init__(self, task, why):
        Exception.__init__(self, task, why)
        self.task = task


def numbers(limit, closed):
    """A generator that notices its end, however it comes."""
    try:
        for number in range(limit):
            yield number
    finally:
        closed.append(limit)


def nested(limit, closed):
    for number in numbers(limit, closed):
        yield [number] * 3


async def wait(value):
    return await Ready(value)


class Ready(object):
    """Something that can be waited for, and is there at the second look."""

    def __init__(self, value):
        self.value = value

    def __await__(self):
        yield self.value
        return self.value + 1


async def stream(count):
    for number in range(count):
        yield await wait(number)


async def add(count):
    total = 0
    async for number in stream(count):
        total += number
    return total


def run(coroutine, steps):
    """Runs a coroutine to its end, or so many steps, and leaves it then."""
    for _ in range(steps):
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value
    return None


def work(task, depth):
    local = [task] * depth
    if depth == 0:
        return 10 // (task % 3)
    try:
        return work(task, depth - 1)
    except ZeroDivisionError as error:
        raise Failure(len(local), "division") from error


def main(size):
    closed = []
    kept = []
    totals = [0, 0, 0]
    for task in range(size):
        try:
            totals[0] += work(task, task % 6)
        except (Failure, ZeroDivisionError) as error:
            # With its traceback, and the frames in that.
            kept.append(error)
            totals[1] += 1
        if len(kept) > 12:
            del kept[::2]
        unfinished = nested(task % 9 + 2, closed)
        next(unfinished)
        if task % 4 == 0:
            kept.append(unfinished)
        totals[2] += run(add(task % 5 + 1), 4) or 0
    del kept[:], unfinished
    print(totals, len(closed))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
