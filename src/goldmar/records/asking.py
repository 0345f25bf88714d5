"""What a model is asked, what it answers, and where it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from types import MappingProxyType
from typing import NamedTuple

from goldmar.records.values import Value

__all__ = ["Answer", "Drawing", "Origin", "Prediction", "Request"]

_NEVER = Event()


@dataclass(frozen=True, slots=True)
class Drawing:
    """A file to send as it is. `id` is its path under `drawings/` without the suffix.

    It is the body of the request, or the file in the form field `field` of a multipart body where that is not empty.
    `size` is how many bytes it had when it was found; more than that are not sent.
    """

    id: str
    path: Path
    content_type: str
    field: str = ""
    size: int | None = None


class Request(NamedTuple):
    """One drawing for one model; a tuple, which is made in a fifth of the time of a frozen record.

    `version` is empty for the default one. `path` takes the place of the path that the protocol has for the model;
    `{model}` and `{version}` in it are filled in. `headers` are sent beside those of the server. `attempt` is which
    time this is asked, from 1. Once `stop` is set nobody waits for the answer any more: a server that can break off
    raises Stopped.
    """

    model: str
    drawing: Drawing
    version: str = ""
    path: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    attempt: int = 1
    stop: Event = _NEVER


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one drawing, before anything is made of it.

    `headers` are looked up by lower-case name and empty where the way to the model has none. `latency_s` is the time
    from asking to the last byte, None where the server does not measure it. `url` is the address that was asked, as it
    may be shown; empty where there is none.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    latency_s: float | None = None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where answers come from.

    Args:
        backend: its name in goldmar.backends.
        url: the address to show, empty where there is none.
        named: the user named this server: it may be asked at a path or for a version of its own, and its address is
            part of where a golden comes from.
        python: the version that the handlers run with, empty where it is not known.
        digests: model name -> digest of the archive that is served, of those that are known.
    """

    backend: str
    url: str = ""
    named: bool = False
    python: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One drawing's answer, flattened.

    `values` maps the path of each leaf (`scores.flange`, `boxes[0].x0`) to its value and is empty where the model
    refused the drawing or failed on it; `problem` then says why in one sentence.
    """

    drawing_id: str
    values: Mapping[str, Value]
    status: int
    latency_s: float
    attempts: int = 1
    problem: str | None = None
