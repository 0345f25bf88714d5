"""Text of somebody else (a server, a file's name, a worker's log), made fit to be shown. Every edge shows it this way.

Three things are taken out of it: what a terminal, an XML parser or a reader's eye would take for something else than
text (control characters, escapes, marks that turn the direction of writing, halves of surrogate pairs), what a CI
server would take for a command (`::error::`, `##[group]`, `##vso[...]`, `##teamcity[...]`), and secrets that an answer
or a log repeats.
"""

import base64
import html
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

HIDDEN = "***"
"""What stands where a secret was."""

# GitHub reads `::name::` where only white space is before it, and `##[name]` anywhere; so do Azure and TeamCity.
_ON_ITS_OWN = re.compile(r"^(\s*):(?=:)")
_ANYWHERE = re.compile(r"#(?=#(?:\[|vso\[|teamcity\[))", re.IGNORECASE)
_USERINFO_LENGTH = 2000
_USERINFO = re.compile(rf"(?<=://)(?!git@)[^\s/?#@\"'<>]{{1,{_USERINFO_LENGTH}}}@")
_FORMAT = {"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"}

_WHOLE = 8
"""Characters from which on a secret is blotted out wherever it stands; a shorter one only where it is a whole word."""
_LEAST = 4
"""Shorter than this nothing is a secret: blotting out every `1` would hide the report and no token."""

_CREDENTIAL = re.compile(r"auth|token|key|secret|pass|cred|cookie|session|sign", re.IGNORECASE)


# ---- characters -----------------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """Text on one line that any terminal, file or XML parser takes: what cannot be shown is spelt as an escape, \\x1b.

    Letters, signs and spaces of every language stay as they are. Secrets are blotted out, and so are marks such as
    `##[error]` that a CI server obeys wherever they stand; for those that begin a line there is `clean_lines`.
    """
    text = blot(text)
    text = text if text.isprintable() else "".join(map(_shown, text))
    return _ANYWHERE.sub(r"\\x23", text) if "##" in text else text


def clean_lines(text: str) -> str:
    """The same for text of several lines, which stay apart; none of them is a command of a CI server."""
    lines = blot(text).replace("\r\n", "\n").split("\n")
    return "\n".join(guarded(clean(line.expandtabs())) for line in lines)


def guarded(line: str) -> str:
    """A line that no CI server takes for a command; `\\x3a` and `\\x23` stand for the colon and the hash that were."""
    line = _ANYWHERE.sub(r"\\x23", line) if "##" in line else line
    return _ON_ITS_OWN.sub(r"\1\\x3a", line) if "::" in line else line


def json_safe(text: str, *, ascii_only: bool = False) -> str:
    """JSON text that says the same, with escapes for what `clean` would spell; secrets in it are blotted out.

    With `ascii_only` every character beyond ASCII becomes an escape: for a terminal that knows no other.
    """
    text = blot(text)
    if not text.isascii() or not text.isprintable():
        text = "".join(
            _escape(character)
            if character != "\n" and (_odd(character) or (ascii_only and character > "\x7e"))
            else character
            for character in text
        )
    return _ANYWHERE.sub(r"\\u0023", text)


def excerpt(text: str | bytes, at_most: int = 300) -> str:
    """The beginning of an answer on one line, at most so many characters, fit to be shown."""
    # Half a token is too much of it: none that begins before the cut may end behind it.
    margin = max([_USERINFO_LENGTH, *map(len, _forms)])
    part, is_cut = text[: 64 * at_most + margin], len(text) > 64 * at_most + margin
    shown = blot(part.decode("utf-8", "replace") if isinstance(part, bytes) else part)
    return shortened(clean(" ".join((shown[:-margin] if is_cut else shown).split())), at_most)


def _odd(character: str) -> bool:
    return not character.isprintable() and unicodedata.category(character) in _FORMAT


def _shown(character: str) -> str:
    return ascii(character)[1:-1] if _odd(character) else character


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"


# ---- words ----------------------------------------------------------------------------------------------------------


def shortened(text: str, at_most: int) -> str:
    """The beginning of a text, with an ellipsis where it is cut."""
    return text if len(text) <= at_most else f"{text[: at_most - 1]}…"


def counted(count: int, thing: str, things: str = "") -> str:
    """1 drawing, 2 drawings, 12,000 values; `things` where an s does not make the plural: 3 mixes."""
    return f"{count:,} {thing if count == 1 else things or f'{thing}s'}"


def listed(names: Iterable[str]) -> str:
    """`a, b and c`; of no names nothing."""
    *others, last = [*names] or [""]
    return f"{', '.join(others)} and {last}" if others else last


def some(names: Sequence[str], at_most: int) -> str:
    """`a, b and 3 more`: the first names on one line, however many there are."""
    more = f" and {len(names) - at_most:,} more" if len(names) > at_most else ""
    return f"{', '.join(names[:at_most])}{more}"


def shown_path(path: Path) -> str:
    """Relative where it lies below the working directory: shorter, and what one would type."""
    with suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return path.as_posix()


# ---- secrets --------------------------------------------------------------------------------------------------------

_forms: dict[str, bool] = {}  # each spelling of a secret -> whether it is hidden inside longer words as well
_pattern: re.Pattern[str] | None = None


def keep_secret(value: str) -> None:
    """From now on this is blotted out of whatever is shown or reported, in every spelling that is made by accident.

    As it is, percent-encoded, as JSON escapes it, and inside base64. Fewer than four characters are no secret.
    """
    global _pattern
    if len(value) < _LEAST or value in _forms:
        return
    _forms.update(dict.fromkeys((form for form in _spellings(value) if len(form) >= _LEAST), len(value) >= _WHOLE))
    # Long ones first: a part that is a secret of its own must not leave the rest standing.
    parts = (
        re.escape(form) if anywhere else rf"(?<!\w){re.escape(form)}(?!\w)"
        for form, anywhere in sorted(_forms.items(), key=lambda item: -len(item[0]))
    )
    _pattern = re.compile("|".join(parts))


def keep_secret_headers(headers: Mapping[str, str]) -> None:
    """The same for the headers of a request: their values, without the word `Bearer`, `Basic` and the like.

    A short value under a name that speaks of no credential (`X-Env: prod`) is no secret.
    """
    for name, value in headers.items():
        credential = _CREDENTIAL.search(name) is not None
        scheme, space, rest = value.partition(" ")
        for part in {value, rest} if space else {value}:
            if credential or len(part) >= _WHOLE:
                keep_secret(part)
        if space and scheme.lower() == "basic":
            try:
                user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
            except ValueError:
                continue
            keep_secret(password or user)


def blot(text: str) -> str:
    """Text without the secrets that are known, and without user names and passwords in URLs."""
    if _pattern is not None and any(form in text for form in _forms):
        text = _pattern.sub(HIDDEN, text)
    return _USERINFO.sub(f"{HIDDEN}@", text) if "@" in text else text


def holds_secret(body: bytes, texts: Iterable[str] = ()) -> bool:
    """Whether an answer, or one of the texts in it, repeats a secret that is known."""
    if _pattern is None:
        return False
    if any(form.encode() in body for form in _forms) and _pattern.search(body.decode("utf-8", "replace")):
        return True
    return any(_pattern.search(text) for text in texts)


def _spellings(value: str) -> set[str]:
    found = {value, unquote(value), json.dumps(value)[1:-1], repr(value)[1:-1], html.escape(value)}
    for quoted in (quote(value, safe=""), quote(value)):
        found |= {quoted, re.sub("%[0-9A-F]{2}", lambda code: code.group().lower(), quoted)}
    content = value.encode()
    if len(content) >= _WHOLE:
        # At each of three offsets base64 has other letters; those at both ends depend on what is beside the secret.
        for offset in range(3):
            whole = base64.b64encode(b"\0" * offset + content)
            inner = whole[-(-8 * offset // 6) : 8 * (offset + len(content)) // 6].decode()
            found |= {inner, inner.replace("+", "-").replace("/", "_")}
        found |= {content.hex(), content.hex().upper()}
    return found


def userinfo_of(url: str) -> str | None:
    """The password of a URL, or the user's name where there is nothing else; None without either."""
    parts = urlsplit(url)
    return parts.password or parts.username


def without_userinfo(url: str) -> str:
    """A URL without the user name and password that it may hold: reports and files are for everybody's eyes."""
    if "@" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
