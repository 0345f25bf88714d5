"""Read the TOML files: the project table in pyproject.toml and tolerance.toml of a golden.

Unknown keys are errors, since a misspelt tolerance would otherwise have no effect.
"""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from goldmar.errors import ConfigError
from goldmar.files import read_whole
from goldmar.records import Tolerance

DEFAULT_PATTERN = "default"
"""What `Tolerances.for_name` calls the [default] table."""

MALFORMED_TOML = (ValueError, RecursionError)
"""What tomllib raises: a number of more digits than Python reads is a ValueError, nesting without end the other."""

COLUMNS = ("drawing_id", "name", "pred")
_UNITS = {"timeout_s": "seconds", "startup_timeout_s": "seconds", "max_drawing_mb": "megabytes"}
_TOLERANCE_KEYS = ("atol", "rtol", "exact")


# ---- the project ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Affected:
    """What [tool.goldmar.affected] says: patterns of paths below the root, as in .gitignore, and names of packages.

    `ignore`: further files that reach no model. `locks`: the lock files that models are served with. `tools`: packages
    in those that no model runs on.
    """

    ignore: tuple[str, ...] = ()
    locks: tuple[str, ...] = ("ci/locks/*.txt", "/requirements.txt")
    tools: tuple[str, ...] = ("mypy", "pip-tools", "pre-commit", "pytest", "ruff")


@dataclass(frozen=True, slots=True)
class Project:
    """Folders and settings of a project. The three folders are absolute paths; times are in seconds.

    `no_golden`: the models that have no golden on purpose, each with the reason.
    """

    root: Path
    handlers: Path
    golden: Path
    model_store: Path
    clients: int = 4
    timeout_s: float = 60.0
    startup_timeout_s: float = 120.0
    max_drawing_mb: float = 64.0
    affected: Affected = field(default_factory=Affected)
    no_golden: Mapping[str, str] = field(default_factory=dict)


def load_project(start: Path, *, create: bool = False) -> Project:
    """The project that `start` lies in.

    Its root is the nearest folder, from `start` upwards, that holds golden/ or handlers/ or a pyproject.toml with a
    [tool.goldmar] table. Where there is none, `create` takes `start` itself; otherwise ConfigError is raised, as it is
    for a table that cannot be read or says something unknown.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        table = _project_table(folder / "pyproject.toml")
        if table is not None or any(map(_is_home, (folder / "golden", folder / "handlers"))):
            return _project(folder, table or {})
    if create:
        return _project(start, {})
    raise ConfigError(
        f"No project here: neither {start} nor a folder above it holds golden/ or handlers/.",
        fix="cd into your project, or start one here: goldmar init MODEL",
    )


def _is_home(path: Path) -> bool:
    """Also a link that leads nowhere: the project above this one is not the one that is meant."""
    return path.is_dir() or path.is_symlink()


def project_of(root: Path, content: bytes | None) -> Project:
    """The project that another revision's pyproject.toml describes; None where that revision has none.

    Raises ConfigError as `load_project` does.
    """
    path = root / "pyproject.toml"
    return _project(root, {} if content is None else _tool_table(path, _parsed(path, content)) or {})


def _project_table(path: Path) -> dict[str, Any] | None:
    return _tool_table(path, read_toml(path)) if os.path.lexists(path) else None


def _tool_table(path: Path, document: dict[str, Any]) -> dict[str, Any] | None:
    tool = document.get("tool", {})
    table = tool.get("goldmar") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{path}: [tool.goldmar] must be a table.", fix="Write [tool.goldmar] and its keys below it")
    return table


def _project(root: Path, table: dict[str, Any]) -> Project:
    path, where = root / "pyproject.toml", "tool.goldmar"
    only_known(path, where, table, tuple(each.name for each in fields(Project) if each.name != "root"))
    settings: dict[str, Any] = {}
    for key in ("handlers", "golden", "model_store"):
        folder = table.get(key, key)
        if not isinstance(folder, str) or not folder:
            raise _wrong(path, where, key, folder, 'the name of a folder, for example "golden"')
        settings[key] = root / folder
    for key, unit in _UNITS.items():
        if key in table:
            wanted = f"a number of {unit} above 0"
            settings[key] = _number(path, where, key, table[key], wanted)
            if settings[key] == 0:
                raise _wrong(path, where, key, settings[key], wanted)
    clients = settings["clients"] = table.get("clients", 4)
    if not isinstance(clients, int) or isinstance(clients, bool) or clients < 1:
        raise _wrong(path, where, "clients", clients, "a whole number of at least 1")
    return Project(
        root=root,
        **settings,
        affected=_affected(path, _table(path, f"{where}.affected", table.get("affected", {}))),
        no_golden=_no_golden(path, _table(path, f"{where}.no_golden", table.get("no_golden", {}))),
    )


def _no_golden(path: Path, table: dict[str, Any]) -> dict[str, str]:
    for model, reason in table.items():
        if not isinstance(reason, str) or not any(map(str.isalnum, reason)):
            wanted = 'the reason, in quotes: gear = "served to nobody yet", for example'
            raise _wrong(path, "tool.goldmar.no_golden", model, reason, wanted)
    return {model: reason.strip() for model, reason in table.items()}


def _affected(path: Path, table: dict[str, Any]) -> Affected:
    where = "tool.goldmar.affected"
    only_known(path, where, table, ("ignore", "locks", "tools"))
    for key, value in table.items():
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise _wrong(path, where, key, value, 'a list of strings, for example ["notebooks/**"]')
    if patterns := [*table.get("ignore", ()), *table.get("locks", ())]:
        from goldmar.patterns import is_pattern  # only where it is needed: most commands never are

        for pattern in patterns:
            if not is_pattern(pattern):
                msg = f"{path}: {pattern!r} in [{where}] is no pattern of paths that could ever fit."
                raise ConfigError(msg, fix="Write it as in a .gitignore, for example notebooks/**")
    return Affected(**{key: tuple(value) for key, value in table.items()})


# ---- tolerances -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What tolerance.toml says.

    `patterns` are in the order of the file. `columns` maps drawing_id, name and pred to the headers of a foreign CSV;
    it is empty where the golden has the usual ones. `path` is the file, for messages.
    """

    default: Tolerance = field(default_factory=Tolerance)
    patterns: tuple[tuple[str, Tolerance], ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    path: Path | None = None

    def for_name(self, name: str) -> tuple[str, Tolerance]:
        """The pattern and the tolerance that apply to a value.

        A pattern that is the name, letter by letter, wins; otherwise the last one in the file that matches; otherwise
        the default, whose pattern is called `DEFAULT_PATTERN`.
        """
        found = (DEFAULT_PATTERN, self.default)
        for pattern, tolerance in self.patterns:
            if pattern == name:
                return pattern, tolerance
            if matches(pattern, name):
                found = (pattern, tolerance)
        return found

    def unused(self, names: Iterable[str]) -> list[str]:
        """The patterns that match none of the names: most likely misspelt, so they are an error."""
        known = set(names)
        return [p for p, _ in self.patterns if p not in known and not any(matches(p, name) for name in known)]

    def shadowed(self, names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The patterns that match names but apply to none of them, each with the patterns that apply instead."""
        known = set(names)
        idle = dict.fromkeys(pattern for pattern, _ in self.patterns)
        for name in known:
            if not idle:
                break
            idle.pop(self.for_name(name)[0], None)
        winners = {p: {self.for_name(name)[0] for name in known if matches(p, name)} for p in idle}
        return {pattern: tuple(sorted(instead)) for pattern, instead in winners.items() if instead}


def matches(pattern: str, name: str) -> bool:
    """Whether a pattern matches the path of a value: `*` any characters, `?` one, all others themselves.

    Brackets are themselves too, since they belong to the path: `boxes[*].x0` matches `boxes[12].x0`.
    """
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    first, *others = ["".join("." if letter == "?" else re.escape(letter) for letter in p) for p in pattern.split("*")]
    if not others:
        return re.compile(first, re.DOTALL)
    # What stands between two stars is taken where it is met first, and for good: the rest of the name is then the
    # longest there can be, no other place would do better, and many stars take no longer than a few.
    between = "".join(f"(?>.*?{part})" for part in others[:-1] if part)
    return re.compile(f"{first}{between}.*{others[-1]}", re.DOTALL)


def load_tolerances(path: Path) -> Tolerances:
    """Read a tolerance.toml; without the file every value must be equal, which is the strictest reading.

    A key that a [value."..."] table leaves out is taken from [default]. Raises ConfigError for a file that is no TOML,
    an unknown key, a wrong type, a tolerance that is negative, NaN or infinite, and one beside `exact = true`.
    """
    if not os.path.lexists(path):
        return Tolerances(path=path)
    table = read_toml(path)
    only_known(path, "", table, ("default", "value", "columns"))
    default = _tolerance(path, "default", _table(path, "default", table.get("default", {})), Tolerance())
    patterns = []
    for pattern, entry in _table(path, "value", table.get("value", {})).items():
        where = f'value."{pattern}"'
        patterns.append((pattern, _tolerance(path, where, _table(path, where, entry), default)))
    columns = _columns(path, _table(path, "columns", table.get("columns", {})))
    return Tolerances(default, tuple(patterns), columns, path)


def _tolerance(path: Path, where: str, table: dict[str, Any], default: Tolerance) -> Tolerance:
    only_known(path, where, table, _TOLERANCE_KEYS)
    wanted = "a number of at least 0"
    atol = _number(path, where, "atol", table["atol"], wanted) if "atol" in table else None
    rtol = _number(path, where, "rtol", table["rtol"], wanted) if "rtol" in table else None
    exact = table.get("exact")
    if exact is not None and not isinstance(exact, bool):
        raise _wrong(path, where, "exact", exact, "true or false")
    if exact and (atol or rtol):
        raise ConfigError(
            f"{path}: [{where}] has exact = true beside a tolerance, which would then never be used.",
            fix="Remove one of them; integers and strings are exact without it",
        )
    if exact is None and not (default.exact and (atol or rtol)):  # a tolerance of its own lifts an exact default
        exact = default.exact
    return Tolerance(
        atol=default.atol if atol is None else atol,
        rtol=default.rtol if rtol is None else rtol,
        exact=exact,
    )


def _columns(path: Path, table: dict[str, Any]) -> dict[str, str]:
    only_known(path, "columns", table, COLUMNS)
    for key, value in table.items():
        if not isinstance(value, str) or not value:
            raise _wrong(path, "columns", key, value, "the header of a column, in quotes")
    headers = [table.get(key, key) for key in COLUMNS]
    if len(set(headers)) < len(headers) or (headers != list(COLUMNS) and sorted(headers) == sorted(COLUMNS)):
        raise ConfigError(
            f"{path}: [columns] gives a header to two columns: {', '.join(headers)}.",
            fix="Name a header of its own for each of drawing_id, name and pred",
        )
    return table


# ---- TOML -----------------------------------------------------------------------------------------------------------


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises ConfigError where it is missing, unreadable, not UTF-8 or not TOML."""
    try:
        return _parsed(path, read_whole(path))
    except FileNotFoundError:
        why = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
        raise ConfigError(f"{path} {why}.", fix=f"Look for it: ls -l '{path.parent}'") from None
    except OSError as error:
        raise ConfigError(f"{path} could not be read: {error.strerror}.", fix=f"ls -l '{path}'") from error


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}).", fix="Save it as UTF-8") from error
    except MALFORMED_TOML as error:
        raise ConfigError(f"{path} is not TOML: {error}.", fix=f"Mend that line of {path}") from error


def _table(path: Path, where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: {where} must be a table, not {value!r}.", fix=f"Write [{where}] and its keys below")
    return value


def _number(path: Path, where: str, key: str, value: object, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(path, where, key, value, wanted)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0:
        raise _wrong(path, where, key, value, wanted)
    return number


def only_known(path: Path, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise ConfigError for a key that is not known, with the nearest one that is. `where` is the table's name."""
    for key in table:
        if key not in known:
            place = f"[{where}]" if where else "the top level"
            near = difflib.get_close_matches(key, known, n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"{path}: unknown key {key!r} in {place}.{guess}", fix=f"Known keys there: {', '.join(known)}"
            )


def _wrong(path: Path, where: str, key: str, value: object, wanted: str) -> ConfigError:
    return ConfigError(f"{path}: {key} in [{where}] is {value!r}.", fix=f"Write {key} as {wanted}")
