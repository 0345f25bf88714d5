"""provenance.toml and obtained.toml: where a CSV comes from, in TOML. An unknown key is an error."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomli_w

from goldmar.config import only_known, read_toml
from goldmar.errors import ConfigError
from goldmar.files import write_atomically
from goldmar.records import Provenance
from goldmar.text import without_userinfo

_KEYS = tuple(field.name for field in dataclasses.fields(Provenance))
_TIMES = ("obtained_at", "approved_at")
_REQUIRED = ("model", "version", "archive_digest", "backend", "url", "obtained_at")


def write_provenance(path: Path, provenance: Provenance) -> None:
    """Write it, keys in the order of the record and packages last, sorted. Raises StorageError.

    A user name and password inside the URL are left out: the file is meant for git.
    """
    table: dict[str, Any] = {}
    for key in _KEYS:
        value = getattr(provenance, key)
        if isinstance(value, str):
            # Command-line text may hold bytes that are no UTF-8; the file must not.
            table[key] = (without_userinfo(value) if key == "url" else value).encode("utf-8", "replace").decode()
        elif isinstance(value, datetime):
            table[key] = value.astimezone(UTC)
    table["packages"] = dict(sorted(provenance.packages.items()))
    write_atomically(path, tomli_w.dumps(table))


def read_provenance(path: Path) -> Provenance:
    """Read what `write_provenance` wrote. Raises ConfigError: missing, no TOML, a key unknown, missing or mistyped."""
    table = read_toml(path)
    only_known(path, "", table, _KEYS)
    for key in _REQUIRED:
        if key not in table:
            msg = f"{path} has no {key}."
            raise ConfigError(msg, fix="Take the file from git again, or record and approve anew")
    for key, value in table.items():
        if key == "packages":
            fits = isinstance(value, Mapping) and all(isinstance(version, str) for version in value.values())
            wanted = "a table of package names and versions"
        elif key in _TIMES:
            fits, wanted = isinstance(value, datetime) and value.tzinfo is not None, "a time with its offset from UTC"
        else:
            fits, wanted = isinstance(value, str), "text in quotes"
        if not fits:
            msg = f"{path}: {key} is {value!r}."
            raise ConfigError(msg, fix=f"Write {key} as {wanted}")
    return Provenance(**table)
