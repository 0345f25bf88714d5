"""From a JSON object to a part, and the rules for it; needs no TorchServe to be tested."""

import math
from dataclasses import dataclass
from typing import Any, Self

from items import BadRequest

DENSITY = {"aluminium": 2.70, "brass": 8.45, "steel": 7.85}  # g/cm3


@dataclass(frozen=True)
class Part:
    """A block of one material; the sides are in mm."""

    material: str
    sides: tuple[float, float, float]

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Self:
        """Raises BadRequest with a sentence for whoever sent it."""
        material, sides = fields.get("material"), fields.get("sides_mm")
        if not isinstance(material, str) or material not in DENSITY:
            raise BadRequest(f"material is {material!r}; known are {', '.join(DENSITY)}.")
        if not isinstance(sides, list) or len(sides) != 3 or not all(map(_is_length, sides)):
            raise BadRequest("sides_mm must be three numbers above 0.")
        return cls(material, (float(sides[0]), float(sides[1]), float(sides[2])))


def mass_kg(part: Part) -> float:
    """1 g/cm3 is 1e-6 kg/mm3."""
    return DENSITY[part.material] * math.prod(part.sides) * 1e-6


def shipping(mass: float) -> str:
    """How a part of so many kg is sent."""
    return "letter" if mass <= 0.5 else "parcel" if mass <= 31.5 else "pallet"


def _is_length(value: Any) -> bool:
    # Of an integer beyond float a comparison still tells; True is an int as well.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6
