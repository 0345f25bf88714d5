"""How texts and values are spelt in a golden CSV. A pred is read by the grammar of JSON, with strings bare:

    9.0  1e-05  nan  inf  -inf    a float, written with repr
    12                            an integer
    true  false  null
    "12"  ""  "two\\nlines"        a JSON string: text that would read as one of the above, is empty, starts with a
                                  double quote, or holds control characters
    anything else                 that text

`drawing_id` and `name` are text, as JSON strings in the same cases but the first. On top of that, fields with commas or
double quotes are quoted as CSV asks.
"""

import json
import re

from goldmar.records import Value


class FieldError(ValueError):
    """What is wrong with a field, in words that follow "line 3: ", and how to mend it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


_WORDS: dict[str, Value] = {
    "true": True,
    "false": False,
    "null": None,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
}
_FIRSTS = '-0123456789"tfni'  # of all but a bare string
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# Characters that would break a line, cannot be seen, turn the direction of a diff, or cannot be encoded.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


def spell_pred(value: Value) -> str:
    """A value such that `parse_pred` gives it back."""
    if isinstance(value, str):
        return _quoted(value) if _needs_quotes(value) or not isinstance(parse_pred(value), str) else value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return int.__repr__(value) if isinstance(value, int) else float.__repr__(value)


def parse_pred(pred: str) -> Value:
    """The value that a pred stands for. Raises FieldError."""
    if pred[:1] not in _FIRSTS:  # most texts
        return pred
    if not _FLOAT.fullmatch(pred):
        return _WORDS[pred] if pred in _WORDS else parse_text(pred, "pred")
    if not _INTEGER.fullmatch(pred):
        return float(pred)
    try:
        return int(pred)
    except ValueError:  # thousands of digits
        msg = f"has an integer of {len(pred)} digits"
        raise FieldError(msg, "Write it as a float, as in 1e300, or as a JSON string") from None


def spell_text(text: str) -> str:
    """A drawing_id or name such that `parse_text` gives it back."""
    return _quoted(text) if _needs_quotes(text) else text


def parse_text(text: str, column: str) -> str:
    """The text that a field of `column` stands for. Raises FieldError."""
    if not text:
        empty = 'Write nan, null or """" (an empty text) for no value' if column == "pred" else f"Fill in the {column}"
        raise FieldError(f"has an empty {column}", empty)
    if text[0] != '"':
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        msg = f"has a {column} that starts with a double quote and is no JSON string: {text[:80]}"
        raise FieldError(msg, "Write it as a JSON string, or without that quote") from None


def _needs_quotes(text: str) -> bool:
    return not text or text[0] == '"' or _ODD.search(text) is not None


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return json.dumps(text) if _ODD.search(quoted) else quoted
