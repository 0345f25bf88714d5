"""A TorchServe process in a private folder, and what it is started with."""

import contextlib
import importlib.util
import json
import os
import re
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from goldmar.errors import CommandError, MissingExtraError, ServerError, StorageError
from goldmar.packages import TORCHSERVE_NEEDS
from goldmar.process import Keeper, Process, run
from goldmar.serve.log import LOG4J

__all__ = ["Keys", "Launch"]

MAX_BODY = 64 * 1024 * 1024
"""Bytes of a request or an answer. TorchServe's own 6.5 MB refuse a scanned A3 drawing."""

TOKEN_MINUTES = 365 * 24 * 60
"""The tokens live as long as the server, which forgets them when it stops; nothing has to be renewed."""

FOLDER_LIMIT = 87
"""Bytes: 107 that Linux allows in the path of a socket, less `/tmp/.ts.sock.90000` that comes behind our folder."""


@dataclass(frozen=True, slots=True)
class Keys:
    """TorchServe's tokens; `repr` hides them."""

    inference: str = field(repr=False)
    management: str = field(repr=False)


class Launch:
    """One start of TorchServe: a private folder, a process group, five ports on loopback.

    Args:
        archives: model name -> archive, served from wherever it lies.
        java: from `find_java`.
        properties: more lines for config.properties; they win over the ones here.
        python: the interpreter of the workers, and whose TorchServe is started.
        port: the port of predictions; None takes a free one, as all others are.

    Raises ServerError where `port` is taken, StorageError.
    """

    def __init__(
        self,
        archives: Mapping[str, Path],
        java: Path,
        properties: Mapping[str, str],
        python: Path | str = sys.executable,
        port: int | None = None,
    ) -> None:
        self._python = python
        self.folder = private_folder(FOLDER_LIMIT)
        self.log = self.folder / "logs" / "server.log"
        self._keeper = Keeper(folder=self.folder)
        try:
            inference, management, *others = _free_ports(5) if port is None else [_if_free(port), *_free_ports(4)]
            self.url = f"http://127.0.0.1:{inference}"
            self.management_url = f"http://127.0.0.1:{management}"
            settings = _settings(self.folder, archives, (inference, management, *others)) | dict(properties)
            self.process = self._start(archives, java, settings)
        except BaseException as error:
            self._keeper.dismiss()
            if not isinstance(error, OSError):
                raise
            msg = f"TorchServe's folder {self.folder} could not be filled: {error.strerror or error}."
            raise StorageError(msg, fix="Free some space there, or name another folder in TMPDIR") from error

    def keys(self) -> Keys | None:
        """The tokens, or None as long as TorchServe has not finished writing them."""
        try:
            written = json.loads((self.folder / "key_file.json").read_bytes())
            return Keys(written["inference"]["key"], written["management"]["key"])
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def stop(self) -> None:
        """End every process of the server and remove its folder. A second call does nothing."""
        # Java takes two seconds to close netty in good order; with the workers gone nobody is left to profit.
        self.process.end(children_only=True)

    def _start(self, archives: Mapping[str, Path], java: Path, settings: Mapping[str, str]) -> Process:
        home = torchserve_home(self._python)
        for part in ("store", "logs", "tmp"):
            (self.folder / part).mkdir()
        for name, path in archives.items():
            (self.folder / "store" / f"{name}.mar").symlink_to(path.resolve())
        (self.folder / "log4j2.xml").write_text(LOG4J, encoding="utf-8")
        lines = (f"{key}={_escaped(value)}\n" for key, value in settings.items())
        (self.folder / "config.properties").write_text("".join(lines), encoding="ascii")
        command = [
            str(java),
            "-XX:TieredStopAtLevel=1",  # the server lives for minutes: compiling its code twice would slow the workers
            "-XX:-UsePerfData",  # else a file in /tmp/hsperfdata_<user>, wherever java.io.tmpdir points
            f"-Dmodel_server_home={home}",
            f"-Djava.io.tmpdir={self.folder / 'tmp'}",
            f"-Dlog4j.configurationFile={(self.folder / 'log4j2.xml').as_uri()}",
            *("-cp", str(home / "ts" / "frontend" / "*"), "org.pytorch.serve.ModelServer"),
            *("--python", str(self._python)),
            *("--ts-config-file", str(self.folder / "config.properties")),
            *("--model-store", str(self.folder / "store")),
            "--no-config-snapshot",
        ]
        places = {"TMPDIR": "tmp", "LOG_LOCATION": "logs", "METRICS_LOCATION": "logs"}
        variables = environment() | {name: str(self.folder / place) for name, place in places.items()}
        return Process(command, cwd=self.folder, env=variables, keeper=self._keeper, umask=0o077)


_WHERE = """
import importlib.util, json, sys
spec = importlib.util.find_spec("ts")
print(json.dumps([spec.origin if spec else None, [m for m in sys.argv[1:] if importlib.util.find_spec(m) is None]]))
"""


def torchserve_home(python: Path | str = sys.executable) -> Path:
    """The folder that holds the package `ts` of an interpreter.

    Raises MissingExtraError for it and for what it needs to run, ServerError for an interpreter that cannot be run.
    """
    if str(python) == sys.executable:
        spec = importlib.util.find_spec("ts")
        origin = spec.origin if spec else None
        missing = [module for module in TORCHSERVE_NEEDS if importlib.util.find_spec(module) is None]
    else:
        try:
            asked = run([python, "-c", _WHERE, *TORCHSERVE_NEEDS], check=True, timeout_s=60, cwd="/")
            origin, missing = json.loads(asked.text)
        except (CommandError, ValueError) as error:
            msg = f"{python} does not tell where its TorchServe is: {error}."
            raise ServerError(msg, fix="Name a Python interpreter that has torchserve") from error
    if missing or origin is None:
        raise MissingExtraError(
            TORCHSERVE_NEEDS[missing[0]] if missing else "torchserve", "serve", "Starting TorchServe here"
        )
    return Path(origin).resolve().parent.parent


def _settings(folder: Path, archives: Mapping[str, Path], ports: tuple[int, ...]) -> dict[str, str]:
    inference, management, metrics, grpc_inference, grpc_management = ports
    return {
        "inference_address": f"http://127.0.0.1:{inference}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://127.0.0.1:{metrics}",
        "grpc_inference_address": "127.0.0.1",
        "grpc_management_address": "127.0.0.1",
        "grpc_inference_port": str(grpc_inference),
        "grpc_management_port": str(grpc_management),
        "load_models": ",".join(f"{name}={name}.mar" for name in archives),
        # A regular expression; commas separate several.
        "allowed_urls": "file://" + re.sub(r"[^\w/-]", ".", str(folder / "store"), flags=re.ASCII) + "/.*",
        "disable_token_authorization": "false",
        "token_expiration_min": str(TOKEN_MINUTES),
        "enable_model_api": "false",
        "install_py_dep_per_model": "false",
        "enable_envvars_config": "false",
        "max_request_size": str(MAX_BODY),
        "max_response_size": str(MAX_BODY),
        "metrics_mode": "prometheus",
        "disable_system_metrics": "true",  # a Python of its own every minute, on cores that the workers need
    }


def environment() -> dict[str, str]:
    """Ours, without what would change TorchServe behind our back: TS_CONFIG_FILE, say, wins over the command line."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TS_")}
    return inherited | {"PYTHONFAULTHANDLER": "1"}


def private_folder(longest: int | None = None) -> Path:
    """A new folder for temporary files, its path at most so many bytes. Raises StorageError, ServerError."""
    for parent in (None, "/tmp"):  # noqa: S108 -- mkdtemp makes a folder that only its owner can enter
        try:
            folder = Path(tempfile.mkdtemp(prefix="goldmar-", dir=parent)).resolve()
        except OSError as error:
            msg = f"There is no place for temporary files: {error.strerror or error}."
            raise StorageError(msg, fix="Name a folder with free space in TMPDIR") from error
        if longest is None or len(os.fsencode(folder)) <= longest:
            return folder
        folder.rmdir()
    msg = "The path of the temporary folder is too long for the sockets of TorchServe's workers."
    raise ServerError(msg, fix="TMPDIR=/tmp")


def _free_ports(count: int) -> list[int]:
    """Ports that nobody had a moment ago; all held at once so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for held in sockets:
            held.bind(("127.0.0.1", 0))
        return [int(held.getsockname()[1]) for held in sockets]


def _if_free(port: int) -> int:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: old connections are no hindrance
        try:
            held.bind(("127.0.0.1", port))
        except OSError as error:
            msg = f"Port {port} cannot be had: {error.strerror}."
            raise ServerError(msg, fix="name another with --port, or leave it out for a free one") from error
    return port


def _escaped(value: str) -> str:
    """A value of a Java properties file, which is Latin-1 and takes backslashes as escapes, as JSON has them."""
    return json.dumps(value)[1:-1]
