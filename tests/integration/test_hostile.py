"""Servers, file names and terminals that mean harm, through the whole command line: what is seen, what is written."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from goldmar.errors import ExitCode
from tests.integration.conftest import Goldmar
from tests.integration.fake_server import Asked, Behaviour, FakeServer, answer, json_answer
from tests.integration.test_cli import RIGHT, obtained, process, project

__all__ = ["project"]  # a fixture

TOKEN = "tok/en+of.41-letters~that~nobody~may~see"
ESCAPES = "\x1b[31mred\x1b]8;;http://evil/\x07\r\n::error::pwned\n ::add-mask::a\n##[group]x\u202egnp\x9b2J"
HARM = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|^\s*::|##\[", re.MULTILINE)

# Within one process the streams are pytest's own: lines of a table are looked at where the command really runs, below.
TABLES = re.compile(HARM.pattern.replace(r"|^\s*::", ""), re.MULTILINE)
# Data is kept as it is, in a form that no terminal obeys.
DATA = re.compile(TABLES.pattern.replace(r"|##\[", ""), re.MULTILINE)

PING = json_answer({"status": "Healthy"})


def after_ping(predictions: Behaviour) -> Behaviour:
    def behave(connection: socket.socket, asked: Asked) -> bool:
        return (PING if asked.path == "/ping" else predictions)(connection, asked)

    return behave


def bare(text: str) -> str:
    """As a token may have been broken by a table or a line."""
    return re.sub(r"[\s│|]+", "", text)


def looked_at(where: str) -> re.Pattern[str]:
    return DATA if where.startswith("obtained") else TABLES if where == "stdout" else HARM


def all_of(project: Path, out: str, err: str) -> dict[str, str]:
    found = {"stdout": out, "stderr": err}
    for path in [*project.glob("reports/*"), *project.rglob("obtained*")]:
        found[path.name] = path.read_text(encoding="utf-8")
    return found


SPOKEN: dict[str, tuple[Behaviour, int]] = {
    "refusal": (json_answer({"error": ESCAPES}, 400), 1),
    "TorchServe's error": (json_answer({"code": 400, "type": ESCAPES, "message": ESCAPES}, 400), 1),
    "not JSON": (answer(200, ESCAPES.encode()), 1),
    "a key": (json_answer({ESCAPES: 1.5}), 1),
    "a value": (json_answer({"unit": ESCAPES, "mean": 2.0, "count": 1, "ok": True}), 1),
    "a key twice": (
        answer(200, json.dumps({ESCAPES: 1})[:-1].encode() + b"," + json.dumps({ESCAPES: 1})[1:].encode()),
        1,
    ),
    "unknown model": (json_answer({"detail": ESCAPES}, 404), 2),
    "token turned down": (json_answer({"detail": ESCAPES}, 401), 2),
    "a redirect": (answer(302, headers={"location": "http://x/\x1b[31m\x9b::error::\x85"}), 3),
    "server failed": (answer(502, ESCAPES.encode()), 3),
    "an encoding": (answer(200, b"{}", headers={"content-encoding": "\x1b[31m\x9b"}), 1),
}


@pytest.mark.parametrize("name", SPOKEN)
def test_what_a_server_says_is_text_everywhere(goldmar: Goldmar, project: Path, name: str) -> None:
    behaviour, code = SPOKEN[name]
    with FakeServer(after_ping(behaviour)) as server:
        done = goldmar("check", "--url", server.url, "--reports", "reports")
    assert done.code == code, done.err
    for where, text in all_of(project, done.out, done.err).items():
        assert not looked_at(where).search(text), (where, looked_at(where).search(text))
    if code == ExitCode.DIFFERENT:
        ET.parse(project / "reports/junit.xml")
        said = json.dumps(json.loads((project / "reports/report.json").read_text()))
        assert "error::pwned" in said or name == "an encoding"
        with FakeServer(after_ping(behaviour)) as server:
            done = goldmar("check", "--url", server.url, "--json")
        assert not HARM.search(done.out)
        json.loads(done.out)


def echoing(text: Callable[[str], object], status: int) -> Behaviour:
    """What the request's Authorization header holds, spoken back."""

    def behave(connection: socket.socket, asked: Asked) -> bool:
        return json_answer(text(asked.headers["authorization"]), status)(connection, asked)

    return behave


ECHOES: dict[str, tuple[Behaviour, int]] = {
    "refusal": (echoing(lambda token: {"error": "x" * 270 + token}, 400), 1),
    "value": (echoing(lambda token: {"unit": f"you sent {token}", "mean": 2.0}, 200), 1),
    "key": (echoing(lambda token: {token: 2.0}, 200), 1),
    "turned down": (echoing(lambda token: {"code": 401, "type": "x", "message": token}, 401), 2),
    "failed": (echoing(lambda token: {"detail": token}, 500), 3),
    "raw": (echoing(lambda token: token, 404), 2),
}


@pytest.mark.parametrize("name", ECHOES)
def test_an_echoed_token_is_seen_nowhere(
    goldmar: Goldmar, project: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, code = ECHOES[name]
    monkeypatch.setenv("THE_TOKEN", TOKEN)
    monkeypatch.setenv("COLUMNS", "40")
    with FakeServer(after_ping(behaviour)) as server:
        done = goldmar("check", "--url", server.url, "--token-env", "THE_TOKEN", "--reports", "reports")
        shown = all_of(project, done.out, done.err)
        json_done = goldmar("check", "--url", server.url, "--token-env", "THE_TOKEN", "--json")
    assert done.code == json_done.code == code, done.err
    for where, text in {**shown, "json": json_done.out + json_done.err}.items():
        for part in (TOKEN, TOKEN[:12], TOKEN[-12:]):
            assert part not in bare(text), where
    if name in {"value", "key"}:
        assert "repeats the token" in done.out
        assert not (project / "golden/means/obtained.csv").exists()


# ---- file names -----------------------------------------------------------------------------------------------------


def test_no_line_of_a_table_is_a_command(project: Path) -> None:
    """In a report that is 80 wide a long name is folded, and its second line may begin with anything."""
    for width in range(8, 60):
        (project / f"golden/means/drawings/{'x' * width}::error::y.json").write_text("{}")
    with FakeServer(after_ping(json_answer({"mean": 1.0}))) as server:
        done = process(project, sys.executable, "-m", "goldmar", "check", "--url", server.url)
    assert done.returncode == ExitCode.DIFFERENT, done.stderr
    assert "error" in done.stdout
    assert not HARM.search(done.stdout + done.stderr)


def test_a_name_full_of_escapes_is_shown_as_text(goldmar: Goldmar, project: Path) -> None:
    odd = os.fsdecode(b"\x1b[31m\n::error::x\xff\xc2\x9b")
    (project / f"golden/means/drawings/{odd}.json").write_text("{}")
    with FakeServer(after_ping(json_answer({"mean": 1.0}))) as server:
        done = goldmar("check", "--url", server.url, "--reports", "reports")
    assert done.code == ExitCode.DIFFERENT, done.err
    for where, text in all_of(project, done.out, done.err).items():
        assert not looked_at(where).search(text), (where, looked_at(where).search(text))


# ---- drawings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "record"])
@pytest.mark.parametrize("kind", ["a link", "a pipe", "too large"])
def test_nothing_is_sent_where_one_drawing_is_none(goldmar: Goldmar, project: Path, command: str, kind: str) -> None:
    odd = project / "golden/means/drawings/zz.json"
    if kind == "a link":
        odd.symlink_to("/etc/hostname")
    elif kind == "a pipe":
        os.mkfifo(odd)
    else:
        odd.write_bytes(b" " * 2000)
        (project / "pyproject.toml").write_text("[tool.goldmar]\nmax_drawing_mb = 0.001\n")
    with FakeServer(after_ping(json_answer({"mean": 1.0}))) as server:
        done = goldmar(command, "means", "--url", server.url)
        assert not server.asked
    assert done.code == ExitCode.USAGE
    assert "zz.json" in done.err


# ---- standard output and error --------------------------------------------------------------------------------------

CHECK = f"{sys.executable} -m goldmar check --url {{url}}"


def shell(project: Path, command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return process(project, "bash", "-c", f"set -o pipefail; {command}", env={**os.environ, **env})


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("rest", "code", "words"),
    [
        (">&-", ExitCode.SERVER, "could not be written"),
        (">&- 2>&-", ExitCode.SERVER, ""),
        ("2>&-", ExitCode.DIFFERENT, "FAILED"),
        ("2>/dev/full", ExitCode.DIFFERENT, "FAILED"),
        ("<&-", ExitCode.DIFFERENT, "FAILED"),
        ("--json | head -c 3", ExitCode.SERVER, "its reader has gone"),
    ],
)
def test_a_stream_that_is_closed_or_full(project: Path, rest: str, code: int, words: str, unbuffered: str) -> None:
    wrong = {f"m{number}": float(number) for number in range(3000)}  # more than a pipe holds
    with FakeServer(after_ping(json_answer(wrong))) as server:
        done = shell(project, f"{CHECK.format(url=server.url)} {rest}", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_terminal_that_knows_ascii_alone_loses_nothing(project: Path) -> None:
    (project / "golden/means/drawings/図面é😀.json").write_text("{}")
    with FakeServer(after_ping(json_answer({"mean": 1.0}))) as server:
        command = CHECK.format(url=server.url)
        done = shell(project, command, PYTHONIOENCODING="ascii")
        said = shell(project, f"{command} --json", PYTHONIOENCODING="ascii", PYTHONUNBUFFERED="1")
    assert done.returncode == said.returncode == ExitCode.DIFFERENT, done.stderr
    assert r"\u56f3\u9762\xe9\U0001f600" in bare(done.stdout)
    assert done.stdout.isascii()
    assert said.stdout.isascii()
    assert "図面é😀" in json.loads(said.stdout)["models"][0]["drawing_ids"]


@pytest.mark.parametrize("rest", [">&-", ">/dev/full", "| true"])
def test_what_was_written_is_said_where_the_output_is_lost(project: Path, rest: str) -> None:
    """The golden is approved by then, and whoever reads the exit code alone would take it for not."""
    obtained(project, RIGHT)
    done = shell(project, f"{sys.executable} -m goldmar approve means --yes --reason x {rest}")
    assert done.returncode == ExitCode.SERVER
    assert "could not be written" in done.stderr
    approved = not (project / "golden/means/obtained.csv").exists()
    assert ("written before that: golden/means/provenance.toml, golden/means/expected.csv" in done.stderr) is approved
    assert "Traceback" not in done.stderr


def test_a_terminal_that_is_dumb_and_narrow_loses_nothing(project: Path) -> None:
    poor = {"TERM": "dumb", "COLUMNS": "20", "NO_COLOR": "1", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    obtained(project, {key: value + 1 for key, value in RIGHT.items()})
    done = shell(project, f"{sys.executable} -m goldmar approve means --yes --reason x", **poor)
    assert done.returncode == 0, done.stderr
    assert "approved golden/means/expected.csv" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout.isascii()
    for drawing, _ in RIGHT:
        assert drawing in bare(done.stdout)
