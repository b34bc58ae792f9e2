"""Writes and reads YAML with the loader and the dumper in Python."""
import sys

import yaml

data = {
    "plants": [
        {"name": "plant %d" % n, "height": n * 0.5, "tags": ["a", "b: c", None, True], "note": "line\nline %d" % n}
        for n in range(60)
    ]
}
for turn in range(int(sys.argv[1])):
    text = yaml.dump(data, default_flow_style=bool(turn % 2))
    assert yaml.load(text, Loader=yaml.SafeLoader) == data
    print(len(text), len(list(yaml.scan(text))))
