"""What the reports in JSON share.

JSON has no NaN and no infinity: they are the strings "nan", "inf" and "-inf", and `want_type` and `got_type` tell such
a float from a text.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from goldmar.records import Comparison, DifferenceKind, Value
from goldmar.text import json_safe


def document(report: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """A report as JSON text with a line feed at its end, without what a terminal or a CI server would obey."""
    text = json.dumps(report, ensure_ascii=False, indent=2, allow_nan=False)
    return json_safe(text, ascii_only=ascii_only) + "\n"


def plain(value: Value) -> Value:
    return repr(float(value)) if isinstance(value, float) and not math.isfinite(value) else value


def left_out(others: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """The models of a project that a run was not about, by name and with the reason that is declared, or none."""
    return [
        {"model": model, "no_golden_on_purpose": bool(reason), "why": reason or "not asked for"}
        for model, reason in (others or {}).items()
    ]


def comparison(found: Comparison) -> dict[str, Any]:
    one_sided = not found.name
    return {
        "kind": found.kind.value,
        "drawing_id": found.drawing_id,
        "name": found.name,
        "want": plain(found.want),
        "want_type": _type(found.want, absent=one_sided or found.kind is DifferenceKind.EXTRA_VALUE),
        "got": plain(found.got),
        "got_type": _type(found.got, absent=one_sided or found.kind is DifferenceKind.MISSING_VALUE),
        "difference": plain(found.difference),
        "allowed": plain(found.allowed),
        "detail": found.detail,
    }


def _type(value: Value, *, absent: bool) -> str:
    if absent:
        return "absent"
    for name, kind in (("boolean", bool), ("integer", int), ("float", float), ("string", str)):
        if isinstance(value, kind):
            return name
    return "null"
