"""The hook that turns an unlisted skip into a failed run, seen in runs of pytest of its own."""

import re
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"
ROOT = CONFTEST.parents[1]

PASSES = "def test_passes(): pass\n"
SKIPS = "import pytest\n@pytest.mark.skip(reason='no weather')\ndef test_skips(): pass\n"
SKIPS_ALL = "import pytest\npytest.skip('not on Mondays', allow_module_level=True)\n"
XFAILS = "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_xfails(): assert False\n"


@pytest.fixture
def drawing(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with that conftest. Plugins are those named here: to import all that are installed takes a second."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.plugins = ["xdist.plugin", "_hypothesis_pytestplugin"]
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8").replace('pytest_plugins = ["pytester"]', ""))
    return pytester


@pytest.fixture
def project(drawing: pytest.Pytester) -> pytest.Pytester:
    """The same without hypothesis, for runs that draw nothing: what is left is the hook."""
    drawing.plugins.remove("_hypothesis_pytestplugin")
    text = (drawing.path / "conftest.py").read_text(encoding="utf-8")
    text, left_out = re.subn(r"^(from hypothesis |settings\.).*\n", "", text, flags=re.MULTILINE)
    assert left_out == 4
    drawing.makeconftest(text)
    return drawing


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("text", [SKIPS, SKIPS_ALL, XFAILS], ids=["test", "module", "xfail"])
def test_an_unlisted_skip_fails_the_run(project, text, workers):
    project.makepyfile(test_a=PASSES, test_b=text)
    done = project.runpytest_subprocess("-n", workers)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["*skipped, and not named in tests/conftest.py*", "test_b.py*"])


def test_a_listed_skip_does_not(project):
    conftest = Path(project.path) / "conftest.py"
    text = conftest.read_text(encoding="utf-8")
    assert "ALLOWED: dict[str, str] = {}" in text
    conftest.write_text(text.replace("= {}", "= {'test_b.py::test_skips': 'weather'}"), encoding="utf-8")
    project.makepyfile(test_a=PASSES, test_b=SKIPS)
    assert project.runpytest_subprocess().ret == pytest.ExitCode.OK


def test_a_run_without_skips_passes(project):
    project.makepyfile(test_a=PASSES)
    assert project.runpytest_subprocess().ret == pytest.ExitCode.OK


def test_the_closing_line_of_pytest_stays_the_last(project):
    project.makepyfile(test_a=PASSES, test_b=SKIPS)
    last = project.runpytest_subprocess().stdout.lines[-1]
    assert "1 passed, 1 skipped" in last


PROPERTY = """\
from hypothesis import given, settings, strategies as st
from tests.support.examples import times
drawn = []
@settings(max_examples=times(0.1))
@given(st.integers())
def test_draws(number): drawn.append(number)
def test_says(): open("drawn", "a").write(f"{len(drawn)} {hash(tuple(drawn))}\\n")
"""


def test_a_run_draws_the_examples_of_the_one_before_and_a_fuzzing_one_draws_more_of_its_own(drawing, monkeypatch):
    monkeypatch.setenv("CI", "true")  # where hypothesis derandomizes whatever is not told otherwise
    drawing.makepyfile(test_a=PROPERTY)
    for profile in ("fixed", "fixed", "fuzz", "fuzz"):
        assert drawing.runpytest_subprocess(f"--hypothesis-profile={profile}", f"-opythonpath={ROOT}").ret == 0
    first, second, third, fourth = (Path(drawing.path) / "drawn").read_text(encoding="utf-8").splitlines()
    assert first == second
    assert first.startswith("10 ")
    assert third.startswith("500 ")
    assert third != fourth


def test_no_test_has_a_number_of_examples_that_fuzzing_does_not_raise():
    for path in CONFTEST.parent.rglob("test_*.py"):
        assert not re.search(r"max_examples=\d", path.read_text(encoding="utf-8")), path
