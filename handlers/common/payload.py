"""One item of a TorchServe batch -> the bytes of the drawing in it.

TorchServe hands over a dict of form fields, with a raw body as the field `body`. It decodes JSON and text by their
content type: a JSON body arrives as the object, broken JSON as bytes, text as str.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

FIELD = "data"
HOW = 'send the drawing as the body, as form field \'data\', or as base64 in JSON {"data": "..."}'


class BadRequest(ValueError):
    """The request carries no drawing; str() is a sentence for the person who sent it."""


def drawing_bytes(item: Mapping[str, Any]) -> bytes:
    """The drawing from a raw body, from multipart field `data`, or from base64 in JSON under `data`.

    JSON is recognised by its opening brace when the content type does not say so. Raises BadRequest when there is no
    drawing, or its base64 is broken. May return b"" for a body that is there but empty.
    """
    for field in (FIELD, "body"):
        if field in item:
            return _decode(item[field])
    if item:
        msg = f"the request has {_names(item)} but no field '{FIELD}': {HOW}."
        raise BadRequest(msg)
    msg = f"the request is empty: {HOW}."
    raise BadRequest(msg)


def _decode(value: object) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return _from_json(data) if data[:64].lstrip().startswith(b"{") else data
    if isinstance(value, str):
        if value.lstrip().startswith("{"):
            return _from_json(value)
        msg = f"the request holds text, not a drawing: {HOW}, with the content type of the file."
        raise BadRequest(msg)
    return _from_object(value)


def _from_json(text: bytes | str) -> bytes:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"the JSON in the request is broken: {HOW}."
        raise BadRequest(msg) from error
    return _from_object(value)


def _from_object(value: object) -> bytes:
    if not isinstance(value, Mapping):
        msg = f"the JSON in the request is not an object: {HOW}."
        raise BadRequest(msg)
    if FIELD not in value:
        msg = f"the JSON in the request has no field '{FIELD}': {HOW}."
        raise BadRequest(msg)
    text = value[FIELD]
    if not isinstance(text, str) or not text:
        msg = f"the field '{FIELD}' of the JSON is not a string of base64: {HOW}."
        raise BadRequest(msg)
    return _from_base64(text)


def _from_base64(text: str) -> bytes:
    if text.startswith("data:"):  # the form in which browsers hand out files
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        msg = f"the base64 in field '{FIELD}' is broken or cut short: encode the whole file again."
        raise BadRequest(msg) from error


def _names(item: Mapping[str, Any]) -> str:
    fields = ", ".join(f"'{name}'" for name in sorted(item)[:3])
    return f"field {fields}" if len(item) == 1 else f"fields {fields}{', ...' if len(item) > 3 else ''}"
