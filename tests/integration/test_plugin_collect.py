"""`pytest --goldmar` has every drawing of every model, or fails; what the user deselects is said.

Most runs are in this process and without the plugins of others, which would be loaded anew for each of them.
"""

import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import goldmar.pipeline.jobs
import goldmar.pipeline.reports
import goldmar.pipeline.servers  # noqa: F401
from goldmar.golden import approve, read_provenance, read_values, write_obtained
from goldmar.records import Provenance
from tests.integration.fake_server import Asked, FakeServer, json_answer
from tests.support.foreign import NUMBERS, write_golden

pytest_plugins = ["pytester"]

MODELS = ("build", "dist", "means", "venv", "x.egg")
"""Four names that pytest's own walk passes over, and one that it does not."""
DRAWINGS = len(MODELS) * len(NUMBERS)
ALL = f"{DRAWINGS} of {DRAWINGS} drawings, {len(MODELS)} of {len(MODELS)} models"


def add_model(root: Path, model: str) -> None:
    for name, numbers in NUMBERS.items():
        path = root / "golden" / model / "drawings" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"numbers": numbers}))
    write_golden(root, model=model)


PLUGINS = ("-p", "goldmar.pytest_plugin")


@pytest.fixture
def root(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for model in MODELS:
        add_model(pytester.path, model)
    (pytester.path / "golden/means/pyvenv.cfg").write_text("home = /usr\n")
    (pytester.path / "golden/venv/bin").mkdir()
    (pytester.path / "golden/venv/bin/activate").write_text("")
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester.path


def answer(connection: socket.socket, asked: Asked) -> bool:
    if "/predictions/" not in asked.path:
        return json_answer({"status": "Healthy"})(connection, asked)
    numbers = json.loads(asked.body)["numbers"]
    said = {"mean": sum(numbers) / len(numbers), "count": len(numbers), "unit": "mm", "ok": True}
    return json_answer(said)(connection, asked)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(answer) as server:
        yield server


def collect(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*PLUGINS, "--goldmar", "--collect-only", "-q", *arguments)


def page(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


def write(path: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / path).parent.mkdir(exist_ok=True) or (root / path).write_text(text)


# name -> what is done in the project before, the folder that pytest is started in, its arguments
WAYS: dict[str, tuple[Callable[[Path], object], str, list[str]]] = {
    "as it is": (lambda root: None, ".", []),
    "with norecursedirs": (write("pytest.ini", "[pytest]\nnorecursedirs = golden means\n"), ".", []),
    "with --ignore": (lambda root: None, ".", ["--ignore=golden", "--ignore-glob=*means*"]),
    "with collect_ignore": (
        write("conftest.py", "collect_ignore = ['golden']\ncollect_ignore_glob = ['*']\n"),
        ".",
        [],
    ),
    "with testpaths": (write("pytest.ini", "[pytest]\ntestpaths = tests\n"), ".", []),
    "with the tests as argument": (lambda root: None, ".", ["tests"]),
    "with a test as argument": (lambda root: None, ".", ["tests/test_own.py::test_own"]),
    "with golden/ as argument": (lambda root: None, ".", ["golden"]),
    "with golden/ and the tests": (lambda root: None, ".", ["golden/", "tests"]),
    "with another rootdir": (lambda root: (root / "other").mkdir(), ".", ["--rootdir=other"]),
    "with another ini": (write("other/pytest.ini", "[pytest]\n"), ".", ["-c", "other/pytest.ini"]),
    "in a folder below": (lambda root: None, "tests", []),
    "in the folder of a model": (lambda root: None, "golden/means/drawings", []),
    "through a link": (lambda root: (root / "tests/link").symlink_to(root), "tests/link", []),
    "with an argument through a link": (
        lambda root: (root / "tests/link").symlink_to(root),
        ".",
        ["tests/link/golden", "tests/test_own.py"],
    ),
    "with a golden that is a link": (
        lambda root: ((root / "golden/means").rename(root / "m"), (root / "golden/means").symlink_to("../m")),
        ".",
        ["golden"],
    ),
    "with golden/ being a link": (
        lambda root: ((root / "golden").rename(root / "g"), (root / "golden").symlink_to("g")),
        ".",
        ["golden"],
    ),
    "with keepduplicates": (lambda root: None, ".", ["--keep-duplicates", "golden", "golden/means"]),
    "without cacheprovider": (lambda root: None, ".", ["-p", "no:cacheprovider"]),
    "with last failed": (lambda root: None, ".", ["--lf"]),
}


@pytest.mark.parametrize("name", WAYS)
def test_every_drawing_of_every_model_is_there(
    name: str, pytester: pytest.Pytester, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, folder, arguments = WAYS[name]
    (root / "tests").mkdir()
    (root / "tests/test_own.py").write_text("def test_own(): pass\n")
    prepare(root)
    monkeypatch.chdir(root / folder)
    result = collect(pytester, *arguments)
    assert result.ret == pytest.ExitCode.OK, page(result)
    assert f"goldmar: {ALL} selected" in page(result)
    assert len(set(re.findall(r"::(?:a|b|sub/c)$", page(result), re.MULTILINE))) == len(NUMBERS)
    listed = re.findall(r"^.*/([^/]+)::(?:a|b|sub/c)$", page(result), re.MULTILINE)
    assert sorted(listed) == sorted(MODELS * len(NUMBERS))


def test_drawings_are_no_tests_of_pytests_own(pytester: pytest.Pytester, root: Path) -> None:
    add_model(root, "plain")  # one that pytest's walk does not pass over
    (root / "golden/plain/drawings/test_x.py").write_text("1 / 0")
    result = collect(pytester)
    assert f"{DRAWINGS + 4} of {DRAWINGS + 4} drawings" in page(result)
    assert "ZeroDivisionError" not in page(result)


def test_tests_of_pytests_own_are_all_there(pytester: pytest.Pytester, root: Path) -> None:
    """Also those in a folder, and beside the models. They are run as ever without the goldens, too."""
    for path in ("tests/test_own.py", "golden/test_beside.py", "test_above.py"):
        write(path, "def test(): pass\n")(root)
    page_ = page(collect(pytester))
    assert re.findall(r"^(?:.*/)?test_(\w+)\.py::test$", page_, re.MULTILINE) == ["beside", "above", "own"]
    result = pytester.runpytest_inprocess(*PLUGINS, "--strict-markers")
    result.assert_outcomes(passed=3)
    assert "goldmar:" not in page(result)


def test_names_that_look_alike_are_two_drawings(pytester: pytest.Pytester, root: Path) -> None:
    for name in ("e\x1bf.json", "e\\x1bf.json"):
        (root / "golden/means/drawings" / name).write_text("{}")
    result = collect(pytester)
    assert f"{DRAWINGS + 2} of {DRAWINGS + 2} drawings" in page(result)
    assert "\x1b" not in page(result)


HOLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing in golden/": (
        lambda root: ((root / "golden").rename(root / "old"), (root / "golden").mkdir()),
        "holds none",
    ),
    "a dangling link": (
        lambda root: (root / "golden/gone").symlink_to("x"),
        "golden/gone is a link that leads nowhere",
    ),
    "an empty folder": (lambda root: (root / "golden/hollow").mkdir(), "hollow has no golden"),
    "neither drawings nor values": (
        lambda root: (
            (root / "golden/means/drawings").rename(root / "old"),
            (root / "golden/means/drawings").mkdir(),
            (root / "golden/means/expected.csv").write_text("drawing_id,name,pred\n"),
        ),
        "nothing to compare",
    ),
    "a handler without golden": (write("handlers/x", ""), "handlers/x is a file"),
    "another header": (write("golden/means/expected.csv", "a,b\n"), "header"),
    "a pattern of nothing": (write("golden/means/tolerance.toml", '[value."x"]\natol = 1\n'), "matches no value"),
}


@pytest.mark.parametrize("name", HOLES)
def test_what_cannot_be_collected_fails_the_session(name: str, pytester: pytest.Pytester, root: Path) -> None:
    change, words = HOLES[name]
    change(root)
    pytester.makepyfile("def test_own(): pass")
    result = collect(pytester)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert words in page(result)


def test_two_projects_are_one_too_many(pytester: pytest.Pytester, root: Path) -> None:
    add_model(root / "other", "means")
    (root / "other/pytest.ini").write_text("[pytest]\n")
    result = collect(pytester, "--rootdir=other")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "could mean two projects" in page(result)


# ---- deselecting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["-k", "means and not sub"], "2 of 15 drawings, 1 of 5 models"),
        (["-m", "not goldmar"], "0 of 15 drawings, 0 of 5 models"),
        (["--deselect", "golden/means::a"], "14 of 15 drawings, 5 of 5 models"),
        (["--deselect", "golden/means"], "12 of 15 drawings, 4 of 5 models"),
        (["golden/means"], "3 of 15 drawings, 1 of 5 models"),
        (["golden/means::sub/c", "golden/x.egg::a"], "2 of 15 drawings, 2 of 5 models"),
    ],
)
def test_what_the_user_deselects_is_said(
    arguments: list[str], count: str, pytester: pytest.Pytester, root: Path, server: FakeServer
) -> None:
    pytester.makepyfile("def test_own(): pass")
    assert f"goldmar: {count} selected" in page(collect(pytester, *arguments))
    result = pytester.runpytest_inprocess(*PLUGINS, "--goldmar-url", server.url, *arguments)
    assert result.ret == pytest.ExitCode.OK, page(result)
    assert f"goldmar: {count} compared with their goldens" in page(result)
    wanted = int(count.split()[0])
    assert f"goldmar: {DRAWINGS - wanted} drawings deselected" in page(result)
    assert len([asked for asked in server.asked if "/predictions/" in asked.path]) == wanted
    if not wanted:
        assert server.asked == []  # no server is looked for where nothing is selected


@pytest.mark.parametrize("argument", ["golden/means::none", "golden/none", "golden/means/drawings/a.json"])
def test_an_argument_that_names_no_golden(argument: str, pytester: pytest.Pytester, root: Path) -> None:
    result = collect(pytester, argument)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"{argument} names no golden" in page(result)


def test_a_plugin_that_is_shut_out_does_not_pass(pytester: pytest.Pytester, root: Path) -> None:
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess(*PLUGINS, "-p", "no:goldmar-session", "--goldmar")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "no golden would be compared" in page(result)


def test_what_a_conftest_takes_out_unsaid_fails_the_session(pytester: pytest.Pytester, root: Path) -> None:
    pytester.makeconftest("def pytest_collection_modifyitems(items): items[:] = items[:2]")
    result = collect(pytester)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "13 of 15 drawings" in page(result)


# ---- running --------------------------------------------------------------------------------------------------------


def test_all_held(pytester: pytest.Pytester, root: Path, server: FakeServer) -> None:
    (root / "handlers/gear").mkdir(parents=True)
    (root / "pyproject.toml").write_text('[tool.goldmar.no_golden]\ngear = "no data yet"\n')
    result = pytester.runpytest_inprocess(*PLUGINS, "--goldmar-url", server.url)
    result.assert_outcomes(passed=DRAWINGS)
    assert result.ret == pytest.ExitCode.OK
    assert "collected 15 items" in page(result)
    assert "goldmar: 15 of 15 drawings, 5 of 6 models compared" in page(result)
    assert "goldmar: gear: no golden on purpose: no data yet" in page(result)


def test_last_failed_then_all(pytester: pytest.Pytester, root: Path, server: FakeServer) -> None:
    write_golden(root, model="dist", changed={("sub/c", "count"): "7"})
    first = pytester.runpytest_inprocess(*PLUGINS, "--goldmar-url", server.url)
    first.assert_outcomes(passed=DRAWINGS - 1, failed=1)
    write_golden(root, model="dist")
    again = pytester.runpytest_inprocess(*PLUGINS, "--goldmar-url", server.url, "--lf")
    again.assert_outcomes(passed=1, deselected=DRAWINGS - 1)
    assert "goldmar: 1 of 15 drawings, 1 of 5 models compared" in page(again)
    rest = pytester.runpytest_inprocess(*PLUGINS, "--goldmar-url", server.url, "--lf", "--ff")
    rest.assert_outcomes(passed=DRAWINGS)


def test_an_early_end_does_not_look_like_all(pytester: pytest.Pytester, root: Path, server: FakeServer) -> None:
    write_golden(root, model="build", changed={("b", "count"): "7"})
    result = pytester.runpytest_inprocess(*PLUGINS, "--goldmar-url", server.url, "-x")
    assert result.ret == pytest.ExitCode.INTERRUPTED or result.ret == pytest.ExitCode.TESTS_FAILED
    assert "goldmar: 2 of 15 drawings, 1 of 5 models compared" in page(result)
    assert "13 drawings selected but not compared, golden/build::sub/c among them: not a pass" in page(result)


def test_nothing_compared_is_no_pass(pytester: pytest.Pytester, root: Path) -> None:
    """A drawing of which the golden says nothing, and the model neither."""
    (root / "golden/means/drawings/d.json").write_text("{}")
    with FakeServer(json_answer({})) as server:
        result = pytester.runpytest_inprocess(*PLUGINS, "--goldmar-url", server.url, "golden/means::d")
    result.assert_outcomes(failed=1)


@pytest.mark.parametrize(
    "conftest",
    [
        "def pytest_collection_modifyitems(items): [item.add_marker(pytest.mark.skip) for item in items]",
        "def pytest_collection_modifyitems(items): [item.add_marker(pytest.mark.xfail) for item in items]",
        "def pytest_runtest_setup(item): pytest.skip('not today')",
        "@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_call(item): pytest.skip('not today')",
        "def pytest_runtest_teardown(item): pytest.exit('enough', returncode=0)",
        "@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_protocol(item): return True",
        "@pytest.hookimpl(tryfirst=True)\ndef pytest_runtestloop(session): return True",
        "def pytest_collection(session): session.items, session.testscollected = [], 1; return True",
    ],
)
def test_a_drawing_that_is_not_run_is_no_pass(
    conftest: str, pytester: pytest.Pytester, root: Path, server: FakeServer
) -> None:
    pytester.makeconftest(f"import pytest\n{conftest}\n")
    result = pytester.runpytest_inprocess(*PLUGINS, "--goldmar-url", server.url)
    assert result.ret not in {pytest.ExitCode.OK}, page(result)
    assert not re.search(r"goldmar: 15 of 15 drawings", page(result))


def test_an_argument_that_is_not_there_is_told_as_ever(pytester: pytest.Pytester, root: Path) -> None:
    result = collect(pytester, "tests/none.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "file or directory not found" in page(result)


def test_under_xdist(pytester: pytest.Pytester, root: Path, server: FakeServer) -> None:
    url = (*PLUGINS, "-p", "xdist", "--goldmar-url", server.url, "-n", "2", "-p", "no:cacheprovider")
    result = pytester.runpytest_subprocess(*url, "golden/means", "golden/venv::a")
    result.assert_outcomes(passed=4)
    assert "goldmar: 4 of 15 drawings, 2 of 5 models compared" in page(result)
    assert result.ret == pytest.ExitCode.OK
    before = len(server.asked)
    none = pytester.runpytest_subprocess(*url, "-k", "nothing_at_all")
    assert "goldmar: 0 of 15 drawings, 0 of 5 models compared" in page(none)
    assert len(server.asked) == before
    wrong = pytester.runpytest_subprocess(*url, "golden/none")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize("xdist", [False, True])
def test_another_version_than_the_goldens(
    pytester: pytest.Pytester, root: Path, server: FakeServer, xdist: bool
) -> None:
    golden = root / "golden/means"
    served = Provenance("means", "2.1", "", "remote", server.url, datetime(2026, 11, 21, tzinfo=UTC))
    write_obtained(golden, read_values(golden / "expected.csv"), served)
    approve(golden, read_provenance(golden / "obtained.toml"))
    arguments = [*PLUGINS, "--goldmar-url", server.url, "golden/means", "-p", "no:cacheprovider"]
    if xdist:
        result = pytester.runpytest_subprocess(*arguments, "-p", "xdist", "-n", "2", "--goldmar-model-version", "2.2")
    else:
        pytester.runpytest_inprocess(*arguments, "--goldmar-model-version", "2.1").assert_outcomes(passed=3)
        result = pytester.runpytest_inprocess(*arguments, "--goldmar-model-version", "2.2")
    assert result.ret == 1
    assert "the golden is of version 2.1, and 2.2 is" in page(result)
