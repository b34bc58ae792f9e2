"""Looks for counterexamples of properties, and shrinks one."""
import json
import sys

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
common = settings(
    max_examples=int(sys.argv[1]), database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@seed(1)
@common
@given(values)
def comes_back(value):
    assert json.loads(json.dumps(value)) == value


@seed(2)
@common
@given(st.lists(st.integers()))
def is_small(numbers):
    assert sum(numbers) < 1000


comes_back()
try:
    is_small()
except AssertionError:
    print("found")
