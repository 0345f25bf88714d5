"""What each model is made of, read from one side of a change: its archive.toml and its requirements.txt."""

import json
import posixpath
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from goldmar.affected.git import Kind, Tree
from goldmar.config import MALFORMED_TOML
from goldmar.errors import ConfigError, UsageError
from goldmar.layout import (
    COMMON,
    HANDLER,
    NAME_FIX,
    RECIPE,
    SUFFIX,
    Entry,
    Place,
    is_model_name,
    kind_of,
    model_of,
    no_name,
)
from goldmar.requirements import Asked, asked_for

__all__ = ["Layout", "Made", "Models", "below", "is_part", "shown"]

REQUIREMENTS = "requirements.txt"
FIXED = frozenset({RECIPE, HANDLER, REQUIREMENTS, "model.py", "weights.pt", "model-config.yaml"})

GOLDEN, DRAWINGS = frozenset({"expected.csv", "tolerance.toml"}), "drawings"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are, below the project's root, with "/", and what [tool.goldmar.affected] says."""

    handlers: str = "handlers"
    golden: str = "golden"
    model_store: str = "model_store"
    ignore: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """What goes into one archive. `shared` are the files that archive.toml lists, wherever they lie.

    `unknown` says why archive.toml does not tell, if so; every shared file may be in it then.
    """

    name: str
    shared: frozenset[str]
    unknown: str = ""


@dataclass(slots=True)
class Models:
    """The models of a tree. Archives and requirements are read when first asked for, all at once.

    `handlers` are the folders under handlers/, `goldens` those under golden/. `bare` are the handler folders that hold
    neither a handler nor archive.toml: models all the same, but nobody can tell what their files are for.
    `others` are models all the same, of which there is less: a file in the place of a handler's folder, an archive.
    `refused` are paths of which `goldmar check` would say that they are no model's.
    """

    tree: Tree
    layout: Layout
    handlers: frozenset[str] = field(init=False)
    goldens: frozenset[str] = field(init=False)
    bare: frozenset[str] = field(init=False)
    others: frozenset[str] = field(init=False)
    refused: tuple[str, ...] = field(init=False)
    _made: dict[str, Made] = field(default_factory=dict)
    _asked: dict[str, Asked] = field(default_factory=dict)
    _names: list[str] | None = None

    def __post_init__(self) -> None:
        inside: dict[tuple[Place, str], set[str]] = {}
        whole: dict[tuple[Place, str], Kind] = {}  # what is no folder to git: a file, a link or a submodule
        others = set()
        for path, kind in self.tree.entries.items():
            for place, home in ((Place.handlers, self.layout.handlers), (Place.golden, self.layout.golden)):
                if parts := below(path, home):
                    inside.setdefault((place, parts[0]), set()).update(parts[1:2])
                    if len(parts) == 1:
                        whole[place, parts[0]] = kind
            store = below(path, self.layout.model_store)
            if len(store) == 1 and store[0].endswith(SUFFIX) and is_model_name(store[0].removesuffix(SUFFIX)):
                others.add(store[0].removesuffix(SUFFIX))
        handlers, goldens, bare, refused = set(), set(), set(), []
        for (place, name), names in inside.items():
            is_folder = whole.get((place, name)) is not Kind.file
            entry = kind_of(place, name, is_folder=is_folder, inside=names)
            if entry is Entry.refused:
                refused.append(f"{getattr(self.layout, place)}/{name}")
            elif entry is Entry.model and is_folder and place is Place.golden:
                goldens.add(name)
            elif entry is Entry.model and is_folder:
                handlers.add(name)
                if (place, name) not in whole and names.isdisjoint({HANDLER, RECIPE}):
                    bare.add(name)
            elif entry is Entry.model:
                others.add(name)
        self.handlers, self.goldens, self.bare = frozenset(handlers), frozenset(goldens), frozenset(bare)
        self.others, self.refused = frozenset(others), tuple(refused)

    def names(self) -> list[str]:
        """Every model: that of each handler folder, each that has a golden, and whatever else there is of one."""
        if self._names is None:
            made = {made.name for made in self.made(self.handlers).values()}
            self._names = sorted(made | self.goldens | self.others)
        return self._names

    def check(self) -> None:
        """Raise UsageError where something is there that no run over all models could take."""
        if self.refused:
            name = self.refused[0].rpartition("/")[2]
            more = "".join(f"\nand: {shown(path)}" for path in self.refused[1:])
            raise UsageError(f"{shown(self.refused[0])}: {no_name(name)}", fix=NAME_FIX, detail=more.strip() or None)

    def made(self, folders: Iterable[str]) -> Mapping[str, Made]:
        """What the archives of these handler folders are made of."""
        wanted = sorted(set(folders))
        paths = {folder: f"{self.layout.handlers}/{folder}/{RECIPE}" for folder in wanted if folder not in self._made}
        contents = self.tree.read(paths.values())
        for folder, path in paths.items():
            self._made[folder] = _made(folder, path, contents[path])
        return {folder: self._made[folder] for folder in wanted}

    def asked(self, folders: Iterable[str]) -> Mapping[str, Asked]:
        """What the requirements of these handler folders ask for."""
        wanted = sorted(set(folders))
        paths = {
            folder: f"{self.layout.handlers}/{folder}/{REQUIREMENTS}" for folder in wanted if folder not in self._asked
        }
        contents = self.tree.read(paths.values())
        # Most models of a repository ask for the same few lines.
        known: dict[bytes, Asked] = {}

        def read(path: str) -> bytes | None:
            if path not in contents:
                contents.update(self.tree.read([path]))
            return contents[path]

        for folder, path in paths.items():
            content = contents[path]
            asked = known.get(content) if content is not None else None
            if asked is None:
                asked = asked_for(path, read)
                if content is not None and len(asked.files) == 1 and not asked.unknown:
                    known[content] = asked
            self._asked[folder] = asked
        return {folder: self._asked[folder] for folder in wanted}


def _made(folder: str, path: str, content: bytes | None) -> Made:
    if content is None:
        return Made(folder, frozenset(), f"{path} is missing")
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
    except MALFORMED_TOML as error:
        return Made(folder, frozenset(), f"{path} is not TOML ({error})")
    try:
        name = model_of(table, folder)
    except ConfigError:
        return Made(folder, frozenset(), f"{path}: model is no name")
    shared = set()
    handlers = posixpath.dirname(posixpath.dirname(path))
    for key, home in (("common", f"{handlers}/{COMMON}"), ("extra", f"{handlers}/{folder}")):
        names = table.get(key, [])
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            return Made(folder, frozenset(), f"{path}: {key} is no list of names")
        shared |= {posixpath.normpath(f"{home}/{each}") for each in names}
    for key in ("serialized_file", "model_file"):
        part = table.get(key, "")
        if not isinstance(part, str):
            return Made(folder, frozenset(), f"{path}: {key} is no name of a file")
        if part:
            shared.add(posixpath.normpath(f"{handlers}/{folder}/{part}"))
    return Made(name, frozenset(shared))


def below(path: str, folder: str) -> list[str]:
    """The parts of `path` below `folder`; empty where it does not lie below it."""
    return path[len(folder) + 1 :].split("/") if path.startswith(f"{folder}/") else []


def is_part(name: str) -> bool:
    """Whether a file directly in a handler's folder goes into its archive, listed or not."""
    return name.endswith(".py") or name in FIXED


def shown(text: str) -> str:
    """A path for people and for JSON: as it is, or quoted where it holds what cannot be printed."""
    return text if text.isprintable() else json.dumps(text)
