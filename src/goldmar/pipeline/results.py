"""What the answers of a model come to: compared once, and put together with how they came about."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldmar.compare import compare
from goldmar.errors import ConfigError
from goldmar.golden import values_of
from goldmar.pipeline.goldens import Golden
from goldmar.predict import predict
from goldmar.records import (
    Comparison,
    DifferenceKind,
    ModelComparison,
    ModelResult,
    Origin,
    Prediction,
    Provenance,
    Values,
)

__all__ = ["Obtained", "compare_model", "predict", "problems_of", "refuse_unused_patterns", "result_of", "values_of"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Obtained:
    """What one model answered, and where that comes from.

    `values` are those of the predictions; `path` is the file that holds them, None where another recording took its
    place. `seconds` is how long the asking took.
    """

    predictions: tuple[Prediction, ...]
    values: Values
    provenance: Provenance
    seconds: float
    path: Path | None


def problems_of(predictions: Sequence[Prediction]) -> dict[str, str]:
    """Drawing id -> why there is no answer for it."""
    return {p.drawing_id: p.problem for p in predictions if p.problem is not None}


def compare_model(golden: Golden, predictions: Sequence[Prediction], obtained: Values) -> ModelComparison:
    """Predictions of one model (or of one of its drawings, with the golden cut to it), compared with its golden.

    `obtained` are the values of the predictions.
    """
    return compare(
        golden.expected,
        obtained,
        golden.tolerances,
        model=golden.model,
        drawings=[prediction.drawing_id for prediction in predictions],
        problems=problems_of(predictions),
    )


def result_of(
    golden: Golden,
    compared: ModelComparison,
    predictions: Sequence[Prediction],
    origin: Origin,
    version: str,
    **more: Any,
) -> ModelResult:
    """The result of a model, as the reports show it. `version` is what was served; `more` are fields of ModelResult."""
    return ModelResult.of(
        compared,
        *_other_version(golden, version),
        latencies_s=tuple(prediction.latency_s for prediction in predictions),
        retries=sum(prediction.attempts - 1 for prediction in predictions),
        version=version,
        golden_version=golden.version,
        request=golden.request.described(origin),
        **more,
    )


def _other_version(golden: Golden, got: str) -> list[Comparison]:
    """A failure of its own kind where the version served is known, and is not the golden's.

    Whatever the values say: they may be within tolerance, and are the answers of another model.
    """
    want = golden.version
    if not want or not got or want == got:
        return []
    accept = f"goldmar record {golden.model} && goldmar approve {golden.model} --reason ..."
    detail = f"the golden is of version {want}, and {got} is served; serve {want}, or accept {got}: {accept}"
    return [Comparison(DifferenceKind.OTHER_VERSION, "", want=want, got=got, detail=detail)]


def refuse_unused_patterns(golden: Golden, obtained: Values) -> None:
    """Raise ConfigError where a tolerance pattern holds for no value: what is written there would pass unseen.

    It is misspelt and matches none, or others hold for each that it matches.
    """
    names = {*golden.expected.names, *obtained.names}
    unused = golden.tolerances.unused(names)
    path = golden.folder / "tolerance.toml"
    # Where nothing was expected and nothing answered every pattern is unused; the report has better words for that.
    if unused and (len(golden.expected) or len(obtained)):
        msg = f"{path}: the pattern {unused[0]!r} matches no value of the golden or of the answers."
        raise ConfigError(msg, fix=f'correct or remove [value."{unused[0]}"] in {path}', model=golden.model)
    for pattern, instead in golden.tolerances.shadowed(names).items():
        shown = ", ".join(map(repr, instead[:_SHOWN])) + (" and others" if instead[_SHOWN:] else "")
        msg = (
            f"{path}: the pattern {pattern!r} holds for no value: what it matches is held by {shown}. "
            "A name itself goes before every pattern, and of several patterns the last one holds."
        )
        fix = f'remove [value."{pattern}"], or move it below the patterns that take its place'
        raise ConfigError(msg, fix=fix, model=golden.model)
