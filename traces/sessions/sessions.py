"""A server's sessions: rooms of visitors who know each other, and finalizers that save what is not finished."""

import gc
import sys
import weakref


class Visitor(object):
    """Somebody in a room, who knows everybody there."""

    def __init__(self, name, room):
        self.name = name
        self.room = room
        self.friends = []
        self.seen = {"room": room, "times": 0}


class Session(object):
    """What a visitor does. One that ends in the middle of an order saves itself, and the visitor with it, once."""

    saved = []
    closed = 0

    def __init__(self, visitor, order):
        self.visitor = visitor
        self.order = order
        visitor.session = self

    def __del__(self):
        Session.closed += 1
        if self.order:
            self.order = None
            Session.saved.append(self)


class Guard(object):
    """Watches a room. When it goes, the last guests of the room go into a new one, which is garbage at once."""

    rooms = 0

    def __init__(self, room):
        self.room = room
        room.append(self)

    def __del__(self):
        Guard.rooms += 1
        other = [guest for guest in self.room if guest is not self]
        other.append(other)
        if Guard.rooms % 8 == 0:
            # From inside of a collection it is in vain.
            gc.collect(0)


class Porter(object):
    """Holds a door open until it dies, and takes whoever stands behind it along for one more round."""

    doors = []

    def __init__(self, behind):
        self.behind = behind
        self.own = self

    def __del__(self):
        Porter.doors.append(self.behind)


def fill(size, number):
    """A room whose visitors know each other, and some of whom have sessions."""
    room = []
    visitors = [Visitor("guest%d" % at, room) for at in range(size)]
    room.extend(visitors)
    for at, visitor in enumerate(visitors):
        visitor.friends.extend(visitors[: at + 1])
        if at % 3 == 0:
            Session(visitor, ("order", number) if (number + at) % 5 == 0 else None)
    if number % 6 == 0:
        Guard(room)
    return room


def settle():
    """Ends the orders of saved sessions, which are garbage again after that and are not saved twice."""
    orders = len(Session.saved)
    del Session.saved[:]
    return orders


def main(size):
    gc.set_threshold(400, 6, 5)
    open_rooms, bells, rung = [], [], []
    orders = 0
    for number in range(size):
        open_rooms.append(fill(number % 5 + 2, number))
        if number % 5 == 0:
            # Rings when a visitor goes, also when that one comes back with a saved session.
            bells.append(weakref.ref(open_rooms[-1][0], lambda bell, number=number: rung.append(number)))
            del bells[:-12]
        if number % 4 == 0:
            Porter(fill(2, number))
        if len(open_rooms) > 25:
            del open_rooms[::2]
        if len(Session.saved) > 12:
            orders += settle()
        if len(Porter.doors) > 6:
            del Porter.doors[:4]
        if number % 60 == 59:
            orders += gc.collect(number // 60 % 3) and settle()
        if number == size // 2:
            gc.set_threshold(900, 3, 2)
    gc.disable()
    for number in range(size // 8):
        fill(4, number)
    gc.enable()
    gc.collect()
    del open_rooms[:]
    found = gc.collect()
    again = gc.collect()
    print(len(rung) > 0, orders, Session.closed, Guard.rooms, found > 0, again < found)


main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
