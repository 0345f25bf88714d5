"""The layout of a project and the names of models. docs/formats.md describes both for users.

The rule: whatever exists in handlers/, golden/ or model_store/ is a model. What cannot be one and must not be ignored
either (a name that is not allowed, a file in the place of a folder, a link that leads nowhere) is a `Problem`.
"""

import difflib
import errno
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from goldmar.config import Project, read_toml
from goldmar.errors import ArchiveError, ConfigError, GoldenError, GoldmarError, UsageError
from goldmar.names import NAME_FIX, NOTE, is_model_name, no_name

HANDLER, RECIPE, COMMON, GOLDEN, SUFFIX = "handler.py", "archive.toml", "common", "expected.csv", ".mar"
CONFIG, REQUIREMENTS, MODEL, WEIGHTS = "model-config.yaml", "requirements.txt", "model.py", "weights.pt"

IN_ARCHIVE = frozenset({HANDLER, RECIPE, CONFIG, REQUIREMENTS, MODEL, WEIGHTS})
"""What of a handler's folder goes into its archive, or says what does, under a name of its own; modules do as well."""

OF_GOLDEN = frozenset({GOLDEN, "drawings", "request.toml", "tolerance.toml"})
"""Files of a golden's folder that affect a request or a comparison."""

_AT_WORK = re.compile(r"\..+\.[0-9a-f]{16}\.tmp", re.DOTALL)  # what `init` is just laying together


class Place(StrEnum):
    """Where a thing lies, of which the name says a model's."""

    handlers = "handlers"
    golden = "golden"


_MARKS = {
    Place.handlers: frozenset({HANDLER, RECIPE}),
    Place.golden: OF_GOLDEN | {"provenance.toml"},
}


# ---- names ----------------------------------------------------------------------------------------------------------


def check_name(name: str) -> str:
    """The name, where a model may be called so. Raises UsageError."""
    if not is_model_name(name):
        raise UsageError(no_name(name), fix=NAME_FIX)
    return name


def by_model(archives: Iterable[Path]) -> dict[str, Path]:
    """Archives by the model that each is served as: its file name without the suffix.

    Raises UsageError for a name that no model may have, and for two archives of one model.
    """
    named: dict[str, Path] = {}
    for path in archives:
        name = check_name(path.stem)
        if name in named:
            raise UsageError(
                f"{named[name]} and {path} would both be served as {name}.", fix="Rename one of the files", model=name
            )
        named[name] = path
    return named


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean gear?` for a name that is nearly one of those; otherwise nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]}?" if near else ""


def model_of(recipe: Mapping[str, Any], folder: str) -> str:
    """The model that a handler folder makes: what its archive.toml says, or the folder's name.

    Raises ConfigError where that is no name for a model.
    """
    name = recipe.get("model", folder)
    if not isinstance(name, str) or not is_model_name(name):
        raise ConfigError(no_name(name), fix=NAME_FIX)
    return name


def model_of_archive(name: str) -> str:
    """The model of an archive in model_store/ by its file name; empty where it is none, or no name for a model."""
    model = name.removesuffix(SUFFIX)
    return model if model != name and is_model_name(model) else ""


# ---- one thing ------------------------------------------------------------------------------------------------------


class Entry(StrEnum):
    """What a thing in handlers/ or golden/ is."""

    model = "model"  # or what is there of one
    shared = "shared"  # handlers/common
    beside = "beside"  # a file for people or tools, a hidden folder
    refused = "refused"  # no name for a model, and nothing that may lie beside one


def kind_of(place: Place, name: str, *, is_folder: bool, inside: Iterable[str] = ()) -> Entry:
    """What a thing in handlers/ or golden/ is, by its name and, of a folder, the names in it."""
    holds_model = is_folder and not _MARKS[place].isdisjoint(inside)
    if place is Place.handlers and name == COMMON and is_folder and not holds_model:
        return Entry.shared
    if name.startswith((".", "_")):
        # Of editors, Python, or a goldmar that is at work; but a model that is parked so must not be passed over.
        return Entry.refused if holds_model and not _AT_WORK.fullmatch(name) else Entry.beside
    if is_model_name(name):
        return Entry.model
    return Entry.beside if not is_folder and NOTE.fullmatch(name) else Entry.refused


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be used and must not be ignored. `model` is empty if it belongs to no model."""

    path: Path
    what: str
    fix: str
    model: str = ""
    golden: bool = False

    def error(self) -> GoldmarError:
        """To raise: GoldenError where it is about a golden, otherwise ArchiveError; both end with exit code 2."""
        return (GoldenError if self.golden else ArchiveError)(self.what, fix=self.fix, model=self.model or None)


# ---- all of it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Model:
    """What is there of one model.

    `handlers` are the folders whose archive is called so, in order; more than one is a problem. `golden` and `archive`
    are None where there is no such folder or file; `approved` says whether there is an expected.csv.
    """

    name: str
    handlers: tuple[Path, ...] = ()
    golden: Path | None = None
    archive: Path | None = None
    approved: bool = False
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """Every model of a project by name, sorted, and every problem: those of the models and those of nobody."""

    models: Mapping[str, Model]
    problems: tuple[Problem, ...]

    def model(self, name: str) -> Model:
        """One model; an empty record if nothing of that name exists."""
        return self.models.get(name, Model(name))


def survey(project: Project) -> Survey:
    """What exists in handlers/, golden/ and model_store/. Reads names and archive.toml, and nothing else."""
    found = _Found()
    for path in found.entries(project.handlers):
        found.take_folder(Place.handlers, path)
    for path in found.entries(project.golden):
        found.take_folder(Place.golden, path)
    for path in found.entries(project.model_store):
        found.take_archive(path)
    _refuse_duplicates(found)
    _refuse_left_over(found)
    problems = tuple(found.problems)
    names = {*found.handlers, *found.golden, *found.archives, *(each.model for each in problems if each.model)}
    models = {
        name: Model(
            name,
            tuple(found.handlers.get(name, ())),
            found.golden.get(name),
            found.archives.get(name),
            approved=name in found.golden and os.path.lexists(found.golden[name] / GOLDEN),
            problems=tuple(each for each in problems if each.model == name),
        )
        for name in sorted(names)
    }
    return Survey(models, problems)


class _Found:
    """What was found so far, by model."""

    def __init__(self) -> None:
        self.handlers: dict[str, list[Path]] = {}
        self.golden: dict[str, Path] = {}
        self.archives: dict[str, Path] = {}
        self.problems: list[Problem] = []

    def refuse(self, path: Path, what: str, fix: str, model: str = "", *, golden: bool = False) -> None:
        self.problems.append(Problem(path, what, fix, model, golden))

    def entries(self, folder: Path, model: str = "") -> list[Path]:
        """What lies in a folder, sorted; nothing where it is not there or cannot be listed, which is a problem."""
        try:
            return sorted(folder.iterdir()) if os.path.lexists(folder) else []
        except OSError as error:
            self.refuse(folder, f"{folder} cannot be listed: {error.strerror}.", f"ls -ld '{folder}'", model)
            return []

    def take_folder(self, place: Place, path: Path) -> None:
        name, golden, is_folder = path.name, place is Place.golden, _is_folder(path)
        inside = {each.name for each in self.entries(path, _named(name))} if is_folder else set[str]()
        kind = kind_of(place, name, is_folder=is_folder, inside=inside)
        if kind is Entry.refused:
            fix = f"mv '{path}' to a name that is one, or out of {path.parent}. {NAME_FIX}"
            self.refuse(path, f"{path}: {no_name(name)}", fix, golden=golden)
        elif kind is Entry.model and not is_folder:
            back = f" (git checkout -- '{path}')" if golden else ""
            fix = f"Put the {place if golden else 'handler'}'s folder there{back}, or: rm '{path}'"
            self.refuse(path, _no_folder(path), fix, name, golden=golden)
        elif kind is Entry.model and golden:
            self.golden[name] = path
        elif kind is Entry.model:
            try:
                model = model_of(read_toml(path / RECIPE), name) if RECIPE in inside else name
            except ConfigError as error:
                what = error.what if str(path) in error.what else f"{path / RECIPE}: {error.what}"
                self.refuse(path, what, error.fix or "", name)
                model = name
            self.handlers.setdefault(model, []).append(path)

    def take_archive(self, path: Path) -> None:
        stem, suffix = os.path.splitext(path.name)  # noqa: PTH122, a Path would see no suffix in `.mar`
        if path.name.startswith(".") or suffix.lower() != SUFFIX:
            return
        if suffix != SUFFIX or not is_model_name(stem):
            what = f"{path}: {no_name(stem)}" if suffix == SUFFIX else f"{path} does not end in {SUFFIX}."
            self.refuse(path, what, f"mv '{path}' to a name that is one, or: rm '{path}'. {NAME_FIX}", _named(stem))
        elif not path.is_file():
            what = f"{path} is a link that leads nowhere." if not path.exists() else f"{path} is no file."
            self.refuse(path, what, f"rm -r '{path}' && goldmar archive {stem}", stem)
        else:
            self.archives[stem] = path


def _is_folder(path: Path) -> bool:
    """Whether it is a folder, or may be one: an error can leave that open."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        return error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


def _named(name: str) -> str:
    return name if is_model_name(name) else ""


def _no_folder(path: Path) -> str:
    if path.is_symlink() and not path.exists():
        return f"{path} is a link that leads nowhere."
    return f"{path} is a file, and a folder should be there (a link that git wrote as text?)."


def _refuse_left_over(found: _Found) -> None:
    """An archive of the name that a handler's folder has and its model has no more: the model was renamed.

    Compared with its golden it would always pass, even after changes of the handler.
    """
    makes = {folder.name: model for model, folders in found.handlers.items() for folder in folders}
    for name, archive in found.archives.items():
        if name not in found.handlers and name in makes:
            folder = next(each for each in found.handlers[makes[name]] if each.name == name)
            what = f"{archive} is left over: {folder} makes {makes[name]} now, and nothing here makes {name}."
            golden = f"; then mv '{found.golden[name]}' to {makes[name]}, or remove it" if name in found.golden else ""
            fix = f"rm '{archive}'{golden}. Where somebody else builds {name}, give {folder} another name"
            found.refuse(archive, what, fix, name)


def _refuse_duplicates(found: _Found) -> None:
    for name, folders in found.handlers.items():
        if len(folders) > 1:
            both = " and ".join(map(str, folders))
            fix = f"Give one of them another name: model = ... in its {RECIPE}"
            found.refuse(folders[0], f"{both} both make the model {name}.", fix, name)
    spelt: dict[str, set[str]] = {}
    for name in (*found.handlers, *found.golden, *found.archives):
        spelt.setdefault(name.lower(), set()).add(name)
    for names in spelt.values():
        for name in sorted(names) if len(names) > 1 else ():
            path = (*found.handlers.get(name, ()), found.golden.get(name), found.archives.get(name))
            what = f"The models {' and '.join(sorted(names))} differ in nothing but capital letters."
            found.refuse(next(filter(None, path)), what, "Rename one of them: some file systems hold but one", name)
