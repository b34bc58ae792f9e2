"""Arrays of all kinds: of numbers, of objects and records; views, reductions, sorting, linear algebra."""
import sys

import numpy

total = 0.0
for turn in range(int(sys.argv[1])):
    values = numpy.arange(2000, dtype=float).reshape(40, 50)
    total += float((values.T @ values if sys.version_info >= (3, 5) else values.T.dot(values)).trace())
    total += sum(float(row.mean()) + float(column.max()) for row in values for column in (row[::2], row[1:]))
    records = numpy.array([(n, n * 0.5, "n%d" % n) for n in range(300)], dtype="i4,f8,U8")
    total += float(records["f1"].sum()) + len(numpy.unique(records["f2"]))
    objects = numpy.array([str(n) for n in range(1000)], dtype=object)
    total += len("".join(sorted(objects + objects)))
    total += float(numpy.linalg.inv(values[:40, :40] + numpy.eye(40) * (turn + 1)).sum())
    total += len(repr(values))
print(round(total))
