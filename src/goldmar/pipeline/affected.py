"""Which models a change reaches: what git knows, placed by the rules."""

import os
from collections.abc import Sequence
from dataclasses import replace

from goldmar.affected import Layout, read_changes, read_file, read_tree, select, select_all
from goldmar.config import Affected, Project, project_of
from goldmar.errors import ConfigError
from goldmar.records import Selection

PYPROJECT = "pyproject.toml"


def find_affected(project: Project, base: str | None, head: str | None) -> Selection:
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
        found = replace(select_all(change, layout, "all of them are asked for"), head=change.after.commit)
        return _without_golden(project, found)
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
    bases, head = [change.before.commit for change in changes], changes[0].after.commit
    joined = _joined([select(change, layout, earlier, doubts) for change in changes])
    return _without_golden(project, replace(joined, base=base, bases=bases, head=head))


def _without_golden(project: Project, found: Selection) -> Selection:
    """Nothing can be compared of a model that has no golden on purpose: no job is made for it, and that is said."""
    below = _below(project, project.golden)
    left_out = sorted(project.no_golden.keys() & found.models.keys())
    why = [(f"{below}/{model}", f"no golden on purpose: {project.no_golden[model]}") for model in left_out]
    models = {model: reasons for model, reasons in found.models.items() if model not in project.no_golden}
    return replace(found, models=models, passed_over=[*found.passed_over, *why])


def _layout(project: Project, rules: Affected) -> Layout:
    handlers, golden, store = (
        _below(project, each) for each in (project.handlers, project.golden, project.model_store)
    )
    return Layout(handlers, golden, store, rules)


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
