"""A backend of somebody else's package: docs/backends.md has one, which is installed here and asked."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from goldmar import backends
from goldmar.backends import BACKENDS, Backend, backend_names, choose_backend, find_backend
from goldmar.errors import ConfigError, UsageError
from goldmar.records import Edge, Reach

DOC = (Path(__file__).parents[2] / "docs/backends.md").read_text(encoding="utf-8")


def install(site: Path, **entry_points: str) -> None:
    """A package as an installer leaves it: its module, and metadata with the entry points."""
    metadata = site / "goldmar_function-1.0.dist-info"
    metadata.mkdir(parents=True)
    metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: goldmar-function\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entry_points.items())
    metadata.joinpath("entry_points.txt").write_text(f"[{backends.GROUP}]\n{lines}")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of two drawings, a notebook with its function, and the package of docs/backends.md installed."""
    (python,) = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    (toml,) = re.findall(r"```toml\n(.*?)```", DOC, re.DOTALL)
    site, golden = tmp_path / "site", tmp_path / "golden/gear"
    install(site, **tomllib.loads(toml)["project"]["entry-points"]["goldmar.backends"])
    (site / "function_backend.py").write_text(python)
    (site / "notebook.py").write_text(
        "def predict(content):\n    if not content:\n        raise ValueError('it is empty')\n"
        "    return {'size': float(len(content))}\n"
    )
    (golden / "drawings").mkdir(parents=True)
    (golden / "drawings/a.txt").write_text("abc")
    (golden / "drawings/b.txt").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("PREDICT_MODULE", "notebook")
    return tmp_path


def run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=project, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_package_of_forty_lines_is_checked_with(project: Path) -> None:
    golden = project / "golden/gear/expected.csv"
    golden.write_text("drawing_id,name,pred\na,size,3.0\nb,size,0.0\n")
    done = run(project, "goldmar", "check", "--backend", "function")
    assert done.returncode == 1, done.stderr
    assert "it is empty" in done.stdout
    assert "function" in done.stdout
    golden.write_text("drawing_id,name,pred\na,size,3.0\n")
    (project / "golden/gear/drawings/b.txt").unlink()
    done = run(project, "goldmar", "check", "--backend", "function", "--json")
    assert (done.returncode, '"backend": "function"' in done.stdout) == (0, True), done.stderr
    tested = run(project, "pytest", "-p", "no:cacheprovider", "--goldmar", "--goldmar-backend=function", "-q")
    assert (tested.returncode, "1 passed" in tested.stdout) == (0, True), tested.stdout
    refused = run(project, "goldmar", "check", "--backend", "functoin")
    assert refused.returncode == 2
    assert "Did you mean function?" in refused.stderr


def test_all_that_are_installed_are_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(project / "site"))
    assert backend_names() == [*BACKENDS, "function"]
    assert find_backend("function").help == "a Python function"
    with pytest.raises(UsageError, match="--goldmar-backend function starts a server here") as caught:
        choose_backend(Reach(url="http://host", backend="function", edge=Edge("--goldmar-")))
    assert caught.value.fix


@pytest.mark.parametrize(("value", "said"), [("no_such_module:X", "cannot be loaded"), ("json:dumps", "no Backend")])
def test_a_package_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    install(tmp_path, broken=value, local=value)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=f"goldmar-function.*{said}"):
        find_backend("broken")
    assert find_backend("local") is BACKENDS["local"]  # nobody takes the name of one that goldmar brings


def test_an_unknown_backend_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="Did you mean worker") as caught:
        find_backend("wroker", Edge("--goldmar-"))
    assert caught.value.fix == "--goldmar-backend with one of: local, worker, compose, remote"


@pytest.mark.parametrize(
    ("reach", "said", "fix"),
    [
        ({"management_url": "http://h"}, "--management-url says how to reach", "add --url http://HOST:PORT"),
        ({"header": ("a=B",)}, "--header says how to reach a running server, and there is no --url", "add --url"),
        ({"env": "stg"}, "--env chooses a stack of compose/env", "--backend compose --env stg"),
        ({"backend": "worker", "timeout": 3.0}, "goes by responseTimeout", "leave --timeout out"),
        ({"timeout": float("nan")}, "--timeout is nan", "--timeout with a number from 0.001 on"),
        ({"timeout": float("inf")}, "--timeout is inf", "--timeout with a number"),
        ({"url": "http://h", "timeout": -1.0}, "--timeout is -1", "--timeout with a number"),
        ({"clients": 0}, "--clients is 0", "--clients with a number from 1 on"),
        ({"backend": "worker", "url": "http://h"}, "--backend worker starts a server here", "leave one"),
        ({"url": "http://h", "env": "x"}, "--env chooses", "--backend compose"),
        ({"backend": "remote", "model_version": "1"}, "none is named", "add --url"),
    ],
)
def test_an_option_that_would_have_no_effect_is_refused(reach: dict[str, object], said: str, fix: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        choose_backend(Reach(**reach))  # type: ignore[arg-type]
    assert str(caught.value.fix).startswith(fix)


@pytest.mark.parametrize(
    ("reach", "lock", "name"),
    [
        ({}, False, "local"),
        ({}, True, "worker"),
        ({"url": "http://h", "token_env": "T", "path": "/a"}, False, "remote"),
        ({"backend": "local", "url": "http://h"}, False, "remote"),
        ({"backend": "compose", "env": "stg", "timeout": 3.0}, False, "compose"),
        ({"clients": 3, "field": "a", "content_type": "a/b"}, False, "local"),
    ],
)
def test_what_the_options_mean(reach: dict[str, object], lock: bool, name: str) -> None:
    assert choose_backend(Reach(**reach), lock=lock) is BACKENDS[name]  # type: ignore[arg-type]


def test_a_backend_that_cannot_run_a_lock_file_says_so() -> None:
    with pytest.raises(UsageError, match="has its own") as caught:
        choose_backend(Reach(backend="compose"), lock=True)
    assert caught.value.fix == "GOLDMAR_API_LOCK=FILE goldmar check --backend compose"


def test_every_field_that_a_backend_takes_is_one_of_reach() -> None:
    fields = Reach.__dataclass_fields__
    for each in BACKENDS.values():
        assert isinstance(each, Backend)
        assert each.takes | each.instead.keys() <= fields.keys()
        assert all("about" in fields[name].metadata for name in each.takes | each.instead.keys())
