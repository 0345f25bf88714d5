"""Which models a command is about: those that were named, or all there are. Nothing that exists is passed over.

docs/formats.md has the rule: a model is whatever exists in handlers/, golden/ or model_store/. A run over all of them
compares each, or fails and names it; a model without golden on purpose is declared in [tool.goldmar.no_golden].
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from goldmar.config import Project
from goldmar.config import load_project as load_project  # for the edges, which import no config
from goldmar.errors import ConfigError, GoldmarError, UsageError
from goldmar.layout import GOLDEN, Model, Problem, Survey, check_name, did_you_mean, survey


def select_models(project: Project, named: Sequence[str] = ()) -> tuple[str, ...]:
    """The models to compare: those named, or every one that is not declared to have no golden.

    Raises:
        GoldenError, ArchiveError: a model has no golden, or something in the folders cannot be used. The first is
            named, and `detail` has the others.
        UsageError: there is no such model, or none at all.
        ConfigError: [tool.goldmar.no_golden] names what is not there, or a model that has a golden.
    """
    found = survey(project)
    chosen = _asked_for(project, found, named, "nothing can be compared")
    missing = (_no_golden(project, model) for model in chosen if not model.approved)
    _raise_first(found.problems if not named else _of(chosen), missing)
    if not chosen:
        msg = "Nothing can be compared: [tool.goldmar.no_golden] lists every model there is."
        raise UsageError(msg, fix=f"Take one out of it in {project.root / 'pyproject.toml'}")
    return tuple(model.name for model in chosen)


def select_recorded(project: Project, named: Sequence[str] = ()) -> tuple[str, ...]:
    """The models to record or to approve: as `select_models`, but golden/<model> may be without a golden yet."""
    found = survey(project)
    chosen = _asked_for(project, found, named, "what it says is not to become one")
    missing = (_no_golden(project, model) for model in chosen if model.golden is None)
    _raise_first(found.problems if not named else _of(chosen), missing)
    return tuple(model.name for model in chosen)


def select_handlers(project: Project, named: Sequence[str] = ()) -> tuple[Path, ...]:
    """The handler folders of the models named, or every one in handlers/. Raises as `select_models` does.

    A model that is named and has no handler here, but an archive that somebody else built, needs no building.
    """
    found = survey(project)
    for name in named:
        makes = [model.name for model in found.models.values() if project.handlers / name in model.handlers]
        if makes and not found.model(name).handlers:
            msg = f"There is no handler of a model {name}: {project.handlers / name} makes {makes[0]}."
            raise UsageError(msg, fix=f"goldmar archive {makes[0]}", model=name)
    chosen = _named(found, named) if named else [model for model in found.models.values() if model.handlers]
    problems = _of(chosen) if named else found.problems
    _raise_first(each for each in problems if each.path.is_relative_to(project.handlers))
    for model in chosen:
        if not model.handlers and model.archive is None:
            msg = f"There is no handler in {project.handlers} that makes {model.name}."
            fix = f"Put one there, or the archive of {model.name} into {project.model_store}, or name other models"
            raise UsageError(msg, fix=fix, model=model.name)
    if not chosen:
        msg = f"No model was named and {project.handlers} holds none."
        raise UsageError(msg, fix="goldmar init MODEL, or run this in the folder that holds handlers/")
    return tuple(model.handlers[0] for model in chosen if model.handlers)


def select_served(project: Project, named: Sequence[str] = ()) -> tuple[str, ...]:
    """The models to serve: those named, or every one there is. Raises as `select_models` does."""
    found = survey(project)
    chosen = _named(found, named) if named else list(found.models.values())
    problems = _of(chosen) if named else found.problems
    _raise_first(each for each in problems if not each.golden)
    if not chosen:
        msg = f"{project.model_store} holds no archive."
        raise UsageError(msg, fix="goldmar archive")
    return tuple(model.name for model in chosen)


def built_elsewhere(project: Project, named: Sequence[str] = ()) -> list[str]:
    """Those named, or all there are, whose archive is there and is made by no handler of the project, sorted."""
    found = survey(project).models.values()
    foreign = (model.name for model in found if model.archive and not model.handlers and not model.problems)
    return [name for name in foreign if not named or name in named]


def model_names(project: Project) -> list[str]:
    """Every model there is, sorted, whatever is wrong with it."""
    return list(survey(project).models)


def not_compared(project: Project, compared: Iterable[str]) -> dict[str, str]:
    """The models of the project that are not among these: each with the reason that is declared, or an empty text."""
    names = {*survey(project).models} - set(compared)
    return {name: project.no_golden.get(name, "") for name in sorted(names)}


def so_far(done: str, models: Sequence[str], at: int) -> str:
    """How far a job over several models got before it failed at number `at`; nothing of a job over one."""
    if len(models) < 2:
        return ""
    return f"{done}: {', '.join(models[:at]) or 'none'}; not {done}: {', '.join(models[at:])}"


def _asked_for(project: Project, found: Survey, named: Sequence[str], hence: str) -> list[Model]:
    """Those named, or all that are not declared to have no golden; one that is both is refused: `hence`.

    Raises ConfigError, UsageError.
    """
    where = f"{project.root / 'pyproject.toml'}: [tool.goldmar.no_golden] lists"
    for name in project.no_golden:
        if name not in found.models:
            msg = f"{where} {name!r}, and there is no such model.{did_you_mean(name, found.models)}"
            raise ConfigError(msg, fix="Take it out, or correct it")
        if found.models[name].approved:
            msg = f"{where} {name}, and it has a golden: {project.golden / name / GOLDEN}."
            raise ConfigError(msg, fix="Take it out of the table, or remove the golden", model=name)
    if named:
        chosen = _named(found, named)
        for name in (model.name for model in chosen if model.name in project.no_golden):
            msg = f"{name} has no golden on purpose ({project.no_golden[name]}): {hence}."
            fix = f"Name other models, or take {name} out of [tool.goldmar.no_golden] in pyproject.toml"
            raise UsageError(msg, fix=fix, model=name)
        return chosen
    if not found.models and not found.problems:
        msg = f"No model was named and {project.golden} holds none."
        raise UsageError(msg, fix="goldmar init MODEL, or run this in the folder that holds golden/")
    return [model for model in found.models.values() if model.name not in project.no_golden]


def _named(found: Survey, named: Sequence[str]) -> list[Model]:
    for name in named:
        if check_name(name) not in found.models:
            msg = f"There is no model {name} here.{did_you_mean(name, found.models)}"
            known = f"models here: {', '.join(found.models)}" if found.models else f"goldmar init {name}"
            raise UsageError(msg, fix=known, model=name)
    return [found.models[name] for name in dict.fromkeys(named)]


def _of(chosen: Iterable[Model]) -> list[Problem]:
    return [problem for model in chosen for problem in model.problems]


def _no_golden(project: Project, model: Model) -> Problem:
    name, wanted = model.name, project.golden / model.name / GOLDEN
    first = f"goldmar record {name} && goldmar approve {name} --reason 'first golden'"
    declare = f'without a golden on purpose: [tool.goldmar.no_golden] {name} = "why" in pyproject.toml'
    if model.golden is not None:
        return Problem(wanted, f"{name} has no golden: {wanted} is missing.", f"{first}; {declare}", name, golden=True)
    there = " and ".join(str(path) for path in (*model.handlers, model.archive) if path is not None)
    what = f"{name} has no golden: there is {there}, and no {wanted.parent}."
    start = f"put drawings into {wanted.parent / 'drawings'}, then {first}"
    gone = "" if model.handlers else f"; where the model is gone: rm '{model.archive}'"
    return Problem(wanted.parent, what, f"{start}; {declare}{gone}", name, golden=True)


def _raise_first(*problems: Iterable[Problem]) -> None:
    """One problem of each model: whoever has a file in the place of golden/gear need not hear that gear has none."""
    found: dict[str, Problem] = {}
    for each in (problem for group in problems for problem in group):
        found.setdefault(each.model or str(each.path), each)
    if found:
        first, *others = found.values()
        error: GoldmarError = first.error()
        error.detail = "\n".join(f"and: {other.what}" for other in others) or None
        raise error
