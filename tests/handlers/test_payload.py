"""The ways in which a drawing may arrive, and the words for those in which it may not."""

import base64
import json
from typing import Any

import pytest
from payload import BadRequest, drawing_bytes

DRAWING = bytes(range(256)) * 3
TEXT = base64.b64encode(DRAWING).decode()


@pytest.mark.parametrize(
    "item",
    [
        {"body": DRAWING},
        {"body": bytearray(DRAWING)},
        {"body": memoryview(DRAWING)},
        {"data": bytearray(DRAWING)},
        {"data": bytearray(DRAWING), "body": b""},
        {"body": {"data": TEXT}},
        {"data": {"data": TEXT}},
        {"body": json.dumps({"data": TEXT})},
        {"body": json.dumps({"data": TEXT}).encode()},
        {"body": b"  " + json.dumps({"data": TEXT}).encode()},
        {"body": {"data": f"data:image/png;base64,{TEXT}"}},
        {"body": {"data": "\n".join(TEXT[i : i + 76] for i in range(0, len(TEXT), 76))}},
    ],
)
def test_a_drawing_arrives(item: dict[str, Any]) -> None:
    assert drawing_bytes(item) == DRAWING


@pytest.mark.parametrize("item", [{"body": b""}, {"data": bytearray()}, {"data": b"", "body": DRAWING}])
def test_an_empty_field_is_an_empty_drawing_and_no_other_field_is_tried(item: dict[str, Any]) -> None:
    assert drawing_bytes(item) == b""


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({}, "the request is empty"),
        ({"file": DRAWING}, "field 'file' but no field 'data'"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, "fields 'a', 'b', 'c', ... but"),
        ({"body": "a flange"}, "holds text"),
        ({"body": ""}, "holds text"),
        ({"body": None}, "not an object"),
        ({"body": False}, "not an object"),
        ({"body": 0}, "not an object"),
        ({"body": [TEXT]}, "not an object"),
        ({"body": {}}, "no field 'data'"),
        ({"body": {"image": TEXT}}, "no field 'data'"),
        ({"body": {"data": ""}}, "not a string"),
        ({"body": {"data": None}}, "not a string"),
        ({"body": {"data": [TEXT]}}, "not a string"),
        ({"body": {"data": "%%%"}}, "base64"),
        ({"body": {"data": TEXT[:-1]}}, "base64"),
        ({"body": {"data": "é"}}, "base64"),
        ({"body": b'{"data": "'}, "JSON in the request is broken"),
        ({"body": '{"data"'}, "JSON in the request is broken"),
        ({"body": b'{"data": "\xff"}'}, "JSON in the request is broken"),
        ({"body": b'{"data":' * 50_000}, "JSON in the request is broken"),
    ],
)
def test_a_request_without_a_drawing_is_refused_in_words(item: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        drawing_bytes(item)
