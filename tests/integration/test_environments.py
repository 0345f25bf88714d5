"""Environments of lock files, built with the real uv from wheels of our own: kept by content, whole or not at all."""

import contextlib
import fcntl
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from goldmar.environments import Environments, cache_folder, content
from goldmar.environments.uv import _pip_settings, handed_over
from goldmar.errors import GoldmarError, MissingExtraError, StorageError, UninstallableError, UnreachableError
from goldmar.locks import parse_lock, read_lock
from tests.integration.fake_server import FakeServer, answer
from tests.support.packages import wheel

NOWHERE = "http://127.0.0.1:9/simple"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of wheels that lock files point to, with caches of goldmar and of uv that nobody else uses."""
    monkeypatch.setenv("GOLDMAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    for name in ("UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    wheel(tmp_path / "wheels", "alpha", "1.0", "VALUE = 1")
    wheel(tmp_path / "wheels", "alpha", "2.0", "VALUE = 2", needs=["beta>=2"])
    wheel(tmp_path / "wheels", "beta", "1.0", "VALUE = 1")
    wheel(tmp_path / "wheels", "beta", "2.0", "VALUE = 2")
    return tmp_path


def lock_of(
    place: Path,
    *pins: str,
    name: str = "lock.txt",
    options: str = "--no-index\n--find-links wheels\n",
    trusted: bool = False,
):
    path = place / name
    path.write_text(options + "".join(f"{pin}\n" for pin in pins))
    return replace(read_lock(path), trusted=trusted)


def said(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_lock_file_is_installed_once(place):
    lock = lock_of(place, "alpha==1.0", "beta==2.0")
    with Environments().use(lock) as environment:
        assert not environment.reused
        assert said(environment.python, "import alpha, beta; print(alpha.VALUE, beta.VALUE)") == "1 2"
        assert said(environment.python, "import sys; print(sys.prefix)") == str(environment.folder)
        assert environment.python_version == said(
            environment.python, "import platform; print(platform.python_version())"
        )
    with Environments().use(lock) as again:
        assert again.reused
        assert again.folder == environment.folder
    assert not list(environment.folder.parent.glob("resolve.*"))


def test_the_same_content_is_the_same_environment(place):
    environments = Environments()
    one = environments.digest(lock_of(place, "alpha==1.0", "beta==2.0"))
    assert environments.digest(lock_of(place, "Beta==2", "# a note", "alpha==1.0.0", name="other.txt")) == one
    different = [
        lock_of(place, "alpha==1.0", "beta==1.0"),
        lock_of(place, "alpha==1.0"),
        lock_of(place, "alpha==1.0", "beta==2.0 --hash=sha256:aa"),
        lock_of(place, "alpha==1.0", "beta[fast]==2.0"),
        lock_of(place, "alpha==1.0", "beta==2.0", options="--index-url https://other.example/simple\n"),
    ]
    assert len({one, *map(environments.digest, different)}) == 6


def test_where_packages_come_from_is_part_of_the_content_but_no_password_is(place, monkeypatch):
    lock = lock_of(place, "alpha==1.0")
    digests = []
    for url in ("https://a.example/simple", "https://me:old@b.example/simple", "https://me:new@b.example/simple"):
        monkeypatch.setenv("UV_EXTRA_INDEX_URL", url)
        digests.append(Environments().digest(lock))
    assert digests[0] != digests[1]
    assert digests[1] == digests[2]


def test_bytecode_is_shared_where_the_source_is_the_same_file_and_nowhere_else(place, monkeypatch):
    """The two versions of beta have the same size, and the times that uv gives may be the same."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)

    def compiled(environment) -> dict[str, int]:
        return {
            path.name.partition(".")[0]: path.stat().st_ino for path in environment.folder.rglob("__pycache__/*a.*pyc")
        }

    both = "import alpha, beta; print(alpha.VALUE, beta.VALUE)"
    with Environments().use(lock_of(place, "alpha==1.0", "beta==1.0")) as first:
        assert said(first.python, both) == "1 1"
    with Environments().use(lock_of(place, "alpha==1.0", "beta==2.0")) as second:
        (old,), (new,) = (list(each.folder.rglob("beta.py")) for each in (first, second))
        os.utime(new, ns=(old.stat().st_atime_ns, old.stat().st_mtime_ns))
        assert said(second.python, both) == "1 2"
        assert compiled(second)["alpha"] == compiled(first)["alpha"]
        assert compiled(second)["beta"] != compiled(first)["beta"]


def test_a_file_that_changed_under_its_name_is_other_content(place):
    path = wheel(place / "direct", "gamma", "1.0", "VALUE = 1")
    lock = parse_lock(f"gamma @ {path.as_uri()}\n", place / "lock.txt")
    before = Environments().digest(lock)
    with Environments().use(lock) as environment:
        assert said(environment.python, "import gamma; print(gamma.VALUE)") == "1"
    wheel(place / "direct", "gamma", "1.0", "VALUE = 10")
    assert Environments().digest(lock) != before
    with Environments().use(lock) as environment:
        assert said(environment.python, "import gamma; print(gamma.VALUE)") == "10"


@pytest.mark.parametrize("served", [False, True])
def test_a_wheel_that_was_built_anew_under_its_number_is_another_environment(place, monkeypatch, served):
    def used(options: str):
        with Environments().use(lock_of(place, "alpha==1.0", options=options)) as environment:
            return environment, said(environment.python, "import alpha; print(alpha.VALUE)")

    with index(place) if served else contextlib.nullcontext() as url:
        options = f"--index-url {url}\n" if served else "--no-index\n--find-links wheels\n"
        first, value = used(options)
        assert value == "1"
        assert used(options)[0].content == first.content
        wheel(place / "wheels", "alpha", "1.0", "VALUE = 7")
        second, value = used(options)
        assert value == "7"
        assert second.content != first.content
        assert not second.reused
        with monkeypatch.context() as changed:
            changed.setenv("PATH", str(place))
            changed.setitem(sys.modules, "uv", None)
            assert used(options)[1] == "7", "where nobody can be asked, the one that was used last"
        wheel(place / "wheels", "alpha", "1.0", "VALUE = 1")
        again, value = used(options)
        assert (again.content, value) == (first.content, "1")


def test_the_same_files_are_the_same_content_however_they_came(place):
    contents = []
    with Environments().use(lock_of(place, "alpha==1.0", "beta==2.0")) as environment:
        contents.append(environment.content)
    (place / "more").mkdir()
    shutil.copy(place / "wheels/beta-2.0-py3-none-any.whl", place / "more")
    options = "--no-index\n--find-links more\n--find-links wheels\n"
    with Environments().use(lock_of(place, "alpha==1.0", "beta==2.0", options=options)) as environment:
        assert not environment.reused
        contents.append(environment.content)
    with Environments().use(lock_of(place, "alpha==1.0", "beta==1.0")) as environment:
        contents.append(environment.content)
    assert contents[0] == contents[1] != contents[2]


def rewritten(path: Path) -> None:
    """As an editor does: the file in uv's cache stays what it was."""
    path.with_suffix(".new").write_text("VALUE = 9")
    path.with_suffix(".new").replace(path)


def relisted(path):
    path.write_text("VALUE = 9")
    content.write(path.parents[3], content.scan(path.parents[3], {}))


DAMAGE = {
    "another file in its place": rewritten,
    "written to, and so is uv's cache": lambda path: path.write_text("VALUE = 9"),
    "the same size": lambda path: path.write_text("VALUE = 3"),
    "gone": lambda path: path.unlink(),
    "one more": lambda path: path.with_name("sitecustomize.py").write_text("import alpha; alpha.VALUE = 9"),
    "the list of files": lambda path: (path.parents[3] / "files.json").write_text("{}"),
    "the list, and what it lists": relisted,
    "no list": lambda path: (path.parents[3] / "files.json").unlink(),
    "no JSON": lambda path: (path.parents[3] / "goldmar.json").write_text("{"),
    "no table": lambda path: (path.parents[3] / "goldmar.json").write_text("[]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_environment_that_was_changed_on_disk_is_built_anew(place, damage):
    told = []
    lock = lock_of(place, "alpha==1.0", "beta==1.0")
    with Environments().use(lock) as first:
        (path,) = first.folder.rglob("alpha.py")
    with Environments().use(lock) as again:
        assert again.reused
    DAMAGE[damage](path)
    first.folder.with_name(f"{first.folder.name}.dead.tmp").mkdir()
    with Environments(on_progress=told.append).use(lock) as second:
        assert not second.reused
        assert second.content == first.content
        assert said(second.python, "import alpha; print(alpha.VALUE)") == "1"
    assert any("was changed; it is installed again" in line for line in told)
    assert left_over(place) == []


def test_a_file_that_was_only_touched_is_the_same(place):
    lock = lock_of(place, "alpha==1.0")
    with Environments().use(lock) as first:
        (path,) = first.folder.rglob("alpha.py")
        os.utime(path, (1, 1))
    with Environments().use(lock) as again:
        assert again.reused


def test_a_folder_that_is_referred_to_is_installed_anew_in_each_run(place):
    source = place / "gamma"
    source.mkdir()
    code = wheel(place / "ready", "gamma", "1.0", "VALUE = 1")
    (source / "pyproject.toml").write_text(
        '[project]\nname = "gamma"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (source / "backend.py").write_text(
        f"import shutil\ndef build_wheel(folder, *more, **options):\n"
        f"    return shutil.copy({str(code)!r}, folder).rpartition('/')[2]\n"
    )
    lock_of(place, f"gamma @ {source.as_uri()}", trusted=True)
    for value in ("1", "2"):
        wheel(place / "ready", "gamma", "1.0", f"VALUE = {value}")
        done = in_a_process(place)
        used = json.loads(done.communicate(timeout=60)[0])
        assert said(Path(used["folder"]) / "bin/python", "import gamma; print(gamma.VALUE)") == value


# --- what is run, and for whom


def evil_source(place: Path, folder: str = "wheels") -> Path:
    """A source distribution that leaves a trace as soon as anything of it is run."""
    import tarfile

    source = place / "evil-1.0"
    source.mkdir()
    trace = place / "trace"
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (source / "pyproject.toml").write_text('[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n')
    (source / "b.py").write_text(
        f"import pathlib\npathlib.Path({str(trace)!r}).write_text('was here')\nraise SystemExit(1)\n"
    )
    with tarfile.open(place / folder / "evil-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, "evil-1.0")
    return trace


def test_nothing_is_built_of_a_lock_file_that_is_not_trusted(place):
    trace = evil_source(place)
    wheel(place / "wheels", "friend", "1.0", needs=["evil"])
    for pin in ("evil==1.0", "friend==1.0"):
        for attempt in (
            Environments().use(lock_of(place, pin)).__enter__,
            lambda p=pin: Environments().resolve(lock_of(place, p)),
        ):
            with pytest.raises(
                UninstallableError, match="evil has no wheel here, and building it would run its code"
            ) as no:
                attempt()
            assert "--trust-lock" in no.value.fix
    assert not trace.exists()
    with pytest.raises(UninstallableError), Environments().use(lock_of(place, "evil==1.0", trusted=True)):
        pass
    assert trace.read_text() == "was here"


def test_what_was_built_in_trust_is_not_used_without_it(place, monkeypatch):
    slow_source(place, seconds=0)
    with Environments().use(lock_of(place, "slow==1.0", trusted=True)):
        pass
    with pytest.raises(UninstallableError, match="slow has no wheel"):
        Environments().use(lock_of(place, "slow==1.0")).__enter__()
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(MissingExtraError):  # and not where nobody can be asked what is to be had
        Environments().use(lock_of(place, "slow==1.0")).__enter__()


def test_the_settings_of_a_project_lead_uv_nowhere(place, monkeypatch, tmp_path):
    """uv reads uv.toml and [tool.uv] of the folder that it is called in: a pull request may bring both."""
    project = tmp_path / "project"
    project.mkdir()
    wheel(project / "evil", "alpha", "1.0", "VALUE = 'evil'")
    lock = lock_of(place, "alpha==1.0", options="")
    monkeypatch.setenv("UV_FIND_LINKS", str(place / "wheels"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.chdir(project)
    (project / "uv.toml").write_text(f'[pip]\nfind-links = ["{project}/evil"]\nno-index = true\n')
    monkeypatch.delenv("UV_FIND_LINKS")
    with pytest.raises(UninstallableError):
        Environments().use(lock).__enter__()
    monkeypatch.setenv("UV_FIND_LINKS", str(place / "wheels"))
    with Environments().use(lock) as environment:
        assert said(environment.python, "import alpha; print(alpha.VALUE)") == "1"


def test_a_folder_called_pip_is_no_pip(tmp_path):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip/__init__.py").write_text("")
    (tmp_path / "pip/__main__.py").write_text("open('trace', 'w')\n")
    code = "import os; from goldmar.environments.uv import _pip_settings, handed_over; handed_over(os.environ)"
    subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, check=True)
    assert not (tmp_path / "trace").exists()


def test_what_is_cached_needs_neither_uv_nor_a_network(place, monkeypatch):
    lock = lock_of(place, "alpha==1.0")
    with Environments().use(lock) as built:
        pass
    shutil.rmtree(place / "wheels")
    (place / "wheels").mkdir()
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setitem(sys.modules, "uv", None)
    with Environments().use(lock) as environment:
        assert environment.folder == built.folder
        assert said(environment.python, "import alpha; print(alpha.VALUE)") == "1"


def test_without_uv_the_extra_is_named(place, monkeypatch):
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(MissingExtraError, match="'uv'") as raised, Environments().use(lock_of(place, "alpha==1.0")):
        pass
    assert "goldmar[bisect]" in raised.value.fix


def test_a_dead_network_is_no_matter_where_uv_has_all_of_it(place, monkeypatch):
    """Two locks from an index that is served here, then not: the third candidate still installs."""
    with index(place) as url:
        for pins in (["alpha==1.0", "beta==1.0"], ["beta==2.0"]):
            with Environments().use(lock_of(place, *pins, options=f"--index-url {url}\n")):
                pass
    options = f"--index-url {url}\n"
    with Environments().use(lock_of(place, "alpha==1.0", "beta==2.0", options=options)) as environment:
        assert said(environment.python, "import alpha, beta; print(alpha.VALUE, beta.VALUE)") == "1 2"
    assert set(Environments().resolve(lock_of(place, "alpha==1.0", "beta==2.0", options=options)).pins) == {
        "alpha",
        "beta",
    }
    monkeypatch.setenv("UV_CACHE_DIR", str(place / "empty"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    lock = lock_of(place, "alpha==1.0", "beta==2.0", options=options)
    with Environments().use(lock) as environment:
        next(environment.folder.rglob("alpha.py")).write_text("VALUE = 9")
    with pytest.raises(UnreachableError), Environments().use(lock):
        pass


def test_a_dead_network_is_told_from_what_cannot_be_installed(place, monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    lock = lock_of(place, "alpha==1.0", options=f"--index-url {NOWHERE}\n")
    with pytest.raises(UnreachableError, match="could not be fetched") as raised, Environments().use(lock):
        pass
    assert raised.value.exit_code == 3
    assert "127.0.0.1:9" in raised.value.detail
    assert left_over(place) == []


@pytest.fixture
def other_pip(monkeypatch):
    """For a test that sets pip up anew: what it is set up with is asked once a process."""
    _pip_settings.cache_clear()
    yield
    _pip_settings.cache_clear()


@pytest.mark.usefixtures("other_pip")
def test_an_index_that_wants_a_password_is_told_from_one_that_lacks_the_version(place, monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with FakeServer(answer(401, b"", headers={"www-authenticate": "Basic"})) as server:
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url.replace('://', '://me:s3cret@')}/simple")
        lock = lock_of(place, "alpha==1.0", options="")
        with pytest.raises(UnreachableError, match="wants a user name") as raised, Environments().use(lock):
            pass
    assert "s3cret" not in f"{raised.value}{raised.value.detail}{raised.value.fix}"


@pytest.mark.parametrize(
    ("pins", "words"),
    [
        (["alpha==2.0", "beta==1.0"], "beta>=2"),
        (["alpha==3.0"], "alpha==3.0"),
        (["nobody==1.0"], "nobody was not found"),
    ],
)
def test_what_cannot_be_installed_is_told_in_the_words_of_the_resolver(place, pins, words):
    lock = lock_of(place, *pins)
    for attempt in (lambda: Environments().use(lock).__enter__(), lambda: Environments().resolve(lock)):
        with pytest.raises(UninstallableError, match="do not go together") as raised:
            attempt()
        assert words in " ".join(raised.value.detail.replace("│", "").split())
        assert raised.value.exit_code == 2
    assert left_over(place) == []


def test_what_the_pins_need_besides_is_resolved(place):
    resolved = Environments().resolve(lock_of(place, "alpha==2.0"))
    assert {name: pin.version for name, pin in resolved.pins.items()} == {"alpha": "2.0", "beta": "2.0"}
    assert resolved.pins["beta"].via == ("alpha",)


def test_a_file_with_another_hash_is_not_installed(place):
    lock = lock_of(place, f"alpha==1.0 --hash=sha256:{'0' * 64}")
    with pytest.raises(UninstallableError, match="whose hash is pinned") as raised, Environments().use(lock):
        pass
    assert "0" * 64 in raised.value.detail


def test_a_build_that_fails_holds_nothing_on(place):
    """Else this process waits for itself when it tries the same environment again."""
    lock = lock_of(place, "slow==1.0", trusted=True)
    slow_source(place, seconds="1 / 0")
    with pytest.raises(GoldmarError, match="could not be built"), Environments().use(lock):
        pass
    (held,) = (place / "cache/environments").glob("*.lock")
    with held.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_package_that_would_have_to_be_compiled_is_named(place):
    """A source distribution whose build ends as one without a compiler does."""
    import tarfile

    source = place / "delta-1.0"
    source.mkdir()
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: delta\nVersion: 1.0\n")
    (source / "pyproject.toml").write_text('[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n')
    (source / "b.py").write_text("def build_wheel(*a, **k):\n    raise SystemExit(\"command 'gcc' failed\")\n")
    with tarfile.open(place / "wheels/delta-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, "delta-1.0")
    with (
        pytest.raises(UninstallableError, match="no wheel for this Python") as raised,
        Environments().use(lock_of(place, "delta==1.0", trusted=True)),
    ):
        pass
    assert "gcc" in raised.value.detail


def test_a_version_that_was_withdrawn_is_installed_and_said(place):
    with (
        index(place, yanked="alpha-1.0") as url,
        Environments().use(lock_of(place, "alpha==1.0", options=f"--index-url {url}\n")) as environment,
    ):
        assert "yanked" in environment.warnings
        assert "wrong sums" in environment.warnings


@pytest.mark.parametrize("broken", ["cache", "uv"])
def test_a_folder_that_cannot_be_written_is_named(place, monkeypatch, broken):
    (place / "file").write_text("")
    monkeypatch.setenv({"cache": "GOLDMAR_CACHE", "uv": "UV_CACHE_DIR"}[broken], str(place / "file" / "below"))
    with (
        pytest.raises(StorageError, match="could not be written") as raised,
        Environments().use(lock_of(place, "alpha==1.0")),
    ):
        pass
    assert raised.value.exit_code == 3
    assert "GOLDMAR_CACHE" in raised.value.fix
    with pytest.raises(StorageError):
        Environments().resolve(lock_of(place, "alpha==1.0"))


def test_a_full_disk_is_told_from_what_cannot_be_installed(place):
    """The limit on file sizes is what a test can set: uv's words for both come from the system."""
    blob = wheel(place / "wheels", "large", "1.0", f"TEXT = {'x' * 3_000_000!r}")
    assert blob.exists()
    lock_of(place, "large==1.0")
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "from pathlib import Path\nfrom goldmar.environments import Environments\nfrom goldmar.locks import read_lock\n"
        f"with Environments().use(read_lock(Path({str(place / 'lock.txt')!r}))): pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "StorageError" in done.stderr, done.stderr


def test_a_uv_that_is_killed_says_nothing_of_the_packages(place):
    """Out of memory, say: a bisection must not take the candidate for one that cannot be installed."""
    lock_of(place, "slow==1.0", trusted=True)
    slow_source(place, seconds=60)
    builder = in_a_process(place, stderr=subprocess.PIPE)
    wait_for(lambda: (place / "building").exists())
    os.killpg(int((place / "building").read_text()), signal.SIGKILL)
    assert "ServerError: uv was killed (SIGKILL) by " in builder.communicate(timeout=30)[1]
    assert left_over(place) == []


@pytest.mark.parametrize("keeper", ["lives", "is killed as well"])
def test_a_half_built_environment_is_never_used(place, keeper):
    """Killed outright in the middle of a build; what it left is neither used nor kept."""
    lock = lock_of(place, "slow==1.0", trusted=True)
    slow_source(place, seconds=60)
    builder = in_a_process(place)
    try:
        wait_for(lambda: list((place / "cache/environments").glob("*.tmp/requirements.txt")))
        wait_for(lambda: (place / "building").exists())
    finally:
        for child in psutil.Process(builder.pid).children() if keeper != "lives" else ():
            if "goldmar-keeper" in child.cmdline():
                child.kill()
        os.kill(builder.pid, signal.SIGKILL)
        builder.communicate()
    group = int((place / "building").read_text())
    if keeper == "lives":
        wait_for(lambda: not alive(group))
    else:
        (held,) = (place / "cache/environments").glob("*.lock")
        with held.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # what was started still writes: nobody may build beside
        os.killpg(group, signal.SIGKILL)
    assert left_over(place) != []
    slow_source(place, seconds=0)
    with Environments().use(lock) as environment:
        assert not environment.reused
        assert said(environment.python, "import slow; print(slow.VALUE)") == "7"
    assert left_over(place) == []


def test_an_environment_without_its_marker_or_its_python_is_built_anew(place):
    lock = lock_of(place, "alpha==1.0")
    for damage in ("goldmar.json", "bin/python", "pyvenv.cfg"):
        with Environments().use(lock) as environment:
            (environment.folder / damage).unlink()
        with Environments().use(lock) as again:
            assert not again.reused
            assert said(again.python, "import alpha; print(alpha.VALUE)") == "1"


def test_two_at_once_build_one(place):
    lock_of(place, "slow==1.0", trusted=True)
    slow_source(place, seconds=1)
    both = [in_a_process(place), in_a_process(place)]
    told = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert sorted(each["reused"] for each in told) == [False, True]
    assert told[0]["folder"] == told[1]["folder"]
    assert left_over(place) == []


def test_ctrl_c_ends_what_uv_started(place):
    lock_of(place, "slow==1.0", trusted=True)
    slow_source(place, seconds=60)
    builder = in_a_process(place)
    wait_for(lambda: (place / "building").exists())
    group = int((place / "building").read_text())
    os.kill(builder.pid, signal.SIGINT)
    builder.communicate(timeout=20)
    wait_for(lambda: not alive(group))
    assert left_over(place) == []


def test_the_ones_used_last_are_kept(place):
    environments = Environments(keep=2)
    folders = {}
    for number, pins in enumerate((["alpha==1.0"], ["beta==1.0"], ["beta==2.0"])):
        with environments.use(lock_of(place, *pins)) as environment:
            folders[number] = environment.folder
        os.utime(environment.folder, (number + 1, number + 1))
    environments.prune()
    assert [folder.exists() for folder in folders.values()] == [False, True, True]
    with environments.use(lock_of(place, "beta==1.0")), environments.use(lock_of(place, "alpha==1.0")):
        pass
    assert [folder.exists() for folder in folders.values()] == [True, True, False]
    assert len(list((place / "cache/environments").glob("*.lock"))) == 2


def test_what_another_process_builds_is_not_taken_for_left_over(place):
    environments = Environments(keep=0)
    with environments.use(lock_of(place, "alpha==1.0")) as environment:
        pass
    folder = environment.folder.parent
    begun = folder / f"{'0' * 32}.1234.tmp"
    begun.mkdir()
    with (folder / f"{'0' * 32}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        environments.prune()
        assert begun.exists()
    begun.rmdir()
    with environments.use(lock_of(place, "alpha==1.0")) as environment:
        pass
    (folder / f"{environment.digest}.1234.tmp").mkdir()
    Environments().prune()
    assert left_over(place) == []
    assert environment.folder.exists(), "what a killed build has left goes; the environment of that name stays"
    assert environment.folder.with_suffix(".lock").exists()


def meanwhile(monkeypatch, kind, act):
    """`act` is another process, just before this one has its lock for the first time."""
    flock = fcntl.flock

    def slow(descriptor, asked):
        if asked & ~fcntl.LOCK_NB == kind:
            monkeypatch.setattr(fcntl, "flock", flock)
            flock(descriptor, fcntl.LOCK_UN)  # as the kernel does where a lock becomes another
            act()
        flock(descriptor, asked)

    monkeypatch.setattr(fcntl, "flock", slow)


@pytest.mark.parametrize("kind", [fcntl.LOCK_SH, fcntl.LOCK_EX], ids=["before it looks", "before it builds"])
def test_a_lock_file_that_was_removed_in_between_holds_nothing(place, monkeypatch, kind):
    lock = lock_of(place, "alpha==1.0")
    with Environments().use(lock) as environment:
        pass
    if kind == fcntl.LOCK_EX:
        next(environment.folder.rglob("alpha.py")).write_text("VALUE = 9")
    path, told = environment.folder.with_suffix(".lock"), []

    def anew():
        path.unlink()
        other = path.open("w")
        fcntl.flock(other, fcntl.LOCK_EX)
        threading.Timer(0.3, lambda: (told.append("released"), other.close())).start()

    meanwhile(monkeypatch, kind, anew)
    with Environments(on_progress=told.append).use(lock):
        assert told[0].endswith("waiting for another process that builds the same environment")
        assert told[1] == "released"
    meanwhile(monkeypatch, fcntl.LOCK_SH, path.unlink)
    with Environments().use(lock) as again:
        assert again.reused


def test_what_was_begun_anew_while_it_was_removed_stays(place, monkeypatch):
    environments = Environments(keep=0)
    with environments.use(lock_of(place, "alpha==1.0")) as environment:
        pass
    path = environment.folder.with_suffix(".lock")

    def anew():
        path.unlink()
        path.touch()

    meanwhile(monkeypatch, fcntl.LOCK_EX, anew)
    assert environments.prune() == 0
    assert environment.folder.exists()


def test_what_another_has_built_in_between_is_used(place, monkeypatch):
    lock = lock_of(place, "alpha==1.0")

    def build():
        with Environments().use(lock):
            pass

    meanwhile(monkeypatch, fcntl.LOCK_EX, build)
    with Environments().use(lock) as environment:
        assert environment.reused


def test_another_python_is_another_environment(place, monkeypatch):
    lock = lock_of(place, "alpha==1.0")
    before = Environments().digest(lock)
    monkeypatch.setattr("platform.python_version", lambda: "3.99.0")
    assert Environments().digest(lock) != before


def test_one_in_use_is_never_removed(place):
    environments = Environments(keep=0)
    with environments.use(lock_of(place, "alpha==1.0")) as environment:
        assert Environments(keep=0).prune() == 0
        with environments.use(lock_of(place, "alpha==1.0")) as at_once:
            assert at_once.reused, "two may use it at once"
        assert environment.folder.exists()
    assert environments.prune() == 1
    assert not environment.folder.exists()


def test_pips_settings_are_handed_to_uv(tmp_path, monkeypatch):
    """In a process of its own, with a pip.conf: what pip reads is read once in a process."""
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://me:secret@one.example/simple \nextra-index-url =\n  https://two.example/simple\n"
        "  https://three.example/simple\ntrusted-host = one.example\n[install]\nfind-links =\n  /a b\n  /c\n"
        "[freeze]\ntimeout = 7\n"
    )
    code = (
        "import json, os; from goldmar.environments.uv import handed_over; print(json.dumps(handed_over(os.environ)))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environment |= {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_PROXY": "http://proxy.example:3128"}

    def told(**more: str) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment | more, capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    found = told()
    assert found["UV_INDEX_URL"] == "https://me:secret@one.example/simple"
    assert found["UV_EXTRA_INDEX_URL"] == "https://two.example/simple https://three.example/simple"
    assert found["UV_FIND_LINKS"] == "/a,b,/c"
    assert found["UV_INSECURE_HOST"] == "one.example"
    assert found["ALL_PROXY"] == "http://proxy.example:3128"
    assert found["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert "UV_HTTP_TIMEOUT" not in found
    own = told(UV_DEFAULT_INDEX="https://own.example/simple", UV_FIND_LINKS="/own", UV_INDEX_STRATEGY="first-index")
    assert not {"UV_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX_STRATEGY"} & set(own)


def test_pips_settings_reach_uv(place, monkeypatch):
    monkeypatch.setenv("UV_FIND_LINKS", str(place / "wheels"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    with Environments().use(lock_of(place, "alpha==1.0", options="")) as environment:
        assert said(environment.python, "import alpha; print(alpha.VALUE)") == "1"
    assert "UV_FIND_LINKS" not in handed_over(os.environ)


def test_the_cache_is_where_it_is_said_to_be(monkeypatch, tmp_path):
    monkeypatch.delenv("GOLDMAR_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache/goldmar"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative, which the specification says to ignore")
    assert cache_folder() == tmp_path / ".cache/goldmar"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg/goldmar"
    monkeypatch.setenv("GOLDMAR_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


# --- what the tests stand on


USE = """
import json, sys
from dataclasses import replace
from pathlib import Path
from goldmar.environments import Environments
from goldmar.locks import read_lock
lock = replace(read_lock(Path(sys.argv[1])), trusted=True)
with Environments().use(lock) as found:
    print(json.dumps({"folder": str(found.folder), "reused": found.reused}))
"""


def in_a_process(place: Path, stderr: int | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USE, str(place / "lock.txt")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def slow_source(place: Path, *, seconds: float | str) -> None:
    """A source distribution whose build takes that long, and says in a file which process group it belongs to."""
    import tarfile

    code = wheel(place / "ready", "slow", "1.0", "VALUE = 7")
    source = place / "slow-1.0"
    source.mkdir(exist_ok=True)
    (source / "PKG-INFO").write_text("Metadata-Version: 2.2\nName: slow\nVersion: 1.0\n")
    (source / "pyproject.toml").write_text(
        '[project]\nname = "slow"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (source / "backend.py").write_text(
        "import os, pathlib, shutil, time\n"
        "def build_wheel(folder, *more, **options):\n"
        f"    pathlib.Path({str(place / 'building')!r}).write_text(str(os.getpgid(0)))\n"
        f"    time.sleep({seconds})\n"
        f"    return shutil.copy({str(code)!r}, folder).rpartition('/')[2]\n"
    )
    with tarfile.open(place / "wheels/slow-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, "slow-1.0")


@contextlib.contextmanager
def index(place: Path, yanked: str = ""):
    """A package index (PEP 503) over the wheels, on a free port of loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = self.path.strip("/").split("/")
            if parts[0] == "files":
                body, kind = (place / "wheels" / parts[1]).read_bytes(), "application/zip"
            else:
                names = sorted(p.name for p in (place / "wheels").glob(f"{parts[1]}-*.whl"))
                links = (f'<a href="/files/{name}"{yank(name)}>{name}</a><br>' for name in names)
                body, kind = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode(), "text/html"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    def yank(name: str) -> str:
        return ' data-yanked="wrong sums"' if yanked and name.startswith(yanked) else ""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/simple"
        finally:
            server.shutdown()
            thread.join()


def left_over(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "cache/environments").glob("*.tmp"))


def wait_for(condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.05)


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
