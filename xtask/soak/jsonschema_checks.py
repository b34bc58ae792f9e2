"""Validates documents, good ones and bad ones."""
import sys

from jsonschema import Draft7Validator

SCHEMA = {
    "type": "object",
    "definitions": {"tag": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8}},
    "properties": {
        "plants": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "height"],
                "properties": {
                    "name": {"type": "string", "minLength": 2},
                    "height": {"type": "number", "minimum": 0},
                    "tags": {"type": "array", "items": {"$ref": "#/definitions/tag"}, "uniqueItems": True},
                },
                "additionalProperties": False,
            },
        }
    },
}
validator = Draft7Validator(SCHEMA)
for turn in range(int(sys.argv[1])):
    plants = [{"name": "plant %d" % n, "height": n - 5, "tags": ["a", "b", "A"][: n % 4]} for n in range(100)]
    plants.append({"name": "x", "weight": 3})
    print(len(sorted(str(error.message) for error in validator.iter_errors({"plants": plants}))))
