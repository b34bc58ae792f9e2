"""Models with validation: read, checked, dumped."""
import sys
from typing import Dict, List, Optional

from pydantic import BaseModel, ValidationError


class Plant(BaseModel):
    name: str
    height: float = 1.0
    tags: List[str] = []
    parent: Optional["Plant"] = None


class Garden(BaseModel):
    plants: List[Plant]
    index: Dict[str, int]


getattr(Plant, "model_rebuild", Plant.update_forward_refs)()
wrong = 0
for turn in range(int(sys.argv[1])):
    plants = [{"name": "p%d" % n, "height": str(n), "tags": ["a"] * (n % 5)} for n in range(200)]
    plants[7]["parent"] = plants[8]
    garden = Garden(plants=plants, index={"p%d" % n: n for n in range(200)})
    text = garden.model_dump_json() if hasattr(garden, "model_dump_json") else garden.json()
    plants[3]["height"] = "tall"
    try:
        Garden(plants=plants, index={})
    except ValidationError as error:
        wrong += len(error.errors())
print(wrong, len(text))
