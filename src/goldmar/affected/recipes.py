"""What each model is made of, read from one side of a change: its archive.toml and its requirements.txt."""

import json
import posixpath
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from goldmar.affected.git import Kind, Tree
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
    """Where things are, below the project's root, with "/", and what [tool.goldmar.affected] says."""

    handlers: str
    golden: str
    model_store: str
    rules: Affected


@dataclass(frozen=True, slots=True)
class Made:
    """What one handler folder makes. `shared` are the files that archive.toml lists, wherever they lie.

    `unknown` says why archive.toml does not tell, if so; every shared file may be in it then. `asked` is what its
    requirements.txt asks for.
    """

    folder: str
    name: str
    asked: Asked
    shared: frozenset[str] = frozenset()
    unknown: str = ""


class Models:
    """The models of a tree. What the folders make is read when first asked for, all at once.

    `handlers` are the folders under handlers/, `goldens` those under golden/. `bare` are the handler folders that hold
    neither a handler nor archive.toml: models all the same, but nobody can tell what their files are for.
    `others` are models all the same, of which there is less: a file in the place of a handler's folder, an archive.
    `refused` are paths of which `goldmar check` would say that they are no model's.
    """

    def __init__(self, tree: Tree, layout: Layout) -> None:
        self.tree, self.layout = tree, layout
        self.handlers: set[str] = set()
        self.goldens: set[str] = set()
        self.bare: set[str] = set()
        self.others: set[str] = set()
        self.refused: list[str] = []
        self._made: dict[str, Made] = {}
        inside: dict[tuple[Place, str], set[str]] = {}
        whole: dict[tuple[Place, str], Kind] = {}  # what is no folder to git: a file, a link or a submodule
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
            is_folder = whole.get((place, name)) is not Kind.file
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
        """Every model: that of each handler folder, each that has a golden, and whatever else there is of one."""
        return sorted({made.name for made in self.all_made()} | self.goldens | self.others)

    def check(self) -> None:
        """Raise UsageError where something is there that no run over all models could take."""
        if self.refused:
            name = self.refused[0].rpartition("/")[2]
            more = "".join(f"\nand: {shown(path)}" for path in self.refused[1:])
            raise UsageError(f"{shown(self.refused[0])}: {no_name(name)}", fix=NAME_FIX, detail=more.strip() or None)

    def all_made(self) -> list[Made]:
        """What each handler folder makes, in order."""
        return [self.made(folder) for folder in sorted(self.handlers)]

    def made(self, folder: str) -> Made:
        """What a handler folder makes, or one that is not in the tree would."""
        if folder not in self._made:
            folders = sorted((self.handlers | {folder}) - self._made.keys())
            homes = {each: f"{self.layout.handlers}/{each}" for each in folders}
            contents = self.tree.read(f"{home}/{name}" for home in homes.values() for name in (RECIPE, REQUIREMENTS))

            def read(path: str) -> bytes | None:
                if path not in contents:  # what a requirements.txt includes
                    contents.update(self.tree.read([path]))
                return contents[path]

            for each, home in homes.items():
                asked = asked_for(f"{home}/{REQUIREMENTS}", read)
                self._made[each] = _made(each, f"{home}/{RECIPE}", contents[f"{home}/{RECIPE}"], asked)
        return self._made[folder]


def _made(folder: str, path: str, content: bytes | None, asked: Asked) -> Made:
    if content is None:
        return Made(folder, folder, asked, unknown=f"{path} is missing")
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
        name = model_of(table, folder)
        home = posixpath.dirname(path)
        listed = {posixpath.normpath(each) for each in _listed(table, home, f"{posixpath.dirname(home)}/{COMMON}")}
    except MALFORMED_TOML as error:
        return Made(folder, folder, asked, unknown=f"{path} is not TOML ({error})")
    except ConfigError:
        return Made(folder, folder, asked, unknown=f"{path}: model is no name")
    except TypeError as error:
        return Made(folder, folder, asked, unknown=f"{path}: {error} is no name of a file, or no list of them")
    return Made(folder, name, asked, frozenset(listed))


def _listed(table: dict[str, object], home: str, common: str) -> Iterator[str]:
    """The files that archive.toml names. Raises TypeError with the key of what is none."""
    for key, folder in (("common", common), ("extra", home), ("serialized_file", home), ("model_file", home)):
        names = [table.get(key, "")] if key.endswith("_file") else table.get(key, [])
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            raise TypeError(key)
        yield from (f"{folder}/{each}" for each in names if each)


def below(path: str, folder: str) -> list[str]:
    """The parts of `path` below `folder`; empty where it does not lie below it."""
    return path[len(folder) + 1 :].split("/") if path.startswith(f"{folder}/") else []


def is_part(name: str) -> bool:
    """Whether a file directly in a handler's folder goes into its archive, listed or not."""
    return name.endswith(".py") or name in IN_ARCHIVE


def shown(text: str) -> str:
    """A path for people and for JSON: as it is, or quoted where it holds what cannot be printed."""
    return text if text.isprintable() else json.dumps(text)
