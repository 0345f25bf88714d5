"""Which models there are, and all that each is held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldmar.config import Project, Tolerances, load_tolerances
from goldmar.errors import GoldenError, UsageError
from goldmar.golden import find_drawings, read_golden
from goldmar.records import Cells, Drawing

__all__ = ["Golden", "read_model", "select_models"]


@dataclass(frozen=True, slots=True)
class Golden:
    """All that one model is held against. `cells` is empty where only recording is asked for."""

    model: str
    folder: Path
    drawings: tuple[Drawing, ...]
    tolerances: Tolerances
    cells: Cells


def select_models(project: Project, named: Sequence[str], *, folder: Path | None = None) -> tuple[str, ...]:
    """The models named, or every one that has a folder under `folder` (the goldens by default), sorted.

    Raises UsageError where there is none, or where a named one has no folder.
    """
    folder = folder or project.golden
    there = (
        sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "_")))
        if folder.is_dir()
        else []
    )
    if folder == project.handlers:
        there = [name for name in there if (folder / name / "handler.py").exists()]
    for model in named:
        if model not in there:
            msg = f"There is no {folder / model}."
            known = f"models here: {', '.join(there)}" if there else f"goldmar init {model}"
            raise UsageError(msg, fix=known, model=model)
    if not (named or there):
        msg = f"No model was named and {folder} holds none."
        raise UsageError(msg, fix="goldmar init MODEL, or run this in the folder that holds golden/")
    return tuple(dict.fromkeys(named)) or tuple(there)


def read_model(project: Project, model: str, *, with_cells: bool) -> Golden:
    folder = project.golden / model
    tolerances_path = folder / "tolerance.toml"
    tolerances = load_tolerances(tolerances_path) if tolerances_path.exists() else Tolerances()
    cells = Cells([], [], [])
    if with_cells:
        if not (folder / "expected.csv").exists():
            msg = f"{model} has no golden: {folder / 'expected.csv'} is missing."
            raise GoldenError(
                msg, fix=f"goldmar record {model} && goldmar approve {model} --reason 'first golden'", model=model
            )
        cells = read_golden(folder, tolerances.columns)
    return Golden(model, folder, tuple(find_drawings(folder / "drawings")), tolerances, cells)
