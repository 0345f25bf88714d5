"""Read the golden of a model and everything that belongs to it."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from goldmar.config import Project, Tolerances, load_tolerances
from goldmar.errors import GoldenError
from goldmar.golden import RequestSettings, find_drawings, read_golden, read_provenance, read_request
from goldmar.records import Drawing, Reach, Value, Values


@dataclass(frozen=True, slots=True)
class Golden:
    """The golden of one model, its drawings, tolerances and request. `expected` is empty for a recording.

    `version` is that of the model when the golden was approved; empty if unknown.
    """

    model: str
    folder: Path
    drawings: tuple[Drawing, ...]
    tolerances: Tolerances
    expected: Values
    request: RequestSettings = field(default_factory=RequestSettings)
    version: str = ""


def read_model(project: Project, model: str, *, with_expected: bool, reach: Reach | None = None) -> Golden:
    """Read golden/<model>. Options in `reach` take precedence over its request.toml.

    Raises GoldenError, ConfigError, UsageError.
    """
    folder = project.golden / model
    request = read_request(folder).overridden(reach or Reach())
    tolerances = load_tolerances(folder / "tolerance.toml")
    expected, version = Values([], [], []), ""
    if with_expected:
        if not (folder / "expected.csv").exists():
            msg = f"{model} has no golden: {folder / 'expected.csv'} is missing."
            raise GoldenError(
                msg, fix=f"goldmar record {model} && goldmar approve {model} --reason 'first golden'", model=model
            )
        expected = read_golden(folder, tolerances.columns)
        if os.path.lexists(folder / "provenance.toml"):
            version = read_provenance(folder / "provenance.toml").version
    drawings = request.drawings(drawings_of(project, model))
    return Golden(model, folder, drawings, tolerances, expected, request, version)


def drawings_of(project: Project, model: str) -> list[Drawing]:
    """The drawings of a model with the content type of its request.toml, checked. Raises GoldenError, ConfigError."""
    folder, at_most = project.golden / model, round(project.max_drawing_mb * 2**20)
    found = find_drawings(folder / "drawings", within=(project.root, project.golden), at_most=at_most)
    return list(read_request(folder).drawings(found))


def by_drawing(golden: Golden) -> dict[str, Golden]:
    """One golden for each drawing, of the folder or of the golden, sorted by drawing."""
    drawings = {drawing.id: drawing for drawing in golden.drawings}
    rows: dict[str, tuple[list[str], list[Value]]] = {}
    for drawing, name, value in zip(
        golden.expected.drawing_ids, golden.expected.names, golden.expected.values, strict=True
    ):
        names, values = rows.setdefault(drawing, ([], []))
        names.append(name)
        values.append(value)
    cut = {}
    for drawing in sorted({*drawings, *rows}):
        names, values = rows.get(drawing, ([], []))
        expected = Values([drawing] * len(names), names, values)
        cut[drawing] = replace(golden, drawings=tuple(filter(None, [drawings.get(drawing)])), expected=expected)
    return cut
