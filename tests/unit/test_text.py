"""Text of somebody else, fit to be shown: characters, commands of CI servers, secrets."""

import base64
import json
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from goldmar import text
from goldmar.text import (
    HIDDEN,
    blot,
    clean,
    clean_lines,
    counted,
    excerpt,
    guarded,
    holds_secret,
    json_safe,
    keep_secret,
    listed,
    shortened,
    some,
)

TOKEN = 'aB3/+x9"secret~token'


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_forms", {})
    monkeypatch.setattr(text, "_pattern", None)


# ---- words ----------------------------------------------------------------------------------------------------------


def test_counts_and_lists_read_as_one_says_them() -> None:
    assert [counted(n, "mix", "mixes") for n in (0, 1, 1200)] == ["0 mixes", "1 mix", "1,200 mixes"]
    assert counted(2, "drawing") == "2 drawings"
    assert [listed("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert [some("abcd"[:n], 2) for n in (0, 2, 4)] == ["", "a, b", "a, b and 2 more"]
    assert [shortened("abcd", n) for n in (4, 3)] == ["abcd", "ab…"]


# ---- characters -----------------------------------------------------------------------------------------------------

ODD = [
    *map(chr, range(0x20)),
    "\x7f",
    *map(chr, range(0x80, 0xA0)),
    *"\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202e",
]
ODD += [*"\u2060\u2066\u2069\ufeff\ufff9\ufffe\U000e0041\U0010ffff", "\ud800", "\udcff"]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_what_is_no_text_becomes_an_escape(odd: str) -> None:
    shown = clean(f"a{odd}b")
    assert odd not in shown
    assert shown.isprintable()
    assert shown == "a" + ascii(odd)[1:-1] + "b"
    assert json_safe(json.dumps(f"a{odd}b", ensure_ascii=False)).isprintable()
    assert json.loads(json_safe(json.dumps(f"a{odd}b", ensure_ascii=False))) == f"a{odd}b"


@pytest.mark.parametrize(
    "fine", ["WA-20220616/RT-1", "図面　一号", "Zeichnung №5 – 30°", "\xa0", "😀", "[red]x[/]", "a::b"]
)
def test_every_language_stays_as_it_is(fine: str) -> None:
    assert clean(fine) == clean_lines(fine) == guarded(fine) == fine


# ---- commands of CI servers -----------------------------------------------------------------------------------------

COMMANDS = ["::error::x", "  ::set-output name=a::b", "\u3000::add-mask::x", "::stop-commands::y", "::"]
ANYWHERE = ["##[error]x", "see ##[group]", "##vso[task.setvariable variable=a]b", "##VSO[x", "a ##teamcity[b]", "###[x"]


@pytest.mark.parametrize("command", [*COMMANDS, *ANYWHERE])
def test_a_command_of_a_ci_server_is_text(command: str) -> None:
    for shown in (guarded(command), clean_lines(f"one\n{command}\ntwo").split("\n")[1]):
        assert not shown.lstrip().startswith("::")
        assert not any(mark in shown.lower() for mark in ("##[", "##vso[", "##teamcity["))
        assert shown.replace("\\x3a", ":").replace("\\x23", "#").strip() == command.strip()
    said = json_safe(json.dumps({"a": command}, indent=2))
    assert json.loads(said) == {"a": command}
    assert not any(mark in said.lower() for mark in ("##[", "##vso[", "##teamcity["))


def test_lines_stay_apart_and_a_carriage_return_makes_none() -> None:
    assert clean_lines("a\r\nb\rc\n\td") == "a\nb\\rc\n        d"


def test_gitlabs_sections_are_text() -> None:
    assert clean_lines("section_start:1:a\r\x1b[0K") == "section_start:1:a\\r\\x1b[0K"


def test_an_excerpt_has_one_line_and_an_end() -> None:
    assert excerpt(b"a \n\x1b b", 10) == "a \\x1b b"
    assert len(excerpt("x" * 1000)) == 300
    assert excerpt("x" * 300) == "x" * 300
    began = time.process_time()
    assert excerpt("\x1b" * 50_000_000).endswith("…")
    assert time.process_time() - began < 2


# ---- secrets --------------------------------------------------------------------------------------------------------


def spelt(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote(secret, safe="").lower()
    yield json.dumps(secret)[1:-1]
    for before in range(4):
        for after in range(3):
            whole = ("x" * before + secret + "y" * after).encode()
            yield base64.b64encode(whole).decode()
            yield base64.urlsafe_b64encode(whole).decode()
    yield secret.encode().hex()
    yield secret.encode().hex().upper()


@pytest.mark.parametrize("form", sorted(set(spelt(TOKEN)) - {quote(TOKEN, safe="").lower()}))
def test_a_secret_is_blotted_out_in_every_spelling(form: str) -> None:
    before = f"see {form}, and again {form}"
    assert blot(before) == before
    keep_secret(TOKEN)
    shown = clean(before)
    assert form not in shown
    # Of base64 a letter at either end also belongs to what stood beside the secret.
    assert form[3:-4] not in shown
    assert shown.count(HIDDEN) == 2
    assert holds_secret(form.encode())


def test_a_secret_is_gone_before_the_text_is_cut() -> None:
    keep_secret(TOKEN)
    assert TOKEN[:4] not in excerpt("x" * 290 + TOKEN)
    assert TOKEN[:4] not in excerpt(("x" * 290 + TOKEN).encode())
    for shift in range(len(TOKEN) + 1):  # across the place where what is looked at ends
        text = " " * (64 * 300 + 2000 - shift) + f"{TOKEN} more"
        assert TOKEN[:4] not in excerpt(text)
        assert TOKEN[:4] not in excerpt(text.encode())
        assert TOKEN[:4] not in excerpt(" " * (64 * 300 - shift) + TOKEN)


def test_a_short_secret_goes_where_it_is_a_word() -> None:
    keep_secret("tiny")
    assert blot("tiny, not destiny; Bearer tiny") == f"{HIDDEN}, not destiny; Bearer {HIDDEN}"


def test_three_characters_are_no_secret() -> None:
    keep_secret("123")
    assert blot("123 drawings") == "123 drawings"


def test_json_for_a_terminal_that_knows_ascii_alone() -> None:
    said = json.dumps({"é~": "図\x7f\u200b"}, ensure_ascii=False, indent=1)
    assert json_safe(said, ascii_only=True).isascii()
    assert json_safe('["é"]', ascii_only=True) == '["\\u00e9"]'
    assert json_safe('["a~"]\n', ascii_only=True) == '["a~"]\n'
    assert json_safe(said).count("é") == json_safe(said).count("図") == 1
    assert json.loads(json_safe(said, ascii_only=True)) == json.loads(json_safe(said)) == json.loads(said)


def test_where_a_secret_begins_to_be_one() -> None:
    assert not holds_secret(b"x", ["a"])
    for short in ("1/2", "%41%42"):
        keep_secret(short)
    assert blot("AB and 1%2F2") == "AB and 1%2F2"
    keep_secret("tiny")
    assert holds_secret(b"a tiny thing")
    assert not holds_secret(b"destiny")
    keep_secret("eightchr")
    assert blot(f"xeightchrx {base64.b64encode(b'eightchr').decode()}").count(HIDDEN) == 2
    text.keep_secret_headers({"X-Env": "longprod", "X-Id": f"Bearer {base64.b64encode(b'me:notsecret').decode()}"})
    assert blot("longprod notsecret") == f"{HIDDEN} notsecret"


def test_headers_give_their_values_away() -> None:
    basic = base64.b64encode(b"me:hunter22").decode()
    headers = {"Authorization": f"Basic {basic}", "X-Api-Key": "abcd", "X-Env": "prod", "X-Other": "longenough"}
    text.keep_secret_headers(headers)
    assert blot(f"{basic} abcd prod longenough hunter22") == f"{HIDDEN} {HIDDEN} prod {HIDDEN} {HIDDEN}"


def test_a_basic_header_without_a_password_or_that_is_none() -> None:
    for header, hidden in ((base64.b64encode(b"onlyuser:").decode(), "onlyuser"), ("not base64!", "not base64!")):
        text.keep_secret_headers({"Authorization": f"Basic {header}"})
        assert hidden not in blot(f"see {hidden} there")


def test_who_speaks_in_a_url() -> None:
    assert text.userinfo_of("http://me:pass@host/") == "pass"
    assert text.userinfo_of("http://token@host/") == "token"
    assert text.userinfo_of("http://host/") is None


@pytest.mark.parametrize("url", ["https://me:pw@host/x", "git+https://ghp_abc@host/x", "http://:pw@host/x"])
def test_a_password_in_a_url_is_blotted_out(url: str) -> None:
    assert blot(f"a {url} b").count("://***@host/x") == 1
    assert blot("ssh://git@host/x and a@b.c") == "ssh://git@host/x and a@b.c"


def test_an_answer_that_spells_the_token_with_escapes_is_seen() -> None:
    keep_secret(TOKEN)
    assert holds_secret(b"{}", ["a", f"x{TOKEN}"])
    assert not holds_secret(b"{}", ["a"])
