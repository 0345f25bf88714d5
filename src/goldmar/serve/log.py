"""Reading the log of a TorchServe that was started here: what a handler said, and when a worker died.

The line format is that of LOG4J below, which goldmar gives to the server: time, level, thread, logger and message with
tabs between them. What a worker prints carries the logger MODEL_LOG and the thread `W-9000-thickness_1.0-stdout`
(TorchServe 0.12, `WorkerLifeCycle.ReaderThread`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "LATE_S",
    "LOG4J",
    "Entry",
    "LogReader",
    "Passing",
    "fix_of",
    "last_traceback",
    "missing_module",
    "parse",
    "passings",
    "tail",
]

LATE_S = 0.5
"""Seconds for the log to follow an answer: what asks a model may have it before its traceback is written."""

LOG4J = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration>
  <Appenders>
    <RollingFile name="server" fileName="${env:LOG_LOCATION}/server.log" filePattern="${env:LOG_LOCATION}/old.%i.log">
      <PatternLayout charset="UTF-8" pattern="%d{ISO8601}\\t%p\\t%t\\t%c{1}\\t%m%n"/>
      <!-- A line or more for every prediction would make up the whole log, and cost more than the log is worth. -->
      <RegexFilter onMatch="DENY" onMismatch="NEUTRAL" regex="Backend received inference at: .*|Looping backend \
response at: .*|Backend response time: .*|Sending response for jobId .*|result=\\[METRICS\\].*"/>
      <Policies><SizeBasedTriggeringPolicy size="16 MB"/></Policies>
      <DefaultRolloverStrategy max="1"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="ACCESS_LOG" level="off"/>
    <Logger name="TS_METRICS" level="off"/>
    <Logger name="MODEL_METRICS" level="off"/>
    <Logger name="io.netty" level="error"/>
    <Logger name="org.apache" level="off"/>
    <Logger name="MODEL_LOG" level="all"/>
    <Logger name="org.pytorch.serve" level="info"/>
    <Root level="warn"><AppenderRef ref="server"/></Root>
  </Loggers>
</Configuration>
"""

CHATTER = re.compile(
    r"s_name_part0=|Listening on |Successfully loaded .*metrics\.yaml|\[PID\]\d|Torch worker started|Python runtime: "
    r"|Connection accepted: |model_name: .*, batchSize: |Backend worker process died\.$|Frontend disconnected"
)
"""What TorchServe's worker itself prints on every start and end."""

_WORKER = re.compile(r"(W-\d+-.*?)(?:-std(?:out|err))?$")
_GONE = re.compile(r"Retry worker: \d+ in \d+ seconds")
_MISSING = re.compile(r"No module named '([^'.]+)")
_PRIVATE = re.compile(r'File "[^"]*/models/[0-9a-f]{32}/')
_TRACEBACK = "Traceback (most recent call last):"


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of the log. `thread` is `main` or `W-<id>-<model>_<version>[-stdout|-stderr]`, or netty's own."""

    level: str
    thread: str
    logger: str
    message: str

    @property
    def worker(self) -> str | None:
        """`W-9000-thickness_1.0`, or None where no worker is concerned."""
        found = _WORKER.match(self.thread)
        return found.group(1) if found else None


@dataclass(frozen=True, slots=True)
class Passing:
    """A worker that ended: `W-9000-thickness_1.0`, what it printed since it was started, and whether that is all."""

    worker: str
    said: tuple[str, ...]
    complete: bool

    def of(self, model: str, version: str = "") -> bool:
        """Whether it was a worker of that model."""
        return self.worker.partition("-")[2].partition("-")[2].startswith(f"{model}_{version}")


@dataclass(slots=True)
class _Life:
    """One worker process, from its first word to the end of both its pipes."""

    said: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    gone: bool = False


class LogReader:
    """Reads what was appended since the last call, whole lines only; a file that rolled over is begun anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self._offset = 0

    def read_new(self) -> bool:
        """Append to `entries` what came; whether anything did. A file that is not there yet is an empty one."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                new = file.read(size - self._offset)
        except FileNotFoundError:
            return False
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        self.entries += parse(whole.decode("utf-8", errors="replace"))
        return bool(whole)

    def forget(self) -> None:
        """Drop what was read, so that `entries` holds only what comes from now on."""
        self.read_new()
        self.entries.clear()


def parse(text: str) -> list[Entry]:
    """Entries of a piece of log; a line without the fields (a Java stack trace) belongs to the message before it."""
    entries: list[Entry] = []
    for line in text.splitlines():
        fields = line.split("\t", 4)
        if len(fields) == 5 and line[:2] == "20":
            entries.append(Entry(*fields[1:]))
        elif entries:
            last = entries[-1]
            entries[-1] = Entry(last.level, last.thread, last.logger, f"{last.message}\n{line}")
    return entries


def passings(entries: Iterable[Entry]) -> list[Passing]:
    """Every worker that ended, in order.

    TorchServe says `Retry worker: 9000 in 1 seconds.` whatever ended it: an exception in the handler, a signal,
    os._exit, or an interpreter that could not even import TorchServe. The last of its words may be logged just after;
    `complete` tells that both its pipes were read to their end.
    """
    lives: dict[str, _Life] = {}
    found: list[Passing] = []
    for entry in entries:
        if (worker := entry.worker) is None:
            continue
        life = lives.setdefault(worker, _Life())
        if entry.logger == "MODEL_LOG":
            life.said.append(entry.message)
        elif entry.message.startswith("Stopped Scanner - "):
            life.closed.add(entry.thread)
        elif _GONE.match(entry.message):
            life.gone = True
        if life.gone and len(life.closed) == 2:
            found.append(Passing(worker, tuple(lives.pop(worker).said), complete=True))
    return found + [Passing(worker, tuple(life.said), complete=False) for worker, life in lives.items() if life.gone]


def missing_module(trace: str) -> str:
    """The top-level module whose import failed last; empty where none did."""
    found = _MISSING.findall(trace)
    return found[-1] if found else ""


def fix_of(said: str, model: str | None) -> str:
    """What to do about a worker that died saying this."""
    archive = f"goldmar archive {model or ''}".rstrip()
    if missing := missing_module(said):
        where = f"Install the package that provides {missing!r} where the handlers run (requirements.txt)"
        return f"{where}, or do without it: {archive}"
    return f"Mend the handler, then: {archive}"


def last_traceback(lines: Sequence[str]) -> str | None:
    """The handler's own traceback, without TorchServe's frames above it; None where these lines hold none.

    Of several, the last that goes through the archive's files; without such, the first (TorchServe's own import failed,
    say). Paths into the unpacked archive are cut down to the file's name: the folder is gone when somebody reads this.
    """
    blocks = _tracebacks(lines)
    if not blocks:
        return None
    own = [block for block in blocks if any(_PRIVATE.search(line) for line in block)]
    return "\n".join(_trimmed(own[-1]) if own else blocks[0])


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a text file, or an empty string where it is not there."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 16_384))
            return "\n".join(file.read().decode("utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _tracebacks(lines: Sequence[str]) -> list[list[str]]:
    """Each traceback from its heading to its exception, notes and a message of several lines included."""
    blocks: list[list[str]] = []
    inside = False
    for line in lines:
        if line.startswith((_TRACEBACK, "Fatal Python error")):
            blocks.append([])
            inside = True
        elif inside and (not line.strip() or CHATTER.match(line)):
            inside = not any(not said.startswith((" ", "\t")) for said in blocks[-1][1:])
        if inside:
            blocks[-1].append(line)
    return blocks


def _trimmed(block: Sequence[str]) -> list[str]:
    first = next(number for number, line in enumerate(block) if _PRIVATE.search(line))
    return [block[0], *(_PRIVATE.sub('File "', line) for line in block[first:])]
