"""`pytest --goldmar`, run for real through pytester: on TorchServe's worker, and under xdist on one shared server."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.foreign import foreign_project, write_golden
from tests.support.packages import STAND_IN

pytest_plugins = ["pytester"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = foreign_project(tmp_path_factory.mktemp("model"))
    write_golden(root)
    return root


@pytest.fixture
def project(pytester: pytest.Pytester, model: Path) -> Path:
    shutil.copytree(model, pytester.path, dirs_exist_ok=True)
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester.path


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    """The model does not compute with torch: a stand-in takes its place. Plugins of others are not looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(STAND_IN))
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        options = ("-p", "goldmar.pytest_plugin", "-p", "no:cacheprovider", "--goldmar-backend=worker")
        return pytester.runpytest_subprocess(*options, *args)


def test_one_item_a_drawing(pytester: pytest.Pytester, project: Path) -> None:
    result = run(pytester, "--goldmar", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*means::sub/c PASSED*"])


def test_nothing_is_collected_unasked(pytester: pytest.Pytester, project: Path) -> None:
    assert run(pytester).ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_found_beside_testpaths(pytester: pytest.Pytester, project: Path) -> None:
    pytester.makeini("[pytest]\ntestpaths = tests\n")
    pytester.mkdir("tests").joinpath("test_own.py").write_text("def test_own(): pass\n")
    run(pytester, "--goldmar").assert_outcomes(passed=4)


def test_a_named_folder_is_enough(pytester: pytest.Pytester, project: Path) -> None:
    run(pytester, "--goldmar", "golden/means").assert_outcomes(passed=3)


def test_failure_says_what_check_would_say(pytester: pytest.Pytester, project: Path) -> None:
    write_golden(project, changed={("b", "mean"): "0.25"})
    result = run(pytester, "--goldmar")
    result.assert_outcomes(passed=2, failed=1)
    page = result.stdout.str()
    assert re.search(r"b\s+mean\s.*0\.25", page), page
    assert "0.15" in page
    assert "different" in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda golden: (golden / "drawings/a.json").unlink(), "missing drawing"),
        (lambda golden: (golden / "drawings/d.json").write_text('{"numbers": [1.0]}'), "extra drawing"),
        (
            lambda golden: (golden / "expected.csv").write_text(
                (golden / "expected.csv").read_text().replace("a,unit,mm\n", "")
            ),
            "extra value",
        ),
    ],
)
def test_both_ways(pytester: pytest.Pytester, project: Path, change, words: str) -> None:
    change(project / "golden/means")
    result = run(pytester, "--goldmar")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert words in result.stdout.str().lower()


def test_golden_missing_is_an_error_with_the_fix(pytester: pytest.Pytester, project: Path) -> None:
    (project / "golden/means/expected.csv").unlink()
    result = run(pytester, "--goldmar")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "goldmar record means && goldmar approve means" in result.stdout.str()


def test_empty_golden_folder_is_an_error(pytester: pytest.Pytester, project: Path) -> None:
    pytester.mkdir("golden/hollow")
    assert run(pytester, "--goldmar").ret == pytest.ExitCode.INTERRUPTED


def test_no_golden_at_all_is_a_usage_error(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_own(): pass")
    assert run(pytester, "--goldmar").ret == pytest.ExitCode.USAGE_ERROR


def test_a_model_that_asks_for_other_packages_than_it_is_served_with(pytester: pytest.Pytester) -> None:
    """As after a change of requirements.txt alone, which a lock file has not followed: the golden still fits."""
    root = foreign_project(pytester.path, requirements="packaging>=20\npytest>=999  # not yet\n")
    write_golden(root)
    result = run(pytester, "--goldmar")
    assert result.ret == 2
    words = "pytest>=999 is asked for, and "
    assert words in result.stdout.str()
    check = [sys.executable, "-m", "goldmar", "check", "--backend", "worker"]
    done = subprocess.run(
        check, cwd=root, env={**os.environ, "PYTHONPATH": str(STAND_IN)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_server_down_ends_with_exit_code_3(pytester: pytest.Pytester, project: Path) -> None:
    result = pytester.runpytest_subprocess("--goldmar-url", "http://127.0.0.1:1")
    assert result.ret == 3
    assert "127.0.0.1:1" in result.stdout.str() + result.stderr.str()


@pytest.mark.e2e
@pytest.mark.usefixtures("stand_in")
def test_xdist_shares_one_torchserve(pytester: pytest.Pytester, project: Path) -> None:
    """With every plugin that is installed, each found by its entry point."""
    write_golden(project, changed={("a", "count"): "4"})
    result = pytester.runpytest_subprocess("--goldmar", "-n", "2", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1)
