"""The frozen records that travel between the floors of the package. They hold data and decide nothing."""

from goldmar.records.asking import Answer, Drawing, Origin, Prediction, Request
from goldmar.records.bisection import Bisection, CulpritSet, Trial, TrialOutcome
from goldmar.records.comparison import Comparison, DifferenceKind, NameSummary, Tolerance, Verdict
from goldmar.records.reach import COMMAND_LINE, Edge, Reach
from goldmar.records.results import ModelComparison, ModelResult, Provenance, RunResult
from goldmar.records.selection import Selection
from goldmar.records.staged import Explanation, Part, Stage, Staged
from goldmar.records.values import CategoricalColumn, Value, Values, Vocabulary, compact

__all__ = [
    "COMMAND_LINE",
    "Answer",
    "Bisection",
    "CategoricalColumn",
    "Comparison",
    "CulpritSet",
    "DifferenceKind",
    "Drawing",
    "Edge",
    "Explanation",
    "ModelComparison",
    "ModelResult",
    "NameSummary",
    "Origin",
    "Part",
    "Prediction",
    "Provenance",
    "Reach",
    "Request",
    "RunResult",
    "Selection",
    "Stage",
    "Staged",
    "Tolerance",
    "Trial",
    "TrialOutcome",
    "Value",
    "Values",
    "Verdict",
    "Vocabulary",
    "compact",
]
