"""A finished run over models, and where its values come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from goldmar.records.comparison import Comparison, NameSummary
from goldmar.records.staged import Explanation

__all__ = ["ModelComparison", "ModelResult", "Provenance", "RunResult"]


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """The answers of one model, compared with its golden.

    `drawings` and `values` count what was compared; `failures` lists everything that does not pass.
    `closest` lists the passing floats nearest to their limit, so that a green report still shows its margin.
    `drawing_ids` are all that were asked or expected, sorted.
    """

    model: str
    drawings: int
    values: int
    failures: tuple[Comparison, ...]
    summaries: tuple[NameSummary, ...] = ()
    closest: tuple[Comparison, ...] = ()
    drawing_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelResult(ModelComparison):
    """The same with how it came about, as the reports show it.

    `explanations` has one for each failing drawing, where they were asked for.
    `version` is what was served, empty where nobody tells; `golden_version` what the golden was approved of.
    `request` says in words how the model was asked, where that was not as TorchServe has it.
    """

    latencies_s: tuple[float, ...] = ()
    retries: int = 0
    version: str = ""
    archive_digest: str = ""
    seconds: float = 0.0
    obtained: Path | None = None
    explanations: tuple[Explanation, ...] = ()
    golden_version: str = ""
    request: tuple[str, ...] = ()

    @classmethod
    def of(cls, compared: ModelComparison, *failures: Comparison, **more: Any) -> Self:
        """What was compared, with more failures before its own, and with the fields of this class."""
        common = {each.name: getattr(compared, each.name) for each in fields(ModelComparison)}
        return cls(**{**common, "failures": (*failures, *compared.failures), **more})


@dataclass(frozen=True, slots=True)
class RunResult:
    """A whole run, as the reports show it.

    `not_compared` are the other models of the project: each with the reason why it has no golden on purpose, or with an
    empty text where it was not asked for. None where a run is not about a project's models.
    """

    models: tuple[ModelResult, ...]
    backend: str
    url: str
    started: datetime
    seconds: float
    packages: Mapping[str, str] = field(default_factory=dict)
    not_compared: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a golden or an obtained file comes from.

    `archive_digest` and `packages` are empty where a foreign server does not tell. `approved_*` and `reason` are
    empty until `approve` fills them in. `csv_sha256` is of the CSV that it belongs to, in hexadecimal.
    """

    model: str
    version: str
    archive_digest: str
    backend: str
    url: str
    obtained_at: datetime
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    approved_by: str = ""
    approved_at: datetime | None = None
    reason: str = ""
    csv_sha256: str = ""
