"""A Docker engine and a compose to talk to it: found, asked, and their complaints told in plain words.

Both composes in use will do: `docker compose` (v2, a plugin of the docker command) and `docker-compose` 1.29.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from goldmar.errors import ServerError
from goldmar.interrupts import held_up

__all__ = ["Compose", "Ran", "find_compose", "run"]

ASK_S = 60.0
"""For a question that an engine answers in a blink, on a machine that is busy building something else."""

COMPOSES = (("docker", "compose"), ("docker-compose",))

# What the docker command says on standard error, and what that means to whoever reads it.
COMPLAINTS = (
    (
        r"permission denied",
        "The Docker engine does not let this user in.",
        "sudo usermod -aG docker $USER, then log in again",
    ),
    (
        r"cannot connect|is the docker daemon running|no such file or directory|connection refused",
        "No Docker engine answers.",
        "start it: sudo systemctl start docker",
    ),
)

GRACE_S = 10.0  # what an interrupted command gets to end by itself


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that ended: its exit code, and what it said on both outputs."""

    code: int
    said: str


@dataclass(frozen=True, slots=True)
class Compose:
    """A compose command that works: `("docker", "compose")` or `("docker-compose",)`."""

    command: tuple[str, ...]
    version: str

    @property
    def name(self) -> str:
        """As one would type it."""
        return " ".join(self.command)


def find_compose() -> Compose:
    """The compose to use, with an engine that answers. Raises ServerError, naming what is missing and how to get it.

    GOLDMAR_COMPOSE names one of several: `docker compose` or `docker-compose`.
    """
    if shutil.which("docker") is None:
        msg = "The command docker was not found."
        raise ServerError(msg, fix="install a Docker engine: apt-get install docker.io docker-compose")
    _look_for_engine()
    wanted = os.environ.get("GOLDMAR_COMPOSE", "").split()
    tried = []
    for command in [tuple(wanted)] if wanted else COMPOSES:
        try:
            done = run([*command, "version", "--short"], timeout_s=ASK_S)
        except FileNotFoundError:
            tried.append(f"{' '.join(command)}: not found")
            continue
        if done.code == 0:
            return Compose(command, done.said.strip().removeprefix("v"))
        tried.append(f"{' '.join(command)}: {(done.said.strip().splitlines() or ['it says nothing'])[0]}")
    msg = "Docker is here, and no compose."
    raise ServerError(msg, fix="apt-get install docker-compose", detail="\n".join(tried))


def _look_for_engine() -> None:
    try:
        done = run(["docker", "version", "--format", "{{.Server.Version}}"], timeout_s=ASK_S)
    except subprocess.TimeoutExpired as error:
        msg = f"The Docker engine did not answer within {ASK_S:g} s."
        raise ServerError(msg, fix="docker version") from error
    if done.code == 0:
        return
    for pattern, what, fix in COMPLAINTS:
        if re.search(pattern, done.said, re.IGNORECASE):
            raise ServerError(what, fix=fix, detail=done.said.strip())
    raise ServerError("The Docker engine cannot be asked.", fix="docker version", detail=done.said.strip())


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    timeout_s: float | None = None,
    to_the_end: bool = False,
) -> Ran:
    """Run a command, both its outputs together, each line told to `on_line` as it comes.

    It gets a session of its own: Ctrl-C at the terminal is for this process, which interrupts the command and waits for
    it; with `to_the_end` it is left to finish first. Raises FileNotFoundError, and TimeoutExpired once it is ended.
    """
    process: subprocess.Popen[str] | None = None
    try:
        with held_up():
            process = subprocess.Popen(
                list(command),
                env=dict(env) if env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
    except KeyboardInterrupt:
        if process is not None:
            _end(process, signal.SIGINT)
        raise
    if process.stdout is None:
        raise AssertionError
    lines: list[str] = []

    def listen() -> None:
        if timeout_s is not None:
            lines.append(process.communicate(timeout=timeout_s)[0])
            return
        if process.stdout is not None:
            for line in process.stdout:
                lines.append(line)
                if on_line is not None:
                    on_line(line.rstrip())
        process.wait()

    interrupted: KeyboardInterrupt | None = None
    with process.stdout:
        while True:
            try:
                listen()
                break
            except KeyboardInterrupt as stop:
                interrupted = stop
                if not to_the_end:
                    _end(process, signal.SIGINT)
                    raise
            except BaseException:
                _end(process, signal.SIGTERM)
                raise
    if interrupted is not None:
        raise interrupted
    return Ran(process.returncode, "".join(lines))


def _end(process: subprocess.Popen[str], first: signal.Signals) -> None:
    for number, patience in ((first, GRACE_S), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return
