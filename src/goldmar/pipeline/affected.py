"""Which models a change reaches: what git knows, placed by the rules."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from goldmar.affected import (
    MOST_JOBS,
    Layout,
    Selection,
    matrix,
    read_changes,
    read_file,
    read_tree,
    select,
    select_all,
)
from goldmar.config import Affected, Project, project_of
from goldmar.errors import ConfigError
from goldmar.text import clean

__all__ = ["MOST_JOBS", "Reached", "find_affected"]

PYPROJECT = "pyproject.toml"

_REASONS, _SHOWN = 4, 20  # lines for people; --json has them all


@dataclass(frozen=True, slots=True)
class Reached:
    """What a change reaches, and the change: merge bases and head as commits.

    `head` is empty for the working tree, `base` and `bases` where every model was asked for.
    """

    selection: Selection
    base: str
    bases: Sequence[str]
    head: str

    def to_json(self) -> str:
        """One document; its schema is docs/affected-schema.json."""
        found = self.selection
        return json.dumps(
            {
                "schema": 1,
                "base": self.base or None,
                "merge_bases": list(self.bases),
                "head": self.head or None,
                "working_tree": not self.head,
                "paths": found.touched,
                "known": found.known,
                "everything": found.everything,
                "models": [{"model": model, "why": why} for model, why in found.models.items()],
                "deleted": found.deleted,
                "passed_over": [{"path": path, "why": why} for path, why in found.passed_over],
            },
            indent=2,
            ensure_ascii=False,
        )

    def lines(self) -> Iterator[str]:
        """For people: each model with why, then what was passed over."""
        found = self.selection
        until = self.head[:12] or "the working tree, what is not committed included"
        if self.bases:
            since = f"{self.base} ({', '.join(commit[:12] for commit in self.bases)})"
            yield f"From {since} to {until}: {_counted(found.touched, 'path')}"
        if found.everything:
            yield f"Every model is reached, {found.known} in all:"
            yield from (f"  {why}" for why in found.everything[:_SHOWN])
            if len(found.everything) > _SHOWN:
                yield f"  and {_counted(len(found.everything) - _SHOWN, 'more reason')}"
        elif found.models:
            yield f"{_counted(len(found.models), 'model')} of {found.known}:"
        else:
            yield f"{'' if found.touched else 'Nothing differs: '}no model of {found.known} is reached.".capitalize()
        for model, reasons in found.models.items():
            yield f"  {model}{': ' if reasons else ''}{'; '.join(reasons[:_REASONS])}"
            if len(reasons) > _REASONS:
                yield f"    and {_counted(len(reasons) - _REASONS, 'more reason')}"
        yield from (f"  {model} is deleted: nothing is left to check" for model in found.deleted)
        if found.passed_over:
            yield "Reaches no model:"
            yield from (f"  {path}: {why}" for path, why in found.passed_over[:_SHOWN])
        if len(found.passed_over) > _SHOWN:
            yield f"  and {len(found.passed_over) - _SHOWN} more, which --json lists"

    def to_markdown(self) -> str:
        """A section for the summary page of a CI run."""
        text = "\n".join(map(clean, self.lines())).replace("```", "` ` `")
        return f"## goldmar affected\n\n```text\n{text}\n```\n"

    def to_matrix(self, jobs: int) -> str:
        """One line of JSON for `strategy.matrix` of GitHub Actions."""
        return matrix(self.selection, jobs)


def find_affected(project: Project, base: str | None, head: str | None) -> Reached:
    """The models that the change from `base` to `head` reaches; the working tree where `head` is None.

    What is ignored, which lock files count and what is a tool is read from pyproject.toml as `base` has it: a change
    cannot exempt itself. Where the models are is read from the head's. Every model of the head where there is no base.
    Raises UsageError where git cannot tell what differs, ConfigError for a head whose pyproject.toml cannot be read.
    """
    if head is not None:
        project = project_of(project.root, read_file(project.root, head, PYPROJECT))
    layout = _layout(project, project.affected)
    folders = [layout.handlers, layout.golden, layout.model_store]
    if base is None:
        change = read_tree(project.root, head, folders)
        selection = select_all(change, layout, "all of them are asked for")
        return Reached(_without(project, selection), "", (), change.after.commit)
    earlier, doubts = None, []
    try:
        before = project_of(project.root, read_file(project.root, base, PYPROJECT))
    except ConfigError as error:
        layout = _layout(project, Affected())
        doubts = [f"{PYPROJECT} of {base} does not say what reaches no model: {error.what}"]
    else:
        layout, earlier = _layout(project, before.affected), _layout(before, before.affected)
        if earlier == layout:
            earlier = None
        else:
            doubts = [f"{PYPROJECT} of {base} has the models in other folders"]
            folders += [earlier.handlers, earlier.golden, earlier.model_store]
    changes = read_changes(project.root, base, head, folders, both=earlier is not None)
    found = [select(change, layout, earlier, doubts) for change in changes]
    return Reached(
        _without(project, _joined(found)), base, [change.before.commit for change in changes], changes[0].after.commit
    )


def _without(project: Project, selection: Selection) -> Selection:
    """Nothing can be compared of a model that has no golden on purpose: no job is made for it, and that is said."""
    for model in sorted(project.no_golden.keys() & selection.models.keys()):
        del selection.models[model]
        where = f"{_below(project, project.golden)}/{model}"
        selection.passed_over.append((where, f"no golden on purpose: {project.no_golden[model]}"))
    return selection


def _layout(project: Project, rules: Affected) -> Layout:
    return Layout(
        handlers=_below(project, project.handlers),
        golden=_below(project, project.golden),
        model_store=_below(project, project.model_store),
        ignore=rules.ignore,
        locks=rules.locks,
        tools=rules.tools,
    )


def _below(project: Project, folder: os.PathLike[str]) -> str:
    return os.path.relpath(folder, project.root)


def _joined(found: Sequence[Selection]) -> Selection:
    """Branches that crossed have several merge bases: what is reached from any of them counts."""
    if len(found) == 1:
        return found[0]
    models: dict[str, list[str]] = {}
    for selection in found:
        for model, why in selection.models.items():
            models[model] = list(dict.fromkeys([*models.get(model, []), *why]))
    return Selection(
        models=dict(sorted(models.items())),
        everything=list(dict.fromkeys(why for each in found for why in each.everything)),
        deleted=sorted({name for each in found for name in each.deleted}),
        passed_over=list(dict.fromkeys(entry for each in found for entry in each.passed_over)),
        known=max(each.known for each in found),
        touched=max(each.touched for each in found),
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
