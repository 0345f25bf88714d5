"""Every command in the README and the guides is run, page by page, in a copy of this repository.

A page's commands share one shell, so that folders, variables and servers in the background carry over. In a `console`
block the lines after a command are its output: each has to appear, in order, `...` standing for anything. A comment
before a block changes what is expected:

    <!-- exit: 1 -->            the last command of the block ends with that code instead of 0
    <!-- not run: reason -->    the block is left alone, and is named in NOT_RUN below
"""

import os
import queue
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.packages import STAND_IN, stand_in

ROOT = Path(__file__).resolve().parents[2]
SHELL = {"bash", "console"}
OTHER = {"mermaid", "csv", "json", "make", "python", "toml", "xml", "yaml", "text"}
TIMEOUT_S = 300.0

# Page -> first command of each block that is not run; the page says why.
NOT_RUN = {
    "docs/compose.md": ["goldmar archive"],
    "README.md": ["make test", "goldmar bisect ..."],
    "docs/culprit.md": ["goldmar bisect ...", "goldmar bisect ..."],
    "docs/getting-started.md": ["pip install ..."],
}

# Pages whose models are plain Python: their workers import a stand-in for torch.
WITHOUT_TORCH = {"docs/ci.md"}

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[a-z]*)\s*$")
HERE = re.compile(r"<<'?(?P<end>\w+)'?")
COMMENT = re.compile(r"^<!-- (?P<key>exit|not run): (?P<value>.+?) -->$")


@dataclass
class Command:
    line: int
    text: str
    output: list[str] = field(default_factory=list)
    exit_code: int = 0


@dataclass
class Block:
    line: int
    language: str
    commands: list[Command]
    not_run: str = ""


def pages() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, those of a shell with their commands."""
    found, lines, at = [], text.splitlines(), 0
    comment: dict[str, str] = {}
    while at < len(lines):
        line = lines[at]
        at += 1
        if said := COMMENT.match(line.strip()):
            comment[said["key"]] = said["value"]
        elif opened := FENCE.match(line):
            start = at
            while lines[at].strip() != "```":
                at += 1
            body = [each.removeprefix(opened["indent"]) for each in lines[start:at]]
            at += 1
            commands = _commands(opened["language"], body, start + 1)
            if commands and "exit" in comment:
                commands[-1].exit_code = int(comment["exit"])
            found.append(Block(start, opened["language"], commands, comment.get("not run", "")))
            comment = {}
        elif line.strip():
            comment = {}
    return found


def _commands(language: str, body: list[str], first: int) -> list[Command]:
    commands: list[Command] = []
    if language not in SHELL:
        return commands
    continued, here = False, None
    for number, line in enumerate(body, first):
        if here is not None:
            commands[-1].text += "\n" + line
            here = None if line == here else here
            continue
        if continued:
            commands[-1].text += "\n" + line.removeprefix("> ")
        elif language == "bash" and line.strip() and not line.startswith("#"):
            commands.append(Command(number, line))
        elif language == "console" and line.startswith("$ "):
            commands.append(Command(number, line.removeprefix("$ ")))
        elif language == "console" and commands and line.strip():
            commands[-1].output.append(line)
            continue
        else:
            continue
        continued = commands[-1].text.endswith("\\")
        document = HERE.search(line)
        here = document["end"] if document else None
    return commands


def missing_output(expected: list[str], obtained: str) -> str | None:
    """The first expected line that does not follow; spaces are as good as one, `...` stands for anything."""
    lines = iter(" ".join(line.split()) for line in obtained.splitlines())
    for want in expected:
        pattern = ".*".join(re.escape(" ".join(part.split())) for part in want.split("..."))
        compiled = re.compile(pattern.replace(".*", r"\s*.*\s*"))
        if want.strip() != "..." and not any(compiled.fullmatch(line) for line in lines):
            return want
    return None


class Shell:
    """One bash that stays open; `run` waits for a command and returns its output and exit code."""

    def __init__(self, folder: Path, home: Path, **environment: str) -> None:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "COV_", "MAKE", "MFLAGS", "GOLDMAR_"))
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=inherited
            | {"PATH": path, "HOME": str(home), "COLUMNS": "120", "GOLDMAR_APPROVER": "docs"}
            # What uv has unpacked already (torch has 12,000 files) is not unpacked anew for each page.
            | {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache/uv"))}
            | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def run(self, command: str, timeout_s: float = TIMEOUT_S) -> tuple[int, str]:
        mark = f"--- {time.monotonic_ns()} ---"
        # The command gets no standard input: it would read the commands after it.
        self._process.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n%s%s\\n' '{mark}' $?\n")
        self._process.stdin.flush()
        said, deadline = [], time.monotonic() + timeout_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"`{command}` still ran after {timeout_s:.0f} s:\n{''.join(said)}")
            if line is None:
                pytest.fail(f"`{command}` ended the shell:\n{''.join(said)}")
            if line.startswith(mark):
                return int(line.removeprefix(mark)), "".join(said)
            said.append(line)

    def close(self) -> None:
        """End what a page left in the background as a terminal would, and wait for it."""
        try:
            self.run("for job in $(jobs -p); do kill $job; done; wait", timeout_s=60)
        finally:
            self._process.stdin.close()
            self._process.wait(timeout=60)
            self._process.stdout.close()


def stand_in_wheel(copy: Path, tmp_path: Path) -> Path:
    """Have the copy's lock file name a torch of 400 bytes, and return where it is: see tests/support/stand_in.

    No model of a page computes with the torch of that lock file; docs/culprit.md has lock files of its own.
    """
    wheels, lock = tmp_path / "stand_in", copy / "ci/locks/serve.txt"
    text = lock.read_text(encoding="utf-8")
    assert "\ntorch==" in text
    lock.write_text(re.sub(r"(?m)^torch==.*", f"torch=={stand_in(wheels)}", text), encoding="utf-8")
    return wheels


@pytest.fixture
def shell(tmp_path, monkeypatch, goldmar_cache):
    """A shell in a copy of the repository that shares the environment of this one."""
    skip = shutil.ignore_patterns(
        ".git", ".venv", ".*_cache", "__pycache__", "*.egg-info", "reports", "*.mar", "obtained.*"
    )
    copy = tmp_path / "goldmar"
    shutil.copytree(ROOT, copy, ignore=skip)
    # The environment of this one, with stamps of its own: `make` must find it up to date and install nothing into it.
    (copy / ".venv").mkdir()
    for entry in ("bin", "include", "lib", "lib64", "pyvenv.cfg"):
        if (Path(sys.prefix) / entry).exists():
            (copy / ".venv" / entry).symlink_to(Path(sys.prefix) / entry)
    shutil.copy(copy / "ci/locks/dev.txt", copy / ".venv/.locked")
    shutil.copy(copy / "pyproject.toml", copy / ".venv/.editable")
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", f"{os.environ.get('PIP_FIND_LINKS', '')} {stand_in_wheel(copy, tmp_path)}")
    opened = Shell(copy, tmp_path / "home", GOLDMAR_CACHE=str(goldmar_cache))
    yield opened
    opened.close()


def commands_of(page: str) -> list[Command]:
    found = blocks((ROOT / page).read_text(encoding="utf-8"))
    return [command for block in found if not block.not_run for command in block.commands]


@pytest.mark.e2e
@pytest.mark.parametrize("page", [page for page in pages() if commands_of(page)])
def test_the_commands_of_a_page_do_what_it_says(page, shell):
    if page in WITHOUT_TORCH:
        shell.run(f"export PYTHONPATH={shlex.quote(str(STAND_IN))}")
    for command in commands_of(page):
        code, said = shell.run(command.text)
        where = f"{page}:{command.line}: $ {command.text}\n{said}"
        assert code == command.exit_code, where
        assert missing_output(command.output, said) is None, where


def test_only_what_is_listed_here_is_not_run():
    def matches(page: str, command: str) -> bool:
        return any(missing_output([listed], command) is None for listed in NOT_RUN.get(page, []))

    left = {
        page: [block.commands[0].text for block in blocks((ROOT / page).read_text(encoding="utf-8")) if block.not_run]
        for page in pages()
    }
    assert [f"{page}: {text}" for page, texts in left.items() for text in texts if not matches(page, text)] == []
    assert {page: len(texts) for page, texts in left.items() if texts} == {k: len(v) for k, v in NOT_RUN.items()}


@pytest.mark.parametrize("page", pages())
def test_every_block_says_its_language(page):
    """A block whose language is misspelt would never be run."""
    found = blocks((ROOT / page).read_text(encoding="utf-8"))
    assert [f"{page}:{block.line} {block.language!r}" for block in found if block.language not in SHELL | OTHER] == []


def test_the_readme_and_the_tour_have_commands():
    assert commands_of("README.md")
    assert commands_of("docs/getting-started.md")


# --- the reader and the shell themselves


PAGE = """
Some words.

```console
$ echo one
one
$ echo two \\
>   three
...
```

<!-- exit: 3 -->
```bash
# a remark
cat > file <<'END'
$ text
END
(exit 3)
```

<!-- not run: it takes a day -->

```bash
sleep 86400
```

```toml
atol = 1
```
"""


def test_reads_a_page():
    first, second, third, fourth = blocks(PAGE)
    assert [(c.text, c.output, c.exit_code) for c in first.commands] == [
        ("echo one", ["one"], 0),
        ("echo two \\\n  three", ["..."], 0),
    ]
    assert [(c.text, c.exit_code) for c in second.commands] == [("cat > file <<'END'\n$ text\nEND", 0), ("(exit 3)", 3)]
    assert third.not_run == "it takes a day"
    assert (fourth.language, fourth.commands, fourth.not_run) == ("toml", [], "")


@pytest.mark.parametrize(
    ("expected", "obtained", "missing"),
    [
        (["a", "c"], "a\nb\nc\n", None),
        (["c", "a"], "a\nb\nc\n", "a"),
        (["built ...  1.0"], "built x.mar 1.0\n", None),
        (["built ... 1.0"], "built x.mar 2.0\n", "built ... 1.0"),
        (["a"], "ab\n", "a"),
        (["..."], "", None),
    ],
)
def test_compares_output(expected, obtained, missing):
    assert missing_output(expected, obtained) == missing


def test_a_shell_keeps_its_state_and_gives_the_exit_code(tmp_path):
    shell = Shell(tmp_path, tmp_path)
    try:
        assert shell.run("mkdir a && cd a && x=7") == (0, "\n")
        assert shell.run("pwd; echo $x >&2; (exit 5)") == (5, f"{tmp_path}/a\n7\n\n")
        assert shell.run("cat") == (0, "\n")
        assert shell.run("sleep 100 & echo $! > pid")[0] == 0
        pid = int((tmp_path / "a/pid").read_text())
        assert Path(f"/proc/{pid}").exists()
    finally:
        shell.close()
    assert not Path(f"/proc/{pid}").exists()
