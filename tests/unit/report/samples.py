"""Runs to be shown: the same comparison that the product makes, with everything that may be in one."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from goldmar.compare import compare
from goldmar.config import Tolerances
from goldmar.records import Explanation, ModelResult, RunResult, Tolerance, Values, Verdict

STARTED = datetime(2026, 11, 21, 3, 4, 5, tzinfo=UTC)
PASSED = Verdict(True)
FAILED = Verdict(False, ("part_class: 3 × different",))

NASTY = "a|b <img src=x> [red]`c` *d* @user #1\n\x1b[31m\x00\udce9\u202e"
"""A name that no report may take for mark-up, nor a terminal for a command."""


def model(golden: dict, obtained: dict, *, name: str = "thickness", **more) -> ModelResult:
    """`golden` and `obtained` are {(drawing, name): value}."""
    sides = [Values([k[0] for k in table], [k[1] for k in table], list(table.values())) for table in (golden, obtained)]
    asked = more.pop("asked", sorted({*sides[0].drawing_ids, *sides[1].drawing_ids}))
    problems = more.pop("problems", {})
    tolerances = Tolerances(Tolerance(1e-3), (("s.*", Tolerance(0.0, 1e-2)),))
    result = compare(*sides, tolerances, model=name, drawings=asked, problems=problems)
    latencies = tuple(0.010 + 0.001 * number for number in range(len(asked)))
    return ModelResult.of(
        result, latencies_s=latencies, seconds=0.5, version="1.0", obtained=Path("golden/obtained.csv"), **more
    )


NOT_COMPARED = {"gear": f"no drawings may leave the house {NASTY}", "pin": "", "rim": ""}


def run(*models: ModelResult, url: str = "http://127.0.0.1:8080", **more) -> RunResult:
    packages = {"torch": "2.13.0", "torchserve": "0.12.0", "numpy": "2.4"}
    return RunResult(models, "local", url, STARTED, 12.25, packages, **more)


def good() -> ModelResult:
    golden = {(f"WA-{i}", "thickness"): 1.0 + i for i in range(24)}
    return model(golden, {key: value + 2.0**-11 for key, value in golden.items()})


def bad() -> ModelResult:
    """One of every kind of failure but those of an empty run, and two dozen values that differ."""
    golden = {
        ("a", "thickness"): 9.607873916625977,
        ("a", "label"): "flange",
        ("a", "count"): 3,
        ("a", "nan"): 1.0,
        ("a", "gone"): 1.0,
        ("a", NASTY): 1.0,
        ("not asked", "thickness"): 1.0,
        ("refused", "thickness"): 1.0,
        **{("many", f"s.{i}"): 1.0 + i for i in range(24)},
    }
    obtained = {
        **golden,
        ("a", "thickness"): 9.7,
        ("a", "label"): "brack|et",
        ("a", "count"): 3.0,
        ("a", "nan"): math.nan,
        ("a", "new"): None,
        ("a", NASTY): NASTY,
        ("new", "thickness"): 1.0,
        **{("many", f"s.{i}"): (1.0 + i) * (1.02 + i / 1000) for i in range(24)},
    }
    for key in (("a", "gone"), ("not asked", "thickness"), ("refused", "thickness")):
        del obtained[key]
    return model(
        golden,
        obtained,
        name="part_class",
        asked=["a", "many", "new", "refused"],
        problems={"refused": "400: the TIFF is <cut> short"},
        retries=2,
    )


def explained() -> ModelResult:
    """The same, asked again for the first stage that differs."""
    words = "tensor differs in 3.1 % of elements, largest 0.004, after equal decode"
    return replace(
        bad(),
        explanations=(
            Explanation("a", "preprocess", words),
            Explanation("many", "preprocess", words),
            Explanation("new", "", f"nothing kept {NASTY}"),
            Explanation("not asked", "", f"nothing kept {NASTY}"),
            Explanation("refused", NASTY, "the model refuses it"),
        ),
    )


def nothing() -> ModelResult:
    return model({}, {}, name="empty")
