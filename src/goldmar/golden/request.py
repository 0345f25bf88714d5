"""golden/<model>/request.toml: how requests to a model differ from those of TorchServe.

Each setting becomes part of a URL or of a header, so each has a narrow grammar: no setting can end a header, leave the
path or add a query. An unknown key is an error. docs/formats.md describes the file for users.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import TypedDict

from goldmar.config import only_known, read_toml
from goldmar.errors import ConfigError, GoldmarError, UsageError
from goldmar.records import COMMAND_LINE, Drawing, Edge, Origin, Reach

REQUEST = "request.toml"

_FIELDS = {"version": "model_version", "path": "path", "content_type": "content_type", "field": "field"}
"""Each key, and the field of Reach that takes precedence over it."""

_NAME = r"[A-Za-z0-9!#$&^_.+-]+"
_PARAMETER = rf' ?; ?{_NAME}=(?:{_NAME}|"[A-Za-z0-9 !#$&^_.+/-]*")'
_SEGMENT = r"(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|\{model\}|\{version\})+"
_GRAMMARS = {
    "version": (r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", 'letters, digits, ".", "_" and "-", as in 2.1'),
    "path": (rf"(?=.{{1,500}}\Z)(?:/{_SEGMENT})+/?", "parts after slashes, as in /v1/models/{model}:predict"),
    "content_type": (rf"(?=.{{1,200}}\Z){_NAME}/{_NAME}(?:{_PARAMETER})*", "kind/type, as in application/json"),
    "field": (r"[A-Za-z0-9_.\[\]-]{1,64}", 'letters, digits, "_", ".", "-" and brackets, as in image'),
}


class Place(TypedDict, total=False):
    """Version and path of a request to a server of the user: see goldmar.records.Request."""

    version: str
    path: str


@dataclass(frozen=True, slots=True)
class RequestSettings:
    """How requests to one model are made; an empty setting is TorchServe's default.

    `version` and `path` apply to a running server that the user named, `content_type` and `field` to every server.
    `words` describes each setting and its origin.
    """

    version: str = ""
    path: str = ""
    content_type: str = ""
    field: str = ""
    words: Mapping[str, str] = dataclass_field(default_factory=dict)

    def overridden(self, reach: Reach) -> "RequestSettings":
        """The settings with the user's options, which take precedence. Raises UsageError for unfit ones."""
        words, values, edge = dict(self.words), {key: getattr(self, key) for key in _FIELDS}, reach.edge
        given = check_options(reach)
        for key, value in given.items():
            if value != values[key]:
                before = f" instead of {values[key]} of {REQUEST}" if values[key] else ""
                words[key] = f"{edge.option(_FIELDS[key])} {value}{before}"
        changed = RequestSettings(**{**values, **given}, words=words)
        _check_whole(changed, UsageError, "The request", edge)
        return changed

    def drawings(self, found: Sequence[Drawing]) -> tuple[Drawing, ...]:
        """The drawings as they are sent."""
        return tuple(
            replace(drawing, content_type=self.content_type or drawing.content_type, field=self.field)
            for drawing in found
        )

    def at(self, origin: Origin) -> Place:
        """Version and path of a request: only a server that the user named may have its own."""
        return {"version": self.version, "path": self.path} if origin.named else {}

    def described(self, origin: Origin) -> tuple[str, ...]:
        """The settings that differ from TorchServe's defaults for this server, in words."""
        unused = () if origin.named else ("version", "path")
        return tuple(self.words[key] for key in _FIELDS if key in self.words and key not in unused)


def read_request(folder: Path) -> RequestSettings:
    """Read golden/<model>/request.toml; without the file all defaults. Raises ConfigError."""
    path = folder / REQUEST
    if not os.path.lexists(path):
        return RequestSettings()
    table = read_toml(path)
    only_known(path, "", table, tuple(_FIELDS))
    for key, value in table.items():
        _check(key, value, ConfigError, f"{path}: {key}")
    settings = RequestSettings(**table, words={key: f"{key} {value} of {REQUEST}" for key, value in table.items()})
    _check_whole(settings, ConfigError, str(path))
    return settings


def check_options(reach: Reach) -> dict[str, str]:
    """The user's options for the request, by the keys of request.toml. Raises UsageError, naming the option."""
    given = {key: getattr(reach, name) for key, name in _FIELDS.items() if getattr(reach, name) is not None}
    for key, value in given.items():
        _check(key, value, UsageError, reach.edge.option(_FIELDS[key]), reach.edge)
    return given


def _check(key: str, value: object, kind: type[GoldmarError], where: str, edge: Edge = COMMAND_LINE) -> None:
    grammar, words = _GRAMMARS[key]
    if not isinstance(value, str) or not re.fullmatch(grammar, value):
        raise kind(f"{where} is {value!r}.", fix=f"Write it as {words}")
    if key == "content_type" and value.lower().startswith("multipart/"):
        msg = f"{where} is {value}, whose parts have to be put together."
        raise kind(msg, fix=f'Name the form field that the drawing goes into: field = "..." or {edge.option("field")}')


def _check_whole(settings: RequestSettings, kind: type[GoldmarError], where: str, edge: Edge = COMMAND_LINE) -> None:
    if not settings.path:
        return
    if settings.version and "{version}" not in settings.path:
        msg = f"{where} asks for version {settings.version}, and the path {settings.path} has no place for it."
        raise kind(msg, fix="Write {version} where it goes, as in /v1/models/{model}/versions/{version}")
    if "{version}" in settings.path and not settings.version:
        msg = f"{where} has {{version}} in the path {settings.path}, and no version."
        raise kind(msg, fix=f'version = "..." in {REQUEST}, or {edge.option("model_version")}')
