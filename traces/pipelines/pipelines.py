"""Stages of generators and coroutines that feed each other in circles, and fail with their frames in hand."""

import gc
import sys


class Stage(object):
    """One step of a pipeline: a generator that refers to its stage, which refers to it."""

    def __init__(self, name, closed):
        self.name = name
        self.closed = closed
        self.next = None
        self.errors = []
        self.running = self.run()
        next(self.running)

    def run(self):
        count = 0
        try:
            while True:
                item = yield count
                count += 1
                if self.next is not None and item > 0:
                    self.next.running.send(item - 1)
        finally:
            # Also when it is closed by dying inside of a collection.
            self.closed.append(self.name)


class Job(object):
    """A coroutine that waits for others; all are in one table, which each refers to."""

    def __init__(self, jobs, number):
        self.jobs = jobs
        self.number = number
        self.result = None
        self.coroutine = self.work()
        jobs[number] = self

    async def work(self):
        try:
            for other in sorted(self.jobs):
                if other < self.number:
                    self.result = await Turn(self.jobs[other])
            return self.result
        finally:
            self.jobs = None


class Turn(object):
    """Waits until another job is done, or for ever."""

    def __init__(self, job):
        self.job = job

    def __await__(self):
        while self.job.result is None:
            yield self.job
        return self.job.result + 1


async def numbers(limit, log):
    try:
        for number in range(limit):
            yield number, log
    finally:
        log.append(limit)


async def total(limit, log):
    result = 0
    async for number, _ in numbers(limit, log):
        result += number
        await Turn(Done(number))
    return result


class Done(object):
    def __init__(self, result):
        self.result = result


def drive(coroutine):
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


def circle(length, closed):
    """Stages, each of which feeds the next one, in a circle."""
    stages = [Stage("stage%d" % at, closed) for at in range(length)]
    for stage, other in zip(stages, stages[1:] + stages[:1]):
        stage.next = other
    return stages


def fail(stages, depth):
    """Fails deep inside. The exception has the frames, and these the exception: a cycle for each failure."""
    local = stages[depth % len(stages)]
    if depth > 0:
        return fail(stages, depth - 1)
    try:
        raise ValueError(local.name)
    except ValueError as error:
        kept = error
        local.errors.append(kept)
    return kept


def leave(jobs):
    """A few jobs wait for each other; nobody will ever go on with them."""
    table = {}
    group = [Job(table, number) for number in range(jobs)]
    for job in group[1:]:
        job.coroutine.send(None)
    group[0].coroutine.close()
    return len(group)


def main(size):
    gc.set_threshold(350, 4, 3)
    closed, log, kept = [], [], []
    sums = 0
    for number in range(size):
        stages = circle(number % 4 + 2, closed)
        stages[0].running.send(min(number % 3, len(stages) - 1))
        if number % 2 == 0:
            fail(stages, number % 5)
        if number % 5 == 0:
            kept.append(stages)
            del kept[:-6]
        del stages
        leave(number % 3 + 2)
        sums += drive(total(number % 6, log))
        started = total(9, log)
        started.close()
        if number % 40 == 39:
            gc.collect(number // 40 % 2)
    del kept[:]
    gc.collect()
    print(sums, len(closed), len(log))


main(int(sys.argv[1]) if len(sys.argv) > 1 else 150)
