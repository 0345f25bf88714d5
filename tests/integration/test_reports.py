"""One more format for the report of a run: one new file and one line, in a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from goldmar.errors import ExitCode
from tests.integration.fake_server import FakeServer, json_answer
from tests.support.foreign import NUMBERS, write_golden

SRC = Path(__file__).parents[2] / "src"
LINE = "from goldmar.report.run import json, junit, markdown, terminal"
STUB = '''"""The run as a page for a browser."""

from goldmar.records import RunResult, Verdict
from goldmar.report.run.files import file


@file("report.html")
def render(run: RunResult, verdict: Verdict) -> str:
    return f"<!doctype html><title>{len(run.models)} models: {verdict.passed}</title>\\n"
'''


def sources(root: Path) -> dict[str, list[str]]:
    return {str(path.relative_to(root)): path.read_text().splitlines() for path in root.rglob("*.py")}


def test_one_more_report_is_one_new_file_and_one_line(tmp_path: Path) -> None:
    """The table is what is written, what --help names and what is printed: no other place knows the names."""
    copy, project = tmp_path / "src", tmp_path / "project"
    shutil.copytree(SRC / "goldmar", copy / "goldmar", ignore=shutil.ignore_patterns("scaffold"))
    (copy / "goldmar/report/run/html.py").write_text(STUB)
    table = copy / "goldmar/report/run/__init__.py"
    table.write_text(table.read_text().replace(LINE, LINE.replace("json,", "html, json,")))
    before, after = sources(SRC / "goldmar"), sources(copy / "goldmar")
    assert after.keys() - before.keys() == {"report/run/html.py"}
    (changed,) = [name for name, lines in after.items() if name in before and lines != before[name]]
    assert changed == "report/run/__init__.py"
    assert sum(old != new for old, new in zip(before[changed], after[changed], strict=True)) == 1

    for name, numbers in NUMBERS.items():
        path = project / "golden/means/drawings" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"numbers": {numbers}}}')
    write_golden(project)

    def goldmar(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "goldmar", *arguments],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(copy), "TERMINAL_WIDTH": "200", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    names = "junit.xml, report.html, report.json and report.md"
    assert f"Write {names} there." in goldmar("check", "--help").stdout
    with FakeServer(json_answer({"mean": 1.5})) as server:
        done = goldmar("check", "--url", server.url, "--reports", "out/there")
    assert done.returncode == ExitCode.DIFFERENT, done.stderr
    assert f"{names} are in out/there\n" in done.stderr
    assert sorted(path.name for path in (project / "out/there").iterdir()) == names.replace(" and", ",").split(", ")
    assert (project / "out/there/report.html").read_text() == "<!doctype html><title>1 models: False</title>\n"
