"""Conway's game of life on a plane without edges: a set of the cells that are alive.

    life.py [GENERATIONS]
"""
from __future__ import print_function

import sys
from collections import Counter

# A gun that fires a glider every 30 generations, and a shape that takes over a thousand generations to settle.
GUN = """
........................O...........
......................O.O...........
............OO......OO............OO
...........O...O....OO............OO
OO........O.....O...OO..............
OO........O...O.OO....O.O...........
..........O.....O.......O...........
...........O...O....................
............OO......................
"""
R_PENTOMINO = """
.OO
OO.
.O.
"""
NEIGHBOURS = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]


def cells(picture, left, top):
    rows = picture.strip().splitlines()
    return {(left + x, top + y) for y, row in enumerate(rows) for x, cell in enumerate(row) if cell == "O"}


def step(alive):
    """The next generation."""
    around = Counter((x + dx, y + dy) for x, y in alive for dx, dy in NEIGHBOURS)
    return {cell for cell, count in around.items() if count == 3 or (count == 2 and cell in alive)}


def shapes(alive):
    """The groups of cells that touch."""
    rest = set(alive)
    found = []
    while rest:
        group, edge = set(), [rest.pop()]
        while edge:
            x, y = edge.pop()
            group.add((x, y))
            near = {(x + dx, y + dy) for dx, dy in NEIGHBOURS} & rest
            rest -= near
            edge.extend(near)
        found.append(group)
    return found


def draw(alive, left, top, width, height):
    rows = range(top, top + height)
    return "\n".join("".join("O" if (x, y) in alive else "." for x in range(left, left + width)) for y in rows)


def main():
    generations = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    alive = cells(GUN, 0, 0) | cells(R_PENTOMINO, 60, 40)
    history = []
    for generation in range(generations):
        if generation % 20 == 0:
            groups = shapes(alive)
            history.append((generation, len(alive), len(groups)))
            print("generation %4d: %4d cells in %3d shapes" % history[-1])
        alive = step(alive)
    print("at last %d cells" % len(alive))
    print(draw(alive, 0, 0, 72, 24))


if __name__ == "__main__":
    main()
