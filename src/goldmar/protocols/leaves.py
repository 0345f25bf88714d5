"""A JSON answer becomes one path and one value a leaf, so that it fits the long CSV and diffs line by line.

| answer                          | leaves                                    |
|---------------------------------|-------------------------------------------|
| `9.6`                           | `$` = 9.6                                 |
| `{"scores": {"flange": 0.9}}`   | `scores.flange` = 0.9                     |
| `{"boxes": [{"x0": 3}]}`        | `boxes[0].x0` = 3                         |
| `[true, null]`                  | `[0]` = true, `[1]` = null                |
| `{"boxes": []}`                 | `boxes[]` = 0                             |
| `{"extra": {}}`                 | `extra{}` = 0                             |
| `{"a.b": 1}`                    | `["a.b"]` = 1                             |
| `{"$": 9.6}`                    | `["$"]` = 9.6                             |

No two different answers have the same leaves; the grammar of the paths is in docs/formats.md. A key that is empty,
holds one of `. [ ] { } "`, cannot be printed, begins or ends with a space or is `$` is written as a JSON string in
brackets. An empty list or object leaves a leaf that says so (its value, 0, is how many items there are), so that a list
that loses its last box is seen. `$` is the answer itself, where that is one bare value.
"""

import json
from typing import Any, Never

from goldmar.records import Value
from goldmar.text import excerpt

__all__ = ["MAX_DEPTH", "MAX_LEAVES", "flatten", "parse"]

MAX_DEPTH = 100
"""How deep an answer may nest; no model needs it, and a deeper one would exhaust the interpreter's stack."""

MAX_LEAVES = 2_000_000
"""How many values one answer may hold: a mask of 1400 x 1400 pixels fits, a server gone mad does not."""

ROOT = "$"
"""The path of an answer that is one bare value."""

MAX_PATH = 1000
"""Characters of one path: a long key above many values would fill the memory with copies of itself."""

_SPECIAL = frozenset('.[]{}"')


def parse(body: bytes) -> Any:
    """Read a JSON body.

    `NaN`, `Infinity` and `-Infinity`, which TorchServe writes although JSON has no such numbers, become floats: the
    comparison has words for them. Integers keep every digit.

    Args:
        body: UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Raises:
        ValueError: not JSON, a key twice in one object, an integer of over 4300 digits, nested too deeply, or more
            values than MAX_LEAVES: an empty list is one too, and takes more memory than a number.
    """
    _refuse_too_many(body)
    try:
        return json.loads(body, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        msg = f"it is not JSON ({error.msg} at line {error.lineno}, column {error.colno})"
        raise ValueError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"it is not JSON (byte {error.start} is not {error.encoding})"
        raise ValueError(msg) from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error


def flatten(value: Any) -> dict[str, Value]:
    """Path -> value of every leaf, in the order of the answer. The table at the top of this module shows the paths.

    Args:
        value: what a JSON parser returns: dict with str keys, list, str, int, float, bool, None, nested.

    Raises:
        ValueError: nested deeper than MAX_DEPTH, more leaves than MAX_LEAVES, a path longer than MAX_PATH, or a string
            that is no valid Unicode (half a surrogate pair), which no file could hold.
        TypeError: something that JSON cannot say.
    """
    leaves: dict[str, Value] = {}
    _walk(value, "", 0, leaves)
    return {ROOT: leaves[""]} if "" in leaves else leaves


_TOO_DEEP = f"it nests deeper than {MAX_DEPTH} levels"


def _refuse_too_many(body: bytes) -> None:
    """Before there is an object for each: a tree has one leaf more than commas, and no more lists than brackets."""
    if _most(body) < MAX_LEAVES:
        return
    try:
        text = body.decode(json.detect_encoding(body)).encode()
    except UnicodeDecodeError:
        return  # the parser has words for that
    if _most(_without_texts(text)) >= MAX_LEAVES:
        raise _too_many()


def _too_many() -> ValueError:
    return ValueError(f"it holds more than {MAX_LEAVES} values")


def _most(body: bytes) -> int:
    return max(body.count(b","), body.count(b"[") + body.count(b"{"))


def _without_texts(text: bytes) -> bytes:
    """JSON without its strings, whose commas and brackets are none: what has an odd number of quotes before it."""
    import numpy as np

    letters = np.frombuffer(text.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    outside = np.cumsum(letters == ord('"'), dtype=np.uint8) & 1 == 0  # overflowing keeps what is odd odd
    return bytes(letters[outside].tobytes())


def _walk(value: Any, path: str, depth: int, leaves: dict[str, Value]) -> None:
    # bool before int is of no importance here: both are kept as they are.
    if isinstance(value, dict):
        if depth == MAX_DEPTH:
            raise ValueError(_TOO_DEEP)
        if not value:
            _add(leaves, path + "{}", 0)
        for key, item in value.items():
            _walk(item, _joined(path, key), depth + 1, leaves)
    elif isinstance(value, list):
        if depth == MAX_DEPTH:
            raise ValueError(_TOO_DEEP)
        if not value:
            _add(leaves, path + "[]", 0)
        for index, item in enumerate(value):
            _walk(item, f"{path}[{index}]", depth + 1, leaves)
    elif value is None or isinstance(value, (float, int, str)):
        if isinstance(value, str) and not value.isascii():
            _refuse_half_characters(value, path)
        _add(leaves, path, value)
    else:
        msg = f"{path or 'the answer'} is a {type(value).__name__}, which JSON cannot say"
        raise TypeError(msg)


def _add(leaves: dict[str, Value], path: str, value: Value) -> None:
    if len(path) > MAX_PATH:
        msg = f"it holds a path of {len(path)} characters, which begins {path[:60]!r}; {MAX_PATH} are allowed"
        raise ValueError(msg)
    leaves[path] = value
    if len(leaves) > MAX_LEAVES:
        raise _too_many()


def _joined(path: str, key: str) -> str:
    if not isinstance(key, str):
        msg = f"{path or 'the answer'} has the key {key!r}, and JSON keys are strings"
        raise TypeError(msg)
    if key.isalnum() or _plain(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key, ensure_ascii=not key.isprintable())}]"


def _plain(key: str) -> bool:
    return bool(key) and key.isprintable() and key == key.strip() and key != ROOT and _SPECIAL.isdisjoint(key)


def _refuse_half_characters(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        msg = f"{path or 'the answer'} is no valid Unicode: half a surrogate pair at character {error.start}"
        raise ValueError(msg) from error


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse_duplicates(pairs)
    return found


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> Never:
    seen = set[str]()
    twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    msg = f"it has the key {excerpt(twice)!r} twice in one object"
    raise ValueError(msg)
