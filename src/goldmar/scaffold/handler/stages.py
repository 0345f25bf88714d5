"""What a handler makes of a drawing, stage by stage, for whoever asks: to find the first stage that changed.

A request with the header `X-Goldmar-Stages: digest` gets, beside its answer, a digest and a summary of each stage;
with `full` the data as well. It is meant for development and tests: it takes `stages: true` below `handler` in
model-config.yaml, and GOLDMAR_STAGES=off in the environment turns it off whatever that file says. Unasked, or off,
nothing is computed and the answer is what it always was.

The stages of a drawing are decode (what was read from the file), preprocess (what the model takes), inference (what it
says) and postprocess (the answer). The last one comes by itself; a handler hands the others to `keep`.
"""

import base64
import bz2
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

HEADER = "X-Goldmar-Stages"
CONTENT_TYPE = "application/vnd.goldmar.stages+json"
MAX_ANSWER = 4 * 2**20  # characters of data in one answer: TorchServe sends at most 6,553,500 bytes unless told to
MAX_PART = 16 * 2**20  # bytes of one array that are still compressed: a second of work


class Stages:
    """Mix in before the base handler: `class MyHandler(Stages, BaseHandler)`."""

    _asked: Mapping[int, "_Collected"] = {}  # by index in the batch, and only for as long as that batch is handled

    def keep(self, index: int, stage: str, value: Any) -> None:
        """Note what request number `index` of the batch looks like after a stage, if it asked.

        value: tensors, arrays, images, numbers, texts; or dicts, lists and dataclasses of them. What is done to it
        afterwards is not seen.
        """
        if index in self._asked:
            self._asked[index].add(stage, value)

    def keep_rows(self, indexes: Sequence[int], stage: str, batch: Any) -> None:
        """The same for a whole batch: row i of each tensor in it belongs to request number indexes[i]."""
        for row, index in enumerate(indexes):
            if index in self._asked:
                self._asked[index].add(stage, _row(batch, row))

    def handle(self, data: list[Any], context: Any) -> Any:
        """As in the base handler, and the answers of those who asked with their stages."""
        self._asked = _who_asks(len(data), context)
        try:
            answers = super().handle(data, context)  # type: ignore[misc]
            # A wrong number of answers is TorchServe's to report.
            if not self._asked or not isinstance(answers, list) or len(answers) != len(data):
                return answers
            for index, collected in self._asked.items():
                # The stages of one that was refused end before the one that it failed in.
                if context.get_response_status(index)[0] < 300:
                    collected.add("postprocess", json.dumps(_plain(answers[index]), sort_keys=True))
                answers[index] = json.dumps({"answer": _plain(answers[index]), "stages": collected.stages})
                context.set_response_content_type(index, CONTENT_TYPE)
            return answers
        finally:
            self._asked = {}


def _who_asks(requests: int, context: Any) -> dict[int, "_Collected"]:
    if not ((context.model_yaml_config or {}).get("handler") or {}).get("stages"):
        return {}
    if os.environ.get("GOLDMAR_STAGES", "on") != "on":  # a misspelt "off" must not leave it on
        return {}
    asked = {}
    for index in range(requests):
        # Looked up letter by letter by TorchServe, while proxies may have made all letters small.
        word = context.get_request_header(index, HEADER) or context.get_request_header(index, HEADER.lower())
        if word in ("digest", "full"):
            asked[index] = _Collected(with_data=word == "full")
    return asked


class _Collected:
    """The stages of one request so far, ready for JSON."""

    def __init__(self, *, with_data: bool) -> None:
        self.stages: list[dict[str, Any]] = []
        self._room = MAX_ANSWER if with_data else 0

    def add(self, stage: str, value: Any) -> None:
        parts = []
        for name, leaf in _leaves(value, ""):
            part, content = describe(leaf)
            if self._room and len(content) <= MAX_PART:
                data = base64.b64encode(bz2.compress(content)).decode()
                if len(data) <= self._room:
                    part["data"] = data
                    self._room -= len(data)
            parts.append({"name": name, **part})
        self.stages.append({"stage": stage, "parts": parts})


def describe(leaf: Any) -> tuple[dict[str, Any], bytes]:
    """Digest and summary of one array, number or text, and the bytes that the digest is of.

    The digest is the SHA-256 of a line "dtype [shape]" and the array's bytes, little-endian and in C order, or of the
    line "text" and the text in UTF-8: the same on every platform.
    """
    array = _array(leaf)
    if array is None:
        text = leaf if isinstance(leaf, str) else f"<{type(leaf).__name__}>"
        content = text.encode("utf-8", "replace")
        return {"dtype": "text", "shape": [len(content)], "sha256": _sha256("text", content), "summary": {}}, content
    array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    dtype, shape, content = array.dtype.str, list(array.shape), array.tobytes()
    part = {"dtype": dtype, "shape": shape, "sha256": _sha256(f"{dtype} {shape}", content), "summary": _summary(array)}
    return part, content


def _array(leaf: Any) -> np.ndarray[Any, Any] | None:
    """The leaf as an array of numbers; None for all else."""
    if isinstance(leaf, torch.Tensor):
        leaf = leaf.float() if leaf.dtype == torch.bfloat16 else leaf  # numpy has no such type; nothing is lost
        try:
            leaf = leaf.numpy(force=True)
        except (RuntimeError, TypeError):  # sparse, quantised and the like: no reason to fail who asked
            return None
    elif isinstance(leaf, bytes | bytearray):
        leaf = np.frombuffer(leaf, np.uint8)
    if isinstance(leaf, bool | int | float | list) or hasattr(leaf, "__array_interface__"):
        array = np.asarray(leaf)
        return array if array.dtype.kind in "biufc" else None
    return None


def _summary(array: np.ndarray[Any, Any]) -> dict[str, float]:
    finite = np.isfinite(array)
    summary: dict[str, float] = {"nonzero": int(np.count_nonzero(array)), "not_finite": int((~finite).sum())}
    numbers = array if finite.all() else array[finite]
    if numbers.size and array.dtype.kind != "c":
        summary["min"], summary["max"] = float(numbers.min()), float(numbers.max())
        summary["mean"] = float(numbers.mean(dtype=np.float64))
    return summary


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Arrays, numbers and texts in a value, with the path of each: `pixels`, `[0]`, `boxes.scores`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and not _are_numbers(value):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{name}[{index}]")
    else:
        yield name, list(value) if isinstance(value, tuple) else value


def _are_numbers(value: Sequence[Any]) -> bool:
    return bool(value) and all(isinstance(item, bool | int | float) for item in value)


def _row(batch: Any, row: int) -> Any:
    if isinstance(batch, Mapping):
        return {key: _row(value, row) for key, value in batch.items()}
    if isinstance(batch, tuple):  # several outputs; a list has an entry for each request
        return [_row(value, row) for value in batch]
    return batch[row]


def _plain(answer: Any) -> Any:
    """An answer as JSON holds it: most handlers write theirs as text."""
    if isinstance(answer, bytes | bytearray):
        answer = answer.decode("utf-8", "replace")
    try:
        return json.loads(answer) if isinstance(answer, str) else json.loads(json.dumps(answer))
    except (TypeError, ValueError):
        return str(answer)


def _sha256(header: str, content: bytes) -> str:
    return hashlib.sha256(f"{header}\n".encode() + content).hexdigest()
