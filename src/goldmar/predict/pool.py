"""Many questions at once, each asked again where that makes sense; the answers come to the calling thread as they come.

Threads ask, the calling thread takes. So a slow consumer (a terminal, a disk) does not stretch the latency of requests
in flight, and a signal handler may raise whatever it likes in the calling thread: it waits in nothing but a queue.
"""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Protocol

from goldmar.predict.answers import overloaded, retry_after_s
from goldmar.predict.retries import Retries
from goldmar.records import Answer
from goldmar.transport.connection import Stopped
from goldmar.transport.faults import RefusedError

__all__ = ["Asker", "Reply", "asked"]

_BACKLOG = 64  # answers waiting for the calling thread before the askers pause
_BREATH_S = 0.001


class Asker(Protocol):
    """One client. Only the thread that made it calls it."""

    def ask(self, index: int, attempt: int) -> tuple[Answer, float]:
        """Answer to question number `index` and its latency in seconds; RefusedError where asking again may help."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to question number `index`; `latency_s` is that of the last attempt alone."""

    index: int
    answer: Answer
    latency_s: float
    attempts: int


def asked(
    questions: int, make: Callable[[Callable[[], bool]], Asker], *, clients: int, retries: Retries
) -> Generator[Reply, None, None]:
    """Ask questions 0, 1, ... with `clients` askers and yield each reply as it comes.

    Whatever an asker raises is raised here at once. That, and closing the generator, stops all askers; those in the
    middle of a question notice within a second and are not waited for.

    Args:
        make: makes an asker, in the thread that uses it, from a function that tells whether the run is over.
    """
    run = _Run(questions, make, retries)
    # Daemons: one that hangs must not hold a Ctrl-C up.
    for number in range(min(clients, questions)):
        Thread(target=run.client, name=f"goldmar-client-{number}", daemon=True).start()
    try:
        left = questions
        while left:
            item = run.replies.get()
            while True:
                if isinstance(item, BaseException):
                    raise item
                left -= 1
                yield item
                try:
                    item = run.replies.get_nowait()
                except Empty:
                    break
            # Each wake-up takes the interpreter lock from the askers: take replies in handfuls, not one by one.
            if left:
                time.sleep(_BREATH_S)
    finally:
        run.stopped.set()


class _Run:
    """What the threads of one run share."""

    def __init__(self, questions: int, make: Callable[[Callable[[], bool]], Asker], retries: Retries) -> None:
        self.replies: SimpleQueue[Reply | BaseException] = SimpleQueue()
        self.stopped = Event()
        self._questions: Iterator[int] = iter(range(questions))
        self._lock = Lock()
        self._make = make
        self._retries = retries

    def client(self) -> None:
        try:
            asker = self._make(self.stopped.is_set)
            try:
                while (index := self._next()) is not None:
                    self.replies.put(self._persist(asker, index))
            finally:
                asker.close()
        except Stopped:
            pass
        except BaseException as error:
            self.replies.put(error)

    def _next(self) -> int | None:
        while self.replies.qsize() >= _BACKLOG and not self.stopped.is_set():
            self.stopped.wait(_BREATH_S)
        if self.stopped.is_set():
            return None
        with self._lock:
            return next(self._questions, None)

    def _persist(self, asker: Asker, index: int) -> Reply:
        """Ask until there is an answer worth keeping, or an error that asking again will not mend."""
        attempt = 0
        while True:
            attempt += 1
            last = attempt > self._retries.limit
            try:
                answer, latency_s = asker.ask(index, attempt)
            except RefusedError:
                if last:
                    raise
                after_s = None
            else:
                if last or not overloaded(answer):
                    return Reply(index, answer, latency_s, attempt)
                after_s = retry_after_s(answer.headers)
            if self.stopped.wait(self._retries.pause_s(attempt, after_s)):
                raise Stopped
