"""Reads drawings in another process: a file that hangs, breaks or bloats its decoder takes nothing else with it.

A worker has one `Decoder`, and behind it runs `decoder_process`, which forks readers: one at most times. A drawing that
takes long does not keep the next one waiting, which then gets a reader of its own. A reader is killed when its time is
up, and replaced when it died, met a bad drawing, grew, or has read as many as it may.
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import decoder_process as wire
from readers import LEAST_S, MEMORY, TIME, DecoderFault, Helper, Job, Lost, Reader, wait
from sheet import BadDrawing, Sheet

logger = logging.getLogger(__name__)

MAX_READERS = 8  # at once
SLOW_S = 0.25  # a drawing that takes longer no longer keeps the next one waiting
BUSY = 3  # times the limit that a batch may take on a machine too busy for its drawings
RECOVERY = 0.5  # seconds of patience that come back in each second

SIMPLER = "export it again, or send it as a gray image at 300 dpi or less"

Outcome = Sheet | BadDrawing | DecoderFault


@dataclass(frozen=True)
class Limits:
    """What reading may take: the table `decoder` below `handler` in model-config.yaml.

    seconds: for one drawing; less, but no less than LEAST_S, right after others that used up the time in vain. More, up
        to `longest`, while other processes have kept it from using LEAST_S of it.
    memory_mb: for one drawing, beyond what the decoders themselves take.
    drawings: that a reader reads until it is replaced.
    """

    seconds: float = 5.0
    memory_mb: int = 768
    drawings: int = 500

    @property
    def longest(self) -> float:
        """Seconds after which no drawing of a batch is given more."""
        return BUSY * self.seconds

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1_000_000:
                msg = f"model-config.yaml: handler: decoder: {name} is {value!r}; it must be a number above 0"
                raise ValueError(msg)


class Decoder:
    """A function bytes -> Sheet at a distance. Ends with this object or this process; to be used by one thread."""

    def __init__(self, limits: Limits, module: str = "drawing", function: str = "read_sheet") -> None:
        """Returns while the helper process is still starting: see `wait`.

        module: has `function`, and BadDrawing, which it raises. Without torch in it the process starts soon.
        """
        wire.keep_freed_memory()
        self._limits = limits
        self._helper = Helper(
            {"module": module, "function": function, "seconds": limits.longest, "memory_mb": limits.memory_mb}
        )
        self._idle: Reader | None = None
        self._ahead: dict[int, tuple[bytes, Outcome]] = {}
        self._lost, self._lost_at = 0.0, 0.0  # seconds used up in vain of late, and when that was true

    @property
    def pid(self) -> int:
        """Of the helper process; the readers are its children."""
        return self._helper.pid

    def wait(self) -> None:
        """Until drawings can be read. Raises RuntimeError with the reason if they cannot."""
        self._helper.wait()

    def close(self) -> None:
        """End the helper process and all that belongs to it."""
        self._helper.close()

    @contextlib.contextmanager
    def ahead(self, drawings: Sequence[bytes]) -> Iterator[None]:
        """Read a batch at once; inside, `read` has what became of each."""
        outcomes = zip(drawings, self.decode(drawings), strict=True)
        self._ahead = {id(data): (data, outcome) for data, outcome in outcomes}
        try:
            yield
        finally:
            self._ahead = {}

    def read(self, data: bytes) -> Sheet:
        """One drawing. Raises BadDrawing or DecoderFault."""
        _, outcome = self._ahead.get(id(data)) or (data, self.decode([data])[0])
        if isinstance(outcome, Sheet):
            return outcome
        raise outcome

    def decode(self, drawings: Sequence[bytes]) -> list[Outcome]:
        """What became of each drawing, in order."""
        outcomes: dict[int, Outcome] = {}
        waiting = deque(range(len(drawings)))
        again: set[int] = set()
        jobs: list[Job] = []
        began, in_vain = time.monotonic(), 0.0
        while waiting or jobs:
            now = time.monotonic()
            if waiting and len(jobs) < MAX_READERS and all(now - job.started >= SLOW_S for job in jobs):
                index = waiting.popleft()
                seconds = max(min(LEAST_S, self._limits.seconds), self._patience(now) - (now - began))
                try:
                    reader = self._reader(fresh=index in again)
                    jobs.append(Job(index, reader, drawings[index], seconds, began + self._limits.longest))
                except (OSError, RuntimeError):
                    logger.exception("There is no process to read a drawing in.")
                    outcomes[index] = DecoderFault("the drawing could not be read just now: the server's log says why.")
                    continue
            for job, outcome in _news(jobs, can_start=bool(waiting) and len(jobs) < MAX_READERS):
                jobs.remove(job)
                self._keep_or_end(job.reader, outcome)
                # A reader that had read others may have suffered from one of those.
                if isinstance(outcome, Lost) and outcome.used and outcome.why != TIME:
                    again.add(job.index)
                    waiting.appendleft(job.index)
                    continue
                outcomes[job.index] = self._explained(outcome, job.seconds, len(drawings[job.index]))
                if not isinstance(outcome, Sheet):
                    in_vain = max(in_vain, time.monotonic() - job.started)
        now = time.monotonic()
        self._lost, self._lost_at = self._limits.seconds - self._patience(now) + in_vain, now
        return [outcomes[index] for index in range(len(drawings))]

    def _patience(self, now: float) -> float:
        """Seconds for a drawing that begins now: what was used up in vain is taken off, and comes back with time.

        So a row of drawings that hang costs those behind them little more than the first one alone.
        """
        lost = min(self._lost, self._limits.seconds) - (now - self._lost_at) * RECOVERY
        return self._limits.seconds - max(0.0, lost)

    def _reader(self, *, fresh: bool) -> Reader:
        """One that waits for a drawing. Raises OSError or RuntimeError when there can be none."""
        reader, self._idle = self._idle, None
        if reader is not None and (fresh or reader.speaks()):
            self._helper.end(reader)
            reader = None
        return reader or self._helper.fork()

    def _keep_or_end(self, reader: Reader, outcome: Outcome | Lost) -> None:
        """Kept only after a good drawing: a bad one may have left its decoder in any state."""
        if isinstance(outcome, Sheet) and self._idle is None and reader.drawings < self._limits.drawings:
            self._idle = reader
        else:
            self._helper.end(reader)

    def _explained(self, outcome: Outcome | Lost, seconds: float, size: int) -> Outcome:
        """The outcome with a sentence for the sender, and a line for the log where something is to be looked into."""
        if isinstance(outcome, DecoderFault):
            logger.error("The code that reads drawings failed on one of %d bytes.\n%s", size, outcome)
            return DecoderFault("the code that reads drawings failed on this one: the server's log says where.")
        if not isinstance(outcome, Lost):
            return outcome
        logger.warning("A drawing of %d bytes %s.", size, outcome.why)
        memory = f"needs more than {self._limits.memory_mb:g} MB of memory to be read"
        cost = {TIME: f"was given up after {seconds:.2g} s of reading", MEMORY: memory}
        return BadDrawing(f"the drawing {cost.get(outcome.why, f'breaks its decoder, or {memory}')}: {SIMPLER}.")


def _news(jobs: Sequence[Job], *, can_start: bool) -> Iterator[tuple[Job, Outcome | Lost]]:
    """Wait until a reader has something, a time is up, or the next drawing may start; then those that are done."""
    until = min(job.deadline for job in jobs)
    if can_start:
        until = min(until, max(job.started for job in jobs) + SLOW_S)
    ready = wait([event for job in jobs for event in job.events], until)
    now = time.monotonic()
    for job in list(jobs):
        if now >= job.deadline or not ready.isdisjoint((job.reader.to, job.reader.back)):
            outcome = job.advance()
            if outcome is not None:
                yield job, outcome
