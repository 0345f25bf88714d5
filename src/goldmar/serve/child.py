"""One archive, unpacked to a folder of its own and served by one subprocess: start, talk, bury."""

import os
import socket
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from goldmar.errors import FOR_CPUS, ArchiveError, MissingExtraError, NotReadyError, NotStartedError, WorkerDiedError
from goldmar.mar import Manifest, unpack
from goldmar.process import Keeper, Process
from goldmar.protocols.worker import BadFrame, Frame, load_request, read_frame
from goldmar.serve.launch import MAX_BODY, environment, private_folder
from goldmar.serve.log import fix_of, last_traceback

__all__ = ["Child"]

SCRIPT = Path(__file__).with_name("_worker_process.py")
MAX_FIELDS = 300_000  # of an answer: a stream of 20,000 pieces; each costs time and memory, empty or not
MAX_HEADS = 1024 * 1024  # bytes of an answer beside its body, all pieces of a stream together
GRACE_S = 2.0  # for a worker to leave by itself
CHATTER = ("[METRICS]", "Backend received inference at")  # several lines for each request


class Child:
    """A worker process and its socket. Made, it is already starting; `take_ready` waits until its model is loaded.

    Attributes:
        model: the name it is served as, that of the file without its suffix, as TorchServe started here does.
        manifest: of the archive.
        socket: readable when the worker has said something, or is gone.
        lock: held by whoever talks to the worker: it answers one request at a time.

    Raises ArchiveError, StorageError, MissingExtraError, and NotReadyError where the interpreter cannot be run.
    """

    def __init__(self, mar: Path, python: Path | str) -> None:
        self.mar = mar
        self.model = mar.stem
        self.lock = Lock()
        self.socket: socket.socket
        self._python = str(python)
        self._process: Process | None = None
        self._private = private_folder()
        self._keeper = Keeper(folder=self._private)
        self._ready = False
        self._stopped = False
        try:
            # As TorchServe unpacks, so that its paths in tracebacks are recognised and cut down.
            self._model_dir = self._private / "models" / uuid.uuid4().hex
            self._model_dir.mkdir(parents=True)
            self.manifest: Manifest = unpack(mar, self._model_dir)
            self.settings = _settings(mar, self.manifest, self._model_dir)
            self._start()
        except BaseException:
            self.stop()
            raise

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    def said(self) -> str | None:
        """The handler's last traceback in the log, or None."""
        return last_traceback(self._lines())

    def ask(self, request: bytes, timeout_s: float) -> list[Frame]:
        """Send a command and read its answer: one frame, or several where the handler streams.

        Raises WorkerDiedError, and TimeoutError: the worker is then out of step and has to be stopped.
        """
        deadline = time.monotonic() + timeout_s
        try:
            self._within(deadline)
            self.socket.sendall(request)
            return self._listen(deadline)
        except TimeoutError:
            raise
        except (OSError, EOFError) as error:
            raise self._died() from error

    def take_ready(self, deadline: float) -> None:
        """Read what the worker says to the load command; `deadline` is on the monotonic clock.

        Raises WorkerDiedError with the handler's traceback, and TimeoutError.
        """
        try:
            (said,) = self._listen(deadline)
        except TimeoutError:
            raise
        except (OSError, EOFError) as error:
            raise self._died() from error
        if said.code != 200:
            raise self._died()
        self._ready = True

    def garbled(self, error: BadFrame) -> WorkerDiedError:
        """What to raise when the worker's words make no sense: nothing it says later would."""
        self.stop()
        return WorkerDiedError(
            f"The worker of {self.model} cannot be understood: it wrote {error}.",
            fix="A content type or a reason phrase that is not ASCII does this, behind TorchServe as well",
            model=self.model,
        )

    def _listen(self, deadline: float) -> list[Frame]:
        frames: list[Frame] = []
        left, fields = MAX_BODY + MAX_HEADS, 0

        def read(count: int) -> bytes:
            nonlocal left, fields
            left, fields = left - count, fields + 1
            if left < 0:
                raise BadFrame(f"more than {MAX_BODY} bytes in one answer")
            if fields > MAX_FIELDS:
                raise BadFrame(f"more than {MAX_FIELDS} fields in one answer")
            return self._read(count, deadline)

        try:
            while not frames or frames[-1].more_follows:
                frames.append(read_frame(read))
        except BadFrame as error:
            raise self.garbled(error) from error
        return frames

    def _died(self) -> WorkerDiedError:
        """What to raise when the worker is gone; waits for its last words."""
        asked_to, lingers = self._stopped, False
        if self._process is not None:
            try:
                self._process.wait(GRACE_S)
            except TimeoutError:
                # On a busy machine the interpreter may take longer to go; the kill that follows is then ours.
                lingers = True
        self.stop()
        ended = self._process.exit if self._process is not None else None
        model = self.model
        if asked_to:
            return WorkerDiedError(f"The worker of {model} was stopped.", fix="Start it again", model=model)
        when = "answered" if self._ready else "loaded its handler"
        trace = self.said()
        reason = _last_line(trace) if trace else ""
        if ended is not None and not lingers and (ended.signal or not reason):
            reason = f"it {ended}."
        if reason.startswith("it was killed"):
            fix = "Give it more memory, or look for who killed it: dmesg | grep -i 'out of memory'"
        elif reason.endswith(("No module named 'ts'", "No module named 'torch'", "No module named 'yaml'")):
            fix = f"{self._python} -m pip install {FOR_CPUS}torch torchserve==0.12.0 pyyaml"
        else:
            fix = fix_of(reason, model)
        detail = trace or "\n".join(self._lines()[-20:]) or None
        return WorkerDiedError(
            f"The worker of {model} died while it {when}: {reason}", fix=fix, model=model, detail=detail
        )

    def hang_up(self) -> None:
        """Ask the worker to leave, without waiting for it."""
        self._stopped = True
        if self._process is not None:
            # Closing alone would not wake a thread that waits for an answer.
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """End the process group and remove the folder; may be called twice, and while another thread is talking."""
        self.hang_up()
        if self._process is None:
            self._keeper.dismiss()
            return
        # One that has not loaded yet listens to nobody and has nothing to lose.
        self._process.end(GRACE_S if self._ready else 0, first=None)
        self.socket.close()

    def _start(self) -> None:
        self.socket, theirs = socket.socketpair()
        # A model of TorchServe's finds its own modules by PYTHONPATH, behind those of the environment.
        paths = [os.environ.get("PYTHONPATH", ""), str(self._model_dir)]
        variables = environment() | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "TMPDIR": str(self._private),
        }
        if self._python != sys.executable:
            # The environment of a lock file is a cache: bytecode that is kept there saves the next one from compiling.
            variables.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [self._python, "-u", str(SCRIPT), str(theirs.fileno())]
        try:
            with theirs:
                self._process = Process(
                    command,
                    cwd=self._model_dir,
                    env=variables,
                    keeper=self._keeper,
                    ignore=CHATTER,
                    stdin=None,  # open and silent, as behind TorchServe: who reads it waits for ever
                    pass_fds=[theirs.fileno()],
                )
        except NotStartedError as error:
            self.socket.close()
            raise NotReadyError(error.what, fix="Name a Python interpreter") from error
        with suppress(OSError):  # gone already: whoever waits for the answer will see
            self.socket.sendall(
                load_request(
                    model=self.model,
                    model_dir=str(self._model_dir),
                    handler=self.manifest.handler,
                    batch_size=_positive(self.settings.get("batchSize"), 1),
                )
            )

    @property
    def response_timeout_s(self) -> int:
        """What the archive's model-config.yaml says, or TorchServe's default."""
        return _positive(self.settings.get("responseTimeout"), 120)

    def _within(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)

    def _read(self, count: int, deadline: float) -> bytes:
        if count > MAX_BODY:
            raise BadFrame(f"a length of {count}")
        buffer = bytearray(count)
        view, done = memoryview(buffer), 0
        while done < count:
            self._within(deadline)
            got = self.socket.recv_into(view[done:])
            if not got:
                raise EOFError
            done += got
        return bytes(buffer)

    def _lines(self) -> list[str]:
        return self._process.lines() if self._process is not None else []


def _settings(mar: Path, manifest: Manifest, model_dir: Path) -> dict[str, Any]:
    """The archive's model-config.yaml, empty where it has none. Raises ArchiveError, MissingExtraError."""
    if manifest.config_file is None:
        return {}
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError("pyyaml", "serve", "Serving an archive") from error
    try:
        settings = yaml.safe_load((model_dir / manifest.config_file).read_bytes())
    except yaml.YAMLError as error:
        raise ArchiveError(
            f"{manifest.config_file} in {mar} is not YAML: {' '.join(str(error).split())}.",
            fix=f"Mend it, then: goldmar archive {manifest.model}",
        ) from error
    settings = settings if isinstance(settings, dict) else {}
    for key in ("asyncCommunication", "parallelType"):
        if settings.get(key):
            raise NotReadyError(
                f"{mar} sets {key} in its {manifest.config_file}, which takes TorchServe's frontend.",
                fix="goldmar check --backend local",
                model=manifest.model,
            )
    return settings


def _positive(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else default


def _last_line(trace: str) -> str:
    lines = [line for line in trace.splitlines() if line and not line[0].isspace()]
    return lines[-1] if lines else trace
