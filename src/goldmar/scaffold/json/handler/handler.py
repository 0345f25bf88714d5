"""The handler that TorchServe calls: one class, which turns requests into answers."""

from typing import Any

from items import ItemHandler, object_of
from rules import Part, mass_kg, shipping


class Handler(ItemHandler):
    """A part as a JSON object -> {"mass_kg": ..., "shipping": ...}. Rules and no model file: nothing is loaded."""

    def answer(self, body: Any) -> dict[str, Any]:
        part = Part.read(object_of(body))
        mass = mass_kg(part)
        return {"mass_kg": mass, "shipping": shipping(mass)}
