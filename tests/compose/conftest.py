"""Stacks for the tests with a real Docker engine. `make test-compose` brings the engine; without one they fail."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from goldmar.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
GOLDMAR = Path(sys.executable).with_name("goldmar")
COMPOSES = ["docker-compose", "docker compose"]
LEFT_OUT = os.environ.get("GOLDMAR_COMPOSE_WITHOUT", "")
NEEDED = [name for name in COMPOSES if name != LEFT_OUT]


def pytest_report_header() -> list[str]:
    return [f"compose: {' and '.join(NEEDED)}; BASE_IMAGE {os.environ.get('BASE_IMAGE', 'of the compose file')}"]


@dataclass
class Done:
    """A command that ended. `out` and `err` are what it printed."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return f"{self.out}\n{self.err}"


def run(*command: str | Path, cwd: Path = ROOT, timeout: float = 300, **env: str) -> Done:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def docker(*arguments: str) -> str:
    """What a docker command prints; it has to succeed."""
    done = run("docker", *arguments)
    assert done.code == 0, f"docker {' '.join(arguments)}: {done.said}"
    return done.out.strip()


@pytest.fixture(scope="session", autouse=True)
def engine() -> None:
    """Nothing here is skipped for want of Docker."""
    done = run("docker", "version", "--format", "{{.Server.Version}}")
    if done.code:
        pytest.exit(f"No Docker engine answers: {done.err.strip()}\nfix: make test-compose, as root", returncode=3)
    for name in NEEDED:
        found = run(*name.split(), "version") if shutil.which(name.split()[0]) else Done(127, "", "not found")
        if found.code:
            pytest.exit(f"There is no {name}: {found.err.strip()}\nfix: make test-compose", returncode=3)


def images() -> set[str]:
    return {
        name for name in docker("images", "--format", "{{.Repository}}:{{.Tag}}").split() if name.startswith("goldmar")
    }


@pytest.fixture(scope="session", autouse=True)
def clean_up(engine: None) -> Iterator[None]:
    """The images of single tests go again; the layers that all of them share stay, and make the next run short."""
    before = images()
    yield
    for image in sorted(images() - before - {"goldmar-api:test", "goldmar-batch:test"}):
        docker("image", "rm", image)


def copied(target: Path) -> Path:
    """What a project consists of, to change at will. The wheels are hard links: they are many and stay as they are."""
    leave = shutil.ignore_patterns("__pycache__", "obtained.*")
    for folder in ("compose", "handlers", "golden", "ci", "src/goldmar"):
        shutil.copytree(ROOT / folder, target / folder, ignore=leave)
    shutil.copyfile(ROOT / ".dockerignore", target / ".dockerignore")
    wheels(target)
    return target


def wheels(target: Path) -> None:
    (target / "wheelhouse").mkdir()
    for wheel in (ROOT / "wheelhouse").glob("*.whl"):
        try:
            os.link(wheel, target / "wheelhouse" / wheel.name)
        except OSError:
            shutil.copyfile(wheel, target / "wheelhouse" / wheel.name)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its archives, which no test changes; its images are built once, by the first to ask for them."""
    root = copied(tmp_path_factory.mktemp("project"))
    done = run(GOLDMAR, "archive", cwd=root)
    assert done.code == 0, done.said
    return root


@pytest.fixture
def own_project(tmp_path: Path) -> Path:
    """A project of this test, without archives."""
    return copied(tmp_path)


@dataclass
class Stack:
    """One stack of a project: compose with its settings."""

    root: Path
    command: str
    env: str = "dev"
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = f"goldmar-test-{secrets.token_hex(4)}"
        self.reports = self.root / f"reports-{self.name}"
        self.reports.mkdir()
        self.reports.chmod(0o777)
        self.settings = {
            "COMPOSE_PROJECT_NAME": self.name,
            "GOLDMAR_PORT": "0",
            "GOLDMAR_TAG": "test",
            "GOLDMAR_REPORTS": str(self.reports),
            "GOLDMAR_BUILD_NETWORK": "none",  # hermetic: a build that asks the network for anything fails
        } | self.settings

    def __call__(self, *arguments: str) -> Done:
        files = ["-f", "compose/docker-compose.yml", "--env-file", f"compose/env/{self.env}.env"]
        return run(*self.command.split(), *files, *arguments, cwd=self.root, **self.settings)

    def do(self, *arguments: str) -> Done:
        done = self(*arguments)
        assert done.code == 0, f"{self.command} {' '.join(arguments)}: {done.said[-4000:]}"
        return done

    def container(self, service: str = "api") -> str:
        return self.do("ps", "-q", service).out.strip().splitlines()[-1]

    def exec(self, *command: str) -> Done:
        return run("docker", "exec", self.container(), *command)

    def url(self) -> str:
        return f"http://{docker('port', self.container(), '8080/tcp').splitlines()[0]}"

    def token(self) -> str:
        done = self.exec("cat", "/run/goldmar/token")
        assert done.code == 0, done.said
        return done.out

    def batch(self) -> Done:
        return self("run", "--rm", "-T", "batch")

    def report(self) -> dict[str, object]:
        return dict(json.loads((self.reports / "report.json").read_text(encoding="utf-8")))

    def down(self) -> None:
        self.do("down", "--volumes", "--timeout", "1")


@pytest.fixture
def stacks() -> Iterator[list[Stack]]:
    """Append a stack and it is taken down at the end."""
    made: list[Stack] = []
    yield made
    for stack in made:
        stack.down()


@pytest.fixture(scope="session")
def built(project: Path) -> Path:
    """The project, its images made by the classic builder (or by BuildKit, where docker-compose is left out)."""
    stack = Stack(project, NEEDED[0])
    stack.do("build")
    return project


@pytest.fixture(scope="session")
def running(built: Path) -> Iterator[Stack]:
    """The api, ready; a test that uses it leaves it as it is."""
    stack = Stack(built, NEEDED[0])
    stack.do("up", "-d", "api")
    try:
        done = stack.batch()  # waits until it is ready
        assert done.code == 0, done.said
        yield stack
    finally:
        stack.down()


def remains(names: Sequence[str] = ("goldmar-dev-", "goldmar-test-")) -> list[str]:
    """Containers, networks and volumes of goldmar's stacks that are there now."""
    found = []
    for kind in (("ps", "-a"), ("network", "ls"), ("volume", "ls")):
        form = "{{.Names}}" if kind[0] == "ps" else "{{.Name}}"
        found += [name for name in docker(*kind, "--format", form).split() if name.startswith(tuple(names))]
    return found


def change_handler(root: Path, model: str, extra: str) -> None:
    """Append lines to handlers/<model>/handler.py and build its archive."""
    path = root / "handlers" / model / "handler.py"
    write_atomically(path, path.read_text(encoding="utf-8") + extra)
    done = run(GOLDMAR, "archive", cwd=root)
    assert done.code == 0, done.said
