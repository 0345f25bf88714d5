"""Requirement files: read line by line as pip reads them, and what a model's file asks for."""

import importlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldmar.requirements import asked_for, lines
from tests.support.examples import times

PIP = importlib.import_module("pip._internal.req.req_file")  # which every environment here is made with

PIECES = st.sampled_from(
    [
        "a==1",
        "b==2",
        " ",
        "\\",
        "\n",
        "\r\n",
        "#",
        " # via x",
        "    # via",
        "--hash=sha256:aa",
        "-r x.txt",
        "\t",
        "\x0c",
        "\u2028",
    ]
)


@settings(max_examples=times(4))
@given(st.lists(PIECES, max_size=12).map("".join))
def test_the_lines_are_those_that_pip_reads(text: str) -> None:
    """What a reader of ours passes over and pip installs would be installed unseen."""
    assert [entry.text.split() for entry in lines(text)] == [
        line.split() for _, line in PIP.preprocess(text) if line.strip()
    ]


def test_an_entry_knows_its_lines_and_notes() -> None:
    text = "# head\n\na==1 \\\n  --hash=sha256:aa  # first\n    # via b\n# heading\n    # of nobody\n-i https://x.example\n"
    first, second = lines(text)
    assert (first.text.split(), first.first, first.end) == (["a==1", "--hash=sha256:aa"], 2, 5)
    assert (first.bare, first.hashes, str(first.requirement)) == ("a==1", ("sha256:aa",), "a==1")
    assert first.notes == (" first", " via b")
    assert (second.text, second.first, second.end, second.notes) == ("-i https://x.example", 7, 8, ())


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("--index-url https://x.example", [("--index-url", "https://x.example")]),
        ("-i=https://x.example", [("--index-url", "https://x.example")]),
        ("-fwheels", [("--find-links", "wheels")]),
        ("-f 'my wheels' --no-index", [("--find-links", "my wheels"), ("--no-index", "")]),
        (
            "--no-index --extra-index-url=https://evil.example",
            [("--no-index", ""), ("--extra-index-url", "https://evil.example")],
        ),
        ("--requirement=../x.txt", [("-r", "../x.txt")]),
        ("-e.", [("-e", ".")]),
    ],
)
def test_the_options_of_a_line(line: str, options: list[tuple[str, str]]) -> None:
    (found,) = lines(line)
    assert list(found.options) == options
    assert not found.problem


@pytest.mark.parametrize(
    "line",
    ["--index-u https://x.example", "--find x", "--use-feature=y", "-i", "--pre=yes", "--hash=sha256:aa", "-f 'x"],
)
def test_an_option_that_is_not_known_is_no_option(line: str) -> None:
    """pip takes abbreviations, and what is passed over here could be an index there."""
    (found,) = lines(line)
    assert found.problem
    assert not found.options


@pytest.mark.parametrize(
    ("text", "names", "unknown"),
    [
        ("numpy\n", {"numpy"}, False),
        ("Py_Vips[binary]>=3  # images\n\n# nothing\n", {"py-vips"}, False),
        ("numpy>=1; python_version < '4'\ntorch==2.13.0 \\\n    --hash=sha256:00\n", {"numpy", "torch"}, False),
        ("x @ https://example.org/x.whl\n", {"x"}, False),
        ("--prefer-binary\nnumpy\n", {"numpy"}, False),
        ("-e .\n", set(), True),
        ("./x.whl\n", set(), True),
        ("--index-url https://example.org/\n", set(), True),
        ("", set(), False),
    ],
)
def test_what_requirements_ask_for(text: str, names: set[str], unknown: bool) -> None:
    asked = asked_for("a/requirements.txt", {"a/requirements.txt": text.encode()}.get)
    assert asked.names == names
    assert bool(asked.unknown) is unknown


@pytest.mark.parametrize(
    ("content", "unknown"),
    [
        (b"numpy\n\xff", "r.txt is not UTF-8"),
        (b"\xef\xbb\xbfnumpy", ""),  # Windows begins a file so, and pip reads it
        (b"--only-binary=:all: --no-binary numpy --require-hashes\nnumpy", ""),
        (b"--pre\n-f x\nnumpy", "r.txt says '--pre'"),
        (b"-f wheels\nnumpy", "r.txt says '-f wheels'"),
        (b"--no-index\nnumpy", "r.txt says '--no-index'"),
    ],
)
def test_what_is_not_known_of_requirements_is_said(content: bytes, unknown: str) -> None:
    asked = asked_for("r.txt", {"r.txt": content}.get)
    assert asked.unknown == unknown
    assert asked.named is ("UTF-8" not in unknown)
    assert asked.names == (set() if "UTF-8" in unknown else {"numpy"})


@pytest.mark.parametrize("odd", [b"\xff", None])
def test_the_first_reason_is_the_one_that_is_told(odd: bytes | None) -> None:
    assert asked_for("r.txt", {"r.txt": b"--pre\n-r odd.txt", "odd.txt": odd}.get).unknown == "r.txt says '--pre'"


def test_requirements_include_others_once_even_in_a_circle() -> None:
    files = {"a/r.txt": b"-r ../b/s.txt\n-c c.txt\nnumpy", "b/s.txt": b"--requirement=../a/r.txt\npillow"}
    asked = asked_for("a/r.txt", files.get)
    assert asked.names == {"numpy", "pillow"}
    assert asked.files == {"a/r.txt", "b/s.txt", "a/c.txt"}
    assert asked.unknown == "there is no a/c.txt"


@pytest.mark.parametrize("first", ["-c both.txt\n-r both.txt", "-r both.txt\n-c both.txt", "-c c.txt\n-r r.txt"])
def test_what_is_included_by_both_asks(first: str) -> None:
    """In whatever order, and through other files."""
    files = {"both.txt": b"numpy<3", "c.txt": b"-r both.txt\npillow<9", "r.txt": b"-r both.txt"}
    asked = asked_for("top.txt", {**files, "top.txt": first.encode()}.get)
    assert [str(each) for each in asked.wanted] == ["numpy<3"]
    assert [str(each) for each in asked.limits] == (["pillow<9"] if "c.txt\n-r r" in first else [])
    assert not asked.unknown


def test_what_a_constraint_file_includes_limits_and_does_not_ask() -> None:
    files = {"r.txt": b"-c c.txt\nnumpy", "c.txt": b"-r d.txt\npillow<9", "d.txt": b"torch<3"}
    asked = asked_for("r.txt", files.get)
    assert [str(each) for each in asked.wanted] == ["numpy"]
    assert sorted(str(each) for each in asked.limits) == ["pillow<9", "torch<3"]
