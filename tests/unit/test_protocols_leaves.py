"""Paths and values of JSON answers: the table of the docstring, both directions of nothing-gets-lost, the bounds."""

import json
import math
import re
import resource
import sys
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from goldmar.protocols.leaves import MAX_DEPTH, flatten, parse


@pytest.mark.parametrize(
    ("answer", "leaves"),
    [
        ("9.607873916625977", {"$": 9.607873916625977}),
        ('"flange"', {"$": "flange"}),
        ("null", {"$": None}),
        ('{"thickness": 9.5}', {"thickness": 9.5}),
        ('{"label": "flange", "scores": {"flange": 0.9, "gasket": 0.1}}',
         {"label": "flange", "scores.flange": 0.9, "scores.gasket": 0.1}),
        ('{"boxes": [{"x0": 3, "label": "hole"}, {"x0": 5}]}',
         {"boxes[0].x0": 3, "boxes[0].label": "hole", "boxes[1].x0": 5}),
        ("[1, [2, true]]", {"[0]": 1, "[1][0]": 2, "[1][1]": True}),
        ('{"boxes": []}', {"boxes[]": 0}),
        ('{"a": {}}', {"a{}": 0}),
        ("[]", {"[]": 0}),
        ("{}", {"{}": 0}),
        ("[[]]", {"[0][]": 0}),
        ('{"a.b": {"c": 1}}', {'["a.b"].c': 1}),
        ('{"a": {"b[0]": [1]}}', {'a["b[0]"][0]': 1}),
        ('{"": 1}', {'[""]': 1}),
        ('{"say \\"hi\\"": 1}', {'["say \\"hi\\""]': 1}),
        ('{"two\\nlines": 1}', {'["two\\nlines"]': 1}),
        ('{" padded": 1, "in side": 2}', {'[" padded"]': 1, "in side": 2}),
        ('{"厚さ": 1}', {"厚さ": 1}),
        ('{"value": 9.5}', {"value": 9.5}),
        ('{"$": 9.5}', {'["$"]': 9.5}),
        ('{"a": {"$": 1, "$ref": 2}}', {'a["$"]': 1, "a.$ref": 2}),
        ('{"it\'s": 1, "a,b": 2, "*": 3}', {"it's": 1, "a,b": 2, "*": 3}),
        ('{"\\u202e": 1}', {'["\\u202e"]': 1}),
        ('{"value": 9.5, "unit": "mm"}', {"value": 9.5, "unit": "mm"}),
        ('{"value": {"value": 1}}', {"value.value": 1}),
    ],
)  # fmt: skip
def test_paths(answer: str, leaves: dict[str, Any]) -> None:
    assert exact(flatten(parse(answer.encode()))) == exact(leaves)
    assert list(flatten(parse(answer.encode()))) == list(leaves)


def exact(leaves: dict[str, Any]) -> dict[str, str]:
    """Values with their types, NaN equal to itself and -0.0 apart from 0.0."""
    return {path: f"{type(value).__name__} {value!r}" for path, value in leaves.items()}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
# Few keys, the nasty ones among them, so that two answers are alike more often than chance would have it.
KEYS = st.sampled_from(
    ["", "a", "b", "a.b", "[0]", "0", "a[0]", "[]", "{}", '"', '["a"]', "value", "$", " ", "\n"]
) | st.text(max_size=2)
ANSWERS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


STEP = re.compile(r'\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]|(\[\]|\{\})$|\.?([^.\[\]{}"]+)')


def steps(path: str) -> list[Any]:
    found: list[Any] = []
    position = 0
    while position < len(path):
        match = STEP.match(path, position)
        assert match, f"{path!r} cannot be read from {position}"
        index, quoted, empty, plain = match.groups()
        if index is not None:
            found.append(int(index))
        elif quoted is not None:
            found.append(json.loads(f'"{quoted}"'))
        elif empty is not None:
            found.append([] if empty == "[]" else {})
        else:
            found.append(plain)
        position = match.end()
    return found


def rebuilt(leaves: dict[str, Any]) -> Any:
    """The answer that has these leaves: an inverse that can exist only if no two answers share theirs."""
    if list(leaves) == ["$"]:
        return leaves["$"]
    return _group([(steps(path), value) for path, value in leaves.items()])


def _group(rows: list[tuple[list[Any], Any]]) -> Any:
    if len(rows) == 1 and not rows[0][0]:
        return rows[0][1]
    if len(rows) == 1 and rows[0][0] in ([[]], [{}]):
        return rows[0][0][0]
    groups: dict[Any, list[tuple[list[Any], Any]]] = {}
    for (first, *rest), value in rows:
        groups.setdefault(first, []).append((rest, value))
    if all(isinstance(key, int) for key in groups):
        assert list(groups) == list(range(len(groups)))
        return [_group(group) for group in groups.values()]
    return {key: _group(group) for key, group in groups.items()}


@given(ANSWERS)
@example({"$": 1})
@example({"value": 1})
@example({"value": []})
@example({"value": 1, "a": 2})
def test_the_answer_can_be_rebuilt_so_no_two_share_their_leaves(answer: Any) -> None:
    again = rebuilt(flatten(answer))
    assert json.dumps(again) == json.dumps(answer)


@given(ANSWERS, ANSWERS)
@example({"value": 1}, 1)
@example({"$": 1}, 1)
@example({"a": {"b": 1}}, {"a.b": 1})
@example({"a": [1]}, {"a[0]": 1})
@example({"a": []}, {"a": 0})
@example({"a": []}, {"a": {}})
@example({"[]": 0}, [])
@example([1], {"0": 1})
def test_two_answers_that_differ_have_leaves_that_differ(one: Any, other: Any) -> None:
    if json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):
        assert exact(flatten(one)) != exact(flatten(other))


@given(ANSWERS)
def test_paths_stay_on_one_line(answer: Any) -> None:
    for path in flatten(answer):
        assert path.isprintable()
        assert path == path.strip()
        path.encode()


def test_numbers_that_are_no_json_are_kept_for_the_comparison() -> None:
    leaves = flatten(parse(b'{"a": NaN, "b": Infinity, "c": -Infinity, "d": 1e999}'))
    assert math.isnan(leaves["a"])  # type: ignore[arg-type]
    assert [leaves[name] for name in "bcd"] == [math.inf, -math.inf, math.inf]


def test_integers_keep_every_digit() -> None:
    digits = "123456789012345678901234567890"
    assert flatten(parse(digits.encode())) == {"$": int(digits)}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_json_may_have(encoding: str) -> None:
    assert flatten(parse('{"厚さ": 1}'.encode(encoding))) == {"厚さ": 1}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"cat", "not JSON .Expecting value at line 1, column 1"),
        (b'{"a": 1} {"a": 2}', "not JSON .Extra data"),
        (b'{"a": "\xff"}', "not JSON .byte 7 is not utf-8"),
        (b'{"a": 1, "a": 1}', "the key 'a' twice"),
        (b'{"b": [{"a": 1, "c": 2, "a": {}}]}', "the key 'a' twice"),
        (b"9" * (sys.get_int_max_str_digits() + 1), "4300"),
        (b"[" * 100_000, "deeper than 100"),
        (b'"\\ud800"', "half a surrogate pair"),
    ],
)
def test_what_no_golden_could_hold_is_refused(body: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        flatten(parse(body))


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def test_depth_has_a_bound() -> None:
    assert len(flatten(nested(MAX_DEPTH))) == 1
    with pytest.raises(ValueError, match="deeper than 100"):
        flatten(nested(MAX_DEPTH + 1))


@pytest.mark.parametrize("answer", ["[[], [], {}, {}]", '{"a": {}, "b": [], "c": {}, "d": {}}'])
def test_an_empty_list_counts(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr("goldmar.protocols.leaves.MAX_LEAVES", 3)
    for made in (parse, lambda body: flatten(json.loads(body))):
        with pytest.raises(ValueError, match="more than"):
            made(answer.encode())


def test_the_number_of_values_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goldmar.protocols.leaves.MAX_LEAVES", 3)
    assert len(flatten([1, 2, 3])) == 3
    with pytest.raises(ValueError, match="more than 3 values"):
        flatten([1, 2, 3, 4])


MIB = 2**20
LARGE = {
    "empty lists": (b"[" + b"[]," * (20 * MIB) + b"[]]", "more than 2000000 values"),
    "empty objects": (b"[" + b"{}," * (20 * MIB) + b"{}]", "more than 2000000 values"),
    "lists in lists": (b"[" + b",".join([b"[" * 90 + b"]" * 90] * 100_000) + b"]", "more than 2000000 values"),
    "UTF-16": (("[" + "[]," * 2_000_001 + "[]]").encode("utf-16"), "more than 2000000 values"),
    "quotes": (b'"' * (40 * MIB) + b"," * (3 * MIB), "more than 2000000 values"),
    "a long key": (b'{"' + b"k" * 50_000 + b'": [' + b"0," * 100_000 + b"0]}", "a path of 5000"),
    "the last key twice": (b"{" + b",".join(b'"%d":1' % n for n in range(200_000)) + b', "199999": 2}', "twice"),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_answer_takes_neither_time_nor_memory(name: str) -> None:
    body, words = LARGE[name]
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ValueError, match=words):
        flatten(parse(body))
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB; a list each would be millions


TEXTS = ["," * 2_100_000, "[" * 2_100_000, '\\",' * 1_100_000, "\\" * 99_999 + "[" * 2_100_000]


@pytest.mark.parametrize("text", TEXTS, ids=["commas", "brackets", "quotes", "backslashes"])
def test_commas_and_brackets_in_a_text_are_no_values(text: str) -> None:
    assert flatten(parse(json.dumps([text]).encode())) == {"[0]": text}


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}, {1: 2}, [b"bytes"]])
def test_what_json_cannot_say_is_a_mistake_of_the_caller(value: Any) -> None:
    with pytest.raises(TypeError, match="JSON"):
        flatten(value)
