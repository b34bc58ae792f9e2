"""Renders templates with inheritance, loops and macros, again and again."""
import sys

import jinja2

TEMPLATES = {
    "base.html": "<html><head><title>{% block title %}{% endblock %}</title></head>"
    "<body>{% block body %}{% endblock %}</body></html>",
    "macros.html": "{% macro cell(value, kind='td') %}<{{ kind }}>{{ value|e }}</{{ kind }}>{% endmacro %}",
    "page.html": "{% extends 'base.html' %}{% from 'macros.html' import cell %}"
    "{% block title %}{{ title|upper }}{% endblock %}{% block body %}<table>"
    "{% for row in rows %}<tr class=\"{{ loop.cycle('odd', 'even') }}\">"
    "{% for name, value in row|dictsort %}{{ cell(name, 'th') }}{{ cell(value) }}{% endfor %}</tr>"
    "{% else %}nothing{% endfor %}</table>{{ rows|map(attribute='name')|join(', ')|truncate(60) }}{% endblock %}",
}

written = 0
for turn in range(int(sys.argv[1])):
    environment = jinja2.Environment(loader=jinja2.DictLoader(TEMPLATES), autoescape=True)
    page = environment.get_template("page.html")
    for size in range(0, 50, 10):
        rows = [{"name": "<n%d>" % n, "price": n * 1.5, "tags": ["a", n]} for n in range(size)]
        written += len(page.render(title="turn %d" % turn, rows=rows))
print(written)
