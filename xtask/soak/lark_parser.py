"""Parses JSON with a grammar: LALR and Earley."""
import json
import sys

from lark import Lark, Transformer

GRAMMAR = r"""
?value: object | array | string | SIGNED_NUMBER -> number | "true" -> true | "false" -> false | "null" -> null
array : "[" [value ("," value)*] "]"
object : "{" [pair ("," pair)*] "}"
pair : string ":" value
string : ESCAPED_STRING
%import common.ESCAPED_STRING
%import common.SIGNED_NUMBER
%import common.WS
%ignore WS
"""


class Values(Transformer):
    def string(self, children):
        return children[0][1:-1]

    def number(self, children):
        return float(children[0])

    array, pair, object = list, tuple, dict


def text(size):
    return json.dumps({"plants": [{"name": "p%d" % n, "height": n * 0.5, "tags": ["a", "b"]} for n in range(size)]})


fast = Lark(GRAMMAR, parser="lalr", start="value")
slow = Lark(GRAMMAR, parser="earley", lexer="dynamic", start="value")
for turn in range(int(sys.argv[1])):
    print(len(Values().transform(fast.parse(text(200)))["plants"]), len(slow.parse(text(6)).pretty()))
