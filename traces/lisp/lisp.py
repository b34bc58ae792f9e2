"""An interpreter for a small Lisp: reader, environments, closures, tail calls; and programs written in it.

    lisp.py [SIZE]
"""
from __future__ import print_function

import operator
import re
import sys

TOKEN = re.compile(r"""\s*(;[^\n]*|[()']|[^\s()';]+)""")


class Symbol(str):
    """A name, as against a string."""


class Closure:
    def __init__(self, parameters, body, scope):
        self.parameters, self.body, self.scope = parameters, body, scope


class Scope(dict):
    """Names and values, and the scope around it."""

    def __init__(self, names=(), values=(), outer=None):
        dict.__init__(self, zip(names, values))
        self.outer = outer

    def where(self, name):
        scope = self
        while name not in scope:
            scope = scope.outer
            if scope is None:
                raise NameError(name)
        return scope


def read(text):
    """All expressions in a text, as nested lists."""
    stack = [[]]
    for token in TOKEN.findall(text):
        if token.startswith(";"):
            continue
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            try:
                stack[-1].append(int(token))
            except ValueError:
                stack[-1].append(Symbol(token))
    return stack[0]


def evaluate(expression, scope):
    while True:
        if isinstance(expression, Symbol):
            return scope.where(expression)[expression]
        if not isinstance(expression, list):
            return expression
        head = expression[0]
        if head == "quote":
            return expression[1]
        if head == "define":
            scope[expression[1]] = evaluate(expression[2], scope)
            return None
        if head == "lambda":
            return Closure(expression[1], expression[2], scope)
        if head == "if":
            expression = expression[2 if evaluate(expression[1], scope) else 3]
            continue
        function, *arguments = [evaluate(one, scope) for one in expression]
        if not isinstance(function, Closure):
            return function(*arguments)
        # A call in the last place takes the caller's place, so that loops may be written as recursion.
        expression, scope = function.body, Scope(function.parameters, arguments, function.scope)


def standard():
    """Pairs are tuples of two, the empty list is None."""
    scope = Scope()
    scope.update({
        "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv, "%": operator.mod,
        "<": operator.lt, "=": operator.eq, "nil": None,
        "cons": lambda head, tail: (head, tail), "car": lambda pair: pair[0], "cdr": lambda pair: pair[1],
        "null?": lambda value: value is None,
    })
    for expression in read(LIBRARY):
        evaluate(expression, scope)
    return scope


LIBRARY = """
(define fold (lambda (f start list) (if (null? list) start (fold f (f start (car list)) (cdr list)))))
(define reverse (lambda (list) (fold (lambda (done one) (cons one done)) nil list)))
(define map (lambda (f list) (reverse (fold (lambda (done one) (cons (f one) done)) nil list))))
(define filter (lambda (f list)
  (reverse (fold (lambda (done one) (if (f one) (cons one done) done)) nil list))))
(define range (lambda (first last) (if (< first last) (cons first (range (+ first 1) last)) nil)))
(define length (lambda (list) (fold (lambda (count one) (+ count 1)) 0 list)))
(define append (lambda (a b) (fold (lambda (done one) (cons one done)) b (reverse a))))
"""
PROGRAM = """
; Numbers that look random.
(define random-list (lambda (count seed)
  (if (= count 0) nil (cons (% seed 1000) (random-list (- count 1) (% (+ (* seed 1103515) 12345) 65536))))))
(define sort (lambda (list)
  (if (null? list) nil
    ((lambda (pivot rest)
       (append (sort (filter (lambda (one) (< one pivot)) rest))
               (cons pivot (sort (filter (lambda (one) (if (< one pivot) (= 1 0) (= 1 1))) rest)))))
     (car list) (cdr list)))))
(define sorted? (lambda (list)
  (if (null? list) 1 (if (null? (cdr list)) 1 (if (< (car (cdr list)) (car list)) 0 (sorted? (cdr list)))))))
; How many ways there are to place queens that do not threaten each other.
(define safe? (lambda (row distance placed)
  (if (null? placed) (= 1 1)
    (if (= row (car placed)) (= 1 0)
      (if (= (+ row distance) (car placed)) (= 1 0)
        (if (= (- row distance) (car placed)) (= 1 0) (safe? row (+ distance 1) (cdr placed))))))))
(define queens (lambda (size column placed)
  (if (= column size) 1
    (fold (lambda (sum row)
            (if (safe? row 1 placed) (+ sum (queens size (+ column 1) (cons row placed))) sum))
          0 (range 0 size)))))
"""


def main():
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    sys.setrecursionlimit(20000)
    scope = standard()
    for expression in read(PROGRAM):
        evaluate(expression, scope)
    # The list's length is bounded by how deep Python may recurse; the rest of the size is repetition.
    for seed in range(0, size, 60):
        [expression] = read("(sort (random-list %d %d))" % (min(size, 60), seed + 7))
        scope["list"] = evaluate(expression, scope)
        assert evaluate(read("(sorted? list)")[0], scope) == 1
    print("sorted:", evaluate(read("(length list)")[0], scope), "numbers, the first", scope["list"][0])
    queens = 5 if size < 600 else 6
    print("queens on %d x %d: %d ways" % (queens, queens, evaluate(read("(queens %d 0 nil)" % queens)[0], scope)))


if __name__ == "__main__":
    main()
