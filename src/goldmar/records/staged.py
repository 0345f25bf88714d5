"""What became of a drawing on its way through a handler."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Explanation", "Part", "Stage", "Staged"]


@dataclass(frozen=True, slots=True)
class Part:
    """One array, number or text of a stage, as handlers/common/stages.py describes it.

    `name` is its path in the stage's value, empty for a bare one. `dtype` is numpy's, little-endian; `text` for a text
    and `file` for a drawing as it is sent. `data` is what the digest is of, compressed with bz2: the bytes in C order,
    or UTF-8; None where it is not at hand. With `step` it holds every step-th element alone.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str
    summary: Mapping[str, float] = field(default_factory=dict)
    data: bytes | None = None
    step: int = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """What a drawing looked like after one stage: decode, preprocess, inference, postprocess."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Staged:
    """One drawing's stages, in order. `problem` says why there are none, or why they end early."""

    drawing_id: str
    stages: tuple[Stage, ...]
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a failing drawing parts from what was kept: the first stage that differs, and how.

    `stage` is empty where none can be named; `detail` then says why.
    """

    drawing_id: str
    stage: str
    detail: str
