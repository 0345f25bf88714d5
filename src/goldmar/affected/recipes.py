"""What each model is made of, read from one side of a change: its archive.toml and its requirements.txt."""

import json
import posixpath
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from goldmar.affected.git import FileType, Tree
from goldmar.config import MALFORMED_TOML, Affected
from goldmar.errors import ConfigError, UsageError
from goldmar.layout import (
    COMMON,
    HANDLER,
    IN_ARCHIVE,
    RECIPE,
    REQUIREMENTS,
    Entry,
    Place,
    kind_of,
    model_of,
    model_of_archive,
)
from goldmar.names import NAME_FIX, no_name
from goldmar.requirements import Asked, asked_for


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders, below the project's root, with "/", and the table [tool.goldmar.affected]."""

    handlers: str
    golden: str
    model_store: str
    rules: Affected


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The model of one handler folder. `shared` are the files that archive.toml lists, in any folder.

    `unknown` says why archive.toml cannot be read, if so: any shared file may then be a part of the model.
    """

    folder: str
    name: str
    requirements: Asked
    shared: frozenset[str] = frozenset()
    unknown: str = ""


class Models:
    """The models of a tree. The handler folders are read at the first request, all at once.

    `handlers` are the folders under handlers/, `goldens` those under golden/. `bare` are handler folders with neither a
    handler nor archive.toml: they count as models, but the use of their files is unknown. `others` are models without
    a folder: a file in the place of a handler's folder, an archive. `refused` are paths that `goldmar check` refuses.
    """

    def __init__(self, tree: Tree, layout: Layout) -> None:
        self.tree, self.layout = tree, layout
        self.handlers: set[str] = set()
        self.goldens: set[str] = set()
        self.bare: set[str] = set()
        self.others: set[str] = set()
        self.refused: list[str] = []
        self._sources: dict[str, ModelSource] = {}
        inside: dict[tuple[Place, str], set[str]] = {}
        whole: dict[tuple[Place, str], FileType] = {}  # what is no folder to git: a file, a link or a submodule
        for path, kind in tree.entries.items():
            for place in Place:
                if parts := below(path, getattr(layout, place)):
                    inside.setdefault((place, parts[0]), set()).update(parts[1:2])
                    if len(parts) == 1:
                        whole[place, parts[0]] = kind
            store = below(path, layout.model_store)
            if len(store) == 1 and (model := model_of_archive(store[0])):
                self.others.add(model)
        for (place, name), names in inside.items():
            is_folder = whole.get((place, name)) is not FileType.file
            entry = kind_of(place, name, is_folder=is_folder, inside=names)
            if entry is Entry.refused:
                self.refused.append(f"{getattr(layout, place)}/{name}")
            elif entry is Entry.model and not is_folder:
                self.others.add(name)
            elif entry is Entry.model and place is Place.golden:
                self.goldens.add(name)
            elif entry is Entry.model:
                self.handlers.add(name)
                if (place, name) not in whole and names.isdisjoint({HANDLER, RECIPE}):
                    self.bare.add(name)

    def names(self) -> list[str]:
        """Every model: of a handler folder, with a golden, or one of `others`."""
        return sorted({source.name for source in self.sources()} | self.goldens | self.others)

    def check(self) -> None:
        """Raise UsageError for a path that no run over all models accepts."""
        if self.refused:
            name = self.refused[0].rpartition("/")[2]
            more = "".join(f"\nand: {shown(path)}" for path in self.refused[1:])
            raise UsageError(f"{shown(self.refused[0])}: {no_name(name)}", fix=NAME_FIX, detail=more.strip() or None)

    def sources(self) -> list[ModelSource]:
        """The models of all handler folders, in order."""
        return [self.source(folder) for folder in sorted(self.handlers)]

    def source(self, folder: str) -> ModelSource:
        """The model of a handler folder, also of one that is not in the tree."""
        if folder not in self._sources:
            folders = sorted((self.handlers | {folder}) - self._sources.keys())
            homes = {each: f"{self.layout.handlers}/{each}" for each in folders}
            contents = self.tree.read(f"{home}/{name}" for home in homes.values() for name in (RECIPE, REQUIREMENTS))

            def read(path: str) -> bytes | None:
                if path not in contents:  # what a requirements.txt includes
                    contents.update(self.tree.read([path]))
                return contents[path]

            for each, home in homes.items():
                requirements = asked_for(f"{home}/{REQUIREMENTS}", read)
                self._sources[each] = _source(each, f"{home}/{RECIPE}", contents[f"{home}/{RECIPE}"], requirements)
        return self._sources[folder]


def _source(folder: str, path: str, content: bytes | None, requirements: Asked) -> ModelSource:
    if content is None:
        return ModelSource(folder, folder, requirements, unknown=f"{path} is missing")
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
        name = model_of(table, folder)
        home = posixpath.dirname(path)
        listed = {posixpath.normpath(each) for each in _listed(table, home, f"{posixpath.dirname(home)}/{COMMON}")}
    except MALFORMED_TOML as error:
        return ModelSource(folder, folder, requirements, unknown=f"{path} is not TOML ({error})")
    except ConfigError:
        return ModelSource(folder, folder, requirements, unknown=f"{path}: model is no name")
    except TypeError as error:
        return ModelSource(
            folder, folder, requirements, unknown=f"{path}: {error} is no name of a file, or no list of them"
        )
    return ModelSource(folder, name, requirements, frozenset(listed))


def _listed(table: dict[str, object], home: str, common: str) -> Iterator[str]:
    """The files that archive.toml names. Raises TypeError with the key that is not valid."""
    for key, folder in (("common", common), ("extra", home), ("serialized_file", home), ("model_file", home)):
        names = [table.get(key, "")] if key.endswith("_file") else table.get(key, [])
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            raise TypeError(key)
        yield from (f"{folder}/{each}" for each in names if each)


def below(path: str, folder: str) -> list[str]:
    """The parts of `path` below `folder`; empty where it is not below it."""
    return path[len(folder) + 1 :].split("/") if path.startswith(f"{folder}/") else []


def is_part(name: str) -> bool:
    """Whether a file directly in a handler's folder goes into its archive, listed or not."""
    return name.endswith(".py") or name in IN_ARCHIVE


def shown(text: str) -> str:
    """A path for reports: as it is, or quoted if it has characters that cannot be printed."""
    return text if text.isprintable() else json.dumps(text)
