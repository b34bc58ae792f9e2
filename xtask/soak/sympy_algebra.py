"""Computer algebra: expanding, factoring, integrating, solving, limits, matrices."""
import sys

from sympy import Matrix, cos, diff, exp, expand, factor, integrate, limit, sin, solve, symbols

x, y = symbols("x y")
for turn in range(int(sys.argv[1])):
    n = turn + 2
    print(factor(expand((x + y + n) ** 4 * (x - n))))
    print(integrate(x**2 * exp(n * x) + x * cos(x), x))
    print(solve(x**3 - n * x + 1, x)[0].evalf(5))
    print(limit(sin(n * x) / x, x, 0), diff(sin(x * y) ** n * exp(y), x, y))
    print(Matrix([[x, 1, n], [1, y, x], [n, x, 1]]).det().simplify())
