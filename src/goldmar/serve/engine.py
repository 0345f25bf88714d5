"""A Docker engine and a compose to talk to it: found, asked, and their complaints told in plain words.

Both composes in use will do: `docker compose` (v2, a plugin of the docker command) and `docker-compose` 1.29.
"""

import os
import re
import shutil
from dataclasses import dataclass
from functools import partial

from goldmar.errors import NotStartedError, ServerError, TooLongError
from goldmar.process import run

__all__ = ["Compose", "docker", "find_compose"]

ASK_S = 60.0
"""For a question that an engine answers in a blink, on a machine that is busy building something else."""

COMPOSES = (("docker", "compose"), ("docker-compose",))

docker = partial(run, merge=True, grace_s=10.0)
"""Run a command that talks to the engine; an interrupted one gets time to tell it so."""

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
            done = docker([*command, "version", "--short"], timeout_s=ASK_S)
        except NotStartedError:
            tried.append(f"{' '.join(command)}: not found")
            continue
        if done.code == 0:
            return Compose(command, done.text.strip().removeprefix("v"))
        tried.append(f"{' '.join(command)}: {(done.text.strip().splitlines() or ['it says nothing'])[0]}")
    msg = "Docker is here, and no compose."
    raise ServerError(msg, fix="apt-get install docker-compose", detail="\n".join(tried))


def _look_for_engine() -> None:
    try:
        done = docker(["docker", "version", "--format", "{{.Server.Version}}"], timeout_s=ASK_S)
    except TooLongError as error:
        msg = f"The Docker engine did not answer within {ASK_S:g} s."
        raise ServerError(msg, fix="docker version") from error
    if done.code == 0:
        return
    for pattern, what, fix in COMPLAINTS:
        if re.search(pattern, done.text, re.IGNORECASE):
            raise ServerError(what, fix=fix, detail=done.text.strip())
    raise ServerError("The Docker engine cannot be asked.", fix="docker version", detail=done.text.strip())
